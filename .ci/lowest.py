"""Prints the lowest versions that pyproject.toml allows, one `name==version` a line: what `make test-lowest` installs.

Arguments name what is taken in beside the package's own requirements: an extra (`report`), or one requirement of an
extra (`dev/pytest`). A requirement without a lower bound is printed as it stands.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(\[[^\]]*\])?\s*(?:>=\s*([^;,\s]+))?\s*(;.*)?")


def lowest(requirement: str) -> tuple[str, str]:
    """The name of a requirement, and it at its lowest version: `numba>=0.62; marker` is `numba==0.62; marker`.

    Raises:
        ValueError: it is of another form, so that its lowest version is not known.
    """
    found = _REQUIREMENT.fullmatch(requirement.strip())
    if found is None:
        raise ValueError(f"{requirement!r}: expected a name, or a name, >= and a version")
    name, extras, version, marker = found.groups("")
    return name, f"{name}{extras}{'==' if version else ''}{version}{marker and ' '}{marker}"


def requirements(wanted: list[str]) -> list[str]:
    """The lowest versions of the package's requirements and of those that `wanted` names.

    Raises:
        KeyError: there is no such extra or requirement.
    """
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    found = [pinned for _, pinned in map(lowest, project["dependencies"])]
    for name in wanted:
        extra, _, one = name.partition("/")
        of_extra = dict(map(lowest, project["optional-dependencies"][extra]))
        found += [of_extra[one]] if one else of_extra.values()
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
