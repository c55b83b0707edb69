"""How a call is declared, once.

A declaration is a method without a body, in `pandapon_async.api`: its signature names the
arguments and their rules, its return type the answer's model, its docstring the rest, and `@call`
adds what the wire needs. The typed method, the command line's `call`, the exported schema, the
sandbox's route and the contract tests are all read from it.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
import re
import typing
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, Protocol, TypeVar

import attrs

from pandapon_async.core.model import Wire, camel
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.fields import Field, JsonField
from pandapon_async.errors import InvalidArgumentError, MalformedResponseError

if TYPE_CHECKING:
    from pandapon_async.declare.response import Response

__all__ = [
    "Call",
    "Caller",
    "Endpoint",
    "Evidence",
    "Location",
    "Parameter",
    "Resource",
    "Safety",
    "Signing",
    "Stage",
    "call",
    "encode_arguments",
    "endpoints",
    "object_schema",
    "paged",
    "parameters_of_class",
    "twin",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])


class Stage(enum.StrEnum):
    """What the vendor's page says of the call."""

    RELEASED = "released"
    IN_DEVELOPMENT = "in development"
    DEPRECATED = "to be deprecated"


class Evidence(enum.StrEnum):
    """Where the path was read."""

    DOCUMENTED = "documented"  # on a page of the vendor
    PUBLIC_CLIENT = "public client"  # in the source of a public client
    INFERRED = "inferred"  # by the pattern of its twin in the other generation


class Signing(enum.StrEnum):
    """Where the proof of who is calling goes."""

    HEADERS = "headers"  # access-key, timestamp, nonce-str, user-id and signature
    QUERY = "query"  # timestamp and sign in the query (warehouse logistics); how sign is made is not known


class Location(enum.StrEnum):
    """Where an argument goes."""

    PATH = "path"
    QUERY = "query"
    BODY = "body"


@attrs.define(frozen=True)
class Parameter:
    """One argument: its Python name, its wire name, its rule, where it goes."""

    name: str
    wire: str
    rule: Field
    location: Location
    required: bool
    default: Any = None


@attrs.define(frozen=True, eq=False, slots=False)
class Endpoint:
    """One declared call. `signature` is the declaration itself; all else is read from it."""

    name: str
    method: str
    path: str
    safety: Safety
    stage: Stage
    evidence: Evidence
    page: str
    confirmed_by: str | None
    unclear_codes: frozenset[str]
    declaration: Callable[..., Any] | None = None
    signing: Signing = Signing.HEADERS
    key: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def operation(self) -> str:
        """The name without its generation: both generations of a call do the same to the same thing."""
        return re.sub(r"^v\d+\.", "", self.name)

    @cached_property
    def repeatable(self) -> bool:
        """Whether an attempt of unknown outcome may be sent again."""
        return self.safety.repeatable

    @cached_property
    def releases_money(self) -> bool:
        """Whether it is never carried out without being told so explicitly."""
        return self.safety is Safety.NEVER_AUTOMATIC

    @cached_property
    def signs_in_query(self) -> bool:
        """Whether the signature goes into the query."""
        return self.signing is Signing.QUERY

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The arguments, in the order of the declaration; resolved on first use."""
        if self.declaration is None:
            return ()
        hints = typing.get_type_hints(self.declaration, include_extras=True)
        found = []
        for name, parameter in inspect.signature(self.declaration).parameters.items():
            if name == "self":
                continue
            required = parameter.default is inspect.Parameter.empty
            default = None if required else parameter.default
            found.append(self._parameter(name, hints[name], required=required, default=default))
        return tuple(found)

    def _parameter(self, name: str, hint: Any, *, required: bool, default: Any) -> Parameter:
        rule, wire = _rule_and_wire(name, hint)
        if f"{{{wire}}}" in self.path:
            location = Location.PATH
        else:
            location = Location.QUERY if self.method == "GET" else Location.BODY
        return Parameter(name, wire, rule, location, required, default)

    @cached_property
    def response_type(self) -> Any:
        """The type of the envelope's data, from the declaration's `Call[...]`."""
        if self.declaration is None:
            return Any
        returned = typing.get_type_hints(self.declaration, include_extras=True)["return"]
        (argument,) = typing.get_args(returned)
        return argument

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.declaration) or "").partition("\n")[0]


_registry: dict[str, Endpoint] = {}


def endpoints() -> Mapping[str, Endpoint]:
    """Every declared call by name, in the order of declaration."""
    import pandapon_async.api  # noqa: F401  (declaring is importing)

    return _registry


class Caller(Protocol):
    """What a group of calls stands on: the client, or anything that can carry out a declaration."""

    def call(self, endpoint: Endpoint, arguments: Mapping[str, Any]) -> Call[Any]: ...


class Resource:
    """A room of the API: holds declarations, knows whom to ask."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller


