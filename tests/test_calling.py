"""What is wrong with a call is said when it is made: before it is awaited, and before anything is sent."""

from __future__ import annotations

import asyncio
import base64
import gc
import inspect
import io
import json
import warnings
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
import pytest

from pandapon_async import (
    AdaptiveRate,
    Client,
    Codes,
    ConfigurationError,
    Credentials,
    InvalidArgumentError,
    Override,
    RetryPolicy,
    Settings,
    bulk,
)
from pandapon_async.api.registry import endpoints
from pandapon_async.client import _SHARED, SafetyName
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.fields import EnumField
from pandapon_async.settings import SettingsArguments, SettingsChanges, VendorProfile
from tests.support.clients import CREDENTIALS, client
from tests.support.server import FaultServer, ok
from tests.support.virtual import virtual_time

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)
CREATE: dict[str, Any] = {
    "order_id": 1, "order_entry_ids": [2], "dispute_request": "refund", "apply_payment": 100,
    "apply_carriage": 0, "apply_reason_id": 3, "description": "broken", "goods_status": "refundBuyerReceived",
}  # fmt: skip


def create(**changes: Any) -> Any:
    return lambda it: it.alibaba.refunds.create(**{**CREATE, **changes})


def upload(image: Any) -> Any:
    return lambda it: it.alibaba.refunds.upload_voucher(image=image)


WRONG: list[tuple[Any, str | None, str]] = [
    (lambda it: it.alibaba.refunds.get(refund_id="1"), "refund_id", "refund_id must be an id such as TQ2018"),
    (lambda it: it.alibaba.refunds.get(refund="TQ1"), "refund", "did you mean refund_id?"),
    (lambda it: it.alibaba.refunds.get(), "refund_id", "refund_id is required"),
    (lambda it: it.alibaba.refunds.get(zzz=1), "zzz", "unknown argument zzz; known: refund_id"),
    (lambda it: it.alibaba.refunds.get("TQ1"), None, "takes keyword arguments only: get(refund_id=...)"),
    (create(apply_payment=1.5), "apply_payment", "must be whole fen"),
    (create(description="x"), "description", "2 to 150 characters"),
    (create(goods_status="gone"), "goods_status", "must be one of"),
    (create(vouchers=["u"] * 6), "vouchers", "1 to 5 items, has 6"),
    (upload(b"GIF"), "image", "by its first bytes"),
    (upload(PNG + bytes(1_048_576)), "image", "at most 999999 bytes"),
    (upload(7), "image", "must be bytes, a path or a binary file"),
    (lambda it: it.taobao.refunds.pages(page_no=-1), "page_no", "page_no must be >= 0"),
    (lambda it: it.v2.alibaba.orders.preview(address_param={}), "cargo_param_list", "is required"),
    (lambda it: it.request("POST", "no-slash"), "path", "path must begin with one /"),
    (lambda it: it.request("POST", "/x", json={"a": 1.5}), "json", "float"),
    (lambda it: it.request("POST", "/x", safety="reed"), "safety", "safety must be one of read"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "argument", "text"), WRONG, ids=[text for _, _, text in WRONG])
@virtual_time
async def test_a_wrong_call_fails_where_it_is_made(make: Any, argument: str | None, text: str) -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        with pytest.raises(InvalidArgumentError) as caught:
            make(pandapon)  # nothing is awaited
        assert caught.value.argument == argument
        assert text in str(caught.value)
        assert caught.value.endpoint is None or not caught.value.endpoint.startswith(("v1.", "v2."))
        assert server.requests == []


@virtual_time
async def test_the_error_names_the_call() -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        for group in (pandapon.alibaba, pandapon.v1.alibaba, pandapon.v2.alibaba):
            with pytest.raises(InvalidArgumentError) as caught:
                group.refunds.create(order_id="x")  # type: ignore[call-arg]
            assert caught.value.endpoint == "alibaba.refunds.create"


