"""The write-ahead journal: what we are about to do is on disk before the first byte leaves.

The vendor has no idempotency key, so nothing on its side stops a second refund. This does: an open
intent of the same natural key refuses a second one, also from another process, also after a crash.
Commits are grouped: while one is being flushed, the changes of all other calls gather for the next,
so a bulk of writes costs a flush per group and not per write. Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from filelock import FileLock

from pandapon_async.clock import Clock
from pandapon_async.errors import ErrorKind, JournalUnavailableError
from pandapon_async.journal.adopt import EarlierFiles, adopt_file
from pandapon_async.journal.identity import WriteKey, Writer
from pandapon_async.journal.intent import Intent, IntentState, Resolution, duplicate_of
from pandapon_async.journal.sessions import close_ended, lock_path, release, was_killed
from pandapon_async.journal.store import JournalStore, Reading
from pandapon_async.storage.batch_writer import BatchWriter
from pandapon_async.storage.damage import FILE_ERRORS, reason_of
from pandapon_async.storage.files import make_private_folder
from pandapon_async.storage.sqlite_file import IN_MEMORY, PATIENCE

__all__ = ["Journal"]

T = TypeVar("T")

log: Final = logging.getLogger("pandapon_async")


class Journal:
    """The journal of one process at `path`; several processes may use the same file at once.

    Opened on first use. What an earlier process left as `sent` becomes `unknown` then, unless that
    process is still alive.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = IN_MEMORY,
        *,
        clock: Clock | None = None,
        earlier: EarlierFiles | None = None,
    ) -> None:
        self.path: str = str(path)
        """The file, or ":memory:"."""
        self._earlier = earlier
        self._clock = clock or Clock()
        self._writer: BatchWriter[JournalStore] = BatchWriter(self._open_store, "pandapon-journal")
        self._next_session = uuid.uuid4().hex
        self.run_id: str = uuid.uuid4().hex
        """What tells this run of a program from others: what it found absent it does not send again."""
        self._opened_at = Reading(0.0)
        self._process = os.getpid()

    lease: float | None = None
    """Seconds after its note in which a write must begin to leave; None where nobody settles what a living
    process has noted."""

    def clocks(self) -> tuple[float, float]:
        """Seconds of the clock that never goes back, and of the wall, which goes on in a machine's sleep."""
        return self._clock.now(), self._clock.wall()

    @property
    def in_file(self) -> bool:
        """Whether its place is a file of this machine."""
        return self.path != IN_MEMORY

    async def exists(self) -> bool:
        """Whether there is a journal to be read, in another place than memory."""
        return self.in_file and await asyncio.to_thread(Path(self.path).is_file)

    async def place(self) -> str:
        """Where it is, whatever the working folder."""
        return self.path if self.path == IN_MEMORY else await asyncio.to_thread(os.path.abspath, self.path)

    @property
    def _store(self) -> JournalStore | None:
        return self._writer._store

    def draft(
        self, key: WriteKey, *, writer: Writer | None = None, facts: dict[str, Any], digest: str
    ) -> Intent:
        """An intent that is not written down yet: to be given to `add`."""
        now = self._reading()
        return Intent(
            id=os.urandom(16).hex(),
            scope=key.scope,
            operation=key.operation,
            natural_key=key.natural_key,
            digest=digest,
            facts=facts,
            state=IntentState.INTENDED,
            created=now.wall,
            updated=now.wall,
            vendor=writer.vendor if writer else key.scope,
            user_id=writer.user_id if writer else "",
            account=writer.legacy if writer else "",
            wrote=now.wall,
            boot=now.boot,
            uptime=now.uptime,
        )

    async def add(
        self,
        intent: Intent,
        *,
        once: bool,
        subjects: Sequence[str] = (),
        allow_second: bool = False,
        sending: bool = False,
    ) -> Intent | None:
        """Write down what is about to be done; with `sending`, that the bytes leave right after it.

        The row then says `sent` at once, which saves a change, and survives a power cut.

        Args:
            intent: what is about to be done.
            once: whether an earlier one that succeeded stands in the way, and not only an open one.
            subjects: what it is about; an open write about one of the same stands in the way.
            allow_second: whether that does not matter.
            sending: whether its bytes leave next.

        Returns:
            None, or an earlier write of the same key that may have been carried out although it was given
            up. Then nothing may be sent before that one was looked at, and the new one is `intended`.

        Raises:
            DuplicateIntentError: another intent stands in the way.
            JournalUnavailableError: it cannot be written down.
        """
        if sending:
            intent.state, intent.attempts = IntentState.SENT, 1
        try:
            added = await self._run(
                lambda store: store.add(intent, once, subjects, allow_second=allow_second), durable=sending
            )
        except asyncio.CancelledError:
            self.resolve_soon(intent.id, IntentState.NOT_SENT, error_kind=ErrorKind.CANCELLED)
            raise
        if added.blocking is not None:
            raise duplicate_of(added.blocking, intent)
        return added.doubtful

    async def intend(
        self, key: WriteKey, *, facts: dict[str, Any] | None = None, digest: str = "", once: bool = False
    ) -> Intent:
        """`draft` and `add` in one; gives the intent."""
        intent = self.draft(key, facts=facts or {}, digest=digest)
        await self.add(intent, once=once, subjects=key.subjects)
        return intent

    async def sending(self, intent: Intent, *, served: float | None = None) -> None:
        """To be awaited right before the bytes leave; survives a power cut.

        `served` is the server's own time in seconds since 1970, where it has told it.
        """
        now = self._reading(served)
        if not await self._run(lambda store: store.sending(intent.id, now), durable=True):
            raise JournalUnavailableError(
                f"intent {intent.id} was settled by somebody else; nothing was sent"
            )

    async def resolve(
        self,
        intent_id: str,
        state: IntentState,
        *,
        request_id: str | None = None,
        result: str | None = None,
        resolution: Resolution | None = None,
        error_kind: ErrorKind | None = None,
        remark: str | None = None,
        served: float | None = None,
    ) -> bool:
        """Note what became of a write. False if it was settled before: a final state stays.

        But what was found absent, or refused by a throttle or at the login, may turn out to be done. What is
        not given stays as it was; a `remark` is added to those that are there.
        """
        facts = {
            "request_id": request_id,
            "result": result,
            "resolution": resolution,
            "error_kind": error_kind,
            "remark": remark,
        }
        return await self._run(self._resolving(intent_id, state, served, facts))

    def resolve_soon(
        self, intent_id: str, state: IntentState, *, served: float | None = None, **facts: Any
    ) -> asyncio.Future[bool] | None:
        """The same as `resolve` without waiting; a failure is logged.

        Returns:
            What can be waited for, or None if the intent was never written down: the file is not open then.
        """
        if not self._writer.is_open:
            return None
        recorded = self._writer.submit(self._resolving(intent_id, state, served, facts))
        recorded.add_done_callback(functools.partial(self._report_failure, intent_id, state))
        return recorded

    def _resolving(
        self, intent_id: str, state: IntentState, served: float | None, facts: dict[str, Any]
    ) -> Callable[[JournalStore], bool]:
        now = self._reading(served)
        resolver = None if facts.get("resolution") is None else self.run_id
        return lambda store: store.resolve(intent_id, state, now, resolver=resolver, **facts)

    def _report_failure(self, intent_id: str, state: IntentState, recorded: asyncio.Future[bool]) -> None:
        """Report an outcome that is missing in the file.

        The caller knows the outcome all the same. The row stays `sent` and becomes `unknown` at the next
        start, so that the write is looked up then and never sent again.
        """
        failure = recorded.exception()
        if failure is None:
            return
        cause = failure.__cause__
        reason = reason_of(cause) if isinstance(cause, FILE_ERRORS) else type(failure).__name__
        log.error(
            "intent %s is %s, but that could not be noted: %s. Its row in %s stays `sent` and becomes "
            "`unknown` at the next start; find out then with: pandapon journal resolve %s",
            intent_id,
            state,
            reason,
            self.path,
            intent_id,
        )

    async def settle_lost(self, intent_id: str, writer: Writer, *, done: bool, note: str) -> Intent:
        """Keep an operator's word about a write whose row is gone, under the id that a plan knows it by.

        What it was about is not known here: it stands in the way of no other write.
        """
        key = WriteKey(writer.vendor, "lost", {"intent": intent_id})
        intent = self.draft(key, writer=writer, facts={}, digest="")
        intent.id, intent.attempts, intent.remarks = intent_id, 1, [note]
        intent.state = IntentState.SETTLED_DONE if done else IntentState.SETTLED_ABSENT
        intent.resolution = Resolution.SUCCEEDED if done else Resolution.ABSENT
        await self._run(lambda store: store.add(intent, once=False), durable=True)
        return intent

    def _reading(self, served: float | None = None) -> Reading:
        boot, uptime = self._clock.boot() or (None, None)
        return Reading(self._clock.wall(), boot, uptime, served)

    def hold(self) -> None:
        """A write is under way: `aclose` leaves the file open until its end is noted (`release`)."""
        self._writer.hold()

    def release(self) -> None:
        """A write is at its end."""
        self._writer.release()

    async def get(self, intent_id: str) -> Intent | None:
        """One intent by its id or an unambiguous beginning of it."""
        return await self._run(lambda store: store.get(intent_id))

    async def find(
        self,
        states: Iterable[IntentState] | None = None,
        limit: int | None = None,
        *,
        since: float | None = None,
    ) -> list[Intent]:
        """Intents in these states, in the order in which they were written.

        None of them was created before `since` (seconds since 1970).
        """
        wanted = None if states is None else list(states)
        return await self._run(lambda store: store.find(wanted, limit, since))

    async def all(
        self,
        states: Iterable[IntentState] | None = None,
        page: int = 500,
        *,
        since: float | None = None,
    ) -> AsyncIterator[Intent]:
        """The same in the order in which they were written, read page by page."""
        wanted = None if states is None else list(states)
        after = 0
        while True:
            found, after = await self._run(functools.partial(_page, wanted, after, page, since))
            for intent in found:
                yield intent
            if not found:
                return

    async def with_key(self, scope: str, operation: str, natural_key: dict[str, Any]) -> list[Intent]:
        """All intents of one natural key, newest first."""
        return await self._run(lambda store: store.with_key(scope, operation, natural_key))

    async def about(self, key: WriteKey) -> list[Intent]:
        """All intents about one of the subjects of a key (an order's line, say), newest first."""
        return await self._run(lambda store: store.about(key.scope, key.operation, key.subjects))

    async def about_any(self, scope: str, operation: str, beginning: str) -> list[Intent]:
        """All intents about a subject that begins like this (an order with a slash), newest first."""
        return await self._run(lambda store: store.about_any(scope, operation, beginning))

    async def newest_sent(self) -> str | None:
        """The id of the newest intent that was sent; None if there is none."""
        return await self._run(lambda store: store.newest_sent())

    async def was_sent(self, intent_id: str) -> bool:
        """Whether a write with this id was sent with this journal, also if it was pruned since."""
        return await self._run(lambda store: store.was_sent(intent_id))

    async def latest(self, states: Iterable[IntentState] | None = None, limit: int = 50) -> list[Intent]:
        """Of the intents in these states the open ones and the newest `limit` others, oldest first."""
        wanted = None if states is None else list(states)
        return await self._run(lambda store: store.latest(wanted, limit))

    async def claimed(self, intent: Intent, result: str) -> bool:
        """Whether the id that the vendor gave belongs to another intent already."""
        return await self._run(lambda store: store.claimed(intent, result))

    async def counts(self, *, open_only: bool = False) -> dict[IntentState, int]:
        """How many intents stand in each state; `open_only`: in those whose end is not known."""
        return await self._run(lambda store: store.counts(open_only=open_only))

    def count_open_soon(self, told: Callable[[dict[IntentState, int]], object]) -> None:
        """Count the open writes without waiting, unless the file is closed; `told` gets their numbers."""

        def look(counted: asyncio.Future[Any]) -> None:
            if not counted.cancelled() and counted.exception() is None:
                told(counted.result())

        if self._writer.is_open:  # a count must never open it: it may just have been closed
            self._writer.submit(lambda store: store.counts(open_only=True)).add_done_callback(look)

    async def identity(self) -> str:
        """What tells this journal from every other, also from one made anew in its place."""
        return (await self.identities())[0]

    async def identities(self) -> list[str]:
        """The same, and behind it those of the journals that were adopted by it."""
        return await self._run(lambda store: store.identities())

    async def mark(self) -> int:
        """A number that each write raises when it is written down and when it is sent, and nothing lowers.

        A journal whose mark is below one that was seen before was restored from an older copy.
        """
        return await self._run(lambda store: store.read_mark())

    @property
    def committed_mark(self) -> int:
        """The mark as of the last commit of this process; not below that of any write that it has sent."""
        return self._store.mark if self._store is not None else 0

    async def extra(self) -> list[Intent]:
        """Open intents that stand beside a newer one of the same key, from files of earlier versions."""
        return await self._run(lambda store: store.extra())

    async def unassigned(self) -> list[str]:
        """The hashes by which earlier versions named writers that are not known any more."""
        return await self._run(lambda store: store.unassigned())

    async def not_ours(self) -> list[Path]:
        """Journals of earlier versions beside this one, of unknown writers; they stop every write."""
        return await self._run(lambda store: store.not_ours)

    def earlier_files(self) -> list[Path]:
        """Journals of earlier versions beside this one that are there now. Blocks."""
        return self._earlier.files() if self._earlier is not None else []

    async def adopt(self, file: str | os.PathLike[str], writer: Writer) -> int:
        """Say who wrote the rows of an earlier version whose writer is not known; gives how many they are.

        `file` is another journal, whose rows are taken over, or this one.

        Raises:
            JournalUnavailableError: One of the files cannot be used, or is in use by another program.
        """
        await self.open()
        now, other = self._reading(), Path(file)
        if await asyncio.to_thread(_same, other, Path(self.path)):
            return await self._run(lambda store: store.assign_all(writer), durable=True)
        return await self.alone(lambda store: adopt_file(store, other, writer, now))

    async def check(self) -> None:
        """Look whether the whole file is sound: pages, indexes, and the checksum of each row.

        Raises:
            JournalUnavailableError: It is damaged, or cannot be used.
        """
        await self.alone(lambda store: store.check(thorough=True))

    async def alone(self, work: Callable[[JournalStore], T]) -> T:
        """Do something with the file that makes its own commits. Raises JournalUnavailableError."""
        await self.open()
        try:
            return await self._writer.alone(work)
        except FILE_ERRORS as error:
            assert self._store is not None
            raise self._store.unavailable(error) from error

    async def open(self) -> None:
        """Open the file and close what ended processes left open. Called by itself on first use."""
        self._refuse_after_fork()
        self._opened_at = self._reading()
        await self._writer.open()

    def _open_store(self) -> JournalStore:
        """Runs on the journal's thread; every opening is a session of its own."""
        session, self._next_session = self._next_session, uuid.uuid4().hex
        if self.path == IN_MEMORY:
            return JournalStore(self.path, session)
        alive = FileLock(lock_path(self.path, session), thread_local=False)
        store: JournalStore | None = None
        try:
            self._make_folder()
            after_crash = was_killed(Path(self.path))
            alive.acquire(timeout=PATIENCE)  # who is opening it, too, looks whether this process lives
            store = JournalStore(self.path, session, lambda: release(alive), after_crash=after_crash)
            close_ended(store, self._opened_at)
            if self._earlier is not None:
                store.not_ours = self._earlier.adopt(store, self._opened_at)
        except BaseException as error:
            if store is not None:
                store.close()
            elif alive.is_locked:
                release(alive)
            if isinstance(error, FILE_ERRORS) and store is not None:
                raise store.unavailable(error) from error
            if isinstance(error, OSError):
                reason = error.strerror or type(error).__name__
                raise JournalUnavailableError(
                    f"the journal {self.path} cannot be opened: {reason}"
                ) from error
            raise
        return store

    def _make_folder(self) -> None:
        folder = Path(self.path).parent
        if self._earlier is not None:  # the automatic place, which is ours alone
            make_private_folder(folder)
        else:
            folder.mkdir(parents=True, exist_ok=True)

    async def _run(self, work: Callable[[JournalStore], T], *, durable: bool = False) -> T:
        self._refuse_after_fork()
        if not self._writer.is_open:
            self._opened_at = self._reading()  # here, as a clock may belong to the loop
        return await self._writer.run(work, durable=durable)

    def _refuse_after_fork(self) -> None:
        """The thread that writes is not in the child, and the open file and its lock are the parent's."""
        if os.getpid() == self._process:
            return
        if self._writer.is_open:
            raise JournalUnavailableError(
                f"this Journal was opened by process {self._process}, before a fork; "
                "make a new Journal (or Client) in the child; nothing was sent"
            )
        self._process, self._next_session = os.getpid(), uuid.uuid4().hex

    async def aclose(self) -> None:
        """Finish what is waiting and close the file. May be called twice.

        A write under way keeps it open until its end is noted; what comes later opens it once more.
        """
        await self._writer.aclose()


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _page(
    states: list[IntentState] | None, after: int, limit: int, since: float | None, store: JournalStore
) -> tuple[list[Intent], int]:
    return store.page(states, after, limit, since)
