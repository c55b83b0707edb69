"""The pipeline of one request, from the socket to its answer.

The way is always the same: note the arrival, count it against the rate, draw its fault, read it, let land
what is late and due, check headers and arguments, carry it out, answer. A planted fault takes the place of
what comes after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import heapq
import math
from collections.abc import Awaitable, Callable, Mapping, MutableSequence
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import attrs
import orjson
from aiohttp import web

from pandapon_async.declare.endpoint import Endpoint, Safety, Signing
from pandapon_async.recording import Recording
from pandapon_async.sandbox import disruption
from pandapon_async.sandbox.checks import IN_QUERY, AuthChecker
from pandapon_async.sandbox.envelope import Refusal, SandboxResponse, envelope
from pandapon_async.sandbox.faults import Fault, FaultKind, FaultPlan
from pandapon_async.sandbox.handlers import Handler
from pandapon_async.sandbox.profile import Played, Quotas
from pandapon_async.sandbox.rate import Arrivals
from pandapon_async.sandbox.records import Counters, RequestRecord
from pandapon_async.sandbox.routes import Route, Routes
from pandapon_async.sandbox.upstream import Call, Upstream

__all__ = ["MAXIMUM_BODY", "Pipeline"]

MAXIMUM_BODY = 4 * 1024 * 1024
DEEPEST = 100


@attrs.define(frozen=True, eq=False)
class _Checked:
    """A request whose headers and arguments are right."""

    endpoint: Endpoint
    arguments: dict[str, Any]
    user_id: str
    hidden_for: float


@attrs.define(eq=False, kw_only=True)
class Pipeline:
    """All that answering needs; called with each request."""

    upstream: Upstream
    auth_checker: AuthChecker
    played: Played
    quotas: Quotas
    plan: FaultPlan
    routes: Routes
    handlers: Mapping[str, Handler]
    fallback: Handler
    counters: Counters
    log: MutableSequence[RequestRecord]
    seed: int
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]
    connection_of: Callable[[web.BaseRequest], int]
    recorded: Mapping[str, Recording] = attrs.field(factory=dict)
    waiting: set[asyncio.Task[Any]] = attrs.field(factory=set)
    landing: list[tuple[float, int, _Checked]] = attrs.field(factory=list)
    _arrivals: Arrivals = attrs.field(factory=Arrivals)
    _date: tuple[int, str] = (-1, "")
    _codes: Mapping[int | str, int] = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.played.codes(), takes_self=True)
    )

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, or apply its fault."""
        counters = self.counters
        counters.in_flight += 1
        counters.most_in_flight = max(counters.most_in_flight, counters.in_flight)
        try:
            return await self._serve(request)
        finally:
            counters.in_flight -= 1

    def land(self) -> None:
        """Carry out what lands late, as far as its time has come."""
        while self.landing and self.landing[0][0] <= self.upstream.clock():
            moment, _, checked = heapq.heappop(self.landing)
            with contextlib.suppress(Refusal):  # the client is gone
                self._carry_out(checked, moment)

    def _land_later(self, checked: _Checked, number: int, delay: float) -> None:
        if checked.endpoint.safety is not Safety.READ:
            heapq.heappush(self.landing, (self.upstream.clock() + delay, number, checked))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = _plain(request.raw_path).partition("?")
        route, texts, known = self.routes.find(request.method, path)
        entry, repeated = self._note(request, route)
        wait = self.quotas.admit(entry.arrived, request.headers)
        fault = self.plan.choose(entry.number, route.names if route else ()) if wait is None else None
        if fault is not None:
            entry.fault = fault.kind.value
            self.counters.faults[fault.kind.value] += 1
            if fault.kind is FaultKind.REFUSE:
                return disruption.break_off(request)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            too_large = Refusal(413, f"a request has at most {MAXIMUM_BODY} bytes", status=413)
            return self._respond(entry, self._envelope(entry, path, refusal=too_large))
        except (ConnectionError, web.RequestPayloadError):
            if request.transport is not None and not request.transport.is_closing():
                unreadable = Refusal(400, "body: is not what its headers say", status=400)
                return self._respond(entry, self._envelope(entry, path, refusal=unreadable))
            entry.fault = "client_gone"
            return web.Response()  # never sent: the client is gone
        entry.digest = hashlib.sha256(body).hexdigest()
        if wait is not None:
            self.counters.rate_refused += 1
            after = {"Retry-After": str(max(1, math.ceil(wait)))}
            refusal = Refusal(429, "too many requests in one second", status=429, headers=after)
            return self._respond(entry, self._envelope(entry, path, refusal=refusal))
        late = fault is not None and fault.kind is FaultKind.LANDS_LATE
        if fault is not None and not fault.carries_out and not late:
            return self._prevent(request, entry, path, fault)
        self.land()  # the body may have taken its time
        try:
            asked = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
            checked = self._check(request, route, known, asked, texts, body, repeated, fault)
            if fault is not None and late:
                self._land_later(checked, entry.number, fault.delay)
                return disruption.reset(request)
            recorded = self.recorded.get(checked.endpoint.pin)
            if recorded is not None:
                answer = SandboxResponse(
                    recorded.http_status, recorded.answer.get("code", 0), recorded.body()
                )
            else:
                answer = self._envelope(entry, path, data=self._carry_out(checked))
        except Refusal as refusal:
            if late:
                return disruption.reset(request)
            answer = self._envelope(entry, path, refusal=refusal)
        entry.status, entry.code = answer.status, answer.code
        return (
            self._respond(entry, answer)
            if fault is None
            else await self._withhold(request, entry, answer, fault)
        )

    def _note(self, request: web.BaseRequest, route: Route | None) -> tuple[RequestRecord, bool]:
        """Enter the arrival into the books; whether its nonce was seen before."""
        counters = self.counters
        arrived, now = self.monotonic(), self.upstream.clock()
        self._arrivals.note(arrived)
        counters.busiest_second = self._arrivals.most
        counters.requests += 1
        nonce = request.headers.get("nonce-str")
        repeated = nonce is not None and self.auth_checker.is_repeated(nonce, now)
        counters.nonces_repeated += repeated
        user_id = request.headers.get("user-id")
        transport = request.transport
        peer = None if transport is None else transport.get_extra_info("peername")
        entry = RequestRecord(
            counters.requests,
            None if route is None else route.endpoint.name,
            request.method,
            _plain(request.raw_path),
            now,
            arrived,
            None if nonce is None else _plain(nonce),
            self.connection_of(request),
            peer[1] if peer else 0,
            user_id=None if user_id is None else _plain(user_id),
        )
        self.log.append(entry)
        return entry, repeated

    def _check(
        self,
        request: web.BaseRequest,
        route: Route | None,
        known: bool,
        asked: dict[str, str],
        in_path: dict[str, str],
        body: bytes,
        repeated: bool,
        fault: Fault | None,
    ) -> _Checked:
        """The call that the request makes, or a Refusal."""
        if route is None:
            status = 405 if known else 404
            raise Refusal(status, "wrong method" if known else "no such call", status=status)
        endpoint = route.endpoint
        self.auth_checker.check(request.headers, self.upstream.clock(), repeated=repeated)
        if endpoint.signing is Signing.QUERY:
            self.auth_checker.check_query(asked, request.headers)
            asked = {name: text for name, text in asked.items() if name not in IN_QUERY}
        asked, arguments = self.played.heard(endpoint, asked, _arguments(request, body))
        route.check(arguments, {**asked, **in_path})
        hidden_for = None if fault is None else fault.hidden_for
        if hidden_for is None:
            hidden_for = self.upstream.visible_after
        return _Checked(endpoint, arguments, request.headers["user-id"], hidden_for)

    def _carry_out(self, checked: _Checked, moment: float | None = None) -> Any:
        """The data of the answer, or a Refusal."""
        endpoint, upstream = checked.endpoint, self.upstream
        handler = self.handlers.get(endpoint.name, self.fallback)
        with upstream.calling(Call(checked.user_id, checked.hidden_for, moment)):
            books = upstream.seen() if endpoint.safety is Safety.READ else upstream
            return handler(books, endpoint, checked.arguments)

    def _prevent(
        self, request: web.BaseRequest, entry: RequestRecord, path: str, fault: Fault
    ) -> web.Response:
        """Faults that come before anything is carried out."""
        if fault.kind is FaultKind.RESET_BEFORE:
            return disruption.reset(request)
        return self._substitute(entry, path, fault)

    def _substitute(self, entry: RequestRecord, path: str, fault: Fault) -> web.Response:
        """Another answer than that of the call."""
        status, page, headers = disruption.substitute(fault)
        if page is not None:
            entry.status, entry.code = status, None
            return web.Response(status=status, text=page, content_type="text/html", headers=headers)
        if fault.body == "inner":
            code, message = fault.error_code or "5001", "planted fault"
            data = {"success": False, "errorCode": code, "errorInfo": message}
            return self._respond(entry, self._envelope(entry, path, data=data))
        shown = 200 if disruption.in_envelope_only(fault) else status
        refusal = Refusal(fault.error_code or status, "planted fault", status=shown, headers=headers)
        return self._respond(entry, self._envelope(entry, path, refusal=refusal))

    async def _withhold(
        self, request: web.BaseRequest, entry: RequestRecord, answer: SandboxResponse, fault: Fault
    ) -> web.StreamResponse:
        """Faults that come when all is carried out."""
        if fault.kind is FaultKind.RESET_AFTER:
            return disruption.reset(request)
        if fault.kind is FaultKind.TRUNCATED:
            return disruption.send_half(request, answer)
        if fault.kind in (FaultKind.ERROR_500_AFTER, FaultKind.REFUSAL_AFTER):
            return self._substitute(entry, request.path, fault)
        if fault.kind is FaultKind.VISIBLE_LATE:
            return self._respond(entry, answer)
        task = asyncio.current_task()
        assert task is not None
        self.waiting.add(task)
        try:
            await self.sleep(fault.delay)
        finally:
            self.waiting.discard(task)
        return self._respond(entry, answer)

    def _envelope(
        self, entry: RequestRecord, path: str, *, data: Any = None, refusal: Refusal | None = None
    ) -> SandboxResponse:
        name = b"%d:%d" % (self.seed, entry.number)
        request_id = hashlib.blake2b(name, digest_size=16).hexdigest()
        return envelope(request_id, path, data=data, refusal=refusal, codes=self._codes)

    def _respond(self, entry: RequestRecord, answer: SandboxResponse) -> web.Response:
        """Send the answer, dated by the sandbox's own clock."""
        entry.status, entry.code = answer.status, answer.code
        second = int(self.upstream.clock())
        if second != self._date[0]:
            self._date = second, formatdate(second, usegmt=True)
        headers = {"Content-Type": "application/json", "Date": self._date[1]}
        if answer.headers:
            headers.update(answer.headers)
        return web.Response(status=answer.status, body=answer.body, headers=headers)


def _arguments(request: web.BaseRequest, body: bytes) -> dict[str, Any]:
    """Parse the body: empty, or one JSON object."""
    if not body:
        return {}
    kind = request.headers.get("Content-Type", "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "Content-Type must be application/json", status=415)
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(400, "body: is no JSON") from None
    if not isinstance(given, dict):
        raise Refusal(400, "body: must be an object")
    if body.count(b"[") + body.count(b"{") > DEEPEST and _too_deep(given):
        raise Refusal(400, "body: nested too deeply")
    return given


def _too_deep(given: Any) -> bool:
    """Whether a value is nested deeper than it could be written again."""
    level = [given]
    for _ in range(DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _plain(text: str) -> str:
    """A text from the head of a request that can be written: bytes that are no UTF-8 are question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
