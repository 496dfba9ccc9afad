"""The commands ``minia lab ...``."""
# ruff: noqa: PLC0415 - what computes is imported where it is needed

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.engine.commands import (
    add_replace,
    add_run_settings,
    add_source,
    add_warehouse,
    positive,
)

if TYPE_CHECKING:
    from minia_spark.galaxies.lists import Drawn
    from minia_spark.lab.sweep import Compared
    from minia_spark.warehouse.records import Catalogue
    from minia_spark.warehouse.warehouse import Warehouse

__all__ = [
    "classify",
    "classify_arguments",
    "cluster",
    "compare",
    "compare_arguments",
    "dataset",
    "dataset_arguments",
    "reduce",
]
__all__ += ["report", "report_arguments", "run_arguments", "sweep", "sweep_arguments"]

_LISTS = {"train": "log_data_train.csv", "test": "log_data_test.csv"}
_CLASSES, _MISSING = "classes.csv", "missing.csv"
_HEADER = ("dr7objid", "asset_id", "gz2_class")


_REDUCE = ("facets", "crops", "components", "reduce")
_CLUSTER = (*_REDUCE, "clusterings", "clusters", "embedding_clusterings", "embedding_clusters")


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of commands that run stages of the lab."""
    add_warehouse(parser)
    parser.add_argument(
        "--refit",
        action="store_true",
        help="fit anew to the training images of all batches that are there now",
    )
    add_run_settings(parser)
    add_replace(parser)


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia lab report``."""
    add_source(parser, required=False)
    run_arguments(parser)


def reduce(options: argparse.Namespace) -> int:
    """Bring the vectors up to date, and what they need."""
    return _run(options, "reduce", _REDUCE)


def cluster(options: argparse.Namespace) -> int:
    """Bring the clusters up to date, and what they need."""
    return _run(options, "cluster", _CLUSTER)


def classify_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia lab classify``."""
    run_arguments(parser)
    parser.add_argument(
        "--networks",
        metavar="NAME,...",
        help="study, study_balanced, ours, ours_balanced; sets classify.networks",
    )


def classify(options: argparse.Namespace) -> int:
    """Bring networks, predictions and their evaluation up to date, and what they need."""
    if options.networks is not None:
        options.set.append(f"classify.networks={json.dumps(options.networks.split(','))}")
    return _run(options, "classify", (*_REDUCE, "votes", "networks", "classify", "evaluate"))


def report(options: argparse.Namespace) -> int:
    """Do whatever is missing, and build the page with the lab's panel."""
    return _run(options, "report", options.house.stages_of(["discovery", "lab"]))


