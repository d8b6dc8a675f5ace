"""A session over the Model Context Protocol: its tools, over standard input and output or HTTP on this machine.

    serve_stdio(session)            # what a desktop client or an agent's harness starts
    serve_http(session, 8643, print)  # http://127.0.0.1:8643/mcp

Errors of this package reach the agent as tool errors in their own words; anything else is a fault of the server and is
not shown to it.
"""

from __future__ import annotations

import errno
import functools
import socket
from typing import TYPE_CHECKING, Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from fama_fast._version import __version__
from fama_fast.agents import describing, reporting
from fama_fast.agents.studying import Studies
from fama_fast.errors import FamaError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fama_fast.agents.session import AgentSession

NAME = "fama-fast"
HOST = "127.0.0.1"

Expression = Annotated[str, Field(description="A formula, such as RANK(DELTA(CLOSE, 5) / DELAY(CLOSE, 5)) * -1")]
Hypothesis = Annotated[str, Field(description="Why it should predict, in a sentence; kept with the factor")]
Parents = Annotated[
    list[str] | None, Field(description="Formulas or fingerprints that it was built on, for the lineage")
]

INSTRUCTIONS = """\
Search for formulas that rank tomorrow's returns across symbols. Begin with describe_data and list_operators.

The data are split by date into training, validation and test. score measures a formula on training and validation.
Every different formula that is scored is a counted trial, for good: the more are tried, the larger the t that a formula
needs on validation (valid_t_needed), and family_wise_p says what is left of its significance after all looks. So think
first, score few, and give a hypothesis. check costs nothing.

propose takes a formula through all gates into the library, where the factors of the verdict come from. verdict ends the
session: it compares with random formulas, and opens the test split once if something holds. No other tool can see the
test. A formula built from what validation said of others fits validation better than its figures tell; only the test
is fresh."""


def build_server(session: AgentSession) -> MCPServer[Any]:
    """The server of a session, with every tool."""
    server: MCPServer[Any] = MCPServer(NAME, version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")
    studies = Studies(session)
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    counts = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    ends = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False)

    def tool(annotations: ToolAnnotations) -> Callable[[Callable[..., dict[str, Any]]], None]:
        def add(call: Callable[..., dict[str, Any]]) -> None:
            server.add_tool(_in_words(call), annotations=annotations)

        return add

    @tool(reads)
    def describe_data() -> dict[str, Any]:
        """What the market data are: dates, symbols, fields, splits, target, objective, gates, limits, looks so far."""
        return describing.data_description(session)

    @tool(reads)
    def list_operators(
        name: Annotated[str, Field(description="One operator in full; all by family when empty")] = "",
    ) -> dict[str, Any]:
        """The operators that a formula may use, or one of them in full."""
        return describing.operator_description(name) if name else describing.operator_list(session)

    @tool(reads)
    def check(expression: Expression) -> dict[str, Any]:
        """Read a formula without measuring it: canonical form, history, size, unit, warnings. Costs no trial."""
        return describing.check(session, expression)

    @tool(counts)
    def score(expression: Expression, hypothesis: Hypothesis = "", parents: Parents = None) -> dict[str, Any]:
        """Measure a formula on training and validation. A counted trial, unless it was scored before."""
        return session.score(expression, hypothesis=hypothesis, parents=parents or ())

    @tool(counts)
    def study(expression: Expression) -> dict[str, Any]:
        """A formula by year, sector, liquidity, horizon, bucket, with decay, turnover and portfolios. Scores it first,
        as a counted trial, unless it was scored before."""
        return studies.of(expression)

    @tool(counts)
    def propose(
        expression: Expression,
        hypothesis: Hypothesis = "",
        explanation: Annotated[str, Field(description="How the formula says what the hypothesis says")] = "",
        parents: Parents = None,
    ) -> dict[str, Any]:
        """Propose a formula for admission to the library: all gates of a mining run. Scores it first, as a counted
        trial, unless it was scored before."""
        return session.propose(expression, hypothesis=hypothesis, explanation=explanation, parents=parents or ())

    @tool(reads)
    def lineage(
        factor: Annotated[str, Field(description='Formula, beginning of a fingerprint, or "best"')],
    ) -> dict[str, Any]:
        """What a factor of this session was built on, back to the start."""
        return reporting.lineage(session, factor)

    @tool(reads)
    def report() -> dict[str, Any]:
        """The session so far: looks, what the gates stopped, admitted factors, best trials, verdict if there is one."""
        return reporting.report(session)

    @tool(ends)
    def verdict() -> dict[str, Any]:
        """End the session as a mining run ends: choose the short list, compare with random formulas, and open the test
        split once if something holds. It takes a while."""
        return reporting.verdict_answer(session, session.verdict())

    return server


def _in_words(call: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The tool with errors of this package as tool errors."""

    @functools.wraps(call)
    def told(*args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return call(*args, **kwargs)
        except FamaError as error:
            raise ToolError(str(error)) from error

    return told


def serve_stdio(session: AgentSession) -> None:
    """Serve until the client closes standard input."""
    build_server(session).run("stdio")


def serve_http(session: AgentSession, port: int, ready: Callable[[str], None]) -> None:
    """Serve this machine, and no other, until the process is stopped.

    Args:
        port: 0 takes a free one. ready: is told the address once it can be reached.

    Raises:
        OutputError: the port is taken or not allowed.
    """
    import anyio
    import uvicorn

    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        why = "is taken: name another with --port (0: any free)" if error.errno == errno.EADDRINUSE else error.strerror
        raise OutputError(f"cannot serve on port {port} of {HOST}: it {why}") from error
    with listening:
        app = build_server(session).streamable_http_app(host=HOST)  # which refuses other hosts' names and origins
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        ready(f"http://{HOST}:{listening.getsockname()[1]}/mcp")
        anyio.run(lambda: server.serve(sockets=[listening]))