class Watched(io.BytesIO):
    """A file that notes whether it was read."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size)


@virtual_time
async def test_a_path_is_not_touched_and_a_file_not_read_before_the_call_is_awaited(tmp_path: Path) -> None:
    uploaded = ok({"imageDomain": "https://x", "imageRelativeUrl": "/a.jpg"})
    async with FaultServer(then=uploaded) as server, client(server.url) as pandapon:
        path, file = tmp_path / "proof.png", Watched(PNG)
        by_path = pandapon.alibaba.refunds.upload_voucher(image=path)
        by_file = pandapon.alibaba.refunds.upload_voucher(image=file)
        missing = pandapon.alibaba.refunds.upload_voucher(image=tmp_path / "missing.png")
        assert file.reads == 0
        await asyncio.to_thread(path.write_bytes, PNG)  # there only now
        assert (await by_path).url == (await by_file).url == "https://x/a.jpg"
        with pytest.raises(InvalidArgumentError, match="image file that can be read") as caught:
            await missing
        assert (caught.value.argument, caught.value.endpoint) == ("image", "alibaba.refunds.upload_voucher")
        assert len(server.requests) == 2


@virtual_time
async def test_an_open_file_is_read_once_for_all_pages() -> None:
    pages = [ok({"totalRecords": 3, "data": [{"imageUrl": str(number)}]}) for number in range(3)]
    async with FaultServer(*pages) as server, client(server.url, rate=None) as pandapon:
        file = Watched(PNG)
        found = pandapon.alibaba.goods.search_by_image_pages(image=file)
        assert file.reads == 0
        assert [product.image_url async for product in found] == ["0", "1", "2"]
        sent = [json.loads(request.body) for request in server.requests]
        assert [base64.b64decode(body["imageBase64"]) for body in sent] == [PNG] * 3
        assert [body["beginPage"] for body in sent] == [1, 2, 3]

        refused = pandapon.alibaba.goods.search_by_image_pages(image=io.BytesIO(b"GIF"))
        with pytest.raises(InvalidArgumentError, match="by its first bytes") as caught:
            await anext(refused)
        assert caught.value.argument == "image"
        assert len(server.requests) == 3


@virtual_time
async def test_bulk_counts_a_wrong_call_as_its_items_failure() -> None:
    async with FaultServer(then=ok({"id": "1"})) as server, client(server.url) as pandapon:
        results = [
            result
            async for result in bulk.run(
                lambda item: pandapon.alibaba.refunds.get(refund_id=item), ["TQ1", "1", "TQ2"], ordered=True
            )
        ]
        assert [type(getattr(result, "error", None)) for result in results] == [
            type(None),
            InvalidArgumentError,
            type(None),
        ]
        assert len(server.requests) == 2


@virtual_time
async def test_a_call_that_nobody_awaits_is_named_and_leaves_nothing() -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        for make in (
            lambda: pandapon.alibaba.refunds.get(refund_id="TQ1"),
            lambda: pandapon.v1.alibaba.refunds.get(refund_id="TQ1").with_response(),
        ):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                make()
                gc.collect()
            assert [str(one.message) for one in told] == ["the call alibaba.refunds.get was never awaited"]
            assert told[0].category is RuntimeWarning
        call = pandapon.alibaba.refunds.get(refund_id="TQ1")
        assert repr(call) == "<Call alibaba.refunds.get>"
        task = asyncio.ensure_future(call)
        assert "alibaba.refunds.get" in repr(task)
        task.cancel()
        await asyncio.wait([task])
        pandapon.alibaba.refunds.get(refund_id="TQ1").close()  # on purpose: nobody is warned
        assert server.requests == []


# --- settings


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Settings(timout=5), "Settings has no setting timout; did you mean timeout?"),  # type: ignore[call-arg]
        (lambda: Settings(5), "Settings takes keyword arguments only"),  # type: ignore[call-arg, arg-type]
        (lambda: Settings.from_env(None, zzz=1), "Settings has no setting zzz; known: base_url, "),  # type: ignore[call-arg]
        (lambda: Client.from_env(None, rat=1), "Settings has no setting rat; did you mean rate?"),  # type: ignore[call-arg]
        (lambda: Credentials(access_key="a"), "Credentials needs access_secret, user_id"),  # type: ignore[call-arg]
        (lambda: Override(pth="/x"), "Override has no setting pth; did you mean path?"),  # type: ignore[call-arg]
        (lambda: RetryPolicy(attempt=1), "RetryPolicy has no setting attempt; did you mean attempts?"),  # type: ignore[call-arg]
        (lambda: Codes(throtle={1}), "Codes has no setting throtle; did you mean throttle?"),  # type: ignore[call-arg]
        (lambda: AdaptiveRate(slow=1), "AdaptiveRate has no setting slow; did you mean slower?"),  # type: ignore[call-arg]
    ],
)
def test_a_wrong_name_of_a_setting_is_a_configuration_error(
    make: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ACCESS_KEY", "ACCESS_SECRET", "USER_ID"):
        monkeypatch.setenv(f"PANDAPON_{name}", "x")
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert text in str(caught.value)


@pytest.mark.parametrize("kind", [Settings, Credentials, Override, RetryPolicy, Codes, AdaptiveRate])
def test_the_signature_of_options_is_their_own(kind: type[Any]) -> None:
    assert list(inspect.signature(kind).parameters) == [
        field.name for field in attrs.fields(kind) if field.init
    ]


def test_what_from_env_and_with_settings_take_is_what_settings_have() -> None:
    def types(kind: type[Any]) -> dict[str, Any]:
        return {field.name: field.type for field in attrs.fields(kind) if field.init}

    fields = types(Settings)
    declared = {**SettingsChanges.__annotations__, **SettingsArguments.__annotations__}
    said = {name: getattr(kind, "__forward_arg__", kind) for name, kind in declared.items()}
    profile = types(VendorProfile) | {"signer": "Signer | str"}
    texts = {"shared": "DatabaseUrl | str | None"}  # converted
    assert said == fields | profile | texts
    assert not fields.keys() & profile.keys()
    assert fields.keys() - SettingsChanges.__annotations__.keys() == _SHARED


def test_closed_choices_are_literals_of_their_enumeration() -> None:
    assert set(get_args(SafetyName)) == set(Safety)
    closed = 0
    for endpoint in endpoints().values():
        hints = get_type_hints(endpoint.declaration)
        for parameter in endpoint.parameters:
            rule = parameter.rule
            if isinstance(rule, EnumField) and not rule.open:
                closed += 1
                spelled = [value for arm in get_args(hints[parameter.name]) for value in get_args(arm)]
                assert spelled == [member.value for member in rule.values], parameter.name
    assert closed == 6


class Shop(Client):
    """A client with something of its own."""

    name = "nobody"


@virtual_time
async def test_a_copy_of_a_subclass_keeps_what_is_its_own() -> None:
    async with (
        FaultServer(then=ok({"id": "1"})) as server,
        Shop(CREDENTIALS, Settings(base_url=server.url)) as pandapon,
    ):
        pandapon.name = "shop-a"
        group = pandapon.alibaba
        copy = pandapon.with_settings(timeout=5)
        assert (type(copy), copy.name, copy.settings.timeout) == (Shop, "shop-a", 5)
        assert copy.alibaba is not group
        assert copy.alibaba.refunds._caller is copy
        await copy.alibaba.refunds.get(refund_id="TQ1")
        with pytest.raises(ConfigurationError, match="did you mean timeout"):
            pandapon.with_settings(timeot=1)  # type: ignore[call-arg]
        with pytest.raises(ConfigurationError, match=r"alibaba\.refund\.get is not a call; did you mean"):
            pandapon.with_settings(overrides={"alibaba.refund.get": Override(path="/x")})
