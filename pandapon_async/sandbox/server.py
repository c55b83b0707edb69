"""The sandbox as its users hold it: started, asked, closed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from pandapon_async.api.registry import endpoints
from pandapon_async.recording import Recording
from pandapon_async.sandbox import ledger, ordering
from pandapon_async.sandbox.answers import answer
from pandapon_async.sandbox.arguments import check_arguments, read_accounts, read_faults
from pandapon_async.sandbox.checks import AuthChecker
from pandapon_async.sandbox.faults import Fault, FaultPlan
from pandapon_async.sandbox.handlers import HANDLERS
from pandapon_async.sandbox.inspection import PREFIX, inspect
from pandapon_async.sandbox.list_shapes import ListShape
from pandapon_async.sandbox.orders import OrderState
from pandapon_async.sandbox.pipeline import MAXIMUM_BODY, Pipeline
from pandapon_async.sandbox.profile import Played, Quotas
from pandapon_async.sandbox.records import Counters, Effect, RequestRecord, request_log
from pandapon_async.sandbox.refunds import RefundState
from pandapon_async.sandbox.routes import Routes
from pandapon_async.sandbox.states import Status
from pandapon_async.sandbox.upstream import Upstream
from pandapon_async.settings import Credentials, VendorProfile

__all__ = ["Sandbox"]

ACCESS_KEY = "sandbox-access-key"
ACCESS_SECRET = "sandbox-secret-known-to-all"  # noqa: S105 (a public test value)
USER_ID = "2100000000001"


class TwoClocks(Protocol):
    """An object with both times: `pandapon_async.clock.Clock` is one."""

    def wall(self) -> float: ...
    def now(self) -> float: ...


class Sandbox:
    """A PandaPon on this machine: it accepts signed calls and answers in the vendor's form, without real
    data.

    `async with Sandbox(refunds=1000, seed=7) as sandbox:` serves `sandbox.base_url` to whoever signs with
    `sandbox.credentials`. The same seed gives the same refunds, ledger and faults.

    `refunds` is how many there are (a million cost nothing), `rate` the most calls in any sliding second
    (None: no limit), `faults` the rules of what goes wrong, also in the short form of `parse_faults`.
    `accounts` are further key pairs and sub-accounts: all see the same orders and refunds, each sub-account
    has its own carts and addresses. `visible_after` is how many seconds of `clock` pass until reads show a
    change of a refund form or a 1688 order.
    `clock` gives the wall time in seconds: a callable, or an object with `wall()` and `now()`; `monotonic`
    the time that the rate is measured on. `log_limit` keeps only the last so many requests in `log` (None:
    all).

    The vendor's error codes, its quota and whether it checks nonces are not known: what happens here is this
    sandbox's choice, see `pandapon_async.sandbox.envelope`. Other readings are played on request:
    `auth_status` is the HTTP status of refused authentication, `second_form_refused` whether an application
    is refused (5010) while a form of its line is open, `orders_name_refunds` whether the lines of an order
    name their forms, `not_found` how the vendor says that there is no such refund: by a "code" (404), or by a
    success whose data is "null" or "empty". With `freight` refunds of 1688 have some, "added" to their amount
    or "included" in it; the ledger is the same. With a `profile` the sandbox is that vendor, strictly: its
    unit of the timestamp, signer, codes, places of arguments, generation, freight, images and lists; `rate`
    then holds for each key, or for each user of one (`quota_scope`). `lists` says what the list
    of Taobao refunds looks like, and what is wrong with it. `recorded` are recordings, or their
    files: each answers all calls of its name.
    """

    def __init__(
        self,
        *,
        refunds: int = 1000,
        seed: int = 7,
        rate: float | None = None,
        faults: Iterable[Fault] | str = (),
        clock: TwoClocks | Callable[[], float] | None = None,
        monotonic: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        host: str = "127.0.0.1",
        port: int = 0,
        access_key: str = ACCESS_KEY,
        access_secret: str = ACCESS_SECRET,
        user_id: str = USER_ID,
        log_limit: int | None = None,
        auth_status: int = 200,
        accounts: Iterable[Credentials] = (),
        visible_after: float = 0.0,
        second_form_refused: bool = False,
        orders_name_refunds: bool = True,
        not_found: Literal["code", "null", "empty"] = "code",
        freight: Literal["added", "included"] | None = None,
        profile: VendorProfile | None = None,
        lists: ListShape | None = None,
        recorded: Iterable[Recording | str | os.PathLike[str]] = (),
    ) -> None:
        check_arguments(
            refunds=refunds,
            seed=seed,
            rate=rate,
            log_limit=log_limit,
            auth_status=auth_status,
            visible_after=visible_after,
            second_form_refused=second_form_refused,
            orders_name_refunds=orders_name_refunds,
            not_found=not_found,
            freight=freight,
            profile=profile,
            lists=lists,
        )
        wall, steady = _times(clock, monotonic)
        self.refunds = refunds
        """How many refunds there are."""
        self.seed = seed
        """What the refunds, the ledger and the faults are drawn from."""
        self.credentials: Credentials = Credentials(access_key, access_secret, user_id)
        """The credentials that it accepts."""
        self.counters: Counters = Counters()
        """Exact numbers of what came."""
        if freight is None and profile is not None and profile.freight != "ask":
            freight = profile.freight
        played = Played(profile)
        self._upstream = Upstream(seed, refunds, wall, visible_after, freight, played.list_facts, lists)
        self._upstream.second_form_refused = second_form_refused
        self._upstream.orders_name_refunds = orders_name_refunds
        self._upstream.not_found = not_found
        self._upstream.images = None if profile is None else profile.images
        self._log = request_log(log_limit)
        self._address = host, port
        self._listening: asyncio.Server | None = None
        self._server: _CountingServer | None = None
        self._pipeline = Pipeline(
            upstream=self._upstream,
            auth_checker=AuthChecker((self.credentials, *read_accounts(accounts)), auth_status, profile),
            played=played,
            quotas=Quotas(rate, profile),
            plan=FaultPlan(read_faults(faults), seed),
            routes=Routes({name: one for name, one in endpoints().items() if played.serves(one)}),
            handlers=HANDLERS,
            fallback=answer,
            counters=self.counters,
            log=self._log,
            seed=seed,
            monotonic=steady,
            sleep=sleep,
            connection_of=self._connection_of,
            recorded={one.call: one for one in map(_recording, recorded)},
        )

    def __repr__(self) -> str:
        where = self.base_url if self._listening else "not running"
        return f"Sandbox({where}, refunds={self.refunds}, seed={self.seed})"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Begin to listen; OSError if the port is taken."""
        if self._listening is not None:
            raise RuntimeError("the sandbox is already running")
        server = _CountingServer(self._handle, self.counters)
        host, port = self._address
        self._listening = await asyncio.get_running_loop().create_server(server, host, port, backlog=1024)
        self._server = server

    async def aclose(self) -> None:
        """Stop listening and drop all connections; may be called twice. What was seen can still be read."""
        listening, server = self._listening, self._server
        if listening is None or server is None:
            return
        self._address = self._address[0], self.port  # a second start listens where the first did
        self._listening = self._server = None
        listening.close()
        for task in tuple(self._pipeline.waiting):
            task.cancel()
        server.pre_shutdown()
        await server.shutdown(timeout=1.0)
        await listening.wait_closed()

    @property
    def port(self) -> int:
        """The port it listens on; the one it was given or, for 0, the one it got."""
        if self._listening is None:
            raise RuntimeError("the sandbox is not running: use `async with Sandbox(...) as sandbox`")
        return int(self._listening.sockets[0].getsockname()[1])

    @property
    def base_url(self) -> str:
        """What goes into `Settings(base_url=...)`."""
        host = self._address[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def log(self) -> Sequence[RequestRecord]:
        """Every request the server saw, newest last; only the last `log_limit` if that was set."""
        return self._log

    @property
    def effects(self) -> Sequence[Effect]:
        """Every change of state, newest last."""
        self._pipeline.land()
        return self._upstream.effects

    @property
    def landing(self) -> int:
        """How many writes whose connection is gone are still to be carried out (`lands_late`)."""
        self._pipeline.land()
        return len(self._pipeline.landing)

    def admit(self, account: Credentials) -> None:
        """Accept another key pair, or another sub-account of a key, from now on."""
        self._pipeline.auth_checker.admit(account)

    def revoke(self, access_key: str) -> None:
        """Refuse a key from now on; KeyError if it is not accepted."""
        self._pipeline.auth_checker.revoke(access_key)

    def refund(self, number: int) -> RefundState:
        """Refund `number` as it is now; LookupError if there is none."""
        self._pipeline.land()
        return self._upstream.refunds.get(number)

    def refund_ids(self, platform: str | None = None) -> Iterator[str]:
        """The ids of all refunds, of "1688", "taobao" or both; created ones last."""
        return (self.refund(number).refund_id for number in self._upstream.refunds.numbers(platform))

    def find(self, platform: str, status: Status | None = None, skip: int = 0) -> RefundState:
        """A refund of this platform now in this state, after `skip` others; LookupError if there is none."""
        for number in self._upstream.refunds.numbers(platform):
            refund = self.refund(number)
            if status in (None, refund.status):
                if skip == 0:
                    return refund
                skip -= 1
        raise LookupError(f"no refund of {platform} is in state {status}")

    def advance(self, number: int, status: Status) -> RefundState:
        """Let the seller or the platform take a step; ValueError if no step leads to `status` from here."""
        self._pipeline.land()
        return self._upstream.advance(number, status)

    def reopen(self, number: int, status: Status, *, silently: bool = False) -> RefundState:
        """Let a refund that has ended change all the same, as no document allows; ValueError if it is open.

        `silently`: nothing is pushed about it.
        """
        self._pipeline.land()
        return self._upstream.reopen(number, status, silently=silently)

    def order(self, order_id: str) -> OrderState:
        """A 1688 order as it is now; LookupError if there is none."""
        self._pipeline.land()
        order = self._upstream.orders.find(order_id)
        if order is None:
            raise LookupError(f"there is no order {order_id}")
        return order

    def advance_order(self, order_id: str, status: str) -> OrderState:
        """Let the seller or the platform take a step with a 1688 order, such as to ship it.

        ValueError if no step leads to `status` from here, LookupError if there is no such order.
        """
        self._pipeline.land()
        return ordering.advance(self._upstream, order_id, status)

    def ledger_rows(self, rows: int | None = None) -> Iterator[dict[str, str]]:
        """The ledger with its planted differences, row by row as text (see `ledger.COLUMNS`)."""
        return ledger.ledger_rows(self.seed, self._rows(rows))

    def truth(self, rows: int | None = None) -> Iterator[str]:
        """The verdict that each of these rows must get, in order; true until something is changed."""
        return ledger.truth(self.seed, self._rows(rows))

    def _rows(self, rows: int | None) -> int:
        if rows is not None and not 0 <= rows <= self.refunds:
            raise ValueError(f"rows must be from 0 to {self.refunds}, the number of refunds")
        return self.refunds if rows is None else rows

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path.startswith(PREFIX):
            return await inspect(self, request)
        return await self._pipeline(request)

    def _connection_of(self, request: web.BaseRequest) -> int:
        return 0 if self._server is None else self._server.numbers.get(request.protocol, 0)


class _CountingServer(web.Server):
    """aiohttp's low-level server (no router: it costs more than the answer), numbering its connections."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], counters: Counters
    ) -> None:
        super().__init__(handler, request_factory=_request, access_log=None)
        self._counters = counters
        self.numbers: dict[RequestHandler, int] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._counters.connections += 1
        self.numbers[handler] = self._counters.connections

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.numbers.pop(handler, None)


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAXIMUM_BODY)


def _recording(given: Recording | str | os.PathLike[str]) -> Recording:
    return given if isinstance(given, Recording) else Recording.read(os.fspath(given))


def _times(
    clock: TwoClocks | Callable[[], float] | None, monotonic: Callable[[], float] | None
) -> tuple[Callable[[], float], Callable[[], float]]:
    if clock is None:
        return time.time, monotonic or time.monotonic
    if callable(clock):
        return clock, monotonic or time.monotonic
    return clock.wall, monotonic or clock.now
