"""Every block of the README and of docs/ runs, links lead somewhere, and figures that come twice are the same."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from fama_fast import ops
from fama_fast.cli import main
from fama_fast.data import PlantedSignal, SimulationSpec, simulate, to_frame
from fama_fast.lang import DIALECTS
from tests.support.page_blocks import blocks, pages, run_page
from tests.support.paths import MARKET, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
START = dt.date(2025, 12, 1)  # the pages name dates of 2026
KAGGLE = ("date", "open", "high", "low", "close", "volume", "Name")


def kaggle(frame: pl.DataFrame) -> pl.DataFrame:
    """Prices in the columns of `all_stocks_5yr.csv`."""
    return frame.rename({"symbol": "Name"}).select(KAGGLE).sort("Name", "date")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages name: prices in several forms, formulas, and a run."""
    folder = tmp_path_factory.mktemp("pages")
    signal = PlantedSignal("RANK(DELTA(CLOSE, 5)) * -1", 0.25)
    frame = to_frame(simulate(SimulationSpec(n_symbols=30, n_dates=260, seed=1, start=START, signals=(signal,))))
    for name in ("prices", "newer"):
        frame.write_parquet(folder / f"{name}.parquet")
    (folder / "prices").mkdir()
    middle = frame["date"].unique().sort()[130]
    for name, rows in (("a", pl.col("date") < middle), ("b", pl.col("date") >= middle)):
        (folder / "prices" / f"year={name}").mkdir()
        frame.filter(rows).write_parquet(folder / "prices" / f"year={name}" / "part.parquet")
    kaggle(frame).write_csv(folder / "sp500.csv")
    (folder / "factors.txt").write_text("momentum: RANK(TS_RETURNS(CLOSE, 20))\n-RANK(DELTA(CLOSE, 10))\n")
    (folder / "ideas").mkdir()
    shutil.copy(folder / "factors.txt", folder / "ideas" / "first.txt")
    shutil.copytree(ROOT / "prompts", folder / "prompts")
    shutil.copy(ROOT / ".env.example", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = ["mine", "--data", "prices.parquet", "--rounds", "1", "--candidates", "20", "--output", "run.yaml"]
        run += ["--end", "2026-10-01"]
        assert main(run) in (0, 1)
        assert main(["runs", "export", "last", "--output", "all.csv"]) == 0
    (shown,) = (b.text for b in blocks(ROOT / "docs" / "factors.md") if b.language == "yaml")
    for name in ("factors.yaml", "ideas.yaml"):
        (folder / name).write_text(shown, encoding="utf-8")
    return folder


@pytest.fixture
def _clean_registry() -> Iterator[None]:
    before = {s.name for s in ops.specs()}
    yield
    for spec in list(ops.specs()):
        if spec.name not in before:
            ops.unregister(spec.name)


@pytest.mark.usefixtures("_clean_registry")
@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_every_block_runs(
    page: Path, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for n, languages in enumerate(({"python", "yaml"}, {"sh", "bash"})):
        if any(block.language in languages for block in blocks(page)):
            shutil.copytree(workspace, tmp_path / str(n))
            monkeypatch.chdir(tmp_path / str(n))
            run_page(page, languages)
    out, err = capsys.readouterr()
    if page.name == "README.md":
        assert out.rstrip().splitlines()[-1]  # the verdict
    if page.name == "getting-started.md":
        assert "(260, 30)" in out
        assert "did you mean CLOSE?" in err
        assert Path("weights.csv").exists()
    elsewhere = {name for d in DIALECTS.values() for name in (*d.own, *d.operators, *d.refused)}
    for name in re.findall(r"`((?:TS|GROUP)_[A-Z_]+)`", page.read_text(encoding="utf-8")):
        assert ops.find(name) is not None or name in elsewhere or name == "TS_RANGE", name


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as they are made by both GitHub and the site."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", plain, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "page",
    [*pages(), ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))],
    ids=lambda p: p.name,
)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in headings(to.read_text(encoding="utf-8")), f"{page.name}: {target}"


def test_every_page_is_in_the_site() -> None:
    listed = set(re.findall(r"^ +- ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {p.name for p in (ROOT / "docs").glob("*.md")} | {"CONTRIBUTING.md", "CHANGELOG.md", "index.md"}


def test_the_readme_is_short_and_its_pictures_small() -> None:
    assert len(README.splitlines()) < 160
    pictures = re.findall(r"!\[[^\]]+\]\((docs/[\w.]+)\)", README)
    assert len(pictures) == 2
    assert sum((ROOT / p).stat().st_size for p in pictures) < 400_000
    assert max(README.splitlines().index(line) for line in README.splitlines() if "![" in line) < 15


def test_figures_of_the_readme_are_those_of_the_pages() -> None:
    rows = {}
    for text in (README, (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")):
        lines = [line for line in text.splitlines() if line.startswith("|")]
        start = next(i for i, line in enumerate(lines) if "KunQuant" in line)
        heads = [c.strip().removesuffix(", A") for c in lines[start].split("|")[2:-1]]
        for line in lines[start + 2 :]:
            name, *cells = (c.strip() for c in line.split("|")[1:-1])
            if len(cells) != len(heads):
                break
            rows.setdefault(name, []).append(dict(zip(heads, cells, strict=True)))
    both = {name: pair for name, pair in rows.items() if len(pair) == 2}
    assert len(both) == 9
    for name, (short, full) in both.items():
        for peer, figure in short.items():
            assert figure == full.get(peer, ""), (name, peer)
    assert f"**A language** of {len(list(ops.specs()))} operators" in README


def test_the_figures_on_evaluation_are_those_that_were_measured() -> None:
    measured = (ROOT / "docs" / "decisions" / "035-sizes-and-powers.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \|((?: [\d.]+% \|)+)$", page, flags=re.MULTILINE)
    assert len(rows) == 15
    for name, figures in rows:
        assert f"{name} |{figures}" in measured, name


@pytest.mark.market_data
@pytest.mark.skipif(not (MARKET / "sp500_2013_2018.parquet").exists(), reason="no S&P 500 panel here (FAMA_DATA)")
def test_the_s_and_p_500_is_as_large_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    kaggle(pl.read_parquet(MARKET / "sp500_2013_2018.parquet")).write_csv("sp500.csv")
    assert main(["data", "check", "sp500.csv"]) == 0
    out = capsys.readouterr().out
    assert "505 symbols" in out
    assert "1259" in out.replace(",", "")
