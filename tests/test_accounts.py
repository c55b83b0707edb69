"""Several accounts in one process: whose client a row goes to, whose quota it uses, what a refusal stops."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from pyarrow import parquet

from pandapon_async import AuthenticationError, Credentials
from pandapon_async.accounts import Accounts
from pandapon_async.cli.callbacks import _configured
from pandapon_async.environment import told
from pandapon_async.errors import ConfigurationError, InvalidArgumentError
from pandapon_async.reconcile import Options, Summary, reconcile
from pandapon_async.sandbox import Sandbox
from tests.support.command import Shell
from tests.support.config_files import bare, users

pytestmark = pytest.mark.may_block("configuration and ledgers are small files here")

ROWS = 12


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    bare(monkeypatch, tmp_path)
    before = told.set(None)
    yield
    told.reset(before)


def section(name: str, key: str, user: str, more: str = "") -> str:
    return f'[accounts.{name}]\naccess_key = "{key}"\naccess_secret = "secret"\nuser_id = "{user}"\n{more}\n'


THREE = section("a", "key-1", "1") + section("b", "key-1", "2") + section("c", "key-2", "1")


def test_accounts_of_one_key_share_their_quota() -> None:
    users(THREE)
    accounts = Accounts.from_config()
    assert accounts.names == ("a", "b", "c")
    a, b, c = (accounts.client(name).limiter for name in accounts.names)
    assert a is b
    assert a is not c


def test_each_user_has_a_quota_of_its_own_if_the_vendor_counts_so() -> None:
    users(f'[vendor]\nquota_scope = "user"\n{THREE}')
    accounts = Accounts.from_config()
    assert len({id(accounts.client(name).limiter) for name in accounts.names}) == 3


def test_one_key_at_two_vendors_has_two_quotas() -> None:
    other = 'base_url = "https://other.example"'
    users(section("a", "key-1", "1") + section("b", "key-1", "2", other))
    accounts = Accounts.from_config(rate=5)
    assert accounts.client("a").limiter is not accounts.client("b").limiter


def test_one_quota_has_one_rate() -> None:
    users(section("a", "key-1", "1", "rate = 5") + section("b", "key-1", "2", "rate = 10"))
    accounts = Accounts.from_config()
    accounts.client("a")
    with pytest.raises(
        ConfigurationError,
        match=r"accounts a and b share the quota of one key, but their rates are 5.0 and 10",
    ):
        accounts.client("b")


def test_the_account_of_a_row() -> None:
    users(f'{THREE}[shops]\n"旗舰店" = "b"\n')
    accounts = Accounts.from_config()
    assert accounts.account_of("c", "旗舰店") == "c", "a column wins"
    assert accounts.account_of(None, "旗舰店") == "b"
    for account, shop, message in (
        ("d", None, "there is no account 'd' in the configuration"),
        (None, "another", r"its shop has no account in the section \[shops\]"),
        (None, None, "the row has no account"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            accounts.account_of(account, shop)
    users(f'{THREE}[shops]\n"旗舰店" = "bb"\n')
    with pytest.raises(ConfigurationError, match="line 17: there is no account bb; did you mean b"):
        Accounts.from_config()


def test_a_table_without_accounts_needs_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    users(THREE)
    with pytest.raises(InvalidArgumentError, match="3 accounts are configured; use --account NAME"):
        Accounts.from_config().only()
    users(section("a", "key-1", "1"))
    assert Accounts.from_config().only().writer.user_id == "1"
    for name in ("ACCESS_KEY", "ACCESS_SECRET", "USER_ID"):
        monkeypatch.setenv(f"PANDAPON_{name}", "7")
    assert Accounts.from_config().only().writer.user_id == "7", "the environment's own"


def test_messages_of_all_accounts_are_accepted_and_named() -> None:
    users(THREE)
    accounts = Accounts.from_config()
    credentials, _ = _configured(False, accounts)
    assert [(one.access_key, one.user_id) for one in credentials] == [
        ("key-1", "1"),
        ("key-1", "2"),
        ("key-2", "1"),
    ]
    assert (accounts.named("key-1"), accounts.named("key-2"), accounts.named("k")) == ("a, b", "c", None)


# --- reconcile


def write_ledger(server: Sandbox, column: str, names: list[str], *, wrong: bool = False) -> Path:
    path = Path("ledger.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = list(server.ledger_rows(ROWS))
        writer = csv.DictWriter(file, [*rows[0].keys(), *([column] if column not in rows[0] else [])])
        writer.writeheader()
        for number, row in enumerate(rows):
            amount = "9999999" if wrong and number % 2 else row["amount_fen"]
            writer.writerow({**row, "amount_fen": amount, column: names[number % len(names)]})
    return path


def configure(server: Sandbox, more: str = "") -> None:
    text = "".join(
        section(f"shop-{number}", f"k{number}", str(number), f'base_url = "{server.base_url}"\nrate = "none"')
        for number in (1, 2, 3)
    )
    users(text + more)


def sandbox() -> Sandbox:
    accounts = [Credentials(f"k{number}", "secret", str(number)) for number in (1, 2, 3)]
    return Sandbox(refunds=40, seed=7, accounts=accounts)


async def job(ledger: Path, **options: object) -> Summary:
    async with Accounts.from_config() as accounts:
        return await reconcile(accounts, ledger, "out", options=Options(**options))  # type: ignore[arg-type]


def asked_by(server: Sandbox) -> set[tuple[str | None, bool]]:
    return {(record.user_id, record.code == 200) for record in server.log}


@pytest.mark.parametrize("by", ["column", "shop"])
async def test_each_row_is_looked_up_with_its_account(by: str) -> None:
    async with sandbox() as server:
        configure(server, '[shops]\none = "shop-1"\ntwo = "shop-2"\nthree = "shop-3"\n')
        names = ["shop-1", "shop-2", "shop-3"] if by == "column" else ["one", "two", "three"]
        ledger = write_ledger(server, "account" if by == "column" else "shop", names)
        summary = await job(ledger)
        assert sum(summary.verdicts.values()) == ROWS
        assert not summary.totals.unverified
        assert {user for user, _ in asked_by(server)} == {"1", "2", "3"}
        alone = await reconcile_alone(server, ledger)
        assert summary.verdicts == alone.verdicts


def told_of_accounts() -> dict[str, list[str | None]]:
    """The accounts that each file of a run names, row by row; nothing where it has no such column."""
    out = Path("out")
    found: dict[str, list[str | None]] = {}
    for name in ("rows.csv", "exceptions.csv"):
        rows = list(csv.DictReader((out / name).read_text("utf-8-sig").splitlines()))
        found[name] = [row["account"] for row in rows if "account" in row]
    frame = parquet.read_table(out / "rows.parquet")
    found["rows.parquet"] = frame["account"].to_pylist() if "account" in frame.column_names else []
    listed: Any = openpyxl.load_workbook(out / "report.xlsx").worksheets[1].values
    heads, *cells = listed
    found["report.xlsx"] = [row[heads.index("Account")] for row in cells] if "Account" in heads else []
    page = (out / "report.html").read_text("utf-8")
    found["report.html"] = re.findall(r"<small>(?:1688|Taobao) · (shop-\d)</small>", page)
    return found


async def test_every_file_says_whose_a_row_is_where_several_accounts_share_the_ledger() -> None:
    async with sandbox() as server:
        configure(server)
        names = ["shop-1", "shop-2", "shop-3"]
        await job(write_ledger(server, "account", names, wrong=True), language="en")
        found = told_of_accounts()
        expected = [names[number % 3] for number in range(ROWS)]
        assert found["rows.csv"] == found["rows.parquet"] == expected
        attention = found["exceptions.csv"]
        assert ROWS // 2 <= len(attention) < ROWS
        assert sorted(map(str, found["report.xlsx"])) == sorted(map(str, attention))
        assert sorted(map(str, found["report.html"])) == sorted(map(str, attention))


async def test_no_file_speaks_of_accounts_where_all_rows_are_of_one() -> None:
    async with sandbox() as server:
        configure(server)
        await job(write_ledger(server, "account", ["shop-1"], wrong=True), language="en")
        assert not any(told_of_accounts().values())


async def reconcile_alone(server: Sandbox, ledger: Path) -> Summary:
    from pandapon_async import Client

    async with Client.from_config("shop-1") as client:
        return await reconcile(client, ledger, "alone")


async def test_a_row_of_no_known_account_is_unreadable_and_asks_nobody() -> None:
    async with sandbox() as server:
        configure(server)
        ledger = write_ledger(server, "account", ["shop-1", "shop-11", ""])
        await job(ledger, accept_missing=True)
        assert {user for user, _ in asked_by(server)} == {"1"}
        rows = csv.DictReader(Path("out/rows.csv").read_text("utf-8").splitlines())
        reasons = [row["reason"] for row in rows if row["verdict"] == "unreadable"]
        assert len(reasons) >= 8
        assert any("no account 'shop-11' in the configuration; did you mean shop-1" in one for one in reasons)
        assert any("the row has no account" in one for one in reasons)


async def test_an_account_that_is_refused_leaves_its_rows_and_the_others_go_on() -> None:
    async with sandbox() as server:
        configure(server)
        ledger = write_ledger(server, "account", ["shop-1", "shop-2", "shop-3"])
        server.revoke("k2")
        with pytest.raises(AuthenticationError):
            await job(ledger, accept_missing=True)
        good = [record for record in server.log if record.code == 200]
        assert {record.user_id for record in good} == {"1", "3"}
        assert len(good) >= 6, "their lookups are kept"
        server.admit(Credentials("k2", "secret", "2"))
        before = len(server.log)
        summary = await job(ledger, accept_missing=True)
        assert not summary.totals.unverified
        assert {record.user_id for record in list(server.log)[before:]} == {"2"}, "only those that were left"


async def test_the_command_uses_the_accounts_of_the_ledger(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(monkeypatch, capsys, Path.cwd())
    async with sandbox() as server:
        configure(server)
        write_ledger(server, "account", ["shop-1", "shop-2", "shop-3"])
        ended = await shell.beside("reconcile", "ledger.csv", "--out", "o")
        assert json.loads(ended.out)["rows"] == ROWS, ended.err
        assert {user for user, _ in asked_by(server)} == {"1", "2", "3"}
        before = len(server.log)
        await shell.beside("reconcile", "ledger.csv", "--out", "p", "--account", "shop-2")
        assert {record.user_id for record in list(server.log)[before:]} == {"2"}, "as told"
        write_ledger(server, "shop", ["x"])
        ended = await shell.beside("reconcile", "ledger.csv", "--out", "q")
        assert ended.code == 2
        assert "use --account NAME" in ended.err
