"""Declare a call once; users get a typed method from the declaration.

A declaration is a method without a body, in `pandapon_async.api`: its signature names the arguments and their
rules, its return type the answer's model, its docstring the rest, and `@call` adds what the wire needs in
each generation of the API. The typed method, the command `pandapon call`, the exported schema, the sandbox's
route and the contract tests all come from this declaration.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
import typing
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar, overload

import attrs

from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Endpoint, Evidence, Operation, Scope, Signing, Stage
from pandapon_async.errors import InvalidArgumentError, MalformedResponseError

if TYPE_CHECKING:
    from pandapon_async.declare.response import Response

__all__ = ["At", "ByGeneration", "Call", "Caller", "Resource", "Subresource", "call", "operation_of", "paged"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")
T1_co = TypeVar("T1_co", covariant=True)
T2_co = TypeVar("T2_co", covariant=True)
P1 = ParamSpec("P1")
P2 = ParamSpec("P2")
F = TypeVar("F", bound=Callable[..., Any])

MOST_ITEMS: Final = 200
"""The most items that a request asks for; the vendor's pages name no limit."""


class _Pending(Coroutine[Any, Any, R_co]):
    """An awaitable that creates its coroutine when awaited, so a call that nobody awaits leaks nothing."""

    __slots__ = ("_make", "_name", "_running")

    def __init__(self, name: str, make: Callable[[], Coroutine[Any, Any, Any]] | None) -> None:
        self._name = name
        self._make = make
        self._running: Coroutine[Any, Any, Any] | None = None

    def _start(self) -> Coroutine[Any, Any, Any]:
        make, self._make = self._make, None
        if make is None:
            raise RuntimeError(f"the call {self._name} was awaited before; call the method again")
        self._running = make()
        return self._running

    def _value(self, response: Response[Any]) -> Any:
        """The coroutine's result, as the caller gets it."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, Any, R_co]:
        response = yield from self._start().__await__()
        return self._value(response)  # type: ignore[no-any-return]  # as the subclass says

    def send(self, value: Any, /) -> Any:
        running = self._running or self._start()
        try:
            return running.send(value)
        except StopIteration as end:
            raise StopIteration(self._value(end.value)) from None

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: BaseException | object = None,
        trace: types.TracebackType | None = None,
        /,
    ) -> Any:
        running = self._running or self._start()
        error = kind if isinstance(kind, BaseException) else value
        try:
            # The three signatures of throw; only the interpreter uses the last two.
            return running.throw(error if isinstance(error, BaseException) else kind())  # type: ignore[operator]
        except StopIteration as end:
            raise StopIteration(self._value(end.value)) from None

    def close(self) -> None:
        self._make = None
        if self._running is not None:
            self._running.close()

    def __del__(self) -> None:
        if self._make is not None:
            self._make = None
            warnings.warn(
                f"the call {self._name} was never awaited", RuntimeWarning, stacklevel=2, source=self
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    @property
    def __name__(self) -> str:  # pyright: ignore  # to pyright, every coroutine has it as an attribute
        """The name of the call; asyncio shows it in the repr of a task."""
        return self._name


class Call(_Pending[T_co]):
    """A call: await it for the typed result.

    `await call.with_response()` returns the result with its envelope and attempts. A call can be awaited
    once; you can also pass it to `asyncio.create_task`, `gather` or a task group.
    """

    __slots__ = ()

    def __init__(self, name: str, make: Callable[[], Coroutine[Any, Any, Response[T_co]]]) -> None:
        super().__init__(name, make)

    def with_response(self) -> Coroutine[Any, Any, Response[T_co]]:
        """Return the same call with a `Response` as its result."""
        make, self._make = self._make, None
        return _WithResponse(self._name, make)

    def _value(self, response: Response[Any]) -> Any:
        return response.value


class _WithResponse(_Pending[R_co]):
    __slots__ = ()

    def _value(self, response: Response[Any]) -> Any:
        return response


class Caller(Protocol):
    """What a group of calls uses: the client, or any object that can carry out a declaration."""

    def call(
        self, operation: Operation, arguments: Mapping[str, Any], *, generation: str | None = None
    ) -> Call[Any]:
        """Carry out an operation; `generation` pins it, None lets the client choose."""
        ...


class Resource:
    """A group of calls: its declarations, their executor, and the generation that pins them."""

    def __init__(self, caller: Caller, generation: str | None = None) -> None:
        self._caller = caller
        self._generation = generation


G = TypeVar("G", bound=Resource)


class Subresource(Generic[G]):
    """A group within a group, created on first access."""

    def __init__(self, kind: type[G]) -> None:
        self._kind = kind
        self.__doc__ = kind.__doc__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> type[G]: ...
    @overload
    def __get__(self, instance: Resource, owner: type[Any]) -> G: ...
    def __get__(self, instance: Resource | None, owner: type[Any]) -> G | type[G]:
        if instance is None:
            return self._kind
        made = self._kind(instance._caller, instance._generation)
        instance.__dict__[self._name] = made  # later lookups find it there
        return made


@attrs.define(frozen=True)
class At:
    """The endpoint of an operation in one generation.

    Args:
        path: The path; `{wireName}` is replaced by that argument.
        page: The vendor's page that documents it.
        stage: The status on that page: released, in development, or to be deprecated.
        evidence: The source of the path.
    """

    path: str
    page: str
    stage: Stage = Stage.RELEASED
    evidence: Evidence = Evidence.DOCUMENTED


def call(
    method: str,
    *,
    v1: At | None = None,
    v2: At | None = None,
    safety: Safety,
    confirmed_by: str | None = None,
    unclear_codes: tuple[str, ...] = (),
    authorisation_codes: tuple[str, ...] = (),
    later_codes: tuple[str, ...] = (),
    signing: Signing = Signing.HEADERS,
    key: tuple[str, ...] = (),
    facts: tuple[str, ...] = (),
    scope: Scope = Scope.ACCOUNT,
    subjects: tuple[str, ...] = (),
    place_known: bool = True,
) -> Callable[[F], F]:
    """Turn a method without a body into a call of the API.

    Args:
        method: The HTTP verb.
        v1, v2: The endpoint in each generation that has the call.
        safety: What the client may do if the answer is lost.
        confirmed_by: The field of the data that says whether the operation was accepted ("success"), or
            "data" if the data itself says it.
        unclear_codes: Inner error codes after which the operation may have been carried out nevertheless.
        authorisation_codes: Inner error codes that refuse the account itself, and so all of its calls.
        later_codes: Inner error codes of a check that may succeed later; nothing was carried out.
        signing: Where the signature goes; a few calls have it in the query.
        key: For a write, the arguments (wire names) that make two writes the same one.
        facts: For a write, the arguments (wire names) that show its result in a later read.
        scope: For a write, where its key is unique: for the whole vendor if the key has an id of the
            platform, else within the sub-account.
        subjects: For a write, the arguments (wire names) that name its subject, from the whole to its parts.
            An open write blocks a second one about the same subject.
        place_known: For a read, whether the pages agree on the place of its arguments (body or query).
    """

    def declare(function: F) -> F:
        name = _name(function)
        generations = {
            generation: Endpoint(
                name=name,
                method=method,
                path=at.path,
                safety=safety,
                stage=at.stage,
                evidence=at.evidence,
                page=at.page,
                confirmed_by=confirmed_by,
                unclear_codes=frozenset(unclear_codes),
                authorisation_codes=frozenset(authorisation_codes),
                later_codes=frozenset(later_codes),
                declaration=function,
                signing=signing,
                key=key,
                facts=facts,
                scope=scope,
                subjects=subjects,
                generation=generation,
                place_known=place_known,
            )
            for generation, at in (("v1", v1), ("v2", v2))
            if at is not None
        }
        return typing.cast(F, _method(function, Operation(name, generations)))

    return declare


def _name(function: Callable[..., Any]) -> str:
    module = function.__module__
    return f"{module.partition('.api.')[2] or module}.{function.__name__}"


def _method(declared: Callable[..., Any], operation: Operation) -> Callable[..., Any]:
    """Make the method that carries out a declaration."""

    @functools.wraps(declared)
    def method_of_group(self: Resource, *by_position: Any, **arguments: Any) -> Any:
        if by_position:
            raise InvalidArgumentError(
                f"{operation.name} takes keyword arguments only: {_example(operation)}",
                endpoint=operation.name,
            )
        return self._caller.call(operation, arguments, generation=self._generation)

    method_of_group.operation = operation  # type: ignore[attr-defined]  # functions take attributes
    return method_of_group


def _example(operation: Operation) -> str:
    names = [parameter.name for parameter in operation.ranked[0].parameters[:1]]
    return f"{operation.name.rpartition('.')[2]}({''.join(f'{name}=...' for name in names)})"


def operation_of(method: object) -> Operation | None:
    """Return the operation of a group's method; None for anything else."""
    found = getattr(method, "operation", None)
    return found if isinstance(found, Operation) else None


