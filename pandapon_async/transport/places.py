"""The place of a call's arguments, body or query, if two pages of the vendor disagree.

A vendor that expects the other place answers with success and no data, and all refunds of a night seem to be
missing. So after the first such answer a read tries the other place, once in a client's life; if that finds
something, later calls go there. A write never tries anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from pandapon_async.clock import Clock
from pandapon_async.core.model import is_blank
from pandapon_async.declare.response import Response
from pandapon_async.errors import NotFoundError, PandaponError
from pandapon_async.transport.requests import PreparedRequest, RequestBuilder

__all__ = ["ArgumentPlaces"]

Send = Callable[[RequestBuilder, PreparedRequest, float], Awaitable[Response[Any]]]
"""Carries out a prepared call within this many seconds."""

log: Final = logging.getLogger("pandapon_async")


@attrs.define(eq=False)
class ArgumentPlaces:
    """What a client and its copies learned about the places of arguments."""

    clock: Clock
    settled: set[str] = attrs.field(factory=set)
    """Calls (pinned names) that need no more trial."""
    _moved: set[str] = attrs.field(factory=set)
    _lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    def moved(self, builder: RequestBuilder) -> bool:
        """Whether the arguments of this call go to the other place than declared."""
        return builder.endpoint.pin in self._moved

    async def carry_out(
        self, builder: RequestBuilder, request: PreparedRequest, send: Send, seconds: float
    ) -> Response[Any]:
        """Carry out a call whose place of arguments is not known, within `seconds` in total."""
        deadline = self.clock.now() + seconds
        if self.moved(builder):
            return await self._elsewhere(builder, request, send, deadline)
        failure: NotFoundError | None = None
        response: Response[Any] | None = None
        try:
            response = await send(builder, request, seconds)
        except NotFoundError as error:
            if not error.empty:
                raise
            failure = error
        pin = builder.endpoint.pin
        if response is not None and not is_blank(response.value):
            self.settled.add(pin)
            return response
        async with self._lock:  # other calls wait for the result of the trial
            if pin not in self.settled and not self.moved(builder):
                self.settled.add(pin)
                found = await self._try(builder, request, send, deadline)
                if found is not None:
                    return found
        if self.moved(builder):
            return await self._elsewhere(builder, request, send, deadline)
        if failure is not None:
            raise failure
        assert response is not None
        return response

    async def _try(
        self, builder: RequestBuilder, request: PreparedRequest, send: Send, deadline: float
    ) -> Response[Any] | None:
        try:
            found = await self._elsewhere(builder, request, send, deadline)
        except PandaponError:
            return None  # it proves nothing; the caller gets the answer for the declared place
        if is_blank(found.value):
            return None
        endpoint = builder.endpoint
        self.settled.discard(endpoint.pin)
        self._moved.add(endpoint.pin)
        where = "body" if builder.in_query else "query"
        log.warning(
            "%s finds data only with its arguments in the %s; later calls use that. To set it, configure "
            "overrides of this call with arguments = %r",
            endpoint.name,
            where,
            where,
        )
        return found

    async def _elsewhere(
        self, builder: RequestBuilder, request: PreparedRequest, send: Send, deadline: float
    ) -> Response[Any]:
        other = builder.elsewhere()
        return await send(other, other.prepare(dict(request.fields)), max(0.001, deadline - self.clock.now()))
