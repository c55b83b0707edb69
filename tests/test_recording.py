"""Recordings: nothing of anybody's is in them, the form is, and the sandbox plays them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import Client, ConfigurationError, MalformedResponseError, Settings
from pandapon_async.api.registry import endpoints
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.recording import Recording, Redactor
from pandapon_async.sandbox import Sandbox
from tests.support.canaries import ADDRESS, NAME, NOTE, PERSONAL, PHONE
from tests.support.command import Shell
from tests.support.server import FaultServer, answer, envelope, http

REDACTOR = Redactor(b"k" * 32, timedelta(seconds=-3_456_789))
GET = endpoints()["v1.alibaba.refunds.get"]
CANARIES = {
    "phone": PHONE,
    "name": NAME,
    "address": ADDRESS,
    "free text": NOTE,
    "refund id": "TQ1108675230001",
    "order id": "4417263548812345",
    "login": "seller_zhang_88",
    "mail": "zhang@example.cn",
    "photo": "https://img.example.cn/b/2208123456789.jpg",
    "amount": "123456789",
    "moment": "20260415103055000+0800",
    "short unknown number": "777",
    "request id": "req-5f1d22",
    "message": "退款单属于张掖的王小明",
    "login that is a name of a field": "wangxiaoming",
    "persons as keys": "zhangsan",
    "person as the only key": "LiSi",
    "microseconds": "10:30:55.719283",
    "id within a text": "6608112233445566",
    "number as a text": "13711112222",
    "amount of an unknown field": "12345.67",
    "emoji": "🐼小红👩‍👩‍👧",
    "base64": "5byg5LiJIDEzODAwMTM4MDAw",
    "full-width phone": "１３８００１３８０００",
    "other scripts": "Ольга Müller",
    "name of an envelope field": "shop_of_lisi",
    "far end of a long text": "the end of it",
}
PLANTED: dict[str, Any] = {
    "id": CANARIES["refund id"],
    "refundId": CANARIES["refund id"],
    "orderId": int(CANARIES["order id"]),
    "status": "refundsuccess",
    "refundPayment": int(CANARIES["amount"]),
    "applyPayment": 990,
    "buyerLoginId": CANARIES["login"],
    "gmtCreate": CANARIES["moment"],
    "applyReason": NOTE,
    **PERSONAL,
    "newGroup": {**PERSONAL, CANARIES["login"]: 1, "13900001111": "x"},
    "newFlag": True,
    "newCount": 777,
    "newMail": CANARIES["mail"],
    "newNames": {"zhangsan": {"phone": 1, "paid": 777}, "lisi": {"phone": 2, "paid": 3}},
    "newLogin": {"wangxiaoming": 5, "login": "WangXiaoMing", "LiSi": {"who": "lisi"}},
    "newMoment": f"2026-04-15 {CANARIES['microseconds']}+08:00",
    "newText": f"refund of order {CANARIES['id within a text']} refused; {CANARIES['number as a text']}",
    "newAmount": Decimal(CANARIES["amount of an unknown field"]),
    "newAmounts": {"total": CANARIES["amount of an unknown field"], "deep": [[[{"x": 123456}]]]},
    "newIcon": CANARIES["emoji"],
    "newFile": CANARIES["base64"] + "==",
    "newPhone": CANARIES["full-width phone"],
    "newBuyer": CANARIES["other scripts"],
    "newStory": "x" * 100_000 + CANARIES["far end of a long text"],
    "newList": [{"photo": CANARIES["photo"], "id": CANARIES["refund id"]}, None],
}


def leaves(value: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{number}]")
    else:
        yield path, value


def whole(kind: Any = GET.response_type, **more: Any) -> Recording:
    told = {"requestId": CANARIES["request id"], "code": 200, "msg": CANARIES["message"], "data": PLANTED}
    told["shop_of_lisi 2"] = {"seller": CANARIES["login"]}
    return Recording.of(GET.pin, ["refund_id"], 200, told, kind, Redactor(b"k" * 32, REDACTOR.offset, **more))


@pytest.mark.parametrize("kind", [GET.response_type, Any, Refund], ids=["declared", "undeclared", "another"])
def test_no_canary_is_in_a_recording(kind: Any) -> None:
    planted = json.dumps([PLANTED, *CANARIES.values()], ensure_ascii=False, default=str).casefold()
    text = whole(kind).to_json().casefold()
    found = {name: text.count(canary.casefold()) for name, canary in CANARIES.items()}
    for name, canary in CANARIES.items():
        print(f"| {name} | {planted.count(canary.casefold())} | {found[name]} |")
    assert not any(found.values())


def test_what_is_harmless_stays_and_the_form_of_the_rest() -> None:
    data = form = whole().answer["data"]
    assert (form["status"], form["applyPayment"], whole().answer["code"]) == ("refundsuccess", 990, 200)
    assert whole(hide_amounts=True).answer["data"]["applyPayment"] != 990
    assert re.fullmatch(r"[A-Z]{2}[0-9]{13}", form["refundId"])
    assert form["refundId"] == form["id"] == data["newList"][0]["id"]
    assert isinstance(form["orderId"], int)
    assert len(str(form["orderId"])) == len(CANARIES["order id"])
    assert form["gmtCreate"] == "20260306101746000+0800"
    assert data["newFlag"] is True
    assert data["newList"][0]["photo"].startswith("https://")
    assert {"newFlag", "newCount", "newMail", "newList", "newGroup"} <= data.keys()


def test_undeclared_names_are_listed_and_those_that_are_content_are_replaced() -> None:
    redactor = Redactor(b"k" * 32, REDACTOR.offset)
    data = {"newFlag": True, "zhangsan": 1, "buyer": "ZhangSan", "shops": {"one": {"a": 1}, "two": {"a": 2}}}
    made = Recording.of(GET.pin, [], 200, {"code": 200, "msg": "newFlag", "data": data}, Refund, redactor)
    assert redactor.kept == {"a", "buyer", "newFlag", "shops"}
    assert made.answer["data"].keys() & data.keys() == {"buyer", "newFlag", "shops"}
    assert len(made.answer["data"]["shops"]) == 2


def test_a_long_text_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing all of it for every 64 characters took minutes for a picture in an answer."""
    hashed = 0
    plain = hashlib.blake2b

    def counting(data: bytes, **arguments: Any) -> Any:
        nonlocal hashed
        hashed += len(data)
        return plain(data, **arguments)

    monkeypatch.setattr(hashlib, "blake2b", counting)
    assert len(REDACTOR.like("A" * 50_000)) == 50_000
    assert hashed < 3 * 50_000


