"""A write on its way: its intent in the journal before the first byte leaves, its outcome after.

Everything that is no read and no harmless repeat passes through here, undeclared calls included.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from pandapon_async.core.envelope import Envelope
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.errors import (
    DuplicateIntentError,
    ErrorKind,
    JournalUnavailableError,
    Outcome,
    PandaponError,
    error_kind_of,
)
from pandapon_async.images import Image
from pandapon_async.journal.intent import Intent, IntentState
from pandapon_async.journal.journal import Journal
from pandapon_async.settings import AUTOMATIC, Credentials, Settings, is_loopback
from pandapon_async.storage.sqlite_file import IN_MEMORY

__all__ = ["Write", "account_of", "begin_write", "journal_of", "natural_key"]

log: Final = logging.getLogger("pandapon_async")


@attrs.define(eq=False)
class Write:
    """One write and its row in the journal, which stays open until the write's end.

    `written`: there may be a row; `on_wire`: sent, and not yet known what became of it.
    """

    journal: Journal
    intent: Intent
    endpoint: Endpoint
    once: bool
    written: bool = False
    on_wire: bool = False

    async def begin(self) -> None:
        """Write the intent down now, as it may have to wait before it is sent."""
        self.written = True
        await self._add(sending=False)

    async def sending(self) -> None:
        """To be awaited right before the bytes leave."""
        if self.written:
            await self.journal.sending(self.intent)
        else:
            self.written = True
            await self._add(sending=True)
        self.on_wire = True

    async def _add(self, *, sending: bool) -> None:
        try:
            await self.journal.add(self.intent, once=self.once, sending=sending)
        except DuplicateIntentError:
            self.written = False
            raise

    def answered(self, error: PandaponError | None) -> None:
        """An attempt ended; only an unknown outcome leaves the write on the wire."""
        self.on_wire = error is not None and error.outcome is Outcome.UNKNOWN

    async def confirmed(self, envelope: Envelope) -> None:
        """The vendor said yes."""
        where, data = self.endpoint.confirmed_by, envelope.data
        said = data.get(where) if where and isinstance(data, dict) else None
        result = str(said) if isinstance(said, str | int) and not isinstance(said, bool) else None
        await self._ended(IntentState.CONFIRMED, request_id=envelope.request_id, result=result)

    async def failed(self, error: PandaponError) -> None:
        """The call ended with an error; its outcome says what is to be noted."""
        state = {
            Outcome.NOT_SENT: IntentState.NOT_SENT,
            Outcome.ANSWERED: IntentState.REJECTED,
            Outcome.UNKNOWN: IntentState.UNKNOWN,
        }[error.outcome]
        await self._ended(state, request_id=error.request_id, error_kind=error_kind_of(error))

    def abandoned(self) -> None:
        """The call was cancelled; nothing may be awaited any more."""
        state = IntentState.UNKNOWN if self.on_wire else IntentState.NOT_SENT
        try:
            if self.written:
                self.journal.resolve_soon(self.intent.id, state, ErrorKind.CANCELLED)
        finally:
            self.journal.release()

    async def _ended(self, state: IntentState, **facts: Any) -> None:
        try:
            if self.written:
                await self.journal.resolve(self.intent.id, state, **facts)
        except JournalUnavailableError as failure:
            # The answer is known to the caller and must reach it. The row stays `sent`, which the next
            # start turns into `unknown`: found out again then, never sent again.
            log.error("intent %s is %s, but could not be noted: %s", self.intent.id, state, failure)
        finally:
            self.journal.release()


async def begin_write(
    journal: Journal,
    account: str,
    endpoint: Endpoint,
    fields: Mapping[str, Any],
    *,
    allow_repeat: bool,
    at_once: bool = False,
) -> Write:
    """Note the intent. Raises DuplicateIntentError or JournalUnavailableError; nothing was sent then.

    `at_once` says that nothing will have to be waited for: then one change of the journal, at
    `Write.sending`, notes the intent and the sending together, and nothing is written down here.
    """
    plain = _plain(fields)
    digest = _digest(plain)
    # A call without a declared key has no natural one: then the same payload is the same write.
    key = _key(endpoint, plain) or {"payload": digest}
    intent = journal.draft(
        account=account,
        operation=endpoint.name,
        natural_key=key,
        facts={name: plain[name] for name in endpoint.facts if name in plain},
        digest=digest,
    )
    once = endpoint.safety is Safety.ONCE and bool(endpoint.key) and not allow_repeat
    write = Write(journal, intent, endpoint, once)
    journal.hold()
    if not at_once:
        try:
            await write.begin()
        except BaseException:
            journal.release()
            raise
    return write


def natural_key(endpoint: Endpoint, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What makes two writes the same one: the declared key out of checked arguments, if there is one."""
    return _key(endpoint, _plain(fields))


def _key(endpoint: Endpoint, plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _sorted(plain.get(name)) for name in endpoint.key}


def account_of(credentials: Credentials, settings: Settings) -> str:
    """Whose write it is: accounts share a journal file, not their keys."""
    text = f"{settings.base_url}\n{credentials.access_key}\n{credentials.user_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def journal_of(credentials: Credentials, settings: Settings) -> Journal:
    """The journal that the settings name: a given one, a file, or the automatic place.

    That is a file per account in the user's state directory; in memory towards loopback, where a
    sandbox forgets as well.
    """
    wanted = settings.journal
    if isinstance(wanted, Journal):
        return wanted
    if wanted != AUTOMATIC:
        return Journal(wanted, clock=settings.clock)
    if is_loopback(settings.base_url):
        return Journal(IN_MEMORY, clock=settings.clock)
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = f"journal-{account_of(credentials, settings)}.sqlite"
    return Journal(state / "pandapon-async" / name, clock=settings.clock)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: repr(value) if isinstance(value, Image) else value for name, value in fields.items()}


def _digest(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()


def _sorted(value: Any) -> Any:
    """Order and repetition of ids say nothing: [2, 1, 1] and [1, 2] are the same lines."""
    if not isinstance(value, list):
        return value
    return [item for _, item in sorted({str(item): item for item in value}.items())]
