"""One process at a time applies a plan; the others are told which."""

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
"""Seconds in which a process that just took the plan will have put its name into it."""


def take(plan: Path) -> FileLock:
    """Take the plan for this process alone; blocks. Raises ConfigurationError that names who has it."""
    if not plan.is_file():
        raise ConfigurationError(f"no such plan: {plan}")
    lock = FileLock(f"{plan}.lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigurationError(
            f"{plan} is being applied by {_owner(plan)}; nothing was sent. Wait for it, or stop it"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"{plan} cannot be locked: {reason}") from None
    return lock


def me(now: float) -> dict[str, Any]:
    """What a process puts into the plan that it took."""
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
    """Whether it can be the one that has the plan now, and not one that was killed with it."""
    if (
        known["host"] != socket.gethostname() or os.name == "nt"
    ):  # there signal 0 does not ask, it sends Ctrl-C
        return True
    try:
        os.kill(known["pid"], 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
