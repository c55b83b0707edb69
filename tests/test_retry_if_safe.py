"""A tenacity of the user's around a client that retries nothing itself."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_none

from pandapon_async import (
    Client,
    Codes,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    PandaponError,
    RateLimitError,
    RetryPolicy,
    Safety,
    Settings,
    VendorProfile,
    retry_if_safe,
)
from pandapon_async.sandbox import Fault, Sandbox
from tests.support import faults
from tests.support.clients import client
from tests.support.faults import HTML, sent
from tests.support.server import Behaviour, Exchange, FaultServer, envelope, free_port, http, ok
from tests.support.virtual import virtual_time

ONE = RetryPolicy(attempts=1)
WRITES = (Safety.CHECKED, Safety.ONCE, Safety.NEVER_AUTOMATIC)
THROTTLE = sent(http(HTML, "429 Too"))


def failed_with(error: BaseException) -> RetryCallState:
    state = RetryCallState(AsyncRetrying(), None, (), {})
    future: Any = Future()
    future.set_exception(error)
    state.outcome = future
    return state


@given(st.sampled_from(Safety), st.sampled_from(Outcome), st.booleans())
def test_a_write_is_repeated_only_if_it_was_not_sent(
    safety: Safety, outcome: Outcome, retryable: bool
) -> None:
    error = PandaponError("failed", retryable=retryable)
    error.safety, error.outcome = safety, outcome
    expected = retryable and safety is not Safety.NEVER_AUTOMATIC
    if safety in WRITES:
        expected = expected and outcome is Outcome.NOT_SENT
    assert retry_if_safe(failed_with(error)) is expected
    error.safety = None  # nobody knows what it was
    assert not retry_if_safe(failed_with(error))


def test_errors_of_others_and_results_are_not_repeated() -> None:
    assert not retry_if_safe(failed_with(ConnectionError()))
    state = RetryCallState(AsyncRetrying(), None, (), {})
    assert not retry_if_safe(state)
    state.set_result(None)
    assert not retry_if_safe(state)


def three() -> AsyncRetrying:
    return AsyncRetrying(retry=retry_if_safe, wait=wait_none(), stop=stop_after_attempt(3), reraise=True)


@pytest.mark.parametrize(
    ("behaviour", "safety", "requests", "raised"),
    [
        (faults.close_before_answer, Safety.READ, 2, None),
        (THROTTLE, Safety.READ, 2, None),
        (faults.close_before_answer, Safety.REPEATABLE, 2, None),
        (faults.close_before_answer, Safety.CHECKED, 1, OutcomeUnknownError),
        (faults.close_before_answer, Safety.ONCE, 1, OutcomeUnknownError),
        (faults.close_before_answer, Safety.NEVER_AUTOMATIC, 1, OutcomeUnknownError),
        (THROTTLE, Safety.CHECKED, 1, RateLimitError),
        (THROTTLE, Safety.ONCE, 1, RateLimitError),
    ],
)
@virtual_time
async def test_what_a_users_tenacity_repeats(
    behaviour: Behaviour, safety: Safety, requests: int, raised: type[PandaponError] | None
) -> None:
    async with FaultServer(behaviour, then=ok()) as server, client(server.url, retry=ONE) as pandapon:

        async def once() -> Any:
            return await pandapon.request("POST", "/thing", safety=safety)

        if raised is None:
            assert await three()(once) == {"success": True}
        else:
            with pytest.raises(raised):
                await three()(once)
        assert len(server.requests) == requests


ENDS = [
    faults.reset_after_head,
    faults.reset_before_answer,
    faults.close_before_answer,
    faults.half_open,
    faults.drip,
    faults.cut(faults.GOOD, 10),
    faults.cut(faults.GOOD, len(faults.GOOD) - 5, reset=True),
    faults.says(b"garbage"),
    faults.says(faults.chunked(b"zz\r\n")),
    sent(http(b"hello")),
    *(sent(http(HTML, f"{status} X")) for status in (302, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503)),
    *(sent(http(envelope(code=code), f"{code} X")) for code in (400, 401, 403, 404, 429, 500, 503)),
    *(sent(http(envelope(code=code))) for code in (401, 403, 404, 429, 500, 4007, 99999)),
    *(sent(http(envelope({"success": said}))) for said in (False, "false", None)),
]


@pytest.mark.parametrize(
    "safety",
    [
        Safety.ONCE,
        *(pytest.param(one, marks=pytest.mark.nightly) for one in WRITES if one is not Safety.ONCE),
    ],
)
@virtual_time
async def test_no_write_that_reached_the_server_is_made_again(safety: Safety) -> None:
    """However it ends, by any error."""
    ended: set[str] = set()
    for number, behaviour in enumerate(ENDS):
        async with FaultServer(behaviour) as server, client(server.url, retry=ONE, timeout=20) as pandapon:

            async def once(client: Client = pandapon) -> Any:
                return await client.request("POST", "/thing", safety=safety)

            try:
                await three()(once)
            except PandaponError as error:
                ended.add(type(error).__name__)
            assert len(server.requests) == 1, (number, server.requests)
    assert ended >= {
        "ApiError",
        "AuthenticationError",
        "OutcomeUnknownError",
        "RateLimitError",
        "RejectedError",
    }


@pytest.mark.parametrize(("safety", "tries"), [(Safety.ONCE, 3), (Safety.NEVER_AUTOMATIC, 1)])
async def test_a_write_that_was_not_sent_may_be_repeated(safety: Safety, tries: int) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with client(url, retry=ONE) as pandapon:
        made = 0

        async def once() -> None:
            nonlocal made
            made += 1
            await pandapon.request("POST", "/thing", safety=safety)

        with pytest.raises(NotSentError):
            await three()(once)
    assert made == tries


@virtual_time
async def test_an_attempt_before_the_last_one_counts_too() -> None:
    """Where the settings say that a throttle is a refusal, the client itself sends the write again."""
    codes = VendorProfile(codes=Codes(refused={"http 429"}))

    async def throttle(exchange: Exchange) -> None:
        await THROTTLE(exchange)
        server._server.close()  # nobody listens any more
        exchange.close()

    async with FaultServer(throttle) as server, client(server.url, vendor=codes) as pandapon:
        with pytest.raises(NotSentError) as raised:
            await pandapon.request("POST", "/thing", safety=Safety.ONCE)
    assert raised.value.history[0].outcome == "answered"
    assert (raised.value.retryable, raised.value.outcome) == (True, Outcome.NOT_SENT)
    assert not retry_if_safe(failed_with(raised.value))


async def test_it_joins_conditions_of_the_users_and_a_return_happens_once() -> None:
    fault = Fault("reset_after", endpoint="*.return_goods", times=1)
    async with Sandbox(refunds=100, faults=[fault]) as sandbox:
        settings = Settings(base_url=sandbox.base_url, rate=None, retry=ONE)
        async with Client(sandbox.credentials, settings) as pandapon:
            form = sandbox.find("1688", "waitbuyersend")
            retrying = AsyncRetrying(
                retry=retry_if_safe | retry_if_exception_type(KeyError),
                wait=wait_none(),
                stop=stop_after_attempt(3),
                reraise=True,
            )
            made = 0

            async def send() -> None:
                nonlocal made
                made += 1
                if made == 1:
                    raise KeyError("of the user")
                await pandapon.alibaba.refunds.return_goods(
                    refund_id=form.refund_id, logistics_company_no="SF", freight_bill="SF1"
                )

            with pytest.raises(OutcomeUnknownError):
                await retrying(send)
        assert (made, len(sandbox.effects)) == (2, 1)
