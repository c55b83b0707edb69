"""What the envelope's `code` means, and what an inner error code does.

The vendor's table of error codes could not be read: only 200 is attested. All others here are
inference, and each set is a setting: `VendorProfile(codes=Codes(throttle={429, 50001}))`. What is said goes
before what is guessed: with `not_found={404, 500}` an answer of code 500 is no failure of the server.
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
    """Sets of codes, as numbers (the envelope's `code`) or text (an inner `errorCode`).

    A set that is given replaces the default, and goes before everything that is guessed.
    """

    success: frozenset[int | str] = attrs.field(default=frozenset({200}), converter=_set)
    """Carried out; the inner flag is looked at all the same."""
    throttle: frozenset[int | str] = attrs.field(default=frozenset({429}), converter=_set)
    """Too many calls, whether or not something was carried out before."""
    refused: frozenset[int | str] = attrs.field(
        default=frozenset({"gw.QosAppFrequencyLimit", "ApiCallLimit"}), converter=_set
    )
    """Too many calls, surely refused before anything was carried out (these are gateway codes of the upstream
    platforms), so that even a write may be repeated; an HTTP status is named as text, "http 429"."""
    authentication: frozenset[int | str] = attrs.field(default=frozenset({401, 403}), converter=_set)
    """Key, secret, signature, user id or clock."""
    not_found: frozenset[int | str] = attrs.field(default=frozenset({404}), converter=_set)
    """The thing asked for does not exist."""
    cause_fields: tuple[str, ...] = attrs.field(default=("errorCode",), converter=_names)
    """Fields of the answer or of its data whose text is compared with the sets; never a message."""

    _said: frozenset[str] = attrs.field(default=frozenset(), init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        defaults = {field.name: field.default for field in attrs.fields(Codes)}
        said = [name for name in ("success", *_MEANINGS) if getattr(self, name) != defaults[name]]
        object.__setattr__(self, "_said", frozenset(said))
        for number, one in enumerate(said):
            for other in said[number + 1 :]:
                if both := getattr(self, one) & getattr(self, other):
                    shown = ", ".join(sorted(map(str, both)))
                    raise ConfigurationError(f"codes: {shown} stands in {one} and in {other}; keep one")

    def meaning(self, found: Collection[int | str]) -> tuple[Meaning | None, bool]:
        """What codes and causes of an answer mean, and whether that was said or is a guess."""
        for said in (True, False):
            for name in _MEANINGS:
                if (name in self._said) is said and not getattr(self, name).isdisjoint(found):
                    return name, said
        return None, False
