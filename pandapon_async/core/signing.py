"""How a request is signed.

The vendor's own text of the rule could not be read. This is what a public client of the same API
does and what the samples' shape (32 upper-case hex digits) agrees with: MD5 over access key,
timestamp, nonce and secret, values only, in this order. Body and query are not covered. Whether the
timestamp is milliseconds or seconds is a setting, and the whole rule can be replaced by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

__all__ = ["NONCE_LENGTH", "SIGNERS", "Signer", "signature", "signature_in_lower_case", "signed_headers"]

NONCE_LENGTH = 32

Signer = Callable[[str, str, str, str], str]
"""(access_key, timestamp, nonce, access_secret) -> signature; `signature` is the default."""


def signature(access_key: str, timestamp: str, nonce: str, access_secret: str) -> str:
    """The value of the `signature` header.

    >>> signature("key", "1715669977082", "n" * 32, "secret")
    'F434C173D787AA8B3DE6DCF8D3EDC48B'
    """
    text = f"{access_key}{timestamp}{nonce}{access_secret}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()


def signature_in_lower_case(access_key: str, timestamp: str, nonce: str, access_secret: str) -> str:
    """The same value, its hex digits in lower case."""
    return signature(access_key, timestamp, nonce, access_secret).lower()


SIGNERS: Mapping[str, Signer] = {"md5_upper": signature, "md5_lower": signature_in_lower_case}
"""The built-in rules, by the names that a file and the environment know."""


def signed_headers(
    access_key: str, access_secret: str, user_id: str, timestamp: str, nonce: str, signer: Signer = signature
) -> dict[str, str]:
    """The five headers that every call carries."""
    return {
        "access-key": access_key,
        "timestamp": timestamp,
        "nonce-str": nonce,
        "user-id": user_id,
        "signature": signer(access_key, timestamp, nonce, access_secret),
    }
