"""Which declared call a request is for, from the declarations' own path templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import attrs

from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox.checks import argument_check

__all__ = ["Route", "Routes"]


@attrs.define(eq=False, slots=False)
class Route:
    """One declared call and the check of its arguments, made when it is first called."""

    endpoint: Endpoint
    _check: Callable[[dict[str, Any], Mapping[str, str]], None] | None = None

    @property
    def names(self) -> tuple[str, str]:
        """The names of the call, plain and pinned."""
        return self.endpoint.name, self.endpoint.pin

    def check(self, given: dict[str, Any], texts: Mapping[str, str]) -> None:
        """Join the texts of path and query to the body's arguments; a refusal names what is wrong."""
        if self._check is None:
            self._check = argument_check(self.endpoint)
        self._check(given, texts)


class Routes:
    """All declared calls by method and path, matched before any percent-decoding."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._plain: dict[str, dict[str, Route]] = {}
        self._templates: list[tuple[re.Pattern[str], str, Route]] = []
        for endpoint in endpoints.values():
            route = Route(endpoint)
            if "{" in endpoint.path:
                self._templates.append((_pattern(endpoint.path), endpoint.method, route))
            else:
                self._plain.setdefault(endpoint.path, {}).setdefault(endpoint.method, route)

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str], bool]:
        """The route, the arguments in the path, and whether the path is declared for any method."""
        plain = self._plain.get(path)
        if plain is not None:
            return plain.get(method), {}, True
        known = False
        for pattern, declared, route in self._templates:
            match = pattern.fullmatch(path)
            if match is not None:
                known = True
                if declared == method:
                    return route, {name: unquote(text) for name, text in match.groupdict().items()}, True
        return None, {}, known


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile(
        "".join(f"(?P<{part}>[^/]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
    )
