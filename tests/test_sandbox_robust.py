"""Whatever is sent: never HTTP 5xx, always an envelope, and a success fits the declared type."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from pandapon_async.api.registry import endpoints
from pandapon_async.core.envelope import Envelope, read_envelope
from pandapon_async.core.signing import signed_headers
from pandapon_async.core.structure import structurer
from pandapon_async.declare.arguments import Location
from pandapon_async.declare.endpoint import Endpoint, Signing
from pandapon_async.openapi import wire_example
from pandapon_async.sandbox import Sandbox, disruption

REFUNDS = 8
NOW = 1_715_669_977.0
EXAMPLES = 12


@attrs.define
class Asker:
    """A sandbox and a session in a loop of their own, since hypothesis is not asynchronous."""

    runner: asyncio.Runner
    sandbox: Sandbox
    session: aiohttp.ClientSession
    asked: int = 0

    def ask(self, endpoint: Endpoint, body: bytes, query: dict[str, str], path: str) -> tuple[int, Envelope]:
        """One signed request: the HTTP status and the envelope."""
        key, self.asked = self.sandbox.credentials, self.asked + 1
        headers = signed_headers(
            key.access_key, key.access_secret, key.user_id, "1715669977", f"{self.asked:032d}"
        )
        if endpoint.signing is Signing.QUERY:
            query = {**query, "timestamp": headers["timestamp"], "sign": headers["signature"]}
        target = f"{self.sandbox.base_url}{path}?{urlencode(query, errors='surrogatepass')}"
        headers["Content-Type"] = "application/json"
        return self.runner.run(self._ask(endpoint.method, target, body, headers))

    async def _ask(
        self, method: str, target: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, Envelope]:
        url = URL(target, encoded=True)
        async with self.session.request(method, url, data=body or None, headers=headers) as response:
            return response.status, read_envelope(await response.read())


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    async def opened() -> tuple[Sandbox, aiohttp.ClientSession]:
        sandbox = Sandbox(refunds=REFUNDS, clock=lambda: NOW)
        await sandbox.start()
        return sandbox, aiohttp.ClientSession()

    async def closed(asker: Asker) -> None:
        await asker.session.close()
        await asker.sandbox.aclose()

    with asyncio.Runner() as runner:
        asker = Asker(runner, *runner.run(opened()))
        yield asker
        runner.run(closed(asker))


SANDBOX = Sandbox(refunds=REFUNDS)
ORDER = int(SANDBOX.refund(0).order_id)
DEEP: Any = None
for _ in range(300):
    DEEP = [DEEP]

ODD_TEXTS = [
    "", " ", "\0", "NaN", "1e400", "-1", "0", "9" * 300, str(2**63), str(2**64), "\ud800", "\U0010ffff", "[]",
    "[[]]", "[null]", '[{"itemId": 1}]', "{}", '"', "[" * 300, "٣", "²", "TQ1", "refund", "returnRefund",
    "refundWaitSellerSend", "aftersaleBuyerReceived", str(ORDER), *SANDBOX.refund_ids(),
]  # fmt: skip
ODD_NUMBERS = [
    -1, 0, 1, 2, 30, 20022, 10**7, 2**53 + 1, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), 10**30,
    ORDER, ORDER + 1, 5_000_000_000, 5_000_000_001, 5_000_000_007,
]  # fmt: skip
texts = st.text(max_size=6) | st.sampled_from(ODD_TEXTS)
numbers = st.integers() | st.sampled_from(ODD_NUMBERS)
fractions = st.floats() | st.sampled_from([0.5, 2.25, 1e308, 5e-324, -0.0])
anything = st.recursive(
    texts | numbers | fractions | st.none() | st.booleans() | st.just(DEEP),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spoiled(draw: st.DrawFn, value: Any) -> Any:
    """Something like this value: mostly of its kind and with other contents, at times anything at all."""
    if not draw(st.integers(0, 11)):
        return draw(anything)
    if isinstance(value, str):
        if value.startswith(('[{"', '{"')):
            return json.dumps(draw(spoiled(json.loads(value))))
        return draw(texts)
    if isinstance(value, dict) and value:
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: draw(spoiled(value[name]))}
    if isinstance(value, list) and value:
        return draw(st.sampled_from([[], value * 3])) or [draw(spoiled(value[0])), *value[1:]]
    if isinstance(value, int) and not isinstance(value, bool):
        return draw(numbers)
    return draw(fractions if isinstance(value, float) else anything)


def valid_arguments(endpoint: Endpoint) -> dict[str, Any]:
    """Arguments that the call carries out, as far as examples go: about what the sandbox has."""
    refund = SANDBOX.refund(1 if endpoint.name.startswith("taobao.") else 0)
    known: dict[str, Any] = {
        "applyReasonId": 20022,
        "goodsStatus": "refundBuyerReceived",
        "vouchers": None,
        "orderEntryCountList": None,
        "refundId": refund.refund_id,
        "cartIds": [5_000_000_000],
    }
    found = wire_example(endpoint)
    if not endpoint.name.startswith("taobao."):
        found.update({name: value for name, value in known.items() if name in found})
    elif "refundId" in found:
        found["refundId"] = refund.refund_id
    return found


def ask_with(asker: Asker, endpoint: Endpoint, arguments: Any, *, in_query: bool) -> tuple[int, Envelope]:
    """Send arguments, each where it goes; with `in_query` all of them as text in the query."""
    body, query, path = json.dumps(arguments).encode(), dict[str, str](), endpoint.path
    if isinstance(arguments, dict):
        for parameter in endpoint.parameters:
            if parameter.location is Location.PATH:
                text = str(arguments.get(parameter.wire))[:300]
                path = path.replace(
                    f"{{{parameter.wire}}}", quote(text, safe="", errors="surrogatepass") or "%20"
                )
        if in_query or endpoint.method == "GET":
            body, query = b"", {str(name): str(value)[:300] for name, value in arguments.items()}
    return asker.ask(endpoint, body, query, path)


@pytest.mark.parametrize("name", list(endpoints()))
def test_no_input_breaks_a_call(asker: Asker, name: str) -> None:
    endpoint, valid = endpoints()[name], valid_arguments(endpoints()[name])

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.data())
    def sent(data: st.DataObject) -> None:
        arguments: Any = valid
        for _ in range(data.draw(st.integers(0, 3))):
            arguments = data.draw(spoiled(arguments))
        status, envelope = ask_with(asker, endpoint, arguments, in_query=not data.draw(st.integers(0, 5)))
        assert status < 500
        assert 200 <= envelope.code < 500 or 5_000 < envelope.code < 5_020
        if envelope.code == 200 and envelope.data is not None:
            structurer(endpoint.response_type)(envelope.data, endpoint.response_type)

    sent()


class Gone:
    transport = None


def test_a_client_that_left_before_it_was_disrupted() -> None:
    """The connection can be gone when its turn to be broken comes: nothing more to break, nothing raised."""
    from pandapon_async.sandbox.envelope import SandboxResponse

    answer = SandboxResponse.__new__(SandboxResponse)
    assert disruption.break_off(Gone()).status == 200  # type: ignore[arg-type]
    assert disruption.reset(Gone()).status == 200  # type: ignore[arg-type]
    assert disruption.send_half(Gone(), answer).status == 200  # type: ignore[arg-type]
