"""One run of a ledger at a time, on whatever machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Client, Clock, ConfigurationError, Settings
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.reconcile import reconcile
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.ledger import csv_chunks
from pandapon_async.shared.database import DatabaseUnavailableError
from pandapon_async.shared.runs import only_run
from tests.support.postgres import Postgres


async def test_a_ledger_that_another_machine_has_is_refused_and_free_when_it_ends(
    postgres: Postgres, tmp_path: Path
) -> None:
    shared: Any = await postgres.empty()
    async with Sandbox(refunds=40) as sandbox:
        ledger = tmp_path / "ledger.csv"
        ledger.write_text("".join(csv_chunks(sandbox.seed, sandbox.refunds)), encoding="utf-8")
        digest = hashlib.sha256(ledger.read_bytes()).hexdigest()
        settings = Settings(base_url=sandbox.base_url, rate=100.0, shared=shared)
        async with Client(sandbox.credentials, settings) as pandapon:
            async with only_run(DatabaseUrl(shared), Clock(), digest, "it"):
                with pytest.raises(ConfigurationError, match=r"ledger\.csv is in use by .*, connected since"):
                    await reconcile(pandapon, ledger, tmp_path / "one")
                assert not sandbox.log
                assert not (tmp_path / "one").exists()
            summary = await reconcile(pandapon, ledger, tmp_path / "one")
            assert summary.verdicts == (await reconcile(pandapon, ledger, tmp_path / "two")).verdicts


async def test_other_ledgers_do_not_disturb_each_other_and_a_database_that_is_away_is_told(
    postgres: Postgres,
) -> None:
    url = DatabaseUrl(await postgres.empty())
    async with only_run(url, Clock(), "one", "it"), only_run(url, Clock(), "other", "it"):
        pass
    with pytest.raises(DatabaseUnavailableError):
        async with only_run(DatabaseUrl("postgresql://u@127.0.0.1:1/x"), Clock(), "one", "it"):
            raise AssertionError
