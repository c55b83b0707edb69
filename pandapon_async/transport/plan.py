"""What is known of a call before its arguments: prepared once per call and settings, used each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import attrs
from yarl import URL

from pandapon_async.arguments import Picture
from pandapon_async.core.codec import dumps
from pandapon_async.core.signing import Signer
from pandapon_async.core.structure import Mismatch, structurer
from pandapon_async.endpoint import Endpoint, Evidence, Location, Safety, encode_arguments
from pandapon_async.errors import ConfigurationError, DecodeError, InvalidArgument, NotFound
from pandapon_async.images import Image
from pandapon_async.settings import Override, Settings
from pandapon_async.transport.pipeline import Outgoing

__all__ = ["Plan"]


@attrs.define(eq=False)
class Plan:
    """How one declared call is put on the wire and read back."""

    endpoint: Endpoint
    base_url: str
    path: str
    in_query: frozenset[str]
    in_path: frozenset[str]
    has_image: bool
    fixed_url: URL | None
    signer: Signer | None
    _structure: Callable[[Any, Any], Any] | None = None

    @classmethod
    def of(cls, endpoint: Endpoint, settings: Settings) -> Plan:
        """The plan of a call under these settings."""
        override = settings.overrides.get(endpoint.name, Override())
        if endpoint.evidence is Evidence.INFERRED and not settings.allow_inferred and override.path is None:
            raise ConfigurationError(
                f"no page shows the path of {endpoint.name}; {endpoint.path} is inferred from its twin. "
                "Try it with Settings(allow_inferred=True), or give the right one: "
                f'Settings(overrides={{"{endpoint.name}": Override(path="/...")}})'
            )
        path = override.path or endpoint.path
        where = {parameter.wire: parameter.location for parameter in endpoint.parameters}
        moved = Location(override.arguments) if override.arguments else None
        in_path = frozenset(wire for wire, location in where.items() if location is Location.PATH)
        in_query = frozenset(
            wire
            for wire, location in where.items()
            if wire not in in_path and (moved or location) is Location.QUERY
        )
        fixed = not in_path and not in_query
        return cls(
            endpoint=endpoint,
            base_url=settings.base_url,
            path=path,
            in_query=in_query,
            in_path=in_path,
            has_image=any(isinstance(parameter.rule, Picture) for parameter in endpoint.parameters),
            fixed_url=URL(settings.base_url + path, encoded=True) if fixed else None,
            signer=override.signer,
        )

    async def outgoing(self, arguments: Mapping[str, Any]) -> Outgoing:
        """Check the arguments and put each where it goes. Raises InvalidArgument."""
        parameters = self.endpoint.parameters
        try:
            if self.has_image:  # looks into files, which must not hold the event loop
                encoded = await asyncio.to_thread(encode_arguments, parameters, arguments)
            else:
                encoded = encode_arguments(parameters, arguments)
        except InvalidArgument as error:
            error.endpoint = self.endpoint.name
            raise
        if self.fixed_url is not None:
            return Outgoing(self.endpoint, self.fixed_url, self._body(encoded), encoded, self.signer)
        path, fields = self.path, dict(encoded)
        for wire in self.in_path:
            path = path.replace(f"{{{wire}}}", quote(str(encoded.pop(wire)), safe=""))
        query = {wire: encoded.pop(wire) for wire in self.in_query & encoded.keys()}
        url = URL(self.base_url + path + query_text(query), encoded=True)
        return Outgoing(self.endpoint, url, self._body(encoded), fields, self.signer)

    def _body(self, encoded: dict[str, Any]) -> bytes | dict[str, Any] | None:
        if self.endpoint.method == "GET":
            return None
        if self.has_image and any(isinstance(value, Image) for value in encoded.values()):
            return encoded
        return dumps(encoded)

    def decode(self, data: Any, request_id: str | None) -> Any:
        """The envelope's data as the declared type.

        Raises DecodeError for other data and, for a read, NotFound for none.
        """
        if self.endpoint.response_type is None:
            return None
        if self._structure is None:
            self._structure = structurer(self.endpoint.response_type)
        if data is None and self.endpoint.safety is Safety.READ and self.endpoint.response_type is not Any:
            raise NotFound(
                "a successful answer without data", request_id=request_id, code=200, http_status=200
            )
        try:
            return self._structure(data, self.endpoint.response_type)
        except Mismatch as mismatch:
            raise DecodeError(
                f"the call succeeded, but its data does not fit: {mismatch.path}: {mismatch}",
                path=mismatch.path,
                data=data,
                request_id=request_id,
            ) from None


def query_text(query: Mapping[str, Any]) -> str:
    """`?a=1&b=2`, everything percent-encoded; booleans as true and false, lists as repeated names."""
    if not query:
        return ""
    plain = {name: _query_value(value) for name, value in query.items()}
    return "?" + urlencode(plain, doseq=True, quote_via=quote, safe="")


def _query_value(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return [_query_value(item) for item in value]
    return value
