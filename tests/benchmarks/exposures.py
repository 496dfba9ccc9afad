"""Exposures of six qualities: how well maps and flags tell them apart; cutouts and encoding.

The map of cutouts is trained on exposures of one seed; purity, flags and errors are of exposures of
three other seeds, each with a map of exposures of its own. A fifth of the cells that have exposures
is labelled by their majority: those that the page says to label first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import isqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import sep
from astropy.io import fits

from minia_spark.base.networks import load_tensorflow
from minia_spark.desom.grid import nearest_cells, quantisation_error, temperature, topographic_error
from minia_spark.exposures.cutouts import cut, draw, scaled, sources
from minia_spark.exposures.histogram import histo_vector
from minia_spark.exposures.labels import majority, spread, worth_labelling
from minia_spark.exposures.measure import balanced_accuracy, purity
from minia_spark.exposures.settings import ExposureSettings
from minia_spark.exposures.trained import Scale
from minia_spark.sky.exposures import Exposures, exposure_truth, pixels_of, write_exposures
from tests.benchmarks.figures import Figure

WORKERS = 2
SETTINGS = ExposureSettings()
LABELLED = 0.2
ERRORS_OF = 20_000
"""Cutouts that the plain maps beside ours learn, and all are measured on."""
SEEDS = (11, 12, 13)


class Night(NamedTuple):
    """Exposures as they come to the maps."""

    cutouts: list[np.ndarray]
    sources: np.ndarray
    qualities: np.ndarray


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    from minia_spark.desom.network import Design

    load_tensorflow(threads=1, gpu=None)
    exposures, late = max(40, int(540 * scale)), max(20, int(60 * scale))
    design = Design("conv", (512, 160), min(25, isqrt(exposures)))
    first = night(1, exposures // 2)
    trainer = trained(design, np.concatenate(first.cutouts), max(20, int(800 * scale)), 0.001)
    found: dict[str, list[float]] = {}
    for seed in SEEDS if scale >= 1 else SEEDS[:1]:
        every = night(seed, exposures + late)
        vectors = vectors_of(trainer.desom, every)
        for name, value in told(vectors, every.qualities, late, scale):
            found.setdefault(name, []).append(value)
    yield Figure("  exposures of a seed", exposures)
    yield from of_seeds(found)
    cutouts = np.concatenate(first.cutouts)
    yield from errors("map of cutouts", codes_of(trainer.desom, cutouts), trainer.desom)
    yield from throughput(scale)
    yield from encoding(trainer.desom, cutouts[: max(256, int(4_096 * scale))])


def night(seed: int, number: int) -> Night:
    """Return cutouts of exposures, four CCDs each, and what is wrong with them."""
    with ProcessPoolExecutor(WORKERS) as pool:
        rows = list(
            pool.map(partial(of_exposure, Exposures(seed=seed)), range(number), chunksize=8)
        )
    rows = [row for row in rows if len(row[0])]
    return Night([row[0] for row in rows], *(np.array([r[n] for r in rows]) for n in (1, 2)))


def of_exposure(made: Exposures, index: int) -> tuple[np.ndarray, int, str]:
    """Return the cutouts of an exposure, how many sources it has, and its quality."""
    truth = exposure_truth(made, index)
    images, total = [], 0
    for ccd in range(1, made.ccds + 1):
        pixels = pixels_of(made, index, ccd)
        found = sources(pixels, threshold=SETTINGS.threshold, least_px=SETTINGS.least_px)
        key = (SETTINGS.seed, truth.name, ccd)
        chosen = draw(found, pixels.shape, SETTINGS.per_ccd, SETTINGS.margin_px, key)
        images.append(scaled(cut(pixels, found.x[chosen], found.y[chosen])).pixels)
        total += len(found)
    return np.concatenate(images)[..., None], total, truth.quality


def trained(design, inputs, steps, rate):
    """Return a map trained as the stage does, in batches of 64."""
    from minia_spark.desom.training import Recipe, Trainer

    refit = max(1, steps // 40)
    every = {"log_every": steps, "refit_every": refit}
    recipe = Recipe(design, steps, rate=rate, batch=64, seed=1, ramp=0.5, **every)
    trainer = Trainer(recipe, inputs)
    list(trainer.train())
    return trainer


def codes_of(desom, cutouts):
    """Return the latent vectors of some of the cutouts that taught the map."""
    from minia_spark.desom.training import encoded

    chosen = np.random.default_rng(0).permutation(len(cutouts))[:ERRORS_OF]
    return encoded(desom, cutouts[chosen])


def vectors_of(desom, every: Night):
    """Return the histo-vectors."""
    from minia_spark.desom.training import encoded

    codes = encoded(desom, np.concatenate(every.cutouts))
    cells, _ = nearest_cells(codes, desom.prototypes.numpy())
    ends = np.cumsum([len(images) for images in every.cutouts])[:-1]
    full = Exposures().ccds * SETTINGS.per_ccd
    side = desom.design.side
    counted = [
        histo_vector(own, int(total), side=side, full=full)
        for own, total in zip(np.split(cells, ends), every.sources, strict=True)
    ]
    return np.stack(counted)


def told(vectors, qualities, late, scale) -> Iterator[tuple[str, float]]:
    """Yield how well a map of all but the last exposures, and labels of it, tell all apart."""
    from minia_spark.desom.network import Design
    from minia_spark.desom.training import encoded

    early = np.arange(len(vectors)) < len(vectors) - late
    scaling = Scale.of(vectors[early])
    inputs = scaling(vectors)
    design = Design("dense", (vectors.shape[1], 450, 300, 100), min(20, isqrt(int(early.sum()))))
    desom = trained(design, inputs[early], max(20, int(2_400 * scale)), 0.002).desom
    codes, prototypes = encoded(desom, inputs), desom.prototypes.numpy()
    cells, _ = nearest_cells(codes, prototypes)
    there, numbers = np.unique(cells[early], return_counts=True)
    population = dict(zip(there.tolist(), numbers.tolist(), strict=True))
    yield "cells with exposures", len(there)
    yield "purity", purity(zip(cells[early].tolist(), qualities[early], strict=True))
    most = max(1, round(LABELLED * len(there)))
    random = np.random.default_rng(0).permutation(there)[:most]
    largest = sorted(population, key=lambda cell: (-population[cell], cell))[:most]
    for how, chosen in (
        ("that are told first", worth_labelling(prototypes, population)[:most]),
        ("with most exposures", largest),
        ("by chance", random.tolist()),
    ):
        those = early & np.isin(cells, chosen)
        labels = majority(zip(cells[those].tolist(), qualities[those], strict=True))
        found = np.array(spread(prototypes, labels)[0])[cells]
        for when, which in (("", early), (", a later night", ~early)):
            pairs = list(zip(qualities[which], found[which], strict=True))
            yield f"balanced accuracy, labels of cells {how}{when}", balanced_accuracy(pairs)
    for figure in errors("map of exposures", codes[early], desom):
        yield figure.name, figure.value


def of_seeds(found: dict[str, list[float]]) -> Iterator[Figure]:
    """Yield means over seeds, with standard deviations of a seed."""
    limits = {"purity": 0.9, "balanced accuracy, labels of cells that are told first": 0.9}
    for name, values in found.items():
        yield Figure(name.strip(), float(np.mean(values)), at_least=limits.get(name))
        yield Figure(f"  {name.strip()}: deviation", float(np.std(values)))


def errors(what: str, codes, desom) -> Iterator[Figure]:
    """Yield errors of a map beside those of plain ones on the same latent vectors.

    One is minisom as it comes, whose neighbourhood stays wide; one has the widths of the paper.
    """
    from minisom import MiniSom

    side = desom.design.side
    maps = {"": desom.prototypes.numpy()}
    for name in (", minisom's", ", minisom's with the same widths"):
        plain = MiniSom(side, side, codes.shape[1], sigma=side / 2, random_seed=1)
        if "same" in name:  # its neighbourhood is exp(-d^2 / 2 sigma^2)
            plain._sigma_decay_function = lambda _, t, last: temperature(t, last) / 2**0.5
        plain.random_weights_init(codes)
        plain.train_random(codes, 10 * len(codes))
        maps[name] = plain.get_weights().reshape(side * side, -1)
    for name, prototypes in maps.items():
        error = quantisation_error(codes, prototypes)
        yield Figure(f"  {what}: quantisation error{name}", error)
        error = topographic_error(codes, prototypes, side)
        yield Figure(f"  {what}: topographic error{name}", error)


# -- throughput -----------------------------------------------------------------------------------


def throughput(scale: float) -> Iterator[Figure]:
    """Yield how fast two processes cut, beside a plain loop around sep."""
    with TemporaryDirectory() as scratch:
        made = Exposures(ccds=4, side_px=1024, sources=900, dead=0)
        list(write_exposures(Path(scratch) / "n", made, max(2, int(8 * scale))))
        files = sorted((Path(scratch) / "n").glob("*.fits"))
        seconds = {ours: [], plain: []}
        with ProcessPoolExecutor(WORKERS) as pool:
            for each in seconds:
                list(pool.map(each, files[:1] * WORKERS))  # imports
            for _ in range(3):
                for each, own in seconds.items():
                    own.append(sum(pool.map(each, files)))
    yield Figure("  cutouts, processor seconds of a CCD", min(seconds[ours]) / len(files) / 4)
    ratio = min(seconds[plain]) / min(seconds[ours])
    yield Figure("cutouts, throughput beside a plain sep loop", ratio, at_least=0.85)


def ours(file: Path) -> float:
    """Return the processor seconds of a file as the stage reads it."""
    from minia_spark.exposures.stages.cutouts import rows_of_file

    names = ("threshold", "least_px", "per_ccd", "margin_px", "seed")
    options = {name: getattr(SETTINGS, name) for name in names}
    limits = {"max_pixels": SETTINGS.max_pixels, "max_bytes": SETTINGS.max_file_mib << 20}
    start = time.process_time()
    assert all(row["pixels"] for row in rows_of_file(file, [1, 2, 3, 4], "e", limits, options))
    return time.process_time() - start


def plain(file: Path) -> float:
    """Return those of what one would write by hand."""
    start = time.process_time()
    rng = np.random.default_rng(1)
    with fits.open(file, memmap=False) as hdus:
        for hdu in hdus[1:]:
            pixels = np.ascontiguousarray(hdu.data, np.float32)
            bad = ~np.isfinite(pixels)
            mask = bad if bad.any() else None
            if mask is not None:
                pixels = np.where(bad, np.nanmedian(pixels), pixels)
            sky = sep.Background(pixels, mask=mask)
            found = sep.extract(pixels - sky, 1.5, err=sky.globalrms, mask=mask, minarea=5)
            x, y = np.rint(found["x"]).astype(int), np.rint(found["y"]).astype(int)
            inside = (x > 37) & (y > 37) & (x < pixels.shape[1] - 38) & (y < pixels.shape[0] - 38)
            for k in rng.choice(np.flatnonzero(inside), 100):
                image = pixels[y[k] - 16 : y[k] + 16, x[k] - 16 : x[k] + 16]
                low, high = np.percentile(image, (1, 95))
                ((np.clip(image, low, high) - low) / (high - low) * 255).astype(np.uint8)
    return time.process_time() - start


def encoding(desom, images) -> Iterator[Figure]:
    """Yield how fast cutouts get cells, beside the network alone on batches."""
    from minia_spark.desom.training import encoded

    def whole() -> None:
        nearest_cells(encoded(desom, images), desom.prototypes.numpy())

    def bare() -> None:
        for start in range(0, len(images), 256):
            np.asarray(desom.encode(images[start : start + 256].astype(np.float32) / 255))

    seconds = {whole: [], bare: []}
    for repeat in range(4):
        for each, own in seconds.items():
            start = time.process_time()
            each()
            if repeat:
                own.append(time.process_time() - start)
    yield Figure("  encoding, cutouts a processor second", len(images) / min(seconds[whole]))
    ratio = min(seconds[bare]) / min(seconds[whole])
    yield Figure("encoding, throughput beside the bare network", ratio, at_least=0.85)
