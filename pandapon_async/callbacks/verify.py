"""Verify that a push comes from the vendor. Pure: no clock, no file, no network.

The vendor signs a push with the account's secret: Authorization = HEX(HMAC-SHA256(Base, AccessSecret)). The
definition of Base could not be read. The formula matches an upstream push service whose Base is the key
followed by the body as received, with lower-case hex; both are defaults here and settings. A push that is
signed with the right secret in another known way is refused with a separate reason, which names the wrong
setting while the vendor still retries.

Everything uses bytes: a signature covers the received bytes, not a re-encoding of them, and comparing text
would raise TypeError for a signature that is not ASCII.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from pandapon_async.core.options import clean_frames
from pandapon_async.errors import CallbackReason, CallbackRefusedError, ConfigurationError
from pandapon_async.settings import Credentials

__all__ = ["MAXIMUM_BYTES", "Base", "HexCase", "check_base", "several", "verify"]

MAXIMUM_BYTES = 1024 * 1024
"""The most bytes of a body; an order with all its lines has a tenth of that."""

Base = Literal["key+body", "body", "either"] | Callable[[str, bytes], bytes]
"""What is signed: the access key and the body, the body alone, any of the two; or a rule of one's own,
(access_key, raw_body) -> the bytes that are signed."""

HexCase = Literal["lower", "upper", "any"]
"""The case of the signature's hex digits."""

_SHAPE = re.compile(rb"[0-9a-fA-F]{64}")
_SIGNED_TEXTS: Mapping[str, tuple[Literal["key+body", "body"], ...]] = {
    "key+body": ("key+body",),
    "body": ("body",),
    "either": ("key+body", "body"),
}


@clean_frames
def verify(
    raw_body: bytes,
    authorization: str | bytes | None,
    credentials: Credentials | Iterable[Credentials],
    *,
    base: Base = "key+body",
    hex_case: HexCase = "lower",
    maximum_bytes: int = MAXIMUM_BYTES,
) -> Credentials:
    """Check the signature of a push before any of it is parsed.

    `raw_body` is the body as it came, `authorization` the header of that name as it came (None: there was
    none). `credentials` are one or several: during a rotation the new ones and the old ones. Returns the
    credentials that signed it. Raises CallbackRefusedError for everything else, with the `reason`;
    ConfigurationError only for arguments of one's own that cannot work.

    >>> body = b'{"messageType": "ORDER_PAY"}'
    >>> verify(body, "é" * 64, Credentials("key", "secret", "1"))
    Traceback (most recent call last):
    ...
    pandapon_async.errors.CallbackRefusedError: the signature is not 64 hex digits
    """
    known = several(credentials)
    check_base(base)
    if hex_case not in ("lower", "upper", "any"):
        raise ConfigurationError('hex_case must be "lower", "upper" or "any"')
    if not isinstance(raw_body, bytes | bytearray | memoryview):
        raise CallbackRefusedError(
            "the body must be the received bytes, before any parsing", reason=CallbackReason.NOT_BYTES
        )
    if memoryview(raw_body).nbytes > maximum_bytes:
        raise CallbackRefusedError(
            f"the body has more than {maximum_bytes} bytes", reason=CallbackReason.TOO_LARGE
        )
    body = bytes(raw_body)
    written = _written(authorization)
    given = bytes.fromhex(written)
    signers = _signers(known, base, body, given)
    if not signers:
        if not callable(base) and _signers(known, "either", body, given):
            problem = f"the signature is right for another base than {base!r}; change the setting `base`"
            raise CallbackRefusedError(problem, reason=CallbackReason.SIGNED_OTHERWISE)
        raise CallbackRefusedError("the signature does not match", reason=CallbackReason.WRONG_SIGNATURE)
    if hex_case != "any" and written != (written.lower() if hex_case == "lower" else written.upper()):
        problem = f"the signature is right, but not in {hex_case} case; change the setting `hex_case`"
        raise CallbackRefusedError(problem, reason=CallbackReason.SIGNED_OTHERWISE)
    return signers[0]


def check_base(base: Any) -> None:
    """Raise ConfigurationError unless `verify` accepts `base`."""
    if not callable(base) and base not in _SIGNED_TEXTS:
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


def _written(authorization: Any) -> str:
    """The 64 hex digits that the header must consist of."""
    if authorization is None:
        raise CallbackRefusedError("there is no signature", reason=CallbackReason.UNSIGNED)
    if isinstance(authorization, str) and authorization.isascii():
        authorization = authorization.encode("ascii")
    if not isinstance(authorization, bytes) or _SHAPE.fullmatch(authorization) is None:
        raise CallbackRefusedError(
            "the signature is not 64 hex digits", reason=CallbackReason.MALFORMED_SIGNATURE
        )
    return authorization.decode("ascii")


def _signers(known: tuple[Credentials, ...], base: Base, body: bytes, given: bytes) -> list[Credentials]:
    """Whose signature it is. All are computed and compared: the time tells nothing about which one fits."""
    return [
        one
        for one in known
        for text in _texts(base, one.access_key, body)
        if hmac.compare_digest(hmac.digest(one.access_secret.encode(), text, hashlib.sha256), given)
    ]


def _texts(base: Base, access_key: str, body: bytes) -> list[bytes]:
    if callable(base):
        return [base(access_key, body)]
    return [access_key.encode() + body if one == "key+body" else body for one in _SIGNED_TEXTS[base]]
