"""A sandbox with a plan for it, to be applied in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from pandapon_async import Client, Clock, Credentials, Settings, plans
from pandapon_async.plans import ApplyOptions, ApplyResult, PlanOptions, Stop
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.virtual import LoopClock

__all__ = ["Bench", "FreshClock", "bench"]


class FreshClock(LoopClock):
    """The loop's clock with real nonces, as every run is another client."""

    def nonce(self) -> str:
        return Clock.nonce(self)


@attrs.define
class Bench:
    """A sandbox and a plan for it."""

    server: Sandbox
    folder: Path
    kind: str

    @property
    def plan(self) -> Path:
        return self.folder / "plan.db"

    @property
    def results(self) -> list[dict[str, Any]]:
        return plan_files.results_of(self.folder / "plan.db.results.jsonl")

    @property
    def states(self) -> dict[str, int]:
        return dict(plan_files.states_of(self.plan))

    @property
    def succeeded(self) -> dict[str, int]:
        return dict(
            plan_files.effects_per_key(self.server, "return_goods" if self.kind == "returns" else "create")
        )

    def client(self, **changes: Any) -> Client:
        given: dict[str, Any] = {"base_url": self.server.base_url, "rate": None, "clock": FreshClock()}
        given |= {"concurrency": 8, "journal": self.folder / "journal.sqlite"}
        credentials = changes.pop("credentials", self.server.credentials)
        return Client(credentials, Settings(**{**given, **changes}))

    async def apply(
        self, stop: Stop | None = None, settings: dict[str, Any] | None = None, **options: Any
    ) -> ApplyResult:
        async with self.client(**(settings or {})) as client:
            return await plans.apply(client, self.plan, options=ApplyOptions(**options), stop=stop)


@asynccontextmanager
async def bench(
    folder: Path,
    kind: str = "returns",
    rows: int = 5,
    images: int = 0,
    offline: bool = False,
    accounts: Iterable[Credentials] = (),
) -> AsyncIterator[Bench]:
    """A plan of so many rows, not yet applied. `accounts` are others that the sandbox knows."""
    clock = FreshClock()
    async with Sandbox(refunds=600, seed=4, clock=clock, sleep=asyncio.sleep, accounts=accounts) as server:
        names = plan_files.write_images(folder, images) if images else None
        table = (
            plan_files.return_rows(plan_files.returnable(server, rows), names)
            if kind == "returns"
            else plan_files.refund_rows(rows, names)
        )
        made = Bench(server, folder, kind)
        path = plan_files.write_table(folder / "table.csv", table)
        async with made.client() as client:
            await plans.create(client, kind, path, made.plan, options=PlanOptions(offline=offline))
        yield made
