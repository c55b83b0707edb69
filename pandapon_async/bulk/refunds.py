"""Looking up refund forms by the thousand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import Any, Literal, TypeVar

from pandapon_async.bulk.run import Done, Failed, OnError, run
from pandapon_async.client import Client
from pandapon_async.declare.endpoint import Call
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.models.taobao.refunds import RefundDetail

__all__ = ["Platform", "fetch_refunds"]

Item = TypeVar("Item")
Platform = Literal["1688", "taobao"]


def fetch_refunds(
    client: Client,
    refund_ids: Iterable[Item] | AsyncIterable[Item],
    platform: Platform | Callable[[Item], Platform] = "1688",
    *,
    refund_id: Callable[[Item], Any] | None = None,
    concurrency: int = 32,
    on_error: OnError = "yield",
    ordered: bool = False,
) -> AsyncGenerator[Done[Item, Refund | RefundDetail] | Failed[Item], None]:
    """Look up every refund; yields `Done` with the refund form or `Failed`, one per item.

    The items are refund ids, or anything from which `refund_id` takes one; `platform` is "1688" or
    "taobao" for all of them, or says it per item. A refund the vendor does not know is `Failed` with
    `NotFoundError`. The rest is as in `run`.
    """

    def look_up(item: Item) -> Call[Refund | RefundDetail]:
        identity: Any = refund_id(item) if refund_id is not None else item
        where = platform(item) if callable(platform) else platform
        if where == "1688":
            return client.v1.alibaba.refunds.get(refund_id=identity)
        if where == "taobao":
            return client.v1.taobao.refunds.get(refund_id=identity)
        raise InvalidArgumentError("platform must be '1688' or 'taobao'", argument="platform")

    clock = client.settings.clock
    return run(look_up, refund_ids, concurrency=concurrency, on_error=on_error, ordered=ordered, clock=clock)
