"""API keys: where they come from, and how they are kept out of everything that is shown or written."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError
from fama_fast.llm.settings import FROM_ENV

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fama_fast.llm.settings import LLMSettings

_REDACTED = "[key]"
_LEAST_REDACTED = 8  # characters; a shorter key ("none", "ollama") is a word that answers may well hold


class Secret:
    """An API key that is shown only by `reveal`: not in reprs, logs, pickles or locals of a traceback. Values of secret
    headers are kept beside it."""

    __slots__ = ("_headers", "_value")

    def __init__(self, value: str, headers: Mapping[str, str] | None = None) -> None:
        self._value = value
        self._headers = dict(headers or {})

    def reveal(self) -> str:
        return self._value

    def reveal_headers(self) -> dict[str, str]:
        return dict(self._headers)

    def redact(self, text: str) -> str:
        """`text` without any occurrence of the key or of a secret header, plain, URL-quoted or JSON-escaped.

        A key shorter than eight characters is a local server's word for none, and stays: an answer about `test` or
        `key` would be in pieces otherwise.
        """
        secrets = [v for v in (self._value, *self._headers.values()) if len(v) >= _LEAST_REDACTED]
        forms = {f for v in secrets for f in (v, urllib.parse.quote(v, safe=""), json.dumps(v)[1:-1])}
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
    """The key and the secret headers from the environment, else from `.env` in the working directory; neither is
    changed.

    Raises:
        ConfigError: no key, and which variable to set; or a key that cannot be sent.
    """
    place = (directory or Path.cwd()) / ".env"
    return Secret(_key(settings, place), _secret_headers(settings, place))


def _key(settings: LLMSettings, place: Path) -> str:
    name = settings.api_key_env
    if name is None:
        if settings.base_url is None:
            raise ConfigError(
                "llm.api_key_env is null, which only a server of your own named by llm.base_url allows; "
                "name the variable that holds the key, such as LLM_API_KEY"
            )
        return ""
    value = os.environ.get(name) or _from_dotenv(place, name)
    if not value or not value.strip():
        local = "" if settings.base_url is None else " (a local server without a key: llm.api_key_env: null)"
        raise ConfigError(
            f"the llm proposer needs a key: set {name} in the environment or in a .env file of the working "
            f"directory{local}; or use the evolve proposer, which needs none"
        )
    value = value.strip()
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError(f"{name} holds characters that no API key has (spaces, line ends, non-ASCII)")
    return value


def _secret_headers(settings: LLMSettings, place: Path) -> dict[str, str]:
    out = {}
    for header, text in settings.headers.items():
        if not text.startswith(FROM_ENV):
            continue
        name = text.removeprefix(FROM_ENV)
        value = (os.environ.get(name) or _from_dotenv(place, name) or "").strip()
        if not value:
            raise ConfigError(f"llm.headers: {header} needs {name}: set it in the environment or in a .env file")
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(f"llm.headers: {name} holds characters that no header has (line ends, non-ASCII)")
        out[header] = value
    return out


def _from_dotenv(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    from dotenv import dotenv_values

    try:
        return dotenv_values(path, interpolate=False).get(name)
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path}: cannot be read as UTF-8 text") from None
