"""A write is read before it is sent again, whoever asks and whatever was forgotten: at most one effect."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pandapon_async import (
    AuthenticationError,
    Client,
    Codes,
    DuplicateIntentError,
    OutcomeUnknownError,
    PandaponError,
    RateLimitError,
)
from pandapon_async.api.registry import operations
from pandapon_async.errors import ErrorKind, NextStep, Outcome
from pandapon_async.journal import IntentState
from tests.support.clients import client
from tests.support.examples import examples
from tests.support.refunding import MODES, Mode
from tests.support.refunding_house import applied, house
from tests.support.server import FaultServer, answer, envelope, http, ok
from tests.support.virtual import run, virtual_time

pytestmark = pytest.mark.usefixtures("new_journal")


@virtual_time
async def test_what_was_found_absent_and_is_there_by_now_is_not_sent_again() -> None:
    """The failure of `--resend-absent`: the answer was lost, and reads showed the form only later."""
    async with house(late=90.0) as made:
        assert isinstance(await made.create("lands late"), OutcomeUnknownError)
        await asyncio.sleep(61)
        await made.resolve()
        assert [one.state for one in await made.intents()] == [IntentState.SETTLED_ABSENT]
        await asyncio.sleep(30)
        error = await made.create("good")
        assert isinstance(error, DuplicateIntentError)
        assert (error.result, error.next_step) == ("TQ1", NextStep.ALLOW_REPEAT)
        first, second = await made.intents()
        assert (first.state, first.result) == (IntentState.SETTLED_DONE, "TQ1")
        assert (second.state, second.error_kind) == (IntentState.NOT_SENT, ErrorKind.DUPLICATE_INTENT)
        assert made.vendor.applications == 1


@virtual_time
async def test_what_is_absent_is_sent_again_by_another_run_after_a_look() -> None:
    async with house() as made:
        await made.create("lost")
        await asyncio.sleep(61)
        async with made.run() as pandapon:
            (intent,) = await pandapon.journal.find()
            assert (await pandapon.resolve(intent.id)).state is IntentState.SETTLED_ABSENT
            error = await applied(pandapon)
            assert isinstance(error, DuplicateIntentError)
            assert error.next_step is NextStep.LATER_RUN
        assert made.vendor.applications == 1
        assert await made.create("good") is None
        assert made.vendor.applications == 2
        assert len(made.vendor.forms) == 1
        assert isinstance(await made.create("good"), DuplicateIntentError)


@pytest.mark.parametrize("mode", ["throttled", "throttled after"])
def test_a_throttled_write_is_looked_at_before_it_is_sent_again(mode: Mode) -> None:
    @virtual_time
    async def scene() -> None:
        async with house() as made:
            error = await made.create(mode)
            assert isinstance(error, RateLimitError)
            assert made.vendor.applications == 1, "not repeated by itself"
            young = await made.create("good")
            if mode == "throttled after":
                assert isinstance(young, DuplicateIntentError)
                assert young.result == "TQ1"
            else:
                assert isinstance(young, RateLimitError)
                assert (young.next_step, young.outcome) == (NextStep.WAIT, Outcome.NOT_SENT)
                assert young.retry_after is not None
                await asyncio.sleep(young.retry_after + 1)
                assert await made.create("good") is None
            assert len(made.vendor.forms) == 1

    scene()


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "alibaba.refunds.return_goods": (
        {"refund_id": "TQ1", "logistics_company_no": "SF", "freight_bill": "SF1"},
        {"refundId": "TQ1", "status": "waitsellerreceive", "freightBill": "SF1"},
        {"refundId": "TQ1", "status": "waitbuyersend"},
    ),
    "alibaba.orders.cancel": (
        {"order_id": 100, "web_site": "1688", "cancel_reason": "other"},
        {"baseInfo": {"id": 100, "status": "cancel"}},
        {"baseInfo": {"id": 100, "status": "waitbuyerpay"}},
    ),
    "taobao.refunds.cancel": (
        {"refund_id": "110000235001"},
        {"refundOrderAggregate": {"refundOrder": {"refundStatus": "-20"}}},
        {"refundOrderAggregate": {"refundOrder": {"refundStatus": "10"}}},
    ),
}


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("operation", OTHERS)
def test_each_write_that_a_read_can_show_is_looked_at_after_a_throttle(operation: str, done: bool) -> None:
    arguments, there, absent = OTHERS[operation]

    @virtual_time
    async def scene() -> None:
        refused = answer(http(b"<html>slow down</html>", "429 Too Many Requests"))
        accepted = answer(http(envelope({"success": True, "cancelSuccess": True})))
        if operation == "alibaba.orders.cancel":
            accepted = answer(http(envelope(True)))
        reads = [ok(there)] if done else [ok(absent), ok(absent), accepted]
        async with FaultServer(refused, *reads) as server, client(server.url, settle_after=60.0) as pandapon:
            call = operations()[operation]
            with pytest.raises(RateLimitError):
                await pandapon.call(call, arguments)
            if done:
                with pytest.raises(DuplicateIntentError) as found:
                    await pandapon.call(call, arguments)
                assert found.value.state == "settled_done"
                assert len(server.requests) == 2, "one write and one read"
                return
            with pytest.raises(RateLimitError) as young:
                await pandapon.call(call, arguments)
            assert young.value.next_step is NextStep.WAIT
            await asyncio.sleep(young.value.retry_after or 0.0)
            await pandapon.call(call, arguments)
            assert len(server.requests) == 4, "a write, two reads, and the write"

    scene()


@virtual_time
async def test_a_refused_login_is_looked_at_before_it_is_sent_again() -> None:
    """By an envelope of the vendor's own; whether it comes before the deed is documented nowhere."""
    async with house() as made:
        assert isinstance(await made.create("no login after"), AuthenticationError)
        error = await made.create("good")
        assert isinstance(error, DuplicateIntentError)
        assert error.result == "TQ1"


