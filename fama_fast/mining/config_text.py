"""The settings of a run as a configuration file to fill in: every key with its default and what it means.

What a key means is said once, in the comment beside it in `mining.config`, from where it is read here.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import textwrap
import tokenize
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from fama_fast.mining.config import MiningConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 118
_HEAD = (
    "A configuration of fama-fast: fama-fast mine --config THIS_FILE. Every key has a default, which stands behind its "
    "# here: take the # away to set it. An unknown key is an error with the nearest right one."
)


def config_text(settings: MiningConfig) -> str:
    """YAML with every key of the settings: what is not at its default as it is, the others behind a `#`."""
    return "".join(f"{line}\n" for line in [*_wrapped(_HEAD), "", *_section(settings, MiningConfig(), 0)])


class Key(NamedTuple):
    """One key of a section: its default as YAML has it, the values it may have where they are few, what it means."""

    name: str
    default: str
    choices: tuple[str, ...]
    meaning: str


class Explained(NamedTuple):
    """One section (`run`; the empty name is the keys of none), what it is, and its keys in order."""

    name: str
    about: str
    keys: tuple[Key, ...]


def explained(settings: BaseModel, name: str = "") -> Iterator[Explained]:
    """Every section of the settings with the keys that it has itself, sections within it after it.

    Args:
        settings: the settings, whose values are shown as the defaults.
        name: dotted name of their section.

    Raises:
        ValueError: a key has no comment beside its field, and no line in its model's docstring.
    """
    model = type(settings)
    about, listed = _about(model)
    comments, keys, inner = {**listed, **_comments(model)}, [], []
    for key, field in model.model_fields.items():
        value, dotted = getattr(settings, key), f"{name}.{key}".lstrip(".")
        if isinstance(value, BaseModel):
            inner.append((value, dotted))
            continue
        if not comments.get(key):
            raise ValueError(
                f"{dotted} says nowhere what it means: write a comment beside its field in {model.__name__}"
            )
        keys.append(Key(key, _written(value), _choices(field.annotation), comments[key]))
    yield Explained(name, about, tuple(keys))
    for value, dotted in inner:
        yield from explained(value, dotted)


def _choices(annotation: Any) -> tuple[str, ...]:
    """The texts that a `Literal` within an annotation allows."""
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    return tuple(choice for part in get_args(annotation) for choice in _choices(part))


def _section(given: BaseModel, usual: BaseModel, depth: int) -> Iterator[str]:
    comments, pad = {**_about(type(given))[1], **_comments(type(given))}, "  " * depth
    for name in type(given).model_fields:
        value, default = getattr(given, name), getattr(usual, name)
        if isinstance(value, BaseModel):
            yield ""
            yield from _wrapped(_about(type(value))[0], pad)
            yield f"{pad}{name}:"
            yield from _section(value, default, depth + 1)
            continue
        comment = comments.get(name, "")
        text = f"{pad}{'' if value != default else '# '}{name}: {_written(value)}"
        if comment and len(text) + len(comment) + 4 <= _WIDTH:
            yield f"{text}  # {comment}"
        else:
            yield from _wrapped(comment, pad)
            yield text


def _wrapped(text: str, pad: str = "") -> list[str]:
    return [f"{pad}# {part}" for part in textwrap.wrap(text, _WIDTH - len(pad) - 2, break_on_hyphens=False)]


def _written(value: Any) -> str:
    """A value on one line, as YAML has it."""
    import yaml

    shown = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    if isinstance(shown, list | tuple):
        shown = [v.model_dump(mode="json") if isinstance(v, BaseModel) else v for v in shown]
    text = yaml.safe_dump(shown, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


@cache
def _about(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """What a section is, and of its docstring's list of attributes what each key means."""
    text, _, listed = " ".join((model.__doc__ or "").split()).partition(" Attributes: ")
    names = "|".join(model.model_fields)
    parts = re.split(rf"(?:^|(?<=[.;] ))((?:{names})(?:, (?:{names}))*): ", listed)
    said: dict[str, str] = {}
    for several, meaning in zip(parts[1::2], parts[2::2], strict=True):
        said |= dict.fromkeys(several.split(", "), meaning.strip().rstrip(".;"))
    return text, said


@cache
def _comments(model: type[BaseModel]) -> dict[str, str]:
    """What each key of a section means: the comment on the lines of its field, and on the lines right below."""
    source = textwrap.dedent(inspect.getsource(model))
    (parsed,) = ast.parse(source).body
    assert isinstance(parsed, ast.ClassDef)
    by_line: dict[int, str] = {}
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            by_line[token.start[0]] = token.string
        elif token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            code.add(token.start[0])
    out: dict[str, str] = {}
    for node in parsed.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or node.end_lineno is None:
            continue
        lines = list(range(node.lineno, node.end_lineno + 1))
        while lines[-1] + 1 in by_line and lines[-1] + 1 not in code:
            lines.append(lines[-1] + 1)
        parts = [by_line[line].split("(the paper's name)")[-1].lstrip("# ") for line in lines if line in by_line]
        said = [part for part in parts if not part.startswith(("noqa", "type:"))]
        if said:
            out[node.target.id] = " ".join(said)
    return out
