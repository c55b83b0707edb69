"""What a client can be asked about its writes: what became of one, and what it is known by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pandapon_async.declare.endpoint import Endpoint, Operation
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.journal.ages import Ages
from pandapon_async.journal.identity import WriteKey, Writer
from pandapon_async.journal.intent import Intent, IntentState
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.writes import draft_of
from pandapon_async.settings import Settings

if TYPE_CHECKING:
    from pandapon_async.journal.resolve import ResolvedOutcome, Resolver

__all__ = ["SettlesWrites"]


class SettlesWrites:
    """The part of a client that looks after its writes. What it stands on is the client's."""

    _ages: Ages

    @property
    def settings(self) -> Settings:
        """The settings of this client or copy."""
        raise NotImplementedError

    @property
    def journal(self) -> Journal:
        """The journal of this client's writes."""
        raise NotImplementedError

    @property
    def writer(self) -> Writer:
        """Whose writes this client makes: the vendor and the sub-account."""
        raise NotImplementedError

    def _encoded(self, operation: Operation, arguments: Mapping[str, Any]) -> tuple[Endpoint, dict[str, Any]]:
        """The endpoint that carries out an operation with these arguments, and how they are sent."""
        raise NotImplementedError

    async def _sleep(self, seconds: float) -> None:
        """Wait, until the client is closed at the latest."""
        raise NotImplementedError

    async def resolve(
        self, intent_id: str | None, *, wait: bool = False, as_account: bool = False, dry_run: bool = False
    ) -> Intent:
        """Find out what became of a write of unknown outcome, by reading the state; sends nothing else.

        Args:
            intent_id: The intent in the journal, or the beginning of its id. None, as in an error whose write
                is in no journal, is refused.
            wait: Look again with growing pauses until absence can be believed.
            as_account: Believe absence also if another sub-account wrote the intent, which may see more.
            dry_run: Keep nothing of what was found.

        Returns:
            The intent as it stands afterwards: `settled_done`, `settled_absent`, or still `unknown` where
            nothing can be said yet. Absence is believed only `Settings.settle_after` seconds after the write,
            and looked at again for 45 days.

        Raises:
            InvalidArgumentError: The journal has no such intent, or `intent_id` is None.
            PandaponError: The state could not be read.
        """
        intent, resolver = await self._open_intent(intent_id), self._resolver
        pauses = iter((2.0, 10.0, self.settings.settle_after) if wait else ())
        while True:
            intent = await resolver.resolve(intent, as_account=as_account, dry_run=dry_run)
            pause = next(pauses, None)
            if pause is None or intent.state is not IntentState.UNKNOWN:
                return intent
            await self._sleep(pause)

    async def settle(
        self,
        intent_id: str | None,
        *,
        done: bool,
        note: str,
        result: str | None = None,
        wait: bool = False,
        dry_run: bool = False,
    ) -> Intent:
        """Settle a write of unknown outcome by your own word, where no read can tell.

        Args:
            intent_id: The intent in the journal, or the beginning of its id. None, as in an error whose write
                is in no journal, is refused.
            done: Whether it was carried out.
            note: Where you saw it; stays with the intent.
            result: The id that the vendor gave, such as the refund's.
            wait: Wait until the write is old enough for its absence to be believed.
            dry_run: Keep nothing of it.

        Returns:
            The intent as it stands afterwards.

        Raises:
            InvalidArgumentError: The journal has no such intent, `intent_id` is None, its outcome is known,
                or it is younger than `Settings.settle_after` and is said to be absent.
        """
        intent, resolver = await self._open_intent(intent_id), self._resolver
        if wait and not done:
            await self._sleep(resolver.seconds_until_absent(intent))
        return await resolver.take_word(intent, done=done, note=note, result=result, dry_run=dry_run)

    async def _open_intent(self, intent_id: str | None) -> Intent:
        if intent_id is None:
            raise InvalidArgumentError(
                "the error names no intent, as its write is in no journal; look into the vendor's console",
                argument="intent_id",
            )
        intent = await self.journal.get(intent_id)
        if intent is None:
            raise InvalidArgumentError("no such intent in the journal", argument="intent_id")
        return intent

    @property
    def _resolver(self) -> Resolver:
        from pandapon_async.journal.resolve import Resolver

        reader: Any = self  # a client has the calls that the rules make
        return Resolver(reader, self.journal, self.writer, self._ages, self.settings)

    async def look_up(
        self, operation: Operation | str, arguments: Mapping[str, Any], *, since: float = 0.0
    ) -> ResolvedOutcome:
        """What the vendor shows of a write that may or may not have been made, without any intent.

        Args:
            operation: The call, such as "alibaba.refunds.create".
            arguments: By Python name, as the call takes them.
            since: When it can have been made at the earliest, in seconds since 1970.

        Returns:
            `succeeded` with the id that the vendor gave, `absent`, or `undecided` if it cannot be seen.

        Raises:
            InvalidArgumentError: The call or an argument is unknown, missing or wrong.
            PandaponError: The state could not be read.
        """
        from pandapon_async.journal.resolve import resolve_outcome

        intent = draft_of(self.journal, self.writer, *self._write(operation, arguments))
        intent.created = since
        reader: Any = self
        return await resolve_outcome(reader, self.journal, intent)

    def write_key(self, operation: Operation | str, arguments: Mapping[str, Any]) -> WriteKey:
        """What the journal knows a write by: `Journal.with_key` and `Journal.about` take it apart.

        Raises InvalidArgumentError if the call or an argument is unknown, missing or wrong.
        """
        return self.writer.key_of(*self._write(operation, arguments))

    def _write(
        self, operation: Operation | str, arguments: Mapping[str, Any]
    ) -> tuple[Endpoint, dict[str, Any]]:
        if isinstance(operation, str):
            from pandapon_async.api.registry import operations

            known = operations().get(operation)
            if known is None:
                raise InvalidArgumentError(f"there is no call {operation}", argument="operation")
            operation = known
        return self._encoded(operation, arguments)
