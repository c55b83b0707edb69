"""What is used of a Dask client, so that nothing of Dask is imported, and how it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

__all__ = ["DaskClient", "ask"]


class DaskClient(Protocol):
    """What is used of `dask.distributed.Client`, asynchronous or not."""

    @property
    def asynchronous(self) -> bool:
        """Whether its methods are awaited."""
        ...

    def submit(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Give a task to the scheduler."""
        ...

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function on workers at once."""
        ...

    def nthreads(self, workers: Any = None) -> Any:
        """The workers, and how many threads each has."""
        ...

    def subscribe_topic(self, topic: str, handler: Any) -> Any:
        """Call a function with each message of a topic."""
        ...

    def unsubscribe_topic(self, topic: str) -> Any:
        """Call it no more."""
        ...


async def ask(client: DaskClient, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Call a method of the engine's, which is awaited or blocks."""
    if client.asynchronous:
        found = call(*args, **named)
        return await found if isinstance(found, Awaitable) else found
    return await asyncio.to_thread(call, *args, **named)
