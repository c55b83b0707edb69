"""What stands between the client and a disk shared with others: locks, leftovers, files that shrink."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from filelock import FileLock

from pandapon_async import (
    ConfigurationError,
    DeadlineExceededError,
    InvalidArgumentError,
    JournalUnavailableError,
    Outcome,
    Override,
    Safety,
    Settings,
)
from pandapon_async.core.model import Id
from pandapon_async.core.structure import StructureError, structurer
from pandapon_async.declare.endpoint import Evidence, endpoints
from pandapon_async.images import Image
from pandapon_async.journal import journal as journals
from pandapon_async.journal import store as stores
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.store import IntentState, JournalStore
from pandapon_async.models.alibaba.refunds import RefundReason, RefundStatus
from pandapon_async.money import Fen
from pandapon_async.transport import image_body as upload
from pandapon_async.transport.requests import RequestBuilder, _plain_query, query_text
from tests.support.clients import JPEG, at_rest, client
from tests.support.server import FaultServer
from tests.support.virtual import LoopClock, VirtualLoop, virtual_time


def test_a_file_that_shrinks_between_the_look_and_the_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "proof.jpg"
    path.write_bytes(JPEG)
    look = os.fstat

    def then_it_shrinks(descriptor: int) -> os.stat_result:
        found = look(descriptor)
        os.truncate(path, 10)
        return found

    monkeypatch.setattr(os, "fstat", then_it_shrinks)
    with pytest.raises(upload._Unreadable, match="while it was being sent"):
        upload._read_file(path, 0, len(JPEG), len(JPEG), None)


def test_an_image_that_shrank_since_it_was_checked_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "proof.jpg"
    path.write_bytes(JPEG)
    image = Image(path, len(JPEG), "jpeg")
    assert image.read() == JPEG
    path.write_bytes(JPEG[:-1])
    with pytest.raises(ValueError, match="changed while it was waiting"):
        image.read()
    path.unlink()
    with pytest.raises(ValueError, match="changed while it was waiting"):
        image.digest()


def test_an_upload_is_never_made_into_text() -> None:
    body = upload.ImageBody({"image": Image(JPEG, len(JPEG), "jpeg")})
    with pytest.raises(TypeError, match="only ever streamed"):
        body.decode()


def test_opening_waits_for_another_process_that_is_opening_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "journal.sqlite")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE t (a)")
    other.execute("DROP TABLE t")
    waited: list[float] = []
    connect = sqlite3.connect

    class Impatient(sqlite3.Connection):
        """Gives up at once, as SQLite does when two switch to the log at the same time."""

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql == "PRAGMA journal_mode = WAL" and len(waited) < 2:
                raise sqlite3.OperationalError("database is locked")
            return super().execute(sql, *arguments)

    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **more: connect(*given, **{**more, "factory": Impatient})
    )
    monkeypatch.setattr(time, "sleep", waited.append)
    other.close()
    JournalStore(path, "s").close()
    assert len(waited) == 2
    waited.clear()
    monkeypatch.setattr(stores, "BUSY_SECONDS", -1.0)
    with pytest.raises(JournalUnavailableError, match="locked"):
        JournalStore(path, "s")
    assert waited == []


@virtual_time
async def _clears_away(folder: Path) -> None:
    path = folder / "journal.sqlite"
    old, held, young = (Path(f"{path}.{name}.lock") for name in ("old", "held", "young"))
    for file in (old, held, young):
        file.touch()
    long_ago = time.time() - journals.STALE_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    with FileLock(held, thread_local=False):
        os.utime(held, (long_ago, long_ago))
        journal = Journal(path, clock=LoopClock())
        await journal.open()
        assert not old.exists(), "what a killed process left is cleared away"
        assert held.exists(), "a living process keeps its lock"
        assert young.exists(), "it may be of one that is just opening"
        await journal.aclose()


def test_locks_that_killed_processes_left_are_cleared_away(tmp_path: Path) -> None:
    _clears_away(tmp_path)


@virtual_time
async def _fails_to_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "journal.sqlite"

    def fails(*_: object) -> int:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(JournalStore, "sessions", fails)
    journal = Journal(path, clock=LoopClock())
    with pytest.raises(JournalUnavailableError):
        await journal.open()
    assert list(folder.glob("*.lock")) == [], "the lock of a session that never began"
    monkeypatch.undo()
    await journal.open()
    assert await journal.counts() == {}
    await journal.aclose()
    await asyncio.sleep(0)


def test_a_journal_that_cannot_look_at_earlier_sessions_can_be_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails_to_open(tmp_path, monkeypatch)


@virtual_time
async def _has_no_file(folder: Path) -> None:
    (folder / "journal.sqlite").mkdir()
    journal = Journal(folder / "journal.sqlite", clock=LoopClock())
    with pytest.raises(JournalUnavailableError):
        await journal.open()
    assert list(folder.glob("*.lock")) == []
    await journal.aclose()


def test_a_folder_in_the_journals_place_leaves_no_lock(tmp_path: Path) -> None:
    _has_no_file(tmp_path)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (int | str, "x", 1.5),
        (Fen, "12", "1.2"),
        (bool | None, True, 1),
        (list[int] | None, [1], ["1"]),
        (list[int], [1], {"a": 1}),
    ],
)
def test_a_value_of_another_kind_is_told_and_not_converted(kind: Any, good: Any, bad: Any) -> None:
    assert structurer(kind)(good, None) is not None
    with pytest.raises(StructureError):
        structurer(kind)(bad, None)


@virtual_time
async def test_a_disk_that_is_slower_than_the_deadline_sends_nothing() -> None:
    """The intent is on disk, and by then there is no time left: surely not sent, and noted as that."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    async with FaultServer() as server, client(server.url, timeout=5) as pandapon:
        add = pandapon.journal.add

        async def slow(*arguments: Any, **more: Any) -> None:
            await add(*arguments, **more)
            loop.stall(60)

        pandapon.journal.add = slow  # type: ignore[method-assign]
        with pytest.raises(DeadlineExceededError) as caught:
            await pandapon.v1.taobao.refunds.cancel(refund_id="110000235001")
        assert caught.value.outcome is Outcome.NOT_SENT
        assert server.requests == []
        assert await pandapon.journal.counts() == {IntentState.NOT_SENT: 1}
        at_rest(pandapon)


