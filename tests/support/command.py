"""The `pandapon` command in this process: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async import cli
from pandapon_async.sandbox import Sandbox

__all__ = ["Ended", "Shell"]


@attrs.define(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Shell:
    """Runs commands in an empty folder, with a sandbox's credentials in the environment if there is one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path):
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name in [name for name in os.environ if name.startswith("PANDAPON_")]:
            monkeypatch.delenv(name)
        monkeypatch.chdir(folder)
        self.folder = folder

    def use(self, sandbox: Sandbox) -> None:
        """Call this sandbox from now on."""
        given: dict[str, Any] = {
            "ACCESS_KEY": sandbox.credentials.access_key,
            "ACCESS_SECRET": sandbox.credentials.access_secret,
            "USER_ID": sandbox.credentials.user_id,
            "BASE_URL": sandbox.base_url,
            "RATE": "none",
        }
        for name, value in given.items():
            self._monkeypatch.setenv(f"PANDAPON_{name}", value)

    def __call__(self, *arguments: str) -> Ended:
        """Run a command to its end."""
        self._monkeypatch.setattr(sys, "argv", ["pandapon", *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            contextvars.copy_context().run(cli.main)  # as a process of its own would leave nothing behind
        out, err = self._capsys.readouterr()
        return Ended(int(end.value.code or 0), out, err)

    async def beside(self, *arguments: str) -> Ended:
        """The same while a server runs in this event loop."""
        return await asyncio.to_thread(self, *arguments)
