"""Workbooks of some kilobytes that would fill the memory: each is refused at once, within a gigabyte."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.xlsx_package import Archive
from tests.support.examples import examples
from tests.support.fuzz_ledgers import PARTS, workbook
from tests.support.tables import records, whole_table

BEGIN = '<worksheet><sheetData><row r="1"><c t="inlineStr"><is><t>a</t></is></c></row>'
SHEET, TEXTS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
RELATIONS = "xl/_rels/workbook.xml.rels"
OTHER_PARTS = {
    **PARTS,
    SHEET: BEGIN + "</sheetData></worksheet>",
    RELATIONS: '<Relationships><Relationship Id="a" Target="worksheets/sheet1.xml"/>'
    '<Relationship Id="b" Type="styles" Target="styles.xml"/></Relationships>',
}
BOMBS = {
    "a cell": (SHEET, BEGIN + '<row><c t="inlineStr"><is><t>', "x" * 50),
    "a cell in pieces": (SHEET, BEGIN + '<row><c t="inlineStr"><is>', "<t>xxxxxxxx</t>"),
    "a tag": (SHEET, BEGIN + '<row><c r="', "A" * 50),
    "a comment": (SHEET, BEGIN + "<!--", "x" * 50),
    "columns": (SHEET, BEGIN + "<row>", "<c/>"),
    "rows": (SHEET, BEGIN, "<row/>"),
    "nesting": (SHEET, BEGIN, "<a>"),
    "texts": (TEXTS, "<sst>", "<si/>"),
    "a text": (TEXTS, "<sst><si>", "<t>x</t>"),
    "relations": (RELATIONS, "<Relationships>", '<Relationship Id="r" Target="x"/>'),
    "styles": ("xl/styles.xml", "<styleSheet><cellXfs>", '<xf numFmtId="14"/>'),
    "sheets": ("xl/workbook.xml", "<workbook><sheets>", '<sheet name="s"/>'),
}
SLOW = {"rows", "texts"}  # millions of them are allowed, which takes some seconds
GROUPS = [[name for name in BOMBS if name not in SLOW], *([name] for name in BOMBS)]
READ = """
import resource, sys, time
from pathlib import Path
from pandapon_async.errors import InvalidArgumentError
from tests.support.tables import whole_table
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for path in map(Path, sys.argv[1:]):
    begun = time.process_time()
    try:
        for _ in whole_table(path).records():
            pass
    except InvalidArgumentError as error:
        print(str(error).replace("\\n", " "))
        took = time.process_time() - begun
        if took > 15:
            sys.exit(f"{path.name}: {took} seconds")
    else:
        sys.exit(f"{path.name} was read to its end")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
@pytest.mark.parametrize(
    "names", [pytest.param(names, marks=pytest.mark.nightly if len(names) == 1 else ()) for names in GROUPS]
)
def test_bombs_are_refused(names: list[str], tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.xlsx" for name in names]
    for path in paths:
        _write(path, *BOMBS[path.stem], examples(70_000_000, 120_000_000))
        assert path.stat().st_size < 1_000_000
    ended = subprocess.run(
        [sys.executable, "-c", READ, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    said = ended.stdout.splitlines()
    assert len(said) == len(names)
    for name, line in zip(names, said, strict=True):
        assert re.search("damaged|longer than any|more than the limit", line), name


def _write(path: Path, part: str, begin: str, more: str, size: int) -> None:
    block = more * (1_000_000 // len(more))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in OTHER_PARTS.items():
            if name != part:
                archive.writestr(name, content)
        with archive.open(part, "w") as file:
            file.write(begin.encode())
            for _ in range(size // len(block)):
                file.write(block.encode())


BEYOND = {
    "rows": {SHEET: BEGIN + '<row r="1048577"/></sheetData></worksheet>'},
    "rows without a number": {
        SHEET: BEGIN + '<row r="1048570"/>' + "<row/>" * 20 + "</sheetData></worksheet>"
    },
    "rows that go back": {SHEET: BEGIN + '<row r="1"/></sheetData></worksheet>'},
    "a row of another script": {SHEET: BEGIN + '<row r="٣"/></sheetData></worksheet>'},
    "columns": {SHEET: BEGIN + '<row><c r="XFE2"/></row></sheetData></worksheet>'},
    "nesting": {SHEET: BEGIN + "<a>" * 300 + "</a>" * 300 + "</sheetData></worksheet>"},
    "sheets": {"xl/workbook.xml": "<workbook>" + '<sheet name="s"/>' * 5_000 + "</workbook>"},
    "a tag": {SHEET: BEGIN + f'<row a="{"x" * 3_000_000}"/></sheetData></worksheet>'},
    "a text outside of all": {TEXTS: "<sst><t>x</t></sst>"},
}


@pytest.mark.parametrize("what", BEYOND)
def test_what_no_spreadsheet_has_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.xlsx"
    path.write_bytes(workbook({**PARTS, SHEET: BEGIN + "</sheetData></worksheet>", **BEYOND[what]}))
    with pytest.raises(InvalidArgumentError, match="damaged"):
        records(path)


def test_the_last_column_there_is(tmp_path: Path) -> None:
    path = tmp_path / "wide.xlsx"
    last = '<c r="XFD1048576"><v>7</v></c><c r="A1048576" t="inlineStr"><is><t>b</t></is></c>'
    row = f'<row r="1048576">{last}</row>'
    path.write_bytes(workbook({**PARTS, SHEET: BEGIN + row + "</sheetData></worksheet>"}))
    assert [record.row for record in whole_table(path).records()] == [1_048_576]


def test_a_disk_that_fails_is_no_damage(tmp_path: Path) -> None:
    """What is wrong with the disk is told as it is: the workbook may be sound."""
    path = tmp_path / "sound.xlsx"
    path.write_bytes(workbook({**PARTS, SHEET: BEGIN + "</sheetData></worksheet>"}))
    with pytest.raises(OSError, match="Input/output error"), Archive(path):
        raise OSError(errno.EIO, "Input/output error")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        Archive(path)
