"""The client's side of a cluster: a pool of workers that run tasks, also when workers are lost.

`WorkerPool.map` hands out a window of tasks, collects results by number, and
1. asks workers that it has not met for their installation, and leaves out those that do not fit, by name;
2. gives a task that was lost with its worker to another, `retries` times;
3. takes tasks back from workers that are all gone, so that nothing waits for the dead;
4. ends with one message when the scheduler is lost, or when no worker fits.
"""

from __future__ import annotations

import logging
import queue
import time
import uuid
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from fama_fast.cluster import identity
from fama_fast.cluster.address import Address, read_address
from fama_fast.cluster.worker import Done, Kept, Refused, perform
from fama_fast.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fama_fast.cluster.identity import Installation
    from fama_fast.cluster.worker import Builder

WINDOW = 2  # tasks a thread that are handed out: the next one is there when one ends
_LOOK = 0.5  # seconds of silence after which the workers are looked at
_FETCH = 20.0  # seconds in which a result must arrive that a worker says it has
_GLANCE = 5.0  # and at least this often while tasks end
_SHOWN = 3


@dataclass
class Tally:
    """Counts of what a pool has done so far, for measurements and reports.

    Attributes:
        tasks: that ended. lost: handed out again because their worker was gone. computing, building: seconds on
            workers. refused: workers left out, with the reason.
    """

    tasks: int = 0
    lost: int = 0
    computing: float = 0.0
    building: float = 0.0
    refused: dict[str, str] = field(default_factory=dict)


@contextmanager
def open_pool(
    address: str | Address,
    *,
    memory_limit: int | None = None,
    retries: int = 3,
    wait: float = 60.0,
    note: Callable[[str], None] | None = None,
) -> Iterator[WorkerPool]:
    """Open a pool over the cluster at an address; a local one lives as long as the block.

    Args:
        address: "tcp://host:port" of a scheduler, or "local:N". memory_limit: bytes of each local worker.
        retries: workers that one task may lose. wait: seconds to wait for a worker that fits.
        note: is called for workers that are refused.

    Raises:
        ConfigError: no such address, or Dask distributed is not installed. ClusterError: nobody answers there.
    """
    where = read_address(address) if isinstance(address, str) else address
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError('a cluster needs Dask distributed: pip install "fama_fast[cluster]"') from error
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        url, mend = where.url, None
        if url is None:
            from fama_fast.cluster.local import revive, start_local

            cluster = stack.enter_context(start_local(where.local, memory_limit=memory_limit, losses=retries))
            url, mend = cluster.scheduler_address, partial(revive, cluster)
        try:
            client = Client(  # type: ignore[no-untyped-call]
                url, timeout=min(wait, 10.0), set_as_default=False, name="fama-fast"
            )
        except (OSError, TimeoutError) as error:
            raise ClusterError(f"no Dask scheduler answers at {url}: {_first_line(error)}") from error
        stack.callback(_close, client)
        yield WorkerPool(client, where, retries=retries, wait=wait, note=note, mend=mend)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Dask's logs of lost connections, which the error that ends the run reports once."""
    known = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in ("distributed", "tornado")]
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio", *known)]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _close(client: Any) -> None:
    from contextlib import suppress

    with suppress(OSError, TimeoutError):
        client.close(timeout=2)


