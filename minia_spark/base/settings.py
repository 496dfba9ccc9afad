"""The base of every settings model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

__all__ = ["OF_THE_CALL", "StageSettings", "flat", "is_of_the_call", "rules_of"]

OF_THE_CALL: dict[str, Any] = {"of_the_call": True}
"""``json_schema_extra`` of a field that belongs to the machine or to one call, not to the results:
fingerprints leave it out, and a warehouse does not remember it."""

_MOST = 2**31 - 1


class StageSettings(BaseModel):
    """A frozen model: unknown keys are errors, every field has a sentence and a range.

    No number is infinite, and a whole number without a greatest value of its own fits 32 bits.
    A room's model stands in its ``settings.py``; :mod:`minia_spark.engine.settings` joins them.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    def content_of(self, name: str, value: Any) -> Any:
        """Return what fingerprints hold of a field: a model whose fields name files overrides this.

        Parameters
        ----------
        name : str
            Of the field.
        value : JSON value

        Returns
        -------
        JSON value
            Results are made anew when it changes: what a file holds, say, in place of its name.
        """
        return value

    @field_validator("*")
    @classmethod
    def _fits(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        if isinstance(value, int) and abs(value) > _MOST:
            rules = rules_of(cls.model_fields[info.field_name])
            if all(getattr(rule, name, None) is None for rule in rules for name in ("le", "lt")):
                raise ValueError(f"must be at most {_MOST}")
        return value


def rules_of(field: FieldInfo) -> list[Any]:
    """Return the limits that a field's value, or one of the kinds it may be, must keep to."""
    kinds = (field.annotation, *get_args(field.annotation))
    inner = [rule for kind in kinds for rule in getattr(kind, "__metadata__", ())]
    return [*field.metadata, *(r for info in inner for r in getattr(info, "metadata", ()))]


def is_of_the_call(field: FieldInfo) -> bool:
    """Tell whether a field is marked with `OF_THE_CALL`."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("of_the_call"))


def flat(model: StageSettings, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, JSON value) of every setting that results depend on, in field order."""
    values = model.model_dump(mode="json")
    for name, field in type(model).model_fields.items():
        if is_of_the_call(field):
            continue
        value = getattr(model, name)
        if isinstance(value, StageSettings):
            yield from flat(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", model.content_of(name, values[name])
