"""The former name of `fama_fast.mining.run.mine`: everything here warns and is found there."""

from typing import Any

from fama_fast.deprecation import moved


def __getattr__(name: str) -> Any:
    return moved(name, __name__, "fama_fast.mining.run.mine", gone_in="0.3")
