"""Which writes are the same, which stand in the way of another, and what proves what became of one."""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pandapon_async import Clock, Credentials, Settings
from pandapon_async.api.registry import endpoints
from pandapon_async.core.vendor import vendor_id
from pandapon_async.errors import ErrorKind
from pandapon_async.journal import Intent, IntentState, Resolution, Writer
from pandapon_async.journal.ages import Ages, seconds_left
from pandapon_async.journal.identity import anything
from pandapon_async.journal.resolve import ResolvedOutcome, carries_waybill, judge
from pandapon_async.journal.rows import row_of
from pandapon_async.journal.store import Added, JournalStore
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.storage.damage import with_checksum
from tests.support.journals import at

CREATE = endpoints()["v1.alibaba.refunds.create"]
PAY = endpoints()["v1.alibaba.orders.submit_to_pay"]
ADDRESS = endpoints()["v1.addresses.save"]
STATES = list(IntentState)
ONE, TWO = Writer("vendor", "1"), Writer("vendor", "2")


@pytest.mark.parametrize(
    ("spellings", "vendor"),
    [
        (
            ("https://openapi.pandapon.com", "https://OpenAPI.PandaPon.com:443/", "https://openapi.pandapon.com."),
            "openapi.pandapon.com",
        ),
        (("http://a.example:80", "https://a.example:443", "http://a.example"), "a.example"),
        (("https://a.example:80", "https://A.example.:80/"), "a.example:80"),
        (("https://gateway.example/b", "https://gateway.example/b/"), "gateway.example/b"),
        (("http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "http://LOCALHOST.:8080"),
         "localhost:8080"),
        (("http://127.0.0.1", "https://localhost:443"), "localhost"),
        (("https://bücher.example", "https://BÜCHER.example", "https://xn--bcher-kva.example"),
         "xn--bcher-kva.example"),
        (("http://[2001:db8::1]:8080", "http://[2001:DB8::1]:8080/"), "[2001:db8::1]:8080"),
    ],
)  # fmt: skip
def test_spellings_of_one_vendor_are_one_and_others_are_not(spellings: tuple[str, ...], vendor: str) -> None:
    assert {vendor_id(spelling) for spelling in spellings} == {vendor}


def test_a_setting_overrides_the_address_and_a_rotated_key_is_no_other_writer() -> None:
    first, second = Credentials("a", "s", "7"), Credentials("b", "t", "7")
    settings = Settings(base_url="https://gateway.example/x")
    assert attrs.evolve(Writer.of(first, settings), legacy="") == Writer("gateway.example/x", "7")
    assert Writer.of(first, settings).legacy != Writer.of(second, settings).legacy
    named = Writer.of(second, Settings(base_url="https://gateway.example/x", vendor_id="pandapon"))
    assert (named.vendor, named.user_id) == ("pandapon", "7")


APPLICATION: dict[str, Any] = {
    "orderId": 100,
    "orderEntryIds": [2, 1],
    "disputeRequest": "refund",
    "applyPayment": 500,
    "applyCarriage": 0,
    "applyReasonId": 20022,
    "goodsStatus": "refundBuyerReceived",
    "description": "the seams are open",
}


def test_a_key_with_an_id_of_the_platform_is_the_same_for_all_accounts() -> None:
    mine, theirs = ONE.key_of(CREATE, APPLICATION), TWO.key_of(CREATE, APPLICATION)
    assert mine == theirs
    assert mine.scope == "vendor"
    assert mine.subjects == ("alibaba.refunds.create 100/1", "alibaba.refunds.create 100/2")
    assert Writer("other", "1").key_of(CREATE, APPLICATION).scope == "other"


def test_a_key_without_one_belongs_to_the_account() -> None:
    payload = {"name": "x"}
    mine, theirs = ONE.key_of(ADDRESS, payload), TWO.key_of(ADDRESS, payload)
    assert (mine.scope, theirs.scope) == ("vendor 1", "vendor 2")
    assert mine.natural_key == theirs.natural_key
    assert mine.natural_key.keys() == {"payload"}
    assert ONE.key_of(ADDRESS, {"name": "y"}).natural_key != mine.natural_key


def test_only_what_the_key_declares_tells_writes_apart() -> None:
    key = ONE.key_of(CREATE, APPLICATION)
    assert ONE.key_of(CREATE, {**APPLICATION, "description": "another"}) == key
    for name in CREATE.key:
        changed = {**APPLICATION, name: [3] if name == "orderEntryIds" else f"{APPLICATION[name]}1"}
        assert ONE.key_of(CREATE, changed).natural_key != key.natural_key, name


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.randoms())
def test_order_and_repetition_of_ids_say_nothing(ids: list[int], chance: Any) -> None:
    shuffled = [*ids, ids[0]]
    chance.shuffle(shuffled)
    first = ONE.key_of(PAY, {"orderIds": ids})
    assert ONE.key_of(PAY, {"orderIds": shuffled}) == first
    assert set(first.subjects) == {f"alibaba.orders.submit_to_pay {number}" for number in ids}
    assert ONE.key_of(PAY, {"orderIds": [*ids, 31]}) != first


