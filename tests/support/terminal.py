"""The `pandapon` command on a terminal: a process of its own behind a pseudo terminal."""

from __future__ import annotations

import asyncio
import os
import pty
from collections.abc import Mapping
from pathlib import Path

from tests.support.clients import KEY, SECRET
from tests.support.warm import interpreter

__all__ = ["HOSTILE", "commands_in", "on_terminal"]

HOSTILE = (
    "\x1b]0;OWNED\x07\x1b]52;c;cm0gLXJmIH4=\x07\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\\x9b2J\u202egpj.exe"
)
"""Retitles the window, fills the clipboard, hides a link, clears the screen, writes backwards."""

_PROGRAM = "import sys; sys.argv[0] = 'pandapon'; from pandapon_async.cli import main; main()"


async def on_terminal(folder: Path, *arguments: str, url: str = "", **variables: str) -> tuple[int, bytes]:
    """Run a command to its end; gives its exit code and all that the terminal was sent."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("PANDAPON_")}
    given |= {"PANDAPON_ACCESS_KEY": KEY, "PANDAPON_ACCESS_SECRET": SECRET, "PANDAPON_USER_ID": "77001"}
    given |= {"PANDAPON_RATE": "none", "COLUMNS": "200", "TERM": "xterm-256color"}
    given |= {"PYTHONPATH": str(Path(__file__).parents[2]), **({"PANDAPON_BASE_URL": url} if url else {})}
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        interpreter(), "-c", _PROGRAM, *arguments, cwd=folder, env=given | variables,
        stdin=asyncio.subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = await asyncio.to_thread(_read_all, ours)
    return await process.wait(), shown


def _read_all(terminal: int) -> bytes:
    shown = b""
    try:
        while piece := os.read(terminal, 1 << 16):
            shown += piece
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(terminal)
    return shown


def commands_in(shown: bytes) -> Mapping[str, bool]:
    """Which of the hostile sequences a terminal would carry out."""
    sequences = {
        "title": b"\x1b]0;", "clipboard": b"\x1b]52;", "link": b"\x1b]8;", "8-bit control": "\x9b".encode(),
        "backwards": "\u202e".encode(), "bell": b"\x07",
    }  # fmt: skip
    return {name: True for name, sequence in sequences.items() if sequence in shown}
