"""What a call would send: for `--dry-run`, which shows neither headers nor images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pandapon_async.declare.endpoint import Endpoint, Evidence, Location
from pandapon_async.images import Image

__all__ = ["preview"]


def preview(endpoint: Endpoint, encoded: Mapping[str, Any]) -> dict[str, Any]:
    """Method, path, query and body of a call with these checked arguments (by wire name)."""
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
        made["inferred"] = True  # it would be refused without --allow-inferred
    return made
