"""What tests of plans stand on: tables for the sandbox's refunds, and the command line as a process."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pandapon_async.plans.plan_format import FORMAT
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.faults import FaultPlan, parse_faults
from pandapon_async.storage.damage import checksum
from tests.support.warm import interpreter

PROGRAM = "from pandapon_async.cli import main; main()"
JPEG = b"\xff\xd8\xff\xe0"
ENDED = {"confirmed", "rejected", "settled_done", "settled_absent"}


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A CSV file of these rows."""
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_images(folder: Path, count: int, size: int = 2_000) -> list[str]:
    """So many different images; their names."""
    names = [f"proof-{number}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(JPEG + number.to_bytes(4, "big") * (size // 4))
    return names


def returnable(sandbox: Sandbox, count: int) -> list[str]:
    """Refund forms of 1688 whose goods can be sent back."""
    found = []
    for number in range(0, sandbox.refunds, 2):
        refund = sandbox.refund(number)
        if refund.status == "waitbuyersend":
            found.append(refund.refund_id)
            if len(found) == count:
                return found
    raise AssertionError(f"only {len(found)} of {count}")


def return_rows(ids: Iterable[str], images: list[str] | None = None) -> list[dict[str, str]]:
    """A table of returns for these forms."""
    return [
        {
            "refund_id": refund_id,
            "logistics_company_no": "SF",
            "freight_bill": f"SF{number + 1:010d}",
            "description": "goods as they came",
            "vouchers": images[number % len(images)] if images else "",
            "shop": f"shop {number % 3}",
        }
        for number, refund_id in enumerate(ids)
    ]


def refund_rows(count: int, images: list[str] | None = None) -> list[dict[str, str]]:
    """A table of applications, each for an order of its own."""
    return [
        {
            "order_id": str(3_100_000_000_000_000_000 + 10 * number),
            "order_entry_ids": str(3_100_000_000_000_000_000 + 10 * number + 1),
            "dispute_request": "refund",
            "apply_payment_fen": str(500 + number),
            "apply_carriage_fen": "0",
            "reason_id": "20028" if images else "20022",
            "description": "the seams are open",
            "goods_status": "aftersaleBuyerReceived",
            "vouchers": ";".join({images[number % len(images)], images[-1]}) if images else "",
            "shop": f"shop {number % 3}",
            "currency": "CNY",
        }
        for number in range(count)
    ]


def environment(server: Sandbox | None, **changes: str) -> dict[str, str]:
    """The environment of a process that talks to this sandbox."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("PANDAPON_")}
    if server is not None:
        given |= {
            "PANDAPON_ACCESS_KEY": server.credentials.access_key,
            "PANDAPON_ACCESS_SECRET": server.credentials.access_secret,
            "PANDAPON_USER_ID": server.credentials.user_id,
            "PANDAPON_BASE_URL": server.base_url,
            "PANDAPON_RATE": "none",
        }
    return given | changes


async def start(
    server: Sandbox, *arguments: object, folder: Path | None = None, fresh: bool = False, **changes: str
) -> Process:
    """`pandapon` with these arguments, as a process of its own; a fresh one for who kills it."""
    return await asyncio.create_subprocess_exec(
        sys.executable if fresh else interpreter(),
        "-c",
        PROGRAM,
        *map(str, arguments),
        env=environment(server, **changes),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )


async def finish(process: Process) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def run(server: Sandbox, *arguments: object, **more: Any) -> tuple[int, str, str]:
    """Run `pandapon` to its end."""
    return await finish(await start(server, *arguments, **more))


async def seen(server: Sandbox, requests: int, process: Process) -> None:
    """Until the sandbox has seen so many requests, or the process has ended."""
    while len(server.log) < requests and process.returncode is None:  # noqa: ASYNC110 (no event tells of it)
        await asyncio.sleep(0.001)


def misbehave(server: Sandbox, faults: str) -> None:
    """From now on requests meet these faults."""
    server._pipeline.plan = FaultPlan(parse_faults(faults), server.seed)


def states_of(plan: Path) -> Counter[str]:
    """How many rows of a plan stand in each state."""
    db = sqlite3.connect(plan)
    found = Counter(dict(db.execute("SELECT state, count(*) FROM rows GROUP BY 1").fetchall()))
    db.close()
    return found


def rows_of(plan: Path) -> list[dict[str, Any]]:
    """All rows of a plan."""
    db = sqlite3.connect(plan)
    db.row_factory = sqlite3.Row
    found = [dict(row) for row in db.execute("SELECT * FROM rows ORDER BY row")]
    db.close()
    return found


def note_of(row: Mapping[str, Any]) -> str:
    """What else is worth knowing of a row, as results and summaries show it."""
    return "; ".join([*json.loads(row["remarks"]), *filter(None, [row["resolution_note"]])])


def results_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a result file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def effects_per_key(server: Sandbox, kind: str) -> Counter[str]:
    """How often each write of one kind landed."""
    return Counter(effect.key for effect in server.effects if effect.kind == kind)


def edit(path: Path, statement: str, *values: Any) -> None:
    """Change a plan behind the back of its program, so that nothing shows it."""
    db = sqlite3.connect(path)
    with db:
        db.execute(statement, values)
        for table, columns in FORMAT.checked.items():
            db.create_function("checksum", -1, lambda *stored: checksum(stored))
            db.execute(f"UPDATE {table} SET checksum = checksum({', '.join(columns)})")
    db.close()
