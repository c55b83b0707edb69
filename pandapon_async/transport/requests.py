"""Build requests: what depends only on call and settings is prepared once and reused."""

from __future__ import annotations

import asyncio
import functools
import io
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import attrs
from yarl import URL

from pandapon_async.core.json_codec import dumps, refuse_floats
from pandapon_async.core.lenient import lenient_structurer
from pandapon_async.core.outcome import Safety
from pandapon_async.core.signing import Signer
from pandapon_async.core.structure import LIST_FIELDS, StructureError, structurer
from pandapon_async.core.urls import climbs
from pandapon_async.declare.arguments import Location, Parameter, encode_arguments, open_images
from pandapon_async.declare.endpoint import Endpoint, Evidence, Operation, Stage
from pandapon_async.declare.fields import ImageField, TimestampField
from pandapon_async.errors import ConfigurationError, DecodeError, InvalidArgumentError, NotFoundError
from pandapon_async.images import Image
from pandapon_async.settings import Override, Settings, VendorProfile
from pandapon_async.transport.image_body import ImageBody

__all__ = ["PreparedRequest", "RequestBuilder", "RequestBuilders"]

LARGE_BODY = 256 * 1024  # bytes


@attrs.define(eq=False, repr=False)  # its arguments can be personal
class PreparedRequest:
    """A request ready to send, except for the signature.

    `url` is without its `query`, which is percent-encoded text. `body` is bytes, image fields or None;
    `fields` are the checked arguments by wire name.
    """

    endpoint: Endpoint
    url: URL
    query: str
    body: bytes | dict[str, Any] | None
    fields: Mapping[str, Any]
    signer: Signer | None = None

    def payload(self) -> bytes | io.BytesIO | ImageBody | None:
        """The body of one attempt; a streamed body is created for each, because it cannot be sent twice."""
        body = self.body
        if isinstance(body, dict):
            return ImageBody(body)
        # aiohttp would write it in one piece and warn that this blocks the loop.
        return io.BytesIO(body) if body is not None and len(body) > LARGE_BODY else body


