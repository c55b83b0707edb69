"""A state that was damaged on the disk: it is named, nothing of it is believed, and the advice works."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from pandapon_async import Client, Settings
from pandapon_async.errors import ConfigurationError
from pandapon_async.reconcile import Options, reconcile
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.sandbox import LEDGER_AS_OF, Sandbox
from tests.support.command import Shell
from tests.support.damage import spoil

SEEDS = [seed if seed < 5 else pytest.param(seed, marks=pytest.mark.nightly) for seed in range(120)]
AGES = timedelta(days=9)


def write_ledger(path: Path, rows: int, server: Sandbox) -> Path:
    ids = list(server.refund_ids("1688"))[:rows]
    path.write_text("refund_id,amount_fen\n" + "".join(f"{one},5\n" for one in ids))
    return path


def verdicts(out: Path) -> list[str]:
    """rows.csv without what differs from run to run."""
    return [line.rsplit(",", 3)[0] for line in (out / "rows.csv").read_text().splitlines()]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], int]:
    """A folder with a ledger, and the state of a run that was complete; its verdicts and its requests."""
    return asyncio.run(_scene(tmp_path_factory.mktemp("damage")))


async def _scene(folder: Path) -> tuple[Path, list[str], int]:
    async with Sandbox(refunds=300, seed=7) as server:
        ledger = write_ledger(folder / "ledger.csv", 150, server)
        async with Client(server.credentials, Settings(base_url=server.base_url, rate=None)) as client:
            await reconcile(client, ledger, folder / "out", options=Options(as_of=LEDGER_AS_OF))
        return folder, verdicts(folder / "out"), len(server.log)


def damage(path: Path, seed: int) -> None:
    """One in six is a word that was exchanged for another, which is well formed."""
    if seed % 6:
        spoil(path, seed)
        return
    data = path.read_bytes()
    for old, new in ((b"refundsuccess", b"refundclose00"), (b"found", b"mound"), (b"CNY", b"USD")):
        data = data.replace(old, new)
    path.write_bytes(data)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_damaged_state_is_named_or_right_and_fresh_begins_anew(
    scene: tuple[Path, list[str], int], tmp_path: Path, seed: int
) -> None:
    origin, right, requests = scene
    folder = tmp_path / "work"
    shutil.copytree(origin, folder)
    (state,) = (folder / "out").glob("state-*.sqlite")
    damage(state, seed)
    spoilt = state.read_bytes()
    async with Sandbox(refunds=300, seed=7) as server:
        async with Client(server.credentials, Settings(base_url=server.base_url, rate=None)) as client:

            async def run(**options: object) -> list[str]:
                given = {"as_of": LEDGER_AS_OF, **options}
                await reconcile(client, folder / "ledger.csv", folder / "out", options=Options(**given))  # type: ignore[arg-type]
                return verdicts(folder / "out")

            found: list[str] | ConfigurationError
            try:
                found = await run(reuse=AGES)
            except ConfigurationError as error:
                found = error
            if isinstance(found, ConfigurationError):
                assert str(state) in str(found)
                assert "is damaged and not used. --fresh renames it" in str(found)
                found = await run(fresh=True)
                asides = list((folder / "out").glob("*.damaged-*"))
                assert all(len(aside.read_bytes()) == len(spoilt) for aside in asides)
            assert found == right
        assert len(server.log) <= 2 * requests


async def test_a_changed_word_is_seen_though_the_file_is_sound(
    scene: tuple[Path, list[str], int], tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(scene[0], folder)
    (state,) = (folder / "out").glob("state-*.sqlite")
    for statement in (
        "UPDATE lookups SET applied_fen = 5, refunded_fen = 5 WHERE row = 3",
        "UPDATE ledger SET amount_fen = amount_fen + 1 WHERE row = 3",
        "UPDATE lookups SET outcome = 'missing' WHERE row = 3",
        "UPDATE facts SET value = '\"2031-01-01T00:00:00+08:00\"' WHERE name = 'as_of'",
    ):
        changed = tmp_path / "changed.sqlite"
        shutil.copy(state, changed)
        connection = sqlite3.connect(changed)
        connection.execute(statement)
        connection.commit()
        connection.close()
        store = RunStore.open(changed)
        with contextlib.closing(store), pytest.raises(sqlite3.DatabaseError):
            [store.get("as_of"), *store.joined()]


async def test_a_database_of_the_users_is_never_set_aside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(monkeypatch, capsys, tmp_path)
    async with Sandbox(refunds=30, seed=7) as server:
        shell.use(server)
        write_ledger(tmp_path / "ledger.csv", 3, server)
        mine = tmp_path / "mine.sqlite"
        connection = sqlite3.connect(mine)
        connection.execute("CREATE TABLE precious (x)")
        connection.commit()
        connection.close()
        for content in (mine.read_bytes(), b"not a database" * 99):
            mine.write_bytes(content)
            ended = await shell.beside(
                "reconcile", "ledger.csv", "--out", "o", "--state", "mine.sqlite", "--fresh"
            )
            assert ended.code == 2, ended.err
            assert mine.read_bytes() == content
        assert len(server.log) == 0


async def test_the_advice_works_as_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(monkeypatch, capsys, tmp_path)
    command = ("reconcile", "ledger.csv", "--out", "o")
    async with Sandbox(refunds=300, seed=7) as server:
        shell.use(server)
        write_ledger(tmp_path / "ledger.csv", 150, server)
        first = await shell.beside(*command)
        (state,) = (tmp_path / "o").glob("state-*.sqlite")
        data = bytearray(state.read_bytes())
        data[5000:-5000] = b"x" * (len(data) - 10_000)
        state.write_bytes(data)
        named = await shell.beside(*command)
        assert named.code == 2
        assert f"o/{state.name} is damaged and not used. --fresh renames it" in named.err
        anew = await shell.beside(*command, "--fresh")
        assert anew.code == first.code
        assert f"{state.name} is damaged: it was renamed to {state.name}.damaged-" in anew.err