def _run(options: argparse.Namespace, name: str, stages: tuple[str, ...]) -> int:
    from minia_spark.clustering.settings import ClusteringSettings
    from minia_spark.engine.commands import carry_out, request_of, settings_of_warehouse
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse)
    if "embedding_clusterings" in stages and settings.of(ClusteringSettings).embeddings:
        stages = (*options.house.stages_of_command("embed"), *stages)
    request = replace(request_of(options, stages), command=f"minia lab {name}")
    if options.refit:
        fixed = tuple(s for s in stages if options.house.by_name[s].line == "lab")
        request = replace(request, stages=fixed, refit=True)
    return carry_out(options, request, settings, warehouse)


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia lab compare``."""
    add_warehouse(parser)
    parser.add_argument("--json", action="store_true", help="all numbers, for programs")


def compare(options: argparse.Namespace) -> int:
    """Print how far clusterings agree with classes, and what is enriched."""
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    catalogue = warehouse.require()
    if not catalogue.of_table("agreements"):
        raise InputError(
            f"there is no comparison in {warehouse.storage}: 'minia lab report --warehouse "
            f"{options.warehouse}' makes it"
        )
    names = ("agreements", "recalls", "repeats", "contingencies")
    found = {name: _rows(warehouse, catalogue, name) for name in names}
    seconds = _seconds(warehouse, catalogue)
    for row in found["agreements"]:
        row["seconds"] = seconds.get((row["method"], row["vectors"]))
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    _print_comparison(found)
    return 0


def _rows(warehouse: Warehouse, catalogue: Catalogue, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = warehouse.rows_of(catalogue.of_table(table)).to_pylist()
    return rows


def _seconds(warehouse: Warehouse, catalogue: Catalogue) -> dict[tuple[str, str], float]:
    """Return how long it took to fit each clustering, where the ledger still has it."""
    from minia_spark.clustering.tables import method_and_vectors

    made = {(e.run, e.stage, e.variant) for e in catalogue.of_table("clusterings")}
    return {
        method_and_vectors(step.variant): step.seconds
        for record in warehouse.runs()
        for step in record.steps
        if step.variant is not None
        and step.action == "done"
        and (record.run, step.stage, step.variant) in made
    }


_SHOWN_PAIRS = 20


def _print_comparison(found: dict[str, list[dict[str, Any]]]) -> None:
    from minia_spark.lab.agreement import MEASURES

    def number(row: dict[str, Any], name: str) -> str:
        if row[name] is None:
            return "-"
        error = row[f"{name}_error"]
        return f"{row[name]:.3f}" + ("" if error is None else f" +- {error:.3f}")

    names = (*MEASURES, "silhouette")
    head = f"{'classes':<13}{'split':<6} {'method':<13}{'of':<11}{'images':>8}"
    head += f"{'clusters':>9}{'in none':>8}"
    print(head + "".join(f"{n:>17}" for n in names) + f"{'seconds':>9}")
    order = sorted(found["agreements"], key=lambda r: (r["classes"], r["split"], -(r["ami"] or 0)))
    for row in order:
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
        print(
            f"{row['classes']:<13}{row['split']:<6} {row['method']:<13}{row['vectors']:<11}"
            f"{row['images']:8,}{row['clusters'] - (row['noise'] > 0):9,}{row['noise']:8,}"
            + "".join(f"{number(row, n):>17}" for n in names) + f"{seconds:>9}"
        )  # fmt: skip
    _print_repeats(found["repeats"])
    sure = sorted(
        (r for r in found["contingencies"] if r["q"] <= 0.05),
        key=lambda r: (r["q"], -r["lift"], r["left_kind"], r["left"], r["right"]),
    )
    shown = min(_SHOWN_PAIRS, len(sure))
    told = f", the surest {shown}:" if shown < len(sure) else ""
    print(f"\npairs of groups beyond chance (q <= 0.05): {len(sure):,}{told}")
    for r in sure[:_SHOWN_PAIRS]:
        print(
            f"  {r['left_kind']} {r['left']} and {r['right_kind']} {r['right']}: "
            f"{r['images']:,} of {r['left_images']:,} and {r['right_images']:,}, "
            f"{r['lift']:.2f} times chance, q {r['q']:.1e}"
        )


def _print_repeats(rows: list[dict[str, Any]]) -> None:
    from minia_spark.lab.sweep import clustering_of, recommended

    if not rows:
        return
    print(f"\nfitted again, {rows[0]['repeats']} times; on test images, +- over the fits")
    print(f"{'classes':<13}{'clustering':<28}{'fitted to':<10}{'images':>8}{'AMI':>17}{'NMI':>17}")
    for row in sorted(rows, key=lambda r: (r["classes"], -r["ami"])):
        numbers = [
            f"{row[n]:.3f}" + ("" if row[f"{n}_error"] is None else f" +- {row[f'{n}_error']:.3f}")
            for n in ("ami", "nmi")
        ]
        print(
            f"{row['classes']:<13}{clustering_of(row):<28}{row['fitted_to']:<10}"
            f"{row['fitted_images']:8,}" + "".join(f"{n:>17}" for n in numbers)
        )
    for kind in sorted({r["classes"] for r in rows}):
        print(recommended([r for r in rows if r["classes"] == kind], kind))


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia lab sweep``."""
    add_warehouse(parser)
    parser.add_argument(
        "--with",
        dest="others",
        action="append",
        default=[],
        metavar="DIR",
        help="another warehouse of the same images, e.g. with reduce.crop=object, for its crops; "
        "several may be given",
    )
    parser.add_argument(
        "--classes",
        choices=("galaxy_class", "label"),
        default="galaxy_class",
        help="what is to be recovered (galaxy_class)",
    )
    parser.add_argument(
        "--components",
        default="75,147,300",
        metavar="N,...",
        help="principal components, each a representation (75,147,300)",
    )
    parser.add_argument("--clusters", type=positive, default=12, metavar="N", help="(12)")
    parser.add_argument("--methods", metavar="NAME,...", help="only these clusterings")
    parser.add_argument(
        "--repeats", type=positive, default=5, metavar="N", help="fits that errors are from (5)"
    )
    parser.add_argument(
        "--balanced",
        action="store_true",
        help="also fit to the same number of training images of every class",
    )
    parser.add_argument(
        "--images",
        type=positive,
        default=5000,
        metavar="N",
        help="images at most, chosen by the hash of their names (5000)",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="(1)")
    parser.add_argument("--json", action="store_true", help="for programs")


