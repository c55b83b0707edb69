"""What a ledger and the platform write reaches no file as markup, formula or control character.

14 texts that browsers would run and 28 that spreadsheets would, in every field that is handed through, in
both languages, in all the files of a run: from the state on, as `pandapon reconcile` writes them.
"""

from __future__ import annotations

import csv
import json
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from pyarrow import parquet

from pandapon_async.plain_text import visible
from pandapon_async.reconcile.options import Language
from pandapon_async.reconcile.report_script import SCRIPT
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, Outcome, VerdictRule
from pandapon_async.reconcile.writing import write_outputs
from tests.support.spreadsheets import SOFFICE, formulas_of_csv
from tests.test_reconcile_report import FORMULAS, XSS, Checker

pytestmark = pytest.mark.may_block("files of a run are written and read")

PAYLOADS = XSS + FORMULAS
ENDED = datetime(2024, 5, 31, 4, tzinfo=UTC)
LANGUAGES = get_args(Language)
_DANGEROUS = re.compile(
    r"[\s\x00-\x1f\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\u3000\ufeff]*[=+@\-＝＋－＠]"
)
_HARMLESS = re.compile(r'-?[0-9]+(\.[0-9]{2})?|="[0-9eE.,/:+ -]+"')


def rows() -> list[tuple[LedgerRow, Lookup | None]]:
    """Three rows for each text: the platform has one, one cannot be read, of one nothing came."""
    made: list[tuple[LedgerRow, Lookup | None]] = []
    for at, text in enumerate(PAYLOADS):
        facts: dict[str, Any] = {
            "shop": text,
            "order_id": text,
            "amount_fen": 500,
            "currency": "CNY",
            "account": text,
        }
        said: dict[str, Any] = {
            "status": text,
            "status_word": text,
            "applied_at": "2024-05-01T00:00:00+08:00",
        }
        row = LedgerRow(row=3 * at + 2, platform="1688", refund_id=f"TQ{at}", **facts, **said)
        found = Lookup(outcome=Outcome.FOUND, status=text, applied_fen=5, currency=text, request_id=text)
        made.append((row, found))
        made.append((LedgerRow(row=3 * at + 3, problem=text, column=text, **facts), None))
        failed = Lookup(outcome=Outcome.FAILED, error=text, request_id=text, retryable=False)
        made.append((LedgerRow(row=3 * at + 4, platform="taobao", refund_id=f"{text}{at}", **facts), failed))
    return made


def write(out: Path, language: Language) -> None:
    out.mkdir()
    made = rows()
    state = RunStore.open(out / "state.sqlite")
    state.add_rows([row for row, _ in made])
    for row, lookup in made:
        if lookup is not None:
            state.record(row.row, lookup)
    ledger = {
        "name": XSS[0], "sha256": "s", "format": "csv", "columns": {"amount": FORMULAS[0]}, "rows": len(made),
        "amount_unit": "fen", "encoding": "utf-8", "blank_lines": 0,
    }  # fmt: skip
    run = {
        "finished_at": "2024-05-31T04:00:00+00:00", "seconds": 1.0, "calls": 1, "attempts": 1, "retried": 0,
        "throttled": 0, "failed": 0, "lookups": 1, "lookups_before": 0, "second_pass": 0,
    }  # fmt: skip
    facts = {
        "ledger": ledger,
        "as_of": "2024-05-31T12:00:00+08:00",
        "inferred": [XSS[1]],
        "notes": [FORMULAS[1]],
    }
    state.set({**facts, "options": {"amount_basis": "actual", "tolerance_fen": 0}})
    write_outputs(
        out, state, VerdictRule(as_of=ENDED), run=run, ended=ENDED, report_rows=20_000, language=language,
        check=lambda: None,
    )  # fmt: skip
    state.close()


@pytest.fixture(scope="module", params=LANGUAGES)
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "out"
    write(folder, request.param)
    return folder


def test_there_are_fourteen_and_twenty_eight() -> None:
    assert (len(XSS), len(FORMULAS)) == (14, 28)


@pytest.mark.parametrize("name", ["exceptions.csv", "rows.csv"])
def test_no_cell_is_a_formula(out: Path, name: str) -> None:
    with (out / name).open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.reader(file))
    cells = [cell for row in found[1:] for cell in row]
    assert len(found) - 1 == 3 * len(PAYLOADS)
    assert [cell for cell in cells if _DANGEROUS.match(cell) and not _HARMLESS.fullmatch(cell)] == []
    for payload in PAYLOADS:  # each is there, so each was tested
        assert any(payload in cell for cell in cells), payload


def test_no_spreadsheet_calculates_in_exceptions_csv(out: Path, tmp_path: Path) -> None:
    if SOFFICE is None:
        pytest.skip("LibreOffice is not installed")
    bare = tmp_path / "bare.csv"
    with bare.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([text] for text in FORMULAS)
    assert len(formulas_of_csv(bare, tmp_path)) > 5, "it calculates what is not defused"
    formulas = formulas_of_csv(out / "exceptions.csv", tmp_path)
    assert [one for one in formulas if not re.fullmatch(r'="[0-9eE.,/:+ -]+"', one)] == []


def test_nothing_runs_in_the_page(out: Path) -> None:
    page = (out / "report.html").read_text("utf-8")
    checked = Checker(page)
    assert checked.scripts == [SCRIPT]
    assert not {name for name, _ in checked.attributes if name.startswith("on")}
    assert not {name for name, _ in checked.attributes} & {"src", "href", "srcset", "action"}
    assert "iframe" not in checked.tags
    assert sum(len(row) == 9 for row in checked.rows) == 3 * len(PAYLOADS)


def test_no_cell_of_the_workbook_is_a_formula_or_a_link(out: Path) -> None:
    with zipfile.ZipFile(out / "report.xlsx") as package:
        for name in package.namelist():
            text = package.read(name).decode()
            assert not re.search(r"<f[ >]|<hyperlink|<oleObject|<script", text), name
            assert "externalLink" not in name


def test_frame_and_summary_have_the_texts_as_they_came(out: Path) -> None:
    frame = parquet.read_table(out / "rows.parquet")
    assert {*PAYLOADS} <= {*frame["shop"].to_pylist()}
    summary = (out / "summary.json").read_text("utf-8")
    assert json.loads(summary)["ledger"]["name"] == XSS[0]
    for file in ("summary.json", "report.html", "rows.csv", "exceptions.csv"):
        shown = (out / file).read_text("utf-8")
        if file.endswith(("json", "html")):
            assert visible(shown) == shown, file
