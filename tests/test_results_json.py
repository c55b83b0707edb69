"""What calls and jobs give becomes JSON by one rule, and tells of no person unless asked."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import pandapon_async.models
from pandapon_async import Attempt, DecodeError, Fen, PandaponError, RejectedError, Response, errors
from pandapon_async.bulk import Done, Failed
from pandapon_async.callbacks import Message, MessageOrder
from pandapon_async.callbacks.store import Record
from pandapon_async.core.json_values import Result
from pandapon_async.core.model import Model
from pandapon_async.core.outcome import Safety
from pandapon_async.core.structure import structurer
from pandapon_async.models.taobao.refunds import RefundDetail
from pandapon_async.plans import PlanRow, RowState
from tests.support.canaries import KINDS, NAME, PERSONAL, PHONE
from tests.support.clients import KEY
from tests.test_public_names import PUBLIC

GIVEN = {
    "AdaptiveRate": "a setting", "ApplyOptions": "options", "CallEnded": "an observer's argument",
    "CallStarted": "an observer's argument", "CallbackSettings": "settings", "Codes": "a setting",
    "Credentials": "secrets", "Fault": "a rule that a test gives", "Image": "an argument",
    "ImageLimits": "a setting", "ListFacts": "a setting", "ListShape": "a rule that a test gives",
    "Options": "options", "Override": "a setting", "PlanOptions": "options",
    "Pace": "a setting", "Push": "what a web framework gives", "Recording": "a file; its JSON is its own",
    "Resolver": "a worker", "RetryPolicy": "a setting", "Settings": "settings",
    "VendorProfile": "a setting", "VerdictRule": "a setting", "WriteKey": "what a write is known by",
    "Writer": "whose journal it is",
}  # fmt: skip
"""What a user or the client itself gives: no result. Whatever else is public has to be one."""


def public_types() -> Iterator[type[Any]]:
    for place in PUBLIC:
        module = importlib.import_module(f"pandapon_async{place}")
        for name in getattr(module, "__all__", ()):
            found = getattr(module, name)
            if isinstance(found, type) and (attrs.has(found) or hasattr(found, "_fields")):
                yield found
    for found in pkgutil.walk_packages(pandapon_async.models.__path__, "pandapon_async.models."):
        module = importlib.import_module(found.name)
        yield from (
            one
            for one in vars(module).values()
            if isinstance(one, type) and issubclass(one, Model) and one.__module__ == found.name
        )  # what is no Model there is an argument


RESULTS = sorted(
    {one for one in public_types() if one.__name__ not in GIVEN},
    key=lambda one: (one.__name__, one.__module__),
)


def test_what_is_given_is_public() -> None:
    assert {one.__name__ for one in public_types()} >= GIVEN.keys()
    assert len(RESULTS) > 80


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_public_result_becomes_json(kind: type[Any]) -> None:
    assert callable(kind.to_dict)
    assert callable(kind.to_json)
    if not attrs.has(kind):
        return
    assert issubclass(kind, Result)
    hidden = {field.name for field in attrs.fields(kind) if field.metadata.get("personal")}
    unseen = {field.name for field in attrs.fields(kind) if field.repr is False}
    # What a repr leaves out for a person's sake is left out here as well.
    assert unseen - hidden <= {
        "content",
        "develop_id",
        "history",
        "misfit",
        "problems",
        "received",
        "rule",
        "state",
        "value",
    }


def refund() -> RefundDetail:
    data = {"refundOrderAggregate": {"refundOrder": {"refundId": "1", "refundFee": 100}}, **PERSONAL}
    made: RefundDetail = structurer(RefundDetail)(data, RefundDetail)
    return made


def response() -> Response[RefundDetail]:
    attempts = (Attempt(1, "answered", 0.5, 0.0, "RateLimitError", 429, 429, "r-1"), Attempt(2, "ok", 0.5))
    return Response(
        value=refund(), request_id="r-2", code=200, msg=f"{NAME} {PHONE}", develop_id="7", data=PERSONAL,
        http_status=200, attempts=2, history=attempts, seconds=1.5, waited=0.5,
    )  # fmt: skip


def rejected() -> RejectedError:
    error = RejectedError(
        "the platform refused", endpoint="alibaba.refunds.create", attempts=1, request_id="r-3",
        code=200, msg=f"{NAME}", http_status=200, error_code="4007", error_info=f"{PHONE}",
        history=(Attempt(1, "answered", 0.1),),
    )  # fmt: skip
    error.safety = Safety.CHECKED.value
    return error


MESSAGE = Message(
    id="a" * 64, platform="1688", type="REFUND", kind="refund",  # type: ignore[arg-type]
    body=PERSONAL, content=PERSONAL, raw=json.dumps(PERSONAL).encode(), access_key=KEY,
    extra={"note": PHONE}, order=MessageOrder.RESTORED,
)  # fmt: skip
RECORD = Record(
    id="1", access_key=KEY, moment=1, pushed=1, received=1.0, due=1.0, updated=1.0,
    body=json.dumps(PERSONAL).encode(), seq=1, attempts=0, copies=0, finished=[], unhandled=False,
)  # fmt: skip
ROW = PlanRow(
    row=2,
    state=RowState.REJECTED,
    arguments={"description": f"{NAME} {PHONE}"},
    vendor_message=f"{NAME} {PHONE}",
)
PEOPLE: list[Result | PandaponError] = [
    response(), rejected(), DecodeError("odd", path="$.x", data=PERSONAL), MESSAGE, RECORD, ROW,
    Done(Path("a.jpg"), 0, refund(), 1, 0.5, "r-1"),
    Failed({"phone": PHONE, "id": "7"}, 1, rejected(), 1, 0.5),
    Failed(7, 2, LookupError(f"{NAME} {PHONE}"), 0, 0.1),
]  # fmt: skip


@pytest.mark.parametrize("result", PEOPLE, ids=lambda one: type(one).__name__)
def test_nobody_is_told_of_unless_asked_for(result: Result | PandaponError) -> None:
    told = result.to_json()
    assert json.loads(told) == result.to_dict()
    assert [kind for kind, canary in KINDS.items() if canary in told] == []
    whole = json.dumps(json.loads(result.to_json(personal=True)), ensure_ascii=False)
    if not isinstance(result, Done | Failed):
        assert any(canary in whole for canary in KINDS.values())


def test_a_response_has_the_answer_and_its_attempts() -> None:
    told = response().to_dict()
    assert told["value"] == refund().to_dict()
    assert told["history"][0]["http_status"] == 429
    assert (told["attempts"], told["request_id"]) == (2, "r-2")
    assert response().to_dict(personal=True)["data"]["sellerMobile"] == PHONE


def test_an_item_of_a_bulk_run_and_what_became_of_it() -> None:
    done = Done(Path("a.jpg"), 0, Fen(1250), 1, 0.5, "r-1").to_dict()
    assert done["item"] == "a.jpg"
    assert done["value"] == 1250
    failed = Failed("TQ1", 3, rejected(), 1, 0.5).to_dict()
    assert failed["error"]["kind"] == errors.ErrorKind.REJECTED.value
    assert failed["error"]["error_code"] == "4007"
    assert failed["error"]["safety"] == "checked"
    assert Done(b"\xff" * 10, 0, object(), 0, 0.0).to_dict()["item"] == "<bytes>"
    assert Failed(1, 0, LookupError("x"), 0, 0.0).to_dict()["error"] == {"error": "LookupError"}


def test_the_journal_and_the_lists_of_a_plan_say_where_things_stand() -> None:
    assert ROW.to_dict()["state"] == "rejected"
    assert "arguments" not in ROW.to_dict()
    assert ROW.to_dict(personal=True)["arguments"] == {"description": f"{NAME} {PHONE}"}
