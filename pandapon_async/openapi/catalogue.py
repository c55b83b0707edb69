"""The place of calls in the vendor's navigation, and its entries that are not declared."""

from __future__ import annotations

import json
from importlib import resources

import attrs

from pandapon_async.declare.endpoint import Endpoint

__all__ = ["PLATFORMS", "Section", "Undocumented", "section_of", "undocumented"]

PLATFORMS = {"alibaba": "1688", "taobao": "taobao"}
"""The platforms, from their rooms in the API to their own names."""


@attrs.define(frozen=True)
class Section:
    """A group of calls: "v1", "1688", "refunds". Addresses and freight belong to no platform ("")."""

    generation: str
    platform: str
    group: str

    def __str__(self) -> str:
        return f"{self.platform} {self.group}".strip()


@attrs.define(frozen=True)
class Undocumented:
    """A call that the navigation names, but whose path no page that could be read shows."""

    generation: str
    platform: str
    group: str
    title: str
    page: str | None

    @property
    def section(self) -> Section:
        """The group it would be in."""
        return Section(self.generation, self.platform, self.group)


def section_of(endpoint: Endpoint) -> Section:
    """The group that a declared call is in, from its name.

    >>> from pandapon_async.api.registry import endpoints
    >>> str(section_of(endpoints()["v1.alibaba.refunds.get"]))
    '1688 refunds'
    """
    *middle, _ = endpoint.name.split(".")
    platform = PLATFORMS[middle[0]] if len(middle) > 1 else ""
    return Section(endpoint.generation, platform, middle[-1])


def undocumented() -> list[Undocumented]:
    """The calls with unknown paths. They are listed, never called: paths are not invented."""
    text = resources.files("pandapon_async.openapi").joinpath("undocumented.json").read_text(encoding="utf-8")
    return [Undocumented(**row) for row in json.loads(text)]
