"""What a few reads find out of vendors that differ, and where they stop."""

from __future__ import annotations

import asyncio
import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async import Codes, Credentials, ListFacts, Override, VendorProfile
from pandapon_async.calibration import MOST_CALLS, Calibration, calibrate, shape_of
from pandapon_async.core.clock_skew import Skew
from pandapon_async.sandbox import ListShape, Sandbox
from tests.support.clients import CREDENTIALS, settings
from tests.support.command import Shell
from tests.support.server import FaultServer, answer, envelope, http, ok
from tests.support.virtual import LoopClock, virtual_time

QUERY = {"alibaba.refunds.get": Override(arguments="query")}
MS, S = {"timestamp_unit": "ms"}, {"timestamp_unit": "s"}
UPPER, LOWER = {"signer": "md5_upper"}, {"signer": "md5_lower"}
VENDORS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], int]] = {
    # name: (profile, other settings of the sandbox, what is found, calls)
    "as documented": ({}, {}, {**MS, **UPPER}, 11),
    "seconds": ({**S}, {}, {**S, **UPPER}, 12),
    "lower case": ({**LOWER}, {}, {**MS, **LOWER}, 13),
    "seconds in lower case": ({**S, **LOWER}, {}, {**S, **LOWER}, 14),
    "id in the query": ({"overrides": QUERY}, {}, {**MS, **UPPER, "overrides": {
        "alibaba.refunds.get": {"arguments": "query"}}}, 11),
    "seconds and query": ({**S, "overrides": QUERY}, {}, {**S, **UPPER, "overrides": {
        "alibaba.refunds.get": {"arguments": "query"}}}, 12),
    "not found by another code": (
        {"codes": Codes(not_found={40400})}, {}, {**MS, **UPPER, "codes": {"not_found": [404, 40400]}}, 11,
    ),
    "refuses with another code": (
        {**S, "codes": Codes(authentication={1001})}, {},
        {**S, **UPPER, "codes": {"authentication": [401, 403, 1001]}}, 12,
    ),
    "not found is null": ({}, {"not_found": "null"}, {**MS, **UPPER}, 11),
    "not found is empty": ({}, {"not_found": "empty"}, {**MS, **UPPER}, 11),
    "lists begin at 0": (
        {"list": ListFacts(first_page=0)}, {}, {**MS, **UPPER, "list": {"first_page": 0, "unit": "ms"}}, 11,
    ),
    "lists in seconds": (
        {"list": ListFacts(unit="s", largest_page=7, items="refundPage")}, {},
        {**MS, **UPPER, "list": {"first_page": 1, "items": "refundPage", "unit": "s", "largest_page": 7}}, 11,
    ),
    "freight is added": ({"freight": "added"}, {}, {**MS, **UPPER}, 11),
}  # fmt: skip


async def of(server: Sandbox, **more: Any) -> Calibration:
    credentials = more.pop("credentials", server.credentials)
    given = settings(server.base_url, **more.pop("settings", {}))
    given = attrs.evolve(given, clock=LoopClock())
    return await calibrate(credentials, given, skew=Skew(0.0, 0.5), **more)


@pytest.mark.parametrize("name", VENDORS)
@virtual_time
async def test_what_is_found_of_thirteen_vendors(name: str) -> None:
    profile, more, expected, calls = VENDORS[name]
    played = VendorProfile(**profile)
    async with sandbox(profile=played, **more) as server:
        refund_id = next(iter(server.refund_ids("1688")))
        found = await of(server, refund_id=refund_id)
        assert (found.stopped, found.accepted) == (None, True)
        assert found.calls == len(server.log) + 1 == calls <= MOST_CALLS
        assert list(server.effects) == []
    pages = {"list": {"first_page": 1, "unit": "ms"}}
    assert found.vendor == {**pages, **expected}
    assert tomllib.loads(found.to_toml())["vendor"] == found.vendor
    assert refund_id not in json.dumps(attrs.asdict(found))


def sandbox(**more: Any) -> Sandbox:
    return Sandbox(refunds=40, seed=7, clock=LoopClock(), sleep=asyncio.sleep, **more)


@virtual_time
async def test_a_list_that_ignores_its_bounds_has_no_unit() -> None:
    async with sandbox(lists=ListShape(ignores_window=True, largest_asked=50)) as server:
        found = await of(server)
    by_name = {finding.name: finding for finding in found.findings}
    assert "the bounds are ignored" in by_name["list.unit"].why
    assert "refused" in by_name["list.largest_page"].why
    assert "list" not in found.vendor


