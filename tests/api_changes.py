"""How the public names differ from an earlier commit: `python -m tests.api_changes COMMIT`.

Lists what was removed or changed so that code written for that commit may break. It ends with 1 if the
newest section of CHANGELOG.md lacks one of the names, because nobody finds a replacement that is not told.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = ("bulk", "callbacks", "errors", "planning", "reconcile", "sandbox")
"""The modules of 0.1.0 whose `__all__` was public, beside the package's own."""
MOVED = {"planning": "plans"}


def changes(commit: str, root: Path = ROOT) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each difference in a sentence, with the names that have to be told."""
    import griffe  # only here: it comes with what `make release-check` installs

    before: Any = griffe.load_git("pandapon_async", ref=commit, repo=root)
    now: Any = griffe.load("pandapon_async", search_paths=[str(root)], try_relative_path=False)
    seen: set[str] = set()
    for module in ("", *PUBLIC):
        old = before[module] if module else before
        home = MOVED.get(module, module)
        new = now[home] if home else now
        if home != module:
            yield f"{module}: no longer there", (module, home)
        for name in sorted(old.exports or ()):
            place = f"{module}.{name}".lstrip(".")
            if name not in (new.exports or ()):
                yield f"{place}: no longer there", (name,)
                continue
            first, second = old[name], new[name]
            first = first.final_target if first.is_alias else first
            second = second.final_target if second.is_alias else second
            if first.path in seen or first.is_module:
                continue
            seen.add(first.path)
            if first.is_function:  # griffe compares members only
                found = griffe.find_breaking_changes(first.parent, second.parent)
                yield from _within((one for one in found if one.obj.path == second.path), place)
            else:
                yield from _within(griffe.find_breaking_changes(first, second), place)


def _within(found: Iterator[Any], place: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for one in found:
        kind, name = one.kind.value, one.obj.name
        if kind == "Public object was removed":
            yield f"{place}.{name}: no longer there", (name,)
            continue
        parameter = getattr(one.old_value, "name", None) or getattr(one.new_value, "name", None)
        called = place if place.endswith(name) else f"{place}.{name}"
        names = tuple(filter(None, (place.rpartition(".")[2] if name == "__init__" else name, parameter)))
        yield f"{called}({parameter or ''}): {kind[0].lower()}{kind[1:]}", names


def untold(names: tuple[str, ...], changelog: str) -> bool:
    """Whether one of the names is missing in the newest section of a changelog."""
    section = re.split(r"^## ", changelog, flags=re.MULTILINE)[1]
    return not all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", section) for name in names)


if __name__ == "__main__":
    told = (ROOT / "CHANGELOG.md").read_text("utf-8")
    missing = 0
    for sentence, names in changes(sys.argv[1]):
        missing += (absent := untold(names, told))
        print(f"{sentence}{'; CHANGELOG.md does not tell it' if absent else ''}")
    sys.exit(missing > 0)
