"""Which codebook is wanted: another warehouse's, or one of the batches that are there.

No Spark: plans ask before anything starts.
"""

from __future__ import annotations

import json

from minia_spark.base.errors import SettingsError
from minia_spark.codebook import CODEBOOK
from minia_spark.codebook.settings import CodebookSettings
from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import fingerprint
from minia_spark.features import EXTRACTORS
from minia_spark.warehouse.records import Catalogue, Entry
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["check", "elsewhere", "training_digest", "wants_anew"]


def check(settings: Settings, warehouse: Warehouse, variant: str | None) -> None:
    """Raise SettingsError where the codebook is to be taken from another warehouse and cannot."""
    if settings.of(CodebookSettings).reuse is not None:
        elsewhere(settings, warehouse, variant)


def wants_anew(
    settings: Settings, warehouse: Warehouse, view: Catalogue, variant: str | None
) -> bool:
    """Tell whether fitting anew would give another codebook than the one that is there.

    Parameters
    ----------
    settings : Settings
        Those that the codebook was made with.
    warehouse : Warehouse
    view : Catalogue
        The codebook, and the features of all batches.
    variant : str or None
        Extractor.

    Raises
    ------
    SettingsError
        It is to be taken from another warehouse and cannot be.
    """
    if settings.of(CodebookSettings).reuse is not None:
        _, entries = elsewhere(settings, warehouse, variant)
        wanted, table = entries["codebooks"].digest, "codebooks"
    else:
        wanted, table = training_digest(view, variant), "training_batches"
    return [e.digest for e in view.of_table(table, None, variant)] != [wanted]


def training_digest(view: Catalogue, variant: str | None) -> str:
    """Return a hash of the features of all batches; equal ones give equal codebooks."""
    batches = [(e.batch, e.digest) for e in view.of_table("features", None, variant)]
    return fingerprint("training", batches)


def elsewhere(
    settings: Settings, warehouse: Warehouse, variant: str | None
) -> tuple[Warehouse, dict[str, Entry]]:
    """Return the warehouse to take the codebook from, and its tables.

    Raises
    ------
    SettingsError
        There is none, or it is of other features or of another size.
    """
    codebook = settings.of(CodebookSettings)
    assert codebook.reuse is not None
    other = Warehouse(codebook.reuse)
    state = other.catalogue()
    entries = {e.table: e for e in state.of_step(CODEBOOK.name, None, variant)}
    if not {"codebooks", "training_batches"} <= set(entries):
        raise SettingsError(
            f"codebook.reuse: there is no codebook in {other.storage}; 'minia codebook "
            f"--warehouse {other.storage}' makes one"
        )
    if other.storage.location == warehouse.storage.location:
        raise SettingsError(
            "codebook.reuse names this warehouse itself; without it the codebook stays anyway"
        )
    entry = entries["codebooks"]
    made_with = state.uses.get(entry.uses)
    if made_with is None:
        raise SettingsError(
            f"codebook.reuse: with which settings the codebook of {other.storage} was made is not "
            "known there"
        )
    theirs = {k: v for k, v in made_with.items() if not k.startswith("codebook.")}
    ours = CODEBOOK.used(settings, variant, EXTRACTORS)
    ours = {k: v for k, v in ours.items() if not k.startswith("codebook.")}
    different = [
        f"{name} is {json.dumps(theirs.get(name))} there and {json.dumps(ours.get(name))} here"
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    if codebook.size not in ("auto", entry.rows):
        different.append(f"codebook.size is {entry.rows} there and {codebook.size} here")
    if different:
        raise SettingsError(
            f"codebook.reuse: the codebook of {other.storage} is not one for these settings: "
            f"{'; '.join(different)}"
        )
    return other, entries
