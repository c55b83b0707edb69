"""Intents for tests: what a client would write down, by hand."""

from __future__ import annotations

from typing import Any

from pandapon_async.journal import Intent, Journal, WriteKey, Writer
from pandapon_async.journal.store import Reading

__all__ = ["WRITER", "at", "noted"]

WRITER = Writer("vendor", "1")


def at(seconds: float) -> Reading:
    """What the clocks say then: the wall, and the uptime of one boot."""
    return Reading(seconds, "boot", seconds)


async def noted(
    journal: Journal,
    *,
    operation: str = "o",
    natural_key: dict[str, Any],
    facts: dict[str, Any] | None = None,
    subjects: tuple[str, ...] = (),
    once: bool = False,
    writer: Writer = WRITER,
) -> Intent:
    """Write an intent down."""
    intent = journal.draft(
        WriteKey(writer.vendor, operation, natural_key), writer=writer, facts=facts or {}, digest="d"
    )
    await journal.add(intent, once=once, subjects=subjects)
    return intent