@virtual_time
async def test_without_a_refund_less_is_known() -> None:
    async with sandbox() as server:
        found = await of(server)
    by_name = {finding.name: finding for finding in found.findings}
    assert by_name["place of refund_id"].found == "not known"
    assert "--refund-id TQ" in by_name["place of refund_id"].why
    assert found.stopped is None


@virtual_time
async def test_it_stops_before_a_signature_is_refused_twice() -> None:
    async with sandbox() as server:
        wrong = Credentials(server.credentials.access_key, "wrong", server.credentials.user_id)
        found = await of(server, credentials=wrong, refund_id="TQ1")
        assert (found.accepted, found.calls, len(server.log)) == (False, 5, 4)
        assert found.stopped == "no signature is accepted: check key, secret and user id"
        assert found.vendor == {}


@virtual_time
async def test_a_signature_that_was_accepted_is_refused_twice_at_most() -> None:
    no = answer(http(envelope(None, code=401)))
    async with FaultServer(ok({"list": []}), then=no) as server:
        given = attrs.evolve(settings(server.url), clock=LoopClock())
        found = await calibrate(CREDENTIALS, given, skew=Skew(0.0, 0.5), refund_id="TQ1")
        assert len(server.requests) == 3
    assert (found.accepted, found.stopped) == (True, "the same signature was refused twice")


@virtual_time
async def test_it_stops_at_the_first_throttle() -> None:
    async with sandbox(faults="throttle_429:1.0") as server:
        found = await of(server, refund_id="TQ1")
        assert (found.calls, len(server.log)) == (2, 1)
        assert found.stopped is not None
        assert "throttled" in found.stopped


@virtual_time
async def test_a_wrong_clock_comes_first() -> None:
    async with sandbox() as server:
        found = await calibrate(server.credentials, settings(server.base_url), skew=Skew(4000.0, 0.5))
        assert (found.calls, len(server.log)) == (1, 0)
        assert found.stopped is not None
        assert "clock" in found.stopped


@virtual_time
async def test_it_is_paced() -> None:
    async with sandbox() as server:
        begun = asyncio.get_running_loop().time()
        found = await of(server, refund_id=next(iter(server.refund_ids("1688"))))
        assert asyncio.get_running_loop().time() - begun >= (found.calls - 2) / 2


def test_shapes_tell_names_and_types_and_no_values() -> None:
    data = {"a": 1, "b": "13800001111", "c": None, "d": [1], "e": {}, "f": True, "g": Decimal("1.5")}
    shape = "a number, b text, c null, d list, e object, f true/false, g decimal"
    assert shape_of(data) == shape
    assert shape_of([data]) == f"a list of {shape}"
    assert shape_of({str(number): 1 for number in range(100)}).endswith(" and 40 more")
    nothing: list[Any] = [[], {}, "x"]
    assert [shape_of(one) for one in nothing] == ["an empty list", "an object without fields", "text"]


class TestCommand:
    @pytest.fixture
    def shell(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> Shell:
        return Shell(monkeypatch, capsys, tmp_path)

    async def test_it_writes_a_file_that_works_and_never_changes_one(self, shell: Shell) -> None:
        played = VendorProfile(timestamp_unit="s", overrides=QUERY)
        async with Sandbox(refunds=40, seed=7, profile=played) as server:
            shell.use(server)
            refund_id = next(iter(server.refund_ids("1688")))
            command = ("calibrate", "--refund-id", refund_id, "--write", "found.toml")
            ended = await shell.beside(*command)
            assert ended.code == 0, ended.err
            shown = json.loads(ended.out)
            assert shown["vendor"]["timestamp_unit"] == "s"
            assert (await shell.beside(*command)).code == 2
            doctor = await shell.beside("--help")
            assert "calibrate" in doctor.out
            ended = await shell.beside(
                "call", "alibaba.refunds.get", f"refund_id={refund_id}", "--config", "found.toml"
            )
            assert ended.code == 0, ended.err
        text = (shell.folder / "found.toml").read_text(encoding="utf-8")
        assert refund_id not in text
        assert (shell.folder / "found.toml").stat().st_mode & 0o777 == 0o600

    async def test_no_signature_ends_with_4(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        async with Sandbox(refunds=2) as server:
            shell.use(server)
            monkeypatch.setenv("PANDAPON_ACCESS_SECRET", "wrong")
            ended = await shell.beside("calibrate", "--write", "found.toml")
        assert (ended.code, (shell.folder / "found.toml").exists()) == (4, False)
        assert "stopped: no signature is accepted" in ended.err