class WorkerPool:
    """Workers of one cluster. Make one with `open_pool`.

    Attributes:
        client: the Dask client. local: workers are processes of this machine. tally: what was done.
        fit: threads of each worker that may take part, by address.
    """

    def __init__(
        self,
        client: Any,
        where: Address,
        *,
        retries: int,
        wait: float,
        note: Callable[[str], None] | None,
        mend: Callable[[], None] | None = None,
    ) -> None:
        self.client, self.where = client, where
        self.retries, self.wait = retries, wait
        self.local = where.url is None
        self.tally = Tally()
        self._mend = mend or (lambda: None)  # starts workers that are missing, where that is ours to do
        self._note = note or (lambda _text: None)
        self._ours: Installation = identity.installed()
        self._met: set[str] = set()
        self.looked = 0.0
        self.fit: dict[str, int] = {}  # threads by address

    def kept(self, key: str, build: Builder) -> Kept:
        """The `Kept` of what tasks are to work with; equal keys must mean equal things."""
        return Kept(key, build, self._ours)

    @property
    def threads(self) -> int:
        """Threads of all workers that fit, as last seen; waits for the first one.

        Raises:
            ClusterError: none came in time.
        """
        self.wait_for_worker()
        return sum(self.fit.values())

    def map(
        self,
        kept: Kept,
        work: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        describe: Callable[[tuple[Any, ...]], str] = repr,
    ) -> list[Any]:
        """`[work(what is kept, *task) for task in tasks]`, on the workers.

        Args:
            work: a function of a module that workers have. describe: what to call a task in a message.

        Raises:
            ClusterError: the scheduler is lost, no worker fits, or a task was lost with more workers than allowed.
            Exception: what `work` raises.
        """
        return _Run(self, kept, work, tasks, describe).results()

    def refuse(self, worker: str, reason: str) -> None:
        """Exclude a worker from now on."""
        self.fit.pop(worker, None)
        if worker not in self.tally.refused:
            self.tally.refused[worker] = reason
            self._note(f"worker {worker} is refused: {reason}")

    def restriction(self) -> list[str] | None:
        """The workers that may run a task: None for all, as long as none was refused."""
        return list(self.fit) if self.tally.refused else None

    def wait_for_worker(self) -> None:
        """Wait until a worker fits.

        Raises:
            ClusterError: none did in time.
        """
        deadline = time.monotonic() + self.wait
        while not self.fit:
            self.look()
            if self.fit:
                return
            if time.monotonic() > deadline or (self.tally.refused and self.local):
                raise ClusterError(self._nobody())
            time.sleep(min(0.2, self.wait))

    def _nobody(self) -> str:
        refused = self.tally.refused
        if not refused:
            return f"the cluster at {self.where} has no worker (waited {self.wait:g} s)"
        shown = [f"{name}: {why}" for name, why in list(refused.items())[:_SHOWN]]
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        return f"no worker of the cluster at {self.where} can take part; {'; '.join(shown)}{more}"

    def look(self) -> None:
        """Update the list of workers: the gone are removed, new ones are asked for their installation."""
        import cloudpickle

        self.looked = time.monotonic()
        self._mend()
        present = {address: int(about["nthreads"]) for address, about in self._workers().items()}
        self.fit = {a: n for a, n in present.items() if a in self._met and a not in self.tally.refused}
        newcomers = [a for a in present if a not in self._met]
        if not newcomers:
            return
        # By value: a worker without the package must be able to say so.
        cloudpickle.register_pickle_by_value(identity)
        try:
            answers = self.client.run(identity.installed, workers=newcomers, on_error="return")
        finally:
            cloudpickle.unregister_pickle_by_value(identity)
        for address, answer in answers.items():
            if isinstance(answer, OSError):
                continue  # gone already
            self._met.add(address)
            reason = str(answer) if isinstance(answer, BaseException) else identity.unlike(answer, self._ours)
            if reason is None:
                self.fit[address] = present[address]
            else:
                self.refuse(address, reason)

    def _workers(self) -> dict[str, Any]:
        if self.client.status != "running":
            raise ClusterError(self.lost())
        try:
            workers: dict[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TimeoutError) as error:
            raise ClusterError(self.lost()) from error
        return workers

    def lost(self) -> str:
        """The error message where the scheduler is gone."""
        return f"the connection to the Dask scheduler of {self.where} is lost"


