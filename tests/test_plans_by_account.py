"""Plans of several accounts from one table: whose row goes where, one sum, one word, a refused account."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Credentials
from pandapon_async.environment import told
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.command import Ended, Shell
from tests.support.config_files import bare, users

pytestmark = pytest.mark.may_block("configuration and tables are small files here")

NAMES = ("shop-1", "shop-2", "shop-3")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    bare(monkeypatch, tmp_path)
    before = told.set(None)
    yield
    told.reset(before)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys, Path.cwd())


def sandbox() -> Sandbox:
    accounts = [Credentials(f"k{number}", "secret", str(number)) for number in (1, 2, 3)]
    return Sandbox(refunds=600, seed=4, accounts=accounts)


def configure(server: Sandbox) -> None:
    users(
        "".join(
            f'[accounts.{name}]\naccess_key = "k{number}"\naccess_secret = "secret"\nuser_id = "{number}"\n'
            f'base_url = "{server.base_url}"\nrate = "none"\n'
            for number, name in enumerate(NAMES, 1)
        )
    )


def table(rows: list[dict[str, str]], names: tuple[str, ...] = NAMES) -> None:
    made: list[dict[str, Any]] = [
        {**row, "account": names[number % len(names)]} for number, row in enumerate(rows)
    ]
    plan_files.write_table(Path("table.csv"), made)


def senders(server: Sandbox, call: str) -> Counter[str | None]:
    return Counter(record.user_id for record in server.log if str(record.endpoint).endswith(call))


async def planned(shell: Shell, server: Sandbox, kind: str = "refunds", rows: int = 6) -> Ended:
    configure(server)
    if kind == "refunds":
        table(plan_files.refund_rows(rows))
    else:
        table(plan_files.return_rows(plan_files.returnable(server, rows)))
    return await shell.beside(kind, "plan", "table.csv", "--out", "plans")


@pytest.mark.parametrize(("kind", "call"), [("refunds", ".create"), ("returns", ".return_goods")])
async def test_each_row_is_sent_by_its_account(shell: Shell, kind: str, call: str) -> None:
    async with sandbox() as server:
        ended = await planned(shell, server, kind)
        assert ended.code == 0, ended
        of_all = json.loads(ended.out)["accounts"]
        assert [(name, one["rows"]) for name, one in of_all.items()] == [(name, 2) for name in NAMES]
        assert not senders(server, call)
        applied = await shell.beside(kind, "apply", "plans", "--yes")
        assert applied.code == 0, applied
        assert senders(server, call) == {"1": 2, "2": 2, "3": 2}
        again = await shell.beside(kind, "apply", "plans", "--yes")
        assert again.code == 0
        assert senders(server, call) == {"1": 2, "2": 2, "3": 2}, "an applied plan sends nothing"
        shown = await shell.beside(kind, "show", "plans")
        assert json.loads(shown.out)["shop-1"]["states"] == {"confirmed": 2}


@pytest.mark.parametrize(("typed", "sent"), [("30.15", 6), ("30", 0), ("y", 0), ("3015", 0)])
async def test_the_total_is_typed(
    shell: Shell, typed: str, sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tty = type("Terminal", (io.StringIO,), {"isatty": lambda _: True})
    async with sandbox() as server:
        await planned(shell, server)
        monkeypatch.setattr(sys, "stdin", tty(f"{typed}\n"))
        ended = await shell.beside("refunds", "apply", "plans")
        assert "shop-1: 2 refund applications, CNY 10.03" in ended.err, ended.err
        assert "all 3 accounts: 6 refund applications, CNY 30.15" in ended.err
        assert "type the total in yuan" in ended.err
        assert senders(server, ".create").total() == sent
        assert ended.code == (0 if sent else 3)


async def test_without_a_terminal_somebody_has_to_say_yes(shell: Shell) -> None:
    async with sandbox() as server:
        await planned(shell, server)
        ended = await shell.beside("refunds", "apply", "plans")
        assert (ended.code, "add --yes" in ended.err) == (2, True)
        assert not senders(server, ".create")


async def test_the_cap_holds_for_all_together(shell: Shell) -> None:
    async with sandbox() as server:
        await planned(shell, server)
        ended = await shell.beside("refunds", "apply", "plans", "--yes", "--max-total", "3014")
        assert ended.code == 2
        assert (
            "the sum of the plans is 3015 fen (30.15 yuan), but --max-total is 3014 fen; nothing was"
            in ended.err
        )
        assert not senders(server, ".create")
        ended = await shell.beside("refunds", "apply", "plans", "--yes", "--max-total", "3015")
        assert ended.code == 0


async def test_a_refused_account_leaves_its_rows_and_the_others_go_on(shell: Shell) -> None:
    async with sandbox() as server:
        await planned(shell, server)
        server.revoke("k2")
        ended = await shell.beside("refunds", "apply", "plans", "--yes")
        assert ended.code == 4
        assert "account shop-2: the vendor refused it" in ended.err
        assert len([one for one in server.effects if one.kind == "create"]) == 4
        server.admit(Credentials("k2", "secret", "2"))
        ended = await shell.beside("refunds", "apply", "plans", "--yes")
        assert ended.code == 0
        assert len([one for one in server.effects if one.kind == "create"]) == 6


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("shop-1", "shop-11"),
            "row 3 of table.csv: there is no account 'shop-11' in the configuration; did",
        ),
        (("shop-1", ""), "row 3 of table.csv: the row has no account"),
    ],
)
async def test_a_table_with_a_row_of_nobody_is_not_planned(
    shell: Shell, names: tuple[str, ...], message: str
) -> None:
    async with sandbox() as server:
        configure(server)
        table(plan_files.refund_rows(4), names)
        ended = await shell.beside("refunds", "plan", "table.csv", "--out", "plans")
        assert ended.code == 2
        assert message in ended.err
        assert not server.log
        assert not Path("plans").exists()


async def test_a_named_account_does_not_send_the_rows_of_another(shell: Shell) -> None:
    async with sandbox() as server:
        configure(server)
        table(plan_files.refund_rows(6))
        ended = await shell.beside("refunds", "plan", "table.csv", "--out", "one.db", "--account", "shop-2")
        assert ended.code == 1
        assert json.loads(ended.out)["states"] == {"planned": 2, "refused": 4}
        await shell.beside("refunds", "apply", "one.db", "--yes", "--account", "shop-2")
        assert senders(server, ".create") == {"2": 2}


async def test_a_column_of_accounts_is_not_ignored(shell: Shell) -> None:
    """With one key in the environment every row would go out with it."""
    async with sandbox() as server:
        shell.use(server)
        table(plan_files.refund_rows(4))
        ended = await shell.beside("refunds", "plan", "table.csv", "--out", "one.db")
        assert ended.code == 2
        assert "column account of table.csv names accounts: configure them in pandapon.toml" in ended.err
        ended = await shell.beside("refunds", "plan", "table.csv", "--out", "one.db", "--map", "account=")
        assert ended.code == 0, ended
