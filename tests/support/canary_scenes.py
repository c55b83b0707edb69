"""Works with canaries planted in them, for tests/test_privacy_places.py.

A scene does real work (calls, jobs, commands in processes of their own) with secrets and personal data
planted in credentials, arguments, files and answers, and gives everything that this work left behind or
showed.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import hmac
import importlib
import json
import logging
import os
import pickle
import stat
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.traceback import Traceback

from pandapon_async import OutcomeUnknownError, PandaponError, Safety, bulk
from pandapon_async.callbacks import CallbackSettings, Receiver
from tests.support import plan_files
from tests.support.canaries import ADDRESS, NAME, NOTE, PERSONAL, PHONE, Evidence
from tests.support.clients import CREDENTIALS, JPEG, KEY, REFUND, SECRET, client
from tests.support.examples import examples
from tests.support.server import Behaviour, Exchange, FaultServer, http
from tests.support.warm import interpreter

REFUND_DETAIL = {
    "success": True,
    "refundId": REFUND,
    "orderId": 1,
    "status": "waitbuyersend",
    "applyPayment": 100,
    "currency": "CNY",
    "refundOrderAggregate": {
        "refundOrder": {"refundId": "110000235001", "refundStatus": "10", "refundFee": 100},
        "logistics": {"buyerPhone": PHONE, "receiverAddress": PERSONAL["receiverAddress"]},
    },
    **PERSONAL,
}


def answering(data: Any, *, every: int = 0, other: bytes = b"", status: str = "200 OK") -> Behaviour:
    """This answer, but to each so-manieth request the other one."""
    count = 0
    good = {"requestId": "r-1", "code": 200, "developId": 1, "msg": "成功", "data": data}

    async def behave(exchange: Exchange) -> None:
        nonlocal count
        count += 1
        await exchange.request()
        is_other = every and count % every == 0
        body = other if is_other else json.dumps(good, ensure_ascii=False).encode()
        await exchange.send(http(body, status if is_other else "200 OK"))

    return behave


REFUSAL = json.dumps(
    {"requestId": "r-2", "code": 40012, "msg": f"{NAME} {PHONE} {ADDRESS} {NOTE}", "data": PERSONAL}
).encode()
PAGE = f"<html>{NAME} {PHONE} {ADDRESS} {NOTE} {SECRET}</html>".encode()


@asynccontextmanager
async def served(*arguments: Any, **more: Any) -> AsyncIterator[FaultServer]:
    """A server that tells personal data to whoever asks."""
    async with FaultServer(then=answering(*arguments, **more)) as server:
        yield server


async def command(evidence: Evidence, folder: Path, server: FaultServer | None, *arguments: str) -> int:
    """Run `pandapon` in a process of its own; what it prints is evidence. Gives the exit code."""
    return await _process(evidence, folder, server, plan_files.PROGRAM, *arguments)


async def _process(
    evidence: Evidence, folder: Path, server: FaultServer | None, program: str, *arguments: str
) -> int:
    given = {name: value for name, value in os.environ.items() if not name.startswith("PANDAPON_")}
    given |= {"PANDAPON_ACCESS_KEY": KEY, "PANDAPON_ACCESS_SECRET": SECRET, "PANDAPON_USER_ID": "77001"}
    given |= {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONASYNCIODEBUG": "1"}
    if server is not None:
        given |= {"PANDAPON_BASE_URL": server.url, "PANDAPON_RATE": "none"}
    process = await asyncio.create_subprocess_exec(
        interpreter(), "-c", program, *arguments, cwd=folder, env=given,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    name = " ".join(arguments[:2])
    evidence.add(f"`{name}` stdout", out)
    evidence.add(f"`{name}` stderr", err)
    return process.returncode or 0


@contextmanager
def logged(evidence: Evidence, name: str) -> Iterator[None]:
    """All that is logged meanwhile, by whatever logger, with its arguments and exceptions."""

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            evidence.add(name, f"{record.name} {record.getMessage()} {record.args!r}\n")
            if record.exc_info and record.exc_info[1]:
                evidence.add(name, everything_told_by(record.exc_info[1]))

    root, handler = logging.getLogger(), Keep(logging.NOTSET)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.NOTSET)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


def everything_told_by(error: BaseException) -> str:
    """All that a log, a console or a crash report would show of an error and of those behind it."""
    told = ["".join(traceback.format_exception(error)), repr(getattr(error, "__notes__", ""))]
    link: BaseException | None = error
    while link is not None:
        told.append(f"{link!s}{link!r}{getattr(link, 'history', '')!r}")
        link = link.__cause__ or link.__context__
    return "".join(told)


async def _calls(pandapon: Any) -> AsyncIterator[PandaponError]:
    """The errors of a read, an upload, a write and a call that is not declared, with planted arguments."""
    refunds = pandapon.v1.alibaba.refunds
    returned = {"logistics_company_no": "SF", "freight_bill": "SF1", "description": f"{NAME} {PHONE} {NOTE}"}
    calls: tuple[Callable[[], Any], ...] = (
        lambda: refunds.get(refund_id=REFUND),
        lambda: refunds.return_goods(refund_id=REFUND, **returned),
        lambda: pandapon.v2.alibaba.refunds.upload_voucher(image=JPEG + f"{NAME}{NOTE}".encode()),
        lambda: pandapon.request("POST", "/x", json={"to": PERSONAL, "note": NOTE}, safety=Safety.READ),
        lambda: refunds.get(refund_id=f"{NAME} {PHONE}"),
        lambda: refunds.get(refund_id=REFUND, phone=PHONE),
    )
    for call in calls:
        try:
            await call()
        except PandaponError as error:
            yield error


HOSTILE: Mapping[str, tuple[bytes, str]] = {
    "a refusal": (REFUSAL, "200 OK"),
    "a web page": (PAGE, "200 OK"),
    "a gateway's page": (PAGE, "502 Bad Gateway"),
    "half an answer": (REFUSAL[:-30], "200 OK"),
    "a refused key": (json.dumps({"code": 401, "msg": f"bad secret {SECRET} of {NAME}"}).encode(), "200 OK"),
    "a throttle": (json.dumps({"code": 429, "msg": f"{NAME} {PHONE}"}).encode(), "200 OK"),
    "a wrong type": (
        json.dumps(
            {"requestId": "r", "code": 200, "data": {**PERSONAL, "applyPayment": PHONE + "x"}}
        ).encode(),
        "200 OK",
    ),
}


async def _errors(
    evidence: Evidence, keep: Callable[[PandaponError], None], *, echo_secret: bool = True, fewer: int = 1
) -> None:
    for body, status in list(HOSTILE.values())[::fewer]:
        other = body if echo_secret else body.replace(SECRET.encode(), b"")
        async with served(None, every=1, other=other, status=status) as server:
            async with client(server.url, retry=_no_retry()) as pandapon:
                async for error in _calls(pandapon):
                    keep(error)
                evidence.add(
                    "reprs", f"{pandapon!r}{pandapon.settings!r}{CREDENTIALS!r}{pandapon._pipeline!r}"
                )
            evidence.saw(server)


def _no_retry() -> Any:
    from pandapon_async import RetryPolicy

    return RetryPolicy(attempts=2, base=0.001, throttle_base=0.001, throttle_pause=0.001)


async def errors(evidence: Evidence, _: Path) -> None:
    """Text, repr, notes, history and traceback of errors, and the reprs of what made the call."""
    await _errors(evidence, lambda error: evidence.add("errors", everything_told_by(error)))


async def pickles(evidence: Evidence, _: Path) -> None:
    """Pickles of errors and of failed results, as another process or a queue gets them.

    The vendor's own words and data are kept as attributes for who asks; they are taken out first.
    """

    def keep(error: PandaponError) -> None:
        evidence.add("errors", pickle.dumps(_without_the_vendors_words(error)))

    await _errors(evidence, keep)
    async with served(None, every=1, other=REFUSAL) as server, client(server.url) as pandapon:
        async for result in bulk.run(
            lambda number: pandapon.request("POST", f"/{number}", json=PERSONAL, safety=Safety.ONCE), range(3)
        ):
            assert isinstance(result, bulk.Failed)
            assert isinstance(result.error, PandaponError)
            _without_the_vendors_words(result.error)
            evidence.add("failed results", pickle.dumps(result) + repr(result).encode())


def _without_the_vendors_words(error: PandaponError) -> PandaponError:
    for name in ("msg", "error_info", "data"):
        if hasattr(error, name):
            setattr(error, name, None)
    return error


async def locals_of_frames(evidence: Evidence, _: Path) -> None:
    """Tracebacks that print local variables, as crash reporters and `rich` with show_locals do."""
    evidence.planted = {"access secret"}

    def keep(error: PandaponError) -> None:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        evidence.add("locals, standard library", "".join(told.format()))
        console = Console(record=True, width=5_000, file=open(os.devnull, "w"))  # noqa: SIM115 (ends with it)
        with console.file:
            shown = Traceback.from_exception(
                type(error), error, error.__traceback__,
                show_locals=True, locals_max_length=1_000, locals_max_string=10_000, extra_lines=0,
            )  # fmt: skip
            console.print(shown)
        evidence.add("locals, rich", console.export_text())

    # Of an answer that repeats the secret the body is a local variable, and shows it.
    await _errors(evidence, keep, echo_secret=False, fewer=examples(12, 6))
    evidence.signatures = set()  # those are local variables, as they have to be: see docs/hardening.md


async def logs(evidence: Evidence, _: Path) -> None:
    """Everything logged at DEBUG by us, aiohttp and asyncio, in asyncio's debug mode with slow callbacks."""
    loop = asyncio.get_running_loop()
    debug, slow = loop.get_debug(), loop.slow_callback_duration
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # every step of the loop is logged as slow, with its arguments
    try:
        with logged(evidence, "logs"):
            await _errors(evidence, lambda error: None)
            async with served(REFUND_DETAIL) as server:
                async with client(server.url) as pandapon:
                    await pandapon.v1.alibaba.refunds.get(refund_id=REFUND)
                    await pandapon.v1.taobao.refunds.get(refund_id="1")
                evidence.saw(server)
            await _forgotten()
    finally:
        loop.set_debug(debug)
        loop.slow_callback_duration = slow
    assert b"asyncio Executing" in evidence.pieces["logs"]
    assert b"never retrieved" in evidence.pieces["logs"]


