"""Carrying a fault out on the connection itself."""

from __future__ import annotations

import http
import socket
import struct

from aiohttp import web

from pandapon_async.sandbox.envelope import SandboxResponse
from pandapon_async.sandbox.faults import Fault, FaultKind

__all__ = ["break_off", "in_envelope_only", "reset", "send_half", "substitute"]

_LINGER_NOTHING = struct.pack("ii", 1, 0)
_GATEWAY_PAGE = (
    "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>nginx</body></html>"
)


def break_off(request: web.BaseRequest) -> web.Response:
    """Close the connection without a word."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # never sent: the transport is gone


def reset(request: web.BaseRequest) -> web.Response:
    """End the connection with a TCP reset: unread data is lost."""
    if request.transport is not None:
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
    return break_off(request)


def send_half(request: web.BaseRequest, answer: SandboxResponse) -> web.Response:
    """Announce the whole answer, send half of it, close."""
    if request.transport is not None:
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer.body)}\r\n\r\n"
        )
        request.transport.write(head.encode() + answer.body[: len(answer.body) // 2])
        request.transport.close()
    return web.Response()  # never sent: the transport is closing


def substitute(fault: Fault) -> tuple[int, str | None, dict[str, str]]:
    """Return the answer of a gateway in place of the service: status, page, headers.

    A page of None means that it is an envelope; `in_envelope_only` says whether it comes with HTTP 200.
    """
    after = 1.0 if fault.kind is FaultKind.THROTTLE_429 and fault.retry_after is None else fault.retry_after
    headers = {} if after is None else {"Retry-After": f"{after:g}"}
    if fault.kind is FaultKind.ERROR_502_HTML:
        return 502, _GATEWAY_PAGE.format("502 Bad Gateway"), {}
    if fault.kind is FaultKind.ERROR_503:
        return 503, _GATEWAY_PAGE.format("503 Service Temporarily Unavailable"), headers
    if fault.kind in (FaultKind.THROTTLE_429, FaultKind.THROTTLE_CODE):
        return 429, None, headers
    if fault.kind in (FaultKind.REFUSAL, FaultKind.REFUSAL_AFTER):
        return fault.status, _page(fault), headers
    return 500, None, {}


def in_envelope_only(fault: Fault) -> bool:
    """Whether the HTTP status is a success."""
    refusal = fault.kind in (FaultKind.REFUSAL, FaultKind.REFUSAL_AFTER)
    return fault.kind is FaultKind.THROTTLE_CODE or (refusal and fault.body in ("code", "inner"))


def _page(fault: Fault) -> str | None:
    if fault.body != "html":
        return "" if fault.body == "empty" else None
    try:
        phrase = http.HTTPStatus(fault.status).phrase
    except ValueError:  # 499 and its like are gateways' own
        phrase = "Request Refused"
    return _GATEWAY_PAGE.format(f"{fault.status} {phrase}")
