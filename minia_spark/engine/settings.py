"""All settings of a run: read from YAML and ``--set``, checked once, frozen.

Where a value comes from, the later wins: the defaults of the models, the file given by
``--config``, each ``--set section.key=value`` from left to right. ``minia settings`` prints every
setting with its sentence; ``conf/minia.yaml`` is that output.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from minia_spark.base.errors import SettingsError
from minia_spark.base.settings import StageSettings
from minia_spark.codebook.settings import CodebookSettings
from minia_spark.drift.settings import DriftSettings
from minia_spark.features.settings import FeaturesSettings
from minia_spark.ingest.settings import IngestSettings
from minia_spark.mining.settings import MiningSettings
from minia_spark.report.settings import ReportSettings
from minia_spark.structures.settings import StructuresSettings
from minia_spark.words.settings import WordsSettings

__all__ = ["LogSettings", "Settings", "SparkSettings", "commented_yaml", "load_settings"]


class SparkSettings(StageSettings):
    """Spark's own settings; under spark-submit the submitted ones win."""

    master: str = Field("local[*]", description="Spark master URL; ignored under spark-submit.")
    partitions: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Partitions of every per-image pass; null chooses by images and cores.",
    )
    driver_memory: str = Field(
        "4g",
        pattern=r"^[1-9][0-9]*[kmgt]$",
        description="Heap of the driver, which in local mode is also the executor.",
    )
    conf: dict[str, str] = Field(
        default_factory=dict,
        description="Any further Spark setting, e.g. {spark.executor.memory: 8g}.",
    )


class LogSettings(StageSettings):
    """What machines that watch can read, on the machine where the driver runs."""

    file: str | None = Field(
        None,
        description="File that events are appended to, one JSON object a line; none if not set.",
    )
    metrics: str | None = Field(
        None,
        description="File that is replaced after every run with its figures in Prometheus' text "
        "format, e.g. minia.prom in the folder of node_exporter's textfile collector; none if not "
        "set.",
    )


class Settings(StageSettings):
    """Every setting of a run, a section a stage."""

    ingest: IngestSettings = IngestSettings()
    features: FeaturesSettings = FeaturesSettings()
    codebook: CodebookSettings = CodebookSettings()
    words: WordsSettings = WordsSettings()
    drift: DriftSettings = DriftSettings()
    mining: MiningSettings = MiningSettings()
    structures: StructuresSettings = StructuresSettings()
    report: ReportSettings = ReportSettings()
    log: LogSettings = LogSettings()
    spark: SparkSettings = SparkSettings()


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice: the first would be silently ignored."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise SettingsError(f"line {key_node.start_mark.line + 1}: a key must be a name")
            key = key_node.value
            if key in seen:
                line = key_node.start_mark.line + 1
                raise SettingsError(f"key {key!r} is given twice (again in line {line})")
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_settings(
    file: str | Path | None = None,
    overrides: Iterable[str] = (),
    *,
    defaults: Mapping[str, Any] | None = None,
) -> Settings:
    """Read, merge and check the settings.

    Parameters
    ----------
    file : path or None
        YAML file; sections and keys as printed by ``minia settings``.
    overrides : iterable of str
        ``section.key=value`` with the value in YAML (``true``, ``3``, ``[a, b]``, ``null``).
    defaults : mapping or None
        Settings of an earlier run, as the ledger keeps them, in place of the models' own defaults;
        not used where a file is given.

    Returns
    -------
    Settings

    Raises
    ------
    SettingsError
        Unreadable file, unknown key (with the nearest known one), value of a wrong type or range.
        All wrong values are named in one message.
    """
    values = copy.deepcopy(dict(defaults or {})) if file is None else _read_yaml(Path(file))
    for override in overrides:
        _apply_override(values, override)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} cannot be read: {error}") from None
    try:
        values = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise SettingsError(f"settings file {path} is not valid YAML: {error}") from None
    except SettingsError as error:
        raise SettingsError(f"settings file {path}: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"settings file {path} must hold sections such as 'features:'")
    return values


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise SettingsError(f"--set {override!r}: expected section.key=value")
    try:
        value = yaml.safe_load(text) if text.strip() else None
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {override!r}: the value is not valid YAML: {error}") from None
    if path[:2] == ["spark", "conf"] and len(path) > 2:
        path = [*path[:2], ".".join(path[2:])]  # Spark's own keys have dots in them
        value = text.strip()
    target = values
    for depth, name in enumerate(path[:-1]):
        below = target.get(name)
        if below is None:
            below = target[name] = {}
        if not isinstance(below, dict):
            raise SettingsError(f"--set {override!r}: {'.'.join(path[: depth + 1])} is no section")
        target = below
    target[path[-1]] = value


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        name = ".".join(location)
        if problem["type"] == "extra_forbidden":
            lines.append(f"  {name}: unknown setting{_nearest(location)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            whole = isinstance(problem["input"], dict)  # a rule over several fields names them
            given = "" if whole else f" (given: {_short(problem['input'])})"
            lines.append(f"  {name}: {message}{given}")
    return "wrong settings:\n" + "\n".join(lines) + "\n'minia settings' prints every setting"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _nearest(location: list[str]) -> str:
    fields: Mapping[str, FieldInfo] = Settings.model_fields
    for part in location[:-1]:
        model = _model_of(fields[part]) if part in fields else None
        if model is None:
            return ""
        fields = model.model_fields
    close = difflib.get_close_matches(location[-1], fields, n=1)
    return f"; did you mean {'.'.join([*location[:-1], close[0]])}?" if close else ""


def _model_of(field: FieldInfo) -> type[StageSettings] | None:
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, StageSettings):
            return kind
    return None


def commented_yaml(settings: Settings) -> str:
    """Return the settings as YAML with each field's sentence above it (conf/minia.yaml)."""
    lines = [
        "# Every setting of minia, with its default. Copy what you change; leave out the rest.",
        "# Made by: minia settings",
    ]
    _comment(settings, 0, lines)
    return "\n".join(lines) + "\n"


def _comment(model: StageSettings, indent: int, lines: list[str]) -> None:
    pad = "  " * indent
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if indent == 0:
            lines.append("")
        summary = field.description or (type(value).__doc__ or "").strip().splitlines()[0]
        limits = _limits(field)
        lines.append(f"{pad}# {summary}{limits}")
        if isinstance(value, StageSettings):
            lines.append(f"{pad}{name}:")
            _comment(value, indent + 1, lines)
        else:
            plain = json.dumps(model.model_dump(mode="json", include={name})[name])
            lines.append(f"{pad}{name}: {plain}")


def _limits(field: FieldInfo) -> str:
    words = []
    for rule in field.metadata:
        for sign, attribute in (("≥", "ge"), (">", "gt"), ("≤", "le"), ("<", "lt")):
            bound = getattr(rule, attribute, None)
            if bound is not None:
                words.append(f"{sign} {bound}")
    choices = [
        c for kind in (field.annotation, *get_args(field.annotation)) for c in _choices(kind)
    ]
    if choices:
        words.append("one of " + ", ".join(choices))
    return f" [{', '.join(words)}]" if words else ""


def _choices(kind: Any) -> list[str]:
    if getattr(kind, "__name__", "") == "Literal" or str(kind).startswith("typing.Literal"):
        return [str(choice) for choice in get_args(kind)]
    return []