async def _forgotten() -> None:
    """A task whose error nobody asks for: asyncio logs it, with the traceback."""
    loop = asyncio.get_running_loop()
    async with served(None, every=1, other=PAGE) as server, client(server.url, retry=_no_retry()) as pandapon:
        task = asyncio.ensure_future(
            pandapon.request("POST", "/x", json={"to": PERSONAL, "note": NOTE}, safety=Safety.ONCE)
        )
        await asyncio.wait([task])
        handler = loop.get_exception_handler()
        loop.set_exception_handler(None)
        del task
        gc.collect()
        await asyncio.sleep(0)
        loop.set_exception_handler(handler)


async def journal(evidence: Evidence, folder: Path) -> None:
    """The journal's bytes, and what the command shows and exports of it."""
    path = folder / "journal.sqlite"
    async with (
        served(None, every=2, other=PAGE, status="502 Bad Gateway") as server,
        client(server.url, journal=path) as pandapon,
    ):
        refunds = pandapon.v1.alibaba.refunds
        for number in range(4):
            with suppress(OutcomeUnknownError):
                await refunds.return_goods(
                    refund_id=f"TQ{number}", logistics_company_no="SF", freight_bill=f"SF{number}",
                    description=f"{NAME} {PHONE} {NOTE}",
                )  # fmt: skip
        (unknown, *_) = [intent async for intent in pandapon.journal.all()]
        await pandapon.journal.aclose()
        evidence.add_files(folder, "journal.sqlite*")
        assert b"SF1" in evidence.pieces["journal.sqlite"], "nothing was written, so nothing was tested"
        for arguments in (["list", "--json"], ["export"], ["show", unknown.id]):
            code = await command(evidence, folder, server, "journal", *arguments, "--journal", str(path))
            assert code == 0
        evidence.saw(server)