@attrs.define(eq=False)
class RequestBuilder:
    """Builds the requests of one declared call and reads its answers."""

    endpoint: Endpoint
    base_url: str
    path: str
    in_query: frozenset[str]
    in_path: frozenset[str]
    has_image: bool
    url: URL | None  # without its query; None if the path has arguments
    signer: Signer | None
    parameters: tuple[Parameter, ...] = ()
    """The arguments, with the limits of the vendor's profile."""
    place_known: bool = True
    """Whether the pages or the settings define the place of the arguments."""
    items: str | None = None
    """The field that the items of a list stand in, where it is none of the usual ones."""
    _structure: Callable[[Any, Any], Any] | None = None

    @classmethod
    def of(cls, endpoint: Endpoint, settings: Settings, *, chosen: bool = True) -> RequestBuilder:
        """Create the builder of a call under these settings.

        `chosen`: the plain name means this generation, so its override applies here, too. An override under
        the pinned name takes precedence.
        """
        vendor = settings.vendor
        plain = vendor.overrides.get(endpoint.name) if chosen else None
        override = vendor.overrides.get(endpoint.pin) or plain or Override()
        if endpoint.evidence is Evidence.INFERRED and not vendor.allow_inferred and override.path is None:
            raise ConfigurationError(
                f"no page shows the path of {endpoint.name}; {endpoint.path} is inferred from the other "
                "generation. Try it with VendorProfile(allow_inferred=True), or set the right path: "
                f'VendorProfile(overrides={{"{endpoint.pin}": Override(path="/...")}})'
            )
        path = override.path or endpoint.path
        where = _locations(endpoint, override, path)
        in_path = frozenset(wire for wire, location in where.items() if location is Location.PATH)
        in_query = frozenset(wire for wire, location in where.items() if location is Location.QUERY)
        return cls(
            endpoint=endpoint,
            base_url=settings.base_url,
            path=path,
            in_query=in_query,
            in_path=in_path,
            has_image=any(isinstance(parameter.rule, ImageField) for parameter in endpoint.parameters),
            url=None if in_path else URL(settings.base_url + path, encoded=True),
            signer=override.signer,
            parameters=tuple(_of_vendor(parameter, vendor) for parameter in endpoint.parameters),
            items=vendor.list.items if any(map(_bounds_list, endpoint.parameters)) else None,
            place_known=endpoint.place_known or bool(override.arguments or override.path),
        )

    def elsewhere(self) -> RequestBuilder:
        """Return a builder with the arguments in the body instead of the query, or vice versa."""
        wires = frozenset(parameter.wire for parameter in self.endpoint.parameters) - self.in_path
        return attrs.evolve(self, in_query=frozenset() if self.in_query else wires)

    def encode(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Check the arguments; return them by wire name. Opens no file. Raises InvalidArgumentError."""
        try:
            return encode_arguments(self.parameters, arguments)
        except InvalidArgumentError as error:
            error.endpoint = self.endpoint.name
            raise

    async def prepare_with_image(self, encoded: dict[str, Any]) -> PreparedRequest:
        """Prepare a call that `has_image`; opens its files in a thread."""
        try:
            opened = await asyncio.to_thread(open_images, self.parameters, encoded)
        except InvalidArgumentError as error:
            error.endpoint = self.endpoint.name
            raise
        return self.prepare(opened)

    def prepare(self, encoded: dict[str, Any]) -> PreparedRequest:
        """Build the request from checked arguments: put each in its place."""
        if self.url is not None and not self.in_query:
            return PreparedRequest(self.endpoint, self.url, "", self._body(encoded), encoded, self.signer)
        url, path, rest = self.url, self.path, dict(encoded)
        if url is None:
            for wire in self.in_path:
                path = path.replace(f"{{{wire}}}", quote(str(rest.pop(wire)), safe=""))
            url = URL(self.base_url + path, encoded=True)
        query = query_text({wire: rest.pop(wire) for wire in encoded if wire in self.in_query})
        return PreparedRequest(self.endpoint, url, query, self._body(rest), encoded, self.signer)

    def _body(self, encoded: dict[str, Any]) -> bytes | dict[str, Any] | None:
        if self.endpoint.method == "GET":
            return None
        if self.has_image and any(isinstance(value, Image) for value in encoded.values()):
            return encoded
        return dumps(encoded)

    def decode(self, data: Any, request_id: str | None) -> Any:
        """Convert the envelope's data to the declared type. Only the answer to a read may have odd fields.

        Raises DecodeError if the data does not match and NotFoundError if a read has no data.
        """
        if self.endpoint.response_type is None:
            return None
        if self._structure is None:
            make = lenient_structurer if self.endpoint.safety is Safety.READ else structurer
            self._structure = make(self.endpoint.response_type)
        if data is None and self.endpoint.safety is Safety.READ and self.endpoint.response_type is not Any:
            raise NotFoundError(
                "a successful answer without data",
                empty=True,
                request_id=request_id,
                code=200,
                http_status=200,
            )
        if self.items is not None and isinstance(data, dict) and self.items in data:
            others = {name: value for name, value in data.items() if name != self.items}
            data = {**others, LIST_FIELDS[0]: data[self.items]}
        try:
            return self._structure(data, self.endpoint.response_type)
        except StructureError as mismatch:
            raise DecodeError(
                f"the call succeeded, but its data does not match: {mismatch.path}: {mismatch}",
                path=mismatch.path,
                data=data,
                request_id=request_id,
            ) from None


class RequestBuilders:
    """The request builders of a client, each made on first use.

    Raises ConfigurationError if the settings override a call that does not exist.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.vendor.overrides:
            from pandapon_async.api.registry import check_names

            check_names(settings.vendor.overrides)
        self._settings = settings
        self._made: dict[tuple[str, str | None], tuple[RequestBuilder, ...]] = {}

    def under(self, settings: Settings) -> RequestBuilders:
        """Return the builders for other settings."""
        return RequestBuilders(settings)

    def encode(
        self, operation: Operation, arguments: Mapping[str, Any], generation: str | None = None
    ) -> tuple[RequestBuilder, dict[str, Any]]:
        """Check the arguments of an operation; return them by wire name, with the builder that takes them.

        Raises InvalidArgumentError for the arguments, and ConfigurationError for a path that may not be used.
        """
        key = operation.name, generation
        builders = self._made.get(key)
        if builders is None:
            builders = self._made[key] = tuple(self._make(operation, generation))
        if generation is not None or operation.same_arguments:
            return builders[0], builders[0].encode(arguments)
        by_endpoint = {builder.endpoint: builder for builder in builders}
        # Each generation may have to read them, and an iterator can be read only once.
        given = {name: list(one) if isinstance(one, Iterator) else one for name, one in arguments.items()}
        try:
            endpoint, encoded = operation.choose(
                tuple(by_endpoint), given.keys(), lambda one: encode_arguments(one.parameters, given)
            )
        except InvalidArgumentError as error:
            error.endpoint = operation.name
            raise
        return by_endpoint[endpoint], encoded

    def _make(self, operation: Operation, generation: str | None) -> Iterator[RequestBuilder]:
        """The request builders to choose from; several if the arguments decide about the generation."""
        settings, vendor = self._settings, self._settings.vendor
        corrected = [name for name, override in vendor.overrides.items() if override.path is not None]
        candidates = operation.candidates(
            allow_inferred=vendor.allow_inferred, corrected=corrected, preferred=vendor.generation
        )
        if generation is not None:
            endpoint = operation.generations[generation]
            yield RequestBuilder.of(endpoint, settings, chosen=endpoint is candidates[0])
            return
        for endpoint in candidates[:1] if operation.same_arguments else candidates:
            yield RequestBuilder.of(endpoint, settings)

    def prepare_undeclared(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None,
        params: Mapping[str, Any] | None,
        safety: str,
    ) -> PreparedRequest:
        """Prepare an undeclared call. Raises InvalidArgumentError if something of it cannot be sent."""
        endpoint = _undeclared_endpoint(method, path, safety)
        try:
            return _prepare_undeclared(self._settings.base_url, endpoint, json, params)
        except InvalidArgumentError as error:
            error.endpoint = endpoint.name
            raise


def _of_vendor(parameter: Parameter, vendor: VendorProfile) -> Parameter:
    """The parameter by the vendor's profile: an image with its limits, the bound of a list in its unit."""
    rule = parameter.rule
    if isinstance(rule, ImageField):
        return attrs.evolve(parameter, rule=vendor.images.of(rule))
    if isinstance(rule, TimestampField):
        return attrs.evolve(parameter, rule=vendor.list.of(rule))
    return parameter


def _bounds_list(parameter: Parameter) -> bool:
    return isinstance(parameter.rule, TimestampField) and parameter.rule.of_list


def _locations(endpoint: Endpoint, override: Override, path: str) -> dict[str, Location]:
    """Return the place of each argument. An override that would lose an argument is an error."""
    moved = Location(override.arguments) if override.arguments else None
    where: dict[str, Location] = {}
    for parameter in endpoint.parameters:
        wire, location = parameter.wire, parameter.location
        if f"{{{wire}}}" in path:
            location = Location.PATH
        elif moved is not None:
            location = moved
        image_elsewhere = isinstance(parameter.rule, ImageField) and location is not Location.BODY
        body_of_get = endpoint.method == "GET" and location is Location.BODY
        if image_elsewhere or body_of_get or (location is Location.PATH and f"{{{wire}}}" not in path):
            raise ConfigurationError(f"the override of {endpoint.name} has no place for {parameter.name}")
        where[wire] = location
    try:
        check_path(re.sub(r"\{(\w+)\}", lambda match: "x" if match[1] in where else match[0], path))
    except InvalidArgumentError as error:
        raise ConfigurationError(f"the override of {endpoint.name}: {error}") from None
    return where


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@functools.lru_cache(maxsize=256)
def _undeclared_endpoint(method: str, path: str, safety: str) -> Endpoint:
    """Return the endpoint of an undeclared call. Raises InvalidArgumentError for an unknown safety."""
    if safety not in list(Safety):
        known = ", ".join(Safety)
        raise InvalidArgumentError(f"safety must be one of {known}", argument="safety")
    return Endpoint(
        name=f"{method.upper()} {path}",
        method=method.upper(),
        path=path,
        safety=Safety(safety),
        stage=Stage.RELEASED,
        evidence=Evidence.INFERRED,
        page="",
        confirmed_by=None,
        unclear_codes=frozenset(),
    )


def _prepare_undeclared(
    base_url: str, endpoint: Endpoint, json: Mapping[str, Any] | None, params: Mapping[str, Any] | None
) -> PreparedRequest:
    """Prepare an undeclared call and check what can be checked. Raises InvalidArgumentError."""
    if endpoint.method not in METHODS:
        raise InvalidArgumentError(f"method must be one of {', '.join(METHODS)}", argument="method")
    check_path(endpoint.path)
    try:
        refuse_floats(json, "json")
        body = dumps(json) if json is not None else None
    except ValueError as error:
        raise InvalidArgumentError(str(error), argument="json") from None
    try:
        refuse_floats(params, "params")
        texts = {name: _param(value) for name, value in (params or {}).items()}
        query = query_text(texts)
    except ValueError as error:
        raise InvalidArgumentError(str(error), argument="params") from None
    url = URL(base_url + endpoint.path, encoded=True)
    return PreparedRequest(endpoint, url, query, body, {"json": json, "params": texts})


def check_path(path: str) -> None:
    """Raise InvalidArgumentError for a path that may lead elsewhere than it seems."""
    odd = not path.isascii() or not path.isprintable() or set(path) & set(" ?#\\{}")
    if not path.startswith("/") or path.startswith("//") or odd:
        raise InvalidArgumentError(
            "path must begin with one / and have no spaces, ? or #; pass a query as params", argument="path"
        )
    if climbs(path):
        raise InvalidArgumentError("path must not contain ..", argument="path")


def _param(value: Any) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [_param_text(item) for item in value]
    return _param_text(value)


def _param_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError("params must be finite numbers")
    if not isinstance(value, str | int | Decimal):
        raise ValueError(
            f"params must be text, numbers, True, False or lists of them, not {type(value).__name__}"
        )
    return str(int(value)) if isinstance(value, int) else str(value)


_PLAIN_PAIR = re.compile("[A-Za-z0-9_.~-]+=[A-Za-z0-9_.~-]*")  # unchanged by percent-encoding


def query_text(query: Mapping[str, Any]) -> str:
    """Write `a=1&b=2`, percent-encoded; booleans as true and false, lists as repeated names."""
    pairs = []
    for name, value in query.items():
        pair = f"{name}={value}"
        if value.__class__ not in (str, int) or _PLAIN_PAIR.fullmatch(pair) is None:
            pair = urlencode({name: _query_value(value)}, doseq=True, quote_via=quote, safe="")
        pairs.append(pair)
    return "&".join(filter(None, pairs))


def _query_value(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return [_query_value(item) for item in value]
    return value
