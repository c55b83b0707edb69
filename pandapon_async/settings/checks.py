"""The checks that settings share: a value that cannot work is refused with its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from pandapon_async.core.rate_limiter import check_limiter
from pandapon_async.errors import ConfigurationError

__all__ = [
    "Check", "choices", "count", "flag", "header_text", "instance", "one_of", "positive", "positive_or_none",
    "rate_limiter",
]  # fmt: skip

LARGEST_NUMBER = (
    1e9  # bound of seconds, calls and bytes: a value above it, or below its inverse, is a mistake
)

Check = Callable[[object, "attrs.Attribute[Any]", Any], None]
"""An attrs validator: raises ConfigurationError for a value that cannot work."""


def header_text(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Text that a header can carry; never shown in a message, because it may be a secret."""
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{attribute.name} must be text, not {type(value).__name__}")
    if not value:
        raise ConfigurationError(f"{attribute.name} is missing; get it from the vendor's console")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(
            f"{attribute.name} contains a character that an HTTP header cannot carry, such as a space or "
            "a newline"
        )


def _shown(value: Any) -> str:
    """A number itself; for anything else its type, because a misplaced secret may be behind it."""
    return repr(value) if isinstance(value, int | float) else type(value).__name__


def positive(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """A number above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 1 / LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise ConfigurationError(
            f"{attribute.name} must be a number above 0 and below {LARGEST_NUMBER:g}, not {_shown(value)}"
        )


def positive_or_none(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """A number above 0, or None."""
    if value is not None:
        positive(instance, attribute, value)


def count(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """A whole number above 0."""
    positive(instance, attribute, value)
    if not isinstance(value, int):
        raise ConfigurationError(f"{attribute.name} must be a whole number, not {value!r}")


def flag(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """True or False; a text such as "no" would count as True."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{attribute.name} must be True or False, not {type(value).__name__}")


def rate_limiter(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """A limiter (an object with `async acquire()`), or None."""
    if value is not None:
        check_limiter(value)


def one_of(*allowed: Any) -> Check:
    """One of these values."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in allowed:
            raise ConfigurationError(f"{attribute.name} must be one of {', '.join(map(repr, allowed))}")

    return check


def choices(*allowed: str) -> Check:
    """Several of these texts."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        for one in value:
            if one not in allowed:
                raise ConfigurationError(
                    f"{attribute.name} accepts {', '.join(allowed)}, not {str(one)[:40]!r}"
                )

    return check


def instance(kind: type[Any]) -> Check:
    """An object of this class."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(
                f"{attribute.name} must be a {kind.__name__}, not {type(value).__name__}"
            )

    return check
