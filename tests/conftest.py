"""Options and profiles for the whole suite; fixtures live with the tests that need them."""

from __future__ import annotations

import gc
import itertools
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from pandapon_async.sandbox import Counters, Sandbox
from tests.support.blocking import allowed, guard
from tests.support.stores import new_journal  # noqa: F401  (a fixture)

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

# Machines that run tests are slow and shared: a deadline per example would only measure them.
_SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]
settings.register_profile("default", max_examples=30, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=_SLOW)


_COUNT = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the long tests as well")


def pytest_configure(config: pytest.Config) -> None:
    # Whoever starts us in the background may ignore Ctrl-C, and the processes of tests would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.load_profile("nightly" if config.getoption("--nightly") else "default")
    config.addinivalue_line("markers", "of_files: a journal in a file is meant, not any")
    config.addinivalue_line("markers", "database_at_night: a journal in a database is tried at night only")
    config.addinivalue_line("markers", "may_block(reason): the event loop may be blocked here, and why")


@pytest.fixture(scope="session", autouse=True)
def loop_is_watched() -> Iterator[None]:
    """Whatever of this package blocks an event loop, in whatever test, raises BlockingError there."""
    with guard():
        yield


@pytest.fixture(autouse=True)
def no_files_of_the_user(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal and the configuration of whoever runs the tests are neither read nor written."""
    home = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("XDG_STATE_HOME", str(home / f"state-{next(_COUNT)}"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "no-configuration"))


@pytest.fixture(autouse=True)
def may_block(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lets a test that is marked so block the loop; the mark has to say why."""
    mark = request.node.get_closest_marker("may_block")
    if mark is None:
        yield
        return
    with allowed(*mark.args, **mark.kwargs):
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What holds of a journal is tried in both places; a test of files says so with its mark."""
    if "new_journal" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        at_night = pytest.mark.nightly if "database_at_night" in marks else ()
        places = ["file"] if "of_files" in marks else ["file", pytest.param("database", marks=at_night)]
        metafunc.parametrize("new_journal", places, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--nightly"):
        return
    long = [item for item in items if item.get_closest_marker("nightly")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_collection_finish() -> None:
    """What the modules hold stays to the end: no search for garbage in a test needs to look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_nonce_twice(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One attempt is one nonce is one request: no sandbox of any test may see a nonce a second time."""
    counters: list[Counters] = []
    aclose = Sandbox.aclose

    async def counted(self: Sandbox) -> None:
        counters.append(self.counters)
        await aclose(self)

    monkeypatch.setattr(Sandbox, "aclose", counted)
    yield
    if request.node.get_closest_marker("repeats_nonces") is None:
        assert sum(counter.nonces_repeated for counter in counters) == 0


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL for all who ask; one that is killed is started again by who did it."""
    from tests.support.postgres import postgres_server

    with postgres_server() as server:
        yield server
