"""The words of others: nothing that the vendor, a file or a request id says controls a terminal or a log."""

from __future__ import annotations

import json
import logging
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import ApiError, Client, OutcomeUnknownError, PandaponError, Settings
from pandapon_async.plain_text import one_line, visible
from tests.support.clients import CREDENTIALS, REFUND, client
from tests.support.server import FaultServer, answer, envelope, http
from tests.support.terminal import HOSTILE, commands_in, on_terminal

BROKEN_ORDER = "reached the seller\nerror: nothing was refunded\r\n"


def hidden(text: str) -> list[str]:
    return [one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_every_control_and_format_character_is_spelled_out() -> None:
    everything = "".join(map(chr, range(0x110000)))
    assert hidden(visible(everything)) == ["\n"]
    assert hidden(one_line(everything)) == []
    shown = "退款 12.50元 café 😀 　"
    assert visible(shown) == one_line(shown) == shown


@given(st.text() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()))
def test_a_json_text_means_the_same_afterwards(value: object) -> None:
    assert json.loads(visible(json.dumps(value, ensure_ascii=False))) == value


@given(st.text())
def test_twice_is_as_good_as_once(text: str) -> None:
    assert one_line(one_line(text)) == one_line(text)
    assert "\n" not in one_line(text)


def test_an_error_is_one_line_without_control_characters() -> None:
    for error in (
        PandaponError(f"message {BROKEN_ORDER}", endpoint=HOSTILE, request_id=f"r{HOSTILE}\n"),
        ApiError("the vendor refused", request_id="r-1\nerror: forged", msg=HOSTILE),
        OutcomeUnknownError("lost", intent_id="0" * 32, request_id=HOSTILE),
    ):
        assert hidden(str(error)) == []


async def test_a_log_record_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = envelope(code=40012, requestId=f"r-1\n2026-01-01 CRITICAL forged {HOSTILE}", msg=HOSTILE)
    async with FaultServer(then=answer(http(body))) as server, client(server.url) as pandapon:
        with pytest.raises(ApiError):
            await pandapon.v1.alibaba.refunds.get(refund_id=REFUND)
    logging.getLogger("pandapon_async").warning("%s settles nothing", f"forged\nERROR {HOSTILE}")
    ours = [record for record in caplog.records if record.name == "pandapon_async"]
    assert any("forged" in record.getMessage() for record in ours), "nothing hostile was logged"
    assert [hidden(record.getMessage()) for record in ours] == [[]] * len(ours)


CALL = ("call", "v1.alibaba.refunds.return_goods", "--yes", f"refund_id={REFUND}", "logistics_company_no=SF",
        "freight_bill=SF1")  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        envelope({"success": False, "errorCode": "4007", "errorInfo": HOSTILE + BROKEN_ORDER}),
        envelope(code=40012, msg=HOSTILE + BROKEN_ORDER, requestId=HOSTILE),
        envelope(code=401, msg=HOSTILE + BROKEN_ORDER),
    ],
    ids=["an inner refusal", "a refusal", "a refused key"],
)
async def test_a_refusal_on_a_terminal(body: bytes, tmp_path: Path) -> None:
    async with FaultServer(then=answer(http(body))) as server:
        code, shown = await on_terminal(tmp_path, *CALL, url=server.url)
    assert code in (1, 4)
    assert b"OWNED" in shown
    assert commands_in(shown) == {}
    assert b"\nerror: nothing was refunded" not in shown


async def test_a_good_answer_on_a_terminal(tmp_path: Path) -> None:
    body = envelope({"success": True, "refundId": REFUND, "status": HOSTILE})
    async with FaultServer(then=answer(http(body))) as server:
        code, shown = await on_terminal(
            tmp_path,
            "call",
            "v1.alibaba.refunds.get",
            f"refund_id={REFUND}",
            "--with-response",
            url=server.url,
        )
    assert code == 0, shown
    assert b"OWNED" in shown
    assert commands_in(shown) == {}


async def test_a_reconciliation_on_a_terminal(tmp_path: Path) -> None:
    """The ledger's name, its columns and the platform's refusals."""
    ledger = tmp_path / "x\x1b]0;OWNED\x07\x9b2J.csv"
    ledger.write_text(f"refund_id,amount_fen,{HOSTILE[:9]}\n{REFUND},5,x\n", encoding="utf-8")
    body = envelope(code=40012, msg=HOSTILE, requestId=HOSTILE)
    async with FaultServer(then=answer(http(body))) as server:
        code, shown = await on_terminal(tmp_path, "reconcile", ledger.name, "--out", "o", url=server.url)
    assert code in (1, 3)
    assert b"OWNED" in shown
    assert commands_in(shown) == {}


async def test_the_journal_on_a_terminal(tmp_path: Path) -> None:
    body = envelope({"success": False, "errorCode": HOSTILE, "errorInfo": HOSTILE}, requestId=HOSTILE)
    journal = tmp_path / "journal.sqlite"
    async with FaultServer(then=answer(http(body))) as server:
        settings = Settings(base_url=server.url, rate=None, journal=journal)
        async with Client(CREDENTIALS, settings) as pandapon:
            with pytest.raises(ApiError):
                await pandapon.v1.alibaba.refunds.return_goods(
                    refund_id=REFUND, logistics_company_no="SF", freight_bill="SF1"
                )
        code, shown = await on_terminal(
            tmp_path, "journal", "list", "--journal", str(journal), url=server.url
        )
    assert code == 0
    assert b"return_goods" in shown
    assert commands_in(shown) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("endpoints",),
        ("reconcile", "--help"),
        pytest.param(("call",), marks=pytest.mark.nightly),
        pytest.param(("reconcile",), marks=pytest.mark.nightly),
    ],
)
async def test_colours_and_help_stay(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What is spelled out is what others wrote, not what rich draws."""
    _, shown = await on_terminal(tmp_path, *arguments)
    assert (b"\x1b[" in shown) == (arguments == ("endpoints",))  # a table has colours, help is plain
    assert b"\\u001b" not in shown
