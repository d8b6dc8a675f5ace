"""The role of a setting, written on its field: whether it decides a result, and whether a resumed run may change it.

    rounds: Annotated[Count, Role.LENGTH] = 3

A setting without a role decides the result: it is in the result document, and a resumed run must have it as it was.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator


class Role(enum.Enum):
    """The roles of settings that do not decide a result."""

    PLACE = "place"  # where and how a run happens: in no result document, and any run may have it otherwise
    DATA = "data"  # where the data lie: in the result document, but it is their hash that must be as it was
    LENGTH = "length"  # how long the search goes, and what is done at its end: a resumed run may have it otherwise


def keys_of(model: type[BaseModel], *roles: Role) -> frozenset[str]:
    """Dotted keys of the settings that have one of these roles; a section with a role has it for all that is in it."""
    return frozenset(_keys(model, roles, ""))


def _keys(model: type[BaseModel], roles: tuple[Role, ...], prefix: str, *, whole: bool = False) -> Iterator[str]:
    for name, info in model.model_fields.items():
        chosen = whole or any(role in info.metadata for role in roles)
        section = next((a for a in (info.annotation, *get_args(info.annotation)) if _is_section(a)), None)
        if section is not None:
            yield from _keys(section, roles, f"{prefix}{name}.", whole=chosen)
        elif chosen:
            yield f"{prefix}{name}"


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
