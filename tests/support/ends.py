"""How every command can end: what happens, what is typed, the code, and what is told. The table of
docs/exit-codes.md, which `python -m tests.support.ends` writes; tests/test_cli_ends.py runs every row.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.command import Ended, Shell
from tests.support.mistakes import COMMANDS, Mistake, common_mistakes, mistakes
from tests.support.warm import interpreter

__all__ = ["ENDS", "PAGE", "End", "House", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"
REFUND = "alibaba.refunds.get"


class House:
    """An empty folder with tables in it, and whatever a row of the table needs around the command."""

    def __init__(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shell = shell
        self.monkeypatch = monkeypatch
        self.folder = shell.folder
        self.server: Sandbox | None = None
        self.refund = self.ended = ""
        self.stack = contextlib.AsyncExitStack()

    def set(self, **variables: str) -> None:
        """Set variables of the environment, without their prefix."""
        for name, value in variables.items():
            self.monkeypatch.setenv(f"PANDAPON_{name}", value)

    async def run(self, typed: str) -> Ended:
        """Run a command line in this process."""
        return await self.shell.beside(*self.words(typed))

    def words(self, typed: str) -> list[str]:
        """What stands on a command line, with the id of a refund in its place."""
        return shlex.split(typed.replace("$REFUND", self.refund).replace("$ENDED", self.ended))

    async def process(self, typed: str, **more: Any) -> subprocess.Popen[str]:
        """The same as a process of its own."""
        # Limits and closed descriptors are those of a fresh process only.
        program = sys.executable if "preexec_fn" in more else interpreter()
        command = [program, "-c", plan_files.PROGRAM, *self.words(typed)]
        pipes: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        started = {**pipes, "cwd": self.folder, "env": env, "text": True, **more}
        return await asyncio.to_thread(lambda: subprocess.Popen(command, **started))


Scene = Callable[[House, str], Awaitable[Ended]]


async def nothing(house: House, typed: str) -> Ended:
    """No settings at all."""
    return await house.run(typed)


async def key(house: House, typed: str) -> Ended:
    """Settings, and nobody who answers."""
    unheard = socket.socket()
    unheard.bind(("127.0.0.1", 0))
    house.stack.callback(unheard.close)
    where = f"http://127.0.0.1:{unheard.getsockname()[1]}"
    house.set(
        ACCESS_KEY="k", ACCESS_SECRET="s", USER_ID="1", BASE_URL=where, RETRY__ATTEMPTS="1", RATE="none"
    )
    return await house.run(typed)


async def sandbox(house: House, typed: str, faults: str = "") -> Ended:
    """A sandbox, and tables of its refunds."""
    await open_sandbox(house, faults)
    ended = Ended(0, "", "")
    *before, last = typed.split(" && ")
    for one in before:
        ended = await house.run(one)
        assert ended.code in (0, 1, 3), ended
    return await house.run(last)


async def open_sandbox(house: House, faults: str = "", **more: Any) -> Sandbox:
    """Start it, and write the tables."""
    server = await house.stack.enter_async_context(Sandbox(refunds=200, seed=4, **more))
    house.server = server
    house.shell.use(server)
    house.set(RETRY__ATTEMPTS="1")
    judged = zip(server.ledger_rows(), server.truth(), strict=True)
    lines = [row for row, verdict in judged if verdict == "matched"][:12]
    plan_files.write_table(house.folder / "ledger.csv", lines)
    plan_files.write_table(house.folder / "wrong.csv", [{**line, "amount_fen": "77"} for line in lines])
    ids = plan_files.returnable(server, 2)
    returns = plan_files.return_rows(ids)
    plan_files.write_table(house.folder / "returns.csv", returns)
    plan_files.write_table(house.folder / "odd.csv", [*returns, {**returns[0], "refund_id": "none"}])
    plan_files.write_table(house.folder / "refunds.csv", plan_files.refund_rows(2))
    plan_files.write_images(house.folder, 2)
    (house.folder / "text.jpg").write_text("no image")
    house.refund, house.ended = ids[0], server.find("1688", "refundsuccess").refund_id
    if faults:
        plan_files.misbehave(server, faults)
    return server


async def wrong_key(house: House, typed: str) -> Ended:
    """A sandbox that does not know the secret."""
    await open_sandbox(house)
    *before, last = typed.split(" && ")
    for one in before:
        await house.run(one)
    house.set(ACCESS_SECRET="another")
    return await house.run(last)


def failing(faults: str) -> Scene:
    """A sandbox whose requests meet these faults, in the last of the commands."""

    async def scene(house: House, typed: str) -> Ended:
        server = await open_sandbox(house)
        *before, last = typed.split(" && ")
        for one in before:
            await house.run(one)
        plan_files.misbehave(server, faults)
        return await house.run(last)

    return scene


async def interrupted(house: House, typed: str) -> Ended:
    """Ctrl-C once it is at work: after a request, or after it said where it listens."""
    server = await open_sandbox(house)
    *before, last = typed.split(" && ")
    for one in before:
        await house.run(one)
    plan_files.misbehave(server, "latency:1:delay=30")
    seen = server.counters.requests
    process = await house.process(last)
    said = ""
    if last.startswith(("sandbox", "callbacks serve", "demo")):
        stream = process.stdout if last.startswith("sandbox") else process.stderr
        assert stream is not None
        said = await asyncio.to_thread(stream.readline)
    else:
        while server.counters.requests == seen:  # noqa: ASYNC110  # another process makes them
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(process.communicate, None, 60)
    return Ended(process.returncode, out, said + err)


def answering(answer: str) -> Scene:
    """A person at a terminal, who types this."""

    async def scene(house: House, typed: str) -> Ended:
        from tests.test_cli_plans import terminal

        server = await open_sandbox(house)
        *before, last = typed.split(" && ")
        for one in before:
            await house.run(one)
        words = house.words(last)
        code, shown = await asyncio.to_thread(terminal, server, house.folder, answer.encode(), *words)
        return Ended(code, "", shown.replace("\r\n", "\n"))

    return scene


def with_file(name: str, text: str, inner: Scene = nothing) -> Scene:
    """A file beside it."""

    async def scene(house: House, typed: str) -> Ended:
        (house.folder / name).write_text(text, "utf-8")
        return await inner(house, typed)

    return scene


def with_variable(inner: Scene = nothing, **variables: str) -> Scene:
    """Variables of the environment."""

    async def scene(house: House, typed: str) -> Ended:
        house.set(**variables)
        return await inner(house, typed)

    return scene


def into(target: str) -> Scene:
    """stdout is a disk that is "full", goes to a "reader" who saw enough, or "nowhere": it is closed."""

    async def scene(house: House, typed: str) -> Ended:
        if target == "nowhere":
            process = await house.process(typed, stdout=None, preexec_fn=lambda: os.close(1))
        elif target == "full":
            full = os.open("/dev/full", os.O_WRONLY)
            process = await house.process(typed, stdout=full)
            os.close(full)
        else:
            reading, writing = os.pipe()
            os.close(reading)
            process = await house.process(typed, stdout=writing)
            os.close(writing)
        _, err = await asyncio.to_thread(process.communicate)
        return Ended(process.returncode, "", err)

    return scene


async def full_disk(house: House, typed: str) -> Ended:
    """No file may grow beyond 2 kB, as on a disk that is full."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    process = await house.process(typed, preexec_fn=limit)
    out, err = await asyncio.to_thread(process.communicate)
    return Ended(process.returncode, out, err)