async def reconciliation(evidence: Evidence, folder: Path) -> None:
    """The nightly job's files, its state and what it prints; the ledger has columns that it does not need."""
    row = {"amount_fen": "100", "currency": "CNY", "status": "waitbuyersend"}
    secret = {"receiver": NAME, "phone": PHONE, "address": ADDRESS, "note": NOTE}
    rows = [{"platform": "1688", "refund_id": f"TQ{number}", **row, **secret} for number in range(6)]
    rows += [{"platform": "taobao", "refund_id": f"{number}", **row, **secret} for number in range(1, 6)]
    rows += [
        {"platform": "1688", "refund_id": NAME, **row, **secret},  # shifted columns: cells that are not read
        {"platform": "1688", "refund_id": "TQ9", **row, **secret, "amount_fen": ADDRESS},
        {"platform": NAME, "refund_id": "TQ10", **row, **secret},
        {"platform": "1688", "refund_id": "TQ11", **row, **secret, "currency": NAME},
    ]
    await asyncio.to_thread(plan_files.write_table, folder / "ledger.csv", rows)
    async with served(REFUND_DETAIL, every=4, other=REFUSAL) as server:
        code = await command(evidence, folder, server, "reconcile", "ledger.csv", "--out", "out")
        assert code in (1, 3), evidence.pieces
        assert len(server.requests) > 5
        evidence.saw(server)
    evidence.add_files(folder / "out", "*")
    evidence.add_files(folder, "*.sqlite*", ".*")
    written = {"rows.csv", "exceptions.csv", "rows.parquet", "report.html", "report.xlsx", "summary.json"}
    assert written <= set(evidence.pieces)


