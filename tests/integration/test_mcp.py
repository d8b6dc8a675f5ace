"""`fama-fast mcp` with the SDK's own client: in memory, as a process on standard input and output, and over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra `mcp` is not installed")

import anyio
import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from fama_fast.agents.opening import open_session
from fama_fast.agents.server import build_server
from fama_fast.cli import main
from fama_fast.data import PlantedSignal, SimulationSpec, simulate
from fama_fast.ledger.ledger import Ledger
from fama_fast.mining.config_file import config_from_dict
from tests.support.mine import start
from tests.support.paths import ROOT

SIGNAL = "RANK(TS_MEAN(VOLUME, 5) / TS_MEAN(VOLUME, 20)) * -1"
TOOLS = {"describe_data", "list_operators", "check", "score", "study", "propose", "lineage", "report", "verdict"}


async def ask(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The answer of a tool, which must be the same as text and as structure."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content
    return dict(result.structured_content)


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)


def with_client(folder: Path, talk: Callable[[Client], Awaitable[None]], *, signal_ic: float = 0.15) -> None:
    planted = (PlantedSignal(SIGNAL, signal_ic),) if signal_ic else ()
    panel = simulate(SimulationSpec(n_symbols=30, n_dates=260, seed=2, signals=planted))
    config = config_from_dict({"paths": {"output_dir": str(folder)}, "run": {"threads": 1}})

    async def run() -> None:
        async with Client(build_server(session)) as client:
            await talk(client)

    with open_session(config, panel=panel) as session:
        anyio.run(run)


def test_every_tool_answers(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        assert {t.name for t in (await client.list_tools()).tools} == TOOLS
        assert "counted trial" in (client.instructions or "")
        assert (await ask(client, "describe_data"))["symbols"] == 30
        assert "time series" in (await ask(client, "list_operators"))["operators"]
        assert (await ask(client, "list_operators", name="ts_corr"))["name"] == "CORREL"
        assert (await ask(client, "check", expression=SIGNAL))["may_be_scored"]
        scored = await ask(client, "score", expression=SIGNAL, hypothesis="quiet volume")
        assert scored["trial"]["counted_now"]
        assert scored["trial"]["looks"] == 1
        assert (await ask(client, "study", expression=SIGNAL))["study"]["valid"]["turnover"] > 0.0
        assert (await ask(client, "propose", expression=SIGNAL))["admission"]["state"] == "admitted"
        assert (await ask(client, "lineage", factor="best"))["path"][0]["factor"] == scored["factor"]
        assert (await ask(client, "report"))["looks"] == 1
        end = await ask(client, "verdict")
        assert end["test_opened"]
        assert end["factors"][0]["holds"]
        assert (await ask(client, "report"))["verdict"]["headline"] == end["headline"]

    with_client(tmp_path, talk)


def test_the_page_has_every_tool() -> None:
    page = (ROOT / "docs" / "llm.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) >= TOOLS


def test_what_is_wrong_is_a_tool_error_in_the_language_s_own_words(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        assert "did you mean CLOSE?" in await refused(client, "score", expression="RANK(CLOZE)")
        assert "      ^^^^^" in await refused(client, "check", expression="RANK(CLOZE)")
        assert "price_level" in await refused(client, "propose", expression="CLOSE")
        assert "did you mean CLOSE?" in await refused(
            client, "score", expression="RANK(DELTA(VOLUME, 3))", parents=["CLOZE"]
        )
        assert "has admitted no factor yet" in await refused(client, "lineage", factor="best")
        assert "nothing was scored" in await refused(client, "verdict")
        assert "expression" in await refused(client, "score")
        assert (await ask(client, "report"))["looks"] == 0

    with_client(tmp_path, talk)


def test_a_fault_of_the_server_shows_the_agent_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from fama_fast.agents import describing

    def broken(*_: Any) -> Any:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(describing, "check", broken)

    async def talk(client: Client) -> None:
        assert "secret" not in await refused(client, "check", expression="CLOSE")

    with_client(tmp_path, talk)


def test_calls_at_once_are_each_counted(tmp_path: Path) -> None:
    formulas = [f"RANK(DELTA(VOLUME, {d}))" for d in range(1, 9)]

    async def talk(client: Client) -> None:
        async with anyio.create_task_group() as together:
            for formula in (*formulas, *formulas):
                together.start_soon(lambda text: ask(client, "score", expression=text), formula)
        assert (await ask(client, "report"))["looks"] == len(formulas)

    with_client(tmp_path, talk)


CONFIG = """
data: {simulator: {symbols: 24, dates: 260, seed: 3, signals: []}}
run: {threads: 1}
"""


def parameters(folder: Path, *more: str) -> StdioServerParameters:
    (folder / "run.yaml").write_text(CONFIG, encoding="utf-8")
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "fama_fast", "mcp", "--config", "run.yaml", *more],
        env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))},
        cwd=folder,
    )


def only_run(folder: Path) -> Any:
    with Ledger.open(folder / "runs" / "ledger.sqlite", create=False) as ledger:
        (run,) = ledger.list_runs()
        return run


def test_a_killed_server_has_lost_nothing_that_it_said(tmp_path: Path) -> None:
    answers: list[dict[str, Any]] = []

    async def killed() -> None:
        async with Client(parameters(tmp_path), read_timeout_seconds=60) as client:
            answers.append(await ask(client, "score", expression="RANK(DELTA(VOLUME, 3))"))
            answers.append(await ask(client, "score", expression="RANK(DELTA(VOLUME, 5))"))
            os.kill(int(only_run(tmp_path).owner["pid"]), signal.SIGKILL)
            await ask(client, "score", expression="RANK(DELTA(VOLUME, 7))")

    async def again() -> None:
        async with Client(parameters(tmp_path), read_timeout_seconds=60) as client:
            for d, before in zip((3, 5), answers, strict=True):
                now = await ask(client, "score", expression=f"RANK(DELTA(VOLUME, {d}))")
                assert not now["trial"]["counted_now"]
                assert (now["train"], now["valid"]) == (before["train"], before["valid"])
            assert (await ask(client, "score", expression="RANK(DELTA(VOLUME, 7))"))["trial"]["looks"] == 3

    with pytest.raises(BaseException):  # noqa: B017, PT011  (the connection ends under the client)
        anyio.run(killed)
    assert len(answers) == 2
    anyio.run(again)
    assert only_run(tmp_path).status == "interrupted"


def test_it_serves_this_machine_over_http(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    process = start("mcp", "--config", "run.yaml", "--http", "--port", "0", folder=tmp_path)
    try:
        assert process.stderr is not None
        address = ""
        for line in process.stderr:
            found = re.search(r"serving (http://127\.0\.0\.1:\d+/mcp)", line)
            if found:
                address = found[1]
                break

        async def talk() -> None:
            async with Client(address) as client:
                assert (await ask(client, "describe_data"))["symbols"] == 24
                assert (await ask(client, "score", expression="RANK(DELTA(VOLUME, 3))"))["trial"]["looks"] == 1

        anyio.run(talk)
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        foreign = httpx2.post(address, headers={"Host": "example.com"}, json=ping)
        assert foreign.status_code in (403, 421)
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert out == ""
    assert only_run(tmp_path).status == "interrupted"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere.parquet"], "nowhere.parquet"),
        (["--resume", "20200101"], "no run"),
        (["--new", "--resume", "last"], "ask for one of them"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_what_cannot_be_served_is_said_before_serving(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["mcp", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_taken_port_is_an_error_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ledger = str(tmp_path / "l.sqlite")
        assert main(["mcp", "--config", str(tmp_path / "run.yaml"), "--ledger", ledger, "--http", "--port", port]) == 2
    assert "is taken: name another with --port" in capsys.readouterr().err


def test_without_the_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "fama_fast.agents.server", raising=False)
    for name in [n for n in sys.modules if n == "mcp" or n.startswith("mcp.")]:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["mcp"]) == 2
    assert 'pip install "fama_fast[mcp]"' in capsys.readouterr().err
