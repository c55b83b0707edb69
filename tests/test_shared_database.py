"""The way to the shared database: what is proved at opening, who may use it, what is told of a failure."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import ssl
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from pandapon_async import (
    Client,
    Clock,
    ConfigurationError,
    DeadlineExceededError,
    Limiter,
    Outcome,
    Settings,
)
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.core.rate import spacing
from pandapon_async.sandbox import Sandbox
from pandapon_async.shared import database as database_module
from pandapon_async.shared import schema, upkeep
from pandapon_async.shared.database import Database, DatabaseUnavailableError
from pandapon_async.shared.quota import QuotaBook
from pandapon_async.shared.schema import UPGRADES, VERSION
from tests.support.command import Shell
from tests.support.plan_files import returnable
from tests.support.pooler import tls_front, transaction_pooler
from tests.support.postgres import Postgres

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pandapon'"
SECRET = "canary-database-password"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


async def opened(address: str) -> int:
    """The number of the server's process that serves a client that opens this."""
    database = Database(DatabaseUrl(address), Clock())
    try:
        number: int = await database.run(
            lambda connection: connection.fetchval("SELECT pg_backend_pid()"), seconds=5
        )
        return number
    finally:
        await database.aclose()


@pytest.mark.parametrize(
    ("text", "shown", "tls"),
    [
        ("postgresql://u:p@db.example/x", "postgresql://u@db.example:5432/x", "verify-full"),
        ("postgres://db.example:6000", "postgresql://db.example:6000/", "verify-full"),
        ("postgresql://u@db.example/x?sslmode=require", "postgresql://u@db.example:5432/x", "require"),
        ("postgresql://u@10.0.0.7/x", "postgresql://u@10.0.0.7:5432/x", "verify-full"),
        ("postgresql://u@localhost/x", "postgresql://u@localhost:5432/x", "disable"),
        ("postgresql://u@[::1]:1/x", "postgresql://u@[::1]:1/x", "disable"),
        ("postgresql:///x?host=/run/pg", "postgresql:///x?host=/run/pg&port=5432", "disable"),
        ("postgresql://u@%2Frun%2Fpg/x", "postgresql://u@/x?host=/run/pg&port=5432", "disable"),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, shown: str, tls: str) -> None:
    url = DatabaseUrl(text)
    assert (str(url), url.tls) == (shown, tls)
    assert pickle.loads(pickle.dumps(url)) == copy.deepcopy(url) == url
    assert hash(url) == hash(DatabaseUrl(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mysql://u@db/x", "must look like"),
        ("db.example", "must look like"),
        ("postgresql://u@db:0/x", "must look like"),
        ("postgresql://u@db:x/x", "must look like"),
        ("postgresql://u@db/x#y", "must look like"),
        ("postgresql://u@-/x", "must look like"),
        ("postgresql://u@db /x", "must look like"),
        ("postgresql:///x", "names no host"),
        ("postgresql://u@a,b/x", "several hosts"),
        ("postgresql://u@db/x?sslmode=prefer", "write one of disable, require, verify-ca, verify-full"),
        ("postgresql://u@db/x?sslmod=require", "the option 'sslmod'"),
        ("postgresql://u@db/x?password=y", "the option 'password'"),
    ],
)
def test_an_address_that_may_mean_two_things_is_refused(text: str, why: str) -> None:
    text = text.replace("u@", f"u:{SECRET}@")
    with pytest.raises(ConfigurationError, match=why) as caught:
        Settings(shared=text)
    assert SECRET not in str(caught.value)


def test_the_password_is_in_nothing_that_lists_settings(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"postgresql://u:{SECRET}@db.example/x"
    settings = Settings(shared=address)
    assert settings.shared is not None
    assert settings.shared.password == SECRET
    assert SECRET not in f"{settings!r} {attrs.asdict(settings)} {settings.shared}"
    monkeypatch.setenv("PANDAPON_SHARED", address)
    shown = shell("config", "show")
    assert "db.example" in shown.out
    assert SECRET not in shown.out + shown.err


def test_the_environment_is_ignored_towards_this_machine_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PANDAPON_SHARED", "postgresql://u@db.example/x")
    assert Settings.from_env(None).shared is not None
    assert Settings.from_env(None, base_url="http://127.0.0.1:1").shared is None
    told = Settings.from_env(None, base_url="http://127.0.0.1:1", shared="postgresql://u@db.example/x")
    assert told.shared == DatabaseUrl("postgresql://u@db.example/x")


async def test_the_option_shares_also_towards_this_machine(
    postgres: Postgres, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await postgres.empty()
    async with Sandbox() as sandbox:
        shell.use(sandbox)
        monkeypatch.setenv("PANDAPON_RATE", "50")
        monkeypatch.setenv("PANDAPON_SHARED", "postgresql://u@db.example/x")
        (refund,) = returnable(sandbox, 1)
        given = ("refund_id=" + refund, "logistics_company_no=SF", "freight_bill=SF100")
        write = ("call", "alibaba.refunds.return_goods", *given, "--yes", "--shared", address)
        done = await asyncio.to_thread(shell, *write)
        assert done.code == 0, done.err
        assert await postgres.fetchval("SELECT count(*) FROM pandapon.quota", "empty") == 1
        listed = await asyncio.to_thread(shell, "journal", "list", "--shared", address)
        (row,) = map(json.loads, listed.out.splitlines())
        assert row["state"] == "confirmed"
        ignored = await asyncio.to_thread(shell, "call", "alibaba.refunds.get", "refund_id=" + refund)
        assert ignored.code == 0
        assert "PANDAPON_SHARED is ignored for calls to" in ignored.err
        wrong = await asyncio.to_thread(shell, "journal", "list", "--shared", f"mysql://u:{SECRET}@db/x")
        assert wrong.code == 2
        assert "must look like postgresql://" in wrong.err
        assert SECRET not in wrong.err


def test_settings_that_contradict_each_other_are_refused_or_told(caplog: pytest.LogCaptureFixture) -> None:
    address: Any = "postgresql://u@db.example/x"
    with pytest.raises(ConfigurationError, match="rate must be a number with a shared quota"):
        Settings(shared=address, rate=None)
    for share in (0, 1.5, True, "0.25"):
        with pytest.raises(ConfigurationError, match="shared_fallback must be a fraction"):
            Settings(shared=address, shared_fallback=share)  # type: ignore[arg-type]
    credentials = Sandbox().credentials
    own = Limiter(5)
    with caplog.at_level("INFO"):
        client = Client(credentials, Settings(shared=address, limiter=own))
    assert client.limiter is own
    assert "the limiter passed in is used, not the quota in postgresql://u@db.example:5432/x" in caplog.text
    with pytest.raises(ConfigurationError, match="shared is shared by all copies"):
        client.with_settings(shared=None)  # type: ignore[call-arg]
    weak: Any = f"{address}?sslmode=require"
    with caplog.at_level("INFO"):
        Client(credentials, Settings(shared=weak))
    assert "sslmode=require does not verify the server" in caplog.text


def test_without_the_driver_the_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'pandapon-async\[postgres\]'"):
        Client(Sandbox().credentials, Settings(shared="postgresql://u@db/x"))


async def test_a_pooler_in_transaction_mode_is_found_out(postgres: Postgres) -> None:
    async with transaction_pooler(postgres.sockets) as address:
        with pytest.raises(ConfigurationError, match="direct port, or session pooling"):
            await opened(address)
    assert await opened(postgres.url)
    left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    for _ in range(50):
        if not await postgres.fetchval(left):
            break
        await asyncio.sleep(0.05)
    assert await postgres.fetchval(left) == 0


async def test_a_database_that_is_away_is_told_apart_from_one_that_cannot_be_used(postgres: Postgres) -> None:
    with pytest.raises(DatabaseUnavailableError, match="nothing listens at that address"):
        await opened("postgresql://u@127.0.0.1:1/x")
    with pytest.raises(DatabaseUnavailableError, match="nothing listens at that address"):
        await opened("postgresql://u@/x?host=/nonexistent")
    with pytest.raises(ConfigurationError, match="the database does not exist there"):
        await opened(postgres.address(database="nothing"))
    with pytest.raises(ConfigurationError, match="it refuses the login"):
        await opened(postgres.address(user="nobody"))


async def test_a_role_with_the_least_rights_can_do_what_a_client_does(
    postgres: Postgres, shell: Shell
) -> None:
    await postgres.empty()
    await postgres.execute("CREATE ROLE client LOGIN; CREATE ROLE other LOGIN", "empty")
    address = postgres.address(user="client", database="empty")
    with pytest.raises(ConfigurationError, match="pandapon shared init --grant ROLE"):
        await opened(address)
    made = await asyncio.to_thread(
        shell, "shared", "init", "--shared", postgres.address(database="empty"), "--grant", "client"
    )
    assert made.code == 0, made.err
    with pytest.raises(ConfigurationError, match="may not use the schema pandapon"):
        await opened(postgres.address(user="other", database="empty"))
    async with Sandbox(rate=50) as sandbox:
        shared: Any = address
        settings = Settings(base_url=sandbox.base_url, rate=40.0, shared=shared)
        async with Client(sandbox.credentials, settings) as pandapon:
            refund = next(iter(sandbox.refund_ids()))
            await asyncio.gather(*(pandapon.alibaba.refunds.get(refund_id=refund) for _ in range(12)))
            assert pandapon.limiter.permits == 12
            pandapon.limiter.pause(0.05)
            await pandapon.alibaba.refunds.get(refund_id=refund)
            for number, returned in enumerate(returnable(sandbox, 2)):
                given = {"logistics_company_no": "SF", "freight_bill": f"SF10{number}"}
                await pandapon.alibaba.refunds.return_goods(refund_id=returned, **given)
            assert sum((await pandapon.journal.counts()).values()) == 2
    names = "SELECT string_agg(name, ' ') FROM pandapon.quota"
    found = await postgres.fetchval(names, "empty")
    assert found.startswith("localhost")
    assert sandbox.credentials.access_key not in found


async def test_a_lost_connection_is_opened_again_and_a_lost_database_sends_nothing(
    postgres: Postgres,
) -> None:
    shared: Any = postgres.url
    async with Sandbox() as sandbox:
        settings = Settings(base_url=sandbox.base_url, rate=50.0, timeout=1.5, shared=shared)
        async with Client(sandbox.credentials, settings) as pandapon:
            refund = next(iter(sandbox.refund_ids()))
            patient = pandapon.with_settings(timeout=20.0)
            await patient.alibaba.refunds.get(refund_id=refund)
            await postgres.execute(CUT)
            await patient.alibaba.refunds.get(refund_id=refund)
            await asyncio.to_thread(postgres.kill)
            sent = len(sandbox.log)
            with pytest.raises(DeadlineExceededError, match="the quota is shared, and the shared") as caught:
                await pandapon.alibaba.refunds.get(refund_id=refund)
            assert caught.value.outcome is Outcome.NOT_SENT
            assert len(sandbox.log) == sent
            await asyncio.to_thread(postgres.start)
            begun = time.monotonic()
            await patient.alibaba.refunds.get(refund_id=refund)
            assert time.monotonic() - begun > 0.9, "the book is gone: its past counts as full"


async def test_tls_proves_which_server_answers(postgres: Postgres, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    socket = Path(postgres.sockets) / f".s.PGSQL.{postgres.port}"
    async with tls_front(socket, context) as port, tls_front(socket, None) as plain:

        def address(mode: str, file: str = "ca.pem", host: str = "localhost") -> str:
            options = f"sslmode={mode}&sslrootcert={tmp_path / file}"
            return f"postgresql://postgres@{host}:{port}/postgres?{options}"

        assert await opened(address("verify-full"))
        assert await opened(address("verify-ca", host="127.0.0.1"))
        assert await opened(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require")
        for wrong in (address("verify-full", "stranger.pem"), address("verify-full", host="127.0.0.1")):
            with pytest.raises(ConfigurationError, match="its certificate is not trusted for this host"):
                await opened(wrong)
        with pytest.raises(ConfigurationError, match=r"none\.pem cannot be read \(sslrootcert\)"):
            await opened(address("verify-full", "none.pem"))
        with pytest.raises(
            ConfigurationError, match="it does not support TLS, but sslmode=require requires it"
        ):
            await opened(f"postgresql://postgres@localhost:{plain}/postgres?sslmode=require")


async def test_another_version_of_the_schema_stops_the_client(
    postgres: Postgres, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await postgres.empty()

    async def command(name: str) -> Any:
        return await asyncio.to_thread(shell, "shared", name, "--shared", address)

    nothing = await command("upgrade")
    assert nothing.code == 2
    assert "it has no schema pandapon; create it with: pandapon shared init" in nothing.err
    client = Database(DatabaseUrl(address), Clock())
    await client.run(lambda connection: connection.execute("SELECT 1"), seconds=5)
    for module in (database_module, upkeep):
        monkeypatch.setattr(module, "VERSION", VERSION + 1)
    monkeypatch.setattr(upkeep, "UPGRADES", {**UPGRADES, VERSION: "CREATE TABLE pandapon.more (x int)"})
    with pytest.raises(ConfigurationError, match="pandapon shared upgrade"):
        await opened(address)
    refused = await command("upgrade")
    assert refused.code == 2
    assert "1 clients are connected; stop them, then upgrade" in refused.err
    await client.aclose()
    done = await command("upgrade")
    assert json.loads(done.out) == {"before": VERSION, "after": VERSION + 1}
    assert await opened(address)
    for module in (database_module, upkeep):
        monkeypatch.setattr(module, "VERSION", VERSION)
    with pytest.raises(ConfigurationError, match="a newer pandapon-async made its schema"):
        await opened(address)


COLUMNS = """
SELECT string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable), E'\n'
    ORDER BY table_name, column_name) FROM information_schema.columns WHERE table_schema = 'pandapon'
"""


async def test_a_schema_of_the_first_version_is_brought_up_with_its_rows_and_roles(
    postgres: Postgres, shell: Shell
) -> None:
    address = await postgres.empty()
    assert await opened(address)
    new = await postgres.fetchval(COLUMNS, "empty")
    address = await postgres.empty()
    await postgres.execute(schema._FIRST, "empty")
    await postgres.execute("DROP ROLE IF EXISTS first; CREATE ROLE first LOGIN", "empty")
    await postgres.execute("GRANT USAGE ON SCHEMA pandapon TO first", "empty")
    await postgres.execute("GRANT SELECT ON pandapon.format TO first", "empty")
    row = "0, 0, 1, NULL, NULL, NULL, NULL, '[]', 'v', '1', '', 0, NULL, NULL, NULL, NULL, 0, NULL"
    await postgres.execute(
        f"INSERT INTO pandapon.intents VALUES ('i', 'v', 'o', '{{}}', '', '{{}}', 'confirmed', 's', {row})",
        "empty",
    )
    done = await asyncio.to_thread(shell, "shared", "upgrade", "--shared", address)
    assert json.loads(done.out) == {"before": 1, "after": VERSION}
    assert await postgres.fetchval(COLUMNS, "empty") == new
    assert await postgres.fetchval("SELECT id FROM pandapon.intents", "empty") == "i"
    async with Sandbox() as sandbox:
        shared: Any = postgres.address(user="first", database="empty")
        settings = Settings(base_url=sandbox.base_url, rate=40.0, shared=shared)
        async with Client(sandbox.credentials, settings) as pandapon:
            given = {"logistics_company_no": "SF", "freight_bill": "SF100"}
            await pandapon.alibaba.refunds.return_goods(refund_id=returnable(sandbox, 1)[0], **given)


async def test_many_that_open_an_empty_database_at_once_make_one_schema(postgres: Postgres) -> None:
    address = await postgres.empty()
    found = await asyncio.gather(*(opened(address) for _ in range(6)))
    assert len(set(found)) == 6


async def test_the_command_shows_what_is_there(
    postgres: Postgres, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = await postgres.empty()
    shown = await asyncio.to_thread(shell, "shared", "check", "--shared", address)
    rows = {row["check"]: row["found"] for row in map(json.loads, shown.out.splitlines())}
    assert rows["session connections"] == "checked with two connections"
    assert rows["other clients"] == "0"
    assert rows["schema"] == f"version {VERSION}"
    book = QuotaBook(Database(DatabaseUrl(address), Clock()), "shop", Clock())
    span, _, gap = spacing(200.0)
    await book.book(1, gap=gap, span=span, ahead=0.1)
    await book.pause(60, gap=gap, span=span)
    shown = await asyncio.to_thread(shell, "shared", "check", "--shared", address)
    last = json.loads(shown.out.splitlines()[-1])
    assert last["check"] == "quota shop"
    assert last["found"].startswith("200 calls per second, paused for ")
    await book.aclose()
    away = await asyncio.to_thread(shell, "shared", "check", "--shared", "postgresql://u@127.0.0.1:1/x")
    assert (away.code, "nothing listens at that address" in away.err) == (3, True)
    monkeypatch.setenv("PANDAPON_SHARED", "postgresql://u@127.0.0.1:1/x")
    doctor = await asyncio.to_thread(shell, "doctor", "--no-online")
    assert "shared in postgresql://u@127.0.0.1:1/x, where a throttle pauses all" in doctor.out
    monkeypatch.delenv("PANDAPON_SHARED")
    missing = await asyncio.to_thread(shell, "shared", "check")
    assert (missing.code, "PANDAPON_SHARED" in missing.err) == (2, True)
    role = await asyncio.to_thread(shell, "shared", "init", "--shared", address, "--grant", "gone")
    assert (role.code, "has no role 'gone'" in role.err) == (2, True)


async def test_a_function_of_the_schema_uses_nothing_of_another(postgres: Postgres) -> None:
    rows = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'pandapon'::regnamespace"
    await opened(postgres.url)
    assert await postgres.fetchval(rows) > 0
    fixed = f"{rows} AND proconfig = ARRAY['search_path=pg_catalog, pg_temp'] AND NOT prosecdef"
    assert await postgres.fetchval(fixed) == await postgres.fetchval(rows)
