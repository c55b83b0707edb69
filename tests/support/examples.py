"""How many examples a costly property gets: a few in every run, many more at night."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["examples"]


def examples(usual: int, nightly: int) -> int:
    """Choose by the profile that `--nightly` loads before any test is imported."""
    return nightly if settings().max_examples >= 1000 else usual
