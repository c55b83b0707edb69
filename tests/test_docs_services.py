"""The pages on running it as a service: the web service answers, units and manifests are well-formed."""

from __future__ import annotations

import re
import shutil
import subprocess
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pandapon_async.sandbox import Sandbox
from tests.support.pages import HOW_TOS, blocks, calls_of
from tests.test_docs import parse

PAGES = {page.name: page for page in HOW_TOS}


@asynccontextmanager
async def service(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """The application of the page, started, and a client that talks to it."""
    keys = sandbox.credentials
    for name in ("access_key", "access_secret", "user_id"):
        monkeypatch.setenv(f"PANDAPON_{name.upper()}", getattr(keys, name))
    monkeypatch.setenv("PANDAPON_BASE_URL", sandbox.base_url)
    module = types.ModuleType("service")
    for block in blocks(PAGES["web-service.md"]):
        if block.title == "service.py":
            exec(block.code(), module.__dict__)
    app: Any = module.__dict__["app"]
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as browser,
    ):
        yield browser


@pytest.mark.may_block("from_env looks for files where it is called")
async def test_a_web_service_answers_with_json_and_statuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sandbox(refunds=20) as sandbox, service(sandbox, monkeypatch) as browser:
        (known, *_) = sandbox.refund_ids("1688")
        found = await browser.get(f"/refunds/{known}")
        missing = await browser.get("/refunds/TQ999999999999999999")
        wrong = await browser.get("/refunds/nonsense")
    assert (found.status_code, found.json()["refund_id"]) == (200, known)
    assert "seller_mobile" not in found.json()
    assert (missing.status_code, missing.json()["error"]) == (404, "NotFoundError")
    assert (wrong.status_code, wrong.json()["outcome"]) == (422, "not_sent")


@pytest.mark.may_block("from_env looks for files where it is called")
async def test_a_throttled_web_service_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = "throttle_429:1:retry_after=3600"
    async with Sandbox(refunds=20, faults=fault) as sandbox, service(sandbox, monkeypatch) as browser:
        answer = await browser.get(f"/refunds/{next(iter(sandbox.refund_ids('1688')))}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3601")


def of_language(language: str) -> list[str]:
    return [block.text for block in blocks(PAGES["schedule.md"]) if block.language == language]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd to ask")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in of_language("ini"):
        (tmp_path / unit.split("\n", 1)[0].rpartition("/")[2]).write_text(unit)
    ended = subprocess.run(
        ["systemd-analyze", "verify", *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_commands_of_units_and_manifests_exist() -> None:
    (manifest,) = [yaml.safe_load(text) for text in of_language("yaml")]
    job = manifest["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    started = re.findall(r"^ExecStart=.* (pandapon .*)$", "".join(of_language("ini")), re.MULTILINE)
    (unit,) = [arguments for line in started for arguments in calls_of(line)]
    assert container["command"] == ["pandapon", *unit]
    assert str(parse(unit)["out"]) == "report"
    codes = job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert 3 not in codes  # the one code after which it is to be run again
    assert {0, 1, 2, 3, 4, 70} - {0, 3} == set(codes)