class Call(Coroutine[Any, Any, T_co]):
    """A call on its way: await it for the typed result.

    `await call.with_response()` gives the result together with the envelope and the attempts. A call
    can be awaited once, and may be handed to `asyncio.create_task`, `gather` or a task group.
    """

    __slots__ = ("_answer",)

    def __init__(self, answer: Coroutine[Any, Any, Response[T_co]]) -> None:
        self._answer = answer

    def with_response(self) -> Coroutine[Any, Any, Response[T_co]]:
        """The same call, giving a `Response` instead of its value alone."""
        return self._answer

    def __await__(self) -> Generator[Any, Any, T_co]:
        response = yield from self._answer.__await__()
        return response.value

    def send(self, value: Any, /) -> Any:
        try:
            return self._answer.send(value)
        except StopIteration as end:
            raise StopIteration(end.value.value) from None

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: BaseException | object = None,
        trace: TracebackType | None = None,
        /,
    ) -> Any:
        error = kind if isinstance(kind, BaseException) else value
        try:
            # The three forms of throw, which only the interpreter uses.
            return self._answer.throw(error if isinstance(error, BaseException) else kind())  # type: ignore[operator]
        except StopIteration as end:
            raise StopIteration(end.value.value) from None

    def close(self) -> None:
        self._answer.close()


