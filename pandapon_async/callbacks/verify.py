"""Whether what was pushed really comes from the vendor. Pure: no clock, no file, no network.

The vendor signs a push with the account's secret: Authorization = HEX(HMAC-SHA256(Base, AccessSecret)).
What Base is could not be read. Formula and wording are those of an upstream push service whose Base is
the key followed by the body as received, in lower-case hex; that is the default here, and a setting.

Everything is done over bytes: a signature belongs to the bytes that came and to no re-encoding of them,
and comparing text would raise TypeError for a signature that is not ASCII.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from pandapon_async.errors import CallbackReason, CallbackRefused, ConfigurationError
from pandapon_async.settings import Credentials

__all__ = ["MAXIMUM_BYTES", "Base", "HexCase", "check_base", "several", "verify"]

MAXIMUM_BYTES = 1024 * 1024
"""The largest body that is looked at; an order with all its lines is a tenth of it."""

Base = Literal["key+body", "body", "either"] | Callable[[str, bytes], bytes]
"""What is signed: the access key and the body, the body alone, any of the two; or a rule of one's own,
(access_key, raw_body) -> the bytes that are signed."""

HexCase = Literal["any", "lower", "upper"]
"""How the signature is written. "any" takes both, each pure: no encoder mixes them."""

_SHAPES: Mapping[HexCase, re.Pattern[bytes]] = {
    "any": re.compile(rb"[0-9a-f]{64}|[0-9A-F]{64}"),
    "lower": re.compile(rb"[0-9a-f]{64}"),
    "upper": re.compile(rb"[0-9A-F]{64}"),
}


def verify(
    raw_body: bytes,
    authorization: str | bytes | None,
    credentials: Credentials | Iterable[Credentials],
    *,
    base: Base = "key+body",
    hex_case: HexCase = "any",
    maximum_bytes: int = MAXIMUM_BYTES,
) -> Credentials:
    """Check the signature of a push, before anything of it is parsed.

    `raw_body` is the body as it came, `authorization` the header of that name as it came (None: there
    was none). `credentials` are one or several: during a rotation the new ones and the old ones.
    Gives the credentials that it was signed with. Raises CallbackRefused for everything else, with
    the `reason`; ConfigurationError only for arguments of one's own that cannot work.

    >>> body = b'{"messageType": "ORDER_PAY"}'
    >>> verify(body, "é" * 64, Credentials("key", "secret", "1"))
    Traceback (most recent call last):
    ...
    pandapon_async.errors.CallbackRefused: the signature is not 64 hex digits
    """
    known = several(credentials)
    check_base(base)
    if hex_case not in _SHAPES:
        raise ConfigurationError('hex_case must be "any", "lower" or "upper"')
    if not isinstance(raw_body, bytes | bytearray | memoryview):
        raise CallbackRefused(
            "the body must be the bytes as they came, before any parsing", reason=CallbackReason.NOT_BYTES
        )
    body = bytes(raw_body)
    if len(body) > maximum_bytes:
        raise CallbackRefused(f"the body has over {maximum_bytes} bytes", reason=CallbackReason.TOO_LARGE)
    given = _digest(authorization, _SHAPES[hex_case])
    # Every candidate is computed and compared, so that the time tells nothing about which one fits.
    fitting = [
        one
        for one in known
        for text in _texts(base, one.access_key, body)
        if hmac.compare_digest(hmac.digest(one.access_secret.encode(), text, hashlib.sha256), given)
    ]
    if not fitting:
        raise CallbackRefused("the signature does not match", reason=CallbackReason.WRONG_SIGNATURE)
    return fitting[0]


def check_base(base: Any) -> None:
    """Raise ConfigurationError unless `base` is one that `verify` takes."""
    if not callable(base) and base not in ("key+body", "body", "either"):
        raise ConfigurationError('base must be "key+body", "body", "either" or a function')


def several(credentials: Credentials | Iterable[Credentials]) -> tuple[Credentials, ...]:
    """One or several credentials as a tuple; ConfigurationError for anything else."""
    known: tuple[Any, ...] = ()
    if isinstance(credentials, Credentials):
        known = (credentials,)
    elif isinstance(credentials, Iterable):
        known = tuple(credentials)
    if not known or not all(isinstance(one, Credentials) for one in known):
        raise ConfigurationError("credentials must be Credentials, one or several")
    return known


def _digest(authorization: Any, shape: re.Pattern[bytes]) -> bytes:
    """The digest that the header carries, as bytes."""
    if authorization is None:
        raise CallbackRefused("there is no signature", reason=CallbackReason.UNSIGNED)
    if isinstance(authorization, str) and authorization.isascii():
        authorization = authorization.encode("ascii")
    if not isinstance(authorization, bytes) or shape.fullmatch(authorization) is None:
        raise CallbackRefused("the signature is not 64 hex digits", reason=CallbackReason.MALFORMED_SIGNATURE)
    return bytes.fromhex(authorization.decode("ascii"))


def _texts(base: Base, access_key: str, body: bytes) -> tuple[bytes, ...]:
    if callable(base):
        return (base(access_key, body),)
    with_key = access_key.encode() + body
    return {"key+body": (with_key,), "body": (body,), "either": (with_key, body)}[base]
