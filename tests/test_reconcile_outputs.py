"""What a run leaves: files that are whole or not there, safe in a spreadsheet, readable for people."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.clock import duration
from pandapon_async.errors import ConfigurationError
from pandapon_async.progress import ConsoleProgress, NullProgress
from pandapon_async.reconcile.outputs import (
    COLUMNS,
    FILES,
    RowsWriter,
    check_directory,
    defuse,
    rows_digest,
)
from pandapon_async.reconcile.report import ReportRow, money, report_pieces
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.summary import Summary, Totals
from pandapon_async.reconcile.verdict import Judgement, LedgerRow, Lookup, Outcome, Verdict, VerdictRule
from pandapon_async.reconcile.writing import write_outputs

DANGEROUS = "=+-@\t\r\n\0＝＋－＠"


@given(st.text() | st.from_regex(rf"[{DANGEROUS}].*"))
def test_no_cell_is_a_formula(text: str) -> None:
    safe = defuse(text)
    assert safe.removeprefix("'") == text.removeprefix("'")
    assert safe[:1] not in DANGEROUS or safe == "" or safe.lstrip("+-").isdigit()


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1-1",
        "-1+cmd|' /C calc'!A0",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "＝1",
        "-2x",
        "--2",
        "\ufeff=1+1",
        "\u200b=1",
        "\u200d\u2060+1-1",
        " =1",
        "\xa0@x",
        "\u3000=1",
        "\x1b=1",
        "\u202e-2x",
    ],
)
def test_formulas_are_defused(text: str) -> None:
    assert defuse(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "-20", "+5", "100", "TQ1", "退款", "a=b"])
def test_plain_text_and_numbers_stay(text: str) -> None:
    assert defuse(text) == text


def ledger_row(number: int = 2, **facts: Any) -> LedgerRow:
    return LedgerRow(
        **{"row": number, "platform": "1688", "refund_id": f"TQ{number}", "currency": "CNY", **facts}
    )


ENDED = datetime(2026, 1, 2, tzinfo=UTC)
MOMENT = "2026-01-01T23:00:00.000+00:00"


def judgement(verdict: Verdict = Verdict.MATCHED, **facts: Any) -> Judgement:
    return Judgement(verdict=verdict, **facts)


def written(*triples: tuple[LedgerRow, Lookup | None, Judgement]) -> tuple[str, str, str]:
    rows, exceptions = io.StringIO(newline=""), io.StringIO(newline="")
    writer = RowsWriter(rows, exceptions, ENDED)
    for triple in triples:
        writer.write(*triple)
    return rows.getvalue(), exceptions.getvalue(), writer.digest()


def test_rows_and_exceptions() -> None:
    lookup = Lookup(outcome=Outcome.FOUND, status="-20", request_id="r", looked_up_at=MOMENT, deadline="d")
    rows, exceptions, _ = written(
        (ledger_row(2, amount_fen=-5, shop="=HYPERLINK()"), lookup, judgement(upstream_fen=-5)),
        (
            ledger_row(3, amount_fen=9, status="-20"),
            lookup,
            judgement(Verdict.AMOUNT_MISMATCH, reason="why", upstream_fen=4, open=True, age_days=3),
        ),
        (ledger_row(4, problem="no", column="@x"), None, judgement(Verdict.UNREADABLE, reason="no")),
    )
    first, second, third = csv.DictReader(io.StringIO(rows))
    assert tuple(first) == COLUMNS
    assert (first["ledger_amount_fen"], first["shop"], first["upstream_status"]) == (
        "-5",
        "'=HYPERLINK()",
        "-20",
    )
    assert (second["upstream_currency"], third["upstream_currency"], third["column"]) == ("CNY", "", "'@x")
    assert (first["looked_up_at"], first["lookup_age_s"], third["lookup_age_s"]) == (MOMENT, "3600", "")
    assert [line["row"] for line in csv.DictReader(io.StringIO(exceptions))] == ["3", "4"]
    difference = next(csv.DictReader(io.StringIO(exceptions)))
    assert (difference["difference_fen"], difference["age_days"], difference["request_id"]) == (
        "-5",
        "3",
        "r",
    )


texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(st.tuples(texts, texts, st.integers()), max_size=8), texts, texts)
def test_the_digest_can_be_computed_from_the_file_and_ignores_what_varies(
    tmp_path_factory: pytest.TempPathFactory,
    cells: list[tuple[str | None, str | None, int]],
    mine: str,
    other: str,
) -> None:
    digests = set()
    for request in (mine, other):
        lookup = Lookup(outcome=Outcome.FOUND, request_id=request, looked_up_at=MOMENT)
        rows, _, digest = written(
            *(
                (ledger_row(at, shop=a, status=b, amount_fen=n), lookup, judgement())
                for at, (a, b, n) in enumerate(cells)
            )
        )
        path = tmp_path_factory.getbasetemp() / "rows.csv"
        path.write_text(rows, encoding="utf-8", newline="")
        assert rows_digest(path) == digest
        digests.add(digest)
    assert len(digests) == 1


def test_the_digest_sees_every_row() -> None:
    many = [(ledger_row(at, shop="x" * 90), None, judgement()) for at in range(1500)]
    assert written(*many)[2] != written(*many[:-1])[2]


@pytest.mark.parametrize("name", FILES)
def test_files_of_others_are_not_overwritten(tmp_path: Path, name: str) -> None:
    check_directory(tmp_path / "new")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / name).write_text(f"x {FILES[name].words} y")
    check_directory(tmp_path)
    (tmp_path / name).write_text("a,b,c")
    with pytest.raises(ConfigurationError, match="was not written by a reconciliation"):
        check_directory(tmp_path)
    with pytest.raises(ConfigurationError, match="is a file"):
        check_directory(tmp_path / name)


def test_writing_can_be_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    state = RunStore.open(tmp_path / "state.sqlite")
    state.add_rows(ledger_row(at) for at in range(1, 1_100))

    def stop() -> None:
        raise InterruptedError

    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InterruptedError):
        write_outputs(
            out,
            state,
            VerdictRule(as_of=datetime(2024, 1, 1, tzinfo=UTC)),
            ended=ENDED,
            run={},
            report_rows=5,
            check=stop,
        )
    state.close()
    assert list(out.iterdir()) == []


# The report


def summary(*pairs: tuple[LedgerRow, Judgement], unverified: int = 0) -> Summary:
    totals = Totals()
    for row, judged in pairs:
        totals.add(row, None, judged)
    for at in range(unverified):
        totals.add(ledger_row(900 + at), None, judgement(Verdict.UNVERIFIED))
    ledger = {
        "name": "<b>五月.csv",
        "sha256": "s",
        "format": "csv",
        "columns": {"amount": "<i>"},
        "amount_unit": "fen",
    }
    run = {
        "finished_at": "2024-05-31T04:00:00+00:00",
        "lookups": 1,
        "lookups_before": 0,
        "second_pass": 0,
        "throttled": 0,
    }
    return Summary(
        ledger={**ledger, "encoding": "utf-8", "rows": totals.rows, "blank_lines": 0},
        as_of="2024-05-31T12:00:00+08:00",
        options={"amount_basis": "actual", "tolerance_fen": 0},
        inferred=("no <currency>",),
        totals=totals,
        rows_digest="d",
        run=run,
    )


class Checker(HTMLParser):
    """Collects the elements of a page and what it refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")
        ]


