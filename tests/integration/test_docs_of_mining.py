"""docs/mining.md, llm.md and factors.md say what the code does: keys, gates, placeholders, files, examples."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from pydantic import ValidationError

from fama_fast.cli import main
from fama_fast.llm.keys import load_key
from fama_fast.llm.settings import LLMSettings
from fama_fast.llm.templates import ALLOWED, REQUIRED, load_templates
from fama_fast.mining.coe.book import Outcome
from fama_fast.mining.config_file import SECTIONS, config_from_dict, known_keys
from fama_fast.mining.library.gates import GATES
from fama_fast.mining.proposers.registry import PROPOSERS
from fama_fast.mining.run.starting import starting_library
from tests.support.paths import ROOT

PAGES = ("mining.md", "llm.md", "factors.md")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first heading is `first`."""
    lines = text.split(f"| {first} |")[1].split("\n")[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))])
    return rows


def configurations(name: str) -> list[dict[str, Any]]:
    blocks = [yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", page(name), flags=re.DOTALL)]
    return [b for b in blocks if "factors" not in b]


@pytest.mark.parametrize("name", PAGES)
def test_every_key_that_is_spoken_of_is_one(name: str) -> None:
    sections = "|".join(SECTIONS)
    spoken = set(re.findall(rf"`((?:{sections})\.[a-z_]+(?:\.[a-z_]+)?)", page(name)))
    spoken.discard("run.yaml")  # a file
    assert spoken
    assert spoken <= set(known_keys())


def test_the_gates_are_the_gates() -> None:
    rows = table(page("mining.md"), "gate")
    assert [row[0].strip("`") for row in rows] == [gate.name for gate in GATES]
    for row in rows:
        keys = re.findall(r"`([a-z_.]+)`", row[2])
        assert set(keys) <= set(known_keys()), row
    moved = {key for row in rows for key in re.findall(r"`(gates\.[a-z_]+)`", row[2])}
    assert moved == {key for key in known_keys() if key.startswith("gates.")}


def test_what_happens_to_chains_and_who_proposes() -> None:
    text = page("mining.md")
    outcomes = {row[0].strip("*") for row in table(text, "what happens")}
    assert outcomes == {outcome.value for outcome in Outcome} - {"unchanged"}
    assert {name for name in PROPOSERS if f"`{name}`" in text} == set(PROPOSERS)


def test_the_placeholders_are_the_placeholders() -> None:
    found = {}
    for name, _, where in table(page("llm.md"), "placeholder"):
        roles = set(ALLOWED) if where.startswith("all") else {r for r in ALLOWED if r in where}
        needed = {r for r in ALLOWED if re.search(rf"{r}(\.md)?`? (\()?needs it|all; `{r}\.md` needs", where)}
        found[name.strip("`{}")] = (roles, needed)
    expected = {
        name: (
            {role for role, allowed in ALLOWED.items() if name in allowed},
            {role for role, required in REQUIRED.items() if name in required},
        )
        for name in set().union(*ALLOWED.values())
    }
    assert found == expected


def test_every_server_and_constraint_of_the_tables_is_accepted() -> None:
    rows = table(page("llm.md"), "server")
    assert len(rows) == 8
    for _, settings in rows:
        LLMSettings.model_validate(yaml.safe_load(settings.strip("`")))
    for name, _ in table(page("llm.md"), "`constraint`"):
        assert LLMSettings(constraint=name.strip("`")).wanted_constraint == name.strip("`")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mining.md", "llm.md"])
def test_every_configuration_is_read(name: str) -> None:
    found = configurations(name)
    assert found
    for settings in found:
        config_from_dict(settings, source=name)


def test_a_copied_template_is_what_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "prompts", tmp_path / "prompts")
    (settings,) = [c for c in configurations("llm.md") if "prompts_dir" in c.get("paths", {})]
    lines = re.search(r"```sh\n(mkdir my_prompts\n.*?)```", page("llm.md"), flags=re.DOTALL)
    assert lines is not None
    (folder, copied), target = re.findall(r"^(?:mkdir|cp) (\S+)", lines[1], flags=re.MULTILINE), "my_prompts"
    assert folder == target == settings["paths"]["prompts_dir"]
    (tmp_path / folder).mkdir()
    own = tmp_path / folder / Path(copied).name
    shutil.copy(tmp_path / copied, own)
    own.write_text(own.read_text(encoding="utf-8") + "\nWrite in the manner of {{fields}}.", encoding="utf-8")
    settings |= {"data": {"simulator": {"symbols": 30, "dates": 300}}, "run": {"candidates": 4}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert main(["prompt", "--config", "run.yaml"]) == 0
    assert "Write in the manner of {fields}." in capsys.readouterr().out
    own.write_text("Alphas: {css_examples} {coe_path} {constraint}", encoding="utf-8")
    assert main(["prompt", "--config", "run.yaml"]) == 2
    assert "unknown placeholder {constraint}; did you mean {constraints}?" in capsys.readouterr().err
    assert load_templates(None).propose.source.endswith("propose.md")


def test_the_factor_set_that_is_shown_is_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", page("factors.md"), flags=re.DOTALL)
    (tmp_path / "ideas.yaml").write_text(text, encoding="utf-8")
    found = starting_library(None, str(tmp_path / "ideas.yaml")).factors
    assert [f.canonical for f in found] == [
        "-RANK(DELTA(CLOSE, 5) / DELAY(CLOSE, 5))",
        "TS_MEAN(CLOSE, 5, min_periods=1) / CLOSE",
    ]
    assert found[1].provenance["dialect"] == "qlib"


def test_the_endings_of_a_folder_are_those_that_are_read() -> None:
    from fama_fast.mining.run.starting import ENDINGS

    (said,) = re.findall(r"Of a folder the files (.*?) are read", page("factors.md"), flags=re.DOTALL)
    assert sorted(re.findall(r"`(\.\w+)`", said)) == sorted(ENDINGS)


def test_the_example_of_keys_holds_none_and_names_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    assert dotenv_values(tmp_path / ".env") == {"LLM_API_KEY": ""}
    names = re.findall(r"^#? ?([A-Z_]+)=(.*)$", text, flags=re.MULTILINE)
    assert len(names) >= 4
    monkeypatch.delenv("LLM_API_KEY", raising=False)
    for name, value in names:
        assert not value
        assert LLMSettings(api_key_env=name).api_key_env == name
    filled = text.replace("LLM_API_KEY=\n", "LLM_API_KEY=a-key-of-mine\n")
    (tmp_path / ".env").write_text(filled, encoding="utf-8")
    assert load_key(LLMSettings(model="m"), directory=tmp_path).reveal() == "a-key-of-mine"
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split("\n")
    assert ".env" in ignored


def test_a_key_in_a_configuration_is_refused() -> None:
    for wrong in ({"api_key": "sk-1"}, {"api_key_env": "sk-live-0123"}, {"headers": {"authorization": "Bearer x"}}):
        with pytest.raises(ValidationError):
            LLMSettings.model_validate(wrong)
