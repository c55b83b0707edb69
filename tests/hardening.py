"""Writes what was counted into docs/hardening.md: `python -m tests.hardening` (under two minutes).

It plays the table of tests/test_transport_faults.py, the sweeps of tests/test_transport_cancellation.py and
the searches for canaries of tests/test_privacy_places.py, and replaces what stands between their marks on
the page; all else there is left as it is. `python -m tests.hardening faults` writes that part only.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests import test_transport_cancellation as cancellation
from tests import test_transport_faults as faults
from tests.support import canaries, canary_scenes, matrix, scenes

PAGE = faults.PAGE


def put(text: str, mark: str, content: str) -> str:
    """The page with this between `<!-- mark -->` and `<!-- end of mark -->`."""
    before, start, rest = text.partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- end of {mark} -->")
    assert start, f"the page has no mark {mark!r}"
    assert end, f"the page has no end of {mark!r}"
    return f"{before}{start}\n{content}\n\n{end}{after}"


def fault_table() -> str:
    """All faults, each met by every kind of call, and the sums."""
    met = {name: matrix.cells(faults.fault_of(name)) for name in faults.TABLE}
    cells = [cell for row in met.values() for cell in row.values()]
    attempts, seen = sum(cell.attempts for cell in cells), sum(cell.seen for cell in cells)
    repeated, elsewhere = sum(cell.nonces_repeated for cell in cells), sum(cell.elsewhere for cell in cells)
    sums = (
        f"{len(met)} faults met by {len(matrix.KINDS)} kinds of call each, {len(cells)} calls in all: "
        f"{attempts} attempts, {seen} requests seen by the server, {repeated} nonces repeated, "
        f"{elsewhere} connections to where a redirect pointed."
    )
    rows = [matrix.row(name, row) for name, row in met.items()]
    return "\n".join([sums, "", matrix.HEAD, *rows])


def cancellation_table() -> str:
    """All sweeps, with what each left behind."""
    sweeps = cancellation.SWEEPS.items()
    return scenes.table(scenes.measure(name, scene) for name, (scene, _) in sweeps)


def canary_table() -> str:
    """All places that were searched, with what was planted and found."""
    found = {}
    for name in canary_scenes.SCENES:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = asyncio.run(canary_scenes.search(name, Path(folder)))
    return canaries.table(found)


PARTS = {"faults": fault_table, "cancellation": cancellation_table, "canaries": canary_table}


def main() -> None:
    """Write the page, or the parts of it that are named."""
    made = {part: PARTS[part]() for part in sys.argv[1:] or PARTS}
    text = PAGE.read_text("utf-8")  # now, as others may have written meanwhile
    for mark, content in made.items():
        text = put(text, mark, content)
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
