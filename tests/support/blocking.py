"""What fails a test in which anything blocks the event loop.

Every test is watched: `guard` is switched on for the whole session (see conftest), and what code of the
package does in a running loop raises BlockingError there. A module that imports `nothing_blocks` is
stricter: there the test's own code must not block either. A mark that gives its reason opts out:
`@pytest.mark.may_block("why")`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cattrs  # noqa: F401  (the library imports these two on first use, which reads files: once)
import pytest
import tenacity.asyncio  # noqa: F401  (as above)
from blockbuster import BlockBuster, blockbuster_ctx

import pandapon_async

__all__ = ["allowed", "guard", "nothing_blocks"]

_guards: list[BlockBuster] = []

EXEMPT: dict[tuple[str, str], str] = {
    **{
        (
            "pandapon_async/reconcile/run_store.py",
            name,
        ): "one row of a local SQLite file in WAL mode: some 30 µs"
        for name in (
            *("get", "set", "clear", "forget_failures", "record", "_paged", "to_look_up", "looked_up"),
            *("oldest_lookup", "passing_failures", "failures", "single_lookups"),
        )
    },
    **{
        ("pandapon_async/follow/store.py", name): "one row of a local SQLite file in WAL mode: some 30 µs"
        for name in ("get", "set", "put", "_find", "next_look", "count")
    },
    (
        "pandapon_async/callbacks/push_reader.py",
        "new",
    ): "the new rows of a local SQLite file, by its primary key",
    (
        "pandapon_async/reconcile/list_store.py",
        "lacking_pending",
    ): "500 rows of a local SQLite file by their key, for as many lookups: some 2 ms",
    (
        "pandapon_async/shared/database.py",
        "_connect",
    ): "the driver looks for PostgreSQL's password file, some 20 µs for each connection",
    ("pandapon_async/storage/sqlite_file.py", "close"): "the last act of a run, which nothing waits for",
}
"""Functions of the package that may block a loop, by file and name, and why."""


_PACKAGE = str(Path(pandapon_async.__file__).parent) + os.sep
_COMMANDS = _PACKAGE + "cli" + os.sep
_TESTS = str(Path(__file__).parent.parent) + os.sep
_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def _is_the_callers_own(*_: Any, **__: Any) -> bool:
    """Whether a coroutine of the tests called what blocks, and not one of the package.

    The commands count as callers like the tests: their process, and with it their loop, has nothing else
    to do than what they block for (reading a table, writing to the terminal).
    """
    nearest = True
    frame = inspect.currentframe()
    frame = frame and frame.f_back and frame.f_back.f_back  # what is in this file is nobody's
    while frame is not None:
        file = frame.f_code.co_filename
        if nearest and file.startswith(_PACKAGE):
            nearest = False
        elif nearest and file.startswith(_TESTS):
            return True  # a callback that a test gave to the package
        if frame.f_code.co_flags & _ASYNC:
            if file.startswith((_TESTS, _COMMANDS)):
                return True
            if file.startswith(_PACKAGE):
                return False
        frame = frame.f_back
    return False


@contextlib.contextmanager
def guard() -> Iterator[BlockBuster]:
    """Any blocking call that code of the package makes inside a loop raises BlockingError.

    Switching it on takes some 20 ms, so it is done once and not for each of thousands of tests.
    """
    watch = BlockBuster("pandapon_async")
    for function in watch.functions.values():
        before = function.can_block_predicate
        function.can_block_predicate = functools.partial(_either, before)
        for file, name in EXEMPT:
            function.can_block_in(file, name)
    watch.activate()
    _guards.append(watch)
    try:
        yield watch
    finally:
        _guards.remove(watch)
        watch.deactivate()


def _either(before: Callable[..., bool], *arguments: Any, **more: Any) -> bool:
    return before(*arguments, **more) or _is_the_callers_own()


@contextlib.contextmanager
def allowed(reason: str = "") -> Iterator[None]:
    """Inside, blocking is allowed again; the reason is for who reads the test."""
    assert len(reason.split()) > 2, "may_block must say why"
    for watch in _guards:
        watch.deactivate()
    try:
        yield
    finally:
        for watch in _guards:
            watch.activate()


_CONNECTS = (
    ("pandapon_async/shared/database.py", "_connect"),
    ("tests/support/postgres.py", "execute"),
    ("tests/support/postgres.py", "fetchval"),
)
"""Where a driver looks for a password file, see `EXEMPT`."""


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[BlockBuster]:
    """Any blocking call made inside the loop, by whatever code, raises BlockingError."""
    with blockbuster_ctx() as watch:
        for function in watch.functions.values():
            for file, name in _CONNECTS:
                function.can_block_in(file, name)
        yield watch
