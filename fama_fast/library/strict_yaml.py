"""Strict YAML of plain data: nothing constructed, nothing silently dropped.

Stricter than `yaml.safe_load`: a key given twice is an error, and so is an alias (a small file could
otherwise stand for a huge structure). Floats are written so that they read back bit for bit. It knows nothing
of factors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fama_fast.errors import StoreError

if TYPE_CHECKING:
    import yaml

_LINE_WIDTH = 110
_MOST_DEPTH = 200
_PLAIN = (int, float, bool, type(None))


def plain(value: Any, where: str) -> Any:
    """`value` in terms of dict, list, str, int, float, bool, None: NumPy scalars, dates and tuples become
    plain.

    Raises:
        StoreError: something has no plain form; `where` and the key are named.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        if type(value) is str and value.isascii():
            return value
        # A lone surrogate (half an emoji from a cut answer) is no text and no file could hold it.
        return str(value).encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise StoreError(f"{where}: the key {key!r} is not text")
        return {plain(key, where): v if type(v) in _PLAIN else plain(v, f"{where}.{key}") for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return plain(value.item(), where)
    raise StoreError(f"{where}: a {type(value).__name__} cannot be stored")


def dump(data: Any, *, ascii_only: bool = False) -> str:
    """YAML text of plain data, keys in their order, floats exact, every value written out in full; with `ascii_only`
    letters beyond ASCII are escapes."""
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return str(
        yaml.dump(
            data,
            Dumper=Dumper,
            sort_keys=False,
            allow_unicode=not ascii_only,
            width=_LINE_WIDTH,
            default_flow_style=False,
        )
    )


def load(text: str, source: str) -> Any:
    """The plain data of one YAML document.

    Raises:
        StoreError: not YAML, a repeated key, an alias, or a tag; `source`, line and column are named.
    """
    import yaml

    loader_class: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if _may_be_deep(text) and _depth(text, loader_class) > _MOST_DEPTH:
            raise StoreError(f"{source}: nested more than {_MOST_DEPTH} deep")
        loader = loader_class(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _check_tree(root, source)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise StoreError(f"{_at(source, error.problem_mark)}: {what or 'not valid YAML'}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise StoreError(f"{source}: not valid YAML: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise StoreError(f"{source}: nested too deeply") from None


def _may_be_deep(text: str) -> bool:
    """Whether a document could be deeper than the limit: each level takes a bracket, or a column of a line."""
    return text.count("[") + text.count("{") + max(map(len, text.splitlines()), default=0) > _MOST_DEPTH


def _depth(text: str, loader_class: Any) -> int:
    """Depth of the document, without building it: the C loader ends the process on one that is very deep."""
    import yaml

    deepest = depth = 0
    for event in yaml.parse(text, Loader=loader_class):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        deepest = max(deepest, depth)
        if deepest > _MOST_DEPTH:
            break
    return deepest


def _at(source: str, mark: yaml.Mark | None) -> str:
    return source if mark is None else f"{source}, line {mark.line + 1}, column {mark.column + 1}"


def _check_tree(root: yaml.Node, source: str) -> None:
    import yaml

    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            raise StoreError(f"{_at(source, node.start_mark)}: anchors and aliases are not allowed: write it out")
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            stack.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if key.value in keys if isinstance(key, yaml.ScalarNode) else False:
                    raise StoreError(f"{_at(source, key.start_mark)}: the key {key.value!r} is given twice")
                if isinstance(key, yaml.ScalarNode):
                    keys.add(key.value)
                stack += [key, value]


def as_number(value: Any) -> float | int | None:
    """`value` if it is a number, or the number that a text such as `1e-5` means (YAML 1.1 reads it as text)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return None
        return number if math.isfinite(number) else None
    return None
