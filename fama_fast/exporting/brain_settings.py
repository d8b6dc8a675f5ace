"""Settings of a simulation on WorldQuant BRAIN, as its simulation requests name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fama_fast.errors import ConfigError, nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping


class BrainSettings(BaseModel):
    """What BRAIN does with an expression; defaults are those of its simulation page but for `neutralization`.

    Attributes:
        region, universe: as BRAIN calls them. delay: days from the data to the trade, 0 or 1; 1 is an entry lag of 1.
        decay: days of a linear decay on top of the expression. neutralization: MARKET makes weights add up to zero,
            which is what a spread of long against short has. truncation: largest share of the book in one name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    instrumentType: Literal["EQUITY", "CRYPTO"] = "EQUITY"  # noqa: N815  (BRAIN's own names)
    region: str = "USA"
    universe: str = "TOP3000"
    delay: Annotated[int, Field(ge=0, le=1)] = 1
    decay: Annotated[int, Field(ge=0, le=512)] = 0
    neutralization: str = "MARKET"
    truncation: Annotated[float, Field(ge=0.0, le=1.0)] = 0.08
    pasteurization: Literal["ON", "OFF"] = "ON"
    unitHandling: Literal["VERIFY"] = "VERIFY"  # noqa: N815
    nanHandling: Literal["ON", "OFF"] = "OFF"  # noqa: N815
    language: Literal["FASTEXPR"] = "FASTEXPR"
    visualization: bool = False


def brain_settings(given: Mapping[str, Any], *, entry_lag: int | None = None) -> BrainSettings:
    """Settings as given, and defaults for the rest.

    Args:
        entry_lag: days from knowing to entering that the factors were measured with; the delay, where it can be one.

    Raises:
        ConfigError: a key or a value that BRAIN does not have, with the nearest key.
    """
    known = BrainSettings.model_fields
    for key in given:
        if key not in known:
            near = nearest_name(str(key), known)
            raise ConfigError(
                f"BRAIN has no setting {key!r}{f' (did you mean {near}?)' if near else ''}: it has {', '.join(known)}"
            )
    texts = {k: v.upper() if isinstance(v, str) and k != "instrumentType" else v for k, v in given.items()}
    if "delay" not in texts and entry_lag in (0, 1):
        texts["delay"] = entry_lag
    try:
        return BrainSettings.model_validate(texts)
    except ValidationError as error:
        wrong = error.errors()[0]
        key = str(wrong["loc"][0])
        raise ConfigError(f"BRAIN's setting {key}: {wrong['msg']}, not {texts[key]!r}") from None
