"""`ff.mine`: mines market data in any form, by keyword settings or a configuration."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import ConfigError
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import config_from_dict, document, load_config
from fama_fast.mining.run.mine import mine as run_search
from fama_fast.notebook.mined import Mined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.mining.progress.plain import Progress
    from fama_fast.mining.run.stopping import StopRequest
    from fama_fast.panel.market_data import MarketData
    from fama_fast.panel.source import Source
    from fama_fast.proposals.protocol import Proposer
    from fama_fast.target import Target

_CONFIG_FILES = (".yaml", ".yml")


def mine(
    data: Source | MarketData | MiningConfig | Mapping[str, Any] | None = None,
    config: MiningConfig | Mapping[str, Any] | str | Path | None = None,
    *,
    rounds: int | None = None,
    candidates: int | None = None,
    new: int | None = None,
    seed: int | None = None,
    target: Target | str | Mapping[str, Any] | None = None,
    horizon: int | Sequence[int] | None = None,
    objective: str | None = None,
    library: str | None = None,
    universe: str | Path | None = None,
    groups: str | Path | Sequence[str | Path] | None = None,
    memory_budget: str | None = None,
    threads: int | None = None,
    panel: Source | None = None,
    proposer: Proposer | None = None,
    progress: Progress | None = None,
    resume: str | None = None,
    stop: StopRequest | None = None,
    output: str | Path | None = None,
) -> Mined:
    """Mine factors.

    Args:
        data: what to mine: a panel, or what one is made of (a path, a frame of Polars, pandas or Arrow, a dict of wide
            frames; see `load_market_data`); a data set from `scan_market_data` is read in parts. Without it what the
            configuration names, or a simulated market. A configuration alone may stand here too.
        config: settings, a mapping of them, or the path of a YAML file; defaults for what is not given. Keywords are
            laid over it.
        rounds: at most (`run.rounds`). candidates: at most, in all (`run.max_candidates`). new: factors wanted
            (`run.wanted`). seed: equal seeds, equal results (`run.seed`).
        target: what is predicted: a `Target`, the text of its returns, or a mapping with the keys of `target:`.
            horizon: days held; several are averaged. objective: rank_ic, ic, spread or net.
        library: what the search starts from: seeds, alpha101, alpha158, alpha360 or gtja191.
        universe, groups: as of `load_market_data`. memory_budget: such as "1GB": data of a path are read in parts.
            threads: cores to use.
        panel: the same as `data`. proposer: in place of the configured one. progress: where to report to: nowhere by
            default, in a notebook a live display.
        resume: id of an unfinished run in the ledger (or "last") to resume. stop: asked to stop, the run ends after the
            current batch with what there is; it can be resumed. output: YAML file for the result document.

    Returns:
        The result, which shows itself in a notebook.

    Raises:
        ConfigError: wrong settings, or a resumed run whose settings or data were different.
        DataError: data that cannot be mined. StoreError: the ledger, or the factor cache. OutputError: the output.
            ProposerError: the proposer gave up; rounds that were committed stay and can be resumed. ClusterError: the
            cluster was lost; so do they. RunError: no memory was left; so do they.
    """
    if isinstance(data, MiningConfig) or (isinstance(data, Mapping) and _has_settings(data)):
        if config is not None:
            raise ConfigError("a configuration is given twice: as the first argument and as config")
        data, config = None, data
    if data is not None and panel is not None:
        raise ConfigError("data are given twice: as the first argument and as panel")
    said = {
        "run.rounds": rounds,
        "run.max_candidates": candidates,
        "run.wanted": new,
        "run.seed": seed,
        "run.memory_budget": memory_budget,
        "run.threads": threads,
        "objective": objective,
        "library": library,
        "target": None if target is None else _target(target),
        **_horizon(horizon),
    }
    given: Any = panel if panel is not None else data
    named = isinstance(given, str | Path)
    if given is None or named:
        # The run's own settings name them then, so that it can be resumed, and reported on, from anywhere.
        paths = {"market_data": given, "universe": universe, "groups": groups}
        said |= {f"paths.{name}": _text(value) for name, value in paths.items()}
        given = None
    settings = _laid_over(config, {key: value for key, value in said.items() if value is not None})
    if given is not None:
        given = _opened(given, universe, groups)
    result = run_search(
        settings,
        panel=given,
        proposer=proposer,
        progress=progress or _usual_progress(),
        resume=resume,
        stop=stop,
        output=output,
    )
    return Mined.of(result, settings, given)


def _has_settings(data: Mapping[Any, Any]) -> bool:
    """Whether it is a mapping of settings: no frame in it, nor a name that only a field could have."""
    return all(name in MiningConfig.model_fields for name in data)


def _target(target: Target | str | Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `target:` of the settings."""
    if isinstance(target, str):
        return {"returns": target}
    if isinstance(target, Mapping):
        return dict(target)
    keys = {f.name: getattr(target, f.name) for f in dataclasses.fields(target) if f.init}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in keys.items()
        if value is not None and name != "entry_lag"
    }


def _horizon(horizon: int | Sequence[int] | None) -> dict[str, Any]:
    if horizon is None or isinstance(horizon, int):
        return {"splits.horizon": horizon}
    several = list(horizon)
    return {"splits.horizon": several[0]} if len(several) == 1 else {"target.horizons": several}


def _text(value: Any) -> Any:
    """A path as text, in a list too."""
    if isinstance(value, Path):
        return str(value)
    return value if value is None or isinstance(value, str) else [str(one) for one in value]


def _laid_over(config: MiningConfig | Mapping[str, Any] | str | Path | None, said: dict[str, Any]) -> MiningConfig:
    """The settings with what the keywords say.

    Raises:
        ConfigError: they are wrong, or no file is there.
    """
    if isinstance(config, str | Path):
        if Path(config).suffix.lower() not in _CONFIG_FILES:
            raise ConfigError(f"config is a configuration, a mapping of settings or a YAML file, not {str(config)!r}")
        return load_config(Path(config), said)
    if isinstance(config, MiningConfig):
        if not said:
            return config
        base = document(config)
    else:
        base = dict(config or {})
    for key, value in said.items():
        section, _, name = key.rpartition(".")
        if section:
            base[section] = {**(base.get(section) or {}), name: value}
        elif isinstance(value, dict):
            base[key] = {**(base.get(key) or {}), **value}
        else:
            base[key] = value
    return config_from_dict(base)


def _opened(given: Any, universe: Any, groups: Any) -> Source:
    """The panel of data in memory, or the panel or data set that they are already.

    Raises:
        ConfigError: a universe or groups beside a panel. DataError: data that cannot be read.
    """
    from fama_fast.data import load_market_data
    from fama_fast.panel import Panel
    from fama_fast.panel.dataset import Dataset

    if not isinstance(given, Panel | Dataset):
        return load_market_data(given, universe=universe, groups=groups)
    if universe is not None or groups is not None:
        raise ConfigError("universe and groups are read with the data: give them to load_market_data, or mine a frame")
    return given


def _usual_progress() -> Progress | None:
    """A live display in a notebook, nothing elsewhere."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return None
    from rich.console import Console

    from fama_fast.mining.progress.live import RichProgress

    return RichProgress(Console())