async def plan(evidence: Evidence, folder: Path) -> None:
    """A plan, its results, its journal and what is printed; the table has columns that it does not need."""
    names = await asyncio.to_thread(plan_files.write_images, folder, 1)
    rows = [
        {**row, "description": NOTE, "receiver": NAME, "phone": PHONE, "address": ADDRESS}
        for row in plan_files.return_rows([f"TQ{number}" for number in range(1, 5)], names)
    ]
    rows.append({**rows[0], "refund_id": NAME})  # shifted columns: no id, and what it is nobody can tell
    rows.append({**rows[0], "refund_id": "TQ8", "logistics_company_no": f"{NAME} {PHONE}" * 40})
    await asyncio.to_thread(plan_files.write_table, folder / "returns.csv", rows)
    data = {**REFUND_DETAIL, "imageDomain": "https://x", "imageRelativeUrl": "a.jpg"}
    async with served(data, every=7, other=REFUSAL) as server:
        await command(evidence, folder, server, "returns", "plan", "returns.csv", "--out", "plan.db")
        await command(evidence, folder, server, "returns", "show", "plan.db")
        await command(
            evidence,
            folder,
            server,
            "returns",
            "apply",
            "plan.db",
            "--yes",
            "--no-wait",
            "--settle-after",
            "0.1",
        )
        assert len(server.requests) > 5
        evidence.saw(server)
    evidence.add_files(folder, "plan.db*", "journal.sqlite*")
    evidence.keep("plan.db", "free text", "what is to be sent later has to be kept until then")
    assert stat.S_IMODE((folder / "plan.db").stat().st_mode) & 0o077 == 0, "the plan can be read by others"
    assert b"canary-neighbour" in evidence.pieces["plan.db"]
    assert {"plan.db", "plan.db.results.jsonl", "journal.sqlite"} <= set(evidence.pieces)


async def doctor(evidence: Evidence, folder: Path) -> None:
    """What the doctor says, of a server that refuses and of one that answers nonsense."""
    (folder / ".env").write_text(f"PANDAPON_ACCESS_SECRET={SECRET}\nPANDAPON_RATE={PHONE}\n")
    evidence.keep("`doctor` stdout", "name", "the vendor's own words on why it refused the key")
    for body in (REFUSAL, PAGE, json.dumps({"code": 401, "msg": f"no such key of {NAME}"}).encode()):
        async with served(None, every=1, other=body) as server:
            await command(evidence, folder, server, "doctor")
            evidence.saw(server)
    await command(evidence, folder, None, "doctor", "--no-online")


async def openapi(evidence: Evidence, folder: Path) -> None:
    """The exported OpenAPI document with its examples."""
    evidence.planted = {"access secret", "access key"}  # in the environment; nothing else was given to it
    assert await command(evidence, folder, None, "openapi") == 0
    assert evidence.size > 100_000


