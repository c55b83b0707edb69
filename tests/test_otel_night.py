"""A night's work under faults, as a real SDK gets it: the numbers add up, and nothing personal is in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web
from opentelemetry.trace import SpanKind

from pandapon_async import Credentials, plans
from pandapon_async.callbacks import Message, MessageState, Receiver
from pandapon_async.journal import IntentState
from pandapon_async.plans import ApplyOptions, PlanOptions
from pandapon_async.reconcile import Options, Summary, reconcile
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.callbacks import CallbackSender
from pandapon_async.sandbox.ledger import csv_chunks
from tests.support import plan_files
from tests.support.canaries import NAME, NOTE, PERSONAL, PHONE, forms
from tests.support.telemetry import Points, Watched, watching

ACCOUNT = Credentials("canary-key-7f3a", "canary-secret-9c1e", "canary-user-4471")
FAULTS = "chaos:0.1,throttle_429:0.03,reset_after:0.2:endpoint=*.return_goods"

ATTRIBUTES = {
    SpanKind.INTERNAL: {
        "pandapon.call", "pandapon.safety", "pandapon.outcome", "pandapon.attempts", "pandapon.intent_id",
        "pandapon.request_id", "error.type",
    },
    SpanKind.CLIENT: {
        "http.request.method", "url.template", "server.address", "server.port", "http.response.status_code",
        "http.request.resend_count", "error.type", "pandapon.code", "pandapon.outcome", "pandapon.waited",
        "pandapon.request_id",
    },
    SpanKind.CONSUMER: {
        "messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.message.id",
        "pandapon.callback.platform", "pandapon.callback.kind", "pandapon.callback.attempt", "error.type",
    },
}  # fmt: skip
"""All that the page names: nothing else may come up."""


@attrs.define
class Night:
    """What was done, and what it told."""

    watched: Watched
    folder: Path
    canaries: set[str] = attrs.field(factory=set)
    ids: set[str] = attrs.field(factory=set)
    """Of all refunds and orders."""
    summary: Summary = attrs.field(init=False)
    states: dict[IntentState, int] = attrs.field(init=False)
    messages: dict[MessageState, int] = attrs.field(init=False)
    calls: int = 0
    attempts: int = 0
    points: Points = attrs.field(init=False)

    async def work(self) -> None:
        async with Sandbox(refunds=2000, seed=7, rate=400, faults=FAULTS, accounts=[ACCOUNT]) as sandbox:
            returned = plan_files.returnable(sandbox, 60)
            form = sandbox.find("1688", "waitsellerreceive")
            self.canaries |= {*attrs.astuple(ACCOUNT), *attrs.astuple(sandbox.credentials)}
            self.canaries |= {"http:", f"127.0.0.1:{sandbox.base_url.rpartition(':')[2]}", PHONE, NAME, NOTE}
            every = [sandbox.refund(number) for number in range(sandbox.refunds)]
            self.ids |= {text for one in every for text in (one.refund_id, one.order_id)}
            keys = [ACCOUNT, sandbox.credentials]  # the sender signs with the second
            receiver = Receiver(keys, store=":memory:", observer=self.watched.telemetry)
            async with self.watched.client(sandbox, rate=400.0, credentials=ACCOUNT) as pandapon:
                self.watched.telemetry.watch(pandapon, "shop-a")
                self.watched.telemetry.watch(receiver, "shop-a")
                failing = {form.order_id}

                @receiver.on()
                async def book(message: Message) -> None:
                    if message.refund_id is not None:
                        await pandapon.alibaba.refunds.get(refund_id=message.refund_id)
                    if message.order_id in failing:
                        failing.clear()
                        raise LookupError(f"cannot book {message.body}")

                runner = web.AppRunner(receiver.aiohttp_app("/here"))
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                url = f"http://127.0.0.1:{runner.addresses[0][1]}/here"
                try:
                    async with CallbackSender(sandbox, url, duplicates=0.2) as sender:
                        pushed = {"refundId": form.refund_id, "orderId": form.order_id, **PERSONAL}
                        sender.push("1688", "X_REFUND", pushed)
                        await self._reconcile(pandapon, sandbox)
                        await self._send_back(pandapon, returned)
                        await sender.drain()
                        while (await receiver.counts())[MessageState.DONE] < 30:  # noqa: ASYNC110 (see above)
                            await asyncio.sleep(0.01)
                    self.points = await self.watched.counted()
                    self.messages = await receiver.counts()
                    self.states = await pandapon.journal.counts(open_only=True)
                finally:
                    await runner.cleanup()
                self.calls, self.attempts = pandapon.statistics.calls, pandapon.statistics.attempts
        self.points |= {
            name: points
            for name, points in self.watched.points().items()
            if not name.startswith("pandapon.j")
        }

    async def _reconcile(self, pandapon: Any, sandbox: Sandbox) -> None:
        ledger = self.folder / "ledger.csv"
        ledger.write_text("".join(csv_chunks(sandbox.seed, 600)), encoding="utf-8")
        self.summary = await reconcile(pandapon, ledger, self.folder / "out", options=Options())

    async def _send_back(self, pandapon: Any, refund_ids: list[str]) -> None:
        rows = [{**row, "description": f"{NOTE} {NAME}"} for row in plan_files.return_rows(refund_ids)]
        table, plan = plan_files.write_table(self.folder / "table.csv", rows), self.folder / "plan.db"
        await plans.create(pandapon, "returns", table, plan, options=PlanOptions())
        await plans.apply(pandapon, plan, options=ApplyOptions(wait=False))


@pytest.mark.nightly
@pytest.mark.timeout(240)
@pytest.mark.may_block(reason="the table and the ledger of the test are written here")
async def test_a_night_adds_up_and_tells_nothing_personal(tmp_path: Path) -> None:
    with watching() as watched:
        night = Night(watched, tmp_path)
        await night.work()
        spans, points, text = watched.spans, night.points, watched.text() + repr(night.points)
    kinds = Counter(span.kind for span in spans)
    for (name, label), count in sorted(Counter((span.name, span.kind.name) for span in spans).items()):
        print(f"{count:6} {label:9} {name}")
    for name, of in sorted(points.items()):
        print(f"{len(of):6} {name}: {', '.join(sorted({key for attributes in of for key, _ in attributes}))}")

    assert kinds[SpanKind.INTERNAL] == night.calls == sum(points["pandapon.client.call.duration"].values())
    assert kinds[SpanKind.CLIENT] == night.attempts == sum(points["http.client.request.duration"].values())
    assert night.attempts > night.calls
    for kind, allowed in ATTRIBUTES.items():
        found = {key for span in spans if span.kind is kind for key in span.attributes or ()}
        print(f"{kind.name}: {', '.join(sorted(found))}")
        assert found == allowed
    assert not [span for span in spans if span.events or span.status.description]

    def by(metric: str, attribute: str) -> dict[str, Any]:
        return {dict(key)[f"pandapon.{attribute}"]: value for key, value in points[metric].items()}

    verdicts = {str(verdict): count for verdict, count in night.summary.verdicts.items() if count}
    assert by("pandapon.reconcile.rows", "verdict") == verdicts
    intents = by("pandapon.journal.intents", "state")
    assert intents == {state: night.states.get(IntentState(state), 0) for state in intents}
    assert intents["unknown"] > 0
    received, handled = (
        by("pandapon.callbacks.received", "result"),
        by("pandapon.callbacks.handled", "result"),
    )
    assert received["stored"] == sum(night.messages.values())
    assert received["duplicate"] > 0
    assert handled["failed"] > 0
    assert kinds[SpanKind.CONSUMER] == sum(handled.values())
    lines = "\n".join(set(text.replace("}", "}\n").splitlines()))
    print(f"{len(night.canaries)} canaries and {len(night.ids):,} ids in {len(text):,} characters")
    data = lines.encode()
    assert [canary for canary in night.canaries if any(form in data for form in forms(canary))] == []
    assert [one for one in night.ids if one in lines] == []
