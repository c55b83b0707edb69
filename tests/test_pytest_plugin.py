"""The pytest plugin, in sessions of its own: what it gives, what it refuses, and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOOPS = ("-o", "asyncio_default_fixture_loop_scope=function")
ASYNCIO = ("-p", "pytest_asyncio.plugin", *LOOPS, "-p", "pytest_pandapon")
ANYIO = ("-p", "anyio.pytest_plugin", "-p", "pytest_pandapon")

USES = """
import asyncio
import os

import pytest
from pandapon_async import Client, Clock, OutcomeUnknownError, PandaponError, Safety

pytestmark = pytest.mark.{mark}


async def test_reads(pandapon, pandapon_sandbox):
    form = pandapon_sandbox.find("1688", "waitbuyersend")
    assert (await pandapon.alibaba.refunds.get(refund_id=form.refund_id)).status == "waitbuyersend"


@pytest.mark.pandapon(faults="reset_after:1.0")
class TestLost:
    @pytest.mark.pandapon(refunds=40)
    async def test_a_lost_answer(self, pandapon, pandapon_sandbox):
        assert pandapon_sandbox.refunds == 40
        form = pandapon_sandbox.find("1688", "waitbuyersend")
        with pytest.raises(OutcomeUnknownError):
            await pandapon.alibaba.refunds.return_goods(
                refund_id=form.refund_id, logistics_company_no="SF", freight_bill="SF1"
            )
        assert len(pandapon_sandbox.effects) == 1


@{fixture}
async def first_form(pandapon, pandapon_sandbox):
    yield await pandapon.alibaba.refunds.get(refund_id=next(pandapon_sandbox.refund_ids("1688")))


async def test_a_client_of_the_environment(first_form):
    assert "PANDAPON_ACCOUNT" not in os.environ
    async with Client.from_env() as own:
        form = await own.alibaba.refunds.get(refund_id=first_form.refund_id)
        assert form == first_form


class Repeats(Clock):
    def nonce(self):
        return "0123456789abcdef0123456789abcdef"


async def test_that_repeats_a_nonce(pandapon, pandapon_sandbox):
    async with Client.from_env(clock=Repeats()) as own:
        for _ in range(2):
            try:
                await own.request("POST", "/alibaba/refund/info", safety=Safety.READ)
            except PandaponError:
                pass
"""

REFUSES = """
import pytest


def test_plain(pandapon):
    pass


@pytest.mark.asyncio
@pytest.mark.pandapon(refund=1)
async def test_unknown_argument(pandapon):
    pass


@pytest.mark.asyncio
@pytest.mark.pandapon(not_found="nope")
async def test_wrong_value(pandapon):
    pass


@pytest.mark.asyncio
@pytest.mark.anyio
async def test_two_runners(pandapon):
    pass


@pytest.mark.asyncio(loop_scope="module")
async def test_loop_of_the_module(pandapon, pandapon_sandbox):
    await pandapon.alibaba.refunds.get(refund_id=next(pandapon_sandbox.refund_ids("1688")))
"""

OWN_FILES = {
    "pandapon.toml": '[defaults]\nrate = 0.01\nbase_url = "https://pandapon.invalid"\n',
    ".env": "PANDAPON_BASE_URL=https://pandapon.invalid\nPANDAPON_TIMEOUT=0.001\n",
}

UNUSED = """
import sys


def test_nothing_of_ours_is_loaded():
    loaded = {name.split(".")[0] for name in sys.modules}
    assert not loaded & {"pandapon_async", "aiohttp", "attrs", "orjson", "msgspec"}
    assert "pytest_pandapon" in loaded
"""


def session(
    folder: Path, text: str, *plugins: str, options: tuple[str, ...] = (), **environment: str
) -> tuple[int, str]:
    """The exit code and the report of a session over one file."""
    (folder / "test_users.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    for name in ("pandapon.toml", ".env"):  # of the project, which a test must not follow
        (folder / name).write_text(OWN_FILES[name], encoding="utf-8")
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *plugins, *options],
        cwd=folder,
        env={
            **outer,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PANDAPON_ACCOUNT": "of-the-developer",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("plugins", "mark", "fixture"),
    [(ASYNCIO, "asyncio", "__import__('pytest_asyncio').fixture"), (ANYIO, "anyio", "pytest.fixture")],
    ids=["asyncio", "anyio"],
)
def test_users_tests_run_and_a_repeated_nonce_fails_one(
    tmp_path: Path, plugins: tuple[str, ...], mark: str, fixture: str
) -> None:
    code, report = session(tmp_path, USES.format(mark=mark, fixture=fixture), *plugins)
    assert code == 1, report
    suffix = "[asyncio]" if mark == "anyio" else ""
    for passed in ("test_reads", "TestLost::test_a_lost_answer", "test_a_client_of_the_environment"):
        assert f"PASSED test_users.py::{passed}{suffix}" in report, report
    assert f"FAILED test_users.py::test_that_repeats_a_nonce{suffix}" in report, report
    assert "repeated nonces: 1; something around the client sends requests twice" in report, report
    assert "ERROR" not in report, report


def test_a_test_that_cannot_be_served_says_what_helps(tmp_path: Path) -> None:
    _, report = session(tmp_path, REFUSES, *ASYNCIO, *ANYIO[:2])
    assert "pandapon's fixtures are for async tests: write `async def`" in report
    assert "@pytest.mark.pandapon does not accept 'refund'; it accepts refunds, seed, rate, faults" in report
    assert "@pytest.mark.pandapon: not_found is 'nope'; it takes 'code', 'null', 'empty'" in report
    assert "both pytest-asyncio and anyio run this test" in report
    assert "PASSED test_users.py::test_loop_of_the_module" in report, report


OLD_ASYNCIO = """
import pytest


