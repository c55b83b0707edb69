"""Which generation of the API a plain name uses, and what a pin does."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from pandapon_async import Client, ConfigurationError, InvalidArgumentError, Override
from pandapon_async.api.registry import endpoints, operations
from pandapon_async.declare.endpoint import Endpoint, Evidence, Operation, Safety, Stage
from tests.example_arguments import example_arguments
from tests.support.clients import client
from tests.support.server import FaultServer, ok
from tests.support.virtual import virtual_time

D, G, P = Evidence.DOCUMENTED, Evidence.INFERRED, Evidence.PUBLIC_CLIENT
RELEASED, SOON, OLD = Stage.RELEASED, Stage.IN_DEVELOPMENT, Stage.DEPRECATED


SOME = Endpoint("a.b", "GET", "/a", Safety.READ, RELEASED, D, "", None, frozenset())


def operation(**generations: tuple[Stage, Evidence]) -> Operation:
    made = {
        generation: attrs.evolve(SOME, stage=stage, evidence=evidence, generation=generation)
        for generation, (stage, evidence) in generations.items()
    }
    return Operation("a.b", made)


@pytest.mark.parametrize(
    ("generations", "plain", "allowed"),
    [
        ({"v1": (RELEASED, D), "v2": (RELEASED, D)}, ["v2", "v1"], ["v2", "v1"]),
        ({"v1": (RELEASED, D), "v2": (SOON, D)}, ["v1", "v2"], ["v1", "v2"]),
        ({"v1": (SOON, D), "v2": (OLD, D)}, ["v1", "v2"], ["v1", "v2"]),
        ({"v1": (OLD, D), "v2": (RELEASED, D)}, ["v2", "v1"], ["v2", "v1"]),
        ({"v1": (RELEASED, D), "v2": (RELEASED, G)}, ["v1"], ["v1", "v2"]),
        ({"v1": (SOON, D), "v2": (RELEASED, G)}, ["v1"], ["v1", "v2"]),  # documented goes before released
        ({"v1": (RELEASED, P), "v2": (RELEASED, G)}, ["v1"], ["v1", "v2"]),
        ({"v1": (RELEASED, G), "v2": (RELEASED, G)}, ["v2"], ["v2", "v1"]),  # refused when it is prepared
        ({"v1": (RELEASED, D)}, ["v1"], ["v1"]),
    ],
)
def test_the_order_of_the_generations(generations: Any, plain: list[str], allowed: list[str]) -> None:
    made = operation(**generations)
    assert [one.generation for one in made.candidates(allow_inferred=False)] == plain
    assert [one.generation for one in made.candidates(allow_inferred=True)] == allowed


def test_a_preferred_generation_goes_first_where_it_may_be_used() -> None:
    both, one = operation(v1=(SOON, D), v2=(RELEASED, D)), operation(v1=(RELEASED, D), v2=(RELEASED, G))
    for made, allow, expected in ((both, False, "v1"), (one, False, "v1"), (one, True, "v1")):
        assert made.candidates(allow_inferred=allow, preferred="v1")[0].generation == expected
    assert [found.generation for found in one.candidates(allow_inferred=False, preferred="v2")] == ["v1"]
    assert [found.generation for found in one.candidates(allow_inferred=True, preferred="v2")] == ["v2", "v1"]


@virtual_time
async def test_plain_names_use_the_preferred_generation_and_pins_their_own() -> None:
    async with FaultServer(then=ok({"id": "1"})) as server, client(server.url) as pandapon:
        older = pandapon.with_settings(generation="v1")
        assert await path_of(server, older.taobao.refunds.get(refund_id=1)) == "/open/order/refund/query"
        assert (await path_of(server, older.v2.taobao.refunds.get(refund_id=1))).startswith("/v2/")
        assert (await path_of(server, pandapon.taobao.refunds.get(refund_id=1))).startswith("/v2/")


def test_a_corrected_path_permits_an_inferred_generation_but_puts_it_last() -> None:
    made = operation(v1=(RELEASED, D), v2=(RELEASED, G))
    for corrected, expected in ((["v2.a.b"], ["v1", "v2"]), (["a.b"], ["v1"]), (["v1.a.b"], ["v1"])):
        found = made.candidates(allow_inferred=False, corrected=corrected)
        assert [one.generation for one in found] == expected
    guessed = operation(v1=(RELEASED, G), v2=(RELEASED, G))
    assert [one.generation for one in guessed.candidates(allow_inferred=False, corrected=["v1.a.b"])] == [
        "v1"
    ]


def test_no_operation_is_only_inferred_and_six_differ_in_arguments() -> None:
    assert all(one.ranked[0].evidence is not G for one in operations().values())
    assert {name for name, one in operations().items() if not one.same_arguments} == {
        "alibaba.goods.get",
        "alibaba.orders.preview",
        "alibaba.orders.preview_batch",
        "alibaba.orders.create",
        "alibaba.orders.create_batch",
        "taobao.carts.add",
    }


async def path_of(server: FaultServer, call: Any) -> str:
    await call
    return server.requests[-1].target.partition("?")[0]


CART: dict[str, Any] = {
    "sku_id": "1", "mp_id": "2", "mp_sku_id": "3", "item_title": "t", "item_pic": "p", "price": 1,
    "quantity": 1, "shop_id": 5, "shop_name": "s",
}  # fmt: skip


@virtual_time
async def test_the_arguments_choose_where_generations_differ() -> None:
    async with FaultServer(then=ok({})) as server, client(server.url) as pandapon:
        add = pandapon.taobao.carts.add
        assert await path_of(server, add(item_id=1, **CART)) == "/open/cart/add"
        assert await path_of(server, add(item_map_id="m", **CART)) == "/v2/taobao/cart/add"
        with pytest.raises(InvalidArgumentError) as caught:
            add(item_id=1, item_map_id="m", **CART)  # type: ignore[call-overload]
        assert "no generation accepts these arguments together: item_id of v1, item_map_id of v2" in str(
            caught.value
        )
        with pytest.raises(InvalidArgumentError, match="unknown argument item_ids; did you mean item_id"):
            add(item_ids=1, **CART)  # type: ignore[call-overload]
        with pytest.raises(InvalidArgumentError, match="item_map_id is required") as caught:
            add(**CART)
        assert caught.value.endpoint == "taobao.carts.add"
        with pytest.raises(InvalidArgumentError, match="unknown argument item_map_id; did you mean item_id"):
            pandapon.v1.taobao.carts.add(item_map_id="m", **CART)  # type: ignore[call-arg]
        with pytest.raises(InvalidArgumentError, match="unknown argument item_id; did you mean"):
            pandapon.v2.taobao.carts.add(item_id=1, **CART)  # type: ignore[call-arg]


@virtual_time
async def test_an_iterator_is_read_once_whichever_generation_takes_it() -> None:
    async with FaultServer(then=ok({})) as server, client(server.url) as pandapon:
        cargo = iter([{"offer_id": 1, "spec_id": "s", "quantity": 2}])
        address = example_arguments(endpoints()["v1.alibaba.orders.create"])["address_param"]
        given: dict[str, Any] = {"flow": "f", "address_param": address, "cargo_param_list": cargo}
        await pandapon.alibaba.orders.create(**given)
        (seen,) = server.requests
        assert seen.target == "/alibaba/order/create"
        assert b'"quantity":2' in seen.body


@virtual_time
async def test_what_only_an_inferred_generation_takes_is_told() -> None:
    async with FaultServer(then=ok({})) as server, client(server.url) as pandapon:
        with pytest.raises(InvalidArgumentError) as caught:
            pandapon.alibaba.goods.get(offer_id="f6vE-dfY1NV37oG")
        assert (
            "v2 accepts it, but its path is only inferred; VendorProfile(allow_inferred=True) permits it"
            in str(caught.value)
        )
        willing = pandapon.with_settings(allow_inferred=True)
        assert await path_of(server, willing.alibaba.goods.get(offer_id="f6vE-dfY1NV37oG")) == (
            "/v2/alibaba/product/detail/get"
        )
        assert await path_of(server, willing.alibaba.goods.get(offer_id=7)) == "/alibaba/product/detail/get"


@virtual_time
async def test_a_pin_is_kept_and_an_inferred_one_refused_where_it_is_made() -> None:
    async with FaultServer(then=ok({"id": "1"})) as server, client(server.url) as pandapon:
        assert (
            await path_of(server, pandapon.v1.taobao.refunds.get(refund_id=1)) == "/open/order/refund/query"
        )
        assert (
            await path_of(server, pandapon.taobao.refunds.get(refund_id=1)) == "/v2/taobao/order/refund/query"
        )
        with pytest.raises(ConfigurationError, match=r'overrides=\{"v2\.alibaba\.refunds\.get"'):
            pandapon.v2.alibaba.refunds.get(refund_id="TQ1")
        told = {"v2.alibaba.refunds.get": Override(path="/told")}  # as the error says
        corrected = pandapon.with_settings(overrides=told)
        assert await path_of(server, corrected.v2.alibaba.refunds.get(refund_id="TQ1")) == "/told"
        assert not hasattr(pandapon.v2.alibaba.orders, "get")


def paths(server: FaultServer) -> list[str]:
    return [seen.target.partition("?")[0] for seen in server.requests]


async def both(pandapon: Client) -> None:
    for group in (pandapon, pandapon.v1, pandapon.v2):
        await group.taobao.refunds.get(refund_id=1)


@virtual_time
async def test_an_override_holds_for_the_generation_that_the_plain_name_means() -> None:
    async with FaultServer(then=ok({"id": "1"})) as server:
        for overrides, expected in (
            ({"taobao.refunds.get": Override(path="/new")}, ["/new", "/open/order/refund/query", "/new"]),
            ({"v2.taobao.refunds.get": Override(path="/new")}, ["/new", "/open/order/refund/query", "/new"]),
            (
                {"v1.taobao.refunds.get": Override(path="/old")},
                ["/v2/taobao/order/refund/query", "/old", "/v2/taobao/order/refund/query"],
            ),
            (
                {"taobao.refunds.get": Override(path="/new"), "v2.taobao.refunds.get": Override(path="/pin")},
                ["/pin", "/open/order/refund/query", "/pin"],
            ),
        ):
            async with client(server.url, overrides=overrides) as pandapon:
                del server.requests[:]
                await both(pandapon)
                assert paths(server) == expected
