"""What a request must carry: the five headers, and the arguments of its declaration.

A few calls carry time and signature in the query as well (`Signing.QUERY`). How that signature is made is
not known; here it is the header's own, over the same timestamp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from pandapon_async.core.signing import NONCE_LENGTH, signature
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.settings import Credentials, VendorProfile

__all__ = ["CLOCK_WINDOW", "IN_QUERY", "AuthChecker", "argument_check"]

CLOCK_WINDOW = 600.0
"""Seconds a timestamp may be off, both ways; the manual's number."""


IN_QUERY: Mapping[str, str] = {"timestamp": "timestamp", "sign": "signature"}
"""What calls signed in the query carry there, and the header that it must equal."""


class AuthChecker:
    """Checks the signed headers of all accounts; remembers every nonce for at least twice the clock's window.

    Nonces are kept in two sets that change places, so forgetting costs nothing and memory stays bounded
    by the requests of four windows.
    """

    def __init__(
        self, accounts: Iterable[Credentials], status: int, profile: VendorProfile | None = None
    ) -> None:
        self._status = status
        self._signer = signature if profile is None else profile.signer
        self._digits = (10, 13) if profile is None else (13,) if profile.timestamp_unit == "ms" else (10,)
        self._secrets: dict[str, str] = {}
        self._users: dict[str, set[str]] = {}
        for account in accounts:
            self.admit(account)
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._turned = float("-inf")

    def admit(self, account: Credentials) -> None:
        """Accept these credentials from now on; a known key gets one more sub-account."""
        if self._secrets.setdefault(account.access_key, account.access_secret) != account.access_secret:
            raise ValueError("one access key has one secret")
        self._users.setdefault(account.access_key, set()).add(account.user_id)

    def revoke(self, access_key: str) -> None:
        """Refuse this key from now on."""
        del self._secrets[access_key], self._users[access_key]

    def is_repeated(self, nonce: str, now: float) -> bool:
        """Whether this nonce was seen before; from now on it was. Asked for every request that arrives."""
        if now - self._turned >= 2 * CLOCK_WINDOW:
            forget_all = now - self._turned >= 4 * CLOCK_WINDOW
            self._young, self._old = set(), set() if forget_all else self._young
            self._turned = now
        if nonce in self._young or nonce in self._old:
            return True
        self._young.add(nonce)
        return False

    def check(self, headers: Mapping[str, str], now: float, *, repeated: bool) -> None:
        """Raise the refusal (code 401) that names the wrong header, never the secret."""
        found = []
        for name in ("access-key", "timestamp", "nonce-str", "user-id", "signature"):
            value = headers.get(name)
            if not value:
                raise self._refusal(f"header {name} is missing")
            found.append(value)
        access_key, timestamp, nonce, user_id, signed = found
        secret = self._secrets.get(access_key)
        if secret is None:
            raise self._refusal("unknown access key")
        if not (len(nonce) == NONCE_LENGTH and nonce.isascii() and nonce.isalnum()):
            raise self._refusal(f"nonce-str must be {NONCE_LENGTH} letters or digits")
        if not timestamp.isascii():
            raise self._refusal("timestamp must be digits")
        if signed != self._signer(access_key, timestamp, nonce, secret):
            raise self._refusal("bad signature")
        if len(timestamp) not in self._digits or not _within_window(timestamp, now):
            raise self._refusal(f"timestamp outside {CLOCK_WINDOW:.0f} s")
        if user_id not in self._users[access_key]:
            raise self._refusal("unknown user id")
        if repeated:
            raise self._refusal("nonce reused")

    def check_query(self, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Raise the refusal for a call that must carry timestamp and sign in its query, and does not.

        To be asked after `check`, which knows the headers to be right.
        """
        for name, header in IN_QUERY.items():
            if not query.get(name):
                raise self._refusal(f"{name} is missing in the query")
            if query[name] != headers[header]:
                raise self._refusal(f"{name} in the query is not the header {header}")

    def _refusal(self, msg: str) -> Refusal:
        return Refusal(401, msg, status=self._status)


def _within_window(timestamp: str, now: float) -> bool:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) in (10, 13)):
        return False
    milliseconds = int(timestamp) * (1000 if len(timestamp) == 10 else 1)
    return abs(round(now * 1000) - milliseconds) <= CLOCK_WINDOW * 1000


_LEAST, _LARGEST = -(2**63), 2**63 - 1

Check = Callable[[Any], str | None]
"""What is wrong with a value of a JSON document, or None."""

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _check_of(schema: Mapping[str, Any]) -> Check:
    """The check of one JSON schema, its kinds only: what else a value must be is the platform's own rule."""
    named = str(schema.get("type"))
    if named not in _KINDS:
        return lambda _: None
    if schema.get("contentMediaType") == "application/json":
        return _check_of_json_text(_check_of(schema.get("contentSchema", {})))
    kinds = _KINDS[named]
    inner = _check_of(schema.get("items", {}))
    fields = {name: _check_of(field) for name, field in schema.get("properties", {}).items()}
    required = tuple(schema.get("required", ()))

    def check(value: Any) -> str | None:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            return f"must be {'an' if named[0] in 'aio' else 'a'} {named}"
        if isinstance(value, int) and not _LEAST <= value <= _LARGEST:
            return "must be an integer of 64 bits"
        if isinstance(value, list):
            return next(
                (f"item {at}: {wrong}" for at, item in enumerate(value) if (wrong := inner(item))), None
            )
        if isinstance(value, dict):
            return _wrong_field(value, fields, required)
        return None

    return check


def _check_of_json_text(inner: Check) -> Check:
    """The check of a text that holds JSON, and of what it holds."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "must be a string"
        try:
            return inner(orjson.loads(value))
        except orjson.JSONDecodeError:
            return "must be JSON text"

    return check


def _wrong_field(
    given: Mapping[str, Any], fields: Mapping[str, Check], required: tuple[str, ...]
) -> str | None:
    """The first field that is missing or of the wrong kind, and what is wrong; null is as good as absent."""
    for name in required:
        if given.get(name) is None:
            return f"{name}: is required"
    for name, check in fields.items():
        value = given.get(name)
        if value is not None and (wrong := check(value)):
            return f"{name}: {wrong}"
    return None


def argument_check(endpoint: Endpoint) -> Callable[[dict[str, Any], Mapping[str, str]], None]:
    """The check of one declaration's arguments, made once.

    It takes what the body holds and what path and query hold as text, joins the second to the first in
    the declared kinds, and raises a refusal (code 400) that names the field. Where an argument travels
    is not checked: the vendor's own pages disagree on it.
    """
    schemas = {parameter.wire: parameter.rule.schema() for parameter in endpoint.parameters}
    fields = {name: _check_of(schema) for name, schema in schemas.items()}
    required = tuple(parameter.wire for parameter in endpoint.parameters if parameter.required)
    kinds = {name: schema.get("type", "string") for name, schema in schemas.items()}

    def check(given: dict[str, Any], texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            given[name] = _from_text(text, kinds.get(name, "string"))
        wrong = _wrong_field(given, fields, required)
        if wrong:
            raise Refusal(400, wrong)

    return check


def _from_text(text: str, kind: str) -> Any:
    """A value of path or query in its declared kind; what does not read as one stays text and is refused."""
    if (
        kind in ("integer", "number")
        and text.isascii()
        and text.removeprefix("-").isdigit()
        and len(text) < 21
    ):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text