async def unforeseen(house: House, typed: str) -> Ended:
    """A bug of ours."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a text that may hold anything")

    house.monkeypatch.setattr(importlib.import_module("pandapon_async.cli.openapi"), "document", broken)
    return await house.run(typed)


async def absent(house: House, typed: str) -> Ended:
    """A sandbox of other refunds."""
    await open_sandbox(house)
    row = {"platform": "1688", "amount_fen": "1", "status": "refundsuccess"}
    plan_files.write_table(
        house.folder / "ledger.csv", [{**row, "refund_id": f"TQ1{at}"} for at in range(12)]
    )
    return await house.run(typed)


async def far(house: House, typed: str) -> Ended:
    """A database that is out of reach."""
    house.set(ACCESS_KEY="k", ACCESS_SECRET="s", USER_ID="1")
    return await house.run(typed)


async def busy_port(house: House, typed: str) -> Ended:
    """Another program listens there."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    house.stack.callback(taken.close)
    house.set(ACCESS_KEY="k", ACCESS_SECRET="s", USER_ID="1")
    process = await house.process(typed.replace("8080", str(taken.getsockname()[1])))
    out, err = await asyncio.to_thread(process.communicate, None, 60)
    return Ended(process.returncode, out, err)


def receiver(status: int) -> Scene:
    """A receiver of callbacks that answers so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    async def scene(house: House, typed: str) -> Ended:
        house.set(ACCESS_KEY="k", ACCESS_SECRET="s", USER_ID="1")
        server = await house.stack.enter_async_context(await asyncio.start_server(answer, "127.0.0.1", 0))
        port = server.sockets[0].getsockname()[1]
        return await house.run(typed.replace("8090", str(port)))

    return scene


def with_refunds(*, odd: bool) -> Scene:
    """A sandbox, and a table of applications of which one cannot be sent."""

    async def scene(house: House, typed: str) -> Ended:
        await open_sandbox(house)
        rows = plan_files.refund_rows(2)
        bad = [{**rows[0], "apply_payment_fen": "nothing"}] if odd else []
        plan_files.write_table(house.folder / "odd.csv", [*rows, *bad])
        return await house.run(typed)

    return scene


def lost_write(*, refused: bool = False) -> Scene:
    """A write whose answer was lost and which nobody sees yet; then the key may be refused."""

    async def scene(house: House, typed: str) -> Ended:
        await open_sandbox(house)
        house.set(JOURNAL=str(house.folder / "journal.sqlite"))
        plan_files.misbehave(house.server, "lands_late:1:delay=60:endpoint=*.return_goods")  # type: ignore[arg-type]
        assert (await house.run(WRITE)).code == 3
        if refused:
            house.set(ACCESS_SECRET="another")
        return await house.run(typed)

    return scene


async def one_intent(house: House, typed: str) -> Ended:
    """A write in the journal, whose id is known."""
    await open_sandbox(house)
    house.set(JOURNAL=str(house.folder / "journal.sqlite"))
    assert (await house.run(WRITE)).code == 0
    listed = await house.run("journal list")
    return await house.run(typed.replace("$INTENT", json.loads(listed.out)["id"]))


async def old_journal(house: House, typed: str) -> Ended:
    """A journal of the first format."""
    kept = Path(__file__).parents[1] / "data" / "formats" / "journal-1.sqlite"
    (house.folder / "old.sqlite").write_bytes(kept.read_bytes())
    return await key(house, typed)


async def stored_messages(house: House, typed: str) -> Ended:
    """A file of callbacks, of the first format."""
    kept = Path(__file__).parents[1] / "data" / "formats" / "callbacks-1.sqlite"
    (house.folder / "callbacks.sqlite").write_bytes(kept.read_bytes())
    return await house.run(typed)


TWO_ACCOUNTS = "".join(
    f'[accounts.{name}]\naccess_key = "k{name}"\naccess_secret = "s"\nuser_id = "1"\n'
    for name in ("shop-a", "shop-b")
)


@attrs.frozen
class End:
    """A way in which a command ends."""

    when: str
    typed: str
    """Behind `pandapon`; commands before the last one, separated by &&, prepare it."""
    code: int
    told: str
    """What stands in what is told on stderr (on stdout, if it begins with "stdout: "): values and names, no
    words, which may be said otherwise."""
    scene: Scene = nothing

    @property
    def command(self) -> str:
        """The command that ends so."""
        last = self.typed.split(" && ")[-1]
        return max((name for name in COMMANDS if f"{last} ".startswith(f"{name} ")), key=len, default="")


LOST = failing("reset_after")
DOWN = failing("error_503")
RETURN = "returns plan returns.csv --out plan.db"
REFUNDS = "refunds plan refunds.csv --out plan.db"
APPLY = "returns apply plan.db --yes --no-wait"
WRITE = "call alibaba.refunds.return_goods refund_id=$REFUND logistics_company_no=SF freight_bill=SF1 --yes"
PARTS = "reconcile split ledger.csv --parts 2 --out parts"
PART_1, PART_2 = "reconcile part 1 --in parts", "reconcile part 2 --in parts"

ENDS: tuple[End, ...] = (
    # Whatever the command is
    End("the version", "--version", 0, "stdout: pandapon-async"),
    End("no command", "", 2, "Usage: pandapon"),
    End("a group alone", "journal", 2, "Usage: pandapon journal"),
    End("a command that is not there", "foo", 2, "'foo'\nsee `pandapon --help`"),
    End("a misspelled group", "journl list", 2, "journal?"),
    End("a misspelled command", "journal lst", 2, "list?"),
    End("a misspelled option", "endpoints --grup x", 2, "--group?"),
    End("no settings at all", f"call {REFUND} refund_id=TQ1", 2, "PANDAPON_ACCESS_KEY"),
    End("a setting of no use", f"call {REFUND} refund_id=TQ1", 2, "PANDAPON_RATE", with_variable(RATE="abc")),
    End(
        "a name of a setting that is none, told and passed over",
        "endpoints --group carts",
        0,
        "",
        with_variable(RAET="5"),
    ),
    End(
        "a configuration that is not TOML",
        "config check --config odd.toml",
        2,
        "odd.toml",
        with_file("odd.toml", "[accounts"),
    ),
    End(
        "a section that is not there",
        "config check --config odd.toml",
        2,
        "odd.toml",
        with_file("odd.toml", "[defualts]\nrate = 5\n"),
    ),
    End(
        "an account that is not there",
        f"call {REFUND} refund_id=TQ1 --config two.toml --account shop-c",
        2,
        "shop-c",
        with_file("two.toml", TWO_ACCOUNTS),
    ),
    End(
        "several accounts, and none named",
        "journal list --config two.toml",
        2,
        "--account",
        with_file("two.toml", TWO_ACCOUNTS),
    ),
    End("whoever reads the output has seen enough (`| head`)", "endpoints", 3, "", into("reader")),
    End(
        "the disk that the output goes to is full",
        "endpoints",
        3,
        "No space left on device",
        into("full"),
    ),
    End("the output is closed", "endpoints", 0, "", into("nowhere")),
    End(
        "an error that nobody foresaw", "openapi", 70, "error: unforeseen RuntimeError in openapi", unforeseen
    ),
    # Looking things up
    End("calls are listed", "endpoints --group refunds", 0, "stdout: alibaba.refunds.get"),
    End("a group that is not there", "endpoints --group nope", 2, "nope"),
    End("the document is written", "openapi --out api.json", 0, ""),
    End(
        "a folder that is not there",
        "openapi --out none/api.json",
        2,
        "none/api.json",
    ),
    End(
        "a file of somebody else",
        "openapi --out notes.txt",
        2,
        "--out",
        with_file("notes.txt", "mine"),
    ),
    End(
        "the disk is full",
        "openapi --out api.json",
        3,
        "api.json: File too large",
        full_disk,
    ),
    End("settings are shown", "config show", 0, "stdout: base_url", key),
    End(
        "something that was said cannot be used", "config show", 2, "PANDAPON_RATE", with_variable(RATE="abc")
    ),
    End(
        "every account can be used",
        "config check --config two.toml",
        0,
        "stdout: shop-b",
        with_file("two.toml", TWO_ACCOUNTS),
    ),
    End(
        "an account cannot be used",
        "config check --config two.toml",
        1,
        "",
        with_file("two.toml", f'{TWO_ACCOUNTS}[accounts.c]\naccess_key = "k"\n'),
    ),
    End("nothing is bad", "doctor", 0, "", sandbox),
    End("a check is bad", "doctor", 1, "", key),
    End("Ctrl-C", "doctor", 3, "", interrupted),
    End("what was found out is told", "calibrate", 0, "calls", sandbox),
    End("a file that is there", "calibrate --write ledger.csv", 2, "ledger.csv", sandbox),
    End("no signature is accepted", "calibrate", 4, "", wrong_key),
    End("nobody answers", "calibrate", 4, "", key),
    End("Ctrl-C", "calibrate", 3, "", interrupted),
    # One call
    End("an answer", f"call {REFUND} refund_id=$REFUND", 0, "stdout: refundId", sandbox),
    End("no name", "call", 2, "stdout: Usage: pandapon call"),
    End("a name that is not there", "call alibaba.refund.gt", 2, "did you mean alibaba.refunds.get"),
    End("an argument without =", f"call {REFUND} TQ1", 2, "key=value", key),
    End("an argument that is not there", f"call {REFUND} refund=TQ1", 2, "refund", key),
    End("an argument is missing", f"call {REFUND}", 2, "refund_id", key),
    End("a value of no use", f"call {REFUND} refund_id=x", 2, "refund_id", key),
    End("--body without a file", f"call {REFUND} --body @none.json", 2, "--body", key),
    End("a write without a person to ask", WRITE.removesuffix(" --yes"), 2, "--yes", sandbox),
    End(
        "money would move",
        "call alibaba.orders.confirm_receipt order_id=1 order_entry_ids=1 --yes",
        2,
        "--yes-this-moves-money",
        key,
    ),
    End('"no" at the question', WRITE.removesuffix(" --yes"), 3, "", answering("n\n")),
    End(
        "the vendor says no",
        f"call {REFUND} refund_id=TQ99999999",
        1,
        "refund does not exist",
        sandbox,
    ),
    End("not sent", f"call {REFUND} refund_id=TQ1", 3, "error: ", key),
    End("a write of unknown outcome", WRITE, 3, "intent", LOST),
    End("the key is refused", f"call {REFUND} refund_id=TQ1", 4, "error: ", wrong_key),
    End("Ctrl-C", f"call {REFUND} refund_id=TQ1", 3, "", interrupted),
    End(
        "a recording is written",
        f"record answer.json --yes -- call {REFUND} refund_id=$REFUND",
        0,
        "answer.json",
        sandbox,
    ),
    End("not a call", "record answer.json --yes -- get", 2, "record"),
    End(
        "a call that writes",
        "record answer.json -- call taobao.refunds.cancel refund_id=110000235001",
        2,
        "taobao.refunds.cancel",
    ),
    End(
        "a file of somebody else",
        f"record ledger.csv -- call {REFUND} refund_id=$REFUND",
        2,
        "ledger.csv",
        sandbox,
    ),
    End(
        '"no" at the question',
        f"record answer.json -- call {REFUND} refund_id=$REFUND",
        3,
        "",
        answering("n\n"),
    ),
    End("not sent", f"record answer.json --yes -- call {REFUND} refund_id=TQ1", 3, "error: ", key),
    End(
        "a refusal, which is an answer as well",
        f"record answer.json --yes -- call {REFUND} refund_id=TQ1",
        0,
        "answer.json",
        wrong_key,
    ),
    # The nightly job
    End("all rows match", "reconcile ledger.csv --out out", 0, "", sandbox),
    End("a row differs", "reconcile wrong.csv --out out", 1, "", sandbox),
    End("no ledger", "reconcile none.csv --out out", 2, "none.csv", key),
    End(
        "a ledger of no rows",
        "reconcile empty.csv --out out",
        2,
        "empty.csv",
        with_file("empty.csv", "platform,refund_id,amount_fen,status\n", key),
    ),
    End(
        "a file that is not a ledger",
        "reconcile odd.csv --out out",
        2,
        "refund_id",
        with_file("odd.csv", "x,y\n1,2\n", key),
    ),
    End("no --out", "reconcile ledger.csv", 2, "--dry-run", sandbox),
    End("--map without =", "reconcile ledger.csv --out out --map id", 2, "--map: 'id'", key),
    End(
        "--map of a field that is not there",
        "reconcile ledger.csv --out out --map refund=x",
        2,
        "refund",
        sandbox,
    ),
    End(
        "--status-map without =",
        "reconcile ledger.csv --out out --status-map x",
        2,
        "--status-map: 'x'",
        key,
    ),
    End("--as-of that is not a time", "reconcile ledger.csv --out out --as-of may", 2, "'may'", key),
    End("--reuse that is not an age", "reconcile ledger.csv --out out --reuse long", 2, "--reuse: ", key),
    End("--fresh and --reuse", "reconcile ledger.csv --out out --fresh --reuse 1d", 2, "reuse", sandbox),
    End(
        "--sheet and --all-sheets",
        "reconcile ledger.csv --out out --sheet a --all-sheets",
        2,
        "sheet",
        sandbox,
    ),
    End("--out is a file", "reconcile ledger.csv --out returns.csv", 2, "--out", sandbox),
    End(
        "--out with files of somebody else",
        "reconcile ledger.csv --out .",
        2,
        "--out",
        with_file("summary.json", "{}", sandbox),
    ),
    End(
        "--state is something else",
        "reconcile ledger.csv --out out --state returns.csv",
        2,
        "returns.csv",
        sandbox,
    ),
    End(
        "--metrics of somebody else",
        "reconcile ledger.csv --out out --metrics other.prom",
        2,
        "other.prom",
        with_file("other.prom", "up 1\n", sandbox),
    ),
    End(
        "a row is unverified",
        "reconcile ledger.csv --out out --no-second-pass",
        3,
        "unverified",
        failing("error_503:0.5"),
    ),
    End("nothing is found", "reconcile ledger.csv --out out", 3, "error: ", absent),
    End("the key is refused", "reconcile ledger.csv --out out", 4, "PANDAPON_ACCESS_KEY", wrong_key),
    End(
        "Ctrl-C",
        "reconcile ledger.csv --out out",
        3,
        "pandapon reconcile ledger.csv",
        interrupted,
    ),
    End("a dry run", "reconcile ledger.csv --dry-run", 0, "", sandbox),
    End(
        "a dry run, and a row that cannot be read",
        "reconcile odd.csv --dry-run",
        1,
        "",
        with_file("odd.csv", "platform,refund_id,amount_fen,status\n1688,x,1,y\n", nothing),
    ),
    End("the parts are made", PARTS, 0, "pandapon reconcile part 1 --in parts", sandbox),
    End(
        "--out is a file",
        "reconcile split ledger.csv --parts 2 --out returns.csv",
        2,
        "returns.csv",
        sandbox,
    ),
    End("a part is done", f"{PARTS} && {PART_1}", 0, "", sandbox),
    End("no such folder", "reconcile part 1 --in none", 2, "none", key),
    End("no such part", f"{PARTS} && reconcile part 3 --in parts", 2, "3", sandbox),
    End("a lookup failed", f"{PARTS} && {PART_1}", 3, "", DOWN),
    End("the key is refused", f"{PARTS} && {PART_1}", 4, "error: ", wrong_key),
    End("Ctrl-C", f"{PARTS} && {PART_1}", 3, "", interrupted),
    End(
        "all rows match",
        f"{PARTS} && {PART_1} && {PART_2} && reconcile merge --in parts --out out",
        0,
        "",
        sandbox,
    ),
    End("no such folder", "reconcile merge --in none --out out", 2, "none"),
    End(
        "a part was not run",
        f"{PARTS} && {PART_1} && reconcile merge --in parts --out out",
        3,
        "error: ",
        sandbox,
    ),
    End(
        "a row differs",
        f"{PARTS.replace('ledger', 'wrong')} && {PART_1} && {PART_2} && reconcile merge --in parts --out out",
        1,
        "",
        sandbox,
    ),
    End("old files are deleted", "clean . --older-than 400d --yes", 0, "", nothing),
    End("no such folder", "clean none --older-than 400d", 2, "none"),
    End("an age of no use", "clean . --older-than long", 2, "--older-than: "),
    End("every row as planted", "demo --refunds 20 --rate 5000 --faults 0", 0, "", nothing),
    End("a folder of somebody else", "demo --out .", 2, "--out", with_file("notes.txt", "mine")),
    # Writes in bulk
    End("every row is planned", RETURN, 0, "pandapon returns apply plan.db", sandbox),
    End("a row is refused", "returns plan odd.csv --out plan.db", 1, "", sandbox),
    End("no --out", "returns plan returns.csv", 2, "--dry-run", key),
    End(
        "a plan that is there",
        "returns plan returns.csv --out ledger.csv",
        2,
        "--out",
        sandbox,
    ),
    End("no table", "returns plan none.csv --out plan.db", 2, "none.csv", key),
    End("--set without =", "returns plan returns.csv --out plan.db --set x", 2, "--set: 'x'", key),
    End("no folder of images", "returns plan returns.csv --out plan.db --images none", 2, "none", sandbox),
    End(
        "a journal that cannot be opened",
        "returns plan returns.csv --out plan.db --journal ledger.csv/x",
        2,
        "ledger.csv/x",
        sandbox,
    ),
    End("a row could not be checked", RETURN, 3, "", DOWN),
    End("the key is refused", RETURN, 4, "PANDAPON_ACCESS_KEY", wrong_key),
    End("Ctrl-C", RETURN, 3, "", interrupted),
    End(
        "every row is planned",
        "refunds plan refunds.csv --out plan.db",
        0,
        "pandapon refunds apply plan.db",
        sandbox,
    ),
    End("a plan is shown", f"{RETURN} && returns show plan.db", 0, "", sandbox),
    End("not a plan", "returns show ledger.csv", 2, "ledger.csv", sandbox),
    End("no plan", "returns show none.db", 2, "none.db"),
    End(
        "a plan of the other kind", f"{RETURN} && refunds show plan.db", 2, "use `pandapon returns`", sandbox
    ),
    End("every row is done", f"{RETURN} && {APPLY}", 0, "", sandbox),
    End("some rows were refused", f"returns plan odd.csv --out plan.db && {APPLY}", 1, "", sandbox),
    End("no plan", "returns apply none.db --yes", 2, "none.db", key),
    End("no person to ask", f"{RETURN} && returns apply plan.db", 2, "--yes", sandbox),
    End(
        "an amount of no use",
        "returns apply plan.db --max-total much",
        2,
        "--max-total: 'much'",
        key,
    ),
    End(
        "over the limit",
        "refunds plan refunds.csv --out plan.db && refunds apply plan.db --yes --max-total 1",
        2,
        "--max-total",
        sandbox,
    ),
    End("another journal", f"{RETURN} && {APPLY} --journal other.sqlite", 2, "--adopt-journal", sandbox),
    End("--out of somebody else", f"{RETURN} && {APPLY} --out ledger.csv", 2, "--out", sandbox),
    End(
        "a row is of unknown outcome",
        f"{RETURN} && {APPLY}",
        3,
        "unknown",
        failing("lands_late:1:delay=60:endpoint=*.return_goods"),
    ),
    End('"no" at the question', f"{RETURN} && returns apply plan.db", 3, "", answering("n\n")),
    End("the key is refused", f"{RETURN} && {APPLY}", 4, "returns apply plan.db", wrong_key),
    End(
        "Ctrl-C: what is on its way ends first",
        f"{RETURN} && {APPLY}",
        3,
        "pandapon returns apply",
        interrupted,
    ),
    End("all are uploaded", "vouchers upload proof-0.jpg proof-1.jpg", 0, "2", sandbox),
    End("an image is refused", "vouchers upload text.jpg", 1, "1", sandbox),
    End("no images", "vouchers upload none", 1, "1", sandbox),
    End("a folder without images", "vouchers upload .", 2, "error: ", nothing),
    End(
        "--out of somebody else",
        "vouchers upload proof-0.jpg --out ledger.csv",
        2,
        "--out",
        sandbox,
    ),
    End("the key is refused", "vouchers upload proof-0.jpg", 4, "PANDAPON_ACCESS_KEY", wrong_key),
    End("Ctrl-C", "vouchers upload proof-0.jpg", 3, "", interrupted),
    # The journal
    End(
        "writes are listed",
        f"{RETURN} && {APPLY} && journal list --journal journal.sqlite",
        0,
        "stdout: confirmed",
        sandbox,
    ),
    End(
        "nothing was written yet",
        "journal list --journal none.sqlite",
        2,
        "none.sqlite",
        key,
    ),
    End(
        "an id that is not there",
        f"{RETURN} && {APPLY} && journal show abc --journal journal.sqlite",
        2,
        "abc",
        sandbox,
    ),
    End("neither an id nor --all", "journal resolve", 2, "--all", key),
    End("an id and --all", "journal resolve abc --all", 2, "--all", key),
    End("--as without --note", "journal resolve abc --as done", 2, "--note", key),
    End(
        "a journal that is not there",
        "journal check none.sqlite",
        2,
        "none.sqlite",
        key,
    ),
    End(
        "a journal that is damaged",
        "journal check odd.sqlite",
        2,
        "odd.sqlite",
        with_file("odd.sqlite", "no database" * 99, key),
    ),
    End(
        "a journal that is not there",
        "journal salvage none.sqlite --journal new.sqlite",
        2,
        "none.sqlite",
        key,
    ),
    End("a journal that is not there", "journal adopt none.sqlite --user-id 7", 2, "none.sqlite", key),
    End("an age of no use", "journal prune --older-than long", 2, "--older-than: ", key),
    # Callbacks, the sandbox, the shared database
    End("no file of callbacks", "callbacks list", 2, "callbacks.sqlite"),
    End(
        "a damaged file of callbacks",
        "callbacks list --store odd.sqlite",
        2,
        "odd.sqlite",
        with_file("odd.sqlite", "no database" * 99),
    ),
    End("neither ids nor --dead", "callbacks replay", 2, "--dead"),
    End("no secret", "callbacks serve", 2, "PANDAPON_ACCESS_KEY"),
    End("no handlers", "callbacks serve --handlers none:register", 2, "--handlers: none:register", key),
    End("the port is taken", "callbacks serve --port 8080", 2, "127.0.0.1:", busy_port),
    End("Ctrl-C, which is its end", "callbacks serve --port 0", 0, "http://127.0.0.1:", interrupted),
    End("--type without --body", "callbacks send --type X", 2, "--type and --body", key),
    End("an order id of no use", "callbacks send --order-id x", 2, "--order-id: 'x'", key),
    End(
        "the receiver does not answer",
        "callbacks send http://127.0.0.1:9/pandapon",
        3,
        "http://127.0.0.1:9/pandapon",
        key,
    ),
    End("the port is taken", "sandbox --port 8080", 2, "127.0.0.1:", busy_port),
    End("faults of no use", "sandbox --faults nope", 2, "--faults: "),
    End("Ctrl-C, which is its end", "sandbox --port 0", 0, "", interrupted),
    End("no address", "shared check", 2, "--shared", key),
    End("an address of no use", "shared check --shared http://x", 2, "postgresql://", key),
    End("out of reach", "shared check --shared postgresql://u@127.0.0.1:9/d", 3, "error: ", far),
    End("out of reach", "shared init --shared postgresql://u@127.0.0.1:9/d", 3, "error: ", far),
    End("out of reach", "shared upgrade --shared postgresql://u@127.0.0.1:9/d", 3, "error: ", far),
    # The same once more for what is like another one
    End("Ctrl-C", "demo", 3, "", interrupted),
    End(
        '"no" at the question',
        "reconcile wrong.csv --out out && clean . --older-than 0d",
        3,
        "",
        answering("n\n"),
    ),
    End(
        "an account that is not there",
        "doctor --config two.toml --account c",
        1,
        "stdout: has no account c",
        with_file("two.toml", TWO_ACCOUNTS),
    ),
    End("messages are listed", "callbacks list", 0, "stdout: refund", stored_messages),
    End(
        "dead letters are handled again",
        "callbacks replay --dead",
        0,
        "",
        stored_messages,
    ),
    End("an id that is not there", "callbacks replay zzz", 2, "zzz", stored_messages),
    End("the receiver takes it", "callbacks send http://127.0.0.1:8090/pandapon", 0, "", receiver(200)),
    End(
        "the receiver refuses it",
        "callbacks send http://127.0.0.1:8090/pandapon",
        1,
        "500",
        receiver(500),
    ),
    End("not a URL", "callbacks send nowhere", 2, "nowhere", key),
    End("it is sound", "journal check", 0, "journal.sqlite", one_intent),
    End(
        "its rows are taken over",
        "journal salvage journal.sqlite --journal new.sqlite",
        0,
        "journal.sqlite",
        one_intent,
    ),
    End("nothing is old", "journal prune --older-than 400d --yes", 0, "", one_intent),
    End("one is shown", "journal show $INTENT", 0, "stdout: confirmed", one_intent),
    End("an id that is not there", "journal show abc", 2, "abc", one_intent),
    End("all are written", "journal export", 0, "stdout: confirmed", one_intent),
    End(
        "nothing was written yet",
        "journal export --journal none.sqlite",
        2,
        "none.sqlite",
        key,
    ),
    End("nothing is open", "journal resolve --all", 0, "", one_intent),
    End("it is not found yet", "journal resolve --all", 3, "--wait", lost_write()),
    End("the key is refused", "journal resolve --all", 4, "error: ", lost_write(refused=True)),
    End(
        "its rows are taken over",
        "journal adopt old.sqlite --user-id 7 --journal new.sqlite",
        0,
        "7",
        old_journal,
    ),
    End("a row is refused", "refunds plan odd.csv --out plan.db", 1, "", with_refunds(odd=True)),
    End("no --out", "refunds plan refunds.csv", 2, "--dry-run", key),
    End("a row could not be checked", "refunds plan refunds.csv --out plan.db", 3, "", DOWN),
    End("the key is refused", "refunds plan refunds.csv --out plan.db", 4, "PANDAPON_ACCESS_KEY", wrong_key),
    End("a plan is shown", f"{REFUNDS} && refunds show plan.db", 0, "", sandbox),
    End("every row is done", f"{REFUNDS} && refunds apply plan.db --yes --no-wait", 0, "", sandbox),
    End(
        "the platform said no",
        f"{REFUNDS} && refunds apply plan.db --yes --no-wait",
        1,
        "",
        failing("refusal:1:endpoint=*.create:status=200:body=inner"),
    ),
    End(
        "a row is of unknown outcome",
        f"{REFUNDS} && refunds apply plan.db --yes --no-wait",
        3,
        "unknown",
        failing("lands_late:1:delay=60:endpoint=*.create"),
    ),
    End(
        "the key is refused",
        f"{REFUNDS} && refunds apply plan.db --yes --no-wait",
        4,
        "refunds apply plan.db",
        wrong_key,
    ),
    End("it has ended", "refunds watch $ENDED --platform 1688", 0, "", sandbox),
    End(
        "it has ended elsewhere", "refunds watch $ENDED --platform 1688 --for waitselleragree", 1, "", sandbox
    ),
    End("a state that is not there", "refunds watch TQ1 --for nope", 2, "nope", key),
    End("an age of no use", "refunds watch TQ1 --every often", 2, "--every: ", key),
    End("the time is over", "refunds watch $REFUND --platform 1688 --stop-after 1s", 3, "", sandbox),
    End("the key is refused", "refunds watch $REFUND --platform 1688", 4, "PANDAPON_ACCESS_KEY", wrong_key),
)


CODES = (
    ("0", "OK", "done; all matched; nothing is bad"),
    ("1", "DIFFERENCES", "the work is done, and something in it is not as it should be: rows differ, were "
     "refused or failed; a check is bad; the vendor said no"),
    ("2", "USAGE", "it cannot be done like this: a command, an option, a setting, a path, a table"),
    ("3", "INCOMPLETE", "something is unverified, unsent or of unknown outcome; the disk is full; or "
     'somebody stopped it: Ctrl-C, "no" at a question, a reader of the output who has seen enough'),
    ("4", "AUTHENTICATION", "key, secret, user id or clock were refused; nothing more was asked"),
    ("70", "UNFORESEEN", "an error that nobody foresaw: report the one line"),
)  # fmt: skip
HEAD = f"""\
# Exit codes and mistakes

