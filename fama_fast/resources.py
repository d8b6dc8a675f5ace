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


def env_example() -> Path:
    """The commented file of keys, `.env.example`."""
    for candidate in (_PACKAGE / "_env.example", _PACKAGE.parent / ".env.example"):
        if candidate.is_file():
            return candidate
    raise ConfigError("the file .env.example that belongs to fama_fast is missing: reinstall the package")


def prompts_dir() -> Path:
    """The folder of prompt templates."""
    return _folder("prompts")
