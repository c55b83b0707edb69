"""A reader of the documentation at work: an empty folder, a shell on a terminal, and a Python session.

Shell blocks are typed into a bash behind a pseudo terminal, so that commands ask, draw and end as for a
person. Python blocks are typed line by line into one session, as into `python -m asyncio`. A block with a
title is saved as that file; a second one with the same title goes on with it. Ports become free ones; nothing
else is changed.
"""

from __future__ import annotations

import ast
import asyncio
import codeop
import contextlib
import fcntl
import inspect
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from pandapon_async import Client
from pandapon_async.sandbox import Sandbox
from tests.support.pages import ROOT, Block, typed
from tests.support.warm import interpreter

__all__ = ["ELSEWHERE", "Reader", "Terminal", "printed"]

ELSEWHERE = (
    "crontab ",
    "docker ",
    "kubectl ",
    "make ",
    "pip ",
    "python -m asyncio",
    "python3 -m venv",
    "systemctl ",
    ". ",
)
"""Commands that are not tried out: they install, belong to another system, or open a Python session."""

_PORT = re.compile(r"(?:(?<=127\.0\.0\.1:)|(?<=localhost:)|(?<=--port ))\d{4,5}\b")
_TOLD = re.compile(r">>? ?([\w./-]+) &$")
_PROMPT = re.compile(rb"\x1e(\d+);([^\x1e]*)\x1e")
_QUESTION = re.compile(rb"\[y/N\]: $")
_ANSWER = re.compile(r"\[y/N\]: (\w+)$")
_PATIENCE = 120.0
_SHELL = 'exec bash --noprofile --norc --noediting -i <"$0" >"$0" 2>&1'
"""The first terminal that a new session opens is its own: job control and questions work as for a person."""


class Terminal:
    """A bash on a pseudo terminal, a hundred columns wide."""

    def __init__(self, folder: Path):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
        settings = termios.tcgetattr(theirs)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        given = {name: value for name, value in os.environ.items() if not name.startswith("PANDAPON_")}
        given |= {
            "PS1": "\x1e$?;$PWD\x1e",
            "PS2": "",
            "TERM": "xterm-256color",
            "NO_COLOR": "1",
            "HISTFILE": "",
        }
        given |= {"HOME": str(folder), "PYTHONPATH": str(ROOT)}
        tools = (_commands(folder), Path(sys.executable).parent, os.environ["PATH"])
        given["PATH"] = os.pathsep.join(map(str, tools))
        self._bash = subprocess.Popen(
            ["sh", "-c", _SHELL, os.ttyname(theirs)], cwd=folder, env=given, start_new_session=True,
        )  # fmt: skip
        self._until_prompt()
        os.close(theirs)  # only now: what nobody has open is closed

    def run(self, command: str, answers: Sequence[str] = ()) -> tuple[int, str]:
        """Type a command and wait for its end; returns its exit code and what the terminal showed."""
        os.write(self._ours, f"{command}\n".encode())
        return self._until_prompt(answers)

    def close(self) -> None:
        """End the shell and what it left in the background."""
        self.run("{ kill $(jobs -p); wait; } 2>/dev/null")
        os.write(self._ours, b"exit\n")
        self._bash.wait(_PATIENCE)
        os.close(self._ours)

    def _until_prompt(self, answers: Sequence[str] = ()) -> tuple[int, str]:
        shown, waiting = b"", list(answers)
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            if not select.select([self._ours], [], [], 1.0)[0]:
                continue
            shown += os.read(self._ours, 1 << 16)
            prompt = _PROMPT.search(shown)
            if prompt is not None:
                self.folder = Path(os.fsdecode(prompt[2]))
                return int(prompt[1]), shown[: prompt.start()].decode("utf-8", "replace")
            if waiting and _QUESTION.search(shown):
                answer = f"{waiting.pop(0)}\n".encode()
                os.write(self._ours, answer)
                shown += answer  # what a terminal echoes
        raise AssertionError(f"no end within {_PATIENCE:.0f} s:\n{shown.decode('utf-8', 'replace')}")


