"""Applying a plan: what stops it, what it goes on with, and whom it believes."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async import (
    AuthenticationError,
    JournalUnavailableError,
    plans,
)
from pandapon_async.errors import ErrorKind
from pandapon_async.journal import IntentState, Journal
from pandapon_async.plans import ApplyOptions, ApplyResult, RowState, Stop
from pandapon_async.sandbox.envelope import Refusal
from tests.support import plan_files
from tests.support.bench import Bench, bench
from tests.support.journals import noted
from tests.support.virtual import virtual_time


@virtual_time
async def applied_twice(folder: Path, kind: str) -> None:
    async with bench(folder, kind, images=2) as made:
        first = await made.apply()
        assert (first.exit_code, first.done, first.left, first.problems) == (0, 5, 0, ())
        assert first.states[RowState.CONFIRMED] == 5
        seen = len(made.server.log)
        second = await made.apply()
        assert (second.exit_code, second.done) == (0, 5)
        assert len(made.server.log) == seen, "an applied plan asks nothing"
        assert list(made.succeeded.values()) == [1] * 5
        assert [line["state"] for line in made.results] == ["confirmed"] * 5
        assert len(plan_files.effects_per_key(made.server, "voucher")) == 2
        if kind == "refunds":
            made_forms = [effect.refund_id for effect in made.server.effects if effect.kind == "create"]
            assert sorted(line["result"] for line in made.results) == sorted(map(str, made_forms))


@pytest.mark.parametrize("kind", ["returns", "refunds"])
def test_an_applied_plan_is_done_and_stays_so(tmp_path: Path, kind: str) -> None:
    applied_twice(tmp_path, kind)


@virtual_time
async def nobody_answers(folder: Path, fault: str) -> None:
    async with bench(folder, rows=2) as made:
        plan_files.misbehave(made.server, f"{fault}:endpoint=*.refunds.get")
        result = await made.apply()
        assert "no read from the vendor succeeded, so nothing was sent" in (result.stopped or "")
        assert (made.states, made.succeeded) == ({"planned": 2}, {})


@pytest.mark.parametrize("fault", ["reset_before:1.0", "error_500:1.0", "throttle_429:1.0:retry_after=3600"])
def test_without_an_answer_from_the_vendor_nothing_is_sent(tmp_path: Path, fault: str) -> None:
    nobody_answers(tmp_path, fault)


@virtual_time
async def unknown_outcomes(folder: Path) -> None:
    async with bench(folder, rows=6) as made:
        plan_files.misbehave(
            made.server,
            "reset_after:1.0:endpoint=*.return_goods:times=2,reset_before:1.0:endpoint=*.return_goods:times=2",
        )
        begun = asyncio.get_running_loop().time()
        first = await made.apply(wait=False)
        assert asyncio.get_running_loop().time() - begun < 10
        assert made.states == {"confirmed": 2, "settled_done": 2, "unknown": 2}
        assert (first.exit_code, first.left) == (3, 2)
        assert {problem.state for problem in first.problems} == {RowState.UNKNOWN}
        assert all(problem.note and problem.note.startswith("absent: ") for problem in first.problems)
        second = await made.apply()
        assert made.states == {"confirmed": 2, "settled_done": 2, "settled_absent": 2}
        assert second.exit_code == 1
        assert (await made.apply()).exit_code == 1, "what is absent is not sent again unasked"
        assert len(made.succeeded) == 4
        third = await made.apply(resend_absent=True)
        assert (third.exit_code, third.done) == (0, 6)
        assert list(made.succeeded.values()) == [1] * 6


def test_unknown_outcomes_are_found_out_and_absent_ones_sent_again_when_told(tmp_path: Path) -> None:
    unknown_outcomes(tmp_path)


@virtual_time
async def operators_word(folder: Path) -> None:
    async with bench(folder, "refunds", rows=2) as made:
        plan_files.misbehave(
            made.server,
            "reset_after:1.0:endpoint=*.create:times=2,error_500:1.0:endpoint=*.orders.get:after=1",
        )
        first = await made.apply(wait=False)
        assert made.states == {"unknown": 2}
        async with made.client() as client:
            done, absent = [problem.intent_id or "" for problem in first.problems]
            await client.journal.resolve(
                done, IntentState.SETTLED_DONE, remark="seen in the console", result="TQ5"
            )
            await client.journal.resolve(absent, IntentState.SETTLED_ABSENT, remark="not in the console")
        await made.apply(wait=False)
        assert [(line["state"], line["result"], line["note"]) for line in made.results] == [
            ("settled_done", "TQ5", "seen in the console"),
            ("settled_absent", None, "not in the console"),
        ]


def test_an_operators_word_becomes_the_state_of_the_row(tmp_path: Path) -> None:
    operators_word(tmp_path)


async def test_a_stop_lets_finish_what_is_on_its_way(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=30) as made:
        stop = Stop()
        plan_files.misbehave(made.server, "latency:1.0:endpoint=*.return_goods:delay=0.02")
        running = asyncio.create_task(made.apply(stop=stop, concurrency=4))
        while len(made.succeeded) < 6:  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(0.005)
        stop.request("interrupted", hurry=True)
        result = await running
        assert result.stopped == "interrupted"
        assert set(made.states) == {"planned", "confirmed"}
        assert made.states["confirmed"] == len(made.succeeded) < 20
        assert (await made.apply()).exit_code == 0
        assert list(made.succeeded.values()) == [1] * 30


async def test_a_cancelled_run_leaves_what_was_sent_unknown(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=12) as made:
        plan_files.misbehave(made.server, "latency:1.0:endpoint=*.return_goods:delay=5")
        running = asyncio.create_task(made.apply(concurrency=4))
        while len(made.succeeded) < 4:  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(0.005)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert made.states == {"applying": 4, "planned": 8}
        plan_files.misbehave(made.server, "")
        assert (await made.apply()).exit_code == 0
        assert made.states == {"settled_done": 4, "confirmed": 8}
        assert list(made.succeeded.values()) == [1] * 12


@virtual_time
async def _refused_key(folder: Path) -> None:
    async with bench(folder, rows=20, images=1) as made:
        auth_checker = made.server._pipeline.auth_checker
        check = auth_checker.check
        calls = 0

        def refuse(*args: Any, **more: Any) -> None:
            nonlocal calls
            calls += 1
            if calls > 5:
                raise Refusal(401, "no longer")
            check(*args, **more)

        auth_checker.check = refuse  # type: ignore[method-assign]
        with pytest.raises(AuthenticationError):
            await made.apply(concurrency=2)
        assert calls <= 7, "a read, an image, three rows, and what was on its way when the first was refused"
        refused = calls - 5
        assert made.states == {"confirmed": 3, "not_sent": refused, "planned": 17 - refused}
        assert list(made.succeeded.values()) == [1] * 3
        assert [line["state"] for line in made.results].count("planned") == 17 - refused
        before = len(made.server.log)
        with pytest.raises(AuthenticationError):
            await made.apply()
        assert len(made.server.log) == before + 1, "found by a read: no row is touched again"
        assert made.states == {"confirmed": 3, "not_sent": refused, "planned": 17 - refused}
        auth_checker.check = check  # type: ignore[method-assign]
        # A refusal may have come after the deed: those rows are read, and wait until absence is believed.
        assert (await made.apply(wait=False)).states[RowState.NOT_SENT] == refused
        assert (await made.apply()).exit_code == 0
        assert made.states == {"confirmed": 20}
        assert list(made.succeeded.values()) == [1] * 20
        writes = [one for one in made.server.log if (one.endpoint or "").endswith("return_goods")]
        assert len(writes) == 20 + refused, "each refused row was sent once more, and no other"


def test_a_refused_key_stops_everything_and_spoils_nothing(tmp_path: Path) -> None:
    _refused_key(tmp_path)


async def test_a_journal_that_fails_stops_everything_before_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pandapon_async.journal.store import JournalStore

    async with bench(tmp_path, rows=20) as made:
        add = JournalStore.add

        def full(store: JournalStore, *args: Any, **more: Any) -> Any:
            if len(made.succeeded) >= 3:
                failed = sqlite3.OperationalError("database or disk is full")
                failed.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise failed
            return add(store, *args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(JournalStore, "add", full)
            with pytest.raises(JournalUnavailableError, match="disk is full"):
                await made.apply(concurrency=1)
        assert made.states["confirmed"] == len(made.succeeded) == 3
        assert (await made.apply()).exit_code == 0
        assert list(made.succeeded.values()) == [1] * 20


@virtual_time
async def two_plans(folder: Path) -> None:
    async with bench(folder, rows=15) as made:
        other = folder / "other.db"
        await asyncio.to_thread(shutil.copy, made.plan, other)

        async def apply(plan: Path, results: str) -> ApplyResult:
            async with made.client() as client:
                return await plans.apply(client, plan, results=folder / results)

        first, second = await asyncio.gather(apply(made.plan, "one.jsonl"), apply(other, "two.jsonl"))
        assert list(made.succeeded.values()) == [1] * 15
        assert (first.done, second.done) == (15, 15), (first.problems, second.problems)


def test_two_plans_for_the_same_refunds_send_once(tmp_path: Path) -> None:
    two_plans(tmp_path)


async def test_a_write_that_the_journal_knows_is_not_sent_again(tmp_path: Path) -> None:
    async with bench(tmp_path, "refunds", rows=3) as made:
        await made.apply()
        second = tmp_path / "second"
        second.mkdir()
        table = plan_files.write_table(second / "table.csv", plan_files.refund_rows(4))
        async with made.client() as client:
            await plans.create(client, "refunds", table, second / "plan.db")
            result = await plans.apply(client, second / "plan.db")
        assert result.done == 4
        assert len(made.succeeded) == 4
        lines = plan_files.results_of(second / "plan.db.results.jsonl")
        assert [bool(line["note"]) for line in lines] == [True, True, True, False]
        assert lines[0]["note"] == "not sent: the journal has this write already"
        assert lines[0]["result"] == made.results[0]["result"]


async def test_another_waybill_for_the_same_form_needs_to_be_meant(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=1) as made:
        await made.apply()
        form = made.server.find("1688", "waitsellerreceive")
        (refund_id,) = made.succeeded
        number = next(n for n in range(0, 600, 2) if made.server.refund(n).refund_id == refund_id)
        made.server.advance(number, "waitbuyermodify")
        made.server.advance(number, "waitselleragree")
        made.server.advance(number, "waitbuyersend")
        assert form is not None
        second = tmp_path / "second"
        second.mkdir()
        rows = [{**plan_files.return_rows([refund_id])[0], "freight_bill": "ANOTHER1"}]
        table = plan_files.write_table(second / "table.csv", rows)
        async with made.client() as client:
            await plans.create(client, "returns", table, second / "plan.db")
            await plans.apply(client, second / "plan.db")
            (line,) = plan_files.results_of(second / "plan.db.results.jsonl")
            assert line["state"] == "duplicate"
            assert re.search(
                r"freightBill SF0000000001, .*written 2023-.* UTC \(intent \w{12}, confirmed\)",
                line["reason"],
            )
            assert "--allow-repeat" in line["reason"]
            table = plan_files.write_table(second / "again.csv", rows)
            await plans.create(client, "returns", table, second / "again.db")
            result = await plans.apply(
                client,
                second / "again.db",
                options=ApplyOptions(allow_repeat=True),
                results=second / "again.jsonl",
            )
        assert result.done == 1
        assert made.succeeded == {refund_id: 2}


async def test_refusals_are_kept_with_their_meaning(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=3) as made:
        for number in range(0, 600, 2):
            if made.server.refund(number).refund_id in {line["refund_id"] for line in await _lines(made)}:
                made.server.advance(number, "refundclose")
        result = await made.apply()
        assert result.exit_code == 1
        for line in made.results:
            assert line["state"] == "rejected"
            assert line["reason"] == "the refund form's state does not allow a return of goods (code 4007)"
            assert line["error"] == "rejected 4007"
            assert "vendor_message" not in line


async def _lines(made: Bench) -> list[dict[str, Any]]:
    import json

    return [json.loads(row["arguments"]) for row in await asyncio.to_thread(plan_files.rows_of, made.plan)]


async def test_the_platforms_words_are_kept_only_when_asked_for(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=1) as made:
        ((refund_id),) = [line["refund_id"] for line in await _lines(made)]
        number = next(n for n in range(0, 600, 2) if made.server.refund(n).refund_id == refund_id)
        made.server.advance(number, "refundclose")
        await made.apply(vendor_message=True)
        assert made.results[0]["vendor_message"] == "status does not allow return"


async def test_a_refusal_because_ours_is_in_already_is_done(tmp_path: Path) -> None:
    """Settled as absent too early, and sent again: the form says that the first one came through."""
    async with bench(tmp_path, rows=1) as made:
        (arguments,) = await _lines(made)
        async with made.client(journal=":memory:") as client:
            await client.v1.alibaba.refunds.return_goods(**arguments)
        result = await made.apply()
        assert (result.done, made.states) == (1, {"settled_done": 1})
        assert "4007" in made.results[0]["note"]
        assert list(made.succeeded.values()) == [1]


async def test_an_image_that_changed_is_not_sent(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=4, images=2) as made:
        (tmp_path / "proof-1.jpg").write_bytes(plan_files.JPEG + b"something else")
        result = await made.apply()
        assert made.states == {"confirmed": 2, "not_sent": 2}
        assert result.exit_code == 1
        assert made.results[1]["reason"].startswith("image 1 could not be uploaded: the image has changed")
        assert len(plan_files.effects_per_key(made.server, "voucher")) == 1
        plan_files.write_images(tmp_path, 2)
        assert (await made.apply()).exit_code == 0


async def test_images_are_uploaded_once_across_runs(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=6, images=3) as made:
        plan_files.misbehave(made.server, "error_500:1.0:endpoint=*.return_goods")
        await made.apply(wait=False, stop_after_failures=1, concurrency=1)
        plan_files.misbehave(made.server, "")
        uploads = sum(entry.endpoint == "alibaba.refunds.upload_voucher" for entry in made.server.log)
        await made.apply(wait=False)
        after = sum(entry.endpoint == "alibaba.refunds.upload_voucher" for entry in made.server.log)
        assert (uploads, after) == (3, 3)


async def test_a_write_that_is_under_way_elsewhere_is_left_to_it(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=2) as made:
        (arguments, _) = await _lines(made)
        other = Journal(tmp_path / "journal.sqlite")
        async with made.client() as client:
            intent = await noted(
                other,
                writer=client.writer,
                operation="alibaba.refunds.return_goods",
                natural_key={"refundId": arguments["refund_id"]},
                facts={"freightBill": arguments["freight_bill"], "logisticsCompanyNo": "SF"},
                once=False,
            )
        await other.sending(intent)
        first = await made.apply(wait=False)
        assert (first.exit_code, made.states) == (3, {"unknown": 1, "confirmed": 1})
        assert made.results[0]["reason"] == "the same write is in flight elsewhere"
        await other.resolve(intent.id, IntentState.REJECTED, error_kind=ErrorKind.REJECTED)
        assert (await made.apply(wait=False)).exit_code == 1
        assert made.results[0]["state"] == "rejected"
        await other.aclose()
        assert len(made.succeeded) == 1


async def test_a_write_that_was_begun_elsewhere_in_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal itself refuses it, after the look that saw nothing."""
    async with bench(tmp_path, rows=1) as made:
        (arguments,) = await _lines(made)
        looks = 0
        with_key = Journal.with_key

        async def late(journal: Journal, *key: Any) -> Any:
            nonlocal looks
            looks += 1
            if looks == 1:
                async with made.client() as client:
                    await client.v1.alibaba.refunds.return_goods(**arguments)
                    (intent,) = await client.journal.find()
                again = attrs.evolve(intent, id="second", state=IntentState.SENT)
                assert journal._store is not None
                await asyncio.to_thread(journal._store.add, again, False)
                return []
            return await with_key(journal, *key)

        monkeypatch.setattr(Journal, "with_key", late)
        await made.apply(wait=False)
        assert made.states == {"unknown": 1}
        assert made.results[0]["intent_id"] == "second"
        assert list(made.succeeded.values()) == [1]


