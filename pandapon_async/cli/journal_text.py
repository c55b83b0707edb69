"""Describe an intent in words: its write, and the reason of its state."""

from __future__ import annotations

from pandapon_async.errors import ErrorKind
from pandapon_async.journal import Intent, IntentState

__all__ = ["reasons", "story", "what"]


def story(intent: Intent) -> str:
    """Describe an intent's write, its result and the reason of its state, one line each."""
    lines = [f"{intent.operation} {what(intent)}"]
    if intent.result:
        lines.append(f"-> {intent.result}")
    lines += reasons(intent)
    return "\n".join(lines)


def reasons(intent: Intent) -> list[str]:
    """Describe the reason of an intent's state, one line each."""
    kind, lines = intent.error_kind, list(intent.remarks)
    if intent.resolution is not None and lines:
        lines[-1] = f"{intent.resolution}: {lines[-1]}"
    if kind is ErrorKind.CANCELLED:
        lines.insert(0, "the caller cancelled it")
    elif kind is ErrorKind.PROCESS_ENDED:
        lines.insert(0, "the process ended before it recorded the result")
    elif kind is not None:
        lost = intent.state is IntentState.UNKNOWN
        lines.insert(0, f"the answer was lost or unclear ({kind})" if lost else f"ended by: {kind}")
    return lines


def what(intent: Intent) -> str:
    """Describe the natural key briefly."""
    return " ".join(
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in intent.natural_key.items()
    )