def page(report: Summary, *listed: ReportRow) -> str:
    return "".join(report_pieces(report, listed))


def test_the_report_stands_alone_and_escapes() -> None:
    evil = "<script>alert(1)</script>"
    row = ledger_row(
        2, status=evil, problem=evil, column=evil, currency="U<D", amount_fen=5, shop="李四 13800000000"
    )
    lookup = Lookup(outcome=Outcome.FOUND, status=evil)
    judged = judgement(Verdict.UNKNOWN_STATUS, reason=evil, upstream_fen=7, open=True, age_days=4)
    found = page(summary((row, judged)), ReportRow.of(row, lookup, judged))
    checked = Checker(found)
    assert "script" not in checked.tags
    assert checked.references == []
    assert {"svg", "table", "style"} <= set(checked.tags)
    assert 'name="viewport"' in found
    assert "prefers-color-scheme:dark" in found
    assert "<b>" not in found.split("</style>")[1].split('<ul class="tiles">')[0]
    assert "13800000000" not in found
    assert "url(" not in found
    assert FILES["report.html"].words in found


@pytest.mark.parametrize(
    ("report", "headline"),
    [
        (summary(), "The ledger has no rows"),
        (summary((ledger_row(), judgement())), "Every row agrees with the platform"),
        (summary((ledger_row(), judgement(Verdict.UNREADABLE))), "1 row of 1 needs a look"),
        (
            summary(*[(ledger_row(), judgement(Verdict.STATUS_DRIFT))] * 2, (ledger_row(), judgement())),
            "2 rows of 3 need a look",
        ),
        (summary(unverified=1), "Incomplete: 1 row could not be verified"),
        (
            summary((ledger_row(), judgement(Verdict.STATUS_DRIFT)), unverified=2),
            "Incomplete: 2 rows could not be verified, and 1 row differs",
        ),
    ],
)
def test_the_headline_says_it(report: Summary, headline: str) -> None:
    assert f"<h1>{headline}</h1>" in page(report)


