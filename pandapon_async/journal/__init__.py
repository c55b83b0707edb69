"""The journal of writes: what was about to be sent is on disk before the first byte leaves.

The vendor has no idempotency key, so nothing on its side stops a second refund. Every client has a journal
(`client.journal`); here are its parts, for those who look into one or settle what is left open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pandapon_async.journal.identity import WriteKey, Writer
from pandapon_async.journal.intent import Intent, IntentState, Resolution
from pandapon_async.journal.journal import Journal

if TYPE_CHECKING:
    from pandapon_async.journal.callbacks import (
        CreateUnderWay,
        Settled,
        SettlingClient,
        journal_settler,
        settler_by_key,
    )
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

_LATER = {
    "callbacks": ("CreateUnderWay", "Settled", "SettlingClient", "journal_settler", "settler_by_key"),
    "resolve": ("Reader", "ResolvedOutcome", "Resolver", "judge", "resolve_outcome"),
}


def __getattr__(name: str) -> Any:
    """What stands on models and callbacks is loaded when it is first asked for: a client starts without."""
    import importlib

    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
