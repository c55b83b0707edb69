"""The page of a reconciliation in a real Chromium: sorting, filters, search, copying, print, no script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pypdf
import pytest
import pytest_asyncio

from pandapon_async.reconcile.options import Language
from pandapon_async.reconcile.report import Report
from pandapon_async.reconcile.verdict import Lookup, Outcome
from pandapon_async.reconcile.words import words_of
from tests.support.browser import FOUND, Page, chromium
from tests.test_reconcile_report import found, hostile, ledger_row, listed, seen, summary

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(FOUND is None, reason="no Chromium is installed on this machine"),
]
SHOWN = "[...document.querySelectorAll('#list tbody tr:not([hidden])')]"


def write_page(path: Path, rows: Any, language: Language = "en") -> Path:
    words = words_of(language)
    path.write_text("".join(Report(summary(*rows), listed(*rows), words).pieces()), encoding="utf-8")
    return path


def few() -> list[Any]:
    return [
        seen(
            ledger_row(
                at,
                amount_fen=amount,
                shop=shop,
                order_id=f"254{at:016d}",
                applied_at=f"2024-05-{day}T00:00:00+08:00",
            ),
            lookup,
        )
        for at, amount, shop, day, lookup in (
            (2, 500, "杭州店", "01", found(applied_fen=300)),
            (3, 90_000, "深圳店", "20", Lookup(outcome=Outcome.MISSING)),
            (4, 100, "杭州店", "28", found(applied_fen=150)),
            (
                5,
                7_000,
                "Shop 3",
                "10",
                Lookup(outcome=Outcome.FAILED, error="no answer in time"),
            ),
        )
    ]


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Page]:
    async with chromium() as opened:
        yield opened


async def rows_of(page: Page) -> list[int]:
    numbers = await page.run(f"{SHOWN}.map(row => row.cells[0].querySelector('small').textContent)")
    return [int(re.sub(r"\D", "", text)) for text in numbers]


async def pick(page: Page, place: int, value: str) -> None:
    await page.run(
        f"(pick => {{pick.value = {value!r}; pick.dispatchEvent(new Event('change'))}})"
        f"(document.querySelectorAll('#bar select')[{place}])"
    )


async def search(page: Page, text: str) -> None:
    await page.run(
        f"(find => {{find.value = {text!r}; find.dispatchEvent(new Event('input'))}})"
        "(document.querySelector('#bar input'))"
    )


async def press(page: Page, column: int) -> None:
    await page.run(f"document.querySelectorAll('#list th')[{column}].firstChild.click()")


async def test_it_sorts_filters_and_searches(page: Page, tmp_path: Path) -> None:
    await page.open(write_page(tmp_path / "report.html", few()))
    assert await rows_of(page) == [3, 5, 2, 4]
    await press(page, 0)
    assert await rows_of(page) == [3, 5, 2, 4]
    await press(page, 0)
    assert await rows_of(page) == [4, 2, 5, 3]
    await press(page, 7)  # difference; rows without one stand last
    assert await rows_of(page) == [4, 2, 3, 5]
    await press(page, 2)
    assert await rows_of(page) == [5, 2, 4, 3]
    await pick(page, 0, "amount_mismatch")
    assert await rows_of(page) == [2, 4]
    told = await page.run("document.querySelector('#bar output').textContent")
    assert told == "Shown: 2 of 4 rows, ¥2.50 at stake"
    await pick(page, 0, "")
    await pick(page, 1, "杭州店")
    assert await rows_of(page) == [2, 4]
    await pick(page, 2, "15")
    assert await rows_of(page) == [2]
    await pick(page, 1, "")
    assert await rows_of(page) == [5, 2]
    await pick(page, 2, "")
    await search(page, "2540000000000000003")
    assert await rows_of(page) == [3]
    await search(page, "SHOP no answer")
    assert await rows_of(page) == [5]
    await search(page, "nothing of the kind")
    assert await rows_of(page) == []


async def test_it_copies_an_id(page: Page, tmp_path: Path) -> None:
    granted = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    await page.send("Browser.grantPermissions", permissions=granted)
    await page.send("Emulation.setFocusEmulationEnabled", enabled=True)
    await page.open(write_page(tmp_path / "report.html", few()))
    await page.run("document.querySelectorAll('#list tbody tr')[2].querySelectorAll('.id')[1].click()")
    copied = await page.run("new Promise(done => setTimeout(() => done(navigator.clipboard.readText()), 99))")
    assert copied == "2540000000000000002"
    assert await page.run("document.querySelector('#list .id[data-done]').dataset.done") == "copied"


async def test_without_its_script_the_page_is_whole_and_in_order(tmp_path: Path) -> None:
    async with chromium(scripts=False) as page:
        await page.open(write_page(tmp_path / "report.html", few()))
        document = await page.send("DOM.getDocument", depth=-1)
        bar = await page.send("DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#bar")
        box = await page.send("CSS.enable") or await page.send(
            "CSS.getComputedStyleForNode", nodeId=bar["nodeId"]
        )
    assert {"name": "display", "value": "none"} in box["computedStyle"]


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_nothing_that_others_wrote_runs(page: Page, tmp_path: Path, language: Language) -> None:
    rows, _ = hostile(language)
    await page.send(
        "Page.addScriptToEvaluateOnNewDocument", source="window.alert = () => { window.ran = true }"
    )
    await page.open(write_page(tmp_path / "report.html", rows, language))
    await search(page, "<script>")
    await pick(page, 1, "<img src=x onerror=alert(1)>")
    await search(page, "")
    assert await page.run(f"{SHOWN}.length") == 3
    for column in range(9):
        await press(page, column)
    assert await page.run("window.ran === undefined")
    assert await page.run("document.scripts.length") == 1
    assert await page.run("document.querySelectorAll('main img, main iframe, main a, main base').length") == 0


async def test_a_script_of_others_is_stopped_by_the_policy(page: Page, tmp_path: Path) -> None:
    """Even if escaping failed one day."""
    path = write_page(tmp_path / "report.html", few())
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("<footer>", "<script>window.ran = true</script><footer>"), encoding="utf-8")
    await page.open(path)
    assert await page.run("window.ran === undefined")
    assert await page.run("document.documentElement.classList.contains('live')")


async def test_print_has_the_heads_on_every_page_and_no_controls(page: Page, tmp_path: Path) -> None:
    many = [seen(ledger_row(at, amount_fen=100 + at), found(applied_fen=1)) for at in range(2, 82)]
    await page.open(write_page(tmp_path / "report.html", many))
    (tmp_path / "print.pdf").write_bytes(await page.pdf())
    texts = [one.extract_text() for one in pypdf.PdfReader(tmp_path / "print.pdf").pages]
    with_rows = [text for text in texts if "less than the ledger" in text]
    assert len(with_rows) > 2
    assert all("At stake" in text and "What to do" in text for text in with_rows)
    assert not any("All verdicts" in text for text in texts)


async def test_a_phone_sees_cards_and_never_scrolls_sideways(page: Page, tmp_path: Path) -> None:
    await page.open(write_page(tmp_path / "report.html", few()), width=360, height=740, phone=True)
    assert await page.run("document.documentElement.scrollWidth") == 360
    assert await page.run("getComputedStyle(document.querySelector('#list thead')).display") == "none"
    label = "getComputedStyle(document.querySelector('#list td:nth-child(3)'), '::before').content"
    assert await page.run(label) == '"Shop"'


async def test_it_is_dark_on_a_dark_device(tmp_path: Path) -> None:
    path = write_page(tmp_path / "report.html", few())
    shades = []
    for dark in (False, True):
        async with chromium(dark=dark) as page:
            await page.open(path)
            shades.append(await page.run("getComputedStyle(document.body).backgroundColor"))
    assert shades == ["rgb(247, 246, 243)", "rgb(20, 24, 30)"]


async def test_two_thousand_rows_sort_and_filter_at_once(page: Page, tmp_path: Path) -> None:
    shops = [ledger_row(at, amount_fen=100 + at, shop=f"Shop {at % 50}") for at in range(2, 2_500)]
    rows = [seen(row, found(applied_fen=1)) for row in shops]
    await page.open(write_page(tmp_path / "report.html", rows))
    took = await page.run(
        "(() => {const start = performance.now();"
        "document.querySelectorAll('#list th')[2].firstChild.click();"
        "document.querySelector('#bar input').dispatchEvent(new Event('input'));"
        "return performance.now() - start})()"
    )
    assert await page.run(f"{SHOWN}.length") == 2_000
    assert took < 1_000