@pytest.mark.parametrize("other", [IntentState.REJECTED, IntentState.SENT, IntentState.NOT_SENT])
async def test_the_newest_intent_of_a_key_is_not_always_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: IntentState
) -> None:
    """Another process begins the same write while ours is under way, and is refused: ours landed."""
    async with bench(tmp_path, rows=1) as made:
        with_key = Journal.with_key
        looks = 0

        async def late(journal: Journal, *key: Any) -> Any:
            nonlocal looks
            looks += 1
            if looks == 2:
                (ours,) = await with_key(journal, *key)
                theirs = attrs.evolve(ours, id="theirs", state=other, created=ours.created + 1)
                assert journal._store is not None
                await asyncio.to_thread(journal._store.add, theirs, False)
            return await with_key(journal, *key)

        monkeypatch.setattr(Journal, "with_key", late)
        await made.apply(wait=False)
        assert looks == 2
        assert made.states == {"confirmed": 1}
        assert made.results[0]["intent_id"] != "theirs"


async def test_a_form_that_cannot_be_read_after_a_refusal_leaves_it_refused(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=1) as made:
        (arguments,) = await _lines(made)
        async with made.client(journal=":memory:") as client:
            await client.v1.alibaba.refunds.return_goods(**arguments)
        plan_files.misbehave(made.server, "throttle_429:1.0:endpoint=*.refunds.get:retry_after=3600:after=1")
        await made.apply()
        assert made.states == {"rejected": 1}


