"""Reads a YAML file (or a mapping) and command-line overrides into a validated `MiningConfig`.

Reads strictly, folds the older names of keys into today's, resolves paths, and turns every mistake into one
ConfigError that names file, key path, value and the nearest right key. It opens no file that a key names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from fama_fast.errors import ConfigError, StoreError, nearest_name
from fama_fast.library.published import LIBRARIES, looks_like_path
from fama_fast.library.strict_yaml import load
from fama_fast.mining.config import MiningConfig
from fama_fast.panel.io.folder import KNOWN_ENDINGS
from fama_fast.proposals.setting_roles import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

Path_ = tuple[str, ...]

# Other names of a key: the scaffold's and the paper's.
ALIASES: dict[Path_, Path_] = {
    ("css", "k"): ("k",),
    ("css", "l"): ("l",),
    ("css", "n_select"): ("l",),
    ("css", "sample_count"): ("css", "n_dates"),
    ("coe", "max_depth"): ("coe", "max_length"),
    ("run", "max_rounds"): ("run", "rounds"),
}

_INPUT_PATHS: tuple[Path_, ...] = (
    ("paths", "market_data"),
    ("paths", "universe"),
    ("paths", "groups"),
    ("paths", "factor_cache"),
    ("paths", "prompts_dir"),
    ("paths", "replay"),
    ("library",),
    ("llm", "instructions_path"),
)
_OUTPUT_PATHS: tuple[Path_, ...] = (("paths", "output_dir"), ("ledger",), ("logging", "log_file"))

_SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+\Z")
_SHOWN_ERRORS = 8


def load_config(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> MiningConfig:
    """The configuration of a YAML file (None: all defaults) with `overrides` by dotted key laid over it.

    Relative paths in the file are looked for beside the file, then in the working folder; relative paths in
    overrides are the working folder's.

    Raises:
        ConfigError: the file cannot be read, is not a mapping of known keys, or has a wrong value.
    """
    if path is None:
        return config_from_dict({}, source="configuration", overrides=overrides)
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: it is not UTF-8 text") from error
    try:
        data = load(text, str(file))
    except StoreError as error:
        raise ConfigError(str(error)) from error
    return config_from_dict(data, source=str(file), folder=file.parent, overrides=overrides)


def config_from_dict(
    data: Any,
    *,
    source: str = "configuration",
    folder: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> MiningConfig:
    """The configuration of a mapping; `folder` is what its relative paths are relative to (the working
    folder by default).

    Raises:
        ConfigError: an unknown key, a wrong value, or two names of one key that disagree.
    """
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise ConfigError(f"{source}: expected keys and values, found {_shown(data)}")
    raw = _copy(data)
    _fold_aliases(raw, source)
    # Sections left empty ("css:") are their defaults.
    for name in [k for k, v in raw.items() if v is None and k in SECTIONS]:
        del raw[name]
    if isinstance(raw.get("cluster"), str):
        raw["cluster"] = {"address": raw["cluster"]}
    here = Path.cwd()
    _resolve_paths(raw, here if folder is None else folder.resolve())
    for dotted, value in (overrides or {}).items():
        if value is not None:
            key = tuple(dotted.split("."))
            is_path = key in (*_INPUT_PATHS, *_OUTPUT_PATHS) and isinstance(value, str)
            relative = is_path and not _is_name(key, value, here)
            _put(raw, key, _resolved(value, here, search=False) if relative else value)
    try:
        return MiningConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_message(error, source)) from error


def stored_config(data: Mapping[str, Any], *, source: str, overrides: Mapping[str, Any] | None = None) -> MiningConfig:
    """The configuration that was stored with a run, in today's meaning: what its version had no key for is at its
    default.

    Documents of versions without `run.wanted` had the number of factors wanted under `u`, and 0 as the least edge of a
    chain, which decided something else.
    """
    own = _copy(data)
    run, coe = own.get("run"), own.get("coe")
    if isinstance(run, dict) and "wanted" not in run and "u" in own:
        run["wanted"] = own.pop("u")
        if isinstance(coe, dict) and coe.get("min_edge_score") == 0.0:
            del coe["min_edge_score"]
    return config_from_dict(own, source=source, overrides=overrides)


def other_meaning(config: MiningConfig) -> str | None:
    """A line for whoever seems to mean by `u` the number of factors wanted; None where nothing looks like that."""
    if config.u <= MiningConfig.model_fields["u"].default or "wanted" in config.run.model_fields_set:
        return None
    return (
        f"u: {config.u} is how many factors the library must hold before chains are extended or split; new factors "
        f"wanted are run.wanted (--new {config.u}), now {config.run.wanted}"
    )


def document(config: MiningConfig) -> dict[str, Any]:
    """The configuration as plain data: what is stored with a run. It holds no secret, only the key's name."""
    return config.model_dump(mode="json")


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], ignore: frozenset[str]) -> list[str]:
    """The dotted keys whose values differ between two configurations, with both values."""
    left, right = dict(leaves(ours)), dict(leaves(theirs))
    changed = [k for k in sorted(set(left) | set(right)) if k not in ignore and left.get(k) != right.get(k)]
    return [f"{key} is {left.get(key)!r}, was {right.get(key)!r}" for key in changed]


def leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a configuration by its dotted key."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _sections() -> dict[str, type[BaseModel]]:
    sections = {}
    for name, info in MiningConfig.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            sections[name] = info.annotation
    return sections


SECTIONS = _sections()


def known_keys() -> tuple[str, ...]:
    """Every dotted key, older names included."""
    return (*(key for key, _ in settings(MiningConfig)), *(".".join(a) for a in ALIASES))


