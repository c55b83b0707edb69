"""Makes the pictures of the docs: the page of a reconciliation, the workbook, and the demo in a terminal.

    python -m tests.support.pictures [FOLDER]

It needs chromium, and for the workbook soffice (LibreOffice Calc) and pdftoppm. The sandbox's ledger is the
same every time, so the pictures change only with what they show; the demo's figures are those of the machine.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import re
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from pandapon_async import Client, Settings
from pandapon_async.core.model import BEIJING
from pandapon_async.reconcile import Options, reconcile
from pandapon_async.sandbox import Sandbox
from tests.support.browser import chromium

AS_OF = datetime(2023, 8, 16, tzinfo=BEIJING)
COLORS = 160
ROOT = Path(__file__).parents[2]


async def reports(folder: Path) -> None:
    """A reconciliation of 400 rows against a sandbox of its own."""
    async with Sandbox(refunds=400, seed=7) as sandbox:
        rows = list(sandbox.ledger_rows())
        with (folder / "ledger.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        settings = Settings(base_url=sandbox.base_url, rate=None)
        async with Client(sandbox.credentials, settings) as client:
            options = Options(as_of=AS_OF, language="en")
            await reconcile(client, folder / "ledger.csv", folder, options=options)


async def page_pictures(folder: Path, out: Path) -> None:
    """The page on a desk and on a phone."""
    async with chromium() as page:
        await page.open(folder / "report.html", width=1240, height=860)
        await page.picture(out / "report.png")
        await page.open(folder / "report.html", width=390, height=844, phone=True)
        await page.picture(out / "report-phone.png", height=1100)


def workbook_picture(folder: Path, out: Path) -> None:
    """The list of the workbook, as LibreOffice shows it: the upper left of its sheet."""
    subprocess.run(
        ["soffice", "--headless", "--convert-to", "pdf", "--outdir", folder, folder / "report.xlsx"],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        ["pdftoppm", "-r", "260", "-f", "2", "-l", "2", "-png", folder / "report.pdf", folder / "sheet"],
        check=True,
    )
    picture = Image.open(next(folder.glob("sheet*.png")))
    width, height = picture.size
    picture.crop((int(width * 0.05), int(height * 0.08), int(width * 0.76), int(height * 0.31))).save(
        out / "workbook.png"
    )


def demo_picture(folder: Path, out: Path) -> None:
    """What `make demo` tells, as a drawing of a terminal."""
    command = [sys.executable, "-m", "pandapon_async", "demo"]
    ended = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    shown = ended.stdout.decode().rstrip()
    console = Console(record=True, width=116, file=io.StringIO(), highlight=False)
    console.print(Text.assemble(("$ make demo\n", "bold"), shown))
    drawn = console.export_svg(title="pandapon demo", unique_id="demo")
    own = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)  # those would come from another site
    (out / "demo.svg").write_text(re.sub("[ \t]+$", "", own, flags=re.MULTILINE), "utf-8")


def shrink(path: Path) -> None:
    """Few colours: a picture of a page needs no more."""
    Image.open(path).convert("RGB").quantize(COLORS).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Make all of them."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        asyncio.run(reports(folder))
        asyncio.run(page_pictures(folder, out))
        workbook_picture(folder, out)
        demo_picture(folder, out)
    for name in ("report.png", "report-phone.png", "workbook.png"):
        shrink(out / name)


if __name__ == "__main__":
    main()
