"""The guard itself: it sees what the package blocks, and lets nobody out without a reason."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from blockbuster import BlockingError

from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.tables.open import file_digest
from tests.support.blocking import EXEMPT, allowed

ROOT = Path(__file__).parent.parent


def compiled(source: str, name: str) -> dict[str, object]:
    """Code that stands, as far as anybody can see, in a file of the package."""
    space: dict[str, object] = {"time": time}
    exec(compile(source, str(ROOT / "pandapon_async" / name), "exec"), space)
    return space


BLOCKS = "async def blocks():\n    time.sleep(0)\n"


async def test_a_coroutine_of_the_package_that_blocks_is_found() -> None:
    with pytest.raises(BlockingError, match=r"time\.sleep"):
        await compiled(BLOCKS, "clock.py")["blocks"]()  # type: ignore[operator]


async def test_a_callback_of_the_package_that_blocks_is_found() -> None:
    found: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context["exception"]))
    space = compiled("def blocks():\n    time.sleep(0)\n", "clock.py")
    loop.call_soon(space["blocks"])  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert [type(error) for error in found] == [BlockingError]


async def test_a_test_may_block_and_call_what_blocks(tmp_path: Path) -> None:
    time.sleep(0)  # noqa: ASYNC251 (the guard is tried)
    path = tmp_path / "ledger.csv"
    path.write_text("refund_id\n")
    assert len(file_digest(path)) == 64
    RunStore.open(tmp_path / "state.sqlite").close()


@pytest.mark.may_block("to show what this mark does")
async def test_a_mark_lets_a_test_out() -> None:
    await compiled(BLOCKS, "clock.py")["blocks"]()  # type: ignore[operator]


def test_what_is_exempt_exists() -> None:
    for (file, name), why in EXEMPT.items():
        assert f"def {name}(" in (ROOT / file).read_text("utf-8")
        assert len(why.split()) > 3


@pytest.mark.parametrize("reason", ["", "because", "it blocks"])
def test_a_mark_without_a_reason_is_refused(reason: str) -> None:
    with pytest.raises(AssertionError, match="must say why"), allowed(reason):
        pass
