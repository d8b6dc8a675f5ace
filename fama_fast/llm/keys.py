"""API keys: where they come from, and how they are kept out of everything that is shown or written."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError

if TYPE_CHECKING:
    from fama_fast.llm.settings import LLMSettings

_REDACTED = "[key]"
_LEAST_REDACTED = 8  # characters; a shorter key ("none", "ollama") is a word that answers may well hold


class Secret:
    """An API key that is shown only by `reveal`: not in reprs, logs, pickles or locals of a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def redact(self, text: str) -> str:
        """`text` without any occurrence of the key, plain, URL-quoted or JSON-escaped.

        A key shorter than eight characters is a local server's word for none, and stays: an answer about `test` or
        `key` would be in pieces otherwise.
        """
        if len(self._value) < _LEAST_REDACTED:
            return text
        forms = {self._value, urllib.parse.quote(self._value, safe=""), json.dumps(self._value)[1:-1]}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, _REDACTED)
        return text

    def mark(self, salt: str) -> str:
        """Four hex digits that another key gives otherwise, all but once in 65,536 times.

        Sixteen bits of a slow hash: enough to see that a key was changed, too few to find one by.
        """
        digest = hashlib.scrypt(self._value.encode(), salt=salt.encode(), n=2**12, r=8, p=1, dklen=2)
        return digest.hex()

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a key is not pickled")


def load_key(settings: LLMSettings, *, directory: Path | None = None) -> Secret:
    """The key from the environment, else from `.env` in the working directory; neither is changed.

    Raises:
        ConfigError: no key, and which variable to set; or a key that cannot be sent.
    """
    name = settings.api_key_env
    if name is None:
        if settings.base_url is None:
            raise ConfigError(
                "llm.api_key_env is null, which only a server of your own named by llm.base_url allows; "
                "name the variable that holds the key, such as LLM_API_KEY"
            )
        return Secret("")
    value = os.environ.get(name) or _from_dotenv((directory or Path.cwd()) / ".env", name)
    if not value or not value.strip():
        local = "" if settings.base_url is None else " (a local server without a key: llm.api_key_env: null)"
        raise ConfigError(
            f"the llm proposer needs a key: set {name} in the environment or in a .env file of the working "
            f"directory{local}; or use the evolve proposer, which needs none"
        )
    value = value.strip()
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError(f"{name} holds characters that no API key has (spaces, line ends, non-ASCII)")
    return Secret(value)


def _from_dotenv(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    from dotenv import dotenv_values

    try:
        return dotenv_values(path, interpolate=False).get(name)
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path}: cannot be read as UTF-8 text") from None
