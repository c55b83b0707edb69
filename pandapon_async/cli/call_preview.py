"""The preview of a call for `--dry-run`, without headers and images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pandapon_async.declare.arguments import Location
from pandapon_async.declare.endpoint import Endpoint, Evidence
from pandapon_async.images import Image

__all__ = ["preview"]


def preview(endpoint: Endpoint, encoded: Mapping[str, Any]) -> dict[str, Any]:
    """Return method, path, query and body of a call with these checked arguments (by wire name)."""
    where = {one.wire: one.location for one in endpoint.parameters}
    places: dict[Location, dict[str, Any]] = {place: {} for place in Location}
    for wire, value in encoded.items():
        shown = f"<{value.format}, {value.size} bytes>" if isinstance(value, Image) else value
        places[where[wire]][wire] = shown
    path = endpoint.path
    for wire, value in places[Location.PATH].items():
        path = path.replace(f"{{{wire}}}", quote(str(value), safe=""))
    made: dict[str, Any] = {"method": endpoint.method, "path": path, "query": places[Location.QUERY]}
    if endpoint.method != "GET":
        made["body"] = places[Location.BODY]
    if endpoint.evidence is Evidence.INFERRED:
        made["inferred"] = True  # the real call is refused without --allow-inferred
    return made
