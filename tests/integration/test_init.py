"""`fama-fast init` makes a folder whose configuration says what every key means, and runs as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from fama_fast.cli import main
from fama_fast.mining.config import MiningConfig
from fama_fast.mining.config_file import config_from_dict, load_config
from fama_fast.mining.config_text import config_text
from tests.support.paths import ROOT


def keys_of(model: type[BaseModel], before: str = "") -> list[str]:
    """Every key, dotted."""
    out = []
    for name, field in model.model_fields.items():
        inside = isinstance(field.default, BaseModel)
        out += keys_of(type(field.default), f"{before}{name}.") if inside else [before + name]
    return out


def test_every_key_is_there_and_all_of_them_set_are_the_same_settings() -> None:
    text = config_text(MiningConfig())
    assert max(map(len, text.splitlines())) <= 120
    assert config_from_dict(yaml.safe_load(text)) == MiningConfig()
    # Every key with the # in front of it taken away.
    names = "|".join({key.rpartition(".")[2] for key in keys_of(MiningConfig)})
    bare = re.sub(rf"^( *)# ((?:{names}): .*)$", r"\1\2", text, flags=re.MULTILINE)
    read = yaml.safe_load(bare)
    found = config_from_dict(read).model_dump()
    found["paths"]["output_dir"] = "runs"  # resolved, as every path that is given
    assert found == MiningConfig().model_dump()
    for key in keys_of(MiningConfig):
        part: Any = read
        for name in key.split("."):
            assert name in part, key
            part = part[name]
    assert "# clusters of Cross-Sample Selection" in text
    assert "noqa" not in text


def test_what_is_set_stands_without_a_sign() -> None:
    given = config_from_dict({"run": {"seed": 4}, "splits": {"fractions": [0.5, 0.25, 0.25]}, "objective": "net"})
    text = config_text(given)
    assert "\n  seed: 4  # of every random choice" in text
    assert "\n  # rounds: 3" in text
    assert config_from_dict(yaml.safe_load(text)) == given


def test_sections_without_keys_are_at_their_defaults() -> None:
    assert config_from_dict({"run": None, "data": {"simulator": None}}) == MiningConfig()


def test_a_folder_to_begin_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "new" / "folder"
    assert main(["init", str(place), "--data", "prices.parquet"]) == 0
    out, err = capsys.readouterr()
    assert f"fama-fast mine --config {place / 'fama.yaml'}" in out
    assert err.count("wrote") == 3
    assert (place / "data").is_dir()
    assert (place / "runs").is_dir()
    assert (place / ".env.example").read_text() == (ROOT / ".env.example").read_text()
    assert ".env\n" in (place / ".gitignore").read_text()
    found = load_config(place / "fama.yaml", {})
    assert str(found.paths.market_data).endswith("prices.parquet")
    (place / "fama.yaml").write_text("run: {seed: 3}\n")
    (place / ".env.example").unlink()
    assert main(["init", str(place)]) == 0
    assert "fama.yaml is there already: left as it is" in capsys.readouterr().err
    assert (place / "fama.yaml").read_text() == "run: {seed: 3}\n"
    assert (place / ".env.example").exists()
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "below")]) == 2
    assert "cannot make" in capsys.readouterr().err


def test_without_anything_set_it_mines_the_simulated_market(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert main(["mine", "--config", "fama.yaml", "--rounds", "1", "--candidates", "5", "-q"]) in (0, 1)
    assert (tmp_path / "runs" / "ledger.sqlite").exists()
    assert "simulat" in capsys.readouterr().out
