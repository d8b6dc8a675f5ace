"""Where the grammar and the prompt templates lie: inside an installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from fama_fast.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    for candidate in (_PACKAGE / f"_{name}", _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise ConfigError(f"the folder {name!r} that belongs to fama_fast is missing: reinstall the package")


def grammar_dir() -> Path:
    """The folder that holds `alpha.lark`."""
    return _folder("grammar")


def prompts_dir() -> Path:
    """The folder of prompt templates."""
    return _folder("prompts")