def test_one_difference_in_a_million_is_not_a_hundred_percent() -> None:
    report = summary((ledger_row(), judgement(Verdict.STATUS_DRIFT)))
    report.totals.rows, report.totals.verdicts[Verdict.MATCHED] = 10**6, 10**6 - 1
    assert "<b>99.9 %</b>" in page(report)


def test_a_long_list_points_to_the_file() -> None:
    row, judged = ledger_row(), judgement(Verdict.STATUS_DRIFT)
    report = summary(*[(row, judged)] * 3)
    assert "The first 2 of 3." in page(report, *[ReportRow.of(row, None, judged)] * 2)


@pytest.mark.parametrize(
    ("fen", "currency", "text"),
    [
        (0, "CNY", "¥0.00"),
        (-1, "CNY", "-¥0.01"),
        (123456789, "VND", "VND 1,234,567.89"),
        (None, "CNY", ""),
        (5, None, "0.05"),
    ],
)
def test_money(fen: int | None, currency: str | None, text: str) -> None:
    assert money(fen, currency) == text


def test_exit_codes_of_a_summary() -> None:
    assert summary().exit_code == 0
    assert summary((ledger_row(), judgement())).exit_code == 0
    assert summary((ledger_row(), judgement(Verdict.TIMED_OUT))).exit_code == 1
    assert summary((ledger_row(), judgement(Verdict.TIMED_OUT)), unverified=1).exit_code == 3


# Progress


class Handle:
    """A timer that was cancelled or not."""

    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0
        self.ticks: list[tuple[float, Any, Handle]] = []

    def now(self) -> float:
        return self.time

    def call_later(self, seconds: float, callback: Any) -> Handle:
        self.ticks.append((self.time + seconds, callback, handle := Handle()))
        return handle

    def move(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due."""
        end = self.time + seconds
        while due := [tick for tick in self.ticks if tick[0] <= end]:
            self.ticks.remove(due[0])
            self.time = due[0][0]
            if not due[0][2].cancelled:
                due[0][1]()
        self.time = end


class Counted:
    throttled = 5
    retried = 7
    slowed_to: float | None = None


def test_the_meter_in_a_log() -> None:
    clock, stream, counts = Hands(), io.StringIO(), Counted()
    meter = ConsoleProgress(stream, clock, live=False)  # type: ignore[arg-type]
    meter.note("reading")
    meter.begin("looking up", 1_000, 400, counts)
    for _ in range(100):
        meter.advance(failed=False)
    meter.advance(failed=True)
    counts.throttled += 2
    counts.retried += 3
    clock.move(5)
    meter.end()
    meter.end()
    clock.move(60)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "reading"
    assert lines[1] == (
        "looking up: 501 of 1,000 (50 %) · 20.2/s · throttled 2 · retried 3 · failed 1 · 25 s left"
    )
    assert len(lines) == 3


def test_the_meter_on_a_terminal_and_its_window() -> None:
    clock, stream = Hands(), io.StringIO()
    meter = ConsoleProgress(stream, clock, live=True)  # type: ignore[arg-type]
    meter.begin("looking up", 100, 0, Counted())
    assert "time left unknown" in meter.line()
    for _ in range(50):
        meter.advance(failed=False)
    clock.move(1)
    assert "50.0/s" in stream.getvalue()
    meter.note("[bold]a note[/bold]")
    assert "[bold]a note[/bold]" in stream.getvalue()
    clock.move(60)
    assert " 0.0/s" in meter.line()
    for _ in range(50):
        meter.advance(failed=False)
    assert "left" not in meter.line()
    meter.end()
    assert "100 of 100" in stream.getvalue().splitlines()[-2]


def test_an_empty_task_and_silence() -> None:
    meter = ConsoleProgress(io.StringIO(), Hands(), live=False)  # type: ignore[arg-type]
    meter.begin("looking up", 0, 0, Counted())
    assert "(100 %)" in meter.line()
    silent = NullProgress()
    silent.note("x")
    silent.begin("x", 1, 0, Counted())
    silent.advance(failed=True)
    silent.end()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min 0 s"), (3599.9, "1 h 0 min"), (90_000, "25 h 0 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