def sweep(options: argparse.Namespace) -> int:
    """Compare representations and clusterings in one table, and recommend one."""
    from minia_spark.clustering.settings import ClusteringSettings
    from minia_spark.lab import facts
    from minia_spark.lab.sweep import METHODS, best, compare, neighbours_f1, options_of
    from minia_spark.warehouse.warehouse import Warehouse

    numbers = [_whole(word) for word in options.components.split(",")]
    methods = METHODS if options.methods is None else tuple(options.methods.split(","))
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise SettingsError(
            f"--methods: there is no clustering {unknown[0]!r}; there are {', '.join(METHODS)}"
        )
    warehouses = [Warehouse(place) for place in (options.warehouse, *options.others)]
    images = facts.chosen_images(warehouses, options.classes, options.images, options.seed)
    rows: list[Compared] = []
    about: list[dict[str, Any]] = []
    for representation in facts.representations(warehouses, images, numbers):
        f1 = neighbours_f1(representation.vectors, images.labels, images.train)
        error = representation.error
        about.append(
            {
                "representation": representation.name,
                "reconstruction_error": None if error != error else round(error, 4),  # noqa: PLR0124
                "neighbours_f1": round(f1, 4),
            }
        )
        rows += compare(
            representation,
            images.labels,
            images.train,
            methods=methods,
            options=options_of(ClusteringSettings().model_dump(), options.clusters),
            repeats=options.repeats,
            seed=options.seed,
            balanced=(False, True) if options.balanced else (False,),
        )
    first, near = best(rows)
    if options.json:
        told = {
            "warehouses": [str(warehouse.storage) for warehouse in warehouses],
            "representations": about,
            "clusterings": [facts.plain(row) for row in rows],
            "recommended": facts.plain(first),
            "as_good": [facts.plain(row) for row in near],
        }
        print(json.dumps(told, indent=1))
        return 0
    if options.others:
        for number, warehouse in enumerate(warehouses):
            print(f"{number + 1}: {warehouse.storage}")
    print(f"{int(images.train.sum()):,} training and {int((~images.train).sum()):,} test images")
    print(f"{'representation':<22}{'pixel error':>12}{'15 nearest F1':>15}")
    for one in about:
        shown = "-" if one["reconstruction_error"] is None else one["reconstruction_error"]
        print(f"{one['representation']:<22}{shown:>12}{one['neighbours_f1']:>15}")
    print(f"\n{'representation':<22}{'method':<14}{'fitted to':<10}{'AMI':>17}{'NMI':>17}")
    for row in sorted(rows, key=lambda r: -r.ami.value):
        values = [
            f"{m.value:.3f}" + ("" if m.error != m.error else f" +- {m.error:.3f}")
            for m in (row.ami, row.nmi)
        ]
        fitted = "balanced" if row.balanced else "all"
        print(f"{row.representation:<22}{row.method:<14}{fitted:<10}{values[0]:>17}{values[1]:>17}")
    print(f"\nrecommended: {first.method} of {first.representation}", end="")
    print(f"; as good within errors: {len(near)}" if near else "; better than all others")
    return 0


def _whole(text: str) -> int:
    try:
        found = int(text)
    except ValueError:
        found = 0
    if found < 1:
        raise SettingsError(f"--components: {text!r} is no number of components")
    return found


def dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia lab dataset``."""
    parser.add_argument(
        "--catalogue",
        required=True,
        metavar="CSV",
        help="gz2_hart16.csv: columns dr7objid and gz2_class (.gz is read too)",
    )
    parser.add_argument(
        "--mapping",
        required=True,
        metavar="CSV",
        help="gz2_filename_mapping.csv: columns objid and asset_id",
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the images, ASSET_ID.jpg, searched "
        "recursively; without it, nobody looks whether they are there"
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the lists")
    parser.add_argument(
        "--train", type=positive, default=10_000, metavar="N", help="training galaxies (10000)"
    )
    parser.add_argument(
        "--test", type=positive, default=10_000, metavar="N", help="test galaxies (10000)"
    )
    parser.add_argument("--seed", type=int, default=31, metavar="N", help="of the shuffle (31)")
    parser.add_argument("--replace", action="store_true", help="write over lists that are there")


def dataset(options: argparse.Namespace) -> int:
    """Draw the study's training and test galaxies, and say what is missing."""
    from minia_spark.galaxies.lists import draw, unique_rows
    from minia_spark.ingest.labels import label_batches

    def column(path: str, key: str, value: str) -> list[tuple[str, str | None]]:
        batches = label_batches(path, key=key, label=value)
        return [(r["key"], r["label"]) for batch in batches for r in batch.to_pylist()]

    names = (*_LISTS.values(), _CLASSES, _MISSING)
    there_already = [name for name in names if (options.out / name).exists()]
    if there_already and not options.replace:
        raise SettingsError(
            f"{options.out / there_already[0]} is there already: give another --out, or --replace"
        )
    if options.images is not None and not options.images.is_dir():
        raise InputError(f"--images {options.images} is no folder that can be read")
    classes = unique_rows(column(options.catalogue, "dr7objid", "gz2_class"), "catalogue")
    assets = unique_rows(column(options.mapping, "objid", "asset_id"), "mapping")
    drawn = draw(
        classes,
        assets,
        there=None if options.images is None else _stems(options.images),
        train=options.train,
        test=options.test,
        seed=options.seed,
    )
    if not any(drawn.lists.values()):
        raise InputError(
            f"no galaxy can be drawn: of {len(classes):,} rows of {options.catalogue} "
            f"{drawn.without_class:,} have no class, {drawn.without_image_name:,} have no image "
            f"in {options.mapping}, and the images of {len(drawn.missing):,} are missing"
        )
    try:
        _write(options.out, drawn)
    except OSError as error:
        raise MiniaError(
            f"{error.filename or options.out} cannot be written: {error.strerror}"
        ) from None
    _tell(options, drawn)
    return 0


def _stems(folder: Path) -> frozenset[str]:
    """Return the names, without what follows the first dot, of all files below a folder."""
    return frozenset(
        name.partition(".")[0] for _, _, names in os.walk(folder) for name in names
    )  # fmt: skip


def _write(out: Path, drawn: Drawn) -> None:
    from minia_spark.delf.files import write_table

    out.mkdir(parents=True, exist_ok=True)
    for which, name in _LISTS.items():
        rows = [(g.object_id, g.asset_id, g.galaxy_class) for g in drawn.lists[which]]
        write_table(out / name, _HEADER, rows)
    whole = [
        (g.asset_id, g.object_id, g.gz2_class, which)
        for which, members in drawn.lists.items()
        for g in members
    ]
    write_table(out / _CLASSES, ("image", "dr7objid", "gz2_class", "split"), sorted(whole))
    missing = [(g.object_id, g.asset_id, g.galaxy_class) for g in drawn.missing]
    write_table(out / _MISSING, _HEADER, missing)


def _tell(options: argparse.Namespace, drawn: Drawn) -> None:
    from collections import Counter

    from minia_spark.galaxies.morphology import CLASSES

    counts = {w: Counter(g.galaxy_class for g in drawn.lists[w]) for w in _LISTS}
    others = sorted({*drawn.classes} - {*CLASSES})
    print(f"{'class':<8} {'catalogue':>10} {'train':>8} {'test':>8}")
    for name in (*CLASSES, *others):
        print(
            f"{name:<8} {drawn.classes[name]:10,} {counts['train'][name]:8,} "
            f"{counts['test'][name]:8,}"
        )
    print(
        f"{'all':<8} {drawn.classes.total():10,} {counts['train'].total():8,} "
        f"{counts['test'].total():8,}"
    )
    for which, wanted in (("train", options.train), ("test", options.test)):
        if len(drawn.lists[which]) < wanted:
            print(f"{which}: only {len(drawn.lists[which]):,} of the {wanted:,} that were wanted")
    print(
        f"left out: {drawn.without_class:,} without a class, {drawn.without_image_name:,} without "
        f"a name of an image, {len(drawn.missing):,} whose image is missing"
    )
    for name in (*_LISTS.values(), _CLASSES, _MISSING):
        print(options.out / name)
