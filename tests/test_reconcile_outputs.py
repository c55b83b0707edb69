"""What a run leaves: files that are whole or not there, safe in a spreadsheet, readable for people."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.clock import duration
from pandapon_async.errors import ConfigurationError
from pandapon_async.progress import ConsoleProgress, NullProgress
from pandapon_async.reconcile.attention import AttentionRow
from pandapon_async.reconcile.outputs import (
    COLUMNS,
    EXCEPTION_COLUMNS,
    FILES,
    ExceptionsWriter,
    RowsWriter,
    check_directory,
    defuse,
    rows_digest,
    spreadsheet_text,
    yuan,
)
from pandapon_async.reconcile.run_store import RunStore
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


def written(*triples: tuple[LedgerRow, Lookup | None, Judgement]) -> tuple[str, str]:
    rows = io.StringIO(newline="")
    writer = RowsWriter(rows, ENDED)
    for triple in triples:
        writer.write(*triple)
    return rows.getvalue(), writer.digest()


def test_rows_are_for_programs() -> None:
    lookup = Lookup(outcome=Outcome.FOUND, status="-20", request_id="r", looked_up_at=MOMENT, deadline="d")
    rows, _ = written(
        (ledger_row(2, amount_fen=-5, shop="=HYPERLINK()"), lookup, judgement(upstream_fen=-5)),
        (ledger_row(3, amount_fen=9, order_id="2542285634920880794"), lookup, judgement(upstream_fen=4)),
        (ledger_row(4, problem="no", column="@x"), None, judgement(Verdict.UNREADABLE, reason="no")),
    )
    first, second, third = csv.DictReader(io.StringIO(rows))
    assert tuple(first) == COLUMNS
    assert not rows.startswith("\ufeff")
    assert (first["ledger_amount_fen"], first["shop"], first["upstream_status"]) == (
        "-5",
        "'=HYPERLINK()",
        "-20",
    )
    assert (second["upstream_currency"], third["upstream_currency"], third["column"]) == ("CNY", "", "'@x")
    assert second["order_id"] == "2542285634920880794"
    assert (first["looked_up_at"], first["lookup_age_s"], third["lookup_age_s"]) == (MOMENT, "3600", "")
    assert (first["source"], third["source"]) == ("single", "")


def test_exceptions_are_for_spreadsheets() -> None:
    lookup = Lookup(
        outcome=Outcome.FOUND, status="refundsuccess", request_id="123456789012345e7", looked_up_at=MOMENT,
        applied_at="2025-12-30T00:30:00+08:00",
    )  # fmt: skip
    row = ledger_row(
        3,
        amount_fen=9,
        status="refundsuccess",
        shop="杭州店",
        order_id="2542285634920880794",
        refund_id="115",
    )
    judged = judgement(
        Verdict.AMOUNT_MISMATCH, reason="why", upstream_fen=4, findings=(Verdict.AMOUNT_MISMATCH,)
    )
    out = io.StringIO(newline="")
    ExceptionsWriter(out, ENDED).write(AttentionRow.of(row, lookup, judged, ENDED))
    (found,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert tuple(found) == EXCEPTION_COLUMNS
    assert found == {
        "row": "3", "verdict": "amount_mismatch", "reason": "the platform has ¥0.05 less than the ledger",
        "column": "", "platform": "1688", "shop": "杭州店", "refund_id": "115",
        "order_id": '="2542285634920880794"', "applied_at": "2025-12-30", "age_days": "3",
        "currency": "CNY", "ledger_amount_yuan": "0.09", "upstream_amount_yuan": "0.04",
        "difference_yuan": "-0.05", "at_stake_yuan": "0.05", "upstream_currency": "CNY",
        "ledger_status": "refundsuccess", "upstream_status": "refundsuccess", "deadline": "",
        "action": "Ask the shop for ¥0.05, or correct the ledger to ¥0.04",
        "request_id": '="123456789012345e7"', "looked_up_at": MOMENT, "lookup_age_s": "3600",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("2542285634920880794", '="2542285634920880794"'), ("12345678901", "12345678901"),
        ("123456789012", '="123456789012"'), ("0012", '="0012"'), ("1e5", '="1e5"'), ("3-5", '="3-5"'),
        ("2024/05/31", '="2024/05/31"'), ("-20", "-20"), ("100", "100"), ("TQ254", "TQ254"), ("", ""),
        ("-3-5", "'-3-5"), ("店 5", "店 5"), ("12a", "12a"),
    ],
)  # fmt: skip
def test_a_spreadsheet_shows_text_as_it_is(text: str, cell: str) -> None:
    assert spreadsheet_text(text) == cell


@given(st.text() | st.from_regex(r"[0-9eE.,/:+ -]{1,20}"))
def test_a_spreadsheet_never_runs_a_text(text: str) -> None:
    """`="..."` is the only formula, and what stands in it cannot end it."""
    cell = spreadsheet_text(text)
    if cell.startswith("="):
        assert cell == f'="{text}"'
        assert set(text) <= set("0123456789eE.,/:+ -")
    else:
        assert cell == defuse(text)


@given(st.integers(-(10**25), 10**25))
def test_yuan_are_exact(fen: int) -> None:
    assert Decimal(yuan(fen)) * 100 == fen
    assert yuan(fen)[-3] == "."


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
        rows, digest = written(
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
    assert written(*many)[1] != written(*many[:-1])[1]


@pytest.mark.parametrize("name", FILES)
def test_files_of_others_are_not_overwritten(tmp_path: Path, name: str) -> None:
    check_directory(tmp_path / "new")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / name).write_text("a,b,c")
    with pytest.raises(ConfigurationError, match="was not written by a reconciliation"):
        check_directory(tmp_path)
    with pytest.raises(ConfigurationError, match="is a file"):
        check_directory(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("notes.txt")
    with pytest.raises(ConfigurationError, match="is a link"):
        check_directory(tmp_path)


def test_writing_can_be_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    state = RunStore.open(tmp_path / "state.sqlite")
    state.add_rows(ledger_row(at) for at in range(1, 1_100))
    state.set({"ledger": {"rows": 1_099}})

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
