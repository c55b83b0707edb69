"""What is known about a call: an operation, and its endpoint in each generation of the API."""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from pandapon_async.core.outcome import Safety
from pandapon_async.errors import InvalidArgumentError

if TYPE_CHECKING:
    from pandapon_async.declare.arguments import Parameter

__all__ = [
    "GENERATIONS",
    "Endpoint",
    "Evidence",
    "Operation",
    "Safety",
    "Scope",
    "Signing",
    "Stage",
]

T = TypeVar("T")

GENERATIONS = ("v1", "v2")
"""The generations of the vendor's API, the newest last."""


class Stage(enum.StrEnum):
    """The status of the call on the vendor's page; an earlier member is preferred to a later one."""

    RELEASED = "released"
    """The page does not mark the call."""
    IN_DEVELOPMENT = "in development"
    """The page marks the call as in development."""
    DEPRECATED = "to be deprecated"
    """The page marks the call as to be deprecated."""


class Evidence(enum.StrEnum):
    """The source of the path."""

    DOCUMENTED = "documented"  # on a page of the vendor
    PUBLIC_CLIENT = "public client"  # in the source of a public client
    INFERRED = "inferred"  # by the pattern of the other generation's path


class Signing(enum.StrEnum):
    """The place of the authentication."""

    HEADERS = "headers"  # access-key, timestamp, nonce-str, user-id and signature
    QUERY = "query"  # timestamp and sign in the query (warehouse logistics); how to compute sign is not known


class Scope(enum.StrEnum):
    """Where the key of a write is unique."""

    PLATFORM = "platform"  # for the whole vendor: the key has an id of the platform
    ACCOUNT = "account"  # within one sub-account


@attrs.define(frozen=True, eq=False, slots=False)
class Endpoint:
    """One operation in one generation. `declaration` is the method; everything else comes from it.

    `name` is the name of the operation, the same in both generations; `pin` has the generation in front. An
    undeclared call has no generation.
    """

    name: str
    method: str
    path: str
    safety: Safety
    stage: Stage
    evidence: Evidence
    page: str
    confirmed_by: str | None
    unclear_codes: frozenset[str]
    authorisation_codes: frozenset[str] = frozenset()
    later_codes: frozenset[str] = frozenset()
    declaration: Callable[..., Any] | None = None
    signing: Signing = Signing.HEADERS
    key: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    scope: Scope = Scope.ACCOUNT
    subjects: tuple[str, ...] = ()
    generation: str = ""
    place_known: bool = True

    @cached_property
    def pin(self) -> str:
        """The name with the generation in front: "v1.alibaba.refunds.get"."""
        return f"{self.generation}.{self.name}" if self.generation else self.name

    @cached_property
    def verb(self) -> str:
        """The method in lower case, as aiohttp's sessions name theirs."""
        return self.method.lower()

    @cached_property
    def repeatable(self) -> bool:
        """Whether an attempt with an unknown outcome may be sent again."""
        return self.safety.repeatable

    @cached_property
    def releases_money(self) -> bool:
        """Whether a job carries it out only if the user explicitly allows it."""
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
        # Imported here: the rules of arguments come with the declarations; a client is imported without them.
        from pandapon_async.declare.arguments import Location, Parameter, rule_and_wire

        rule, wire = rule_and_wire(name, hint)
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
        """The first line of the declaration's docstring."""
        return (inspect.getdoc(self.declaration) or "").partition("\n")[0]


@attrs.define(frozen=True, eq=False, slots=False)
class Operation:
    """A call, independent of its generation. `generations` has its endpoint in each generation."""

    name: str
    generations: Mapping[str, Endpoint]

    @cached_property
    def ranked(self) -> tuple[Endpoint, ...]:
        """The endpoints in order of preference: released, in development, deprecated, then the newer
        generation. Inferred ones come last.
        """
        stages = list(Stage)

        def rank(endpoint: Endpoint) -> tuple[bool, int, int]:
            inferred = endpoint.evidence is Evidence.INFERRED
            return inferred, stages.index(endpoint.stage), -GENERATIONS.index(endpoint.generation)

        return tuple(sorted(self.generations.values(), key=rank))

    @cached_property
    def same_arguments(self) -> bool:
        """Whether all generations have the same arguments, as all but six operations do."""
        return len({id(endpoint.declaration) for endpoint in self.generations.values()}) == 1

    def candidates(
        self, *, allow_inferred: bool, corrected: Collection[str] = (), preferred: str | None = None
    ) -> tuple[Endpoint, ...]:
        """Return the endpoints that the plain name may use, in the order of `ranked`.

        The `preferred` generation comes first. An inferred endpoint is included with `allow_inferred`, or if
        `corrected` has its name: pinned, or plain if no generation is documented. If none may be used, the
        result is the first of all; preparing it raises the reason.
        """
        documented = [one for one in self.ranked if one.evidence is not Evidence.INFERRED]
        names = set(corrected) - (set() if not documented else {self.name})
        inferred = [
            one
            for one in self.ranked
            if one.evidence is Evidence.INFERRED and (allow_inferred or {one.pin, one.name} & names)
        ]
        allowed = (*documented, *inferred) or self.ranked[:1]
        return tuple(sorted(allowed, key=lambda one: one.generation != preferred))

    def choose(
        self, candidates: tuple[Endpoint, ...], given: Collection[str], read: Callable[[Endpoint], T]
    ) -> tuple[Endpoint, T]:
        """Return the first candidate whose `read` accepts the arguments, with the result of `read`.

        `given` has the names of the arguments. Raises InvalidArgumentError if no candidate accepts them: the
        error of the first one that has all the names, or one that lists the names that exclude each other.
        """
        refused: dict[str, InvalidArgumentError] = {}
        for endpoint in candidates:
            try:
                return endpoint, read(endpoint)
            except InvalidArgumentError as error:
                refused[endpoint.generation] = error
        takes = {
            one.generation: {name for each in one.parameters for name in (each.name, each.wire)}
            for one in candidates
        }
        from pandapon_async.declare.arguments import unknown_argument

        for name in sorted(given):
            if not any(name in names for names in takes.values()):
                raise unknown_argument(name, [each.name for one in candidates for each in one.parameters])
        for generation, names in takes.items():
            if set(given) <= names:
                raise self._with_hint(refused[generation], candidates, read)
        odd = [name for name in sorted(given) if not all(name in names for names in takes.values())]
        parts = [f"{name} of {next(one for one, names in takes.items() if name in names)}" for name in odd]
        raise InvalidArgumentError(
            f"no generation accepts these arguments together: {', '.join(parts)}", argument=odd[0]
        )

    def _with_hint(
        self, error: InvalidArgumentError, candidates: tuple[Endpoint, ...], read: Callable[[Endpoint], T]
    ) -> InvalidArgumentError:
        """Return the error with a hint at an inferred generation that would accept the arguments."""
        for endpoint in self.ranked:
            if endpoint not in candidates:
                try:
                    read(endpoint)
                except InvalidArgumentError:
                    continue
                return InvalidArgumentError(
                    f"{error}; {endpoint.generation} accepts it, but its path is only inferred; "
                    "VendorProfile(allow_inferred=True) permits it",
                    argument=error.argument,
                )
        return error
