"""Every declared call carried out against the sandbox: by its typed method, and by `pandapon call`.

Both generations of a call have ids of their own here, since a write is refused a second time.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Client, Settings, VendorProfile
from pandapon_async.api.registry import endpoints, operations
from pandapon_async.declare.endpoint import Endpoint, Evidence, Operation, Stage
from pandapon_async.sandbox import Sandbox
from tests.support.command import Shell
from tests.support.real import as_words, carry_out, real_arguments

ALL = list(endpoints().values())
DOCUMENTED = [endpoint for endpoint in ALL if endpoint.evidence is not Evidence.INFERRED]
pytestmark = pytest.mark.filterwarnings("ignore:the vendor marks:DeprecationWarning")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(refunds=300) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    settings = Settings(base_url=sandbox.base_url, rate=None, vendor=VendorProfile(allow_inferred=True))
    async with Client(sandbox.credentials, settings) as client:
        yield client


def test_all_61_calls_with_a_path_are_here_and_28_that_are_inferred() -> None:
    assert (len(DOCUMENTED), len(ALL) - len(DOCUMENTED)) == (61, 28)


@pytest.mark.parametrize("endpoint", ALL, ids=lambda endpoint: endpoint.pin)
async def test_the_typed_method_works(endpoint: Endpoint, client: Client, sandbox: Sandbox) -> None:
    arguments = await real_arguments(endpoint, client, sandbox, 0)
    before = len(sandbox.log)
    await carry_out(client, endpoint, arguments)
    (request,) = list(sandbox.log)[before:]
    assert (request.endpoint, request.code) == (endpoint.name, 200)


@pytest.mark.parametrize("operation", operations().values(), ids=lambda operation: operation.name)
@pytest.mark.parametrize("allow_inferred", [False, True])
async def test_the_plain_name_works(
    operation: Operation, allow_inferred: bool, client: Client, sandbox: Sandbox
) -> None:
    """With the settings as they come; what the plain name means does not change by allowing more."""
    chosen = operation.ranked[0]
    arguments = await real_arguments(chosen, client, sandbox, 2)
    before = len(sandbox.log)
    group: Any = client.with_settings(allow_inferred=allow_inferred)
    *path, name = operation.name.split(".")
    for step in path:
        group = getattr(group, step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        await getattr(group, name)(**arguments)
    (request,) = list(sandbox.log)[before:]
    assert (request.endpoint, request.code) == (operation.name, 200)
    assert request.path.startswith("/v2/") is (chosen.generation == "v2")
    assert chosen.evidence is not Evidence.INFERRED


@pytest.mark.parametrize("operation", operations().values(), ids=lambda operation: operation.name)
async def test_the_command_takes_the_plain_name(
    operation: Operation,
    client: Client,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    shell = Shell(monkeypatch, capsys, tmp_path)
    shell.use(sandbox)
    words = as_words(await real_arguments(operation.ranked[0], client, sandbox, 3), tmp_path)
    ended = await shell.beside("call", operation.name, *words, "--yes", "--yes-this-moves-money")
    assert (ended.code, ended.out.count("\n")) == (0, 1), ended.err
    last = list(sandbox.log)[-1]
    assert last.endpoint == operation.name
    assert last.path.startswith("/v2/") is (operation.ranked[0].generation == "v2")


@pytest.mark.parametrize("endpoint", ALL, ids=lambda endpoint: endpoint.pin)
async def test_the_command_works(
    endpoint: Endpoint,
    client: Client,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    shell = Shell(monkeypatch, capsys, tmp_path)
    shell.use(sandbox)
    words = as_words(await real_arguments(endpoint, client, sandbox, 1), tmp_path)
    allowed = ["--allow-inferred"] if endpoint.evidence is Evidence.INFERRED else []
    ended = await shell.beside("call", endpoint.pin, *words, "--yes", "--yes-this-moves-money", *allowed)
    assert (ended.code, ended.out.count("\n")) == (0, 1), ended.err
    assert list(sandbox.log)[-1].endpoint == endpoint.name
    assert ("deprecated" in ended.err) == (endpoint.stage is Stage.DEPRECATED)
