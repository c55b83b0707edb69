"""How a request is signed.

The vendor's own text of the rule could not be read. This rule comes from a public client of the same API and
agrees with the samples (32 upper-case hex digits): MD5 over access key, timestamp, nonce and secret, values
only, in this order. It does not cover body and query. A setting chooses milliseconds or seconds for the
timestamp, and another setting replaces the whole rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

__all__ = ["NONCE_LENGTH", "SIGNERS", "Signer", "signature", "signature_in_lower_case", "signed_headers"]

NONCE_LENGTH = 32

Signer = Callable[[str, str, str, str], str]
"""(access_key, timestamp, nonce, access_secret) -> signature; `signature` is the default."""


def signature(access_key: str, timestamp: str, nonce: str, access_secret: str) -> str:
    """Return the value of the `signature` header.

    >>> signature("key", "1715669977082", "n" * 32, "secret")
    'F434C173D787AA8B3DE6DCF8D3EDC48B'
    """
    text = f"{access_key}{timestamp}{nonce}{access_secret}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()


def signature_in_lower_case(access_key: str, timestamp: str, nonce: str, access_secret: str) -> str:
    """Return the same value with hex digits in lower case."""
    return signature(access_key, timestamp, nonce, access_secret).lower()


SIGNERS: Mapping[str, Signer] = {"md5_upper": signature, "md5_lower": signature_in_lower_case}
"""The built-in rules, by their names in a file and in the environment."""


def signed_headers(
    access_key: str, access_secret: str, user_id: str, timestamp: str, nonce: str, signer: Signer = signature
) -> dict[str, str]:
    """Return the five headers of every call."""
    return {
        "access-key": access_key,
        "timestamp": timestamp,
        "nonce-str": nonce,
        "user-id": user_id,
        "signature": signer(access_key, timestamp, nonce, access_secret),
    }