def test_an_answer_without_end_is_refused_in_one_sentence() -> None:
    value: Any = 1
    for _ in range(2_000):
        value = [value]
    with pytest.raises(MalformedResponseError, match="nested too deeply to be recorded"):
        Recording.of(GET.pin, [], 200, {"code": 200, "data": value}, Any, REDACTOR)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.binary(min_size=16, max_size=32))
def test_whatever_comes_keeps_its_shape_and_no_text(value: Any, key: bytes) -> None:
    redactor = Redactor(key, timedelta(days=-99))
    made = redactor.redact(value, Any)
    assert redactor.redact(value, Any) == made
    for (_, before), (_, after) in zip(leaves(value), leaves(made), strict=True):
        assert type(after) is type(before)
        if isinstance(before, str):
            assert len(after) == len(before)
            assert not (len(before) > 16 and before.isalnum() and after == before)
    json.dumps(made, default=float)


def test_no_field_is_lost_where_two_names_become_one() -> None:
    names = {str(number): number for number in range(30)}
    assert len(REDACTOR.redact(names)) == 30


@given(st.integers(min_value=100_000), st.sampled_from([int, str, Decimal, Any]))
def test_equal_numbers_and_texts_become_equal(number: int, kind: Any) -> None:
    as_number = REDACTOR.redact(number, kind)
    assert str(as_number) == REDACTOR.redact(str(number), kind)
    assert len(str(as_number)) == len(str(number))


@pytest.mark.parametrize(
    ("text", "shifted"),
    [
        ("2026-04-15", "2026-03-05"),
        ("2026-04-15 10:30:55", "2026-03-06 10:17:46"),
        ("2026-04-15T10:30:55.250+08:00", "2026-03-06T10:17:46.250+08:00"),
        ("2026-04-15T10:30:55.250Z", "2026-03-06T10:17:46.250Z"),
    ],
)
def test_dates_are_shifted_in_their_own_form_wherever_they_stand(text: str, shifted: str) -> None:
    assert REDACTOR.redact({"odd": [text]}) == {"odd": [shifted]}


