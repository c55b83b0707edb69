"""Starts the canned server on a core of its own: plain in C, over TLS in Python.

Both answer from memory. `ceiling` is what the plain one can do by itself, and `server_cpu_seconds`
what it needed meanwhile: throughput has only been measured where the server was idle for a part of it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import trustme

from benchmarks.replies import REPLIES, Reply, write_replies

__all__ = ["HERE", "Server", "ceiling", "compiled", "cores", "pin", "server_cpu_seconds", "serving"]

HERE = Path(__file__).parent


def cores() -> tuple[int | None, int | None]:
    """The core of the client and the core of the server; None where processes cannot be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[-1]) if len(allowed) > 1 else (None, None)


def pin(core: int | None) -> None:
    """Keep this process on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@attrs.define(frozen=True)
class Server:
    """A server that is running. `authority` is the file with the CA to trust, of a TLS server."""

    url: str
    process_id: int
    authority: str | None = None


def server_cpu_seconds(process_id: int) -> float:
    """The CPU time a server has used since its start, in steps of 10 ms."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(
    core: int | None, replies: Mapping[str, Reply] = REPLIES, *, tls: bool = False
) -> Iterator[Server]:
    """A canned server, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="pandapon-bench-") as name:
        directory = Path(name)
        arguments = write_replies(directory, replies)
        if tls:
            authority = _certificates(directory)
            command = [
                sys.executable,
                "-m",
                "benchmarks.tls_server",
                str(directory / "server.pem"),
                *arguments,
            ]
        else:
            authority = None
            command = [str(compiled("server", directory)), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent) as process:
            assert process.stdout is not None
            try:
                if core is not None:
                    os.sched_setaffinity(process.pid, {core})
                port = int(process.stdout.readline())
                yield Server(
                    f"{'https' if tls else 'http'}://127.0.0.1:{port}",
                    process.pid,
                    str(authority) if authority else None,
                )
            finally:
                process.terminate()


def compiled(name: str, directory: Path, *options: str) -> Path:
    """One of the C files beside this one, compiled into a directory."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("the benchmarks need a C compiler (cc) for their server")
    program = directory / name
    subprocess.run([compiler, "-O2", *options, "-o", program, HERE / f"{name}.c"], check=True)
    return program


def ceiling(server: Server, request: str, core: int | None, seconds: float) -> float:
    """Requests a second that a plain server answers to a load generator in C."""
    with tempfile.TemporaryDirectory(prefix="pandapon-bench-") as name:
        program = compiled("load", Path(name))
        port = server.url.rsplit(":", 1)[1]
        command = [str(program), port, "32", str(seconds), request]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
            if core is not None:
                os.sched_setaffinity(load.pid, {core})
            text, _ = load.communicate()
    return float(text)


def _certificates(directory: Path) -> Path:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    file = directory / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return file
