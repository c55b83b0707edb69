"""The registry of handlers: functions by platform and by kind or type of message."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from pandapon_async.callbacks.messages import PLATFORMS, CallbackType, Message
from pandapon_async.errors import ConfigurationError

__all__ = ["ANY", "Handler", "Handlers", "Registered"]

ANY = "*"

Handler = Callable[[Message], Awaitable[Any]] | Callable[[Message], Any]
"""A coroutine function, or a plain function, which runs in a thread."""

H = TypeVar("H", bound=Handler)


@attrs.define(frozen=True)
class Registered:
    """A handler, the messages it wants, and its name in the records of finished messages."""

    name: str
    function: Handler
    platform: str
    kind: str

    def wants(self, message: Message) -> bool:
        """Whether this message is for it."""
        return self.platform in (ANY, message.platform) and self.kind in (ANY, message.kind, message.type)

    async def __call__(self, message: Message) -> None:
        """Handle a message."""
        if inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(
            getattr(self.function, "__call__", None)  # noqa: B004 (an object with an async __call__)
        ):
            await self.function(message)
            return
        result = await asyncio.to_thread(self.function, message)
        if inspect.isawaitable(result):
            await result


class Handlers:
    """All handlers of a receiver, in the order in which they were registered."""

    def __init__(self) -> None:
        self._all: list[Registered] = []

    def on(self, platform: str = ANY, kind: str = ANY) -> Callable[[H], H]:
        """Decorator: call this function with the messages of a platform and a kind or type.

        `platform` is "1688", "taobao" or "*"; `kind` is "price", "status", "refund", "other", "*", or a
        message type as the vendor writes it. Every handler that wants a message gets it.
        """
        if platform not in (*PLATFORMS, ANY):
            raise ConfigurationError('platform must be "1688", "taobao" or "*"')
        if kind not in (*CallbackType, ANY) and (not isinstance(kind, str) or not kind or kind.islower()):
            kinds = ", ".join(f'"{one}"' for one in CallbackType)
            raise ConfigurationError(f'kind must be {kinds}, "*" or a message type in capitals')

        def register(function: H) -> H:
            self._all.append(Registered(self._name(function), function, platform, str(kind)))
            return function

        return register

    def of(self, message: Message) -> list[Registered]:
        """Return the handlers for this message; a function registered twice counts once."""
        return list({one.name: one for one in self._all if one.wants(message)}.values())

    def _name(self, function: Handler) -> str:
        """Return a name that is stable over restarts and distinct for each function."""
        names = [
            getattr(function, part, None) or type(function).__name__
            for part in ("__module__", "__qualname__")
        ]
        name = plain = ".".join(names)
        number = 1
        while any(one.name == name and one.function is not function for one in self._all):
            number += 1
            name = f"{plain}#{number}"
        return name
