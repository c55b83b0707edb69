"""An operator's word about a write of unknown outcome: when it is taken, and what it lets go out."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from pandapon_async import DuplicateIntentError, InvalidArgumentError, OutcomeUnknownError
from pandapon_async.errors import NextStep
from pandapon_async.journal import Intent, IntentState, Resolution
from pandapon_async.journal.resend import _unseen
from pandapon_async.journal.resolve import ResolvedOutcome
from tests.support.refunding_house import house
from tests.support.virtual import virtual_time


@virtual_time
async def test_what_an_operator_saw_absent_and_no_read_can_show_says_what_sends_it() -> None:
    async with house() as made, made.run() as pandapon:
        message: dict[str, Any] = {"refund_id": "110000235001", "refund_message": "hello"}
        made.vendor.posts = "lost"
        with pytest.raises(OutcomeUnknownError) as lost:
            await pandapon.taobao.refunds.post_message(**message)
        await asyncio.sleep(61)
        await pandapon.settle(lost.value.intent_id or "", done=False, note="mei looked at the console")
        made.vendor.posts = "ok"
        async with made.run() as later:
            with pytest.raises(DuplicateIntentError, match="allow_repeat=True") as held:
                await later.taobao.refunds.post_message(**message)
            assert held.value.next_step is NextStep.ALLOW_REPEAT
            await later.with_settings(allow_repeat=True).taobao.refunds.post_message(**message)


@virtual_time
async def test_an_operators_word_does_not_make_a_write_older() -> None:
    """Said a second after the write, "it is not there" is true, and the write may land a moment later."""
    async with house() as made:
        await made.create("lands late")
        async with made.run() as pandapon:
            (intent,) = await pandapon.journal.find()
            with pytest.raises(InvalidArgumentError, match="at the earliest, in 1 min 0 s"):
                await pandapon.settle(intent.id, done=False, note="not in the console")
            # Noted past that rule, it still does not let the same go out.
            await pandapon.journal.resolve(
                intent.id, IntentState.SETTLED_ABSENT, resolution=Resolution.ABSENT, remark="not there"
            )
        held = await made.create("good")
        assert isinstance(held, DuplicateIntentError)
        assert held.next_step is NextStep.WAIT
        assert held.retry_after == pytest.approx(60.0, abs=1.0)
        await asyncio.sleep(61)
        found = await made.create("good")
        assert isinstance(found, DuplicateIntentError)
        assert found.result == "TQ1"
        assert len(made.vendor.forms) == 1


@virtual_time
async def test_an_operators_word_is_taken_of_what_is_unknown_and_waited_for() -> None:
    async with house() as made:
        await made.create("lost")
        async with made.run() as pandapon:
            (intent,) = await pandapon.journal.find()
            settled = await pandapon.settle(intent.id, done=False, note="not in the console", wait=True)
            assert settled.state is IntentState.SETTLED_ABSENT
            assert settled.remarks == ["not in the console"]
            with pytest.raises(
                InvalidArgumentError, match="only an intent with unknown outcome can be settled by hand"
            ):
                await pandapon.settle(intent.id, done=True, note="it is there")
            with pytest.raises(InvalidArgumentError, match="no such intent"):
                await pandapon.settle("f" * 32, done=True, note="it is there")
        await made.create("lost", order_entry_ids=[2])
        async with made.run() as pandapon:
            (other,) = await pandapon.journal.find((IntentState.UNKNOWN,))
            done = await pandapon.settle(other.id, done=True, note="TQ7 is there", result="TQ7")
            assert (done.state, done.result) == (IntentState.SETTLED_DONE, "TQ7")


def test_what_a_writer_of_an_earlier_version_wrote_is_believed_absent_only_by_somebodys_word() -> None:
    earlier = attrs.evolve(written(IntentState.SETTLED_ABSENT), user_id="")
    write: Any = None  # nothing of it is told
    held = _unseen(write, earlier, ResolvedOutcome(Resolution.ABSENT, "not there"))
    assert isinstance(held, DuplicateIntentError)
    assert "a user id that an earlier version did not record" in str(held)
    assert str(held).endswith("pass any_account=True (--any-account)")


def written(state: IntentState) -> Intent:
    return Intent(
        id="f" * 32,
        scope="v",
        operation="o",
        natural_key={"k": 1},
        digest="d",
        facts={},
        state=state,
        created=0.0,
        updated=0.0,
    )
