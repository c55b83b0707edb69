"""The doctor: each thing that can be wrong is found, named, and comes with what to do about it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import shutil
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from pandapon_async import AdaptiveRate, Clock, RetryPolicy, Settings
from pandapon_async.cli import doctor_local, doctor_network
from pandapon_async.cli.doctor_check import Check, DoctorContext
from pandapon_async.journal.intent import IntentState
from pandapon_async.journal.journal import Journal
from pandapon_async.sandbox import Fault, FaultKind, Sandbox
from tests.support.clients import CREDENTIALS
from tests.support.command import Ended, Shell
from tests.support.journals import noted
from tests.support.server import FaultServer, answer, envelope, free_port, http

EVERYTHING = {"versions", "dns", "tls", "clock", "key", "rate", "journal", "disk"}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def findings(ended: Ended) -> dict[str, Check]:
    return {check["name"]: Check(**check) for check in map(json.loads, ended.out.splitlines())}


def states(ended: Ended) -> dict[str, str]:
    return {name: check.state for name, check in findings(ended).items() if check.state != "ok"}


def ahead(seconds: float) -> Callable[[], float]:
    """The clock of a server to which this machine's is behind."""
    return lambda: time.time() + seconds


def use(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"PANDAPON_{name.upper()}", value)


async def test_nothing_is_wrong_with_the_sandbox(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sandbox(refunds=5) as sandbox:
        shell.use(sandbox)
        use(monkeypatch, rate="20")
        ended = await shell.beside("doctor")
        assert (ended.code, states(ended), set(findings(ended))) == (0, {}, EVERYTHING)
        assert (await shell.beside("doctor", "--no-online")).code == 0
        assert len(sandbox.log) == 3, "two looks at the clock, one call"
    found = findings(ended)
    assert found["rate"].found == "20 calls a second, 64 at once; throttles lower it to at least 2"
    assert "accepted" in found["key"].found


async def test_people_see_a_table_and_brackets_are_no_markup(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(refunds=5) as sandbox:
        shell.use(sandbox)
        folder = shell.folder / "[red]odd[/]"
        use(monkeypatch, journal=str(folder / "j.sqlite"))
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "250")
        ended = await shell.beside("doctor")
    assert "what to do" in ended.out
    assert str(folder) in ended.out
    assert not ended.out.startswith("{")


# --- the key


@pytest.mark.parametrize(("variable", "value"), [("ACCESS_SECRET", "wrong"), ("ACCESS_KEY", "other")])
async def test_a_wrong_key(shell: Shell, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    async with Sandbox(refunds=5) as sandbox:
        shell.use(sandbox)
        use(monkeypatch, **{variable: value})
        ended = await shell.beside("doctor")
    key = findings(ended)["key"]
    assert (ended.code, key.state) == (1, "bad")
    assert "check key, secret" in key.advice
    assert value not in ended.out


def replying(status: str, body: bytes, *headers: str) -> Any:
    return answer(http(body, status, headers))


@pytest.mark.parametrize(
    ("reply", "state", "found", "advice"),
    [
        (replying("200 OK", envelope(None, 50321)), "ok", "refused with code 50321", ""),
        (replying("404 Not Found", b"<html>"), "bad", "HTTP 404", "this may not be PandaPon"),
        (replying("200 OK", b"<html>hello</html>"), "bad", "HTTP 200", "this may not be PandaPon"),
        (replying("502 Bad Gateway", b"<html>"), "bad", "HTTP 502", "this may not be PandaPon"),
        (replying("500 Oh", envelope(None, 500)), "bad", "the server failed", "gateway answers"),
        (replying("429 Slow", b"", "Retry-After: 900"), "warning", "wait 900 s", "uses up the quota"),
    ],
    ids=["business", "nginx", "page", "gateway", "failing", "throttled"],
)
async def test_what_answers_in_the_place_of_an_envelope(
    reply: Any, state: str, found: str, advice: str
) -> None:
    async with FaultServer(then=reply) as server:
        context = DoctorContext(Settings(base_url=server.url, retry=RetryPolicy(attempts=1)), CREDENTIALS)
        check = await doctor_network.key(context)
    assert check.state == state
    assert found in check.found
    assert advice in check.advice
    if state == "warning":
        rate = await doctor_local.rate(context)
        assert (rate.state, "lowered the rate to 7 a second" in rate.found) == ("warning", True)


async def test_without_a_key_the_rest_is_looked_at(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sandbox(refunds=5) as sandbox:
        use(monkeypatch, base_url=sandbox.base_url, user_id="1")
        ended = await shell.beside("doctor")
    assert states(ended) == {"key": "bad", "journal": "warning"}
    assert "PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET" in findings(ended)["key"].found


# --- the clock


class Still(Clock):
    """A machine whose clock shows the middle of a second, for good."""

    def wall(self) -> float:
        return 1_700_000_000.5


@pytest.mark.parametrize(
    ("off", "state", "found"),
    [
        (0, "ok", "equal to the server's"),
        (-12, "ok", "12 s ahead of the server's, give or take 0.5 s"),
        (45, "warning", "45 s behind the server's, give or take 0.5 s"),
        (663, "bad", "11 min 3 s behind the server's, give or take 0.5 s; 600 s are accepted"),
        (-3 * 86400, "bad", "72 h 0 min ahead of the server's, give or take 0.5 s; 600 s are accepted"),
    ],
)
async def test_a_clock_that_is_off(off: float, state: str, found: str) -> None:
    async with Sandbox(refunds=5, clock=lambda: Still().wall() + off) as sandbox:
        check = await doctor_network.clock(DoctorContext(Settings(base_url=sandbox.base_url, clock=Still())))
    assert (check.state, check.found) == (state, found)
    assert ("NTP" in check.advice) == (state != "ok")
    assert ("until then" in check.advice) == (off == 663), "what is too far off is not corrected"


async def test_a_key_that_is_accepted_once_the_clock_is_corrected(shell: Shell) -> None:
    async with Sandbox(refunds=5, clock=ahead(663)) as sandbox:
        shell.use(sandbox)
        ended = await shell.beside("doctor")
    assert states(ended) == {"clock": "bad", "key": "warning", "rate": "warning"}
    assert "accepted with the server's time in the signature" in findings(ended)["key"].found


@pytest.mark.parametrize("headers", [[], ["Date: noon"], ["Date: Thu, 01 Jan 1970 00:00:30 GMT", "Age: 7"]])
async def test_an_answer_without_a_date_to_go_by(headers: list[str]) -> None:
    async with FaultServer(then=replying("200 OK", b"", *headers)) as server:
        check = await doctor_network.clock(DoctorContext(Settings(base_url=server.url)))
    assert (check.state, "the answer has no Date" in check.found) == ("warning", True)


async def test_a_server_that_hangs_up_at_the_clock() -> None:
    async def close(exchange: Any) -> None:
        await exchange.head()
        exchange.close()

    async with FaultServer(then=close) as server:
        check = await doctor_network.clock(DoctorContext(Settings(base_url=server.url)))
    assert check == Check(
        "clock", "warning", "not compared: no answer (ServerDisconnectedError)", "see dns and tls"
    )


# --- the network


def test_a_host_that_does_not_exist_and_no_key(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, base_url="https://pandapon.invalid")
    ended = shell("doctor")
    assert ended.code == 1
    found = states(ended)
    assert {name for name, state in found.items() if state == "bad"} == {"dns", "tls", "key"}
    assert findings(ended)["clock"].advice == "see dns"


async def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    monkeypatch.setattr(doctor_network, "PATIENCE", 0.01)
    check = await doctor_network.dns(DoctorContext(Settings()))
    assert (check.state, check.found) == ("bad", "api.pandapon.com: no answer within 0.01 s")


async def test_a_host_name_that_is_none() -> None:
    check = await doctor_network.dns(DoctorContext(Settings(base_url=f"https://{'a' * 64}.example")))
    assert (check.name, check.state) == ("dns", "bad")


async def test_nobody_listens(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    use(
        monkeypatch,
        base_url=f"http://127.0.0.1:{free_port()}",
        access_key="k",
        access_secret="s",
        user_id="1",
    )
    ended = await shell.beside("doctor")
    found = findings(ended)
    assert "Connection refused" in found["tls"].found
    assert "check that the sandbox runs" in found["tls"].advice
    assert (found["key"].state, found["key"].advice) == ("bad", "see tls")
    assert found["clock"].found == "not compared: no connection"


async def test_a_host_that_swallows_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts connections and says nothing, not even TLS."""
    monkeypatch.setattr(doctor_network, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        check = await doctor_network.tls(DoctorContext(Settings(base_url=url)))
        assert (check.state, "TimeoutError" in check.found) == ("bad", True)


async def test_certificates() -> None:
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=server_side)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        refused = await doctor_network.tls(DoctorContext(Settings(base_url=url)))
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        accepted = await doctor_network.tls(DoctorContext(Settings(base_url=url, ssl_context=trusting)))
    assert refused.state == "bad"
    assert "unable to get local issuer certificate" in refused.found
    assert "CA certificates" in refused.advice
    assert (accepted.state, accepted.found) == ("ok", "TLSv1.3, certificate accepted")


async def test_plain_http_is_named() -> None:
    settings = Settings(base_url="http://192.0.2.1", allow_plain_http=True)
    check = await doctor_network.tls(DoctorContext(settings))
    assert (check.state, check.advice) == ("bad", "use https in base_url")


# --- this machine


def test_a_url_that_cannot_be(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, base_url="ftp://x")
    ended = shell("doctor")
    assert (ended.code, states(ended)) == (1, {"settings": "bad"})
    assert "base_url 'ftp://x' must look like" in findings(ended)["settings"].found


def test_packages_that_are_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "3.9.5" if name == "aiohttp" else version(name)
    )
    check = doctor_local.versions()
    assert check.state == "bad"
    assert check.found.startswith("aiohttp 3.9.5 is older than 3.14 (Python 3")
    assert check.advice == "pip install --upgrade pandapon-async"


@pytest.mark.parametrize(
    ("settings", "state", "found"),
    [
        ({"rate": None}, "warning", "no limit"),
        ({"rate": 5, "adaptive_rate": None}, "ok", "5 calls a second, 64 at once; throttles only pause it"),
        ({"rate": 5, "adaptive_rate": AdaptiveRate(floor=0.5)}, "ok", "to at least 2.5"),
    ],
    ids=["none", "steady", "adaptive"],
)
async def test_rates(settings: dict[str, Any], state: str, found: str) -> None:
    check = await doctor_local.rate(DoctorContext(Settings(**settings)))
    assert (check.state, found in check.found) == (state, True)


def patient_with(journal: Any, base_url: str = "https://api.pandapon.com") -> DoctorContext:
    return DoctorContext(Settings(base_url=base_url, journal=journal), CREDENTIALS)


async def test_a_journal_that_is_not_there_yet(tmp_path: Path) -> None:
    context = patient_with(tmp_path / "new" / "journal.sqlite")
    check = await doctor_local.journal(context)
    assert (check.state, "will be created with the first write" in check.found) == ("ok", True)
    assert not (tmp_path / "new").exists()
    assert "for the journal" in (await doctor_local.disk(context)).found


async def test_a_journal_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = await doctor_local.journal(patient_with(tmp_path / "file" / "journal.sqlite"))
    assert (check.state, "not a writable folder" in check.found) == ("bad", True)
    assert "PANDAPON_JOURNAL" in check.advice


async def test_a_journal_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"This is no database. " * 500)
    check = await doctor_local.journal(patient_with(path))
    assert (check.state, "PANDAPON_JOURNAL" in check.advice) == ("bad", True)


async def test_a_journal_with_writes_of_unknown_outcome(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    for number in range(3):
        intent = await noted(journal, natural_key={"order": number}, once=True)
        await journal.sending(intent)
    await journal.aclose()
    check = await doctor_local.journal(patient_with(path))
    assert (check.state, check.advice) == ("warning", "run `pandapon journal resolve --all`")
    assert "3 writes, 3 with an unknown outcome" in check.found


async def test_a_journal_in_which_all_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    intent = await noted(journal, natural_key={"order": 1}, once=True)
    await journal.resolve(intent.id, IntentState.NOT_SENT)
    await journal.aclose()
    check = await doctor_local.journal(patient_with(path))
    assert (check.state, check.found, check.advice) == (
        "ok",
        f"{path}: 1 writes, 0 with an unknown outcome",
        "",
    )


async def test_a_journal_in_memory_is_only_for_sandboxes() -> None:
    assert (await doctor_local.journal(patient_with(":memory:"))).state == "warning"
    check = await doctor_local.journal(patient_with(":memory:", "http://127.0.0.1:1"))
    assert check.state == "ok"


async def test_a_disk_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1, 1))
    check = await doctor_local.disk(DoctorContext(Settings()))
    assert check == Check("disk", "warning", "0.0 GiB free here", "free some space")


async def test_a_sandbox_that_throttles(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [Fault(FaultKind.THROTTLE_429, times=2, retry_after=0.01)]  # the look at the clock, and the call
    async with Sandbox(refunds=5, faults=faults) as sandbox:
        shell.use(sandbox)
        use(monkeypatch, rate="20")
        ended = await shell.beside("doctor")
    assert states(ended) == {"rate": "warning"}
    assert "lowered the rate to" in findings(ended)["rate"].found
