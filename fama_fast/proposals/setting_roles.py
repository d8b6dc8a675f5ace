"""The role of a setting, written on its field: whether it decides a result, and whether a resumed run may change it.

    rounds: Annotated[Count, Role.LENGTH] = 3

A setting without a role decides the result: it is in the result document, and a resumed run must have it as it was.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

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
    return frozenset(key for key, own in settings(model) if not own.isdisjoint(roles))


def settings(
    model: type[BaseModel], prefix: str = "", above: frozenset[Role] = frozenset()
) -> Iterator[tuple[str, frozenset[Role]]]:
    """Every setting's dotted key, in order, with its roles, those of its sections among them."""
    for name, info in model.model_fields.items():
        own = above.union(role for role in info.metadata if isinstance(role, Role))
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from settings(section, f"{prefix}{name}.", own)
        else:
            yield f"{prefix}{name}", own
