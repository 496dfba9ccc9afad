"""What the line of exposures costs; an image is an exposure here.

Seconds are of one core of the machine that the laws were fitted on.
"""

from minia_spark.desom.settings import DesomSettings, MapSettings
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.exposures.settings import ExposureSettings

__all__ = ["cells", "cutout_map", "cutouts", "exposure_map", "flags", "page", "places"]

_SEP = 1.0  # of a search for features, a pixel: background, sources, cutouts
_CUTOUT_BYTES = 1_040.0
_PICTURE_BYTES = 12e3  # of a CCD
_ENCODED_SECONDS = 0.25e-3  # a cutout: network and nearest prototype
_REFITTED = 2_048  # inputs, each time
_ENCODED_SHARE = 0.16  # of the time that it takes to learn from an input
_LEARNT_SECONDS = 1.6e-3  # a cutout of a batch
_LEARNT_VECTOR_SECONDS = 72e-6
_NETWORK_SECONDS = 4.0  # TensorFlow comes up, the network is built
_CELLS_BYTES, _PLACES_BYTES = 8_000.0, 60.0
_NETWORK_BYTES = 600 << 20


def _cutouts(sizes: Sizes) -> float:
    settings = sizes.settings.of(ExposureSettings)
    return float(settings.usual_ccds * settings.per_ccd)


def _ccds(sizes: Sizes) -> int:
    return sizes.settings.of(ExposureSettings).usual_ccds


def cutouts(sizes: Sizes) -> Cost:
    """Return what reading all pixels and finding sources takes."""
    return Cost(
        tasks=max(1, sizes.images * _ccds(sizes)),
        core_seconds=sizes.images * sizes.pixels * sizes.rates.pixel * _SEP,
        driver_seconds=3.0,
        written_bytes=sizes.images
        * (_cutouts(sizes) * _CUTOUT_BYTES + _ccds(sizes) * _PICTURE_BYTES),
        task_bytes=20 * sizes.pixels / _ccds(sizes),
        because="the pixels of a CCD",
    )


def _learnt(settings: MapSettings, seconds: float) -> float:
    """Return what the batches take, and the inputs that are encoded to refit the prototypes."""
    refitted = settings.refits * min(_REFITTED, settings.sample) * _ENCODED_SHARE
    learnt = settings.steps * settings.batch
    return 0.0 if settings.weights else (learnt + refitted) * seconds


def cutout_map(sizes: Sizes) -> Cost:
    """Return what the training takes: steps, whatever the number of exposures."""
    settings = sizes.settings.of(DesomSettings).cutouts
    return Cost(
        tasks=1,
        driver_seconds=_NETWORK_SECONDS + _learnt(settings, _LEARNT_SECONDS),
        written_bytes=12e6,
        task_bytes=settings.sample * 1_024.0,
        because="cutouts to train on: desom.cutouts.sample x 1 KiB",
    )


def cells(sizes: Sizes) -> Cost:
    """Return what encoding all cutouts takes."""
    return Cost(
        tasks=sizes.tasks,
        core_seconds=_NETWORK_SECONDS + sizes.images * _cutouts(sizes) * _ENCODED_SECONDS,
        driver_seconds=2.0,
        written_bytes=sizes.images * _CELLS_BYTES,
        task_bytes=_NETWORK_BYTES,
        because="the network and a batch",
    )


def exposure_map(sizes: Sizes) -> Cost:
    """Return what the training takes."""
    settings = sizes.settings.of(DesomSettings)
    vectors = min(sizes.images, settings.exposures.sample)
    return Cost(
        tasks=1,
        driver_seconds=_NETWORK_SECONDS + _learnt(settings.exposures, _LEARNT_VECTOR_SECONDS),
        written_bytes=4e6,
        task_bytes=vectors * settings.cutouts.side**2 * 16.0,
        because="histo-vectors to train on: desom.exposures.sample",
    )


def places(sizes: Sizes) -> Cost:
    """Return what placing exposures and CCDs takes."""
    vectors = sizes.images * (1 + _ccds(sizes))
    return Cost(
        tasks=sizes.tasks,
        core_seconds=vectors * 0.5e-3,
        driver_seconds=1.0,
        written_bytes=vectors * _PLACES_BYTES,
        task_bytes=_NETWORK_BYTES,
        because="the network",
    )


def flags(sizes: Sizes) -> Cost:
    """Return what flags take."""
    vectors = sizes.images * (1 + _ccds(sizes))
    return Cost(
        tasks=1,
        core_seconds=vectors * 5e-6,
        driver_seconds=0.1,
        written_bytes=vectors * _PLACES_BYTES,
        task_bytes=vectors * 500.0,
        because="places of a batch",
    )


def page(sizes: Sizes) -> Cost:
    """Return what the page takes: it shows a bounded number of exposures."""
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * 1e-3,
        driver_seconds=2.0,
        written_bytes=min(sizes.images, 300) * _ccds(sizes) * _PICTURE_BYTES + 3e6,
        task_bytes=sizes.images * 500.0 + min(sizes.images, 300) * _ccds(sizes) * _PICTURE_BYTES,
        because="a line an exposure, and pictures of CCDs",
    )
