"""Who writes, and when two writes are the same.

Order and refund ids are the platform's: they mean the same thing with a rotated key, from another sub-account
or with another spelling of the host. Only if a key has no such id (a cart, a new order's payload, an address,
an undeclared call) is the sub-account part of it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import attrs
import orjson

from pandapon_async.core.vendor import vendor_of
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
    """The identity of a write: two with equal scope, operation and natural key are the same."""

    scope: str
    """Where the key is unique: the vendor, or the vendor and the sub-account."""
    operation: str
    """The call's name without its generation, such as "alibaba.refunds.create"."""
    natural_key: dict[str, Any]
    """The arguments that make two writes the same one, by wire name."""
    subjects: tuple[str, ...] = ()
    """The subjects of the write, such as the lines of an order; an open write about one of them blocks it."""


@attrs.frozen
class Writer:
    """A writer: the vendor that its writes go to, and the sub-account that makes them."""

    vendor: str
    """The vendor: host and path prefix."""
    user_id: str
    """The sub-account that makes them."""
    legacy: str = attrs.field(default="", repr=False)
    """The account's name in journals of format 1: a hash that changes with a rotated key."""

    @classmethod
    def of(cls, credentials: Credentials, settings: Settings) -> Writer:
        """Return the writer of a client."""
        vendor = vendor_of(settings.vendor_id, settings.base_url)
        text = f"{settings.base_url}\n{credentials.access_key}\n{credentials.user_id}"
        return cls(vendor, credentials.user_id, hashlib.sha256(text.encode()).hexdigest()[:16])

    def scope(self, scope: Scope) -> str:
        """Return the name of a scope in the journal."""
        return self.vendor if scope is Scope.PLATFORM else f"{self.vendor} {self.user_id}"

    def key_of(self, endpoint: Endpoint, fields: Mapping[str, Any]) -> WriteKey:
        """Return the key of a write with these encoded arguments (by wire name)."""
        natural = natural_key(endpoint, fields)
        if not natural:
            return WriteKey(self.scope(Scope.ACCOUNT), endpoint.name, {PAYLOAD: digest_of(fields)})
        return WriteKey(self.scope(endpoint.scope), endpoint.name, natural, subjects_of(endpoint, natural))


@functools.cache
def declared(operation: str) -> Endpoint | None:
    """Return the declaration of an operation by its name in the journal; None if it is undeclared.

    Any of several generations: they share key, scope and subjects.
    """
    from pandapon_async.api.registry import operations  # loads all declarations

    found = operations().get(operation)
    return None if found is None else found.ranked[0]


def natural_key(endpoint: Endpoint, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes two writes the same: the declared key from the encoded arguments.

    If the operation has no key, or no argument of it was passed, the whole payload is the key.
    """
    plain = plain_of(fields)
    key = {name: _sorted(plain.get(name)) for name in endpoint.key}
    return key if any(value is not None for value in key.values()) else {}


def subjects_of(endpoint: Endpoint, key: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the subjects of a write with this key, such as "OPERATION ORDER/LINE" for each line."""
    if not endpoint.subjects:
        return ()
    found = [""]
    for name in endpoint.subjects:
        values = key.get(name)
        listed = values if isinstance(values, list) else [values]
        found = [f"{whole}/{part}" if whole else str(part) for whole in found for part in listed]
    return tuple(f"{endpoint.name} {subject}" for subject in found if subject)


def anything(operation: str) -> str:
    """The subject of a write that may be about anything."""
    return f"* {operation}"  # sorts all of them together in the index


def plain_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for JSON; an image is represented by its digest."""
    return {name: repr(value) if isinstance(value, Image) else value for name, value in fields.items()}


def digest_of(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of all arguments."""
    text = orjson.dumps(plain_of(fields), option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(text).hexdigest()


def _sorted(value: Any) -> Any:
    """Ignore order and repetition of ids: [2, 1, 1] and [1, 2] are the same lines."""
    if not isinstance(value, list):
        return value
    return [item for _, item in sorted({str(item): item for item in value}.items())]