class _EitherCall(Protocol[P1, T1_co, P2, T2_co]):
    """A method that accepts the arguments of either generation."""

    @overload
    def __call__(self, *args: P1.args, **arguments: P1.kwargs) -> T1_co: ...
    @overload
    def __call__(self, *args: P2.args, **arguments: P2.kwargs) -> T2_co: ...
    def __call__(self, *args: Any, **arguments: Any) -> Any: ...


class ByGeneration(Generic[P1, T1_co, P2, T2_co]):
    """Merge two declarations of an operation whose arguments differ by generation.

    The result accepts the arguments of either. Type checkers see an overload of the two declarations, so no
    signature is written twice.
    """

    def __init__(
        self,
        v1: Callable[Concatenate[Any, P1], T1_co],
        v2: Callable[Concatenate[Any, P2], T2_co],
    ) -> None:
        first, second = operation_of(v1), operation_of(v2)
        assert first is not None
        assert second is not None
        assert first.name == second.name
        both = Operation(first.name, {**first.generations, **second.generations})
        assert len({endpoint.safety for endpoint in both.generations.values()}) == 1, (
            "the generations of an operation must have one safety class"
        )
        self._method = _method(typing.cast("Any", v1).__wrapped__, both)
        self._method.__signature__ = _either_signature(v1, v2)  # type: ignore[attr-defined]
        self._method.__doc__ = f"{inspect.getdoc(v1)}\n\nIn v2: {inspect.getdoc(v2)}"

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._method.__qualname__ = f"{owner.__qualname__}.{name}"

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Callable[..., T1_co | T2_co]: ...
    @overload
    def __get__(self, instance: Resource, owner: type[Any]) -> _EitherCall[P1, T1_co, P2, T2_co]: ...
    def __get__(self, instance: Resource | None, owner: type[Any]) -> Any:
        return self._method if instance is None else types.MethodType(self._method, instance)


