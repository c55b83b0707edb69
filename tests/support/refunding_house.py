"""A vendor of applications, a journal's file and a clock, and runs of programs one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from pandapon_async import Client, Credentials, InvalidArgumentError, PandaponError
from pandapon_async.journal import Intent, IntentState
from tests.support.clients import settings as client_settings
from tests.support.refunding import Mode, RefundingVendor, SteppingClock
from tests.support.server import FaultServer

__all__ = ["CREATE", "House", "applied", "house"]

CREATE: dict[str, Any] = {
    "order_id": 100,
    "order_entry_ids": [1],
    "dispute_request": "refund",
    "apply_payment": 500,
    "apply_carriage": 0,
    "apply_reason_id": 20022,
    "description": "two words",
    "goods_status": "aftersaleBuyerReceived",
}
SETTLE_AFTER = 60.0


@attrs.define
class House:
    """A vendor, a journal's file and a clock; every `run` is another run of a program."""

    vendor: RefundingVendor
    url: str
    path: Path
    clock: SteppingClock

    @asynccontextmanager
    async def run(self, key: str = "key", user_id: str = "1", **changes: Any) -> AsyncIterator[Client]:
        given = {"journal": self.path, "clock": self.clock, "settle_after": SETTLE_AFTER, **changes}
        async with Client(Credentials(key, "secret", user_id), client_settings(self.url, **given)) as made:
            yield made

    async def create(
        self, mode: Mode, order_entry_ids: list[int] | None = None, **how: Any
    ) -> PandaponError | None:
        """Apply once in a run of its own; how it ended."""
        self.vendor.mode = mode
        async with self.run(**how) as pandapon:
            return await applied(pandapon, order_entry_ids=order_entry_ids or [1])

    async def resolve(self, *, as_account: bool = False, **how: Any) -> None:
        """Look at everything that is unknown or was found absent."""
        async with self.run(**how) as pandapon:
            for intent in await pandapon.journal.find((IntentState.UNKNOWN, IntentState.SETTLED_ABSENT)):
                await pandapon.resolve(intent.id, as_account=as_account)

    async def say(self, **how: Any) -> None:
        """An operator looks into the console, which shows all, and says of what is unknown what is there."""
        now = asyncio.get_running_loop().time()
        async with self.run(**how) as pandapon:
            for intent in await pandapon.journal.find((IntentState.UNKNOWN,)):
                seen = next((one.refund_id for one in self.vendor.forms if one.landed <= now), None)
                with contextlib.suppress(InvalidArgumentError):
                    await pandapon.settle(intent.id, done=seen is not None, note="console", result=seen)

    async def intents(self) -> list[Intent]:
        async with self.run() as pandapon:
            return await pandapon.journal.find()


async def applied(pandapon: Client, **changes: Any) -> PandaponError | None:
    try:
        await pandapon.alibaba.refunds.create(**{**CREATE, **changes})
    except PandaponError as error:
        return error
    return None


@asynccontextmanager
async def house(**vendor: Any) -> AsyncIterator[House]:
    made = RefundingVendor(**vendor)
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory)
    try:
        async with FaultServer(then=made) as server:
            yield House(made, server.url, Path(folder.name) / "journal.sqlite", SteppingClock())
    finally:
        await asyncio.to_thread(folder.cleanup)