| code | name | when |
| --- | --- | --- |
{"".join(f"| `{code}` | {name} | {when} |{chr(10)}" for code, name, when in CODES)}
Each row below is a test of `tests/test_cli_ends.py`, which runs the command and looks at its code and at what
it says on stderr. `python -m tests.support.ends` writes this page. `$REFUND` stands for the id of a refund.

"""
AFTER = """
## What is typed wrongly

All of it ends with 2, before anything is done, with one line that names the option, the value and what it
takes, and with the help to read, such as ``see `pandapon reconcile --help` ``. An option without its value
says so, and so does a value for an option that takes none.

"""


def page() -> str:
    """The page, as Markdown."""
    return HEAD + "".join(_ends()) + AFTER + "".join(_mistakes())


def _ends() -> Iterator[str]:
    yield "## How commands end\n"
    names = sorted({end.command for end in ENDS}, key=lambda name: (name != "", *name.split()))
    for name in names:
        yield f"\n### {f'`pandapon {name}`' if name else 'Any command'}\n\n"
        yield "| what happens | typed | code |\n| --- | --- | --: |\n"
        rows = sorted((end for end in ENDS if end.command == name), key=lambda end: end.code)
        yield from (_row(end.when, _typed(end), f"`{end.code}`") for end in rows)


def _typed(end: End) -> str:
    return "<br>".join(_code(f"pandapon {typed}".strip()) for typed in end.typed.split(" && "))


def _mistakes() -> Iterator[str]:
    yield from _table("Any command", common_mistakes())
    for name in COMMANDS:
        if shown := [one for one in mistakes(name) if one.shown]:
            yield from _table(f"`pandapon {name}`", shown)


def _table(name: str, rows: list[Mistake]) -> Iterator[str]:
    yield f"\n### {name}\n\n| typed | told |\n| --- | --- |\n"
    yield from (_row(_code(" ".join(one.typed) or "nothing"), _code(one.told)) for one in rows)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|") if text else ""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
