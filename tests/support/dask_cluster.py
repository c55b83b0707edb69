"""Dask for real: the command as a process, a cluster of processes that log everything, and who kills them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import attrs
import psutil

from pandapon_async.sandbox import Sandbox
from pandapon_async.storage.record_file import read_records

__all__ = ["Cluster", "Command", "cluster", "environment", "kept", "start", "until"]

ROOT = Path(__file__).resolve().parent.parent.parent
LOGGING = """\
logging:
  version: 1
  handlers:
    all: {class: logging.StreamHandler, level: DEBUG, stream: ext://sys.stderr}
  root: {level: DEBUG, handlers: [all]}
distributed:
  admin: {event-loop: asyncio}
"""


def environment(server: Sandbox, **more: str) -> dict[str, str]:
    """The environment of a process that calls a sandbox."""
    given = {
        "PANDAPON_ACCESS_KEY": server.credentials.access_key,
        "PANDAPON_ACCESS_SECRET": server.credentials.access_secret,
        "PANDAPON_USER_ID": server.credentials.user_id,
        "PANDAPON_BASE_URL": server.base_url,
        "PANDAPON_RATE": "none",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PANDAPON_", "COV_"))}
    return {**kept, **given, **more}


@attrs.define
class Command:
    """`pandapon ...` as a process of its own, with what it has printed."""

    process: asyncio.subprocess.Process

    async def end(self) -> tuple[int, str, str]:
        """Wait for it: exit code, stdout, stderr."""
        out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()

    def workers(self) -> list[psutil.Process]:
        """The processes of the cluster that it began itself."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [
                child
                for child in psutil.Process(self.process.pid).children(recursive=True)
                if any("spawn_main" in word for word in child.cmdline())
            ]
        return []


async def start(server: Sandbox, folder: Path, *arguments: str, **more: str) -> Command:
    """Start the command in a folder, and as the first of a group of processes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pandapon_async", *arguments),
        cwd=folder,
        env=environment(server, **more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    return Command(process)


def kept(out: Path) -> Counter[int]:
    """How often each row of the parts below a folder was looked up and kept."""
    found: Counter[int] = Counter()
    for path in out.glob("parts-*/*.lookups"):
        found.update(record["row"] for record in read_records(path) if "lookup" in record)
    return found


async def until(out: Path, count: int, command: Command) -> None:
    """Wait until so many lookups are kept."""
    while sum((await asyncio.to_thread(kept, out)).values()) < count:
        assert command.process.returncode is None, await command.end()
        await asyncio.sleep(0.05)  # no event tells it: the lookups are made by processes of their own


@attrs.define
class Cluster:
    """A scheduler and workers, each a process whose log is a file."""

    file: Path
    """Where the scheduler says its address: `--dask FILE`."""
    processes: dict[str, asyncio.subprocess.Process]


@contextlib.asynccontextmanager
async def cluster(folder: Path, workers: Mapping[str, Mapping[str, str]]) -> AsyncIterator[Cluster]:
    """A cluster on this machine; `workers` gives the environment of each by name."""
    folder.mkdir(parents=True)
    (folder / "dask.yaml").write_text(LOGGING)
    made = Cluster(folder / "scheduler.json", {})
    common = {"DASK_CONFIG": str(folder / "dask.yaml")}
    any_environment = next(iter(workers.values()))
    by_file = ("--scheduler-file", str(made.file), "--no-dashboard")
    scheduler = ("scheduler", "--host", "127.0.0.1", "--port", "0", *by_file)
    await _launch(made, "scheduler", {**any_environment, **common}, *scheduler)
    for name, given in workers.items():
        arguments = ("worker", *by_file, "--nthreads", "1", "--name", name)
        scratch = ("--local-directory", str(folder / f"scratch-{name}"))
        await _launch(made, name, {**given, **common}, *arguments, *scratch)
    try:
        yield made
    finally:
        for process in made.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _launch(made: Cluster, name: str, given: Mapping[str, str], *arguments: str) -> None:
    with (made.file.parent / f"{name}.log").open("wb") as log:
        made.processes[name] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dask", *arguments),
            env=dict(given),
            cwd=made.file.parent,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
