"""Arguments that name what a sandbox has: the examples, with ids of things that are there and may be used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from pandapon_async import Client
from pandapon_async.api.registry import endpoints
from pandapon_async.core.json_codec import dumps
from pandapon_async.core.unstructure import to_json
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox import Sandbox
from tests.example_arguments import example_arguments

__all__ = ["as_words", "carry_out", "real_arguments"]


@attrs.define
class _World:
    """A client with its sandbox, and how many things of a kind were used up."""

    client: Client
    sandbox: Sandbox
    used: int

    async def order(self) -> str:
        """A new 1688 order."""
        example = example_arguments(endpoints()["v1.alibaba.orders.create"])
        created = await self.client.with_settings(allow_repeat=True).v1.alibaba.orders.create(**example)
        return str(created["orderId"])


async def _cart_entry(world: _World) -> int:
    cart: Any = await world.client.v1.alibaba.carts.get()
    return int(cart.enable_list[0].cart_item_infos[0].id)


async def _new_address(_: _World) -> dict[str, Any]:
    return {"id": None}


async def _entry(world: _World) -> dict[str, Any]:
    return {"id": await _cart_entry(world)}


async def _return(world: _World) -> dict[str, Any]:
    return {"vouchers": None, **await _refund(world, "1688", "waitbuyersend")}


async def _cart_ids(world: _World) -> dict[str, Any]:
    return {"cart_ids": [await _cart_entry(world)]}


async def _taobao_cart(world: _World) -> dict[str, Any]:
    example = example_arguments(endpoints()["v1.taobao.carts.add"])
    return {"ids": [(await world.client.v1.taobao.carts.add(**example))["id"]]}


async def _order(world: _World, argument: str = "order_id") -> dict[str, Any]:
    order = await world.order()
    return {argument: [order] if argument.endswith("s") else order}


async def _shipped(world: _World) -> dict[str, Any]:
    order = await world.order()
    await world.client.v1.alibaba.orders.submit_to_pay(order_ids=[order])
    world.sandbox.advance_order(order, "waitbuyerreceive")
    found: Any = await world.client.v1.alibaba.orders.get(order_id=order)
    return {"order_id": order, "order_entry_ids": [item.sub_item_id for item in found.product_items]}


async def _application(world: _World) -> dict[str, Any]:
    order = 3_100_000_000_000_000_010 + 1_000 * world.used
    return {
        "order_id": order,
        "order_entry_ids": [order + 1],
        "apply_reason_id": 20022,
        "apply_carriage": 0,
        "goods_status": "aftersaleBuyerReceived",
        "vouchers": None,
        "order_entry_count_list": None,
    }


async def _refund(world: _World, platform: str, status: str | int | None = None) -> dict[str, Any]:
    return {"refund_id": world.sandbox.find(platform, status, skip=world.used % 3).refund_id}


_open_taobao = partial(_refund, platform="taobao", status=10)
_ARRANGED: Mapping[str, Callable[[_World], Awaitable[dict[str, Any]]]] = {
    "addresses.save": _new_address,
    "alibaba.carts.set_quantity": _entry,
    "alibaba.carts.preview_order": _cart_ids,
    "alibaba.carts.create_order": _cart_ids,
    "taobao.carts.create_order": _taobao_cart,
    "alibaba.orders.cancel": _order,
    "alibaba.orders.payment_link": _order,
    "alibaba.orders.submit_to_pay": partial(_order, argument="order_ids"),
    "alibaba.orders.confirm_receipt": _shipped,
    "alibaba.refunds.create": _application,
    "alibaba.refunds.get": partial(_refund, platform="1688"),
    "alibaba.refunds.return_goods": _return,
    "taobao.refunds.get": _open_taobao,
    "taobao.refunds.page": _open_taobao,
    "taobao.refunds.cancel": _open_taobao,
    "taobao.refunds.render": _open_taobao,
    "taobao.refunds.post_message": _open_taobao,
}


async def real_arguments(endpoint: Endpoint, client: Client, sandbox: Sandbox, used: int) -> dict[str, Any]:
    """Arguments of a call that succeeds; `used` sets apart those of several calls to one sandbox."""
    given = dict(example_arguments(endpoint))
    arrange = _ARRANGED.get(endpoint.name)
    changes = await arrange(_World(client, sandbox, used)) if arrange else {}
    known = {parameter.name for parameter in endpoint.parameters}
    given.update({name: value for name, value in changes.items() if name in known})
    return {name: value for name, value in given.items() if value is not None}


async def carry_out(client: Client, endpoint: Endpoint, arguments: Mapping[str, Any]) -> Any:
    """Make a call through its typed method."""
    method: Any = client
    for name in endpoint.pin.split("."):
        method = getattr(method, name)
    return await method(**arguments)


def as_words(arguments: Mapping[str, Any], folder: Path) -> list[str]:
    """The same arguments as somebody types them after `pandapon call NAME`."""
    return [f"{name}={_as_word(value, folder)}" for name, value in arguments.items()]


def _as_word(value: Any, folder: Path) -> str:
    if isinstance(value, bytes):
        path = folder / "image.png"
        path.write_bytes(value)
        return str(path)
    plain = to_json(_without_classes(value))
    if isinstance(plain, list) and not isinstance(plain[0], dict):
        return ",".join(map(str, plain))
    return plain if isinstance(plain, str) else dumps(plain).decode()


def _without_classes(value: Any) -> Any:
    """Request classes as the objects that somebody types."""
    if attrs.has(type(value)):
        return attrs.asdict(value, filter=lambda _, item: item is not None)
    return [_without_classes(item) for item in value] if isinstance(value, list | tuple) else value
