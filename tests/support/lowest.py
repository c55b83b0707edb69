"""Prints the lower bounds of our dependencies as pip's constraints: `python -m tests.support.lowest`.

`make lowest` installs exactly these, so that what pyproject.toml promises is what was tested.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

__all__ = ["lower_bounds"]

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
EXTRAS = ("images", "otel", "postgres", "reconcile")
OF_ITS_TIME = {"click": "8.2.1"}
"""What the lowest typer stood on: with a newer click it warns, and warnings are errors in tests."""


def lower_bounds() -> dict[str, str]:
    """The lowest allowed version of each run-time dependency, extras included."""
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    found = dict(OF_ITS_TIME)
    for requirement in wanted:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9.]+)", requirement)
        assert match is not None, f"{requirement} has no lower bound"
        found[match[1]] = match[2]
    return found


if __name__ == "__main__":
    print("\n".join(f"{name}=={version}" for name, version in lower_bounds().items()))
