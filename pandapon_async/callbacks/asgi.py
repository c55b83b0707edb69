"""The receiver as an ASGI application, for FastAPI, Starlette and other ASGI servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from pandapon_async.callbacks.push import Push, ReceiverResponse

if TYPE_CHECKING:
    from pandapon_async.callbacks.receiver import Receiver

__all__ = ["AsgiApp"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiApp:
    """Answers every path; because it is an object, Starlette's routes accept it as an endpoint."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or the lifespan of a standalone application."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                answer = await self.receiver.answer(_push(scope, receive))
            except _Gone:
                return
            await _respond(answer, send, scope["method"] == "HEAD")
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1002})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            event = (await receive())["type"]
            if event == "lifespan.startup":
                try:
                    await self.receiver.start()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif event == "lifespan.shutdown":
                await self.receiver.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return


class _Gone(Exception):
    """The client disconnected before its body was complete: no one waits for an answer."""


def _push(scope: Scope, receive: Receive) -> Push:
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(bytes(name).lower(), []).append(bytes(value))
    length = headers.get(b"content-length", [b""])[0]
    encoding = headers.get(b"content-encoding")
    return Push(
        method=scope["method"],
        authorization=b", ".join(headers[b"authorization"]) if b"authorization" in headers else None,
        length=int(length) if length.isdigit() and len(length) < 20 else None,
        encoding=b", ".join(encoding).decode("latin-1") if encoding else None,
        chunks=_chunks(receive),
    )


async def _chunks(receive: Receive) -> AsyncGenerator[bytes, None]:
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise _Gone
        yield event.get("body", b"")
        if not event.get("more_body", False):
            return


async def _respond(answer: ReceiverResponse, send: Send, head: bool) -> None:
    body = f"{answer.text}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if answer.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
