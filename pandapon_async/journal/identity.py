"""Who writes, and what makes two writes the same.

Order and refund ids are the platform's: whoever names them means the same thing, with a rotated key, from
another sub-account or under another spelling of the host. Only where a key holds no such id (a cart, a new
order's payload, an address, an undeclared call) does the sub-account belong to it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import attrs
import orjson

from pandapon_async.core.vendor import vendor_id
from pandapon_async.declare.endpoint import Endpoint, Scope
from pandapon_async.images import Image
from pandapon_async.settings import Credentials, Settings

__all__ = [
    "PAYLOAD",
    "Scope",
    "WriteKey",
    "Writer",
    "anything",
    "declared",
    "digest_of",
    "natural_key",
    "subjects_of",
]


PAYLOAD: Final = "payload"
"""What stands in the natural key of a write that is known by the digest of all its arguments."""


@attrs.frozen
class WriteKey:
    """What a write is known by: two with equal scope, operation and natural key are the same."""

    scope: str
    """Among whom the key is unique: the vendor, or the vendor and the sub-account."""
    operation: str
    """The call's name without its generation, such as "alibaba.refunds.create"."""
    natural_key: dict[str, Any]
    """The arguments that make two writes the same one, by wire name."""
    subjects: tuple[str, ...] = ()
    """What the write is about, such as the lines of an order; an open write about one of them stands in the
    way."""


@attrs.frozen
class Writer:
    """Whose writes they are: the vendor they go to, and the sub-account that makes them."""

    vendor: str
    """Where the writes go: host and path prefix."""
    user_id: str
    """The sub-account that makes them."""
    legacy: str = attrs.field(default="", repr=False)
    """How journals of format 1 named the account: a hash that a rotated key changes."""

    @classmethod
    def of(cls, credentials: Credentials, settings: Settings) -> Writer:
        """The writer that a client is."""
        vendor = settings.vendor_id or vendor_id(settings.base_url)
        text = f"{settings.base_url}\n{credentials.access_key}\n{credentials.user_id}"
        return cls(vendor, credentials.user_id, hashlib.sha256(text.encode()).hexdigest()[:16])

    def scope(self, scope: Scope) -> str:
        """The name of a scope in the journal."""
        return self.vendor if scope is Scope.PLATFORM else f"{self.vendor} {self.user_id}"

    def key_of(self, endpoint: Endpoint, fields: Mapping[str, Any]) -> WriteKey:
        """The key of a write with these encoded arguments (by wire name)."""
        natural = natural_key(endpoint, fields)
        if not natural:
            return WriteKey(self.scope(Scope.ACCOUNT), endpoint.name, {PAYLOAD: digest_of(fields)})
        return WriteKey(self.scope(endpoint.scope), endpoint.name, natural, subjects_of(endpoint, natural))


@functools.cache
def declared(operation: str) -> Endpoint | None:
    """The declaration of an operation by its name in the journal; None if it is undeclared.

    Of several generations any: they share key, scope and subjects.
    """
    from pandapon_async.api.registry import operations  # loads all declarations

    found = operations().get(operation)
    return None if found is None else found.ranked[0]


def natural_key(endpoint: Endpoint, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What makes two writes the same one: the declared key out of encoded arguments.

    Empty if the operation has none, or if nothing of it was given: then the whole payload is the key.
    """
    plain = plain_of(fields)
    key = {name: _sorted(plain.get(name)) for name in endpoint.key}
    return key if any(value is not None for value in key.values()) else {}


def subjects_of(endpoint: Endpoint, key: Mapping[str, Any]) -> tuple[str, ...]:
    """What a write with this natural key is about: "OPERATION ORDER/LINE" for each line, for instance."""
    if not endpoint.subjects:
        return ()
    found = [""]
    for name in endpoint.subjects:
        values = key.get(name)
        listed = values if isinstance(values, list) else [values]
        found = [f"{whole}/{part}" if whole else str(part) for whole in found for part in listed]
    return tuple(f"{endpoint.name} {subject}" for subject in found if subject)


def anything(operation: str) -> str:
    """The subject of a write of which is not known what it is about."""
    return f"* {operation}"  # so that all of them stand together in the index


def plain_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as JSON can hold them; of an image, what names it."""
    return {name: repr(value) if isinstance(value, Image) else value for name, value in fields.items()}


def digest_of(fields: Mapping[str, Any]) -> str:
    """The SHA-256 of all arguments."""
    text = orjson.dumps(plain_of(fields), option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(text).hexdigest()


def _sorted(value: Any) -> Any:
    """Order and repetition of ids say nothing: [2, 1, 1] and [1, 2] are the same lines."""
    if not isinstance(value, list):
        return value
    return [item for _, item in sorted({str(item): item for item in value}.items())]
