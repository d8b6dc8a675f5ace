"""The versions that decide a Python installation's results, to detect workers that differ.

`installed` is sent to workers as source code, for a worker may lack the package or have another one: it imports what it
needs itself and names nothing of this module.
"""

from __future__ import annotations

from collections.abc import Mapping

Installation = Mapping[str, str]
"""Versions by what they are of; "package" and "source" are absent where there is no package."""


def installed() -> dict[str, str]:
    """Versions of Python, of the package and its source, and of the libraries that decide bits."""
    import hashlib
    import importlib
    import importlib.util
    import pathlib
    import platform
    from importlib import metadata

    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in ("numpy", "numba", "llvmlite"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    spec = importlib.util.find_spec("fama_fast")
    if spec is None or spec.origin is None:
        return versions
    versions["package"] = importlib.import_module("fama_fast").__version__
    folder = pathlib.Path(spec.origin).parent
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    versions["source"] = digest.hexdigest()
    return versions


def unlike(theirs: Installation, ours: Installation) -> str | None:
    """The reason why results of the two installations may differ, or None."""
    if "package" not in theirs:
        return "it has no fama_fast: install the same version there"
    if theirs["package"] != ours["package"]:
        return f"it has fama_fast {theirs['package']}, this is {ours['package']}"
    if theirs["source"] != ours["source"]:
        return f"its fama_fast {ours['package']} is of other source: digest {theirs['source']}, here {ours['source']}"
    other = [f"{name} {theirs.get(name)}, here {ours[name]}" for name in ours if theirs.get(name) != ours[name]]
    return f"it has {'; '.join(other)}" if other else None