async def crash(evidence: Evidence, folder: Path) -> None:
    """What a command says that fails in a way nobody foresaw, with the secret in its frames."""
    evidence.planted -= {"free text"}
    program = (
        "import importlib; module = importlib.import_module('pandapon_async.transport.exchange')\n"
        "def broken(access_key, access_secret, *more): raise RuntimeError('unforeseen')\n"
        f"module.signed_headers = broken; {plan_files.PROGRAM}"
    )
    async with served(REFUND_DETAIL) as server:
        await _process(
            evidence, folder, server, program, "call", "v1.alibaba.refunds.get", f"refund_id={REFUND}"
        )
    program = (
        "import importlib; module = importlib.import_module('pandapon_async.cli.call')\n"
        "def broken(*what, **more): raise RuntimeError('unforeseen')\n"
        f"module.print_result = broken; {plan_files.PROGRAM}"
    )
    async with served(REFUND_DETAIL) as server:
        await _process(
            evidence, folder, server, program, "call", "v1.alibaba.refunds.get", f"refund_id={REFUND}"
        )
    told = b"".join(evidence.pieces.values())
    assert told.count(b"RuntimeError") == 2  # one line for each: what and where, and no word of it
    assert b"Traceback" not in told


async def callbacks(evidence: Evidence, folder: Path) -> None:
    """What a receiver logs of messages, good and bad, what it shows of them, and its file."""
    path = folder / "callbacks.sqlite"
    refused = 0
    with logged(evidence, "logs"):
        async with Receiver(CREDENTIALS, CallbackSettings(order_window=0), store=path) as house:
            seen: list[str] = []

            async def handle(message: Any) -> None:
                seen.append(message.id)
                evidence.add("reprs", repr(message) + str(message))
                raise LookupError(message.id)

            house.on()(handle)
            for body in _pushes():
                signed = hmac.new(SECRET.encode(), KEY.encode() + body, hashlib.sha256).hexdigest()
                evidence.signatures.add(signed)
                await house.receive(body, signed)
                answer = await house.receive(body, "0" * 64)
                refused += answer.status != 200
                evidence.add("answers", repr(answer) + everything_of(answer))
            for _ in range(200):
                await asyncio.sleep(0.005)
                if seen:
                    break
    assert seen
    assert refused
    await command(evidence, folder, None, "callbacks", "list", "--store", str(path))
    evidence.add_files(folder, "callbacks.sqlite*")
    for name in ("callbacks.sqlite", "callbacks.sqlite-wal"):
        if (folder / name).exists():
            assert stat.S_IMODE((folder / name).stat().st_mode) & 0o077 == 0, f"{name} can be read by others"
        evidence.keep(
            name, "phone, name, address, free text", "messages are kept whole; only the owner may read"
        )
        evidence.keep(name, "access key", "whose message it is")


def everything_of(answer: Any) -> str:
    """The fields of an attrs object."""
    return repr(attrs.asdict(answer)) if attrs.has(type(answer)) else ""


def _pushes() -> Iterator[bytes]:
    import time

    now = round(time.time() * 1000)
    for number, kind in enumerate(("1688_REFUND_X", "TAOBAO_ORDER_PRICE", "1688_ORDER_STATUS")):
        body = {"refundId": f"TQ{number}", "orderId": number, **PERSONAL, "note": NOTE}
        yield json.dumps(
            {"messageType": kind, "timestamp": now + number, "messageBody": body, "messagePlatform": 0}
        ).encode()
    yield f"{NAME} {PHONE} {NOTE}".encode()


Scene = Callable[[Evidence, Path], Awaitable[None]]
SCENES: Mapping[str, Scene] = {
    "errors": errors,
    "pickles": pickles,
    "local variables in tracebacks": locals_of_frames,
    "logs at DEBUG": logs,
    "journal": journal,
    "reconciliation": reconciliation,
    "plan": plan,
    "doctor": doctor,
    "OpenAPI document": openapi,
    "crash of the command": crash,
    "callbacks": callbacks,
}


async def search(name: str, folder: Path) -> Evidence:
    """Play a scene in an empty folder; gives what it left behind."""
    evidence = Evidence()
    await SCENES[name](evidence, folder)
    return evidence


importlib.import_module("pandapon_async.cli")  # reads files, which nothing may do in a loop
