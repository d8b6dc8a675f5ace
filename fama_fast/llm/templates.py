"""Prompt templates: loads them, checks their placeholders and fills them in.

`{name}` is a placeholder, `{{name}}` is the literal text `{name}`, any other brace is itself, so JSON can
stand in a template as it is. What is filled in is never looked at again: a model's own `{fields}` stays as it
was written. This module knows no operator and no factor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fama_fast.errors import ConfigError, nearest_name
from fama_fast.resources import prompts_dir as packaged_prompts

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MAX_TEMPLATE = 200_000

# What is of one prompt or one round; the system message stays equal.
_CHANGING = frozenset(
    {
        "css_examples",
        "coe_path",
        "avoid",
        "library",
        "results",
        "idea",
        "parents",
        "direction",
        "contradicted",
        "memory",
    }
)
COMMON = frozenset({"constraints", "operators", "fields", "brief", "count"}) | _CHANGING
REQUIRED: dict[str, frozenset[str]] = {
    "system": frozenset({"operators", "fields"}),
    "propose": frozenset({"css_examples", "coe_path", "constraints"}),
    "repair": frozenset({"errors"}),
}
ALLOWED: dict[str, frozenset[str]] = {
    "system": COMMON - _CHANGING,
    "propose": COMMON,
    "repair": COMMON | {"errors"},
}


@dataclass(frozen=True)
class Template:
    """One template; `source` names its file in errors."""

    role: str
    text: str
    source: str

    def __post_init__(self) -> None:
        allowed, required = ALLOWED[self.role], REQUIRED[self.role]
        used = {m[2] for m in _PLACEHOLDER.finditer(self.text) if m[2]}
        for name in sorted(used - allowed):
            near = nearest_name(name, allowed)
            hint = f"; did you mean {{{near}}}?" if near else f"; it may hold {_listed(allowed)}"
            literal = f"(write {{{{{name}}}}} for the literal text)"
            raise ConfigError(f"{self.source}: unknown placeholder {{{name}}}{hint} {literal}")
        for name in sorted(required - used):
            near = nearest_name(name, [m[1] for m in _PLACEHOLDER.finditer(self.text) if m[1]])
            hint = f"; it has {{{{{near}}}}}, which is literal text" if near else ""
            raise ConfigError(f"{self.source}: the placeholder {{{name}}} is missing{hint}")

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with every placeholder replaced once."""

        def one(m: re.Match[str]) -> str:
            return f"{{{m[1]}}}" if m[1] else values[m[2]]

        return _PLACEHOLDER.sub(one, self.text)


@dataclass(frozen=True)
class Templates:
    """The three templates of a dialogue."""

    system: Template
    propose: Template
    repair: Template


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"{{{n}}}" for n in sorted(names))


def _read(role: str, path: Path) -> Template:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MAX_TEMPLATE + 1)
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the template is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path}: the template cannot be read: {error.strerror or error}") from None
    if len(text) > _MAX_TEMPLATE:
        raise ConfigError(f"{path}: the template is longer than {_MAX_TEMPLATE} characters")
    return Template(role, text, str(path))


def load_templates(prompts_dir: str | Path | None = None, instructions_path: str | Path | None = None) -> Templates:
    """The packaged templates, or custom ones over them.

    Args:
        prompts_dir: folder with any of `system.md`, `propose.md`, `repair.md`; those it lacks are the
            packaged ones.
        instructions_path: one file in place of `propose.md`, whichever folder that is from.

    Raises:
        ConfigError: names the file and the placeholder (or the file name) that is wrong, with the nearest
            right one.
    """
    paths = {role: packaged_prompts() / f"{role}.md" for role in REQUIRED}
    if prompts_dir is not None:
        folder = Path(prompts_dir)
        if not folder.is_dir():
            raise ConfigError(f"paths.prompts_dir: {folder} is not a folder")
        own = sorted(p for p in folder.glob("*.md") if p.stem in REQUIRED)
        if not own:
            have = [p.stem for p in sorted(folder.iterdir())]
            near = next((f"; is {s} meant to be {n}.md?" for s in have if (n := nearest_name(s, REQUIRED))), "")
            raise ConfigError(f"paths.prompts_dir: {folder} holds none of system.md, propose.md, repair.md{near}")
        paths.update({p.stem: p for p in own})
    if instructions_path is not None:
        paths["propose"] = Path(instructions_path)
    return Templates(**{role: _read(role, path) for role, path in paths.items()})