def _copy(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(k): _copy(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_copy(v) for v in data]
    # YAML 1.1 reads 1e-5 (no dot) as text.
    if isinstance(data, str) and _SCIENTIFIC.match(data):
        return float(data)
    return data


def _get(raw: Any, path: Path_) -> Any:
    for key in path:
        if not isinstance(raw, dict) or key not in raw:
            return None
        raw = raw[key]
    return raw


def _put(raw: dict[str, Any], path: Path_, value: Any) -> None:
    for key in path[:-1]:
        inner = raw.setdefault(key, {})
        if not isinstance(inner, dict):
            return  # a wrong section: validation says so
        raw = inner
    raw[path[-1]] = value


def _fold_aliases(raw: dict[str, Any], source: str) -> None:
    origin: dict[Path_, Path_] = {}
    for alias, target in ALIASES.items():
        section = _get(raw, alias[:-1])
        if not isinstance(section, dict) or alias[-1] not in section:
            continue
        value = section.pop(alias[-1])
        present = _get(raw, target)
        if present is not None and present != value:
            other = ".".join(origin.get(target, target))
            raise ConfigError(
                f"{source}: {'.'.join(alias)} is {_shown(value)} but {other} is {_shown(present)}: "
                "both mean the same setting, keep one"
            )
        origin.setdefault(target, alias)
        _put(raw, target, value)


def _resolve_paths(raw: dict[str, Any], folder: Path) -> None:
    for path in (*_INPUT_PATHS, *_OUTPUT_PATHS):
        value = _get(raw, path)
        if isinstance(value, str) and value and not _is_name(path, value, folder):
            _put(raw, path, _resolved(value, folder, search=path in _INPUT_PATHS))
        elif isinstance(value, list):
            _put(raw, path, [_resolved(v, folder, search=True) if isinstance(v, str) else v for v in value])


def _is_name(path: Path_, value: str, folder: Path) -> bool:
    """Whether a key that may hold a path holds a name: `paths.universe` that of a column of the data, `library` that of
    a packaged library."""
    if path == ("library",):
        if value in LIBRARIES or looks_like_path(value):
            return value in LIBRARIES
    elif path != ("paths", "universe") or value.lower().endswith(KNOWN_ENDINGS):
        return False
    return not (_exists(folder / value) or _exists(Path.cwd() / value))


def _resolved(value: str, folder: Path, *, search: bool) -> str:
    if "://" in value:
        return value  # a database URL
    path = Path(value).expanduser()
    beside = folder / path
    if search and not path.is_absolute() and not _exists(beside) and _exists(Path.cwd() / path):
        return str(Path.cwd() / path)
    return str(beside)


def _exists(path: Path) -> bool:
    if any(c in str(path) for c in "*?["):
        anchor = Path(path.anchor)
        return any(True for _ in anchor.glob(str(path.relative_to(anchor))))
    return path.exists()


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a section of keys"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _message(error: ValidationError, source: str) -> str:
    lines: list[str] = []
    for problem in error.errors(include_url=False):
        location = tuple(str(part) for part in problem["loc"])
        line = f"{source}: {_describe(location, problem)}"
        # A union reports each of its branches; one line a key is enough.
        subject = line.partition(" must ")[0]
        if all(subject != known.partition(" must ")[0] for known in lines):
            lines.append(line)
    more = len(lines) - _SHOWN_ERRORS
    return "\n  ".join(lines[:_SHOWN_ERRORS]) + (f"\n  ... and {more} more" if more > 0 else "")


def _describe(location: Path_, problem: Any) -> str:
    key = ".".join(part for part in location if not _is_branch(part))
    kind, context = str(problem["type"]), problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key {key}{_suggest(location)}"
    value = problem.get("input")
    # What was put where the name of a key belongs may be the key itself.
    value_text = "" if key.endswith(("api_key_env", "base_url")) else f", not {_shown(value)}"
    allowed = _ALLOWED.get(kind)
    if allowed is not None:
        return f"{key} must be {allowed.format(**context)}{value_text}"
    if kind == "value_error":
        # Of the whole configuration, a message names its keys itself.
        return f"{key} {context.get('error', problem['msg'])}".lstrip()
    return f"{key} must be valid: {problem['msg']}{value_text}"


def _is_branch(part: str) -> bool:
    """Pydantic adds the branch of a union to a location: `paths.groups.str`, `paths.groups.list[str]`."""
    return part in {"str", "int", "float", "bool", "date", "dict"} or "[" in part


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation speaks of: itself, or what a list of them or an optional one holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner)) is not None), None)


def _suggest(location: Path_) -> str:
    model: type[BaseModel] = MiningConfig
    for part in location[:-1]:
        if part in model.model_fields:  # else the place in a list
            model = _model_in(model.model_fields[part].annotation) or model
    prefix = ".".join(location[:-1])
    aliases = [a[-1] for a in ALIASES if a[:-1] == location[:-1]]
    near = nearest_name(location[-1], [*model.model_fields, *aliases])
    if near:
        return f"; did you mean {f'{prefix}.' if prefix else ''}{near}?"
    # The key may be right and its section wrong.
    elsewhere = [k for k in known_keys() if k.rpartition(".")[2] == location[-1].lower()]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    nearest = nearest_name(".".join(location), known_keys())
    if nearest:
        return f"; did you mean {nearest}?"
    names = ", ".join(model.model_fields)
    return f"; {prefix or 'the top level'} takes {names}"


_ALLOWED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a section of keys",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_too_short": "text of at least {min_length} characters",
    "date_type": "a date such as 2015-01-31",
    "date_parsing": "a date such as 2015-01-31",
}