def fixture(fixture_function=None, **arguments):
    return pytest.fixture(fixture_function, **arguments)
"""


def test_a_pytest_asyncio_without_loop_scopes_costs_nobody_the_session(tmp_path: Path) -> None:
    """Its `fixture` passes what it does not know to pytest's, which refuses it (0.23)."""
    package = tmp_path / "pytest_asyncio"
    package.mkdir()
    (package / "__init__.py").write_text(OLD_ASYNCIO, encoding="utf-8")
    (package / "plugin.py").write_text(
        "def pytest_configure(config):\n    config.addinivalue_line('markers', 'asyncio: old')\n",
        encoding="utf-8",
    )
    text = UNUSED + "\n\nimport pytest\n\n@pytest.mark.asyncio\nasync def test_asks(pandapon):\n    pass\n"
    _, report = session(tmp_path, text, "-p", "pytest_asyncio.plugin", "-p", "pytest_pandapon")
    assert "PASSED test_users.py::test_nothing_of_ours_is_loaded" in report, report
    assert "ERROR test_users.py::test_asks" in report, report
    assert "pandapon's fixtures need its version 0.24 or later, or anyio's plugin" in report


def test_trio_is_skipped_with_the_reason(tmp_path: Path) -> None:
    text = """
import pytest

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_on_trio(pandapon):
    pass
"""
    code, report = session(tmp_path, text, *ANYIO)
    assert "SKIPPED [1]" in report, report
    assert "pandapon's client runs on asyncio, not on trio" in report
    assert code == 0


def test_a_session_that_does_not_ask_loads_nothing_and_is_measured_the_same(tmp_path: Path) -> None:
    """pytest-cov sees the user's own modules whole, those included that only an import runs."""
    (tmp_path / "shop.py").write_text("PRICE = 7\n\n\ndef price():\n    return PRICE\n", encoding="utf-8")
    text = UNUSED + "\n\ndef test_shop():\n    import shop\n\n    assert shop.price() == 7\n"
    options = ("-p", "pytest_cov.plugin", "--cov=shop", "--cov-report=term")
    _, report = session(tmp_path, text, *ASYNCIO, options=options)
    assert "2 passed" in report, report
    total = next(line for line in report.splitlines() if line.startswith("TOTAL"))
    assert total.split() == ["TOTAL", "3", "0", "100%"], "as without the plugin"


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_project_that_installs_the_wheel(tmp_path: Path) -> None:
    """By the entry point, as a user has it: under anyio alone, with pytest-asyncio, and with an old one."""
    constraints = str(ROOT / "constraints.txt")

    def run(*arguments: str, folder: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PY", "COV"))}
        return subprocess.run(
            arguments, cwd=folder, env=clean, capture_output=True, text=True, timeout=300, check=False
        )

    def install(*names: str, constrained: bool = True) -> None:
        bounds = ("--constraint", constraints) if constrained else ()
        ended = run(python, "-m", "pip", "install", "--quiet", *bounds, *names)
        assert ended.returncode == 0, ended.stderr

    ended = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", ".", str(ROOT))
    assert ended.returncode == 0, ended.stderr
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", "venv")
    python = str(tmp_path / "venv" / "bin" / "python")
    install(str(wheel), "pytest", "anyio")
    project = tmp_path / "project"
    project.mkdir()
    test = project / "test_users.py"
    asyncio_fixture = "__import__('pytest_asyncio').fixture"
    for mark, fixture, suffix, wanted in (
        ("anyio", "pytest.fixture", "[asyncio]", ()),
        ("asyncio", asyncio_fixture, "", ("pytest-asyncio",)),
        ("asyncio", asyncio_fixture, "", ("pytest==8.2.0", "pytest-asyncio==0.24.0")),  # the lowest
    ):
        if wanted:
            install(*wanted, constrained="==" not in wanted[0])
        test.write_text(USES.format(mark=mark, fixture=fixture), encoding="utf-8")
        ended = run(python, "-m", "pytest", "-rA", folder=project)
        report = ended.stdout + ended.stderr
        print(report)
        assert "3 passed" in report, report
        assert f"FAILED test_users.py::test_that_repeats_a_nonce{suffix}" in report, report
        assert "1 failed" in report, report
    test.write_text(UNUSED, encoding="utf-8")
    for version in ("0.24.0", "0.23.8"):  # the last one has no loop scopes: only our fixtures need them
        install("pytest==8.2.0", f"pytest-asyncio=={version}", constrained=False)
        ended = run(python, "-m", "pytest", folder=project)
        assert "1 passed" in ended.stdout, ended.stdout