def _either_signature(v1: Callable[..., Any], v2: Callable[..., Any]) -> inspect.Signature:
    """The signature for `help`: the arguments of both; one is required if both require it."""
    both = [inspect.signature(v1).parameters, inspect.signature(v2).parameters]
    merged = {}
    for name in {**both[0], **both[1]}:
        found = [parameters[name] for parameters in both if name in parameters]
        optional = [one for one in found if one.default is not inspect.Parameter.empty]
        everywhere = len(found) == len(both)
        chosen = found[0] if everywhere and not optional else (optional or found)[0]
        if not everywhere and not optional:
            chosen = chosen.replace(default=None)
        merged[name] = chosen
    return inspect.Signature(list(merged.values()))


class Page(Protocol[T]):
    """A page of a list: its items, and the total number if the vendor states it."""

    @property
    def items(self) -> list[T]: ...
    @property
    def total(self) -> int | None: ...


def paged(
    page: Callable[Concatenate[Any, P], Call[Page[T]]],
    *,
    by_profile: bool = False,
    identity: Callable[[T], object] | None = None,
) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """Make an iterator over the items of all pages from the declaration of one page.

    The iterator ends at the stated total or, without one, at the first empty page. A short page does not end
    it, because a server may limit the page size. A total below the size of its own page is ignored. A page
    that repeats the one before is an error. While the items of one page are consumed, the next page is
    fetched; leaving early cancels that. The arguments are checked when the method is called. `by_profile`:
    the vendor's profile sets the number of the first page and the page size. `identity` returns an item's
    identity, for items with fields that change by themselves, such as a countdown.
    """

    def pages(self: Resource, *args: P.args, **arguments: P.kwargs) -> AsyncIterator[T]:
        first = arguments.pop("page_no", None)
        if by_profile:
            client: Any = self._caller
            facts = client.settings.vendor.list
            first = facts.first_page if first is None else first
            if facts.largest_page is not None:
                arguments.setdefault("page_size", min(facts.largest_page, MOST_ITEMS))
        number = 1 if first is None else typing.cast(int, first)
        operation = operation_of(page)
        same = _with_files_read_once(operation, arguments)

        def ask(number: int) -> Call[Page[T]]:
            return page(self, *args, **{**same, "page_no": number})

        ask(number).close()  # raises here if an argument is wrong
        return _items(ask, number, operation, identity)

    pages.__doc__ = f"Iterate over the items of all pages of `{page.__name__}`; takes the same arguments."
    pages.__name__ = "pages" if page.__name__ == "page" else f"{page.__name__}_pages"
    pages.__qualname__ = f"{page.__qualname__.rpartition('.')[0]}.{pages.__name__}".removeprefix(".")
    pages.__module__ = page.__module__
    pages.__signature__ = inspect.signature(page)  # type: ignore[attr-defined]  # functions take attributes
    return typing.cast("Callable[Concatenate[Any, P], AsyncIterator[T]]", pages)


def _with_files_read_once(operation: Operation | None, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Make the arguments reusable for every page: an open file is read once and kept."""
    from pandapon_async.declare.fields import ImageField, ImageFile

    given = dict(arguments)
    for parameter in operation.ranked[0].parameters if operation else ():
        if isinstance(parameter.rule, ImageField) and hasattr(given.get(parameter.name), "read"):
            given[parameter.name] = ImageFile(given[parameter.name], parameter.rule)
    return given


async def _items(
    ask: Callable[[int], Call[Page[T]]],
    number: int,
    operation: Operation | None,
    identity: Callable[[T], object] | None,
) -> AsyncIterator[T]:
    seen = 0
    before: Sequence[object] | None = None
    upcoming = asyncio.ensure_future(ask(number))
    try:
        while True:
            current = await upcoming
            items = current.items
            known = items if identity is None else [identity(item) or item for item in items]
            if items and known == before:
                raise MalformedResponseError(
                    f"page {number} repeats page {number - 1}", endpoint=operation and operation.name
                )
            seen += len(items)
            last = not items or (current.total is not None and len(items) <= current.total <= seen)
            if not last:  # one page ahead, and never more
                upcoming = asyncio.ensure_future(ask(number + 1))
            for item in items:
                yield item
            if last:
                return
            before, number = known, number + 1
    finally:
        upcoming.cancel()
        await asyncio.wait([upcoming])
        if not upcoming.cancelled():
            upcoming.exception()  # retrieved, so asyncio does not warn about it
