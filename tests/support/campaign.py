"""A campaign of writes by processes that are killed, against a vendor that counts by itself.

Every run is a process: client, plan and vendor on one virtual time, until it ends or kills itself with
SIGKILL at a moment it was told. What is left are files: the plan, the journal, and the vendor's own.
"""

from __future__ import annotations

import asyncio
import functools
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from pandapon_async import Client, Credentials, Settings, plans
from pandapon_async.errors import error_kind_of
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.store import JournalStore
from pandapon_async.plans import ApplyOptions
from pandapon_async.plans.plan_file import PlanFile
from tests.support import plan_files
from tests.support.bench import FreshClock
from tests.support.campaign_vendor import CampaignVendor, Truth, Weather, first_order
from tests.support.virtual import START, VirtualLoop

__all__ = ["MOMENTS", "Campaign", "Ended"]

KINDS = ("returns", "refunds")
USER_ID = "2100000000001"
MOMENTS = ("arrived", "carried out", "journal before", "journal after", "plan before", "plan after")
SETTLE_AFTER = 420.0
"""Longer than a write takes to land and to be seen: absence that is believed earlier may be false."""
EPOCH = 1_700_000_000.0 - START


@attrs.frozen
class Run:
    """What a process is to do, from when on, and when to die."""

    folder: Path
    kind: str
    start: float
    port: int
    weather: Weather
    key: str
    keys: frozenset[str]
    seed: int
    options: Mapping[str, Any] | None
    """Those of `apply`; None makes the plan."""
    die: tuple[str, int] | None


@attrs.frozen
class Ended:
    """How a run ended: killed, with an error (its code and its words), or well."""

    killed: bool
    error: str | None = None
    text: str = ""
    states: Counter[str] = attrs.field(factory=Counter)


class Death:
    """SIGKILL at the moment of this name that comes after so many others."""

    def __init__(self, die: tuple[str, int] | None) -> None:
        self.moment = die and die[0]
        self.left = die[1] if die else 0

    def pass_moment(self, moment: str) -> None:
        if moment == self.moment:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, kind: type[Any], name: str, moment: str) -> None:
        original: Callable[..., Any] = getattr(kind, name)

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.pass_moment(f"{moment} before")
            result = original(*args, **kwargs)
            self.pass_moment(f"{moment} after")
            return result

        setattr(kind, name, watched)


def work(run: Run) -> None:
    """The process: carries a run out, and leaves how it ended in a file."""
    loop = VirtualLoop()
    loop.virtual.now = run.start
    asyncio.set_event_loop(loop)
    ended: dict[str, Any] = {"error": None, "text": ""}
    try:
        loop.run_until_complete(_work(run))
    except Exception as error:
        ended = {"error": error_kind_of(error) if hasattr(error, "outcome") else type(error).__name__}
        ended["text"] = str(error)
    ended["now"] = loop.time()
    (run.folder / "ended.json").write_text(json.dumps(ended))
    loop.close()


async def _work(run: Run) -> None:
    death, clock = Death(run.die), FreshClock()
    death.watch(JournalStore, "commit", "journal")
    death.watch(PlanFile, "change", "plan")
    vendor = CampaignVendor(
        run.folder / "vendor.jsonl", run.weather, run.keys, run.port, clock.wall, run.seed, death.pass_moment
    )
    await vendor.start()
    settings = Settings(
        base_url=f"http://127.0.0.1:{run.port}",
        rate=None,
        concurrency=32,
        clock=clock,
        settle_after=SETTLE_AFTER,
        journal=Journal(run.folder / "journal.sqlite", clock=clock),
    )
    plan = run.folder / f"{run.kind}.db"
    try:
        async with Client(Credentials(run.key, "secret", USER_ID), settings) as client:
            if run.options is None:
                await plans.create(client, run.kind, run.folder / f"{run.kind}.csv", plan)
            else:
                await plans.apply(client, plan, options=ApplyOptions(**run.options))
    finally:
        await vendor.aclose()


class Campaign:
    """One campaign in a folder: its runs, its backups, and what the vendor says of it."""

    def __init__(self, folder: Path, rows: int, weather: Weather, seed: int) -> None:
        self.folder, self.rows, self.weather, self.seed = folder, rows, weather, seed
        self.key, self.keys = "first-key", frozenset({"first-key"})
        self.runs = self.kills = self.backups = self.restored = 0
        self.now = START
        self.chance = random.Random(seed)
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["tests.support.campaign"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        ids = [f"TQ{10_000_000 + number}" for number in range(rows)]
        plan_files.write_table(folder / "returns.csv", plan_files.return_rows(ids))
        plan_files.write_table(folder / "refunds.csv", plan_files.refund_rows(rows))
        self.names = {
            "returns": ids,
            "refunds": [f"{first_order(at)}/{first_order(at) + 1}" for at in range(rows)],
        }

    def run(
        self,
        kind: str,
        options: Mapping[str, Any] | None,
        die: tuple[str, int] | None = None,
        weather: Weather | None = None,
    ) -> Ended:
        """One process, from some time after the last one on."""
        self.runs += 1
        self.now = max(self.now, self.truth.last - EPOCH) + self.chance.randint(1, 90)
        run = Run(
            self.folder,
            kind,
            self.now,
            self._port,
            weather or self.weather,
            self.key,
            self.keys,
            self.seed,
            options,
            die,
        )
        (self.folder / "ended.json").unlink(missing_ok=True)
        process = self._processes.Process(target=work, args=(run,))
        process.start()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            self.kills += 1
            return Ended(killed=True)
        assert process.exitcode == 0, process.exitcode
        ended = json.loads((self.folder / "ended.json").read_text())
        self.now = ended["now"]
        return Ended(False, ended["error"], ended["text"], self.states(kind))

    def rotate(self) -> None:
        """A new key of the same sub-account; the old one is refused from now on."""
        self.key, self.keys = "second-key", frozenset({"second-key"})

    def back_up(self, *files: str, whole: bool = True) -> Path:
        """Copy these files while nobody works; not `whole` leaves out what SQLite keeps beside them."""
        self.backups += 1
        target = self.folder / f"backup {self.backups}"
        target.mkdir()
        for file in files:
            for end in ("", "-wal", "-shm") if whole else ("",):
                if (part := self.folder / f"{file}{end}").exists():
                    shutil.copy2(part, target / part.name)
        return target

    def restore(self, backup: Path) -> None:
        """Put the copies in the place of what they were made of."""
        for file in list(backup.iterdir()):
            if not file.name.endswith(("-wal", "-shm")):
                for end in ("", "-wal", "-shm"):
                    (self.folder / f"{file.name}{end}").unlink(missing_ok=True)
        for file in backup.iterdir():
            shutil.copy2(file, self.folder / file.name)
        self.restored += 1

    @property
    def truth(self) -> Truth:
        """What the vendor says."""
        path = self.folder / "vendor.jsonl"
        return Truth.read(path) if path.exists() else Truth(last=EPOCH + START)

    def states(self, kind: str) -> Counter[str]:
        """How many rows of a plan stand where."""
        return Counter(dict(plan_files.states_of(self.folder / f"{kind}.db")))

    def rows_of(self, kind: str) -> list[dict[str, Any]]:
        """The rows of a plan as its results tell them, in order."""
        return plan_files.results_of(self.folder / f"{kind}.db.results.jsonl")
