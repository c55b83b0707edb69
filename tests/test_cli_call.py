"""`pandapon call` against the sandbox: what is sent, what is shown, what is refused, how it ends."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import cli
from pandapon_async.api.registry import endpoints
from pandapon_async.cli import call, output
from pandapon_async.cli.call_help import help_text
from pandapon_async.core.outcome import Safety
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.handlers import HANDLERS
from tests.support.command import Shell

DECLARED = endpoints()
CREATE = (
    "v1.alibaba.refunds.create",
    "order_id=2542285634920880794",
    "order_entry_ids=2542285634920880795",
    "dispute_request=refund",
    "apply_payment=1250",
    "apply_carriage=0",
    "apply_reason_id=20022",
    "description=it does not fit",
    "goods_status=aftersaleBuyerReceived",
)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


async def test_a_read_prints_one_line_of_json(shell: Shell) -> None:
    async with Sandbox(refunds=20) as sandbox:
        shell.use(sandbox)
        identifier = sandbox.find("1688").refund_id
        ended = await shell.beside("call", "v1.alibaba.refunds.get", f"refund_id={identifier}")
    assert ended.code == 0
    assert ended.out.count("\n") == 1
    found = json.loads(ended.out)
    assert found["refundId"] == identifier
    assert type(found["applyPayment"]) is int
    assert [entry.endpoint for entry in sandbox.log] == ["alibaba.refunds.get"]


async def test_on_a_terminal_it_is_spread_out(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "for_people", lambda: True)
    async with Sandbox(refunds=20) as sandbox:
        shell.use(sandbox)
        ended = await shell.beside(
            "call", "v1.alibaba.refunds.get", f"refund_id={sandbox.find('1688').refund_id}"
        )
    assert ended.out.count("\n") > 5
    assert json.loads(ended.out)["refundId"]


async def test_lists_enumerations_and_json_from_everywhere(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = json.dumps(
        {"orderId": 7, "order_entry_ids": [1, "2"], "goodsStatus": "aftersaleBuyerReceived"}
    )
    (shell.folder / "arguments.json").write_text(document)
    async with Sandbox(refunds=2) as sandbox:
        shell.use(sandbox)
        name = "v1.alibaba.refunds.reasons"
        typed = ("order_id=7", "order_entry_ids=1,2", "goods_status=aftersaleBuyerReceived")
        again = ("orderId=7", "orderEntryIds=1", "orderEntryIds=2", "goodsStatus=aftersaleBuyerReceived")
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(document.encode())))
        ways = [typed, again, ("--body", document), ("--body", "@arguments.json"), ("--body", "-")]
        ended = [await shell.beside("call", name, *way) for way in ways]
    assert {one.code for one in ended} == {0}
    assert len({one.out for one in ended}) == 1
    assert len({entry.digest for entry in sandbox.log}) == 1


async def test_what_is_typed_wins_over_the_document(shell: Shell) -> None:
    ended = shell("call", "v1.taobao.refunds.get", "--body", '{"refund_id": "1"}', "refund_id=2", "--dry-run")
    assert json.loads(ended.out)["query"] == {"refundId": "2"}


async def test_an_image_is_uploaded_from_its_path(shell: Shell) -> None:
    (shell.folder / "proof.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(24))
    async with Sandbox(refunds=2) as sandbox:
        shell.use(sandbox)
        ended = await shell.beside("call", "v2.alibaba.refunds.upload_voucher", "image=proof.png")
        refused = await shell.beside("call", "v2.alibaba.refunds.upload_voucher", "image=missing.png")
    assert json.loads(ended.out).keys() == {"imageDomain", "imageRelativeUrl"}
    assert refused.code == 2
    assert "image must be the path of an image file that can be read" in refused.err
    assert len(sandbox.log) == 1


async def test_with_response_shows_envelope_and_attempts(shell: Shell) -> None:
    async with Sandbox(refunds=20, faults="reset_before:1:times=1") as sandbox:
        shell.use(sandbox)
        identifier = sandbox.find("taobao").refund_id
        ended = await shell.beside(
            "call", "v1.taobao.refunds.get", f"refund_id={identifier}", "--with-response"
        )
    found = json.loads(ended.out)
    assert found["code"] == found["http_status"] == 200
    assert found["attempts"] == 2
    assert [attempt["outcome"] for attempt in found["history"]] == ["unknown", "ok"]
    assert found["value"]["refundOrderAggregate"]["refundOrder"]["refundId"] == identifier


async def test_personal_data_is_shown_only_if_asked_for(shell: Shell) -> None:
    async with Sandbox(refunds=20) as sandbox:
        shell.use(sandbox)
        asked = ("call", "v1.taobao.refunds.get", f"refund_id={sandbox.find('taobao').refund_id}")
        hidden = await shell.beside(*asked)
        shown = await shell.beside(*asked, "--personal")
    address = json.loads(shown.out)["refundOrderAggregate"]["logistics"]["receiverAddress"]
    assert address["receiver"] not in hidden.out
    assert '"receiver": "***"' in hidden.out


async def test_unknown_fields_are_counted_and_shown_if_asked_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "alibaba.refunds.create"
    made = {"refundId": "TQ1", "newField": "new", "newMobile": "13800001111"}
    monkeypatch.setitem(HANDLERS, name, lambda *_: made)
    async with Sandbox(refunds=2) as sandbox:
        shell.use(sandbox)
        plain = await shell.beside("call", *CREATE, "--yes")
        extra = await shell.beside("call", *CREATE, "--yes", "--extra", "--allow-repeat")
    assert json.loads(plain.out) == {"refundId": "TQ1"}
    assert "2 fields that this version does not know are hidden" in plain.err
    assert json.loads(extra.out) == {"refundId": "TQ1", "newField": "new", "newMobile": "***"}
    assert extra.err == ""


async def test_a_write_needs_yes_when_nobody_can_be_asked(shell: Shell) -> None:
    async with Sandbox(refunds=2) as sandbox:
        shell.use(sandbox)
        refused = await shell.beside("call", *CREATE)
        assert (refused.code, list(sandbox.log)) == (2, [])
        assert "add --yes" in refused.err
        done = await shell.beside("call", *CREATE, "--yes")
    assert done.code == 0, done.err
    assert json.loads(done.out)["refundId"].startswith("TQ")
    assert [effect.kind for effect in sandbox.effects] == ["create"]


@pytest.mark.parametrize(("typed", "code", "sent"), [("y\n", 0, 1), ("n\n", 3, 0)])
async def test_a_person_is_asked(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, sent: int
) -> None:
    terminal = io.StringIO(typed)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    async with Sandbox(refunds=2) as sandbox:
        shell.use(sandbox)
        ended = await shell.beside("call", *CREATE)
    assert ended.code == code
    assert "alibaba.refunds.create creates something" in ended.err
    assert len(sandbox.effects) == sent


async def test_money_moves_only_with_its_own_word(shell: Shell) -> None:
    async with Sandbox(refunds=2) as sandbox:
        shell.use(sandbox)
        asked = ("call", "v1.alibaba.orders.confirm_receipt", "order_id=7", "order_entry_ids=8")
        refused = [await shell.beside(*asked), await shell.beside(*asked, "--yes")]
        assert not sandbox.log
        sent = await shell.beside(*asked, "--yes-this-moves-money")
        assert len(sandbox.log) == 1
    assert {one.code for one in refused} == {2}
    assert all("releases money; to confirm, add --yes-this-moves-money" in one.err for one in refused)
    assert "releases money" not in sent.err


async def test_an_inferred_path_needs_its_own_word(shell: Shell) -> None:
    async with Sandbox(refunds=20) as sandbox:
        shell.use(sandbox)
        asked = ("call", "v2.alibaba.refunds.get", f"refund_id={sandbox.find('1688').refund_id}")
        refused = await shell.beside(*asked)
        assert (refused.code, list(sandbox.log)) == (2, [])
        assert "--allow-inferred" in refused.err
        assert (await shell.beside(*asked, "--allow-inferred")).code == 0


async def test_a_deprecated_call_says_so(shell: Shell) -> None:
    (shell.folder / "proof.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(24))
    async with Sandbox(refunds=2) as sandbox:
        shell.use(sandbox)
        asked = ("call", "v1.taobao.orders.upload_pay_certificate", "image=proof.png", "order_id=7")
        ended = await shell.beside(*asked, "--yes")
    assert (ended.code, ended.out) == (0, "true\n")
    assert "the vendor marks taobao.orders.upload_pay_certificate as 'to be deprecated'" in ended.err


@pytest.mark.parametrize("name", DECLARED)
def test_a_dry_run_shows_every_call_and_needs_no_account(shell: Shell, name: str) -> None:
    (shell.folder / "proof.jpg").write_bytes(b"\xff\xd8\xff" + bytes(30))
    example = help_text(DECLARED[name], name).splitlines()[-1]
    _, *words = shlex.split(example)
    ended = shell(*words, "--dry-run")
    assert ended.code == 0, ended.err
    shown = json.loads(ended.out)
    assert shown["method"] == DECLARED[name].method
    assert "{" not in shown["path"]
    assert shown.keys() <= {"method", "path", "query", "body", "inferred"}
    sent = {**shown["query"], **shown.get("body", {})}
    wanted = {one.wire for one in DECLARED[name].parameters if one.required and one.location != "path"}
    assert wanted <= sent.keys()
    assert "<jpeg, 33 bytes>" in ended.out or "proof.jpg" not in example


@pytest.mark.parametrize("name", DECLARED)
def test_help_tells_all_of_a_call(name: str) -> None:
    endpoint = DECLARED[name]
    told = help_text(endpoint, name)
    for fact in (endpoint.summary, endpoint.path, endpoint.page, endpoint.safety.value):
        assert fact in told
    for parameter in endpoint.parameters:
        assert f"  {parameter.name}\n" in told
    assert ("--yes" in told) is not endpoint.safety.repeatable
    assert ("moves-money" in told) is (endpoint.safety is Safety.NEVER_AUTOMATIC)


def test_help_after_a_name_is_that_calls_own(shell: Shell) -> None:
    ended = shell("call", "v1.alibaba.refunds.get", "--help")
    assert (ended.code, ended.out) == (
        0,
        help_text(DECLARED["v1.alibaba.refunds.get"], "v1.alibaba.refunds.get") + "\n",
    )


def test_help_of_the_command_itself(shell: Shell) -> None:
    ended = shell("call", "--help")
    assert ended.code == 0
    assert "NAME --help shows its arguments" in " ".join(ended.out.split())
    assert shell("call").code == 2


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("v1.alibaba.refund.get",), "did you mean v1.alibaba.refunds.get"),
    (("refunds.render",), "did you mean taobao.refunds.render?"),
    (("zzz",), "see `pandapon endpoints`"),
    (("v1.alibaba.refunds.get",), "refund_id is required"),
    (("v1.alibaba.refunds.get", "refund_id=5"), "refund_id must be an id such as TQ201808300000001"),
    (("v1.alibaba.refunds.get", "refund=5"), "unknown argument refund; did you mean refund_id"),
    (("v1.alibaba.refunds.get", "TQ1"), "write arguments as key=value"),
    (("v1.alibaba.refunds.get", "refund_id=TQ1", "refund_id=TQ2"), "refund_id is given more than once"),
    (("v1.taobao.refunds.page", "page_no=x"), "page_no must be a whole number"),
    (("v1.taobao.refunds.page", "page_no=-1"), "page_no must be >= 0"),
    (("v1.taobao.refunds.page", "refund_start_time=yesterday"), "refund_start_time must be a time such as"),
    (("v1.taobao.refunds.page", "refund_start_time=2025-02-24"), "refund_start_time must be a datetime with"),
    (("v1.alibaba.refunds.get", "--body", "[1]"), "--body must be a JSON object"),
    (("v1.alibaba.refunds.get", "--body", "{"), "--body must be a JSON object"),
    (("v1.alibaba.refunds.get", "--body", "@nothing"), "--body cannot be read: No such file"),
    (("v1.alibaba.refunds.get", "--body", '{"a": 1}'), "unknown argument a; known: refund_id"),
    ((*CREATE, "apply_payment=12.5"), "apply_payment is given more than once"),
    ((*CREATE[:4], "apply_payment=12.5"), "apply_payment must be whole fen"),
    ((*CREATE[:4], "order_entry_count_list=[{"), "order_entry_count_list must be JSON"),
    ((*CREATE, 'order_entry_count_list={"id": 1, "n": 2}'), "order_entry_count_list item 0: "),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_what_is_wrong_is_said_and_nothing_is_sent(
    shell: Shell, arguments: tuple[str, ...], words: str
) -> None:
    """No account is set up here: whatever went further would be refused for that."""
    ended = shell("call", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {words}") or words in ended.err


def test_without_an_account_it_says_what_to_set(shell: Shell) -> None:
    ended = shell("call", "v1.alibaba.refunds.get", "refund_id=TQ1")
    assert ended.code == 2
    assert "PANDAPON_ACCESS_KEY" in ended.err


async def test_errors_of_the_vendor_end_with_their_codes(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(refunds=2) as sandbox:
        shell.use(sandbox)
        missing = await shell.beside("call", "v1.alibaba.refunds.get", "refund_id=TQ99999999")
        monkeypatch.setenv("PANDAPON_ACCESS_SECRET", "another")
        refused = await shell.beside("call", "v1.alibaba.refunds.get", "refund_id=TQ1")
    assert missing.code == 1
    assert "the vendor says: refund does not exist" in missing.err
    assert refused.code == 4
    assert missing.out == refused.out == ""


async def test_a_lost_answer_to_a_write_is_no_success(shell: Shell) -> None:
    async with Sandbox(refunds=2, faults="reset_after") as sandbox:
        shell.use(sandbox)
        ended = await shell.beside("call", *CREATE, "--yes")
    assert ended.code == 3
    assert "may have been carried out" in ended.err
    assert "intent" in ended.err
    assert ended.err.endswith("is gone; set PANDAPON_JOURNAL to keep it.\n")
    assert len(sandbox.log) == 1


async def test_a_lost_answer_says_how_to_find_out_and_that_finds_out(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANDAPON_JOURNAL", str(shell.folder / "journal.sqlite"))
    async with Sandbox(refunds=20, faults="reset_after:1:endpoint=*.return_goods") as sandbox:
        shell.use(sandbox)
        refund = sandbox.find("1688", "waitbuyersend").refund_id
        words = (f"refund_id={refund}", "logistics_company_no=SF", "freight_bill=SF1")
        lost = await shell.beside("call", "v1.alibaba.refunds.return_goods", *words, "--yes")
        command = lost.err.splitlines()[-1].split()
        assert command[:3] == ["pandapon", "journal", "resolve"]
        found = await shell.beside(*command[1:])
    assert (lost.code, found.code) == (3, 0)
    assert '"settled_done"' in found.out


@pytest.mark.parametrize(("name", "told"), [(CREATE[0], True), ("v1.alibaba.refunds.get", False)])
def test_ctrl_c_says_what_may_have_happened(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str, told: bool
) -> None:
    async def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(call, "_send", interrupted)
    arguments = CREATE[1:] if told else ("refund_id=TQ1",)
    ended = shell("call", name, *arguments, "--yes")
    assert (ended.code, ended.out) == (3, "")
    assert ("may have been carried out" in ended.err) is told


async def test_options_reach_the_settings(shell: Shell) -> None:
    async with Sandbox(refunds=2, faults="latency:1:delay=30") as sandbox:
        shell.use(sandbox)
        ended = await shell.beside("call", "v1.alibaba.refunds.get", "refund_id=TQ1", "--timeout", "0.05")
    assert ended.code == 3
    elsewhere = shell(
        "call", "v1.alibaba.refunds.get", "refund_id=TQ1", "--base-url", "ftp://x", "--rate", "5"
    )
    assert elsewhere.code == 2
    assert "base_url 'ftp://x' must look like" in elsewhere.err


def completed(words: str, index: int, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> list[str]:
    """What bash is told while `words` stand on the line."""
    monkeypatch.setenv("_PANDAPON_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(index))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.app(prog_name="pandapon")
    return str(capsys.readouterr().out).split()


def test_names_and_arguments_are_completed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = completed("pandapon call v1.taobao.refunds.", 2, monkeypatch, capsys)
    assert names == [name for name in DECLARED if name.startswith("v1.taobao.refunds.")]
    found = completed("pandapon call v1.alibaba.refunds.reasons ord", 3, monkeypatch, capsys)
    assert found == ["order_id=", "order_entry_ids="]
    context: Any = type("Context", (), {"params": {"name": "v1.alibaba.refunds.create"}})
    values = call.complete_argument(context, "dispute_request=re")
    assert [text for text, _ in values] == ["dispute_request=refund", "dispute_request=returnRefund"]
    context.params["name"] = "no such call"
    assert call.complete_argument(context, "") == []
