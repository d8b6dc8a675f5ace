"""docs/settings.md has every key of a configuration, with its default and what it means."""

from __future__ import annotations

import re

import pytest
import yaml

from fama_fast.cli import docs
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import config_from_dict
from fama_fast.mining.config_section import Section
from fama_fast.mining.config_text import explained
from fama_fast.proposals.setting_roles import settings
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def tables() -> dict[str, list[list[str]]]:
    """The rows of each section's table."""
    out: dict[str, list[list[str]]] = {}
    for heading, rest in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL):
        rows = [line for line in rest.splitlines() if line.startswith("| `")]
        out[heading.strip("`")] = [[c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return out


def test_every_key_is_there_with_its_default_and_a_meaning() -> None:
    found = {}
    for section, rows in tables().items():
        before = "" if section == "Without a section" else f"{section}."
        for key, default, meaning in rows:
            assert len(meaning) > 7, key
            assert "<" not in meaning, key
            found[before + key.strip("`")] = default.strip("`")
    assert sorted(found) == sorted(key for key, _ in settings(MiningConfig))
    assert found["run.rounds"] == "3"
    assert found["llm.api_key_env"] == "LLM_API_KEY"
    for key, default in found.items():
        value = value_of(key)
        written = yaml.safe_load(default)
        assert written == (list(value) if isinstance(value, tuple) else value), key


def value_of(key: str) -> object:
    value: object = MiningConfig()
    for name in key.split("."):
        value = getattr(value, name)
    return value


def test_the_example_is_read() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    config = config_from_dict(yaml.safe_load(example), source="settings.md")
    assert config.run.rounds == 10
    assert config.proposer == "evolve"


def test_few_values_are_listed() -> None:
    assert "Values: `refuse`, `allow` |" in PAGE
    assert "Values: `random`, `centroid` |" in PAGE


def test_a_key_without_a_meaning_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Bare(Section):
        """A section."""

        told: int = 1  # what it is
        untold: int = 2

    with pytest.raises(ValueError, match=r"run\.untold says nowhere what it means"):
        list(explained(Bare(), "run"))

    def pages(root: object) -> None:
        list(explained(Bare(), "run"))

    monkeypatch.setattr(docs, "pages", pages)
    assert docs.main(["--check"]) == 1
    assert "write a comment beside its field in Bare" in capsys.readouterr().err
