"""All settings of a run: read from YAML and ``--set``, checked once, frozen.

Where a value comes from, the later wins: the defaults of the models, what the warehouse remembers
(or, in its place, the file given by ``--config``), each ``--set section.key=value`` from left to
right. ``minia settings`` prints every setting with its sentence; ``conf/minia.yaml`` is its output.

The sections of the rooms are put together by :class:`minia_spark.engine.room.House`.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from minia_spark.base.errors import SettingsError
from minia_spark.base.files import open_regular
from minia_spark.base.settings import OF_THE_CALL, StageSettings, is_of_the_call, rules_of

__all__ = [
    "LINES",
    "LogSettings",
    "RunSettings",
    "Settings",
    "SparkSettings",
    "changes",
    "commented_yaml",
    "load_settings",
    "read_yaml",
    "remembered",
    "settings_model",
]

LINES = ("discovery", "map", "lab", "exposures")

_Model = TypeVar("_Model", bound=StageSettings)
_Settings = TypeVar("_Settings", bound="Settings")


class RunSettings(StageSettings):
    """What a run brings up to date."""

    lines: tuple[Literal["discovery", "map", "lab", "exposures"], ...] = Field(
        ("discovery",),
        min_length=1,
        description="Lines that a run and the nightly command bring up to date.",
    )


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
    """Every setting of a run, a section a room; :func:`settings_model` adds the rooms' sections."""

    run: RunSettings = RunSettings()
    log: LogSettings = Field(LogSettings(), json_schema_extra=OF_THE_CALL)
    spark: SparkSettings = Field(SparkSettings(), json_schema_extra=OF_THE_CALL)

    def of(self, model: type[_Model]) -> _Model:
        """Return a section by its model; KeyError when no section has it."""
        section = getattr(self, self.section_of(model))
        assert isinstance(section, model)
        return section

    def section_of(self, model: type[StageSettings]) -> str:
        """Return the name of the section with this model; KeyError when there is none."""
        for name in type(self).model_fields:
            if type(getattr(self, name)) is model:
                return name
        raise KeyError(model.__name__)

    def get(self, name: str) -> Any:
        """Return a setting by its dotted name."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        return value


def settings_model(sections: Mapping[str, type[StageSettings]]) -> type[Settings]:
    """Return the model of all settings: the rooms' sections in their order, then the engine's."""
    fields: dict[str, Any] = {name: (model, model()) for name, model in sections.items()}
    return create_model("AllSettings", __base__=Settings, **fields)


class _PlainLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, whose first value would be silently ignored.

    It refuses aliases too: a few of aliases to aliases stand for billions of values.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            line = event.start_mark.line + 1
            raise SettingsError(f"line {line}: aliases (*{event.anchor}) are not taken; repeat it")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

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
    model: type[_Settings],
    file: str | Path | None = None,
    overrides: Iterable[str] = (),
    *,
    defaults: Mapping[str, Any] | None = None,
) -> _Settings:
    """Read, merge and check the settings.

    Parameters
    ----------
    model : type
        As :func:`settings_model` makes it.
    file : path or None
        YAML file; sections and keys as printed by ``minia settings``.
    overrides : iterable of str
        ``section.key=value`` with the value in YAML (``true``, ``3``, ``[a, b]``, ``null``).
    defaults : mapping or None
        What a warehouse remembers (:func:`remembered`), in place of the models' own defaults;
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
    values = copy.deepcopy(dict(defaults or {})) if file is None else read_yaml(Path(file))
    for override in overrides:
        _apply_override(values, override)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(model, error)) from None


