"""Metrics of clients and receivers that come and go: added up, never lost, never kept alive."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from pandapon_async import Client, ConfigurationError, Credentials, Limiter, OutcomeUnknownError, Settings
from pandapon_async.callbacks import Message, MessageState, MessageStore, Receiver
from pandapon_async.journal import Journal
from pandapon_async.otel import OpenTelemetry
from pandapon_async.reconcile.prometheus import write_metrics
from pandapon_async.sandbox import Fault, Sandbox
from tests.support.postgres import Postgres
from tests.support.stores import MessagePlace
from tests.support.telemetry import Watched, signed_push, watching
from tests.test_callbacks_store import change, entry

CREDENTIALS = Credentials("key", "secret", "1")
SETTINGS = Settings(base_url="http://127.0.0.1:9", rate=20)


@pytest.fixture
def watched() -> Iterator[Watched]:
    with watching() as one:
        yield one


def value(points: Any, metric: str, /, **attributes: str) -> Any:
    return points[metric][tuple(sorted((f"pandapon.{key}", text) for key, text in attributes.items()))]


async def test_clients_of_one_name_are_added_up_and_what_is_closed_stays_counted(watched: Watched) -> None:
    async with Sandbox(refunds=50) as sandbox:
        form = sandbox.find("1688")

        async def ask(client: Client, times: int) -> None:
            for _ in range(times):
                await client.alibaba.refunds.get(refund_id=form.refund_id)

        async with watched.client(sandbox, rate=20.0) as first, watched.client(sandbox, rate=30.0) as second:
            watched.telemetry.watch(first)
            watched.telemetry.watch(second)
            await ask(first, 2)
            await ask(second, 3)
            points = watched.points()
            assert value(points, "pandapon.quota.permits") == 5
            assert value(points, "pandapon.quota.limit") == 50
            await ask(first, 1)
        async with watched.client(sandbox, rate=20.0) as third:
            watched.telemetry.watch(third)
            await ask(third, 1)
            points = watched.points()
            assert value(points, "pandapon.quota.permits") == 7
            assert value(points, "pandapon.quota.limit") == 20
        points = watched.points()
        assert value(points, "pandapon.quota.permits") == 7
        assert "pandapon.quota.limit" not in points


async def test_what_clients_share_counts_once(watched: Watched, tmp_path: Path) -> None:
    lost = Fault("reset_after", endpoint="*.return_goods", times=1)
    limiter = Limiter(40.0)
    async with Sandbox(refunds=100, faults=[lost]) as sandbox:
        form = sandbox.find("1688", "waitbuyersend")
        shared: dict[str, Any] = {"limiter": limiter, "journal": tmp_path / "writes.sqlite"}
        async with watched.client(sandbox, **shared) as first, watched.client(sandbox, **shared) as second:
            for one in (first, second, first):
                watched.telemetry.watch(one, "shop-a")
            with pytest.raises(OutcomeUnknownError):
                await first.alibaba.refunds.return_goods(
                    refund_id=form.refund_id, logistics_company_no="SF", freight_bill="SF1"
                )
            await second.journal.open()
            points = await watched.counted()
    assert value(points, "pandapon.quota.permits", name="shop-a") == 1
    assert value(points, "pandapon.quota.limit", name="shop-a") == 40
    assert value(points, "pandapon.journal.intents", name="shop-a", state="unknown") == 1


async def test_a_journal_that_was_not_counted_is_not_said_to_be_empty(
    watched: Watched, tmp_path: Path
) -> None:
    """A write of yesterday may be unknown in it; 0 would end an alert."""
    settings = Settings(base_url="http://127.0.0.1:9", journal=Journal(tmp_path / "journal.sqlite"))
    async with Client(CREDENTIALS, settings) as client:
        watched.telemetry.watch(client)
        watched.points()
        await asyncio.sleep(0.01)
        assert "pandapon.journal.intents" not in watched.points()
        await client.journal.open()
        assert value(await watched.counted(), "pandapon.journal.intents", state="unknown") == 0
        await client.journal.aclose()
        watched.points()
        await asyncio.sleep(0.01)
        assert "pandapon.journal.intents" not in watched.points()


async def test_every_observer_of_a_provider_measures(watched: Watched) -> None:
    """An SDK drops a second instrument of the same name."""
    other = OpenTelemetry(tracer_provider=watched.tracers, meter_provider=watched.meters)
    async with Sandbox(refunds=50) as sandbox, watched.client(sandbox, rate=20.0, observer=other) as client:
        other.watch(client, "other")
        await client.alibaba.refunds.get(refund_id=sandbox.find("1688").refund_id)
        points = watched.points()
    assert value(points, "pandapon.quota.permits", name="other") == 1
    assert sum(points["pandapon.client.call.duration"].values()) == 1


@pytest.mark.parametrize(("provider", "count"), [("sdk", 50), ("none", 300)])
async def test_hundreds_of_clients_leave_nothing_behind(watched: Watched, provider: str, count: int) -> None:
    """Also where nothing is ever collected, as without an SDK."""
    telemetry = watched.telemetry if provider == "sdk" else OpenTelemetry()
    measures = telemetry._measures
    gone: list[weakref.ref[Client]] = []

    async def work() -> None:
        async with Client(CREDENTIALS, SETTINGS) as client:
            telemetry.watch(client)
            gone.append(weakref.ref(client))

    for _ in range(count):
        await work()
    gc.collect()
    assert not any(reference() for reference in gone)
    assert len(measures._clients) <= 1
    assert len(measures._seen) <= 1
    nameless = [name for name, attributes in measures._totals if not attributes]  # others are of other tests
    assert sorted(nameless) == ["quota.paused", "quota.permits"]


def test_a_provider_is_not_kept_alive() -> None:
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    OpenTelemetry(meter_provider=meters)
    gone = weakref.ref(meters)
    meters.shutdown()
    del meters
    gc.collect()
    assert gone() is None


def test_only_clients_and_receivers_are_watched(watched: Watched) -> None:
    with pytest.raises(ConfigurationError, match="takes a Client or a callback Receiver, not Settings"):
        watched.telemetry.watch(SETTINGS)  # type: ignore[arg-type]


@pytest.fixture(params=["file", "database"])
async def place(request: pytest.FixtureRequest) -> MessagePlace:
    """Where messages are."""
    if request.param == "file":
        return MessagePlace(None)
    postgres: Postgres = request.getfixturevalue("postgres")
    return MessagePlace(await postgres.empty())


def test_a_store_counts_what_is_not_done_with(place: MessagePlace) -> None:
    store = place.empty()
    try:
        with change(store):
            assert backlog_of(store) == (0, 0, 0, None)
            for number in range(1, 8):
                store.add(entry(number, None, number, True, float(number)), 0.0)
            records, _ = store.claim(100.0, 3)
            first, second, third = sorted(records, key=lambda record: record.seq)
            assert backlog_of(store) == (4, 3, 0, 1.0)
        with change(store):
            store.finish(first.seq, MessageState.DONE, 9.0, due=9.0, finished=())
            store.finish(second.seq, MessageState.DEAD, 9.0, due=9.0, finished=())
            store.finish(third.seq, MessageState.PENDING, 9.0, due=99.0, finished=())
            assert backlog_of(store) == (5, 0, 1, 3.0)
    finally:
        store.rollback()
        store.close()


def backlog_of(store: MessageStore) -> tuple[int, int, int, float | None]:
    found = store.backlog()
    return found.pending, found.handling, found.dead, found.oldest


@pytest.mark.parametrize("where", ["file", "database"])
async def test_pending_callbacks_are_told_with_the_age_of_the_oldest(
    watched: Watched, where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place: dict[str, Any] = {"store": tmp_path / "callbacks.sqlite"}
    if where == "database":
        postgres: Postgres = request.getfixturevalue("postgres")
        place = {"shared": await postgres.empty()}
    held, running = asyncio.Event(), asyncio.Event()
    receiver = Receiver(CREDENTIALS, observer=watched.telemetry, **place)

    @receiver.on()
    async def hold(message: Message) -> None:
        running.set()
        await held.wait()

    watched.telemetry.watch(receiver, "shop-a")
    assert "pandapon.callbacks.pending" not in watched.points(), "it was not started"
    async with receiver:
        for number in (1, 2, 2):
            assert (await receiver.receive(*signed_push(number))).status == 200
        assert (await receiver.receive(signed_push(3)[0], "0" * 64)).status == 401
        await running.wait()
        points = await watched.counted()
        pending = [
            value(points, "pandapon.callbacks.pending", name="shop-a", state=state) for state in STATES
        ]
        assert sum(pending) == 2
        assert pending[2] == 0
        assert 0 < value(points, "pandapon.callbacks.oldest", name="shop-a") < 60
        held.set()
        while (await receiver.counts())[MessageState.DONE] < 2:  # noqa: ASYNC110 (the dispatcher is here)
            await asyncio.sleep(0.001)
        points = await watched.counted()
        assert value(points, "pandapon.callbacks.oldest", name="shop-a") == 0
        for name, result, count in (
            ("received", "stored", 2),
            ("received", "duplicate", 1),
            ("received", "refused", 1),
            ("received", "unavailable", 0),
            ("handled", "done", 2),
            ("handled", "no_handler", 0),
            ("handled", "dead", 0),
        ):
            assert value(points, f"pandapon.callbacks.{name}", name="shop-a", result=result) == count
    watched.points()
    await asyncio.sleep(0.01)
    assert "pandapon.callbacks.pending" not in watched.points(), "it was closed"


STATES = ("pending", "handling", "dead")


def test_an_observer_of_calls_alone_is_refused_by_a_receiver() -> None:
    with pytest.raises(ConfigurationError, match="have a method message_started or message_ended; function"):
        Receiver(CREDENTIALS, store=":memory:", observer=lambda name, attempt: None)


class RecordingMeter(metrics.NoOpMeter):
    """Keeps the names that Prometheus gets, by the rules of OpenTelemetry's exporters."""

    def __init__(self) -> None:
        super().__init__("recording")
        self.names: set[str] = set()

    def _kept(self, made: Callable[..., Any], end: str) -> Callable[..., Any]:
        def create(name: str, *given: Any, **more: Any) -> Any:
            unit = "_seconds" if "s" in (*given, more.get("unit")) else ""
            self.names.add(name.replace(".", "_") + unit + end)
            return made(name, *given, **more)

        return create

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        end = "_total" if name.endswith("counter") else "_count" if name.endswith("histogram") else ""
        return self._kept(found, end) if name.startswith("create_") else found


class RecordingProvider(metrics.NoOpMeterProvider):
    def __init__(self) -> None:
        self.meter = RecordingMeter()

    def get_meter(self, *_: Any, **__: Any) -> metrics.Meter:
        return self.meter


def test_the_alerts_of_the_page_are_about_metrics_that_exist(tmp_path: Path) -> None:
    provider = RecordingProvider()
    OpenTelemetry(meter_provider=provider)
    write_metrics(tmp_path / "a.prom", 0, 1.0)
    there = provider.meter.names | set(
        re.findall(r"^(\w+){", (tmp_path / "a.prom").read_text(), re.MULTILINE)
    )
    page = (Path(__file__).parent.parent / "docs/how-to/observe.md").read_text(encoding="utf-8")
    (rules,) = re.findall(r"```yaml title=\"alerts.yml\"\n(.*?)```", page, re.DOTALL)
    expressions = [rule["expr"] for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]]
    used = set(re.findall(r"pandapon_(?!name|state)\w+", " ".join(expressions)))
    assert len(expressions) == 3
    assert len(used) == 5
    assert used <= there
