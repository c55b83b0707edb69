"""What a page of the documentation is made of: its blocks, and the commands in them."""

from __future__ import annotations

import ast
import re
import shlex
import types
from collections.abc import Iterator
from pathlib import Path

import attrs

__all__ = [
    "HOW_TOS",
    "PAGES",
    "QUICKSTART",
    "README",
    "ROOT",
    "TUTORIAL",
    "Block",
    "blocks",
    "calls_of",
    "typed",
    "words_of",
]

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
HOW_TOS = sorted((ROOT / "docs" / "how-to").glob("*.md"))
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(
    r'^```(?P<language>[\w-]*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
_HERE = re.compile(r"<<-?\s*'?(\w+)'?")


@attrs.frozen
class Block:
    """A fenced block: what language, where, and the file that it is."""

    page: str
    language: str
    text: str
    line: int
    title: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    def code(self) -> types.CodeType:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        text = "\n" * self.line + self.text
        code: types.CodeType = compile(text, self.page, "exec", flags=flags, dont_inherit=True)
        return code


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text("utf-8")
    assert text.count("```") % 2 == 0, f"{page.name}: a fence is open"
    found = [
        Block(
            page=page.name,
            language=match["language"],
            text=match["text"],
            line=text.count("\n", 0, match.start("text")),
            title=match["title"] or "",
        )
        for match in _FENCE.finditer(text)
    ]
    assert len(found) * 2 == text.count("```"), f"{page.name}: a fence is written in another way"
    return found


def typed(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that are shown after it."""
    command: str | None = None
    shown: list[str] = []
    ends_with: str | None = None  # the last line of a here-document that is open
    for line in block.text.splitlines():
        if ends_with is not None:
            command = f"{command}\n{line}"
            ends_with = None if line == ends_with else ends_with
        elif command is not None and command.endswith("\\"):
            command = command[:-1] + line.strip()
        elif line.startswith("$ "):
            if command is not None:
                yield command, shown
            command, shown = line[2:], []
            here = _HERE.search(command)
            ends_with = here[1] if here else None
        else:
            shown.append(line)
    if command is not None:
        yield command, shown


def words_of(command: str) -> list[str]:
    """The words of the first line of a command."""
    lexer = shlex.shlex(command.partition("\n")[0], posix=True, punctuation_chars="|>&;")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    return list(lexer)


def calls_of(command: str) -> Iterator[list[str]]:
    """The `pandapon` calls in a line of shell, without redirections."""
    words = words_of(command)
    operators = [at for at, word in enumerate(words) if set(word) <= set("|>&;")]
    for index in (0, *(at + 1 for at in operators if ">" not in words[at])):
        if words[index : index + 1] in (["pandapon"], ["./pandapon"]):
            end = next((at for at in operators if at > index), len(words))
            if ">" in "".join(words[end : end + 1]) and words[end - 1] == "2":  # of "2>"
                end -= 1
            yield words[index + 1 : end]
