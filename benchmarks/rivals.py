"""Packages that are only here to be measured against: imported by name, so that one may be missing.

Most of them bring no types along, and this is the one place that knows it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from typing import Any

__all__ = ["VERSIONS_OF", "is_installed", "module", "versions"]

VERSIONS_OF = (
    "pandapon-async", "aiohttp", "yarl", "multidict", "attrs", "cattrs", "orjson", "pybase64", "tenacity",
    "aiolimiter", "pyrate-limiter", "aiometer", "msgspec", "pydantic", "slack_sdk", "openai", "httpx",
    "httpx2", "uvloop",
)  # fmt: skip


def module(name: str) -> Any:
    """A package by the name it is imported by."""
    return importlib.import_module(name)


def is_installed(name: str) -> bool:
    """Whether it can be imported."""
    return importlib.util.find_spec(name) is not None


def versions() -> dict[str, str]:
    """What is installed, and in which version."""
    found = {}
    for name in VERSIONS_OF:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