async def test_refused_applications_keep_the_vendors_words_when_asked_for(tmp_path: Path) -> None:
    async with bench(tmp_path, "refunds", rows=1, offline=True) as made:
        made.server._pipeline.handlers = {
            **made.server._pipeline.handlers,
            "alibaba.refunds.create": _refuse,
        }
        await made.apply(vendor_message=True)
        (line,) = made.results
        assert (line["state"], line["error"], line["vendor_message"]) == (
            "rejected",
            "api 5011",
            "too much, Mr Li",
        )
        assert line["reason"] == "the amount cannot be refunded (code 5011)"


def _refuse(*_: Any) -> Any:
    raise Refusal(5011, "too much, Mr Li")


@virtual_time
async def _remarks_stay(folder: Path) -> None:
    async with bench(folder, "refunds", rows=1) as made:
        rows = plan_files.refund_rows(1)
        rows.append({**rows[0], "apply_payment_fen": "1"})
        table = plan_files.write_table(folder / "two.csv", rows)
        made.plan.unlink()
        async with made.client() as client:
            await plans.create(client, "refunds", table, made.plan)
        plan_files.misbehave(made.server, "reset_before:1.0:endpoint=*.create:after=1")
        await made.apply(wait=False, concurrency=1, allow_second=True)
        (_, second) = plan_files.rows_of(made.plan)
        assert (second["state"], second["resolution"]) == ("unknown", "undecided")
        assert second["remarks"] == '["row 2 is about the same order line"]'
        note = made.results[1]["note"]
        assert note.startswith("row 2 is about the same order line; undecided: the order names ")


def test_a_warning_stays_when_the_answer_is_lost(tmp_path: Path) -> None:
    _remarks_stay(tmp_path)
