"""The documentation is run: its Python, its commands, and what it says they print.

The tutorial runs from top to bottom against a sandbox. Of the other pages the Python blocks run, one page
after the other in a namespace of its own, and of the commands the names and options are parsed. A block that
cannot run is preceded by `<!-- not run: why -->`: its names are checked all the same.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import io
import logging
import re
import shlex
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import typer.main

import pandapon_async
from pandapon_async import (
    AdaptiveRate,
    CallbackReason,
    Client,
    Codes,
    Credentials,
    ImageLimits,
    ListFacts,
    Override,
    PandaponError,
    RetryPolicy,
    Safety,
    Settings,
    VendorProfile,
    callbacks,
    cli,
)
from pandapon_async.api.registry import endpoints
from pandapon_async.cli.callbacks import _configured
from pandapon_async.client import _SHARED
from pandapon_async.core.signing import signature
from pandapon_async.journal.intent import IntentState
from pandapon_async.plans import RowState
from pandapon_async.reconcile import Verdict
from pandapon_async.sandbox import FaultKind, Sandbox, parse_faults
from pandapon_async.sandbox.ledger import csv_chunks
from pandapon_async.settings.sources import OTHER_NAMES, environment_names
from tests.support.command import Ended, Shell
from tests.support.plan_files import returnable, write_images

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"
HOW_TOS = sorted((ROOT / "docs" / "how-to").glob("*.md"))
RUN = [ROOT / "README.md", *HOW_TOS]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHER_PROGRAMS = {
    "cd",
    "make",
    "mkdir",
    "pip",
    "python",
    "python3.11",
    "uvicorn",
    "crontab",
    "kill",
    "cp",
    ".",
}

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n+)?^```(?P<language>[\w-]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@attrs.frozen
class Block:
    """A fenced block: what language, where, and what the comment before it says."""

    page: str
    language: str
    text: str
    line: int
    mark: str

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run:")

    def code(self) -> types.CodeType:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        text = "\n" * self.line + self.text
        code: types.CodeType = compile(text, self.page, "exec", flags=flags, dont_inherit=True)
        return code


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    assert text.count("```") % 2 == 0, f"{page.name}: a fence is open"
    return [
        Block(
            page=page.name,
            language=found["language"],
            text=found["text"],
            line=text.count("\n", 0, found.start("text")),
            mark=found["mark"] or "",
        )
        for found in _FENCE.finditer(text)
    ]


def typed(block: Block) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that are shown after it."""
    command: str | None = None
    shown: list[str] = []
    for line in block.text.splitlines():
        if command is not None and command.endswith("\\"):
            command = command[:-1] + line.strip()
        elif line.startswith("$ "):
            if command is not None:
                yield command, shown
            command, shown = line[2:], []
        else:
            shown.append(line)
    if command is not None:
        yield command, shown


