"""Every page runs as typed, from top to bottom, in one folder, one shell and one Python session.

A block with a title is a file, and a `text` block is what the block before it printed.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.pages import HOW_TOS, PAGES, QUICKSTART, README, ROOT, TUTORIAL, blocks
from tests.support.postgres import Postgres
from tests.support.reader import Reader

FRAMES = next(page for page in HOW_TOS if page.name == "read-results.md")
SHARED = next(page for page in HOW_TOS if page.name == "many-processes.md")
MACHINES = next(page for page in HOW_TOS if page.name == "many-machines.md")  # tests/test_docs_machines.py
RUN = [README, QUICKSTART, TUTORIAL, *(page for page in HOW_TOS if page not in (FRAMES, SHARED, MACHINES))]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """What a page sets up for its reader must not speak in the tests that follow."""
    loggers = (logging.getLogger(), logging.getLogger("pandapon_async"))
    before = [(one, one.level, list(one.handlers)) for one in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def test_what_does_not_run_is_a_file_or_says_how_it_was_made() -> None:
    """Pages that are not for typing have files, which others check, and one page has how it was made."""
    for page in PAGES:
        if page not in (*RUN, FRAMES, SHARED, MACHINES) and page.name != "hardening.md":
            assert all(block.title for block in blocks(page)), page.name


def test_the_python_of_every_page_has_strict_types(tmp_path: Path) -> None:
    """As mypy --strict sees it, with `await` at the top level as `python -m asyncio` takes it."""
    programs = []
    for page in (*RUN, SHARED):
        program = tmp_path / f"{page.stem.replace('-', '_')}.py"
        program.write_text("".join(block.text for block in blocks(page) if block.language == "python"))
        programs.append(program.name)
    allowed = ["--disable-error-code=top-level-await", "--disable-error-code=syntax"]
    options = ["--strict", "--no-error-summary", "--no-pretty", "--follow-imports=silent", *allowed]
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *options, f"--cache-dir={ROOT / '.mypy_cache'}", *programs],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (ended.stdout, ended.stderr) == ("", "")


@pytest.fixture
def read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Awaitable[None]]:
    """Reads a page in an empty folder, without any setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PANDAPON_")]:
        monkeypatch.delenv(name)

    async def read_page(page: Path, exchanged: Mapping[str, str] | None = None) -> None:
        reader = Reader(lambda: capsys.readouterr().out, exchanged)
        try:
            for block in blocks(page):
                await reader.read(block)
        finally:
            await reader.aclose()

    return read_page


@pytest.mark.may_block("from_env reads a .env file where it is called, and what a reader types reads files")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
async def test_a_page_runs_as_typed(page: Path, read: Callable[..., Awaitable[None]]) -> None:
    await read(page)


@pytest.mark.may_block("what a reader types reads files")
@pytest.mark.timeout(180)
async def test_the_page_of_the_database_runs_as_typed(
    read: Callable[..., Awaitable[None]], postgres: Postgres
) -> None:
    database = await postgres.empty()
    if not await postgres.fetchval("SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pandapon')"):
        await postgres.execute("CREATE ROLE pandapon LOGIN")
    said = re.findall(r"postgresql://\w+@db\.example/company", SHARED.read_text("utf-8"))
    assert said
    await read(SHARED, dict.fromkeys(said, database))


@pytest.mark.nightly
@pytest.mark.may_block("what a reader types reads files")
async def test_the_page_of_frames_runs_as_typed(read: Callable[..., Awaitable[None]]) -> None:
    for library in ("duckdb", "pandas", "polars", "pyarrow"):
        pytest.importorskip(library)
    await read(FRAMES)