async def test_a_recording_of_a_real_answer_is_played_by_the_sandbox(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(monkeypatch, capsys, tmp_path)
    async with Sandbox(refunds=100) as sandbox:
        shell.use(sandbox)
        form = sandbox.find("1688", "waitbuyersend")
        words = ("record", "refund.json", "--", "call", "alibaba.refunds.get", f"refund_id={form.refund_id}")
        shown = await shell.beside(*words)
        assert (shown.code, (tmp_path / "refund.json").exists()) == (2, False)
        assert "add --yes" in shown.err
        done = await shell.beside(words[0], "--yes", *words[1:])
        assert done.code == 0, done
        write = await shell.beside("record", "w.json", "--", "call", "taobao.refunds.cancel", "refund_id=11")
        assert (write.code, "only reads" in write.err) == (2, True)
        wrong = await shell.beside("record", "w.json", "--", "alibaba.refunds.get")
        assert "write: pandapon record FILE -- call NAME" in wrong.err
    text = (tmp_path / "refund.json").read_text(encoding="utf-8")
    assert text == done.out
    for canary in (
        form.refund_id,
        form.order_id,
        sandbox.credentials.user_id,
        sandbox.credentials.access_key,
    ):
        assert canary not in text
    assert json.loads(text)["arguments"] == ["refund_id"]
    async with (
        Sandbox(refunds=10, recorded=[tmp_path / "refund.json"]) as player,
        Client(player.credentials, Settings(base_url=player.base_url, rate=None)) as pandapon,
    ):
        played = await pandapon.v1.alibaba.refunds.get(refund_id="TQ999").with_response()
    assert played.value.status == "waitbuyersend"
    assert json.loads(text)["answer"]["requestId"] == played.request_id


async def test_an_answer_that_does_not_fit_or_refuses_is_recorded_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What we misread is what we most need to see."""
    shell = Shell(monkeypatch, capsys, tmp_path)
    odd = answer(http(envelope([{"phone": PHONE}, 777])))
    refused = answer(http(envelope({"why": PHONE}, code=4711, msg=NAME, hint={"who": NAME})))
    inside = answer(http(envelope({"success": False, "errorCode": 40077123, "errorMsg": NAME})))
    unclear = answer(http(envelope({"success": "perhaps"})))
    page = answer(http(b"<html>", "502 Bad"))
    async with FaultServer(odd, refused, inside, unclear, then=page) as server:
        for name, value in (("ACCESS_KEY", "k"), ("ACCESS_SECRET", "s"), ("USER_ID", "1"), ("RATE", "none")):
            monkeypatch.setenv(f"PANDAPON_{name}", value)
        monkeypatch.setenv("PANDAPON_RETRY__ATTEMPTS", "1")
        words = (
            "--yes",
            "--base-url",
            server.url,
            "a.json",
            "--",
            "call",
            "alibaba.refunds.get",
            "refund_id=TQ1",
        )
        first = await shell.beside("record", *words)
        assert first.code == 0, first
        assert json.loads(first.out)["answer"]["data"][0].keys() == {"phone"}
        second = await shell.beside("record", *words)
        form = json.loads(second.out)["answer"]
        assert (form["code"], form["data"].keys(), form["hint"].keys()) == (4711, {"why"}, {"who"})
        third = await shell.beside("record", *words)
        form = json.loads(third.out)["answer"]["data"]
        assert (form["success"], len(str(form["errorCode"]))) == (False, 8)
        fourth = await shell.beside("record", *words)
        assert len(json.loads(fourth.out)["answer"]["data"]["success"]) == len("perhaps")
        none = await shell.beside("record", *words)
        assert (none.code, none.out) == (3, "")
    for shown in (first, second, third):
        assert not {PHONE, NAME} & set(re.findall(r'"([^"]*)"', shown.out))
        assert "40077123" not in shown.out
    assert "undeclared fields, kept by name: hint, who, why; none may name a person" in second.err


@pytest.mark.parametrize("text", ["", "[]", '{"made_by": "pandapon-async record", "format": 2}', "{}"])
def test_what_is_not_a_recording_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"odd\.json is not a recording of format 1"):
        Sandbox(recorded=[path])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Sandbox(recorded=[tmp_path / "none.json"])
