"""The libraries of factors that come with the package, by the name that the key `library` takes.

Each is a list of texts in its system's dialect; this module alone knows which there are, and makes factors of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING

from fama_fast.errors import one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fama_fast.library.factor import Factor

SEEDS = "seeds"


@dataclass(frozen=True)
class Published:
    """A published library.

    Attributes:
        title: what it is called where it is spoken of. texts: its formulas by their own names. dialect: of the texts.
    """

    title: str
    texts: Callable[[], Mapping[str, str]]
    dialect: str

    def factors(self) -> list[Factor]:
        """The formulas as unscored factors, in order; of equal ones the first. Their names are in the provenance."""
        from fama_fast.library.identity import make_factor

        found: dict[str, Factor] = {}
        for name, text in self.texts().items():
            origin = {"proposer": "library", "source": f"{self.title}, {name}"}
            factor = make_factor(text, dialect=self.dialect, provenance=origin)
            found.setdefault(factor.fingerprint, factor)
        return list(found.values())


def _alpha101() -> Mapping[str, str]:
    from fama_fast.library.alpha101 import alpha101

    return {str(number): text for number, text in alpha101().items()}


def _alpha158() -> Mapping[str, str]:
    from fama_fast.library.alpha158 import alpha158

    return alpha158()


def _alpha360() -> Mapping[str, str]:
    """Without the two that are 1 on every day: they rank nothing."""
    from fama_fast.library.alpha360 import CONSTANT, alpha360

    return {name: text for name, text in alpha360().items() if name not in CONSTANT}


def _gtja191() -> Mapping[str, str]:
    from fama_fast.library.gtja191 import gtja191

    return {str(number): text for number, text in gtja191().items()}


PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "alpha101": Published("the 101 Formulaic Alphas", _alpha101, "alpha101"),
        "alpha158": Published("qlib's Alpha158", _alpha158, "qlib"),
        "alpha360": Published("qlib's Alpha360", _alpha360, "qlib"),
        "gtja191": Published("Guotai Junan's 191 alphas", _gtja191, "fama"),
    }
)

LIBRARIES = (SEEDS, *PUBLISHED)


def check_library(name: str) -> str:
    """The name of a library to start from, or the path of one: what has a slash or an ending is a path.

    Raises:
        ValueError: it is neither; the message has the nearest name.
    """
    if looks_like_path(name):
        return name
    try:
        return one_of(name, LIBRARIES)
    except ValueError as error:
        raise ValueError(f"{error} (a file or folder of factors is written with its ending or a slash)") from None


def looks_like_path(library: str) -> bool:
    """Whether `library` is written as a path, with a slash or an ending; names of libraries have neither."""
    return any(c in library for c in "/\\") or PurePath(library).suffix != ""
