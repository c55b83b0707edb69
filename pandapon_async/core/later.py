"""Names of a package that are imported on first access, so that whoever needs one part loads one part."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["later"]


def later(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package.

    Define it `if not TYPE_CHECKING`, and import the names where checkers read: for them an unknown name stays
    an error.

    Args:
        package: Its `__name__`.
        homes: The names by the modules that have them: `{"core.rate_limiter": "RateLimiter"}`. Names are
            separated by spaces, and modules are relative to `pandapon_async`.
    """
    modules = {name: f"pandapon_async.{home}" for home, names in homes.items() for name in names.split()}

    def find(name: str) -> Any:
        """Import a name on first access, and keep it."""
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
