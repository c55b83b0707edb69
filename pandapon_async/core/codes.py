"""The meaning of the envelope's `code` and of inner error codes.

The vendor's table of error codes could not be read: only 200 is documented. All other codes here are
inferred, and each set is a setting: `VendorProfile(codes=Codes(throttle={429, 50001}))`. A configured code
takes precedence over an inferred one: with `not_found={404, 500}` an answer of code 500 is not a failure of
the server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Literal

import attrs

from pandapon_async.core.options import Options
from pandapon_async.errors import ConfigurationError

__all__ = ["Codes", "Meaning"]

Meaning = Literal["refused", "throttle", "authentication", "not_found"]
_MEANINGS: Final[tuple[Meaning, ...]] = ("refused", "throttle", "authentication", "not_found")


def _set(values: Iterable[int | str]) -> frozenset[int | str]:
    return frozenset(values)


def _names(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.define(frozen=True, kw_only=True)
class Codes(Options):
    """Sets of codes: numbers are the envelope's `code`, text is an inner `errorCode`.

    A set that you pass replaces the default and takes precedence over every inferred code.
    """

    success: frozenset[int | str] = attrs.field(default=frozenset({200}), converter=_set)
    """Carried out; the inner flag is checked as well."""
    throttle: frozenset[int | str] = attrs.field(default=frozenset({429}), converter=_set)
    """Throttled; the operation may have been carried out before."""
    refused: frozenset[int | str] = attrs.field(
        default=frozenset({"gw.QosAppFrequencyLimit", "ApiCallLimit"}), converter=_set
    )
    """Throttled before anything was carried out, so even a write may be repeated. These are gateway codes of
    the upstream platforms; write an HTTP status as text, such as "http 429".
    """
    authentication: frozenset[int | str] = attrs.field(default=frozenset({401, 403}), converter=_set)
    """Authentication failed: key, secret, signature, user id or clock."""
    not_found: frozenset[int | str] = attrs.field(default=frozenset({404}), converter=_set)
    """The thing asked for does not exist."""
    cause_fields: tuple[str, ...] = attrs.field(default=("errorCode",), converter=_names)
    """Fields of the answer or its data whose text is compared with the sets; never a message."""

    _said: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        defaults = {field.name: field.default for field in attrs.fields(Codes)}
        said = [name for name in ("success", *_MEANINGS) if getattr(self, name) != defaults[name]]
        object.__setattr__(self, "_said", frozenset(said))
        for number, one in enumerate(said):
            for other in said[number + 1 :]:
                if both := getattr(self, one) & getattr(self, other):
                    shown = ", ".join(sorted(map(str, both)))
                    raise ConfigurationError(
                        f"codes: {shown} is in both {one} and {other}; keep it in one of them"
                    )

    def meaning(self, found: Collection[int | str]) -> tuple[Meaning | None, bool]:
        """The meaning of an answer's codes and causes, and whether it is configured or inferred."""
        for said in (True, False):
            for name in _MEANINGS:
                if (name in self._said) is said and not getattr(self, name).isdisjoint(found):
                    return name, said
        return None, False
