"""What the site has beside the files of docs/: the README as its first page, the API reference, the list of decisions.

MkDocs calls these functions (`hooks` in mkdocs.yml). The API reference has a page for each module of docs/api.md, with
its public names; mkdocstrings fills in signatures and docstrings from the source.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = ROOT / "docs" / "decisions"
OUTSIDE = {"index.md": "README.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}

_ROW = re.compile(r"^\| `(fama_fast[\w.]*)` \| (.+) \|$", re.MULTILINE)
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_config(config: Any) -> Any:
    """The pages of folders take the place of `folder/*.md` in the navigation."""
    listed = {
        "decisions/*.md": [
            "decisions/index.md",
            *(f"decisions/{p.name}" for p in sorted(DECISIONS.glob("*.md"))),
        ],
        "reference/*.md": [f"reference/{name}.md" for name in public_modules()],
    }
    for section in config.nav:
        for title, pages in section.items() if isinstance(section, dict) else ():
            if isinstance(pages, str) and pages in listed:
                section[title] = listed[pages]
    return config


def on_files(files: Files, config: Any) -> Files:
    """The pages that are no files of docs/."""
    pages = {name: (ROOT / source).read_text(encoding="utf-8") for name, source in OUTSIDE.items()}
    pages["decisions/index.md"] = decisions_page()
    places: dict[str, str] = {}
    pages |= {f"reference/{name}.md": reference_page(name, names, places) for name, names in public_modules().items()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as the site needs them: no `docs/` before pages of it, and the bare words where a link leaves it."""
    outside = page.file.src_uri in OUTSIDE
    if outside:
        markdown = markdown.replace("](docs/", "](")

    def rewritten(match: re.Match[str]) -> str:
        label, target = match.groups()
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            return match[0]
        path, hash_, anchor = target.partition("#")
        if outside:
            path = (
                path if path in OUTSIDE or path.rstrip("/") == "decisions" or (ROOT / "docs" / path).is_file() else ""
            )
        elif path.startswith("../") and page.file.src_uri.count("/") == 0:
            path = path.removeprefix("../") if path.removeprefix("../") in OUTSIDE else ""
        if path.rstrip("/") == "decisions":
            path = "decisions/index.md"
        return f"[{label}]({path}{hash_}{anchor})" if path else label

    return _LINK.sub(rewritten, markdown)


def public_modules() -> dict[str, list[str]]:
    """The public modules of docs/api.md with their public names, sorted."""
    out = {}
    for module, named in _ROW.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8")):
        every = importlib.import_module(module).__all__ if named == "`__all__`" else re.findall(r"`(\w+)`", named)
        out[module] = sorted((name for name in every if not name.startswith("__")), key=str.lower)
    return out


def reference_page(module: str, names: list[str], places: dict[str, str]) -> str:
    """A page of the reference: each name from where it is defined, once.

    Args:
        places: page of each name that has one; those of this page join it. What has one is linked to.
    """
    home = importlib.import_module(module)
    about = (home.__doc__ or "").strip().split("\n\n")[0]
    parts = [f"# {module}", about]
    for name in names:
        value = getattr(home, name)
        origin = getattr(value, "__module__", None)
        if isinstance(origin, str) and origin.startswith("fama_fast") and hasattr(value, "__qualname__"):
            full = f"{origin}.{value.__qualname__}"
            if full in places:
                parts.append(f"## {name}\n\n[`{full}`]({places[full]}#{full})")
                continue
            places[full] = f"{module}.md"
            parts.append(f"::: {full}")
        else:
            parts.append(f"## {name}\n\n`{name}` is a value of type `{type(value).__name__}`.")
    return "\n\n".join(parts) + "\n"


def decisions_page() -> str:
    """All decisions, by number, with their titles."""
    lines = ["# Decisions", "", "What was tried and measured, with the figures that decided.", ""]
    for path in sorted(DECISIONS.glob("*.md")):
        title = path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")
        lines.append(f"- [{path.name.partition('-')[0]}: {title}]({path.name})")
    return "\n".join(lines) + "\n"
