"""`pandapon sandbox` as a process: what it prints, what it serves, how it ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from pandapon_async import Client, Credentials, Settings
from pandapon_async.sandbox import Sandbox
from tests.support.warm import interpreter

RUN = "import typer; from pandapon_async.cli.sandbox import sandbox; typer.run(sandbox)"


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as a process, which does not outlive the test."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        interpreter(), "-c", RUN, *arguments, stdout=pipe, stderr=pipe
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_further_keys_and_sub_accounts_are_accepted() -> None:
    arguments = (
        "--port",
        "0",
        "--refunds",
        "99",
        "--user-id",
        "77",
        "--access-key",
        "second",
        "--visible-after",
        "9",
    )
    async with started(*arguments) as process:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode().strip() for _ in range(4)]
        url, _, secret, _ = (line.partition("=")[2] for line in lines)
        async with Client(Credentials("second", secret, "77"), Settings(base_url=url, rate=None)) as client:
            form = Sandbox(refunds=99).find("taobao", 10).refund_id
            await client.v1.taobao.refunds.cancel(refund_id=form)
            seen = await client.v1.taobao.refunds.get(refund_id=form)
    assert seen.refund_order_aggregate is not None
    assert seen.refund_order_aggregate.refund_order is not None
    assert seen.refund_order_aggregate.refund_order.refund_status == 10


async def test_it_prints_an_environment_serves_and_sums_up() -> None:
    arguments = ("--port", "0", "--refunds", "12", "--rate", "200", "--faults", "throttle_code:times=1")
    async with started(*arguments) as process:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode().strip() for _ in range(5)]
        values = dict(line.split("=") for line in lines[:4])
        assert list(values) == [
            "PANDAPON_BASE_URL",
            "PANDAPON_ACCESS_KEY",
            "PANDAPON_ACCESS_SECRET",
            "PANDAPON_USER_ID",
        ]
        url = values["PANDAPON_BASE_URL"]
        assert lines[4] == f"# ledger: {url}/_sandbox/ledger"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/_sandbox/ledger") as response:
                assert len((await response.text()).splitlines()) == 13
            async with session.post(f"{url}/alibaba/refund/info") as response:
                assert (await response.json())["code"] == 429
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    assert errors.decode() == (
        "sandbox: 1 requests, 0 refused by rate, faults throttle_code 1, 0 nonces repeated, 0 effects\n"
    )
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [(("--faults", "meteor:1"), "unknown fault meteor"), (("--rate", "0"), "--rate")],
)
async def test_a_wrong_option_is_named(arguments: tuple[str, ...], wrong: str) -> None:
    async with started(*arguments) as process:
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert wrong in errors.decode()


async def test_a_port_that_is_taken_is_said() -> None:
    async with Sandbox(refunds=1) as other, started("--port", str(other.port)) as process:
        _, errors = await process.communicate()
        said = errors.decode()
        assert f"cannot listen on 127.0.0.1:{other.port}: Address already in use" in said
        assert "--port 0" in said
        assert "bind" not in said  # the library's words
    assert process.returncode == 2