def intent(number: int, **changes: Any) -> Intent:
    given: dict[str, Any] = {
        "id": f"id-{number}",
        "scope": "vendor",
        "operation": "o",
        "natural_key": {"k": number},
        "digest": "d",
        "facts": {},
        "state": IntentState.SENT,
        "created": float(number),
        "updated": 0.0,
    }
    return Intent(**{**given, **changes})


@pytest.fixture
def store() -> Any:
    opened = JournalStore(":memory:", "s")
    opened.begin(durable=True)
    yield opened
    opened.commit()
    opened.close()


def ended(store: JournalStore, one: Intent, state: IntentState, **facts: Any) -> None:
    """Write an intent down that ends like this."""
    assert store.add(one, False) in (Added(), Added(doubtful=store.get("id-1")))
    if state is not one.state:
        assert store.resolve(one.id, state, at(1.0), **facts)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("allowed", [False, True])
def test_an_open_write_about_one_of_the_lines_stands_in_the_way(
    store: JournalStore, state: IntentState, allowed: bool
) -> None:
    first = intent(1, state=state)
    store.add(first, False, ["o 100/1", "o 100/2"])
    added = store.add(intent(2), False, ["o 100/2", "o 100/3"], allow_second=allowed)
    assert (added.blocking is None) == (allowed or not state.open)
    assert added.blocking is None or added.blocking.id == "id-1"


@pytest.mark.parametrize(
    ("changes", "subjects"),
    [({"scope": "other"}, ["o 100/1"]), ({}, ["o 100/3"]), ({"operation": "p"}, ["p 100/1"]), ({}, [])],
)
def test_another_vendor_line_or_operation_does_not(
    store: JournalStore, changes: dict[str, Any], subjects: list[str]
) -> None:
    store.add(intent(1), False, ["o 100/1", "o 100/2"])
    assert store.add(intent(2, **changes), False, subjects) == Added()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("once", [False, True])
def test_what_stands_in_the_way_of_the_same_write(
    store: JournalStore, state: IntentState, once: bool
) -> None:
    store.add(intent(1, natural_key={"k": 1}, state=state), False)
    added = store.add(intent(2, natural_key={"k": 1}), once)
    assert (added.blocking is not None) == (state.open or (once and state.succeeded))
    assert store.add(intent(3, natural_key={"k": 1}, operation="p"), once) == Added()
    assert store.add(intent(4, natural_key={"k": 1}, scope="other"), once) == Added()


