"""The receiver as an aiohttp application."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from aiohttp import web

from pandapon_async.callbacks.push import Push, ReceiverResponse

if TYPE_CHECKING:
    from pandapon_async.callbacks.receiver import Receiver

__all__ = ["application"]


def application(receiver: Receiver, path: str) -> web.Application:
    """Make an application that answers under `path`, and starts and closes the receiver."""

    async def handle(request: web.Request) -> web.Response:
        return _response(await receiver.answer(_push(request)))

    async def running(_: web.Application) -> AsyncIterator[None]:
        async with receiver:
            yield

    app = web.Application()
    for place in (path.rstrip("/"), f"{path.rstrip('/')}/"):
        app.router.add_route("*", place, handle)
    app.cleanup_ctx.append(running)
    return app


def _push(request: web.Request) -> Push:
    headers = request.headers
    return Push(
        method=request.method,
        authorization=", ".join(headers.getall("Authorization")) if "Authorization" in headers else None,
        length=request.content_length,
        encoding=headers.get("Content-Encoding"),
        chunks=_chunks(request),
    )


async def _chunks(request: web.Request) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except web.RequestPayloadError:
        raise ConnectionError("the body was cut off") from None


def _response(answer: ReceiverResponse) -> web.Response:
    response = web.Response(status=answer.status, text=f"{answer.text}\n")
    if answer.close:
        response.force_close()
    return response