class Reader:
    """Does what a page says, from its first block to its last."""

    def __init__(self, printed_since: Callable[[], str], exchanged: Mapping[str, str] | None = None):
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self._terminal: Terminal | None = None
        self._printed_since = printed_since
        self._exchanged = exchanged or {}
        self._ports: dict[str, str] = {}
        self._files: set[str] = set()
        self._before = ""
        self._code = 0

    async def read(self, block: Block) -> None:
        """Do what a block says, and compare what it shows."""
        text = _PORT.sub(lambda port: self._free_port(port[0]), block.text)
        for said, here in self._exchanged.items():
            text = text.replace(said, here)
        block = attrs.evolve(block, text=text)
        if block.title:
            file = Path(block.title)
            file.parent.mkdir(parents=True, exist_ok=True)
            before = file.read_text("utf-8") if block.title in self._files else ""
            self._files.add(block.title)
            file.write_text(before + block.text, encoding="utf-8")
            if block.text.startswith("#!"):
                file.chmod(0o755)
        elif block.language == "console":
            for command, shown in typed(block):
                await self._type(command, shown, block.where)
        elif block.language == "python":
            await self._python(block)
        elif block.language == "text":
            printed(block.text.splitlines(), self._before, block.where)
        else:
            raise AssertionError(f"{block.where}: nobody tries out {block.language or 'this block'}")

    async def aclose(self) -> None:
        """Close the clients of the Python session, and the shell with its sandbox."""
        for value in self.names.values():
            if isinstance(value, Client | Sandbox):
                await value.aclose()
        if self._terminal is not None:
            await asyncio.to_thread(self._terminal.close)

    async def _python(self, block: Block) -> None:
        """Type it line by line, as into `python -m asyncio`: a blank line ends what is indented."""
        self._printed_since()
        compiled = codeop.CommandCompiler()
        compiled.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        begun: list[str] = []
        for line in [*block.text.splitlines(), ""]:
            begun.append(line)
            code = compiled("\n".join(begun), block.where, "single")
            if code is not None:
                begun.clear()
                result = eval(code, self.names)
                if inspect.iscoroutine(result):
                    await result
        assert not "".join(begun).strip(), f"{block.where}: unfinished: {begun}"
        self._before = self._printed_since()

    async def _type(self, command: str, shown: list[str], where: str) -> None:
        if command == "echo $?":
            assert shown == [str(self._code)], f"{where}: the exit code is {self._code}"
        elif not command.startswith(ELSEWHERE):
            if self._terminal is None:
                self._terminal = await asyncio.to_thread(Terminal, Path.cwd())
            answers = [answer[1] for line in shown if (answer := _ANSWER.search(line))]
            told = _TOLD.search(command)
            file = Path(told[1]) if told else None
            size = file.stat().st_size if file and file.exists() and ">>" in command else 0
            self._code, out = await asyncio.to_thread(self._terminal.run, command, answers)
            os.chdir(self._terminal.folder)
            printed(shown, out, where)
            if command.endswith("&"):
                await self._serves(command)
                await self._grows(file, size)
            elif not shown:
                assert self._code == 0, f"{where}: {command} ended with {self._code}:\n{out}"

    async def _serves(self, command: str) -> None:
        """Wait until what was started in the background listens: a reader sees its prompt by then."""
        port = _PORT.search(command)
        assert port is not None, f"say --port N in {command}"
        for _ in range(1200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", int(port[0]))
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{command} does not listen")

    async def _grows(self, file: Path | None, size: int) -> None:
        """Wait until it has written into its file what the next line of the page reads there."""
        for _ in range(1200):
            if file is None or file.stat().st_size > size:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"nothing was written into {file}")

    def _free_port(self, said: str) -> str:
        if said not in self._ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[said] = str(free.getsockname()[1])
        return self._ports[said]


def _commands(folder: Path) -> Path:
    """A folder with a `pandapon` that is this one, also where the environment is empty."""
    bin_folder = folder.with_name(f"{folder.name}-bin")
    bin_folder.mkdir()
    command = bin_folder / "pandapon"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {interpreter()} -m pandapon_async "$@"\n')
    command.chmod(0o755)
    return bin_folder


def printed(shown: Sequence[str], output: str, where: str) -> None:
    """Every shown line was printed, in this order; "..." stands for anything."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r", "\n")
    lines = iter([" ".join(line.split()) for line in plain.splitlines()])
    for line in shown:
        wanted = " ".join(line.split())
        if wanted in ("", "..."):
            continue
        pattern = ".*".join(re.escape(part) for part in wanted.split("..."))
        assert any(re.fullmatch(pattern, one) for one in lines), f"{where}: not printed here: {line}\n{plain}"