@virtual_time
async def test_what_is_meant_a_second_time_is_not_held_back_by_what_was_given_up_before() -> None:
    async with house() as made:
        await made.create("throttled")
        await asyncio.sleep(61)
        assert await made.create("good") is None
        assert await made.create("good", allow_repeat=True) is None
        assert len(made.vendor.forms) == 2


@virtual_time
async def test_a_refusal_that_the_settings_know_is_repeated_without_a_look() -> None:
    async with house() as made:
        codes = Codes(refused={"http 429"})
        assert isinstance(await made.create("throttled", codes=codes), RateLimitError)
        assert made.vendor.applications == 5, "by itself, as often as the policy says"
        assert await made.create("good") is None, "at once: nothing was done"


@virtual_time
async def test_a_write_that_nobody_can_see_goes_out_again_only_by_somebodys_word() -> None:
    async with house() as made, made.run() as pandapon:
        message: dict[str, Any] = {"refund_id": "110000235001", "refund_message": "hello"}

        async def post(client: Client) -> PandaponError | None:
            try:
                await client.taobao.refunds.post_message(**message)
            except PandaponError as error:
                return error
            return None

        made.vendor.posts = "429"
        assert isinstance(await post(pandapon), RateLimitError)
        made.vendor.posts = "ok"
        held = await post(pandapon)
        assert isinstance(held, RateLimitError)
        assert held.next_step is NextStep.RESEND_THROTTLED
        assert await post(pandapon.with_settings(resend_throttled=True)) is None


@virtual_time
async def test_a_refused_login_that_nobody_can_see_says_what_sends_it() -> None:
    async with house() as made, made.run() as pandapon:
        message: dict[str, Any] = {"refund_id": "110000235001", "refund_message": "hello"}
        made.vendor.posts = "401"
        with pytest.raises(AuthenticationError):
            await pandapon.taobao.refunds.post_message(**message)
        made.vendor.posts = "ok"
        with pytest.raises(DuplicateIntentError, match="resend_throttled=True") as held:
            await pandapon.taobao.refunds.post_message(**message)
        assert held.value.next_step is NextStep.RESEND_THROTTLED
        await pandapon.with_settings(resend_throttled=True).taobao.refunds.post_message(**message)


@virtual_time
async def test_whoever_may_believe_another_accounts_absence_may_send_again() -> None:
    async with house(shows_all=False) as made:
        await made.create("lost", user_id="1")
        await asyncio.sleep(100)
        await made.resolve(user_id="2", as_account=True)
        held = await made.create("good", user_id="2")
        assert isinstance(held, DuplicateIntentError)
        assert "PANDAPON_USER_ID=1" in str(held)
        assert "any_account=True (--any-account)" in str(held)
        assert await made.create("good", user_id="2", any_account=True) is None
        assert len(made.vendor.forms) == 1


@pytest.mark.of_files
@virtual_time
async def test_a_form_from_before_the_write_is_not_ours_however_far_behind_the_clock_is() -> None:
    """An hour behind, this machine takes its write to be older than a form of half an hour ago."""
    async with house(told_time=True) as made:
        made.clock.offset = -3600.0
        made.vendor.applied_at = "now"
        made.vendor.mode = "good"
        async with made.run() as console:
            assert await applied(console) is None
        made.path.unlink()
        await asyncio.sleep(1800)
        made.vendor.mode = "lost"
        async with made.run() as pandapon:
            await pandapon.alibaba.orders.get(order_id="100")  # tells the time
            lost = await applied(pandapon)
            assert isinstance(lost, OutcomeUnknownError)
            await asyncio.sleep(100)
            assert (await pandapon.resolve(lost.intent_id or "")).state is IntentState.UNKNOWN


