"""How many instructions a call costs beside bare aiohttp, counted by callgrind.

`python -m benchmarks.instructions` makes calls with each client under callgrind, in a process of its own,
and counts only the calls: not the start, nor the warm-up. Counts hardly depend on what else the machine
is doing, so this one can gate: with `--check` it exits with 1 when a ratio is above its bar in `bars.toml`.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import report
from benchmarks.contenders import CONTENDERS, Place, contender
from benchmarks.measure import drive
from benchmarks.server import HERE, Server, compiled, serving

__all__ = ["CALLS", "count_instructions", "main"]

CALLS = {"tiny": 512, "refund": 512, "list": 16}
CONCURRENCY = 32
ROUNDS_OF_WARM_UP = 3
VALGRIND = ("valgrind", "--tool=callgrind", "--instr-atstart=no")
CHILD = (sys.executable, "-m", "benchmarks.instructions", "--child")


async def _work(marks: ctypes.CDLL, name: str, url: str, reply: str, calls: int) -> None:
    concurrency = min(CONCURRENCY, calls)
    async with contender(name, Place(url, reply, concurrency)) as call:
        await drive(call, ROUNDS_OF_WARM_UP * concurrency, concurrency)
        marks.count_from_here()
        await drive(call, calls, concurrency)
        marks.count_to_here(reply.encode())


def _child(task: str) -> None:
    """Under callgrind: all the answers in turn."""
    wanted = json.loads(task)
    marks = ctypes.CDLL(wanted["marks"])
    for reply, calls in wanted["calls"].items():
        asyncio.run(_work(marks, wanted["name"], wanted["url"], reply, calls))


def _counted(name: str, url: str, calls: dict[str, int], marks: Path, directory: Path) -> dict[str, float]:
    """Instructions per call of one client, by answer."""
    task = {"name": name, "url": url, "calls": calls, "marks": str(marks)}
    out = directory / f"callgrind.{name.replace(' ', '-')}"
    done = subprocess.run(
        [*VALGRIND, f"--callgrind-out-file={out}", *CHILD, json.dumps(task)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=HERE.parent,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise SystemExit(f"callgrind failed:\n{done.stderr}")
    totals = {}
    for part in directory.glob(f"{out.name}.*"):
        text = part.read_text()
        reply = re.search(r"^desc: Trigger: Client Request: (\w+)$", text, re.MULTILINE)
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if reply and total:
            totals[reply[1]] = int(total[1])
    return {reply: totals[reply] / count for reply, count in calls.items()}


def count_instructions(
    names: list[str], server: Server, calls: dict[str, int], keep: Path | None = None
) -> dict[str, dict[str, float]]:
    """Instructions per call of each client, by answer; `keep` is a directory for callgrind's own files."""
    with tempfile.TemporaryDirectory(prefix="pandapon-bench-") as temporary:
        directory = keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        marks = compiled("marks", Path(temporary), "-shared", "-fPIC")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            counted = pool.map(lambda name: _counted(name, server.url, calls, marks, directory), names)
            return dict(zip(names, counted, strict=True))


def why_not() -> str | None:
    """Why nothing can be counted on this machine; None if it can."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if not Path("/usr/include/valgrind/callgrind.h").is_file():
        return "valgrind's headers are not installed"
    if shutil.which("cc") is None:
        return "a C compiler is not installed"
    return None


def above_the_bar(counted: dict[str, dict[str, float]]) -> list[str]:
    """What is wrong, in words; nothing if all is within the bars."""
    facts = tomllib.loads((HERE / "bars.toml").read_text())
    bars, allowance = facts["instructions"], facts["allowance"]
    base, ours = counted["aiohttp"], counted["pandapon-async"]
    return [
        f"{reply}: {ours[reply] / base[reply]:.3f} x bare aiohttp is above the bar of {bars[reply]} x"
        for reply in ours
        if ours[reply] > (1 + allowance) * bars[reply] * base[reply]
    ]


def main() -> None:
    """Count, print, and with `--check` fail above a bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reply", nargs="+", default=list(CALLS), choices=CALLS, help="which answers")
    parser.add_argument("--calls", type=int, help="so many instead of the usual numbers")
    parser.add_argument("--contenders", nargs="+", default=["aiohttp", "pandapon-async"], choices=CONTENDERS)
    parser.add_argument("--keep", type=Path, help="a directory for callgrind's own files")
    parser.add_argument("--check", action="store_true", help="exit with 1 above a bar of bars.toml")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options.child)
        return
    if reason := why_not():
        print(f"instructions: not counted, {reason} (apt-get install valgrind gcc)")
        return
    calls = {reply: options.calls or CALLS[reply] for reply in options.reply}
    names = list(dict.fromkeys(["aiohttp", *options.contenders]))
    with serving(None) as server:
        counted = count_instructions(names, server, calls, options.keep)
    base = counted["aiohttp"]
    rows = [
        [name, reply, f"{number:,.0f}", f"{number / base[reply]:.3f}"]
        for reply in calls
        for name, number in ((name, counted[name][reply]) for name in names)
    ]
    report.write(
        "instructions",
        f"instructions per call, concurrency {CONCURRENCY}",
        report.table(["client", "answer", "instructions per call", "x bare aiohttp"], rows),
    )
    if options.check and (wrong := above_the_bar(counted)):
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
