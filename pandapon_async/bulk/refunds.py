"""Look up thousands of refund forms."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from pandapon_async.bulk.run import Done, Failed, OnError, run
from pandapon_async.declare.call import Call
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.models.taobao.refunds import RefundDetail

if TYPE_CHECKING:
    from pandapon_async.client import Client

__all__ = ["Platform", "fetch_refunds"]

Item = TypeVar("Item")
Platform = Literal["1688", "taobao"]


@overload
def fetch_refunds(
    client: Client,
    refund_ids: Iterable[Item] | AsyncIterable[Item],
    platform: Literal["1688"] = "1688",
    *,
    refund_id: Callable[[Item], Any] | None = None,
    concurrency: int = 32,
    on_error: OnError = "yield",
    ordered: bool = False,
) -> AsyncGenerator[Done[Item, Refund] | Failed[Item], None]: ...
@overload
def fetch_refunds(  # pyright: ignore[reportOverlappingOverload]  # the narrower one comes first
    client: Client,
    refund_ids: Iterable[Item] | AsyncIterable[Item],
    platform: Literal["taobao"],
    *,
    refund_id: Callable[[Item], Any] | None = None,
    concurrency: int = 32,
    on_error: OnError = "yield",
    ordered: bool = False,
) -> AsyncGenerator[Done[Item, RefundDetail] | Failed[Item], None]: ...
@overload
def fetch_refunds(
    client: Client,
    refund_ids: Iterable[Item] | AsyncIterable[Item],
    platform: Platform | Callable[[Item], Platform],
    *,
    refund_id: Callable[[Item], Any] | None = None,
    concurrency: int = 32,
    on_error: OnError = "yield",
    ordered: bool = False,
) -> AsyncGenerator[Done[Item, Refund | RefundDetail] | Failed[Item], None]: ...
def fetch_refunds(
    client: Client,
    refund_ids: Iterable[Item] | AsyncIterable[Item],
    platform: Platform | Callable[[Item], Platform] = "1688",
    *,
    refund_id: Callable[[Item], Any] | None = None,
    concurrency: int = 32,
    on_error: OnError = "yield",
    ordered: bool = False,
) -> AsyncGenerator[Any, None]:
    """Look up every refund; yields `Done` with the refund form or `Failed` for each item.

    The items are refund ids, or objects from which `refund_id` returns one. `platform` is "1688" or "taobao"
    for all of them, or a function that returns it for an item. A refund that the vendor does not know is
    `Failed` with `NotFoundError`. Everything else is as in `run`.
    """

    def look_up(item: Item) -> Call[Refund | RefundDetail]:
        identity: Any = refund_id(item) if refund_id is not None else item
        where = platform(item) if callable(platform) else platform
        if where == "1688":
            return client.alibaba.refunds.get(refund_id=identity)
        if where == "taobao":
            return client.taobao.refunds.get(refund_id=identity)
        raise InvalidArgumentError("platform must be '1688' or 'taobao'", argument="platform")

    if not callable(platform) and platform not in ("1688", "taobao"):
        raise InvalidArgumentError("platform must be '1688' or 'taobao'", argument="platform")
    clock = client.settings.clock
    return run(look_up, refund_ids, concurrency=concurrency, on_error=on_error, ordered=ordered, clock=clock)