@virtual_time
async def test_a_firewalls_refusal_leaves_the_write_open_and_the_caller_told() -> None:
    async with house() as made:
        error = await made.create("forbidden after")
        assert isinstance(error, AuthenticationError)
        assert error.outcome is Outcome.UNKNOWN
        assert isinstance(await made.create("good"), DuplicateIntentError)
        await made.resolve()
        assert [one.state for one in await made.intents()] == [
            IntentState.SETTLED_DONE,
        ]
        assert made.vendor.applications == 1


@virtual_time
async def test_absence_is_believed_only_from_the_sub_account_that_wrote() -> None:
    async with house(shows_all=False) as made:
        await made.create("done and lost", user_id="1")
        await asyncio.sleep(100)
        await made.resolve(user_id="2")
        assert [one.state for one in await made.intents()] == [IntentState.UNKNOWN]
        await made.resolve(user_id="2", as_account=True)
        (absent,) = await made.intents()
        assert absent.state is IntentState.SETTLED_ABSENT
        assert "read as user 2, as_account was set" in absent.remarks[-1]
        held = await made.create("good", user_id="2")
        assert isinstance(held, DuplicateIntentError)
        assert held.next_step is NextStep.RESOLVE
        assert "written by user id 1" in str(held)
        await made.resolve(user_id="1")
        assert (await made.intents())[0].state is IntentState.SETTLED_DONE


@virtual_time
async def test_a_form_that_is_ours_settles_whoever_reads_it() -> None:
    async with house() as made:
        await made.create("done and lost", user_id="1")
        await made.resolve(user_id="2", key="rotated")
        assert [one.state for one in await made.intents()] == [IntentState.SETTLED_DONE]


@virtual_time
async def test_another_vendor_settles_nothing() -> None:
    async with house() as made:
        await made.create("done and lost")
        await asyncio.sleep(100)
        async with house() as other:
            other.path, other.clock = made.path, made.clock
            async with other.run() as pandapon:
                (intent,) = await pandapon.journal.find()
                assert (await pandapon.resolve(intent.id)).state is IntentState.UNKNOWN
            assert isinstance(await other.create("good"), PandaponError | None)
        assert (await made.intents())[0].state is IntentState.UNKNOWN


@virtual_time
async def test_a_wall_clock_that_steps_makes_nothing_older() -> None:
    async with house() as made:
        await made.create("lands late")
        made.clock.offset = 3600.0
        await asyncio.sleep(2)
        await made.resolve()
        assert [one.state for one in await made.intents()] == [IntentState.UNKNOWN]
        await asyncio.sleep(59)
        made.clock.offset = -3600.0
        await made.resolve()
        assert [one.state for one in await made.intents()] == [IntentState.SETTLED_DONE]


@pytest.mark.parametrize("told_time", [True, False])
def test_after_a_reboot_the_servers_time_counts_or_only_what_was_seen(told_time: bool) -> None:
    @virtual_time
    async def scene() -> None:
        async with house(told_time=told_time, shows_all=True) as made:
            async with made.run() as pandapon:
                # An answer tells the time before anything is written.
                await pandapon.alibaba.orders.get(order_id="100")
                made.vendor.mode = "lost"
                assert isinstance(await applied(pandapon), OutcomeUnknownError)
            made.clock.boots += 1
            made.clock.offset = 7200.0
            await asyncio.sleep(61)
            async with made.run() as pandapon:
                (intent,) = await pandapon.journal.find()
                await pandapon.resolve(intent.id)
                first = await pandapon.resolve(intent.id)
                assert first.state is (IntentState.SETTLED_ABSENT if told_time else IntentState.UNKNOWN)
                await asyncio.sleep(60)
                assert (await pandapon.resolve(intent.id)).state is IntentState.SETTLED_ABSENT

    scene()


@virtual_time
async def test_a_state_that_cannot_be_read_holds_the_write_back() -> None:
    async with house() as made:
        await made.create("throttled")
        await asyncio.sleep(61)
        async with made.run(timeout=5.0) as pandapon:
            made.vendor.reads_fail = True
            error = await applied(pandapon)
            made.vendor.reads_fail = False
        assert error is not None
        assert error.outcome is Outcome.NOT_SENT
        assert made.vendor.applications == 1
        assert (await made.intents())[-1].state is IntentState.NOT_SENT
        assert await made.create("good") is None


