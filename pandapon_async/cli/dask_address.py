"""The value of `--dask`: the address of a scheduler, or nothing. Every command line uses this."""

from __future__ import annotations

from typing import Final

__all__ = ["ADDRESS", "HERE"]

HERE: Final = "here"
"""The value without an address: a cluster on this machine for this run."""
ADDRESS: Final = r"[a-z]+://\S+|\S+:[0-9]{1,5}|\S+\.json|here"
"""The pattern of an address: tcp://host:8786, host:8786, a scheduler's file."""
