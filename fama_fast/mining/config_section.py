"""What all sections of a configuration have in common: how strict they are, and the kinds of their values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fama_fast.errors import ConfigError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


def _size(value: int | str) -> int | str:
    from fama_fast.engine.budget import parse_bytes

    try:
        parse_bytes(value)
    except ConfigError:
        raise ValueError(f'must be bytes or a size such as "800MB" or "4GiB", not {value!r}') from None
    return value


Size = Annotated[int | str, AfterValidator(_size)]


class Section(BaseModel):
    """Unknown keys are errors; a value has the type it is written with (no "5" for 5). A section within it without keys
    is at its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = cls.model_fields
        empty = {k for k, v in data.items() if v is None and k in fields and isinstance(fields[k].default, Section)}
        return {k: v for k, v in data.items() if k not in empty} if empty else data