def test_an_inferred_path_is_called_only_when_that_is_allowed() -> None:
    endpoint = attrs.evolve(endpoints()["v1.alibaba.refunds.get"], evidence=Evidence.INFERRED)
    with pytest.raises(ConfigurationError, match="allow_inferred"):
        RequestBuilder.of(endpoint, Settings())
    assert RequestBuilder.of(endpoint, Settings(allow_inferred=True))


def test_an_overriding_path_is_checked() -> None:
    endpoint = endpoints()["v1.alibaba.refunds.get"]
    settings = Settings(overrides={endpoint.name: Override(path="/a/{nobody_gives_this}")})
    with pytest.raises(ConfigurationError, match="override of"):
        RequestBuilder.of(endpoint, settings)


def test_a_query_that_needs_encoding() -> None:
    query = {"a": True, "b": "x y&c=1", "c": [1, False]}
    assert _plain_query({"a": 1, "b": "TQ1"}) == "a=1&b=TQ1"
    assert _plain_query(query) is None
    assert query_text(query) == "?a=true&b=x%20y%26c%3D1&c=1&c=false"
    assert query_text({}) == ""


@virtual_time
async def test_params_of_an_undeclared_call_are_finite() -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        for number in ("NaN", "Infinity"):
            with pytest.raises(InvalidArgumentError, match="finite"):
                await pandapon.request("GET", "/x", params={"a": Decimal(number)}, safety=Safety.READ)
        assert server.requests == []


@virtual_time
async def _has_the_same_id(folder: Path) -> None:
    journal = Journal(folder / "journal.sqlite", clock=LoopClock())
    about: dict[str, Any] = {
        "account": "a",
        "operation": "alibaba.refunds.create",
        "facts": {},
        "digest": "0",
    }
    first = await journal.intend(**about, natural_key={"refund_id": "1"}, once=True)
    second = journal.draft(**about, natural_key={"refund_id": "2"})
    second.id = first.id
    with pytest.raises(JournalUnavailableError):
        await journal.add(second, once=True)
    assert [intent.natural_key for intent in await journal.find()] == [{"refund_id": "1"}]
    await journal.aclose()


def test_a_row_that_cannot_be_written_is_no_duplicate_and_nothing_may_be_sent(tmp_path: Path) -> None:
    _has_the_same_id(tmp_path)


def test_unions_are_told_apart_by_what_came() -> None:
    number_or_text: Any = int | str | None
    assert structurer(number_or_text)(None, None) is None
    one_or_many: Any = RefundReason | list[int]
    assert structurer(one_or_many)([1], None) == [1]
    assert isinstance(structurer(one_or_many)({}, None), RefundReason)
    exact: Any = Decimal | bool
    assert structurer(exact)(True, None) is True
    assert structurer(exact)(Decimal("1.5"), None) == Decimal("1.5")
    status: Any = RefundStatus | str | None
    assert structurer(status)("of next year", None) == "of next year"
    assert structurer(status)(None, None) is None
    fee: Any = Fen
    assert structurer(fee)(5, None) == structurer(fee)("5", None) == Fen(5)
    one_or_more_ids: Any = Id | list[int]
    assert structurer(one_or_more_ids)("110", None) == "110"
    identity: Any = Id
    for kind, wrong in ((status, [1]), (identity, 1.5), (identity, True), (exact, "text")):
        with pytest.raises(StructureError):
            structurer(kind)(wrong, None)
