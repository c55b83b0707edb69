"""The pytest plugin: fixtures with a sandbox and its client for your own tests.

pytest loads this file in every session of every project that has the package installed, before pytest-cov
begins to measure. So it imports nothing but pytest until a test uses a fixture. It is a file next to the
package, because importing a module of the package also imports the package itself.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from pandapon_async import Client
    from pandapon_async.sandbox import Sandbox

_REFUNDS = 100
_SCOPES: Final = ("function", "class", "module", "package", "session")
_SANDBOX = pytest.StashKey["Sandbox"]()
_REPORTED = pytest.StashKey[int]()
_FIXTURES: Final = "pandapon-fixtures"
_MARKER = (
    "pandapon(**arguments): arguments of this test's sandbox, such as @pytest.mark.pandapon(refunds=50, "
    'faults="reset_after:0.1", rate=20)'
)


@pytest.fixture
def pandapon_sandbox(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Sandbox:
    """A sandbox in this test's event loop, with 100 refunds unless the marker `pandapon` sets another number.

    For code that calls `Client.from_env()`, the environment names this sandbox and has no other PANDAPON_
    variable; neither `pandapon.toml` nor `.env` is read.
    """
    sandbox: Sandbox = request.getfixturevalue(_fixture_name("sandbox", _runner(request)))
    _point_environment_at(sandbox, monkeypatch, tmp_path_factory.mktemp("pandapon"))
    return sandbox


@pytest.fixture
def pandapon(request: pytest.FixtureRequest, pandapon_sandbox: Sandbox) -> Client:
    """A client of this test's sandbox, with an unlimited rate and a journal in memory."""
    client: Client = request.getfixturevalue(_fixture_name("client", _runner(request)))
    return client


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and offer the fixtures to the installed async plugins."""
    config.addinivalue_line("markers", _MARKER)
    fixtures = ModuleType("pytest_pandapon_fixtures")
    if _runs_here(config, "pytest_asyncio.plugin"):
        import pytest_asyncio

        # Older ones than 0.24 do not know loop scopes; only a test that uses a fixture must hear of it.
        if "loop_scope" in inspect.signature(pytest_asyncio.fixture).parameters:
            for scope in _SCOPES:  # uses the loop of the test
                _add_fixtures(fixtures, scope, pytest_asyncio.fixture(loop_scope=scope))
    if _runs_here(config, "anyio.pytest_plugin"):
        _add_fixtures(fixtures, "anyio", pytest.fixture)
    config.pluginmanager.register(fixtures, _FIXTURES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test whose sandbox saw a nonce twice."""
    yield
    _check_nonces(item)


def _runs_here(config: pytest.Config, module: str) -> bool:
    """Whether this module is a plugin of the session; does not import it."""
    loaded = sys.modules.get(module)
    return loaded is not None and config.pluginmanager.is_registered(loaded)


def _add_fixtures(module: ModuleType, suffix: str, fixture: Callable[[Any], Any]) -> None:
    async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
        made = _make_sandbox(request.node)
        async with made:
            request.node.stash[_SANDBOX] = made
            yield made
        _check_nonces(request.node)  # includes requests sent after the end of the test itself

    async def client(pandapon_sandbox: Sandbox) -> AsyncIterator[Client]:
        from pandapon_async import Client, Settings

        settings = Settings(base_url=pandapon_sandbox.base_url, rate=None, journal=":memory:")
        async with Client(pandapon_sandbox.credentials, settings) as made:
            yield made

    for made in (sandbox, client):
        name = made.__name__ = _fixture_name(made.__name__, suffix)
        setattr(module, name, fixture(made))


def _fixture_name(what: str, suffix: str) -> str:
    return f"_pandapon_{what}_{suffix}"


def _runner(request: pytest.FixtureRequest) -> str:
    """The fixtures for the loop of this test."""
    item = request.node
    function = getattr(item, "obj", None)
    function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    if not inspect.iscoroutinefunction(function):
        pytest.fail("pandapon's fixtures are for async tests: write `async def`", pytrace=False)
    marker = item.get_closest_marker("asyncio")
    by_anyio = "anyio_backend" in request.fixturenames
    if marker is not None and by_anyio:
        pytest.fail(
            "both pytest-asyncio and anyio run this test: remove one of the two marks, or set "
            "asyncio_mode to strict",
            pytrace=False,
        )
    if marker is not None:
        scope = _loop_scope(marker, request.config)
        if not hasattr(request.config.pluginmanager.get_plugin(_FIXTURES), _fixture_name("sandbox", scope)):
            pytest.fail(
                "the test is marked for pytest-asyncio; pandapon's fixtures need its version 0.24 or later, "
                "or anyio's plugin",
                pytrace=False,
            )
        return scope
    if not by_anyio:
        pytest.fail(
            "pandapon's fixtures need pytest-asyncio or anyio's plugin: mark the test with one of the two",
            pytrace=False,
        )
    backend = request.getfixturevalue("anyio_backend")
    name = backend if isinstance(backend, str) else backend[0]
    if name != "asyncio":
        pytest.skip(f"pandapon's client runs on asyncio, not on {name}")
    return "anyio"


def _loop_scope(marker: pytest.Mark, config: pytest.Config) -> str:
    """The scope of the loop that pytest-asyncio runs this test in."""
    said = marker.kwargs.get("loop_scope") or marker.kwargs.get("scope")
    if said is None:
        try:
            said = config.getini("asyncio_default_test_loop_scope")
        except ValueError:  # before pytest-asyncio 0.26
            said = "function"
    return str(said)


def _make_sandbox(item: pytest.Item) -> Sandbox:
    from pandapon_async.sandbox import Sandbox

    arguments: dict[str, Any] = {"refunds": _REFUNDS}
    for marker in reversed(list(item.iter_markers("pandapon"))):  # the closest marker last
        if marker.args:
            pytest.fail("@pytest.mark.pandapon takes keyword arguments only: (refunds=50)", pytrace=False)
        arguments |= marker.kwargs
    known = inspect.signature(Sandbox).parameters
    for name in arguments:
        if name not in known:
            taken = ", ".join(known)
            pytest.fail(f"@pytest.mark.pandapon does not accept {name!r}; it accepts {taken}", pytrace=False)
    try:
        return Sandbox(**arguments)
    except ValueError as error:
        reason = str(error)
    pytest.fail(f"@pytest.mark.pandapon: {reason}", pytrace=False)


def _point_environment_at(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    nothing = folder / "nothing"
    nothing.touch()
    for name in [name for name in os.environ if name.startswith("PANDAPON_")]:
        monkeypatch.delenv(name)
    made = sandbox.credentials
    values = {
        "ACCESS_KEY": made.access_key,
        "ACCESS_SECRET": made.access_secret,
        "USER_ID": made.user_id,
        "BASE_URL": sandbox.base_url,
        "RATE": "none",
        "JOURNAL": ":memory:",
        "CONFIG": str(nothing),
        "ENV_FILE": str(nothing),
    }
    for name, value in values.items():
        monkeypatch.setenv(f"PANDAPON_{name}", value)


def _check_nonces(item: pytest.Item) -> None:
    sandbox = item.stash.get(_SANDBOX, None)
    repeated = 0 if sandbox is None else sandbox.counters.nonces_repeated
    if repeated > item.stash.get(_REPORTED, 0):
        item.stash[_REPORTED] = repeated
        pytest.fail(
            f"repeated nonces: {repeated}; something around the client sends requests twice (a proxy, a "
            "session that retries)",
            pytrace=False,
        )
