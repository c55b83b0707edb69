"""The journal of writes: a write is on disk before its first byte is sent.

The vendor has no idempotency keys, so nothing on its side prevents a second refund. Every client has a
journal (`client.journal`). This package has its parts, for code that reads a journal or settles open writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandapon_async.core.later import later
from pandapon_async.journal.identity import WriteKey, Writer
from pandapon_async.journal.intent import Intent, IntentState, Resolution

if TYPE_CHECKING:
    from pandapon_async.journal.callbacks import (
        CreateUnderWay,
        Settled,
        SettlingClient,
        journal_settler,
        settler_by_key,
    )
    from pandapon_async.journal.journal import Journal
    from pandapon_async.journal.resolve import Reader, ResolvedOutcome, Resolver, judge, resolve_outcome

__all__ = [
    "CreateUnderWay",
    "Intent",
    "IntentState",
    "Journal",
    "Reader",
    "Resolution",
    "ResolvedOutcome",
    "Resolver",
    "Settled",
    "SettlingClient",
    "WriteKey",
    "Writer",
    "journal_settler",
    "judge",
    "resolve_outcome",
    "settler_by_key",
]

if not TYPE_CHECKING:
    __getattr__ = later(
        __name__,
        {
            "journal.callbacks": "CreateUnderWay Settled SettlingClient journal_settler settler_by_key",
            "journal.journal": "Journal",
            "journal.resolve": "Reader ResolvedOutcome Resolver judge resolve_outcome",
        },
    )