def words_of(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|>&;")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    return list(lexer)


def calls_of(command: str) -> Iterator[list[str]]:
    """The `pandapon` calls in a line of shell, without redirections."""
    words = words_of(command)
    for index, word in enumerate(words):
        if word == "pandapon":
            rest = words[index + 1 :]
            end = next((at for at, one in enumerate(rest) if re.fullmatch(r"[|>&;]+|2", one)), len(rest))
            yield rest[:end]


@functools.cache
def pandapon_command() -> Any:
    return typer.main.get_command(cli.app)


def parse(arguments: list[str]) -> Mapping[str, Any]:
    """The options of a command as it would read them; raises for what it would refuse."""
    command = pandapon_command()
    if arguments == ["--help"]:
        return {}
    while hasattr(command, "commands"):
        assert arguments, "no command is named"
        both = " ".join(arguments[:2])  # a command's name may be two words
        name, arguments = (both, arguments[2:]) if both in command.commands else (arguments[0], arguments[1:])
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    if "--help" in arguments:
        return {}
    # As below the root: a command remembers the names of its help from the first context that it is used in.
    names = ["-h", "--help"]
    made = command.make_context(command.name, list(arguments), help_option_names=names)
    with made as context:  # closed: options set variables
        parameters: Mapping[str, Any] = context.params
    return parameters


def printed(shown: list[str], output: str, where: str) -> None:
    """Every shown line was printed; "..." stands for anything."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r", "\n")
    lines = [" ".join(line.split()) for line in plain.splitlines()]
    for line in shown:
        wanted = " ".join(line.split())
        if wanted in ("", "..."):
            continue
        pattern = ".*".join(re.escape(part) for part in wanted.split("..."))
        assert any(re.fullmatch(pattern, one) for one in lines), f"{where}: not printed: {line}\n{plain}"


class Session:
    """One reader at work: a folder, a sandbox, a terminal, and a Python session that stays open."""

    def __init__(self, shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.shell = shell
        self.sandbox: Sandbox | None = None
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.last = 0
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("NO_COLOR", "1")

    async def python(self, block: Block) -> str:
        """Run a block as the top level of a session; gives what it printed."""
        self._capsys.readouterr()
        result = eval(block.code(), self.names)
        if inspect.iscoroutine(result):
            await result
        return self._capsys.readouterr().out

    async def command(self, line: str, shown: list[str], where: str) -> None:
        """Do what a line of shell does."""
        words = words_of(line)
        if words[0] == "pandapon":
            arguments = next(iter(calls_of(line)))
            if arguments[0] == "sandbox":
                await self.serve(parse(arguments), words)
                return
            ended = await self.on_terminal(arguments, any("[y/N]: y" in one for one in shown))
            self.last = ended.code
            said = ended.err.replace("[y/N]:", "[y/N]: y\n")  # what a terminal adds: the answer, as typed
            printed(shown, f"{said}\n{ended.out}", where)
        elif line == "echo $?":
            assert shown == [str(self.last)], f"{where}: the exit code is {self.last}"
        elif words[0] == "echo":
            target = Path(words[-1])
            target.write_text(f"{target.read_text('utf-8')}{words[1]}\n", encoding="utf-8")
        elif words[0] == "curl":
            await self.fetch(words[-1], Path(words[words.index("-o") + 1]))
        else:
            assert words[0] in OTHER_PROGRAMS, f"{where}: nobody tries out {line}"

    async def serve(self, options: Mapping[str, Any], words: list[str]) -> None:
        """`pandapon sandbox`: this one, with these options; a second one takes the place of the first."""
        port = 0
        if self.sandbox is not None:
            port = self.sandbox.port
            await self.sandbox.aclose()
        known = {name: options[name] for name in ("refunds", "seed", "rate", "log_limit")}
        self.sandbox = Sandbox(**known, faults=parse_faults(options["faults"]), port=port)
        await self.sandbox.start()
        if "tee" in words:
            credentials = self.sandbox.credentials
            Path(words[-1]).write_text(
                f"PANDAPON_BASE_URL={self.sandbox.base_url}\nPANDAPON_ACCESS_KEY={credentials.access_key}\n"
                f"PANDAPON_ACCESS_SECRET={credentials.access_secret}\nPANDAPON_USER_ID={credentials.user_id}\n",
                encoding="utf-8",
            )

    async def fetch(self, url: str, target: Path) -> None:
        assert self.sandbox is not None
        path = re.sub(r"^http://127\.0\.0\.1:8080", "", url)
        async with aiohttp.ClientSession() as session, session.get(self.sandbox.base_url + path) as answer:
            assert answer.status == 200
            target.write_bytes(await answer.read())

    async def on_terminal(self, arguments: list[str], agree: bool) -> Ended:
        """Run a command as on a terminal, where a person reads and answers."""
        tty = type("Terminal", (io.StringIO,), {"isatty": lambda _: True})
        self._monkeypatch.setattr(sys, "stdin", tty("y\n" if agree else ""))
        self._monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        return await self.shell.beside(*arguments)

    async def aclose(self) -> None:
        for value in self.names.values():
            if isinstance(value, Client):
                await value.aclose()
        if self.sandbox is not None:
            await self.sandbox.aclose()


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """What a page sets up for its reader must not speak in the tests that follow."""
    loggers = (logging.getLogger(), logging.getLogger("pandapon_async"))
    before = [(one, one.level, list(one.handlers)) for one in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Session:
    return Session(Shell(monkeypatch, capsys, tmp_path), monkeypatch, capsys)


@pytest.mark.may_block("from_env reads a .env file where it is called, and what a reader types reads files")
async def test_the_tutorial_is_as_it_says(session: Session) -> None:
    before = ""
    try:
        for block in blocks(TUTORIAL):
            where = f"tutorial.md:{block.line}"
            if block.language == "console":
                for line, shown in typed(block):
                    await session.command(line, shown, where)
            elif block.language == "python":
                assert block.runs
                before = await session.python(block)
            elif block.language == "text":
                printed(block.text.splitlines(), before, where)
            else:
                raise AssertionError(f"{where}: nobody tries out {block.language or 'this block'}")
    finally:
        await session.aclose()


@asynccontextmanager
async def prepared(
    page: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Sandbox, Client]]:
    """What a page takes for granted: an account (the sandbox's), a few files, a client, ids of refunds."""
    readme = page.name == "README.md"
    keys: dict[str, Any] = dict.fromkeys(("access_key", "access_secret", "user_id"), "...") if readme else {}
    lost = "reset_after:1:endpoint=*.return_goods:after=1:times=1" if readme else ""
    async with Sandbox(refunds=100, faults=lost, **keys) as sandbox:
        session.shell.use(sandbox)
        ids = returnable(sandbox, 4)
        write_images(session.shell.folder, 2)
        Path("proof-0.jpg").rename("proof.jpg")
        Path("photos").mkdir()
        Path("proof-1.jpg").rename("photos/proof-1.jpg")
        Path("ledger.csv").write_text("".join(csv_chunks(sandbox.seed, sandbox.refunds)), encoding="utf-8")
        rows = [f"{one},SF,SF{number}\n" for number, one in enumerate(ids[2:], 1)]
        Path("returns.csv").write_text("refund_id,logistics_company_no,freight_bill\n" + "".join(rows))
        async with Client.from_env() as client:
            if readme:
                towards = functools.partial(Settings, base_url=sandbox.base_url, journal=client.journal)
                monkeypatch.setattr(pandapon_async, "Settings", towards)
                for name in pandapon_async.__all__:  # its blocks do not repeat what the first one imports
                    session.names[name] = getattr(pandapon_async, name)
                session.names["Path"] = Path
            session.names |= {"pandapon": client, "sandbox": sandbox, "refund_ids": ids}
            yield sandbox, client


def with_things_that_exist(text: str, sandbox: Sandbox) -> str:
    """The README's ids are the vendor's own examples: here they become the sandbox's."""
    first, second = returnable(sandbox, 2)
    for there, here in (
        ("TQ201808300000001", first),
        ('"TQ1"', f'"{second}"'),
        ("110000235001", sandbox.find("taobao").refund_id),
        ("2542285634920880794", sandbox.refund(0).order_id),
        ("2542285634921880794", sandbox.refund(0).entry_ids[0]),
        ('"/alibaba/new/thing", json={"id": 1}', f'"/alibaba/refund/info", json={{"refundId": "{first}"}}'),
    ):
        text = text.replace(there, here)
    return text


@pytest.mark.may_block("from_env reads a .env file where it is called, and what a reader types reads files")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
async def test_the_python_of_a_page_runs(
    page: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        async with prepared(page, session, monkeypatch) as (sandbox, client):
            for block in blocks(page):
                if block.language == "python" and block.runs:
                    if page.name == "README.md":
                        block = attrs.evolve(block, text=with_things_that_exist(block.text, sandbox))
                        session.names["pandapon"] = client  # its first block closes one of its own
                    await session.python(block)
                elif block.language == "console" and block.mark == "run":
                    for line, shown in typed(block):
                        await session.command(line, shown, f"{page.name}:{block.line}")
    finally:
        await session.aclose()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_names_exist(page: Path) -> None:
    for block in blocks(page):
        if block.language in ("console", "sh"):
            commands = (
                [line for line, _ in typed(block)] if block.language == "console" else block.text.splitlines()
            )
            for line in commands:
                for arguments in calls_of(line) if "pandapon" in line else ():
                    parse(arguments)
            if block.language == "sh":
                subprocess.run(["sh", "-n"], input=block.text, text=True, check=True)
        elif block.language == "python":
            check_names(block)


def check_names(block: Block) -> None:
    """What a block imports of ours exists, and so do the calls and the keywords that it uses."""
    block.code()
    ours: dict[str, Any] = {name: getattr(pandapon_async, name) for name in pandapon_async.__all__}
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pandapon_async"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{module.__name__}.{alias.name}")
                ours[alias.asname or alias.name] = getattr(module, alias.name)
        elif isinstance(node, ast.Attribute):
            name = re.search(r"\bv[12]\.\w+\.\w+\.(?!pages)\w+$", ast.unparse(node))
            assert name is None or name[0] in endpoints(), (
                f"{block.page}: there is no call {name and name[0]}"
            )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ours:
            known = inspect.signature(ours[node.func.id]).parameters
            for keyword in node.keywords:
                assert keyword.arg in known, f"{block.page}: {node.func.id} takes no {keyword.arg}"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", page.read_text("utf-8")):
            if not target.startswith("https://"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


REFERENCE = ROOT / "docs" / "reference.md"


@functools.cache
def tables() -> dict[str, dict[str, dict[str, str]]]:
    """The rows of every section of the reference: by heading, by name, by column."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for section in re.split(r"^##+ ", REFERENCE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
        names = [row[0].strip("`") for row in lines[2:]]
        assert len(set(names)) == len(names), f"{title} names something twice"
        found[title] = {
            name: dict(zip(lines[0], row, strict=False)) for name, row in zip(names, lines[2:], strict=True)
        }
    return found


def _is_public(error: type[PandaponError]) -> bool:
    rooms = ("", ".journal", ".reconcile", ".plans", ".bulk", ".callbacks", ".sandbox", ".errors")
    return any(hasattr(importlib.import_module(f"pandapon_async{room}"), error.__name__) for room in rooms)


def all_errors(kind: type[PandaponError] = PandaponError) -> Iterator[type[PandaponError]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("pandapon_async") and _is_public(one):
            yield one
            yield from all_errors(one)


def all_commands(command: Any, name: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for one, inner in command.commands.items():
            yield from all_commands(inner, f"{name} {one}")
    else:
        yield name


def test_every_variable_that_is_spoken_of_exists() -> None:
    files = [*(ROOT / "pandapon_async").rglob("*.py"), *PAGES]
    said = {name for path in files for name in re.findall(r"PANDAPON_[A-Z_]*[A-Z]", path.read_text("utf-8"))}
    coming = {"PANDAPON_SHARED"}  # refused in a folder that somebody else made; nothing reads it so far
    known = environment_names(Settings).keys() | OTHER_NAMES.keys() | coming
    unknown = {name for name in said if name not in known and not name.startswith("PANDAPON_OVERRIDES__")}
    assert not unknown


NAMED: dict[str, Callable[[], Iterable[str]]] = {
    "Environment variables": lambda: OTHER_NAMES,
    "Errors": lambda: [one.__name__ for one in all_errors()],
    "Safety classes": lambda: Safety,
    "Commands": lambda: all_commands(pandapon_command(), "pandapon"),
    "Exit codes": lambda: [str(int(code)) for code in cli.ExitCode],
    "Verdicts": lambda: Verdict,
    "States of the journal": lambda: IntentState,
    "States of a row of a plan": lambda: RowState,
    "States of a stored message": lambda: callbacks.MessageState,
    "Reasons of refused callbacks": lambda: CallbackReason,
    "Faults of the sandbox": lambda: FaultKind,
}
CLASSES: tuple[Any, ...] = (
    Settings,
    VendorProfile,
    ImageLimits,
    ListFacts,
    RetryPolicy,
    AdaptiveRate,
    Codes,
    Override,
    Credentials,
    callbacks.CallbackSettings,
)


def unknowns() -> list[list[str]]:
    """The rows of the README's table of what is not known."""
    text = (ROOT / "README.md").read_text("utf-8").partition("## What is not known about the vendor")[2]
    table = text.partition("\n## ")[0].splitlines()
    return [line.strip("| ").split(" | ") for line in table if line.startswith("|")][2:]


def spelled(cell: str) -> str | None:
    """The code of a cell; None if it is a dash."""
    found = re.match(r"`(.+?)`", cell)
    return found[1] if found else None


@pytest.mark.parametrize("row", unknowns(), ids=lambda row: row[0][:40])
def test_what_is_not_known_is_said_the_same_way_everywhere(
    row: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Python, in the file and in the environment, each as the README spells it."""
    _, _, *cells = row
    python, toml, variable = map(spelled, cells)
    if python is None:
        assert (toml, variable) == (None, None)
        return
    said = eval(python, {**vars(pandapon_async), "CallbackSettings": callbacks.CallbackSettings})
    assert variable is not None
    name, _, value = variable.partition("=")
    if isinstance(said, callbacks.CallbackSettings):
        monkeypatch.setenv("PANDAPON_ACCESS_KEY", "k")
        monkeypatch.setenv("PANDAPON_ACCESS_SECRET", "s")
        monkeypatch.setenv(name, value)
        assert _configured(False)[1] == said
        return
    wanted = said if isinstance(said, Settings) else Settings(vendor=said)
    assert wanted != Settings(clock=wanted.clock), "it says nothing"
    monkeypatch.setenv(name, value)
    assert attrs.evolve(Settings.from_env(None), clock=wanted.clock) == wanted
    monkeypatch.delenv(name)
    assert toml is not None
    section, _, line = toml.partition(" ")
    (tmp_path / "named.toml").write_text(f"{section}\n{line}\n")
    monkeypatch.setenv("PANDAPON_CONFIG", str(tmp_path / "named.toml"))
    assert attrs.evolve(Settings.from_env(None), clock=wanted.clock) == wanted


def test_every_field_of_the_profile_stands_in_the_readme() -> None:
    said = " ".join(row[2] for row in unknowns())
    for field in attrs.fields(VendorProfile):
        assert f"VendorProfile({field.name}=" in said, field.name


@pytest.mark.parametrize("section", NAMED)
def test_the_reference_names_what_there_is(section: str) -> None:
    assert set(tables()[section]) == set(NAMED[section]())


def test_the_reference_has_every_verdict_in_its_place() -> None:
    assert list(tables()["Verdicts"]) == list(Verdict)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_reference_names_every_field_and_its_default(kind: Any) -> None:
    rows = tables()[kind.__name__]
    assert set(rows) == {field.name for field in attrs.fields(kind) if field.init}
    if kind is Credentials:
        return
    given = {**vars(pandapon_async), "signature": signature}
    for name, row in rows.items():
        said, real = eval(row["default"].strip("`"), given), getattr(kind(), name)
        assert said == real or (name == "clock" and type(said) is type(real)), f"{kind.__name__}.{name}"


def test_the_reference_tells_errors_as_they_are() -> None:
    for error in all_errors():
        row = tables()["Errors"][error.__name__]
        assert row["retryable"] == ("yes" if error.retryable else "no"), error
        assert row["kind of"].replace("`", "").split(", ") == [base.__name__ for base in error.__bases__]


def test_the_settings_that_copies_share_are_marked() -> None:
    marked = {name for name, row in tables()["Settings"].items() if "*Shared*" in row["meaning"]}
    assert marked == _SHARED


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "README.md" or f"]({name})" in index, f"docs/README.md does not name {name}"
        assert f": {name}\n" in site, f"mkdocs.yml does not name {name}"
