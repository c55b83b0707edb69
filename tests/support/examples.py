"""How much a costly test gets, of examples, rows or parameters: little in every run, much more at night."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import settings

__all__ = ["examples"]


T = TypeVar("T")


def examples(usual: T, nightly: T) -> T:
    """Choose by the profile that `--nightly` loads before any test is imported."""
    return nightly if settings().max_examples >= 1000 else usual