KINDS = (ErrorKind.RATE_LIMIT, ErrorKind.AUTHENTICATION, ErrorKind.REJECTED, None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", [state for state in STATES if not state.open])
def test_an_end_changes_only_to_done_and_only_where_it_was_no_proof(
    store: JournalStore, state: IntentState, kind: ErrorKind | None
) -> None:
    store.add(intent(1), False)
    store.resolve("id-1", state, at(1.0), error_kind=kind)
    at_the_door = kind in (ErrorKind.RATE_LIMIT, ErrorKind.AUTHENTICATION)
    no_proof = state is IntentState.SETTLED_ABSENT or (state is IntentState.REJECTED and at_the_door)
    for after in STATES:
        may = no_proof and after is IntentState.SETTLED_DONE
        store._connection.execute("SAVEPOINT before")
        assert store.resolve("id-1", after, at(2.0)) == may, after
        store._connection.execute("ROLLBACK TO before")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resolution", [None, Resolution.ABSENT])
@pytest.mark.parametrize("state", STATES)
def test_which_end_is_doubtful(
    state: IntentState, kind: ErrorKind | None, resolution: Resolution | None
) -> None:
    at_the_door = kind in (ErrorKind.RATE_LIMIT, ErrorKind.AUTHENTICATION) and resolution is None
    expected = state is IntentState.SETTLED_ABSENT or (state is IntentState.REJECTED and at_the_door)
    assert intent(1, state=state, error_kind=kind, resolution=resolution).doubtful is expected


def test_a_doubtful_earlier_write_keeps_the_new_one_from_being_sent_unread(store: JournalStore) -> None:
    key = {"natural_key": {"k": 1}}
    ended(store, intent(1, **key), IntentState.SETTLED_ABSENT)
    for other in ({"natural_key": {"k": 2}}, {**key, "operation": "p"}, {**key, "scope": "other"}):
        assert store.add(intent(hash(str(other)) % 1000 + 10, **other), False) == Added()
    again = intent(2, **key)
    found = store.add(again, False).doubtful
    assert found is not None
    assert (found.id, again.state, again.attempts) == ("id-1", IntentState.INTENDED, 0)
    assert store.resolve("id-2", IntentState.NOT_SENT, at(2.0))
    newest = intent(3, **key)
    still = store.add(newest, False).doubtful
    assert still is not None, "what was not sent proves nothing about the earlier one"
    assert store.resolve("id-3", IntentState.SETTLED_DONE, at(2.0))
    assert store.add(intent(4, **key), False) == Added(), "it was carried out since, and may be meant again"


def test_of_earlier_writes_the_newest_that_decides_is_told(store: JournalStore) -> None:
    key = {"natural_key": {"k": 1}}
    ended(store, intent(1, **key), IntentState.SETTLED_ABSENT)
    assert store.add(intent(2, **key), False).doubtful is not None
    store.resolve("id-2", IntentState.SETTLED_ABSENT, at(1.0))
    assert store.add(intent(3, **key), False).doubtful is not None
    store.resolve("id-3", IntentState.REJECTED, at(1.0), error_kind=ErrorKind.REJECTED)
    newest = store.add(intent(4, **key), False).doubtful
    assert newest is not None
    assert newest.id == "id-2", "what the vendor refused says nothing of those before"
    for number in (4, 5):
        store.resolve(f"id-{number}", IntentState.CONFIRMED, at(1.0))
        assert store.add(intent(number + 1, **key), False) == Added()
    store.resolve("id-6", IntentState.NOT_SENT, at(1.0))
    blocking = store.add(intent(7, **key), True).blocking
    assert blocking is not None
    assert blocking.id == "id-5"
    assert [one.id for one in store.with_key("vendor", "o", {"k": 1})][:2] == ["id-6", "id-5"]


def test_an_id_that_is_there_already_is_no_new_write(store: JournalStore) -> None:
    store.add(intent(1), False)
    with pytest.raises(sqlite3.DatabaseError):
        store.add(intent(1, natural_key={"k": 2}), False)


def test_what_is_about_a_line_comes_newest_first(store: JournalStore) -> None:
    for number in (1, 2):
        store.add(intent(number), False, ["o 100/1"], allow_second=True)
    assert [one.id for one in store.about("vendor", "o", ["o 100/1"])] == ["id-2", "id-1"]


def test_a_sending_is_counted_and_its_time_is_that_of_the_last_sign_of_life(store: JournalStore) -> None:
    store.add(intent(1, state=IntentState.INTENDED), False)
    assert (store.newest_sent(), store.was_sent("id-1")) == (None, False)
    for times in (1, 2):
        assert store.sending("id-1", at(float(times)))
        sent = store.get("id-1")
        assert sent is not None
        assert (sent.attempts, sent.wrote, sent.uptime) == (times, times, times)
        assert (store.newest_sent(), store.was_sent("id-1")) == ("id-1", True)
    store.resolve("id-1", IntentState.UNKNOWN, at(3.0))
    lost = store.get("id-1")
    assert lost is not None
    assert (lost.wrote, lost.uptime) == (3.0, 3.0), "until then it may have been under way"
    store.resolve("id-1", IntentState.SETTLED_ABSENT, at(4.0))
    settled = store.get("id-1")
    assert settled is not None
    assert (settled.wrote, settled.updated) == (3.0, 4.0), "a look makes it no younger"


@pytest.mark.parametrize(
    ("boot", "told", "row", "age"),
    [
        ("b", 500.0, {"boot": "b", "uptime": 40.0, "served": 1.0}, 60.0),
        ("b", 500.0, {"boot": "b", "uptime": 140.0, "served": 1.0}, 0.0),  # a machine put back in time
        ("c", 500.0, {"boot": "b", "uptime": 40.0, "served": 470.0}, 30.0),
        ("c", 500.0, {"boot": "b", "uptime": 40.0, "served": 500.0}, 0.0),
        ("c", 500.0, {"boot": "b", "uptime": 40.0, "served": 999.0}, 0.0),
        ("c", 500.0, {"boot": "b", "uptime": 40.0, "served": None}, 7.0),
        ("c", None, {"boot": "b", "uptime": 40.0, "served": 470.0}, 7.0),
        (None, 500.0, {"boot": None, "uptime": None, "served": 400.0}, 100.0),
        (None, None, {"boot": None, "uptime": None, "served": None}, 7.0),
    ],
)
def test_an_age_is_that_of_one_boot_or_of_the_server_or_of_what_was_seen(
    boot: str | None, told: float | None, row: dict[str, Any], age: float
) -> None:
    class Still(Clock):
        time = 1_000.0

        def now(self) -> float:
            return self.time

        def boot(self) -> tuple[str, float] | None:
            return None if boot is None else (boot, 100.0)

    clock = Still()
    ages = Ages(clock, lambda: told)
    ages.of(intent(1, **row))
    clock.time += 7.0
    assert ages.of(intent(1, **row)) == age


def test_a_form_shows_our_waybill_only_if_we_sent_one() -> None:
    assert not carries_waybill(Refund(refund_id="TQ1", freight_bill="SF1"), None)


def test_a_form_belongs_to_the_write_that_opened_it(store: JournalStore) -> None:
    ended(store, intent(1), IntentState.CONFIRMED, result="TQ1")
    assert store.claimed(intent(2), "TQ1")
    assert not store.claimed(intent(2), "TQ2")
    assert not store.claimed(intent(1), "TQ1")
    assert not store.claimed(intent(2, operation="p"), "TQ1")
    assert not store.claimed(intent(2, scope="other"), "TQ1")


@pytest.mark.parametrize("end", [IntentState.NOT_SENT, IntentState.SETTLED_DONE])
def test_of_open_rows_that_become_the_same_one_counts_and_all_have_to_be_settled(
    store: JournalStore, end: IntentState
) -> None:
    """Two keys of one account wrote the same application with an earlier version, which kept them apart."""
    for number, account in ((1, "old-a"), (2, "old-b")):
        row = intent(number, scope="", account=account, natural_key={"k": 1}, extra=number == 1)
        values = with_checksum(row_of(row))
        store._connection.execute(f"INSERT INTO intents VALUES ({', '.join('?' * len(values))})", values)
    assert [store.assign(ONE, account) for account in ("old-b", "old-a")] == [1, 1]
    assert [one.id for one in store.extra()] == ["id-1"]
    for left in ("id-2", "id-1"):
        assert store.add(intent(3, scope="vendor 1", natural_key={"k": 1}), False).blocking is not None
        assert store.resolve(left, end, at(1.0))
    assert store.add(intent(4, scope="vendor 1", natural_key={"k": 1}), False) == Added()


def put(store: JournalStore, one: Intent) -> None:
    """A row as an earlier version left it, whatever stands in its way."""
    values = with_checksum(row_of(one))
    store._connection.execute(f"INSERT INTO intents VALUES ({', '.join('?' * len(values))})", values)
    store._look_for_old_rows()


@pytest.mark.parametrize("older", [{"extra": True}, {"scope": "", "account": "old"}])
def test_an_open_row_of_an_earlier_version_stands_in_the_way_behind_a_newer_that_ended(
    store: JournalStore, older: dict[str, Any]
) -> None:
    """Also where the newer one would let the write go: what is open may still be carried out."""
    key = {"natural_key": {"k": 1}}
    put(store, intent(1, **key, **older))
    put(store, intent(2, state=IntentState.CONFIRMED, **key))
    blocking = store.add(intent(3, **key), False).blocking
    assert blocking is not None
    assert blocking.id == "id-1"


def test_the_file_itself_allows_one_open_write_of_a_key(store: JournalStore) -> None:
    key = {"natural_key": {"k": 1}}
    put(store, intent(1, **key))
    for state in (IntentState.INTENDED, IntentState.SENT, IntentState.UNKNOWN):
        with pytest.raises(sqlite3.IntegrityError):
            put(store, intent(2, state=state, **key))
    put(store, intent(3, state=IntentState.REJECTED, **key))
    put(store, intent(4, extra=True, **key))


def test_a_row_that_may_be_about_anything_stands_in_the_way_of_its_kind(store: JournalStore) -> None:
    """A call that was known by its payload once, and has a key now, and is about no line."""
    store.add(intent(1), False, [anything("o")])
    store._look_for_old_rows()
    blocking = store.add(intent(2), False).blocking
    assert blocking is not None
    assert blocking.id == "id-1"
    assert store.add(intent(3, operation="p"), False) == Added()
    assert store.add(intent(4), False, allow_second=True) == Added()


def test_of_two_that_were_given_up_the_newer_is_looked_at(store: JournalStore) -> None:
    """What the vendor refused between them decides nothing."""
    key = {"natural_key": {"k": 1}}
    for number, state in ((1, "settled_absent"), (2, "rejected"), (3, "settled_absent")):
        put(store, intent(number, state=IntentState(state), error_kind=ErrorKind.REJECTED, **key))
    doubtful = store.add(intent(4, **key), True).doubtful
    assert doubtful is not None
    assert doubtful.id == "id-3"


@given(st.floats(0, 1e8), st.floats(0, 120), st.floats(0.001, 1e4))
@example(1_000.0, 0.0, 60.0)
def test_who_waits_as_long_as_told_has_waited_long_enough(
    written: float, since: float, settle_after: float
) -> None:
    """Ages are differences of clocks, and (0.1 + 0.2) - 0.1 is not 0.2."""
    looked = written + since
    left = seconds_left(looked - written, settle_after)
    assert (left == 0.0) == (looked - written >= settle_after)
    assert seconds_left((looked + left) - written, settle_after) == 0.0
    assert left <= max(0.0, settle_after - (looked - written)) + 0.001_001


@pytest.mark.parametrize("resolution", Resolution)
@pytest.mark.parametrize(("user_id", "as_account"), [("1", False), ("2", False), ("2", True)])
@pytest.mark.parametrize("age", [0.0, 59.9, 60.0, 3_600.0])
def test_a_form_that_is_ours_proves_it_and_absence_only_to_its_writer_and_in_time(
    resolution: Resolution, user_id: str, as_account: bool, age: float
) -> None:
    reader = Writer("vendor", user_id)
    written = intent(1, state=IntentState.UNKNOWN, user_id="1")
    state = judge(ResolvedOutcome(resolution, ""), written, reader, age, 60.0, as_account=as_account)
    believed = age >= 60.0 and (user_id == "1" or as_account)
    expected = {
        Resolution.SUCCEEDED: IntentState.SETTLED_DONE,
        Resolution.ABSENT: IntentState.SETTLED_ABSENT if believed else None,
        Resolution.UNDECIDED: None,
    }
    assert state is expected[resolution]
