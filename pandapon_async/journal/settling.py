"""The client's methods about its writes: resolve one, settle one by hand, identify one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pandapon_async.declare.endpoint import Endpoint, Operation
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.journal.ages import Ages
from pandapon_async.journal.identity import WriteKey, Writer
from pandapon_async.journal.intent import Intent, IntentState
from pandapon_async.settings import Settings

if TYPE_CHECKING:
    from pandapon_async.journal.journal import Journal
    from pandapon_async.journal.resolve import ResolvedOutcome, Resolver

__all__ = ["SettlesWrites"]


class SettlesWrites:
    """The part of a client that resolves its writes."""

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
        """The vendor and the sub-account that this client's writes belong to."""
        raise NotImplementedError

    def _encoded(self, operation: Operation, arguments: Mapping[str, Any]) -> tuple[Endpoint, dict[str, Any]]:
        """Return the endpoint for these arguments of an operation, and the encoded arguments."""
        raise NotImplementedError

    async def _sleep(self, seconds: float) -> None:
        """Wait; ends early if the client is closed."""
        raise NotImplementedError

    async def resolve(
        self, intent_id: str | None, *, wait: bool = False, as_account: bool = False, dry_run: bool = False
    ) -> Intent:
        """Resolve a write with an unknown outcome by reading the state; sends nothing else.

        Args:
            intent_id: The id of the intent in the journal, or its beginning. None, as in an error whose write
                is in no journal, is refused.
            wait: Whether to check again with growing pauses until absence can be believed.
            as_account: Whether to believe absence even if another sub-account wrote the intent, which may see
                more.
            dry_run: Whether to record nothing.

        Returns:
            The intent afterwards: `settled_done`, `settled_absent`, or still `unknown` if nothing is proven
            yet. Absence is believed only `Settings.settle_after` seconds after the write, and checked again
            for 45 days.

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
        """Settle a write with an unknown outcome by hand, if no read shows it.

        Args:
            intent_id: The id of the intent in the journal, or its beginning. None, as in an error whose write
                is in no journal, is refused.
            done: Whether the write was carried out.
            note: Where you saw it; stored with the intent.
            result: The id that the vendor assigned, such as the refund's.
            wait: Whether to wait until the write is old enough for its absence to be believed.
            dry_run: Whether to record nothing.

        Returns:
            The intent afterwards.

        Raises:
            InvalidArgumentError: The journal has no such intent, `intent_id` is None, its outcome is known,
                or `done` is False and it is younger than `Settings.settle_after`.
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
            raise InvalidArgumentError("the journal has no such intent", argument="intent_id")
        return intent

    @property
    def _resolver(self) -> Resolver:
        from pandapon_async.journal.resolve import Resolver

        reader: Any = self  # a client has the calls that the rules need
        return Resolver(reader, self.journal, self.writer, self._ages, self.settings)

    async def look_up(
        self, operation: Operation | str, arguments: Mapping[str, Any], *, since: float = 0.0
    ) -> ResolvedOutcome:
        """Look up at the vendor whether a write was carried out, without an intent.

        Args:
            operation: The call, such as "alibaba.refunds.create".
            arguments: The arguments of the call, by Python name.
            since: The earliest possible time of the write, in seconds since 1970.

        Returns:
            `succeeded` with the id that the vendor assigned, `absent`, or `undecided` if no read shows it.

        Raises:
            InvalidArgumentError: The call or an argument is unknown, missing or wrong.
            PandaponError: The state could not be read.
        """
        from pandapon_async.journal.resolve import resolve_outcome
        from pandapon_async.journal.writes import draft_of

        intent = draft_of(self.journal, self.writer, *self._write(operation, arguments))
        intent.created = since
        reader: Any = self
        return await resolve_outcome(reader, self.journal, intent)

    def write_key(self, operation: Operation | str, arguments: Mapping[str, Any]) -> WriteKey:
        """Return the identity of a write, for `Journal.with_key` and `Journal.about`.

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
