"""The write-ahead journal: a write is on disk before its first byte is sent.

The vendor has no idempotency keys, so nothing on its side prevents a second refund. The journal does: an open
intent refuses a second one with the same natural key, also from another process and after a crash. Commits
are grouped: while one is flushed, the changes of all other calls gather for the next, so many writes cost one
flush per group instead of one each. Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pandapon_async.clock import Clock
from pandapon_async.errors import ErrorKind, JournalUnavailableError
from pandapon_async.journal.identity import WriteKey, Writer
from pandapon_async.journal.intent import Intent, IntentState, Reading, Resolution, duplicate_of
from pandapon_async.storage import IN_MEMORY
from pandapon_async.storage.batch_writer import BatchWriter
from pandapon_async.storage.damage import FILE_ERRORS, reason_of

if TYPE_CHECKING:
    from pandapon_async.journal.place import EarlierFiles
    from pandapon_async.journal.store import JournalStore

__all__ = ["Journal"]

T = TypeVar("T")

log: Final = logging.getLogger("pandapon_async")


class Journal:
    """A journal at `path`; several processes may use the same file at once.

    It opens on first use. Writes that an earlier process left as `sent` then become `unknown`, unless that
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
        """Identifies this run of the program: it does not resend a write that it found absent itself."""
        self._opened_at = Reading(0.0)
        self._process = os.getpid()

    lease: float | None = None
    """Seconds within which a recorded write must be sent; None if no other process settles the writes of a
    living one.
    """

    def clocks(self) -> tuple[float, float]:
        """Seconds of the monotonic clock, and of the wall clock, which runs while the machine sleeps."""
        return self._clock.now(), self._clock.wall()

    @property
    def in_file(self) -> bool:
        """Whether the journal is a file on this machine."""
        return self.path != IN_MEMORY

    async def exists(self) -> bool:
        """Whether a journal exists outside memory."""
        return self.in_file and await asyncio.to_thread(Path(self.path).is_file)

    async def place(self) -> str:
        """The absolute path of the file."""
        return self.path if self.path == IN_MEMORY else await asyncio.to_thread(os.path.abspath, self.path)

    @property
    def _store(self) -> JournalStore | None:
        return self._writer._store

    def draft(
        self, key: WriteKey, *, writer: Writer | None = None, facts: dict[str, Any], digest: str
    ) -> Intent:
        """Create an intent for `add`; writes nothing."""
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
        """Record an intent; with `sending`, also that its bytes are sent right afterwards.

        The row then is `sent` at once, which saves a change, and survives a power cut.

        Args:
            intent: The intent to record.
            once: Whether an earlier success blocks it, and not only an open intent.
            subjects: The subjects of the write; an open write about one of them blocks it.
            allow_second: Whether to ignore open writes about the same subjects.
            sending: Whether its bytes are sent next.

        Returns:
            None, or an earlier write of the same key that was given up but may have been carried out. Then
            that one must be checked before anything is sent, and the new intent is `intended`.

        Raises:
            DuplicateIntentError: Another intent blocks it.
            JournalUnavailableError: The intent cannot be recorded.
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
        """Call `draft` and `add`; return the intent."""
        intent = self.draft(key, facts=facts or {}, digest=digest)
        await self.add(intent, once=once, subjects=key.subjects)
        return intent

    async def sending(self, intent: Intent, *, served: float | None = None) -> None:
        """Record the sending, right before the bytes are sent; survives a power cut.

        `served` is the server's time in seconds since 1970, if known.
        """
        now = self._reading(served)
        if not await self._run(lambda store: store.sending(intent.id, now), durable=True):
            raise JournalUnavailableError(f"another program settled intent {intent.id}; nothing was sent")

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
        """Record the result of a write. Returns False if it was final already: a final state stays.

        Exception: a write that was found absent, or that a throttle or login refused, may prove to be done.
        Arguments that are not passed change nothing; a `remark` is added to the existing ones.
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
            "intent %s is %s, but that could not be recorded: %s. Its row in %s stays `sent` and becomes "
            "`unknown` at the next start; then run: pandapon journal resolve %s",
            intent_id,
            state,
            reason,
            self.path,
            intent_id,
        )

    async def settle_lost(self, intent_id: str, writer: Writer, *, done: bool, note: str) -> Intent:
        """Record an operator's statement about a write whose row is gone, under the id in the plan.

        Its subjects are not known, so it blocks no other write.
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
        """Keep the file open while a write is in flight, until `release`."""
        self._writer.hold()

    def release(self) -> None:
        """End a `hold`: the write has ended."""
        self._writer.release()

    async def get(self, intent_id: str) -> Intent | None:
        """Return an intent by its id or an unambiguous beginning of the id."""
        return await self._run(lambda store: store.get(intent_id))

    async def find(
        self,
        states: Iterable[IntentState] | None = None,
        limit: int | None = None,
        *,
        since: float | None = None,
    ) -> list[Intent]:
        """Return intents in these states, in the order of writing.

        Only intents created at or after `since` (seconds since 1970).
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
        """Iterate over intents in the order of writing, read page by page."""
        wanted = None if states is None else list(states)
        after = 0
        while True:
            found, after = await self._run(functools.partial(_page, wanted, after, page, since))
            for intent in found:
                yield intent
            if not found:
                return

    async def with_key(self, scope: str, operation: str, natural_key: dict[str, Any]) -> list[Intent]:
        """Return all intents with one natural key, newest first."""
        return await self._run(lambda store: store.with_key(scope, operation, natural_key))

    async def about(self, key: WriteKey) -> list[Intent]:
        """Return all intents about a subject of the key (such as an order's line), newest first."""
        return await self._run(lambda store: store.about(key.scope, key.operation, key.subjects))

    async def about_any(self, scope: str, operation: str, beginning: str) -> list[Intent]:
        """Return all intents whose subject begins like this (an order with a slash), newest first."""
        return await self._run(lambda store: store.about_any(scope, operation, beginning))

    async def newest_sent(self) -> str | None:
        """Return the id of the newest sent intent; None if there is none."""
        return await self._run(lambda store: store.newest_sent())

    async def was_sent(self, intent_id: str) -> bool:
        """Whether this journal sent a write with this id, even if it was pruned since."""
        return await self._run(lambda store: store.was_sent(intent_id))

    async def latest(self, states: Iterable[IntentState] | None = None, limit: int = 50) -> list[Intent]:
        """Return the open intents in these states and the newest `limit` others, oldest first."""
        wanted = None if states is None else list(states)
        return await self._run(lambda store: store.latest(wanted, limit))

    async def claimed(self, intent: Intent, result: str) -> bool:
        """Whether another intent already has this id from the vendor."""
        return await self._run(lambda store: store.claimed(intent, result))

    async def counts(self, *, open_only: bool = False) -> dict[IntentState, int]:
        """Count the intents in each state; with `open_only` only the open states."""
        return await self._run(lambda store: store.counts(open_only=open_only))

    def count_open_soon(self, told: Callable[[dict[IntentState, int] | None], object]) -> None:
        """From any thread: count the open writes, and pass the counts to `told`.

        It gets None if the file is closed, as it may just have been, or cannot be used.
        """
        self._writer.look(lambda store: store.counts(open_only=True), told)

    async def identity(self) -> str:
        """Return the id of this journal; a new one in its place has another id."""
        return (await self.identities())[0]

    async def identities(self) -> list[str]:
        """Return the id of this journal and the ids of the journals that it adopted."""
        return await self._run(lambda store: store.identities())

    async def mark(self) -> int:
        """Return a number that grows with each write recorded or sent, and never shrinks.

        If the mark is below one seen before, the journal was restored from an older copy.
        """
        return await self._run(lambda store: store.read_mark())

    @property
    def committed_mark(self) -> int:
        """The mark at the last commit of this process; at least that of every write it sent."""
        return self._store.mark if self._store is not None else 0

    async def extra(self) -> list[Intent]:
        """Return open intents with a newer one of the same key, from files of earlier versions."""
        return await self._run(lambda store: store.extra())

    async def unassigned(self) -> list[str]:
        """Return the hashes of unknown writers in rows of earlier versions."""
        return await self._run(lambda store: store.unassigned())

    async def not_ours(self) -> list[Path]:
        """Journals of earlier versions with unknown writers next to this one; they block every write."""
        return await self._run(lambda store: store.not_ours)

    def earlier_files(self) -> list[Path]:
        """Return the journals of earlier versions next to this one. Blocks."""
        return self._earlier.files() if self._earlier is not None else []

    async def adopt(self, file: str | os.PathLike[str], writer: Writer) -> int:
        """Assign a writer to rows of an earlier version with an unknown writer; return their number.

        `file` is this journal, or another one whose rows are copied.

        Raises:
            JournalUnavailableError: One of the files cannot be used, or is in use by another program.
        """
        await self.open()
        now, other = self._reading(), Path(file)
        if await asyncio.to_thread(_same, other, Path(self.path)):
            return await self._run(lambda store: store.assign_all(writer), durable=True)
        from pandapon_async.journal.adopt import adopt_file

        return await self.alone(lambda store: adopt_file(store, other, writer, now))

    async def check(self) -> None:
        """Check the whole file: pages, indexes, and the checksum of each row.

        Raises:
            JournalUnavailableError: The journal is damaged or cannot be used.
        """
        await self.alone(lambda store: store.check(thorough=True))

    async def alone(self, work: Callable[[JournalStore], T]) -> T:
        """Run a function with commits of its own on the file. Raises JournalUnavailableError."""
        await self.open()
        try:
            return await self._writer.alone(work)
        except FILE_ERRORS as error:
            assert self._store is not None
            raise self._store.unavailable(error) from error

    async def open(self) -> None:
        """Open the file and settle the writes of ended processes. Happens automatically on first use."""
        self._refuse_after_fork()
        self._opened_at = self._reading()
        await self._writer.open()

    def _open_store(self) -> JournalStore:
        """Open a session. Runs on the journal's thread."""
        from pandapon_async.journal.sessions import open_store  # not before it is used

        session, self._next_session = self._next_session, uuid.uuid4().hex
        return open_store(self.path, session, self._opened_at, self._earlier)

    async def _run(self, work: Callable[[JournalStore], T], *, durable: bool = False) -> T:
        self._refuse_after_fork()
        if not self._writer.is_open:
            self._opened_at = self._reading()  # here, because a clock may belong to the loop
        return await self._writer.run(work, durable=durable)

    def _refuse_after_fork(self) -> None:
        """A forked child has no writing thread, and the open file and its lock belong to the parent."""
        if os.getpid() == self._process:
            return
        if self._writer.is_open:
            raise JournalUnavailableError(
                f"process {self._process} opened this Journal before a fork; create a new Journal (or "
                "Client) in the child process; nothing was sent"
            )
        self._process, self._next_session = os.getpid(), uuid.uuid4().hex

    async def aclose(self) -> None:
        """Finish waiting changes and close the file. May be called twice.

        A write in flight keeps it open until its end is recorded; a later change opens it again.
        """
        await self._writer.aclose()


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _page(
    states: list[IntentState] | None, after: int, limit: int, since: float | None, store: JournalStore
) -> tuple[list[Intent], int]:
    return store.page(states, after, limit, since)
