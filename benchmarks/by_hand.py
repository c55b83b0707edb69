"""The recipe one writes by hand, out of the packages one would take for it.

aiohttp, tenacity, aiolimiter and cattrs, each used as its own documentation shows: one session, a retry
decorator, `async with` a semaphore and a limiter, `json=` and `.json()`, attrs classes. It signs as this
client does and checks status and code. It keeps no journal, no deadline and no window of the quota.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import types
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import attrs
from cattrs import Converter
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from benchmarks import rivals
from benchmarks.replies import Reply
from benchmarks.shapes import attrs_class

__all__ = ["ByHand", "TinyByHand"]


class _ApiError(Exception):
    """What a code other than 200 becomes."""


@attrs.define
class TinyByHand:
    """What the tiny answer becomes."""

    refundId: str | None = None
    status: str | None = None
    applyPayment: int | None = None


class ByHand:
    """Holds what the calls share."""

    def __init__(self, url: str, session: aiohttp.ClientSession, concurrency: int) -> None:
        self._url = url
        self._session = session
        self._semaphore = asyncio.Semaphore(concurrency)
        self._limiter = rivals.module("aiolimiter").AsyncLimiter(1_000_000, 1)
        self._converter = Converter()

    def call(self, reply: Reply) -> Callable[[], Coroutine[Any, Any, Any]]:
        """A function that makes the call."""
        url = self._url + reply.target
        kind: Any = TinyByHand if "refundId" in reply.data else attrs_class()
        if isinstance(reply.data, list):
            kind = types.GenericAlias(list, (kind,))

        @retry(
            stop=stop_after_attempt(5),
            wait=wait_random_exponential(max=20),
            retry=retry_if_exception_type((aiohttp.ClientError, TimeoutError)),
            reraise=True,
        )
        async def call() -> Any:
            async with (
                self._semaphore,
                self._limiter,
                self._session.request(
                    reply.method,
                    url,
                    json=reply.body,
                    headers=_signed(),
                    timeout=aiohttp.ClientTimeout(total=30),
                ) as response,
            ):
                response.raise_for_status()
                envelope = await response.json()
            if envelope["code"] != 200:
                raise _ApiError(envelope["msg"])
            return self._converter.structure(envelope["data"], kind)

        return call


def _signed() -> dict[str, str]:
    stamp, nonce = str(int(time.time() * 1000)), uuid.uuid4().hex
    text = f"benchmark{stamp}{nonce}secret"
    return {
        "access-key": "benchmark",
        "timestamp": stamp,
        "nonce-str": nonce,
        "user-id": "1",
        "signature": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper(),
    }
