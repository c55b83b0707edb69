"""The source of the package, parsed once for all tests that look at it."""

from __future__ import annotations

import ast
import functools
import gc
from pathlib import Path

import pandapon_async

__all__ = ["FILES", "ROOT", "trees"]

ROOT = Path(pandapon_async.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
PLUGIN = ROOT.parent / "pytest_pandapon.py"


@functools.cache
def trees() -> dict[Path, ast.Module]:
    """The trees of the package and of the pytest plugin.

    They have 350,000 nodes, through which the search for garbage would go again and again.
    """
    gc.disable()
    try:
        found = {file: ast.parse(file.read_text(encoding="utf-8")) for file in (*FILES, PLUGIN)}
        gc.freeze()
    finally:
        gc.enable()
    return found
