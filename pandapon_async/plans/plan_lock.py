"""A lock: one process at a time applies a plan; others get its name."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pandapon_async.errors import ConfigurationError
from pandapon_async.plans.plan_file import PlanFile

__all__ = ["me", "take"]

PATIENCE = 2.0
"""Seconds within which a process that locked the plan writes its name into it."""


def take(plan: Path) -> FileLock:
    """Lock the plan for this process; blocks. Raises ConfigurationError with the name of the owner."""
    if not plan.is_file():
        raise ConfigurationError(f"the plan {plan} does not exist")
    lock = FileLock(f"{plan}.lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigurationError(
            f"{_owner(plan)} is applying {plan}; nothing was sent. Wait for it, or stop it"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"{plan} cannot be locked: {reason}") from None
    return lock


def me(now: float) -> dict[str, Any]:
    """What a process writes into the plan that it locked."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


def _owner(plan: Path) -> str:
    patience = time.monotonic() + PATIENCE
    while True:
        with PlanFile.reading(plan) as file:
            known: dict[str, Any] = file.get("applied_by") or {}
        if known and _may_live(known):
            since = datetime.fromtimestamp(known["since"], UTC).isoformat(timespec="seconds")
            return f"process {known['pid']} on {known['host']} since {since}"
        if time.monotonic() > patience:
            return "another process"
        time.sleep(0.02)


def _may_live(known: dict[str, Any]) -> bool:
    """Whether this process can be the current owner, not one that was killed."""
    if (
        known["host"] != socket.gethostname() or os.name == "nt"
    ):  # there signal 0 sends Ctrl-C instead of checking
        return True
    try:
        os.kill(known["pid"], 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