def read_yaml(
    path: Path, *, what: str = "settings file", holds: str = "sections such as 'features:'"
) -> dict[str, Any]:
    """Read a file of keys and values in YAML, or JSON; safely: it can name no Python object.

    Raises
    ------
    SettingsError
        It cannot be read, is no YAML, has aliases or a key twice, or is no mapping.
    """
    try:
        with open_regular(path) as file:
            text = file.read().decode("utf-8")
    except OSError as error:
        raise SettingsError(f"{what} {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{what} {path} cannot be read: {error}") from None
    if path.suffix == ".json":
        text = text.replace("\t", " ")  # JSON is YAML but for tabs between its tokens
    try:
        values = _parsed(text)
    except SettingsError as error:
        raise SettingsError(f"{what} {path}: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{what} {path} must hold {holds}")
    return values


def _parsed(text: str) -> Any:
    """Return what a text in YAML says; SettingsError when it is none."""
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise SettingsError(f"it is not valid YAML: {error}") from None
    except RecursionError:
        raise SettingsError("it is not valid YAML: it is nested too deeply") from None


def remembered(settings: Settings) -> dict[str, Any]:
    """Return what a warehouse remembers of the settings, by section: what results depend on."""

    def kept(model: StageSettings) -> dict[str, Any]:
        values = model.model_dump(mode="json")
        found = {}
        for name, field in type(model).model_fields.items():
            value = getattr(model, name)
            if not is_of_the_call(field):
                found[name] = kept(value) if isinstance(value, StageSettings) else values[name]
        return found

    return kept(settings)


def changes(older: Mapping[str, Any], newer: Mapping[str, Any]) -> list[str]:
    """Return what differs, e.g. ``codebook.size 100 -> 1000``, in the order of the newer.

    Parameters
    ----------
    older, newer : mapping
        Nested or flat, names to JSON values. A name that one of them lacks does not count.
    """
    before, after = dict(_leaves(older)), dict(_leaves(newer))
    return [
        f"{name} {_shown(before[name])} -> {_shown(value)}"
        for name, value in after.items()
        if name in before and before[name] != value
    ]


def _shown(value: object) -> str:
    """Return a value as YAML has it, on one line."""
    return value if isinstance(value, str) else json.dumps(value)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise SettingsError(f"--set {override!r}: expected section.key=value")
    try:
        value = _parsed(text) if text.strip() else None
    except SettingsError as error:
        raise SettingsError(f"--set {override!r}: {error}") from None
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


def _explain(model: type[Settings], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        name = ".".join(location)
        if problem["type"] == "extra_forbidden":
            lines.append(f"  {name}: unknown setting{_nearest(model, location)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            whole = isinstance(problem["input"], dict)  # a rule over several fields names them
            given = "" if whole else f" (given: {_short(problem['input'])})"
            lines.append(f"  {name}: {message}{given}")
    return "wrong settings:\n" + "\n".join(lines) + "\n'minia settings' prints every setting"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _nearest(model: type[StageSettings], location: list[str]) -> str:
    fields: Mapping[str, FieldInfo] = model.model_fields
    for part in location[:-1]:
        below = _model_of(fields[part]) if part in fields else None
        if below is None:
            return ""
        fields = below.model_fields
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
    fields = type(model).model_fields
    if indent == 0:  # the rooms' sections first
        ours = Settings.model_fields
        fields = {n: f for n, f in fields.items() if n not in ours} | ours
    for name, field in fields.items():
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
    kinds = (field.annotation, *get_args(field.annotation))
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for rule in rules_of(field)
        for sign, name in (("≥", "ge"), (">", "gt"), ("≤", "le"), ("<", "lt"))
        if getattr(rule, name, None) is not None
    ]
    choices = [choice for kind in kinds for choice in _choices(kind)]
    if choices and not bounds:
        return f" [one of {', '.join(choices)}]"
    told = " or ".join([*choices, ", ".join(bounds)] if bounds else choices)
    return f" [{told}]" if told else ""


def _choices(kind: Any) -> list[str]:
    if getattr(kind, "__name__", "") == "Literal" or str(kind).startswith("typing.Literal"):
        return [str(choice) for choice in get_args(kind)]
    return []
