"""`pandapon config`, and the options that every command has: `--account` and `--config`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.sandbox import Sandbox
from tests.support.command import Shell
from tests.support.config_files import ACCOUNT, BY_NAME, bare, users, write

pytestmark = pytest.mark.may_block("configuration is read where it is asked for")

CONFIG = f"""[defaults]
proxy = "http://user:pa55word@proxy.example:3128"
[vendor]
codes.not_found = [404, 500]
{ACCOUNT}rate = 7
{BY_NAME}
[accounts.same]
access_key = "key-a"
access_secret = "secret-a"
user_id = 21
[accounts.other-user]
access_key = "key-a"
access_secret = "secret-a"
user_id = 23
[shops]
"旗舰店" = "shop-a"
second = "shop-x"
"""


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    bare(monkeypatch, tmp_path)
    return Shell(monkeypatch, capsys, Path.cwd())


def rows_of(text: str) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in text.splitlines()]
    return {row.get("setting") or row["check"]: row for row in rows}


def test_show_says_what_holds_and_from_where(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    path = users(CONFIG)
    monkeypatch.setenv("PANDAPON_TIMEOUT", "9")
    ended = shell("config", "show", "--account", "shop-a")
    assert ended.code == 0
    assert "secret-a" not in ended.out + ended.err
    assert "pa55word" not in ended.out + ended.err
    shown = rows_of(ended.out)
    assert shown["rate"] == {"setting": "rate", "value": 7.0, "from": f"{path}, line 9, [accounts.shop-a]"}
    assert (shown["timeout"]["value"], shown["timeout"]["from"]) == (9.0, "PANDAPON_TIMEOUT")
    assert shown["vendor.codes.not_found"]["value"] == [404, 500]
    assert shown["vendor.codes.not_found"]["from"] == f"{path}, line 4, [vendor]"
    assert shown["vendor.freight"]["from"] == "built in"
    assert shown["proxy"]["value"] == "http://...@proxy.example:3128"
    assert shown["access_secret"]["value"] == "..."
    assert shown["user_id"]["value"] == "21"
    assert "PANDAPON_ACCOUNT" not in os.environ


def test_check_looks_at_every_account(shell: Shell) -> None:
    path = users(CONFIG)
    ended = shell("config", "check")
    found = rows_of(ended.out)
    assert ended.code == 1
    assert found["shop-a"]["state"] == found["other-user"]["state"] == "ok"
    assert "shares the quota of shop-a" in found["other-user"]["found"]
    assert "reads its secret from SHOP_B, which is not set; set it" in found["shop-b"]["found"]
    assert "it has the key and user of shop-a" in found["same"]["found"]
    assert found["shop second"]["found"].endswith("there is no account shop-x")
    assert "file" not in found
    path.chmod(0o644)
    assert rows_of(shell("config", "check").out)["file"]["what to do"] == f"chmod 600 {path}"


@pytest.mark.parametrize(
    ("text", "code"),
    [(ACCOUNT, 0), (ACCOUNT + BY_NAME, 1), ("a = ", 2), ("[defaults]\nrate = 0", 2), (None, 2)],
)
def test_the_exit_codes_of_check(text: str | None, code: int, shell: Shell) -> None:
    if text is not None:
        write(text)
    assert shell("config", "check").code == code


async def test_an_account_is_chosen_by_option(shell: Shell) -> None:
    async with Sandbox(refunds=1) as server:
        given = server.credentials
        users(
            f'[accounts.here]\naccess_key = "{given.access_key}"\naccess_secret = "{given.access_secret}"\n'
            f'user_id = "{given.user_id}"\nbase_url = "{server.base_url}"\n'
        )
        call = ("call", "taobao.refunds.page")
        ended = await shell.beside(*call, "--account", "here")
        assert ended.code == 0, ended
        assert len(server.log) == 1
        ended = await shell.beside(*call, "--account", "her")
        assert ended.code == 2
        assert "has no account her; did you mean here?" in ended.err
        assert len(server.log) == 1


def test_a_configuration_file_that_is_not_there_is_said_so(shell: Shell) -> None:
    ended = shell("config", "show", "--config", "missing.toml")
    assert ended.code == 2
    assert "missing.toml" in ended.err


async def test_what_the_environment_says_of_the_vendor_holds_for_single_calls(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(refunds=4, seed=7) as server:
        shell.use(server)
        refund_id = next(server.refund_ids("1688"))
        call = ("call", "v2.alibaba.refunds.get", f"refund_id={refund_id}")
        assert (await shell.beside(*call)).code == 2
        monkeypatch.setenv("PANDAPON_ALLOW_INFERRED", "true")
        assert (await shell.beside(*call)).code == 0
        monkeypatch.setenv("PANDAPON_GENERATION", "v1")
        taobao = next(server.refund_ids("taobao"))
        await shell.beside("call", "taobao.refunds.get", f"refund_id={taobao}")
        assert server.log[-1].path.startswith("/open/")
