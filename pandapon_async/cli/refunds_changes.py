"""Say each change of the refunds that `pandapon refunds watch` follows, and how the watch ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from datetime import datetime
from pathlib import Path

from pandapon_async.cli.output import for_people, note, print_lines
from pandapon_async.client import Client
from pandapon_async.clock import time_limit
from pandapon_async.core.model import BEIJING
from pandapon_async.follow import Change, ChangeKind, Following, Seen
from pandapon_async.reconcile.explain import money
from pandapon_async.reconcile.statuses import state_label
from pandapon_async.tables.cells import Platform

__all__ = ["end", "how_to_resume", "say_changes"]


async def say_changes(client: Client, following: Following, limit: float | None) -> Following:
    """Say the changes until all refunds have come where they were wanted, or the time is over."""
    task = asyncio.current_task()
    assert task is not None, "asyncio.run makes one"
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows; not the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with following as changes:
        with contextlib.suppress(TimeoutError), time_limit(client.settings.clock, limit):
            async for change in changes:
                _say(change)
    return following


def _say(change: Change) -> None:
    if for_people():
        print(_line(change))
    else:
        print_lines([change.to_dict()])
    sys.stdout.flush()  # somebody may be waiting for this very line at the other end of a pipe


def _line(change: Change) -> str:
    """A change for people.

    >>> seen = Seen(status="refundsuccess", applied_fen=1200, refunded_fen=1200)
    >>> _line(Change(kind=ChangeKind.CHANGED, platform="1688", refund_id="TQ1", before=Seen(status="x"),
    ...     after=seen, seen_at="2026-01-31T00:00:00.000+00:00", since="2026-01-31T00:00:00.000+00:00"))
    '2026-01-31 08:00  TQ1  x -> refund success, ¥12.00'
    """
    moment = datetime.fromisoformat(change.seen_at).astimezone(BEIJING)
    parts = [f"{moment:%Y-%m-%d %H:%M}", change.refund_id]
    after = _words(change.platform, change.after)
    if change.kind is ChangeKind.STUCK:
        days = (datetime.fromisoformat(change.seen_at) - datetime.fromisoformat(change.since)).days
        parts.append(f"stuck: {after} for {days} days")
    elif change.before is None or change.before.status == change.after.status:
        parts.append(after)
    else:
        parts.append(f"{_words(change.platform, change.before)} -> {after}")
    amount = change.after.applied_fen if change.after.refunded_fen is None else change.after.refunded_fen
    if amount is not None:
        parts[-1] += f", {money(amount, change.after.currency or 'CNY')}"
    if change.pushed:
        parts[-1] += " (pushed)"
    return "  ".join(parts)


def _words(platform: Platform, seen: Seen) -> str:
    if seen.status is None:
        return "refund not found"
    return state_label(platform, seen.status, "en") or seen.status


def end(following: Following, state: Path | None) -> int:
    """Say what is left; return the exit code."""
    for one in following.stuck():
        note(f"stuck: {one.refund_id}, goods sent back {one.days} days ago and not received")
    left, elsewhere = following.left(), following.ended_elsewhere
    if elsewhere:
        note(f"{elsewhere:,} ended in a state that was not waited for")
    if left:
        note(f"{left:,} still going on; {how_to_resume(state)}")
        return 3
    return 1 if elsewhere else 0


def how_to_resume(state: Path | None) -> str:
    """Say what resumes a run that stopped."""
    if state is None:
        return "nothing is kept: --state FILE resumes where a run stopped"
    return "the same command resumes"
