"""The .env of the working folder: whoever put it there must not decide where signed requests go."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pandapon_async import Client, Credentials, Settings
from pandapon_async.environment import environment, told
from pandapon_async.errors import ConfigurationError
from pandapon_async.sandbox import Sandbox
from tests.support.command import Shell

PAIR = {"PANDAPON_ACCESS_KEY": "key", "PANDAPON_ACCESS_SECRET": "secret"}
OWN = {**PAIR, "PANDAPON_USER_ID": "7"}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PANDAPON_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(values: dict[str, str], name: str = ".env") -> None:
    Path(name).write_text("".join(f"{key}={value}\n" for key, value in values.items()))


def set_all(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "name",
    ["BASE_URL", "PROXY", "ALLOW_PLAIN_HTTP", "SHARED", "JOURNAL", "CALLBACKS", "OLD_ACCESS_SECRETS"],
)
@pytest.mark.parametrize("given", ["environment", "nowhere", "half", "another"])
def test_what_decides_where_things_go_is_refused_without_the_credentials_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, given: str
) -> None:
    if given != "nowhere":
        set_all(monkeypatch, OWN)
    file = {f"PANDAPON_{name}": "https://user:pa55word@evil.example:8443/x"}
    if given == "half":
        file["PANDAPON_ACCESS_KEY"] = "key"
    if given == "another":  # the environment wins, so these are not what would be used
        file |= {**PAIR, "PANDAPON_ACCESS_SECRET": "another"}
    write(file)
    for read in (Settings.from_env, Credentials.from_env, Client.from_env, environment):
        with pytest.raises(ConfigurationError) as caught:
            read()
        assert f"{tmp_path / '.env'} sets PANDAPON_{name}" in str(caught.value)
        assert "--env-file .env" in str(caught.value)
        assert "pa55word" not in str(caught.value)
    if name == "BASE_URL":
        assert "PANDAPON_BASE_URL https://evil.example:8443, but" in str(caught.value)


@pytest.fixture(autouse=True)
def nobody_is_told() -> Iterator[None]:
    """A command that ran before in this process may have left somebody to tell."""
    before = told.set(None)
    yield
    told.reset(before)


def test_what_is_harmless_is_not_used_either_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    set_all(monkeypatch, OWN)
    write({"PANDAPON_RATE": "999", "PANDAPON_CALLBACK_BASE": "body", "PATH": "/evil"})
    assert Settings.from_env().rate == 10
    assert "not using PANDAPON_CALLBACK_BASE, PANDAPON_RATE of" in caplog.text
    assert "PATH" not in environment()


def test_another_sub_account_is_not_slipped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, PAIR)
    write({"PANDAPON_USER_ID": "666"})
    with pytest.raises(ConfigurationError, match="set PANDAPON_USER_ID"):
        Credentials.from_env()


def test_a_file_with_its_own_credentials_is_used_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write({**OWN, "PANDAPON_BASE_URL": "https://own.example", "PANDAPON_JOURNAL": "j.sqlite"})
    settings = Settings.from_env()
    assert (settings.base_url, settings.journal) == ("https://own.example", "j.sqlite")
    assert Credentials.from_env() == Credentials("key", "secret", "7")
    assert "using PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET, PANDAPON_BASE_URL" in caplog.text
    assert "secret" not in caplog.text


def test_a_file_that_was_loaded_into_the_environment_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As direnv, docker compose and `set -a; . .env` do."""
    values = {**OWN, "PANDAPON_BASE_URL": "https://own.example"}
    write(values)
    set_all(monkeypatch, values)
    assert Settings.from_env().base_url == "https://own.example"
    monkeypatch.delenv("PANDAPON_BASE_URL")
    assert Settings.from_env().base_url == "https://own.example"


def test_a_file_that_is_named_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, OWN)
    write({"PANDAPON_BASE_URL": "https://named.example"})
    for named in (".env", Path(".env"), str(Path(".env").absolute())):
        assert Settings.from_env(named).base_url == "https://named.example"
        monkeypatch.setenv("PANDAPON_ENV_FILE", str(named))
        assert Settings.from_env().base_url == "https://named.example"
        monkeypatch.delenv("PANDAPON_ENV_FILE")
    monkeypatch.setenv("PANDAPON_ENV_FILE", "missing.env")
    with pytest.raises(ConfigurationError, match=r"the file missing\.env does not exist"):
        Settings.from_env()


async def test_the_command_sends_nothing_to_an_address_of_a_foreign_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(monkeypatch, capsys, tmp_path)
    (tmp_path / "ledger.csv").write_text("refund_id,amount_fen\nTQ1,5\n")
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        monkeypatch.delenv("PANDAPON_BASE_URL")
        write({"PANDAPON_BASE_URL": server.base_url})
        commands = (
            ("reconcile", "ledger.csv", "--out", "o"),
            ("call", "taobao.refunds.get", "refund_id=1"),
            ("doctor",),
            ("refunds", "plan", "ledger.csv", "--out", "p.db"),
            ("callbacks", "serve"),
        )
        for command in commands:
            ended = await shell.beside(*command)
            assert ended.code == (1 if command == ("doctor",) else 2), command
            assert f"{server.base_url}, but the credentials do not come from it" in ended.err + ended.out
        assert len(server.log) == 0
        meant = await shell.beside("call", "taobao.refunds.get", "refund_id=1", "--env-file", ".env")
        assert len(server.log) == 1, meant
        assert "PANDAPON_ENV_FILE" not in os.environ


async def test_the_command_tells_once_which_file_it_uses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(monkeypatch, capsys, tmp_path)
    async with Sandbox(refunds=1) as server:
        credentials = server.credentials
        write(
            {
                "PANDAPON_ACCESS_KEY": credentials.access_key,
                "PANDAPON_ACCESS_SECRET": credentials.access_secret,
                "PANDAPON_USER_ID": credentials.user_id,
                "PANDAPON_BASE_URL": server.base_url,
            }
        )
        ended = await shell.beside("call", "taobao.refunds.get", "refund_id=1")
        assert len(server.log) == 1
    names = "PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET, PANDAPON_BASE_URL, PANDAPON_USER_ID"
    assert ended.err.count(f"note: using {names} of {tmp_path / '.env'}\n") == 1


def test_a_file_that_is_not_there_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ended = Shell(monkeypatch, capsys, tmp_path)("doctor", "--env-file", "missing.env")
    assert ended.code == 2
    assert "missing.env" in ended.err
