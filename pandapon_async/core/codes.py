"""What the envelope's `code` means.

The vendor's table of error codes could not be read: only 200 is attested. All others here are
inference, and each set is a setting: `Settings(codes=Codes(throttle={429, 50001}))`.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from pandapon_async.core.options import Options

__all__ = ["Codes"]


def _set(values: Iterable[int | str]) -> frozenset[int | str]:
    return frozenset(values)


@attrs.define(frozen=True, kw_only=True)
class Codes(Options):
    """Sets of codes, as numbers (the envelope's `code`) or text (an inner `errorCode`)."""

    success: frozenset[int | str] = attrs.field(default=frozenset({200}), converter=_set)
    """Codes of a call that went well."""
    throttle: frozenset[int | str] = attrs.field(default=frozenset({429}), converter=_set)
    """Too many calls; whether something was carried out before, nobody knows."""
    refused: frozenset[int | str] = attrs.field(
        default=frozenset({"gw.QosAppFrequencyLimit", "ApiCallLimit"}), converter=_set
    )
    """Too many calls, surely refused before anything was carried out, so that even a write may be repeated.
    The defaults are gateway codes of the upstream platforms; an HTTP status is named as text, "http 429"."""
    authentication: frozenset[int | str] = attrs.field(default=frozenset({401, 403}), converter=_set)
    """Key, signature, user or clock were refused."""
    not_found: frozenset[int | str] = attrs.field(default=frozenset({404}), converter=_set)
    """The thing asked for does not exist."""
