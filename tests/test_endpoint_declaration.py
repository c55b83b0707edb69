"""What is read from a declaration: names, wire names, places, types; and what a user sees of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import pytest

from pandapon_async.api import V1, V2
from pandapon_async.core.model import Wire
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import (
    Call,
    Endpoint,
    Location,
    Resource,
    Stage,
    call,
    encode_arguments,
    endpoints,
    object_schema,
    twin,
)
from pandapon_async.declare.fields import IntegerField, IntegerIdField, JsonField, TextField, TextIdField
from pandapon_async.declare.response import Response
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.models.alibaba.refunds import CreatedRefund, Refund, RefundReason


class Told(Resource):
    """A caller that only notes what it was asked to do."""

    def __init__(self) -> None:
        super().__init__(self)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def call(self, endpoint: Endpoint, arguments: Mapping[str, Any]) -> Call[Any]:
        self.asked.append((endpoint.name, dict(arguments)))
        return Call(answer(f"answer {len(self.asked)}"))


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


@pytest.fixture
def declared() -> Any:
    """Declarations of our own, gone from the registry afterwards."""
    before = dict(endpoints())

    class Room(Resource):
        @call("GET", "/a/{thingId}/b", safety=Safety.CHECKED, page="https://example.org/1")
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

        @call("POST", "/c", safety=Safety.READ, page="https://example.org/2", stage=Stage.IN_DEVELOPMENT)
        def two(  # type: ignore[empty-body]
            self, *, anything: Any, order_id: Annotated[int | str, IntegerIdField()] | None = None
        ) -> Call[Any]:
            """Another."""
            ...

        other = twin(one, "/v2/{thingId}", room="here.api.v2.room", page="https://example.org/3")

    yield Room
    registry: dict[str, Endpoint] = endpoints()  # type: ignore[assignment]
    for name in registry.keys() - before.keys():
        del registry[name]


def test_names_wire_names_and_places(declared: Any) -> None:
    one, two = declared.one.endpoint, declared.two.endpoint
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


def test_a_twin_takes_everything_over_but_its_path_and_page(declared: Any) -> None:
    one, other = declared.one.endpoint, declared.other.endpoint
    assert (other.name, other.path, other.page) == ("v2.room.one", "/v2/{thingId}", "https://example.org/3")
    assert (other.method, other.safety, other.parameters, other.response_type) == (
        one.method,
        one.safety,
        one.parameters,
        one.response_type,
    )
    assert endpoints()["v2.room.one"] is other


def test_a_method_hands_its_arguments_to_the_caller(declared: Any) -> None:
    caller = Told()
    room = declared(caller)
    room.one(thing_id=1).close()
    room.other(thing_id=2, odd="x").close()
    assert caller.asked == [
        (declared.one.endpoint.name, {"thing_id": 1}),
        ("v2.room.one", {"thing_id": 2, "odd": "x"}),
    ]
    with pytest.raises(TypeError):
        room.one(1)


def test_the_signature_of_a_method_is_the_declared_one() -> None:
    signature = inspect.signature(V1.alibaba.func(V1(Told())).refunds.create)  # type: ignore[attr-defined]
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


def test_the_rooms_of_the_api_lead_to_their_calls() -> None:
    for name, endpoint in endpoints().items():
        room: Any = Told()
        generation, *path, method = name.split(".")
        room = {"v1": V1, "v2": V2}[generation](Told())
        for step in path:
            assert getattr(room, step) is getattr(room, step), "rooms are made once"
            room = getattr(room, step)
        assert getattr(room, method).endpoint is endpoint


def test_whatever_goes_through_pages_has_a_page_number() -> None:
    found = []
    for room in {type(room) for room in rooms()}:
        for name, method in vars(room).items():
            if inspect.isasyncgenfunction(method):
                found.append(name)
                assert inspect.signature(method).parameters["page_no"].default == 1, name
    assert "pages" in found


def rooms() -> list[Any]:
    found: list[Any] = []
    for name in endpoints():
        generation, *path, _ = name.split(".")
        room: Any = {"v1": V1, "v2": V2}[generation](Told())
        for step in path:
            room = getattr(room, step)
        found.append(room)
    return found


ALL = endpoints().values()


@pytest.mark.parametrize("endpoint", ALL, ids=lambda endpoint: endpoint.name)
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


@pytest.mark.parametrize("endpoint", ALL, ids=lambda endpoint: endpoint.name)
def test_every_money_moving_path_is_guarded(endpoint: Endpoint) -> None:
    """Whatever its verb, a path with such a word in it must not be repeated freely."""
    words = ("/cancel", "/create", "/return", "Pay", "/pay", "/confirm")
    moves = any(word in endpoint.path for word in words)
    looks = any(word in endpoint.path.lower() for word in ("preview", "render", "query", "list", "info"))
    assert not (moves and not looks and endpoint.safety.repeatable), endpoint.path


def test_answers_are_typed() -> None:
    assert endpoints()["v1.alibaba.refunds.get"].response_type is Refund
    assert endpoints()["v2.alibaba.refunds.create"].response_type is CreatedRefund


def test_arguments_are_checked_one_by_one(declared: Any) -> None:
    parameters = declared.one.endpoint.parameters
    assert encode_arguments(parameters, {"thing_id": 7}) == {"thingId": "7", "pageNo": 1}
    assert encode_arguments(parameters, {"thing_id": 7, "odd": None}) == {"thingId": "7", "pageNo": 1}
    for given, argument, hint in (
        ({}, "thing_id", "thing_id is required"),
        ({"thing_id": None}, "thing_id", "thing_id is required"),
        ({"thing_id": 1.0}, "thing_id", "thing_id must be an id"),
        ({"thing_id": 1, "page_no": 0}, "page_no", "page_no must be >= 1"),
        ({"thing_id": 1, "pageNo": 1}, "pageNo", "unknown argument pageNo; known: thing_id, page_no, odd"),
        ({"thing_id": 1, "b": 1, "a": 2}, "a", "unknown argument a"),
    ):
        with pytest.raises(InvalidArgumentError, match=hint) as caught:
            encode_arguments(parameters, given)
        assert caught.value.argument == argument
    with pytest.raises(InvalidArgumentError, match="known: none"):
        encode_arguments((), {"a": 1})


def test_which_classes_may_be_repeated() -> None:
    assert [safety for safety in Safety if safety.repeatable] == [Safety.READ, Safety.REPEATABLE]
