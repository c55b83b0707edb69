"""Check the arguments of a sandbox.

An argument that is silently ignored, such as an unknown word or a fault of a call that does not exist, would
make the test that relies on it prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Final

from pandapon_async.api.registry import endpoints
from pandapon_async.sandbox.faults import Fault, parse_faults
from pandapon_async.sandbox.list_shapes import ListShape
from pandapon_async.settings import Credentials, VendorProfile

__all__ = ["check_arguments", "read_accounts", "read_faults"]

_NUMBER: Final = (int, float)
_KINDS: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "refunds": ((int,), "a whole number"),
    "seed": ((int,), "a whole number"),
    "rate": ((*_NUMBER, type(None)), "a number of calls per second, or None"),
    "log_limit": ((int, type(None)), "a whole number, or None"),
    "auth_status": ((int,), "an HTTP status"),
    "visible_after": (_NUMBER, "a number of seconds"),
    "second_form_refused": ((bool,), "True or False"),
    "orders_name_refunds": ((bool,), "True or False"),
    "profile": ((VendorProfile, type(None)), "a VendorProfile, or None"),
    "lists": ((ListShape, type(None)), "a ListShape, or None"),
}
_WORDS: Final[dict[str, tuple[str | None, ...]]] = {
    "not_found": ("code", "null", "empty"),
    "freight": ("added", "included", None),
}


def check_arguments(**given: Any) -> None:
    """Check these arguments of `Sandbox`.

    Raises:
        ValueError: One has a wrong type, or a value that nothing understands.
    """
    for name, value in given.items():
        if name in _WORDS:
            if value not in _WORDS[name]:
                raise ValueError(f"{name} is {value!r}; it takes {', '.join(map(repr, _WORDS[name]))}")
            continue
        kinds, words = _KINDS[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{name} is {value!r}; it takes {words}")
    if given["visible_after"] < 0 or given["visible_after"] != given["visible_after"]:
        raise ValueError("visible_after must be 0 or more seconds")


def read_faults(given: Iterable[Fault] | str) -> tuple[Fault, ...]:
    """Return the rules of these faults.

    Raises:
        ValueError: The text or an item is not a fault, or its endpoint names no call.
    """
    if not isinstance(given, str | Iterable):
        raise ValueError(f"faults is {given!r}; it takes a text such as 'reset_after:0.1', or several Fault")
    faults = parse_faults(given) if isinstance(given, str) else tuple(given)
    names = [name for pin, one in endpoints().items() for name in (pin, one.name)]
    for fault in faults:
        if not isinstance(fault, Fault):
            raise ValueError(
                f"faults has {fault!r} in a list of Fault; several in one text are parted by commas"
            )
        pattern = fault.endpoint
        if pattern is not None and not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"the endpoint {pattern!r} of a fault matches no call (`pandapon endpoints`)")
    return faults


def read_accounts(given: Iterable[Credentials]) -> tuple[Credentials, ...]:
    """Return these further accounts.

    Raises:
        ValueError: One of them is something else.
    """
    accounts = () if isinstance(given, str) else tuple(given)
    if isinstance(given, str) or not all(isinstance(one, Credentials) for one in accounts):
        raise ValueError("accounts takes Credentials only")
    return accounts
