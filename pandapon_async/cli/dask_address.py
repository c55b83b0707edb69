"""What `--dask` takes: an address of a scheduler, or nothing. Every command line is read with it."""

from __future__ import annotations

from typing import Final

__all__ = ["ADDRESS", "HERE"]

HERE: Final = "here"
"""What stands for an address where none was said: a cluster of this machine, for this run."""
ADDRESS: Final = r"[a-z]+://\S+|\S+:[0-9]{1,5}|\S+\.json|here"
"""What is an address, and not the next argument: tcp://host:8786, host:8786, a scheduler's file."""
