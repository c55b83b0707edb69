"""Which public names lack a text: `python -m tests.documented` lists them, and ends with 1 if there are any.

Public is what the pages of docs/api show. A field counts as described where its own docstring or the `Args:`
of its class says what it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "api"
_SHOWN = re.compile(r"^::: (\S+)", re.MULTILINE)


def shown() -> Iterator[str]:
    """The names that the pages of the API show."""
    for page in sorted(PAGES.glob("*.md")):
        yield from _SHOWN.findall(page.read_text("utf-8"))


def undescribed() -> Iterator[str]:
    """The public names without a text, as dotted paths."""
    import griffe  # only here: it comes with what builds the site, and with `make check`

    package = griffe.load("pandapon_async", search_paths=[str(ROOT)], docstring_parser="google")
    seen: set[str] = set()
    for name in shown():
        yield from _missing(package[name.partition(".")[2]], seen)


def _missing(found: Any, seen: set[str]) -> Iterator[str]:
    thing: Any = found.final_target if found.is_alias else found
    if thing.path in seen:
        return
    seen.add(thing.path)
    if not thing.docstring and not thing.is_module:
        yield thing.path
    told = set(_told(thing))
    for name, member in thing.members.items():
        exported = name in (thing.exports or ()) if thing.is_module else not member.is_alias
        if name.startswith("_") or not (exported or (thing.is_module and thing.exports is None)):
            continue
        if member.is_alias and not _ours(member):
            continue
        if name not in told:
            yield from _missing(member, seen)


def _ours(member: Any) -> bool:
    return bool(member.is_alias) and member.target_path.startswith("pandapon_async.")


def _told(thing: Any) -> Iterator[str]:
    """The names that the `Args:` of a class's own docstring describes."""
    if thing.is_class and thing.docstring:
        for section in thing.docstring.parsed:
            if section.kind.value in ("parameters", "attributes"):
                for one in section.value:
                    yield from (name.strip() for name in one.name.split(","))


def main() -> int:
    """Print what lacks a text."""
    missing = list(undescribed())
    for path in missing:
        print(path)
    print(f"{len(missing)} public names without a text", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
