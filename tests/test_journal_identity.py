"""Who writes, and what makes two writes the same; journals of earlier versions and their writers."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import Credentials, DuplicateIntentError, JournalUnavailableError, Settings
from pandapon_async.api.registry import operations
from pandapon_async.cli import doctor_local
from pandapon_async.core.vendor import vendor_id
from pandapon_async.declare.endpoint import Scope
from pandapon_async.journal import IntentState, Journal, WriteKey, Writer
from pandapon_async.journal.place import EarlierFiles
from pandapon_async.journal.writes import before_sending
from tests.support.clients import client
from tests.support.journals import WRITER, noted
from tests.support.server import FaultServer, ok

PLATFORM, ACCOUNT = Scope.PLATFORM, Scope.ACCOUNT
WRITES = {
    "addresses.save": ((), ACCOUNT, ()),
    "alibaba.carts.create_order": ((), ACCOUNT, ()),
    "alibaba.orders.cancel": (("orderId",), PLATFORM, ()),
    "alibaba.orders.confirm_receipt": (
        ("orderId", "orderEntryIds"), PLATFORM, ("orderId", "orderEntryIds"),
    ),
    "alibaba.orders.create": ((), ACCOUNT, ()),
    "alibaba.orders.create_batch": ((), ACCOUNT, ()),
    "alibaba.orders.payment_link": (("orderId",), PLATFORM, ("orderId",)),
    "alibaba.orders.submit_to_pay": (("orderIds",), PLATFORM, ("orderIds",)),
    "alibaba.refunds.create": (
        (
            "orderId", "orderEntryIds", "disputeRequest", "applyPayment", "applyCarriage", "applyReasonId",
            "goodsStatus",
        ),
        PLATFORM,
        ("orderId", "orderEntryIds"),
    ),
    "alibaba.refunds.return_goods": (("refundId",), PLATFORM, ()),
    "freight.create_international_order": (("renderId", "lineItems", "tmallOrderInfo"), PLATFORM, ()),
    "freight.update_domestic_logistics": (("orderId", "tmallOrderId"), PLATFORM, ()),
    "taobao.carts.add": ((), ACCOUNT, ()),
    "taobao.carts.create_order": ((), ACCOUNT, ()),
    "taobao.orders.create": ((), ACCOUNT, ()),
    "taobao.orders.update_warehouse": (("orderId",), PLATFORM, ()),
    "taobao.orders.upload_pay_certificate": (("orderId",), PLATFORM, ()),
    "taobao.refunds.cancel": (("refundId",), PLATFORM, ()),
    "taobao.refunds.post_message": (("refundId", "refundMessage"), PLATFORM, ()),
}  # fmt: skip


def test_every_write_declares_its_key_and_its_scope() -> None:
    found: dict[str, Any] = {}
    for name, operation in operations().items():
        for endpoint in operation.generations.values():
            if not endpoint.repeatable:
                declared = endpoint.key, endpoint.scope, endpoint.subjects
                assert found.setdefault(name, declared) == declared, "all generations share it"
                wires = {parameter.wire for parameter in endpoint.parameters}
                assert set(endpoint.key) <= wires
                assert set(endpoint.subjects) <= set(endpoint.key)
                assert (endpoint.scope is PLATFORM) == bool(endpoint.key)
    assert found == WRITES
    assert len(found) == 19


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://api.pandapon.com", "http://API.PandaPon.com:80/"),
        ("https://api.pandapon.com", "https://api.pandapon.com.:443"),
        ("http://localhost:8080", "http://127.0.0.1:8080/"),
        ("http://localhost", "http://[::1]"),
        ("https://gate.example/pandapon", "https://gate.example/pandapon/"),
    ],
)
def test_spellings_of_one_vendor(one: str, other: str) -> None:
    assert vendor_id(one) == vendor_id(other)


def test_vendors_that_are_not_the_same() -> None:
    urls = [
        "https://api.pandapon.com", "https://api.pandapon.com:8443", "https://pandapon.com",
        "https://api.pandapon.com/a", "https://api.pandapon.com/b", "http://localhost:1", "http://localhost:2",
    ]  # fmt: skip
    assert len({vendor_id(url) for url in urls}) == len(urls)


def test_a_gateway_may_be_told_which_vendor_it_leads_to() -> None:
    credentials = Credentials("k", "s", "1")
    writer = Writer.of(credentials, Settings(base_url="https://gate.example/x", vendor_id="api.pandapon.com"))
    assert writer.vendor == Writer.of(credentials, Settings()).vendor


def key_of(operation: str, **fields: Any) -> WriteKey:
    return WRITER.key_of(operations()[operation].ranked[0], fields)


def test_what_a_write_is_about() -> None:
    create = key_of("alibaba.refunds.create", orderId=1, orderEntryIds=[3, 2, 3], applyPayment=5)
    assert create.subjects == ("alibaba.refunds.create 1/2", "alibaba.refunds.create 1/3")
    pay = key_of("alibaba.orders.submit_to_pay", orderIds=["8", "7"])
    assert pay.subjects == ("alibaba.orders.submit_to_pay 7", "alibaba.orders.submit_to_pay 8")
    nothing = key_of("freight.update_domestic_logistics", logisticInfos=[])
    assert (nothing.scope, list(nothing.natural_key)) == ("vendor 1", ["payload"])
    assert key_of("addresses.save", name="x").scope == "vendor 1"
    assert key_of("alibaba.refunds.return_goods", refundId="TQ1").scope == "vendor"


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4), st.lists(st.integers(1, 4), min_size=1, max_size=4)
)
def test_open_payments_of_one_order_never_overlap(first: list[int], second: list[int]) -> None:
    async def pay() -> None:
        journal = Journal()
        for number, orders in enumerate((first, second)):
            key = key_of("alibaba.orders.submit_to_pay", orderIds=[str(order) for order in orders])
            intent = journal.draft(key, writer=WRITER, facts={}, digest="d")
            overlaps = number == 1 and bool(set(first) & set(second))
            try:
                await journal.add(intent, once=False, subjects=key.subjects)
                assert not overlaps
            except DuplicateIntentError:
                assert overlaps
        await journal.aclose()

    asyncio.run(pay())


async def test_a_second_payment_is_never_what_is_meant(tmp_path: Path) -> None:
    async with FaultServer(then=ok({})) as server, client(server.url, allow_second=True) as pandapon:
        key = pandapon.write_key("alibaba.orders.submit_to_pay", {"order_ids": ["1", "2"]})
        await noted(
            pandapon.journal, operation=key.operation, natural_key=key.natural_key, subjects=key.subjects,
            writer=pandapon.writer,
        )  # fmt: skip
        with pytest.raises(DuplicateIntentError):
            await pandapon.alibaba.orders.submit_to_pay(order_ids=["2", "3"])
        assert server.requests == []


async def test_the_mark_only_grows_and_is_told_before_the_bytes_leave(tmp_path: Path) -> None:
    marks: list[int] = []
    ids: list[str] = []

    async def keep(mark: int, intent_id: str) -> None:
        marks.append(mark)
        ids.append(intent_id)

    path = tmp_path / "journal.sqlite"
    async with (
        FaultServer(then=ok({"success": True})) as server,
        client(server.url, journal=path) as pandapon,
    ):
        before_sending.set(keep)
        for number in range(3):
            refund_id = f"TQ{number}"
            await pandapon.alibaba.refunds.return_goods(
                refund_id=refund_id, logistics_company_no="SF", freight_bill="SF1"
            )
            assert await pandapon.journal.mark() == marks[-1]
        assert marks == sorted(set(marks))
        assert len(marks) == 3
        assert ids == [one.id for one in await pandapon.journal.find()]
        assert await pandapon.journal.newest_sent() == ids[-1]
    journal = Journal(path)
    assert await journal.mark() == marks[-1]
    await journal.aclose()


async def test_what_cannot_be_kept_before_the_bytes_leave_stops_them(tmp_path: Path) -> None:
    async def fail(mark: int, intent_id: str) -> None:
        raise JournalUnavailableError("the plan is on a full disk")

    async with FaultServer(then=ok({"success": True})) as server, client(server.url) as pandapon:
        before_sending.set(fail)
        with pytest.raises(JournalUnavailableError):
            await pandapon.alibaba.refunds.return_goods(
                refund_id="TQ1", logistics_company_no="SF", freight_bill="SF1"
            )
        assert server.requests == []
        (intent,) = await pandapon.journal.find()
        assert intent.state is IntentState.NOT_SENT


# --- journals of earlier versions

FORMATS = Path(__file__).parent / "data" / "formats"
HERE = Settings(base_url="https://api.pandapon.com")
FIRST = Writer.of(Credentials("key-a", "secret", "1001"), HERE)
SECOND = Writer.of(Credentials("key-b", "secret", "1002"), HERE)
ROTATED = Writer.of(Credentials("key-c", "secret", "1001"), HERE)
RETURN = "alibaba.refunds.return_goods"


def earlier_file(folder: Path, writer: Writer) -> Path:
    return Path(shutil.copy(FORMATS / "journal-1.sqlite", folder / f"journal-{writer.legacy}.sqlite"))


async def write(journal: Journal, writer: Writer, refund_id: str) -> None:
    intent = journal.draft(
        WriteKey(writer.vendor, RETURN, {"refundId": refund_id}), writer=writer, facts={}, digest="d"
    )
    await journal.add(intent, once=False)


async def test_rows_whose_writer_is_not_known_count_for_everybody(tmp_path: Path) -> None:
    journal = Journal(shutil.copy(FORMATS / "journal-1.sqlite", tmp_path / "journal.sqlite"))
    assert len(await journal.unassigned()) == 2
    with pytest.raises(DuplicateIntentError):
        await write(journal, ROTATED, "TQ2001")  # two accounts left it open
    with pytest.raises(DuplicateIntentError):
        await write(journal, Writer("elsewhere", "9"), "TQ2001")
    await write(journal, ROTATED, "TQ9999")
    await journal.aclose()


async def test_open_rows_that_become_the_same_all_stay_open(tmp_path: Path) -> None:
    """Two accounts left the same return open: its key is free only when both are settled."""
    journal = Journal(shutil.copy(FORMATS / "journal-1.sqlite", tmp_path / "journal.sqlite"))
    with pytest.raises(DuplicateIntentError):
        await write(journal, FIRST, "TQ2001")
    assert await journal.unassigned() == [SECOND.legacy], "the writer's own rows are known by its hash"
    both = await journal.with_key(FIRST.vendor, RETURN, {"refundId": "TQ2001"})
    assert [one.state for one in both] == [IntentState.UNKNOWN] * 2
    for one in both:
        with pytest.raises(DuplicateIntentError):
            await write(journal, SECOND, "TQ2001")
        assert len(await journal.extra()) == (one is both[0])
        await journal.resolve(one.id, IntentState.NOT_SENT)
    await write(journal, SECOND, "TQ2001")
    assert await journal.extra() == []
    await journal.aclose()


async def test_an_open_payment_of_an_earlier_version_may_be_about_any_order(tmp_path: Path) -> None:
    journal = Journal(shutil.copy(FORMATS / "journal-1.sqlite", tmp_path / "journal.sqlite"))
    key = FIRST.key_of(operations()["alibaba.orders.submit_to_pay"].ranked[0], {"orderIds": ["999"]})

    async def pay() -> None:
        intent = journal.draft(key, writer=FIRST, facts={}, digest="d")
        await journal.add(intent, once=False, subjects=key.subjects)

    with pytest.raises(DuplicateIntentError) as held:
        await pay()
    await journal.resolve(held.value.intent_id or "", IntentState.SETTLED_ABSENT)
    await pay()
    await journal.aclose()


async def test_the_lines_of_earlier_applications_are_known(tmp_path: Path) -> None:
    journal = Journal(shutil.copy(FORMATS / "journal-1.sqlite", tmp_path / "journal.sqlite"))
    order = 2542285634920880008
    key = FIRST.key_of(
        operations()["alibaba.refunds.create"].ranked[0],
        {"orderId": order, "orderEntryIds": [order + 73], "applyPayment": 1},
    )
    (found,) = await journal.about(key)
    assert found.state is IntentState.UNKNOWN
    await journal.aclose()


async def test_the_writers_own_automatic_journal_is_taken_over(tmp_path: Path) -> None:
    old = earlier_file(tmp_path, FIRST)
    with contextlib.closing(sqlite3.connect(old)) as db:
        before = db.execute("SELECT count(*) FROM intents").fetchone()[0]
    new = tmp_path / "writes.sqlite"
    for _ in range(2):
        journal = Journal(new, earlier=EarlierFiles(tmp_path, FIRST))
        found = await journal.find()
        assert len(found) == before
        assert {one.user_id for one in found} <= {"1001"}
        assert len(await journal.identities()) == 2
        assert await journal.mark() >= before
        await write(journal, FIRST, f"TQ{await journal.mark()}")
        before += 1
        await journal.aclose()
    assert not old.exists()
    assert old.with_name(f"{old.name}.adopted").exists()


async def test_another_automatic_journal_stops_the_first_write_until_it_is_adopted(tmp_path: Path) -> None:
    old = earlier_file(tmp_path, FIRST)
    new = tmp_path / "writes.sqlite"
    journal = Journal(new, earlier=EarlierFiles(tmp_path, ROTATED))
    assert await journal.find() == [], "reading is not stopped"
    with pytest.raises(JournalUnavailableError, match=f"journal adopt {old} --user-id ID"):
        await write(journal, ROTATED, "TQ1")
    check = await doctor_local._look_into(journal, str(new))
    assert (check.state, f"journal adopt {old}" in check.advice) == ("bad", True)
    assert await journal.adopt(old, ROTATED) == 24
    await journal.aclose()
    journal = Journal(new, earlier=EarlierFiles(tmp_path, ROTATED))
    with pytest.raises(DuplicateIntentError):
        await write(journal, ROTATED, "TQ2001")
    await write(journal, ROTATED, "TQ1")
    check = await doctor_local._look_into(journal, str(new))
    assert (check.state, "a newer open one" in check.found) == ("warning", True)
    await journal.aclose()


async def test_a_journal_that_an_earlier_version_still_uses_is_not_taken(tmp_path: Path) -> None:
    old = earlier_file(tmp_path, FIRST)
    with FileLock(f"{old}.session.lock"):
        journal = Journal(tmp_path / "writes.sqlite", earlier=EarlierFiles(tmp_path, FIRST))
        with pytest.raises(JournalUnavailableError, match="in use by a program with an earlier version"):
            await journal.find()
        await journal.aclose()
    assert old.exists()


async def test_the_rows_of_a_named_file_are_assigned_in_place(tmp_path: Path) -> None:
    path = shutil.copy(FORMATS / "journal-1.sqlite", tmp_path / "journal.sqlite")
    journal = Journal(path)
    assert await journal.adopt(path, ROTATED) == 24
    assert await journal.unassigned() == []
    assert {one.user_id for one in await journal.find()} == {"1001"}
    await journal.aclose()
