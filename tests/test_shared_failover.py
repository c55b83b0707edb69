"""A real replica takes over and has not heard of the last writes: none is sent twice, no message is lost.

By day `test_journal_shared` tells the database of a failover that was none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async import Client, Settings
from pandapon_async.errors import DuplicateIntentError, NextStep
from pandapon_async.journal import IntentState
from pandapon_async.sandbox import Sandbox
from tests.support.plan_files import returnable
from tests.support.postgres import Postgres, Replica, postgres_server
from tests.test_callbacks_shared import all_done, push, receiver_of

pytestmark = [pytest.mark.timeout(120), pytest.mark.nightly]
GIVEN = {"logistics_company_no": "SF", "freight_bill": "SF100"}


@attrs.define
class Pair:
    """A primary and its replica; clients know one address, which leads to the one that holds."""

    primary: Postgres
    replica: Replica
    link: Path
    over: bool = False

    @property
    def address(self) -> str:
        return f"postgresql://postgres@/empty?host={self.link.parent}&port=5432"

    async def followed(self) -> None:
        """Until the replica has all that was written so far."""
        end = await self.primary.fetchval("SELECT pg_current_wal_lsn()::text", "empty")
        async with asyncio.timeout(20):
            while not await self.replica.fetchval(  # noqa: ASYNC110 (another process is waited for)
                f"SELECT pg_last_wal_replay_lsn() >= '{end}'"
            ):
                await asyncio.sleep(0.02)

    def fail_over(self) -> None:
        """The replica has lost its primary, which dies, and takes its place."""
        self.primary.kill()
        self.over = True
        self.replica.start()
        self.replica.promote()
        self.link.unlink()
        self.link.symlink_to(self.replica.socket)


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    with postgres_server() as primary:
        await primary.empty()
        with primary.replica() as replica:
            link = folder / ".s.PGSQL.5432"
            link.symlink_to(Path(primary.sockets) / f".s.PGSQL.{primary.port}")
            found = Pair(primary, replica, link)
            try:
                yield found
            finally:
                if found.over:
                    primary.start()  # what ends it expects it to be there


async def test_a_write_that_the_replica_has_not_heard_of_is_looked_for_first(tmp_path: Path) -> None:
    async with pair(tmp_path) as servers, Sandbox() as sandbox:
        lost, living, new, old = returnable(sandbox, 4)
        shared: Any = servers.address
        settings = Settings(base_url=sandbox.base_url, rate=50.0, timeout=30.0, shared=shared)

        async def give_back(pandapon: Client, refund: str) -> Any:
            try:
                return await pandapon.alibaba.refunds.return_goods(refund_id=refund, **GIVEN)
            except DuplicateIntentError as error:
                return error

        async with Client(sandbox.credentials, settings) as pandapon:
            await give_back(pandapon, old)
            await servers.followed()
            await asyncio.to_thread(servers.replica.stop)
            await give_back(pandapon, lost)
            effects = len(sandbox.effects)
            await asyncio.to_thread(servers.fail_over)
            begun = time.monotonic()
            # The client lived through it. Its first write meets a connection that was lost, and a new server.
            held = await give_back(pandapon, living)
            assert isinstance(held, DuplicateIntentError)
            assert held.next_step is NextStep.WAIT
            control = await servers.replica.fetchval("SELECT timeline_id FROM pg_control_checkpoint()")
            print(f"after {time.monotonic() - begun:.2f} s; the control file's timeline is {control}")
        async with Client(sandbox.credentials, settings) as pandapon:
            assert not [one async for one in pandapon.journal.all() if lost in str(one.natural_key)]
            found = await give_back(pandapon, lost)
            assert isinstance(found, DuplicateIntentError), "it was done, and its row is lost"
            waits = await give_back(pandapon, new)
            assert isinstance(waits, DuplicateIntentError)
            assert waits.next_step is NextStep.WAIT
            assert 0 < (waits.retry_after or 0) <= 60
        assert len(sandbox.effects) == effects
        await servers.replica.fetchval("UPDATE pandapon.history SET since = since - 601 RETURNING 1")
        async with Client(sandbox.credentials, settings) as pandapon:
            reads = len(sandbox.log)
            assert not isinstance(await give_back(pandapon, new), DuplicateIntentError)
            assert len(sandbox.log) == reads + 1, "its intent is of after the failover, and was not sent"
            # A key with a row from just before is looked for, however long after.
            again = await give_back(pandapon, old)
            assert isinstance(again, DuplicateIntentError)
            assert len(sandbox.effects) == effects + 1
            assert (await pandapon.journal.counts())[IntentState.CONFIRMED] == 2


async def test_messages_that_were_replicated_are_handled_by_the_server_that_takes_over(
    tmp_path: Path,
) -> None:
    handled: list[int] = []
    async with pair(tmp_path) as servers, receiver_of(servers.address) as one:
        one.on()(lambda message: handled.append(message.body["number"]))
        for number in range(20):
            assert (await push(one, number)).status == 200
        await servers.followed()
        await asyncio.to_thread(servers.replica.stop)
        await asyncio.to_thread(servers.fail_over)
        async with asyncio.timeout(30):
            while (await push(one, 20)).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await all_done(one, 21)
    assert set(handled) == set(range(21))
