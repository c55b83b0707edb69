"""All that is fuzzed."""

from __future__ import annotations

from tests.support import fuzz_answers, fuzz_ledgers
from tests.support.fuzz_ledgers import PARTS, SHEET, sheet, workbook
from tests.support.fuzzing import Target

__all__ = ["PARTS", "SHEET", "TARGETS", "sheet", "workbook"]

TARGETS: dict[str, Target] = {**fuzz_answers.TARGETS, **fuzz_ledgers.TARGETS}