class _Run:
    """One call of `WorkerPool.map`."""

    def __init__(
        self,
        pool: WorkerPool,
        kept: Kept,
        work: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        describe: Callable[[tuple[Any, ...]], str],
    ) -> None:
        self.pool, self.kept, self.work, self.tasks, self.describe = pool, kept, work, tasks, describe
        self.prefix = f"fama-fast-{uuid.uuid4().hex[:12]}"
        self.found: dict[int, Any] = {}
        self.waiting = deque(range(len(tasks)))
        self.running: dict[int, tuple[Any, frozenset[str] | None]] = {}
        self.lost = [0] * len(tasks)
        self.submitted = 0
        self.ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    def results(self) -> list[Any]:
        if not self.tasks:
            return []
        pool = self.pool
        pool.look()
        pool.wait_for_worker()
        try:
            while len(self.found) < len(self.tasks):
                self._hand_out()
                self._collect()
        finally:
            leftover = [future for future, _ in self.running.values()]
            if leftover and pool.client.status == "running":
                pool.client.cancel(leftover)
        return [self.found[i] for i in range(len(self.tasks))]

    def _hand_out(self) -> None:
        pool = self.pool
        window = WINDOW * pool.threads
        while self.waiting and len(self.running) < window:
            number = self.waiting.popleft()
            allowed = pool.restriction()
            self.submitted += 1
            future = pool.client.submit(
                perform,
                self.kept,
                self.work,
                self.tasks[number],
                key=f"{self.prefix}-{number}-{self.submitted}",
                workers=allowed,
                pure=False,
                retries=0,
            )
            self.running[number] = future, None if allowed is None else frozenset(allowed)
            future.add_done_callback(lambda ended, number=number: self.ended.put((number, ended)))

    def _collect(self) -> None:
        try:
            batch = [self.ended.get(timeout=_LOOK)]
        except queue.Empty:
            self._look()
            return
        while not self.ended.empty():
            batch.append(self.ended.get_nowait())
        if time.monotonic() - self.pool.looked > _GLANCE:
            self.pool.look()  # newcomers widen the window
        held = [(n, f) for n, f in batch if n in self.running and self.running[n][0] is f]
        for number, _ in held:
            del self.running[number]
        for number, future in held:
            self._take(number, future)

    def _look(self) -> None:
        """After a while without results: update the workers, and take tasks back that only gone ones may run."""
        pool = self.pool
        pool.look()
        if not pool.fit:
            pool.wait_for_worker()
        for number, (future, allowed) in list(self.running.items()):
            if allowed is not None and not allowed & pool.fit.keys():
                del self.running[number]
                future.cancel()
                self._again(number)

    def _again(self, number: int) -> None:
        self.pool.tally.lost += 1
        self.waiting.appendleft(number)

    def _take(self, number: int, future: Any) -> None:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        pool = self.pool
        if future.status == "cancelled" or pool.client.status != "running":
            raise ClusterError(pool.lost())
        try:
            answer = future.result(timeout=_FETCH)
        except KilledWorker as error:
            # Dask counts a worker's end against all tasks that it held, so some of them did not cause it.
            self.lost[number] += error.allowed_failures + 1
            if self.lost[number] > pool.retries:
                raise ClusterError(
                    f"{self.describe(self.tasks[number])}: {self.lost[number]} workers died one after another while "
                    "they held this task; too little memory is the usual cause (see the workers' logs)"
                ) from None
            self._again(number)
            return
        except CancelledError:
            raise ClusterError(pool.lost()) from None
        except OSError as error:  # a TimeoutError is one
            if pool.client.status != "running":
                raise ClusterError(pool.lost()) from error
            if future.status == "error":
                raise  # from the task itself
            # The worker is gone with its result, and nobody is there to make it again.
            self._look()
            future.cancel()
            self._again(number)
            return
        except (ImportError, AttributeError):
            # A worker that came in between may lack the package.
            known = len(pool.tally.refused)
            pool.look()
            if len(pool.tally.refused) == known:
                raise
            self._again(number)
            return
        if isinstance(answer, Refused):
            pool.refuse(answer.worker, answer.reason)
            pool.wait_for_worker()
            self.waiting.appendleft(number)
            return
        assert isinstance(answer, Done)
        self.found[number] = answer.value
        pool.tally.tasks += 1
        pool.tally.computing += answer.seconds
        pool.tally.building += answer.building


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
