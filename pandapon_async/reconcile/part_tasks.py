"""The task of a worker for one part: look it up, report the progress, return plain results.

An exception that crosses machines takes its frames along and needs its class on the other side. So a task
never raises: it returns the result of the part, or a `PartFailure` of plain texts. Engines do not interrupt a
thread, so a worker keeps a list of its running parts and can be asked to stop them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from pandapon_async.accounts import Accounts
from pandapon_async.client import Client
from pandapon_async.clock import Clock
from pandapon_async.core.json_values import Result
from pandapon_async.errors import ErrorKind, PandaponError, error_kind_of
from pandapon_async.progress import Counts, Progress
from pandapon_async.reconcile.options import Options
from pandapon_async.reconcile.part_runs import PartResult, run_part
from pandapon_async.reconcile.probe import NothingFoundError
from pandapon_async.reconcile.worker_access import Access, Proof

__all__ = ["PartFailure", "PartOrder", "prove", "run_order", "stop_parts"]

TELL_EVERY = 0.5
"""Seconds between two progress messages of a part."""
PACKAGE = Path(__file__).parent.parent

Tell = Callable[[Mapping[str, Any]], None]
"""Sends a plain message to the coordinator."""


@attrs.frozen(kw_only=True)
class PartOrder:
    """One part to look up: paths, names and options. It has no secret, because an engine's logs show it."""

    folder: str
    """The folder of the parts, with the same path on every machine."""
    part: int
    """The number of the part, from 1."""
    access: Access
    """The account for its lookups."""
    options: Options
    """`concurrency`, `second_pass`, `accept_missing`, `reuse`; the split said the rest."""
    topic: str
    """The topic of messages about the run."""


@attrs.frozen(kw_only=True)
class PartFailure(Result):
    """Why a part did not finish."""

    part: int
    """Its number, from 1."""
    type: str
    """The class of the error, such as "AuthenticationError"; "WorkerLost" if its worker is gone."""
    code: str
    """An `ErrorKind`; or "nothing_found", "worker_lost", "stopped"."""
    place: str
    """The worker, and the line of an unforeseen error."""
    message: str = ""
    """The message of our own errors; empty for an unforeseen error."""
    retryable: bool = False
    """Whether it is worth another attempt."""

    def __str__(self) -> str:
        said = f": {self.message}" if self.message else ""
        return f"part {self.part} at {self.place}, {self.type}{said}"


_RUNNING: dict[str, dict[Callable[[], None], str]] = {}
"""The stops of the parts that this process runs, with the topic of their run, by folder."""
_LOCK = threading.Lock()


def prove(access: Access, nonce: str, folder: str, topic: str) -> Proof:
    """Return the worker's proof. Ends parts of the same folder from an earlier run."""
    stop_parts(folder, other_than=topic)
    return access.proof(nonce, folder)


def stop_parts(folder: str, other_than: str | None = None) -> int:
    """Ask the parts of a folder that run in this process to end; return their number.

    Args:
        folder: Where the parts are.
        other_than: The topic of a run whose parts continue.
    """
    with _LOCK:
        stops = [stop for stop, topic in _RUNNING.get(folder, {}).items() if topic != other_than]
    for stop in stops:
        stop()
    return len(stops)


def run_order(order: PartOrder) -> PartResult | PartFailure:
    """Look up the refunds of a part in this thread. Never raises."""
    place, tell = _worker(order.topic)
    try:
        return asyncio.run(_run(order, order.access.open(), tell))
    except asyncio.CancelledError:
        return PartFailure(
            part=order.part, type="CancelledError", code="stopped", place=place, retryable=True
        )
    except NothingFoundError as error:
        return PartFailure(
            part=order.part, type=type(error).__name__, code="nothing_found", place=place, message=str(error)
        )
    except PandaponError as error:
        kind = error_kind_of(error)
        return PartFailure(
            part=order.part,
            type=type(error).__name__,
            code=kind.value,
            place=place,
            message=str(error),
            retryable=error.retryable or kind is ErrorKind.OTHER,
        )
    except Exception as error:
        return PartFailure(
            part=order.part,
            type=type(error).__name__,
            code=ErrorKind.OTHER.value,
            place=f"{place}, {_line(error)}",
            retryable=True,
        )


async def _run(order: PartOrder, client: Client | Accounts, tell: Tell) -> PartResult:
    progress = _Telling(order.part, tell, client.settings.clock)
    with _stoppable(order.folder, order.topic):
        async with client:
            return await run_part(client, order.folder, order.part, options=order.options, progress=progress)


@contextlib.contextmanager
def _stoppable(folder: str, topic: str) -> Iterator[None]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def stop() -> None:
        with contextlib.suppress(RuntimeError):  # its loop has just ended
            loop.call_soon_threadsafe(task.cancel)

    with _LOCK:
        _RUNNING.setdefault(folder, {})[stop] = topic
    try:
        yield
    finally:
        with _LOCK:
            del _RUNNING[folder][stop]


def _worker(topic: str) -> tuple[str, Tell]:
    """Return the address of this worker, and its function for sending a message."""
    worker: Any = importlib.import_module("dask.distributed").get_worker()
    return worker.address, lambda message: worker.log_event(topic, message)


def _line(error: Exception) -> str:
    """Return the place of an error, without any value."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    frame = (ours or frames)[-1]
    name = Path(frame.filename)
    return f"{name.relative_to(PACKAGE.parent) if ours else name.name}:{frame.lineno}"


class _Telling(Progress):
    """Reports the progress of a part to the coordinator."""

    def __init__(self, part: int, tell: Tell, clock: Clock) -> None:
        self._part = part
        self._tell = tell
        self._clock = clock
        self._counts: Counts | None = None
        self._passes = 0
        self._done = self._failed = 0
        self._told = float("-inf")

    def note(self, text: str) -> None:
        self._tell({"part": self._part, "note": text})

    def begin(self, task: str, total: int, done: int, counts: Counts) -> None:
        self._counts = counts
        self._passes += 1
        if self._passes == 1:
            self._done = done
        self._send()

    def advance(self, *, failed: bool) -> None:
        if self._passes == 1:  # the second pass makes no row done that was not
            self._done += 1
            self._failed += failed
        if self._clock.now() - self._told >= TELL_EVERY:
            self._send()

    def end(self) -> None:
        self._send()

    def _send(self) -> None:
        self._told = self._clock.now()
        counts = self._counts
        self._tell(
            {
                "part": self._part,
                "done": self._done,
                "failed": self._failed,
                "throttled": counts.throttled if counts else 0,
                "retried": counts.retried if counts else 0,
            }
        )
