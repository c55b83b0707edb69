"""The matrix of faults and kinds of call: plays one fault for one kind, and writes a row of the page.

What a cell says was counted: what the caller got, how often the server saw the request, and whether
any nonce came twice. `python -m tests.hardening` writes the page from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable
from typing import Any, Self

import attrs

from pandapon_async import PandaponError, RetryPolicy, Safety
from tests.support.clients import at_rest, borrowing, client
from tests.support.network import Proxy, serving_tls, trusting_tls
from tests.support.server import Behaviour, Exchange, FaultServer, http, ok
from tests.support.virtual import outcome, run

ATTEMPTS = 3
LIMIT = 60_000
UPLOAD = "x" * 1_000_000


@attrs.frozen
class PlanType:
    """A kind of call; with a borrowed session it goes by aiohttp's session instead of around it."""

    verb: str
    safety: Safety
    borrowed: bool = False


KINDS = {
    "read": PlanType("GET", Safety.READ),
    "read by POST": PlanType("POST", Safety.READ),
    "read, session borrowed": PlanType("GET", Safety.READ, borrowed=True),
    "repeatable": PlanType("POST", Safety.REPEATABLE),
    "write by POST": PlanType("POST", Safety.ONCE),
    "checked write by POST": PlanType("POST", Safety.CHECKED),
    "write by POST, session borrowed": PlanType("POST", Safety.ONCE, borrowed=True),
    "write by GET": PlanType("GET", Safety.CHECKED),
    "write by GET, session borrowed": PlanType("GET", Safety.CHECKED, borrowed=True),
    "payment": PlanType("POST", Safety.NEVER_AUTOMATIC),
}
COLUMNS = ["read", "repeatable", "write by POST", "write by GET", "payment"]
ALIKE = {"read by POST": "read", "checked write by POST": "write by POST"} | {
    name: name.removesuffix(", session borrowed") for name, kind in KINDS.items() if kind.borrowed
}


@attrs.frozen
class Fault:
    """A behaviour of the server and the circumstances in which it is met.

    `warm`: over a connection on which this was the answer to a request before. `tls`: over https.
    `large`: calls by POST send a megabyte. `unreachable`: nothing listens there. `certificate`: the name
    that the server's is for. `network`: what is slow on the way. `proxy`: what a proxy says to CONNECT.
    `closed`: the client is closed five seconds after the call began.
    """

    behaviour: Behaviour
    warm: Behaviour | None = None
    tls: bool = False
    large: bool = False
    unreachable: bool = False
    certificate: str = "localhost"
    network: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    proxy: str | None = None
    closed: bool = False


@attrs.define
class Cell:
    """What was counted for one kind of call."""

    error: PandaponError | None
    attempts: int = 0
    seen: int = 0
    nonces_repeated: int = 0
    elsewhere: int = 0
    waits: list[float] = attrs.field(factory=list)

    @property
    def name(self) -> str:
        return "succeeds" if self.error is None else type(self.error).__name__

    def __str__(self) -> str:
        return f"{self.name} ({self.seen})"


class FaultyServer(FaultServer):
    """Counts what it meets, speaks TLS if it has to, and knows another server to point at."""

    def __init__(self, fault: Fault, elsewhere: str) -> None:
        super().__init__(then=self._count, tls=serving_tls(fault.certificate) if fault.tls else None)
        self.fault = fault
        self.elsewhere = elsewhere
        self.times: list[float] = []

    async def _count(self, exchange: Exchange) -> None:
        self.times.append(asyncio.get_running_loop().time())
        await self.fault.behaviour(exchange)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self.fault.unreachable:
            self._server.close()
        return self

    @property
    def url(self) -> str:
        named = self.fault.tls or self.fault.network is not contextlib.nullcontext
        return f"http{'s' * self.fault.tls}://localhost:{self.port}" if named else super().url


def moved(status: int, where: str) -> Behaviour:
    """A redirect: to a path of the same server, or to `elsewhere`."""

    async def behave(exchange: Exchange) -> None:
        assert isinstance(exchange.server, FaultyServer)
        location = exchange.server.elsewhere if where == "elsewhere" else where
        await exchange.request()
        await exchange.send(http(b"", f"{status} Moved", [f"Location: {location}"]))

    return behave


async def play(fault: Fault, kind: str) -> Cell:
    """Meet the fault with one call; in virtual time. What must hold of every error is checked here."""
    verb, safety = KINDS[kind].verb, KINDS[kind].safety
    async with (
        FaultServer() as elsewhere,
        FaultyServer(fault, elsewhere.url + "/other") as server,
        contextlib.AsyncExitStack() as stack,
    ):
        changes: dict[str, Any] = {"ssl_context": trusting_tls()} if fault.tls else {}
        if fault.proxy is not None:
            changes["proxy"] = await stack.enter_async_context(Proxy(fault.proxy).serving())
        policy = RetryPolicy(attempts=ATTEMPTS)
        async with (
            borrowing(KINDS[kind].borrowed) as session,
            client(
                server.url, session=session, retry=policy, max_response_bytes=LIMIT, **changes
            ) as pandapon,
        ):
            if fault.warm is not None:
                server.on_next(fault.warm)
                await pandapon.request("GET", "/warm", safety=Safety.READ)
                await asyncio.sleep(1)  # for what comes on the idle connection
            before = pandapon.statistics.attempts
            body = {"a": UPLOAD if fault.large else 1} if verb == "POST" else None
            with fault.network():
                calling = asyncio.ensure_future(
                    outcome(pandapon.request(verb, "/thing", json=body, safety=safety))
                )
                if fault.closed:
                    await asyncio.sleep(5)
                    await pandapon.aclose()
                error = await calling
            assert error is None or isinstance(error, PandaponError), error
            cell = Cell(error, pandapon.statistics.attempts - before, len(server.times))
            nonces = [seen.nonce for seen in server.requests]
            cell.nonces_repeated = len(nonces) - len(set(nonces))
            cell.elsewhere = elsewhere.connections
            cell.waits = [later - sooner for sooner, later in itertools.pairwise(server.times)]
            at_rest(pandapon, idle=1)
            if error is not None:
                assert error.attempts == len(error.history) == cell.attempts
                assert error.endpoint == f"{verb} /thing"
            else:
                server.on_next(ok())
                good = await pandapon.request("POST", "/after", safety=Safety.READ)
                assert good == {"success": True}
    return cell


def cells(fault: Fault, kinds: Iterable[str] = KINDS) -> dict[str, Cell]:
    """Meet the fault with each of these kinds of call."""
    if fault.tls:  # making certificates reads files, which nothing may do in a loop
        trusting_tls()
        serving_tls(fault.certificate)

    async def all_kinds() -> dict[str, Cell]:
        return {kind: await play(fault, kind) for kind in kinds}

    found = run(all_kinds())
    for kind, other in ALIKE.items():
        if kind in found:
            assert str(found[kind]) == str(found[other]), f"{kind} is not as {other}"
    return found


def row(name: str, cells: dict[str, Cell]) -> str:
    """The line of the page for one fault."""
    repeated = sum(cell.nonces_repeated for cell in cells.values())
    return " | ".join(["", name, *(str(cells[kind]) for kind in COLUMNS), str(repeated), ""]).strip()


HEAD = "\n".join([" | ".join(["", "fault", *COLUMNS, "nonces repeated", ""]).strip(), "|---" * 7 + "|"])
