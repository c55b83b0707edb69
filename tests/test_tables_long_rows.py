"""Rows of a workbook that are longer than any ledger's: refused, instead of held in memory as a whole."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pandapon_async.errors import InvalidArgumentError
from tests.support.fuzz_targets import PARTS
from tests.support.tables import records

SHEET = "xl/worksheets/sheet1.xml"
HEADER = '<row r="1"><c t="inlineStr"><is><t>a</t></is></c></row>'
LONG_TEXTS = '<c t="str"><v>' + "x" * 100_000 + "</v></c>"
SHORT_TEXT = '<c t="str"><v>text</v></c>'
LONG_NUMBERS = "<c><v>" + "1" * 100_000 + "</v></c>"


def workbook(path: Path, *rows: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in PARTS.items():
            if name != SHEET:
                archive.writestr(name, content)
        archive.writestr(SHEET, f"<worksheet><sheetData>{''.join(rows)}</sheetData></worksheet>")
    return path


@pytest.mark.parametrize("cell", [LONG_TEXTS, LONG_NUMBERS], ids=["texts", "numbers"])
@pytest.mark.parametrize("header", ["", HEADER], ids=["header", "row"])
def test_a_row_without_end_is_refused(tmp_path: Path, cell: str, header: str) -> None:
    path = workbook(tmp_path / "long.xlsx", header, f"<row>{cell * 100}</row>")
    with pytest.raises(InvalidArgumentError, match="is a damaged workbook"):
        records(path)


def test_a_wide_row_of_ordinary_cells_is_read(tmp_path: Path) -> None:
    path = workbook(tmp_path / "wide.xlsx", HEADER, f"<row>{SHORT_TEXT * 16_000}</row>")
    assert len(records(path)) == 1
