"""A real spreadsheet program without a window: what LibreOffice makes of a file."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["SOFFICE", "converted", "formulas_of_csv"]

SOFFICE = shutil.which("soffice")
"""The program of this machine, if it has it."""
_CSV = "Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false"
"""How a double click reads a CSV file: commas, quotation marks, UTF-8, and cells evaluated as formulas."""


def converted(path: Path, kind: str, folder: Path, *more: str) -> Path:
    """The file as another kind ("pdf", "fods", "csv"), in this folder."""
    assert SOFFICE is not None, "install libreoffice-calc"
    command = [SOFFICE, "--headless", f"-env:UserInstallation=file://{folder}/profile", *more]
    command += ["--convert-to", kind, "--outdir", str(folder), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / f"{path.stem}.{kind.partition(':')[0]}"


def formulas_of_csv(path: Path, folder: Path) -> list[str]:
    """The formulas of a CSV file once the program has opened it."""
    sheet = converted(path, "fods", folder, f"--infilter={_CSV}")
    found = ElementTree.parse(sheet).iter("{urn:oasis:names:tc:opendocument:xmlns:table:1.0}table-cell")
    attribute = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}formula"
    return [
        re.sub(r"^of:", "", unescape(cell.attrib[attribute])) for cell in found if attribute in cell.attrib
    ]