@virtual_time
async def test_an_open_application_for_a_line_holds_back_every_other() -> None:
    async with house() as made:
        await made.create("lost")
        async with made.run() as pandapon:
            made.vendor.mode = "good"
            for other in ({"apply_payment": 499}, {"apply_reason_id": 7}, {"order_entry_ids": [2, 1]}):
                error = await applied(pandapon, **other)
                assert isinstance(error, DuplicateIntentError), other
                assert error.next_step is NextStep.RESOLVE
            assert await applied(pandapon, order_entry_ids=[2]) is None, "another line"
            second = pandapon.with_settings(allow_second=True)
            assert await applied(second, apply_payment=499) is None
            assert isinstance(await applied(second), DuplicateIntentError), "the same is never a second"


@virtual_time
async def test_a_write_that_waits_for_its_turn_is_looked_at_too() -> None:
    """Its intent is written down before it waits, and not with the sending."""
    async with house() as made:
        await made.create("throttled after")
        made.vendor.mode = "good"
        async with made.run(rate=1.0) as pandapon:
            await pandapon.alibaba.orders.get(order_id="100")
            error = await applied(pandapon)
            assert isinstance(error, DuplicateIntentError)
            assert error.result == "TQ1"
        assert made.vendor.applications == 1


@virtual_time
async def test_the_look_keeps_to_the_deadline_of_the_write() -> None:
    async with house() as made:
        await made.create("throttled")
        await asyncio.sleep(61)
        made.vendor.reads_take = 100.0
        began = asyncio.get_running_loop().time()
        async with made.run(timeout=10.0) as pandapon:
            error = await applied(pandapon)
        assert isinstance(error, PandaponError)
        assert error.outcome is Outcome.NOT_SENT
        assert asyncio.get_running_loop().time() - began <= 10.1
        assert (await made.intents())[-1].state is IntentState.NOT_SENT


WHO = [("key", "1"), ("rotated", "1"), ("key", "2")]
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from(MODES), st.sampled_from(WHO)),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 30.0, 61.0, 400.0])),
        st.tuples(st.just("resolve"), st.sampled_from(WHO)),
        st.tuples(st.just("say"), st.sampled_from(WHO)),
        st.tuples(st.just("step"), st.sampled_from([-7200.0, 3600.0, 86_400.0])),
        st.tuples(st.just("reboot")),
    ),
    max_size=12,
)


@given(EVENTS, st.booleans(), st.booleans())
@example(
    [("create", "done and lost", WHO[0]), ("wait", 61.0), ("resolve", WHO[2]), ("create", "good", WHO[2])],
    False,
    False,
)
@example([("create", "throttled after", WHO[0]), ("create", "good", WHO[1])], True, False)
@example(
    [("create", "lands late", WHO[0]), ("step", 3600.0), ("resolve", WHO[0]), ("create", "good", WHO[0])],
    True,
    False,
)
@example(
    [("create", "lands late", WHO[0]), ("wait", 30.0), ("say", WHO[0]), ("create", "good", WHO[0])],
    True,
    False,
)
@settings(max_examples=examples(10, 100), deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(300)
def test_whatever_happens_a_line_gets_one_form(
    events: list[tuple[Any, ...]], shows_all: bool, told_time: bool
) -> None:
    """Lost answers, late landings, throttles, refusals after the deed, rotated keys, clocks, new boots."""

    async def play() -> None:
        async with house(shows_all=shows_all, told_time=told_time) as made:
            for what, *more in events:
                if what == "create":
                    mode, (key, user_id) = more
                    await made.create(mode, key=key, user_id=user_id)
                elif what == "wait":
                    await asyncio.sleep(more[0])
                elif what == "resolve":
                    await made.resolve(key=more[0][0], user_id=more[0][1])
                elif what == "say":
                    await made.say(key=more[0][0], user_id=more[0][1])
                elif what == "step":
                    made.clock.offset += more[0]
                else:
                    made.clock.boots += 1
            await asyncio.sleep(400)
            assert len(made.vendor.forms) <= 1
            intents = await made.intents()
            assert not any(one.state.succeeded for one in intents) or made.vendor.forms
            assert sum(one.state.succeeded for one in intents) <= 1
            assert sum(one.state.open for one in intents) <= 1
            if made.vendor.forms:
                told = [one for one in intents if one.state.succeeded or one.state.open or one.doubtful]
                assert told, "a form that is there is never taken for one that surely is not"

    run(play())
