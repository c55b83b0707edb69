"""Make foreign text safe to show: no character moves the cursor, starts a line or hides a word.

The vendor's messages, file names and request ids reach terminals and logs. An escape sequence can retitle a
window, fill the clipboard or overwrite the line above; a line break can forge a log line; a bidirectional
override can show a file name backwards. Such characters are shown as `\\u001b`, which is also their JSON
form, so a JSON text keeps its meaning.
"""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Iterable

__all__ = ["INVISIBLE", "LOGGER", "meant", "one_line", "visible"]

INVISIBLE = (
    "\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U00013455"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
"""Control, format and separator characters and lone surrogates, as ranges for a character class of `re`."""

LOGGER = "pandapon_async"

_BREAKS = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")


def visible(text: str) -> str:
    """Spell out every control character of a text; line feeds stay.

    >>> visible("a\\x1b[2J\\nb")
    'a\\\\u001b[2J\\nb'
    """
    return _hidden().sub(_spelled, text)


def one_line(text: str) -> str:
    """Make a text safe and put it on one line: line breaks and tabs become one space.

    >>> one_line("no such\\r\\nrefund")
    'no such refund'
    """
    return visible(_BREAKS.sub(" ", text))


@functools.cache  # compiled on first use, because `errors` and so every import loads this module
def _hidden() -> re.Pattern[str]:
    return re.compile(f"[{INVISIBLE}]")


def _spelled(found: re.Match[str]) -> str:
    return found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1]


class _OneLine(logging.Filter):
    """Keeps a log record on one line, whatever its arguments contain."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        said = record.getMessage()
        if (plain := one_line(said)) != said:
            record.msg, record.args = plain, ()
        return True


_filter = _OneLine()
logging.getLogger(LOGGER).addFilter(_filter)


def meant(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean NAME?" for an unknown name with a close match, else "".

    >>> meant("journl", ["journal", "refunds"]), meant("x", ["journal"])
    ('; did you mean journal?', '')
    """
    import difflib

    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""