def call(
    method: str,
    path: str,
    *,
    safety: Safety,
    page: str,
    stage: Stage = Stage.RELEASED,
    evidence: Evidence = Evidence.DOCUMENTED,
    confirmed_by: str | None = None,
    unclear_codes: tuple[str, ...] = (),
    signing: Signing = Signing.HEADERS,
    key: tuple[str, ...] = (),
    facts: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Turn a method without a body into a call of the API.

    `page` is the vendor page it rests on. `confirmed_by` names the field of the data that says whether
    the operation was accepted ("success"), or "data" where the data itself says it; `unclear_codes`
    are inner error codes after which the operation may have been carried out all the same. `signing`
    is for the few calls that carry their signature in the query. Of a write, `key` names the
    arguments (by wire name) that make two of them the same one, all if empty, and `facts` those that
    are needed to find out what became of it.
    """

    def declare(function: F) -> F:
        return _method(
            function,
            Endpoint(
                name=_name(function.__module__, function.__name__),
                method=method,
                path=path,
                safety=safety,
                stage=stage,
                evidence=evidence,
                page=page,
                confirmed_by=confirmed_by,
                unclear_codes=frozenset(unclear_codes),
                declaration=function,
                signing=signing,
                key=key,
                facts=facts,
            ),
        )

    return declare


def twin(
    original: Callable[Concatenate[Any, P], Call[T]],
    path: str,
    *,
    room: str,
    page: str,
    stage: Stage | None = None,
    evidence: Evidence = Evidence.DOCUMENTED,
) -> Callable[Concatenate[Any, P], Call[T]]:
    """The same call of the other generation: all is taken over but the path and the page.

    `room` is the module it is declared in (`__name__`).
    """
    endpoint: Endpoint = original.endpoint  # type: ignore[attr-defined]  # set by `_method`
    return _method(
        original,
        attrs.evolve(
            endpoint,
            name=_name(room, original.__name__),
            path=path,
            page=page,
            stage=stage or endpoint.stage,
            evidence=evidence,
        ),
    )


def _name(module: str, function: str) -> str:
    return f"{module.partition('.api.')[2] or module}.{function}"


def _method(declared: F, endpoint: Endpoint) -> F:
    """The method that carries out a declaration, known to the registry from now on."""

    @functools.wraps(declared)
    def method_of_group(self: Resource, **arguments: Any) -> Any:
        return self._caller.call(endpoint, arguments)

    method_of_group.endpoint = endpoint  # type: ignore[attr-defined]  # functions take attributes
    _registry[endpoint.name] = endpoint
    return typing.cast(F, method_of_group)


class Page(Protocol[T]):
    """A page of a list: its items, and how many there are in all where the vendor says."""

    @property
    def items(self) -> list[T]: ...
    @property
    def total(self) -> int | None: ...


def paged(
    page: Callable[Concatenate[Any, P], Call[Page[T]]],
) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """The iterator over all items of all pages, from the declaration of one page.

    It ends at the stated total or, where none is stated, at the first empty page: a short page does
    not end it, since a server may cap the page size. A total below the size of its own page is not
    believed. A page that repeats the one before it is an error. While the items of one page are handed
    out, the next is on its way; leaving early cancels it.
    """

    async def pages(self: Resource, *args: P.args, **arguments: P.kwargs) -> AsyncIterator[T]:
        def ask(number: int) -> asyncio.Future[Page[T]]:
            # The same arguments with another page: no type says so.
            return asyncio.ensure_future(page(self, *args, **{**arguments, "page_no": number}))  # type: ignore[arg-type]

        first = arguments.pop("page_no", None)
        number = 1 if first is None else typing.cast(int, first)
        seen = 0
        before: list[T] | None = None
        upcoming = ask(number)
        try:
            while True:
                current = await upcoming
                items = current.items
                if items and items == before:
                    endpoint: Endpoint | None = getattr(page, "endpoint", None)
                    raise MalformedResponseError(
                        f"page {number} repeats page {number - 1}", endpoint=endpoint and endpoint.name
                    )
                seen += len(items)
                last = not items or (current.total is not None and len(items) <= current.total <= seen)
                if not last:  # one page ahead, and never more
                    upcoming = ask(number + 1)
                for item in items:
                    yield item
                if last:
                    return
                before, number = items, number + 1
        finally:
            upcoming.cancel()
            await asyncio.wait([upcoming])
            if not upcoming.cancelled():
                upcoming.exception()  # looked at, so that nobody warns of it

    pages.__doc__ = f"All pages of `{page.__name__}`, item by item; takes the same arguments."
    pages.__signature__ = inspect.signature(page)  # type: ignore[attr-defined]  # functions take attributes
    return typing.cast("Callable[Concatenate[Any, P], AsyncIterator[T]]", pages)


def _rule_and_wire(name: str, hint: Any) -> tuple[Field, str]:
    """The rule and the wire name that an annotation carries, `| None` looked through."""
    wire = camel(name)
    rule: Field | None = None
    pending = [hint]
    while pending:
        part = pending.pop()
        if typing.get_origin(part) is Annotated:
            inner, *marks = typing.get_args(part)
            for mark in marks:
                if isinstance(mark, Wire):
                    wire = mark.name
                elif hasattr(mark, "encode"):
                    rule = mark
            pending.append(inner)
        elif rule is None:
            pending.extend(one for one in typing.get_args(part) if typing.get_origin(one) is Annotated)
    return rule or JsonField(), wire


@functools.cache
def parameters_of_class(kind: Any) -> tuple[Parameter, ...]:
    """The fields of a request class, read like the arguments of a call."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for field in attrs.fields(kind):
        rule, wire = _rule_and_wire(field.name, hints[field.name])
        required = field.default is attrs.NOTHING
        default = None if required else field.default
        found.append(Parameter(field.name, wire, rule, Location.BODY, required, default))
    return tuple(found)


def encode_arguments(parameters: tuple[Parameter, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The wire form of the arguments by wire name; None means not given.

    Raises InvalidArgumentError for an unknown, missing or refused argument.
    """
    encoded: dict[str, Any] = {}
    known = 0
    for parameter in parameters:
        if parameter.name in given:
            known += 1
            value = given[parameter.name]
        else:
            value = parameter.default
        if value is None:
            if parameter.required:
                raise InvalidArgumentError(f"{parameter.name} is required", argument=parameter.name)
            continue
        try:
            encoded[parameter.wire] = parameter.rule.encode(value)
        except ValueError as error:
            raise InvalidArgumentError(f"{parameter.name} {error}", argument=parameter.name) from None
    if known < len(given):
        unknown = sorted(map(str, given.keys() - {parameter.name for parameter in parameters}))
        names = ", ".join(parameter.name for parameter in parameters) or "none"
        raise InvalidArgumentError(f"unknown argument {unknown[0]}; known: {names}", argument=unknown[0])
    return encoded


def object_schema(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """The JSON schema of an object of these parameters."""
    return {
        "type": "object",
        "properties": {parameter.wire: parameter.rule.schema() for parameter in parameters},
        "required": [parameter.wire for parameter in parameters if parameter.required],
    }
