"""What is read from a declaration: names, wire names, places, types; and what a user sees of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Final

import pytest

from pandapon_async.api import V1, V2, Addresses, Alibaba, Freight, Taobao
from pandapon_async.api.alibaba.goods import Goods
from pandapon_async.api.registry import endpoints, operations
from pandapon_async.api.taobao.refunds import Refunds
from pandapon_async.core.model import Wire
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.arguments import Location, encode_arguments, object_schema
from pandapon_async.declare.call import At, ByGeneration, Call, Resource, call, operation_of
from pandapon_async.declare.endpoint import Endpoint, Evidence, Operation, Stage
from pandapon_async.declare.fields import IntegerField, IntegerIdField, JsonField, TextField, TextIdField
from pandapon_async.declare.response import Response
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.models.alibaba.refunds import CreatedRefund, Refund, RefundReason


class Told(Resource):
    """A caller that only notes what it was asked to do."""

    def __init__(self) -> None:
        super().__init__(self)
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []

    def call(
        self, operation: Operation, arguments: Mapping[str, Any], *, generation: str | None = None
    ) -> Call[Any]:
        self.asked.append((operation.name, generation, dict(arguments)))
        return Call(operation.name, lambda: answer("done"))


async def answer(value: Any) -> Response[Any]:
    return Response(
        value=value,
        request_id="r-1",
        code=200,
        msg=None,
        develop_id=None,
        data=value,
        http_status=200,
        attempts=1,
        history=(),
        seconds=0.5,
        waited=0.0,
    )


class Things(Resource):
    @call(
        "GET",
        v1=At("/a/{thingId}/b", "https://example.org/1"),
        v2=At("/v2/{thingId}", "https://example.org/3", Stage.IN_DEVELOPMENT, Evidence.INFERRED),
        safety=Safety.CHECKED,
    )
    def one(  # type: ignore[empty-body]
        self,
        *,
        thing_id: Annotated[int | str, TextIdField()],
        page_no: Annotated[int, IntegerField(1)] = 1,
        odd: Annotated[str | None, TextField(), Wire("oddName")] = None,
    ) -> Call[list[RefundReason]]:
        """First line.

        Second paragraph.
        """
        ...


class ThingsV1(Things):
    @call("POST", v1=At("/c", "https://example.org/2", Stage.IN_DEVELOPMENT), safety=Safety.READ)
    def two(  # type: ignore[empty-body]
        self, *, anything: Any, order_id: Annotated[int | str, IntegerIdField()] | None = None
    ) -> Call[Any]:
        """Another."""
        ...


class ThingsV2(Things):
    @call("POST", v2=At("/v2/c", "https://example.org/4"), safety=Safety.READ)
    def two(self, *, number: Annotated[int, IntegerField(1)], anything: Any = None) -> Call[Any]:  # type: ignore[empty-body]
        """Another, by number."""
        ...


class AllThings(Things):
    two: Final = ByGeneration(ThingsV1.two, ThingsV2.two)


def generations(method: Any) -> Mapping[str, Endpoint]:
    operation = operation_of(method)
    assert operation is not None
    return operation.generations


def test_names_wire_names_and_places() -> None:
    one, two = generations(Things.one)["v1"], generations(ThingsV1.two)["v1"]
    assert [(p.name, p.wire, p.location, p.required, p.default) for p in one.parameters] == [
        ("thing_id", "thingId", Location.PATH, True, None),
        ("page_no", "pageNo", Location.QUERY, False, 1),
        ("odd", "oddName", Location.QUERY, False, None),
    ]
    assert [(p.wire, p.location, p.rule) for p in two.parameters] == [
        ("anything", Location.BODY, JsonField()),
        ("orderId", Location.BODY, IntegerIdField()),
    ]
    assert one.summary == "First line."
    assert one.response_type == list[RefundReason]
    assert two.response_type is Any
    assert (two.stage, two.safety) == (Stage.IN_DEVELOPMENT, Safety.READ)


def test_the_generations_of_a_declaration_differ_in_path_page_stage_and_evidence_alone() -> None:
    one, other = generations(Things.one)["v1"], generations(Things.one)["v2"]
    assert (other.path, other.page, other.stage, other.evidence) == (
        "/v2/{thingId}",
        "https://example.org/3",
        Stage.IN_DEVELOPMENT,
        Evidence.INFERRED,
    )
    assert (other.name, other.pin) == (one.name, f"v2.{one.name}")
    assert (other.method, other.safety, other.parameters, other.response_type) == (
        one.method,
        one.safety,
        one.parameters,
        one.response_type,
    )


def test_a_method_hands_its_arguments_and_its_generation_to_the_caller() -> None:
    caller = Told()
    AllThings(caller).one(thing_id=1).close()
    AllThings(caller).two(number=3).close()
    ThingsV2(caller, "v2").one(thing_id=2, odd="x").close()
    name = generations(Things.one)["v1"].name
    assert caller.asked == [
        (name, None, {"thing_id": 1}),
        (name.replace("one", "two"), None, {"number": 3}),
        (name, "v2", {"thing_id": 2, "odd": "x"}),
    ]


def test_arguments_go_by_name() -> None:
    things: Any = AllThings(Told())
    with pytest.raises(InvalidArgumentError, match=r"takes keyword arguments only: one\(thing_id=...\)"):
        things.one(1)


def test_methods_know_where_they_are_declared() -> None:
    assert (Things.one.__qualname__, Things.one.__module__) == ("Things.one", __name__)
    assert AllThings.two.__qualname__ == "AllThings.two"
    assert Refunds.page.__qualname__ == "Refunds.page"
    assert (Refunds.pages.__qualname__, Refunds.pages.__name__) == ("Refunds.pages", "pages")
    assert Refunds.pages.__module__ == Refunds.page.__module__ == "pandapon_async.api.taobao.refunds"
    assert Goods.search_pages.__name__ == "search_pages"


def test_the_signature_of_both_generations_has_all_arguments() -> None:
    signature = inspect.signature(AllThings.two)
    assert {name: one.default for name, one in signature.parameters.items() if name != "self"} == {
        "anything": None,
        "order_id": None,
        "number": None,
    }
    assert "In v2: Another, by number." in (inspect.getdoc(AllThings.two) or "")


def test_the_signature_of_a_method_is_the_declared_one() -> None:
    signature = inspect.signature(Alibaba(Told()).refunds.create)
    assert [parameter.kind for parameter in signature.parameters.values()] == [
        inspect.Parameter.KEYWORD_ONLY
    ] * 10
    assert list(signature.parameters)[:4] == [
        "order_id",
        "order_entry_ids",
        "dispute_request",
        "apply_payment",
    ]
    assert signature.parameters["vouchers"].default is None
    assert inspect.signature(V2(Told()).alibaba.refunds.create) == signature
    assert (inspect.getdoc(V1(Told()).alibaba.refunds.create) or "").startswith("Open a refund form")


ROOTS: dict[str, Any] = {"alibaba": Alibaba, "taobao": Taobao, "addresses": Addresses, "freight": Freight}


def group_of(name: str) -> Any:
    """The group that a plain or pinned name leads through."""
    first, *path, _ = name.split(".")
    group = {"v1": V1, "v2": V2}[first](Told(), first) if first in ("v1", "v2") else ROOTS[first](Told())
    for step in path:
        assert getattr(group, step) is getattr(group, step), "groups are made once"
        group = getattr(group, step)
    return group


def test_every_name_leads_to_its_call() -> None:
    assert (len(operations()), len(endpoints())) == (46, 89)
    for name, operation in operations().items():
        assert operation_of(getattr(group_of(name), name.rpartition(".")[2])) is operation
    for name, endpoint in endpoints().items():
        found = operation_of(getattr(group_of(name), name.rpartition(".")[2]))
        assert found is not None
        assert found.generations[endpoint.generation] is endpoint


def test_a_pinned_group_offers_what_its_generation_has_and_nothing_else() -> None:
    for generation in ("v1", "v2"):
        for group in {
            id(type(one)): one for one in map(group_of, endpoints()) if one._generation == generation
        }.values():
            for name in dir(type(group)):
                operation = operation_of(getattr(group, name))
                assert (
                    operation is None
                    or list(operation.generations)[-1:] == [generation]
                    or generation in operation.generations
                )
    assert not hasattr(V2(Told()).taobao.goods, "get_source")
    assert not hasattr(V2(Told()).alibaba.orders, "get")
    assert not hasattr(V2(Told()).taobao.orders, "upload_pay_certificate")


def test_whatever_goes_through_pages_has_a_page_number() -> None:
    found = []
    for group in {type(group_of(name)) for name in operations()}:
        for name in dir(group):
            if name.endswith("pages"):
                found.append(name)
                default = inspect.signature(getattr(group, name)).parameters["page_no"].default
                assert default in (1, None), name  # None: the vendor's own first page
    assert "pages" in found
    assert "search_pages" in found


ALL = endpoints().values()


@pytest.mark.parametrize("endpoint", ALL, ids=lambda endpoint: endpoint.pin)
def test_every_declared_call_is_complete(endpoint: Endpoint) -> None:
    assert endpoint.method in ("GET", "POST", "PUT", "DELETE")
    assert endpoint.path.startswith("/")
    assert " " not in endpoint.path
    assert endpoint.page.startswith("https://")
    assert endpoint.summary.endswith((".", ":")) or len(endpoint.summary) > 10
    assert {f"{{{p.wire}}}" for p in endpoint.parameters if p.location is Location.PATH} == {
        part for part in endpoint.path.split("/") if part.startswith("{")
    }
    assert len({p.wire for p in endpoint.parameters}) == len(endpoint.parameters)
    assert endpoint.response_type is not inspect.Parameter.empty
    schema = object_schema(endpoint.parameters)
    assert set(schema["required"]) <= set(schema["properties"])
    for parameter in endpoint.parameters:
        assert parameter.default is None or parameter.rule.encode(parameter.default) is not None
    assert set(endpoint.key) | set(endpoint.facts) <= {p.wire for p in endpoint.parameters}


@pytest.mark.parametrize("endpoint", ALL, ids=lambda endpoint: endpoint.pin)
def test_every_money_moving_path_is_guarded(endpoint: Endpoint) -> None:
    """Whatever its verb, a path with such a word in it must not be repeated freely."""
    words = ("/cancel", "/create", "/return", "Pay", "/pay", "/confirm")
    moves = any(word in endpoint.path for word in words)
    looks = any(word in endpoint.path.lower() for word in ("preview", "render", "query", "list", "info"))
    assert not (moves and not looks and endpoint.safety.repeatable), endpoint.path


def test_answers_are_typed() -> None:
    assert endpoints()["v1.alibaba.refunds.get"].response_type is Refund
    assert endpoints()["v2.alibaba.refunds.create"].response_type is CreatedRefund


def test_arguments_are_checked_one_by_one() -> None:
    parameters = generations(Things.one)["v1"].parameters
    assert encode_arguments(parameters, {"thing_id": 7}) == {"thingId": "7", "pageNo": 1}
    assert encode_arguments(parameters, {"thing_id": 7, "odd": None}) == {"thingId": "7", "pageNo": 1}
    for given, argument, hint in (
        ({}, "thing_id", "thing_id is required"),
        ({"thing_id": None}, "thing_id", "thing_id is required"),
        ({"thing_id": 1.0}, "thing_id", "thing_id must be an id"),
        ({"thing_id": 1, "page_no": 0}, "page_no", "page_no must be >= 1"),
        ({"thing_id": 1, "pageNo": 1}, "pageNo", "unknown argument pageNo; did you mean page_no"),
        ({"thing_id": 1, "b": 1, "a": 2}, "a", "unknown argument a; known: thing_id, page_no, odd"),
        ({"thing": 1}, "thing", "unknown argument thing; did you mean thing_id"),  # before what is missing
    ):
        with pytest.raises(InvalidArgumentError, match=hint) as caught:
            encode_arguments(parameters, given)
        assert caught.value.argument == argument
    with pytest.raises(InvalidArgumentError, match="known: none"):
        encode_arguments((), {"a": 1})


def test_which_classes_may_be_repeated() -> None:
    assert [safety for safety in Safety if safety.repeatable] == [Safety.READ, Safety.REPEATABLE]
