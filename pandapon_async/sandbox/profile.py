"""The profile of a sandbox: strict answers to what no page of the vendor says.

Without a profile the sandbox is lenient where the pages contradict each other: it takes either unit of the
timestamp, and an argument wherever it comes. A client that is right by chance would then pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from pandapon_async.declare.arguments import Location
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox.rate import SlidingWindow
from pandapon_async.settings import ListFacts, VendorProfile

__all__ = ["Played", "Quotas"]

_CODES: Final = {"success": 200, "throttle": 429, "authentication": 401, "not_found": 404}
"""The codes that the sandbox answers by default."""


@attrs.define(eq=False)
class Played:
    """What a sandbox asks its profile; None plays none."""

    profile: VendorProfile | None

    def codes(self) -> dict[int | str, int]:
        """The code that goes out in place of the sandbox's own."""
        if self.profile is None:
            return {}
        sets = {number: getattr(self.profile.codes, name) for name, number in _CODES.items()}
        return {
            number: min((one for one in codes if isinstance(one, int)), default=number)
            for number, codes in sets.items()
            if number not in codes
        }

    def serves(self, endpoint: Endpoint) -> bool:
        """Whether the sandbox has this generation of the API."""
        wanted = None if self.profile is None else self.profile.generation
        return wanted is None or endpoint.generation == wanted

    @property
    def list_facts(self) -> ListFacts | None:
        """How its lists are paged; None: leniently."""
        return None if self.profile is None else self.profile.list

    def heard(
        self, endpoint: Endpoint, query: Mapping[str, str], body: Mapping[str, Any]
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """What of query and body is heard: in the other place an argument is as if it were empty."""
        overrides = {} if self.profile is None else self.profile.overrides
        override = overrides.get(endpoint.pin) or overrides.get(endpoint.name)
        place = None if override is None else override.arguments
        heard_query, heard_body = dict(query), dict(body)
        if place is None:
            return heard_query, heard_body
        for parameter in endpoint.parameters:
            if parameter.location is Location.PATH:
                continue
            away, here = (heard_body, heard_query) if place == "query" else (heard_query, heard_body)
            if away.pop(parameter.wire, None) is not None:
                here.setdefault(parameter.wire, "")
        return heard_query, heard_body


class Quotas:
    """The rate as a strict server counts it: over all callers, or for each key or user, by the profile."""

    def __init__(self, rate: float | None, profile: VendorProfile | None) -> None:
        self._rate = rate
        self._scope = None if profile is None else profile.quota_scope
        self._windows: dict[tuple[str, ...], SlidingWindow] = {}
        if rate is not None:
            SlidingWindow(rate)  # refuses what cannot be one

    def admit(self, now: float, headers: Mapping[str, str]) -> float | None:
        """None if the arrival is admitted, else the seconds until one would be."""
        if self._rate is None:
            return None
        names = {None: (), "key": ("access-key",), "user": ("access-key", "user-id")}[self._scope]
        whose = tuple(headers.get(name, "") for name in names)
        if whose not in self._windows:
            self._windows[whose] = SlidingWindow(self._rate)
        return self._windows[whose].admit(now)
