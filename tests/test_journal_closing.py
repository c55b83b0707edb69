"""A journal that is closed while writes are still at work: nothing is lost, and nobody is warned."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pandapon_async import Client, OutcomeUnknownError, PandaponError, Settings
from pandapon_async.journal.intent import Intent, IntentState
from pandapon_async.journal.journal import Journal
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import CREDENTIALS, client
from tests.support.journals import noted
from tests.support.server import Exchange, FaultServer, envelope, http

RETURN: dict[str, Any] = {"refund_id": "TQ1", "logistics_company_no": "SF", "freight_bill": "SF1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture(autouse=True)
def no_warning(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.WARNING)
    yield
    assert [record.getMessage() for record in caplog.records] == []


async def intend(journal: Journal, number: int = 1) -> Intent:
    return await noted(journal, operation="o", natural_key={"k": number}, facts={}, once=False)


async def on_disk(path: Path) -> list[str]:
    def read() -> list[str]:
        db = sqlite3.connect(path)
        found = db.execute("SELECT state FROM intents ORDER BY created").fetchall()
        db.close()
        return [state for (state,) in found]

    return await asyncio.to_thread(read)


async def files(path: Path) -> list[str]:
    return await asyncio.to_thread(lambda: sorted(file.name for file in path.parent.iterdir()))


async def closed(journal: Journal) -> None:
    """Until the journal has closed by itself: nobody calls `aclose` a second time."""
    folder = Path(journal.path)
    async with asyncio.timeout(2):
        while len(await files(folder)) > 1 or journal._store is not None:
            pass


async def test_settles_at_work_while_it_closes_are_all_written(path: Path) -> None:
    journal = Journal(path)
    intents = [await intend(journal, number) for number in range(20)]
    tasks = [asyncio.create_task(journal.resolve(one.id, IntentState.CONFIRMED)) for one in intents]
    await asyncio.sleep(0)
    await journal.aclose()
    assert await asyncio.gather(*tasks) == [True] * 20
    assert await on_disk(path) == ["confirmed"] * 20
    assert await files(path) == ["journal.sqlite"]


@pytest.mark.parametrize("turns", range(6))
async def test_a_settle_that_begins_while_it_closes_is_written(path: Path, turns: int) -> None:
    journal = Journal(path)
    intent = await intend(journal)
    await journal.sending(intent)
    journal.hold()
    closing = asyncio.create_task(journal.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    assert await journal.resolve(intent.id, IntentState.CONFIRMED, result="TQ1")
    journal.release()
    await closing
    await closed(journal)
    assert await on_disk(path) == ["confirmed"]
    assert await files(path) == ["journal.sqlite"]


async def test_what_comes_after_it_closed_is_written_and_leaves_nothing_open(path: Path) -> None:
    journal = Journal(path)
    intent = await intend(journal)
    await journal.resolve(intent.id, IntentState.UNKNOWN)
    await journal.aclose()
    assert await journal.resolve(intent.id, IntentState.SETTLED_DONE)
    await closed(journal)
    assert await on_disk(path) == ["settled_done"]
    assert await files(path) == ["journal.sqlite"]


async def test_a_write_under_way_when_its_client_closes_is_noted(path: Path) -> None:
    reached = asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        await exchange.request()
        reached.set()
        await exchange.reader.read()

    async with FaultServer(hang) as server:
        pandapon = client(server.url, journal=path)
        write = asyncio.create_task(_return(pandapon))
        await reached.wait()
        await pandapon.aclose()
        with pytest.raises(OutcomeUnknownError):
            await write
        await closed(pandapon.journal)
    assert await on_disk(path) == ["unknown"]
    assert await files(path) == ["journal.sqlite"]


async def _return(pandapon: Any) -> Any:
    return await pandapon.v1.alibaba.refunds.return_goods(**RETURN)


@pytest.mark.parametrize("turns", [*range(0, 40, 3)])
async def test_a_write_at_any_point_when_its_client_closes(path: Path, turns: int) -> None:
    async with FaultServer(then=_ok) as server:
        pandapon = client(server.url, journal=path)
        write = asyncio.create_task(_return(pandapon))
        for _ in range(turns):
            await asyncio.sleep(0)
        await pandapon.aclose()
        result: Any = (await asyncio.gather(write, return_exceptions=True))[0]
        assert not isinstance(result, BaseException) or isinstance(result, PandaponError)
        await closed(pandapon.journal)
        seen = len(server.requests)
    states = await on_disk(path) if path.name in await files(path) else []
    if isinstance(result, OutcomeUnknownError):
        assert states == ["unknown"]
    elif isinstance(result, PandaponError):
        assert states in ([], ["not_sent"])
        assert seen == 0
    else:
        assert states == ["confirmed"]
    assert await files(path) in ([], ["journal.sqlite"])


async def _ok(exchange: Exchange) -> None:
    await exchange.request()
    await exchange.send(http(envelope({"success": True})))


async def test_a_resolve_at_work_when_its_client_closes_settles_or_says_so(path: Path) -> None:
    journal = Journal(path)
    intent = await intend(journal)
    await journal.resolve(intent.id, IntentState.UNKNOWN)
    async with FaultServer() as server:
        pandapon = client(server.url, journal=journal)
        resolving = asyncio.create_task(pandapon.resolve(intent.id, wait=True))
        for _ in range(5):
            await asyncio.sleep(0)
        await pandapon.aclose()
        await journal.aclose()
        (result,) = await asyncio.gather(resolving, return_exceptions=True)
        assert isinstance(result, Intent | PandaponError)
        await closed(journal)
    assert await on_disk(path) == ["unknown"]
    assert await files(path) == ["journal.sqlite"]


async def test_a_write_that_is_under_way_when_its_client_is_closed_is_noted_as_unknown(path: Path) -> None:
    """Over a borrowed session, too: the session goes on, the request does not."""
    reached, gone = asyncio.Event(), asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        await exchange.request()
        reached.set()
        await exchange.gone()
        gone.set()

    async with FaultServer(hang) as server, aiohttp.ClientSession() as session:
        settings = Settings(base_url=server.url, rate=None, journal=path)
        pandapon = Client(CREDENTIALS, settings, session=session)
        write = asyncio.create_task(_return(pandapon))
        await reached.wait()
        await pandapon.aclose()
        assert await on_disk(path) == ["unknown"]
        with pytest.raises(OutcomeUnknownError):
            await write
        await gone.wait()
        assert not session.closed
    assert await files(path) == ["journal.sqlite"]
