"""The help of every command fits any terminal; what is typed wrongly is told in our words, with its code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pandapon_async import __version__, cli
from tests.support.command import Shell


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    command = command or typer.main.get_command(cli.app)
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = dict(commands())


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_fits_and_breaks_no_name(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...], width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    ended = shell(*path, "--help")
    assert ended.code == 0
    assert shell(*path, "-h").out == ended.out
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= width
    assert "<bool>" not in ended.out
    words = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", ended.out))
    for parameter in ALL[path].params:
        names = {name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("-")}
        assert names <= words


@pytest.mark.parametrize(
    "path", [path for path, one in ALL.items() if not hasattr(one, "commands")], ids=" ".join
)
def test_every_command_has_the_common_options(path: tuple[str, ...]) -> None:
    names = {name for parameter in ALL[path].params for name in (*parameter.opts, *parameter.secondary_opts)}
    common = {
        "--json",
        "--no-json",
        "-q",
        "--quiet",
        "-v",
        "--verbose",
        "--env-file",
        "--config",
        "--account",
    }
    assert common <= names


def test_version(shell: Shell) -> None:
    ended = shell("--version")
    assert (ended.code, ended.out) == (0, f"pandapon-async {__version__}\n")


MISTAKES: dict[str, tuple[str, ...]] = {
    "error: unknown command 'foo'\nsee `pandapon --help`\n": ("foo",),
    "error: the argument LEDGER is missing\nsee `pandapon reconcile --help`\n": ("reconcile",),
    "error: --rate 'abc' must be a number from 0.001\nsee `pandapon reconcile --help`\n": (
        "reconcile", "x", "--out", "y", "--rate", "abc",
    ),
    "error: --tolerance '-1' must be a whole number from 0\nsee `pandapon reconcile --help`\n": (
        "reconcile", "x", "--out", "y", "--tolerance=-1",
    ),
    "error: --platform 'ebay' must be one of 1688, taobao\nsee `pandapon reconcile --help`\n": (
        "reconcile", "x", "--out", "y", "--platform", "ebay",
    ),
    "error: --map: 'foo' has no '='; write FIELD=COLUMN\nsee `pandapon reconcile --help`\n": (
        "reconcile", "x", "--out", "y", "--map", "foo",
    ),
    "error: --env-file 'none' must be a file that can be read\nsee `pandapon journal list --help`\n": (
        "journal", "list", "--env-file", "none",
    ),
    "error: there is no group nope; known: addresses, callbacks, carts, freight, goods, marketing, "
    "orders, refunds\n": ("endpoints", "--group", "nope"),
    "error: there is no call alibaba.refund.gt; did you mean alibaba.refunds.get, alibaba.refunds.create or "
    "alibaba.refunds.reasons?\n": ("call", "alibaba.refund.gt"),
    "error: none/out.json cannot be used: No such file or directory\n": ("openapi", "--out", "none/out.json"),
    "error: the ledger x does not exist\n": ("reconcile", "x", "--out", "y"),
}  # fmt: skip


@pytest.mark.parametrize("message", MISTAKES)
def test_what_is_typed_wrongly_is_2_and_told_in_our_words(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    for name in ("ACCESS_KEY", "ACCESS_SECRET", "USER_ID"):
        monkeypatch.setenv(f"PANDAPON_{name}", "1")
    ended = shell(*MISTAKES[message])
    assert (ended.code, ended.err) == (2, message)


def test_a_command_of_another_name_is_suggested_or_not_but_2(shell: Shell) -> None:
    ended = shell("reconcil")
    assert ended.code == 2
    assert ended.err.startswith("error: unknown command 'reconcil'")


class _Unwritable:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, **_: Any) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 3, "stopped."),
        (typer.Abort(), 3, "stopped."),
        (
            PermissionError(13, "Permission denied", "/x/y"),
            2,
            "error: /x/y cannot be used: Permission denied",
        ),
        (OSError(5, "Input/output error"), 70, "error: unforeseen OSError in "),
        (RuntimeError("secret"), 70, "error: unforeseen RuntimeError in "),
    ],
)
def test_every_other_end_has_its_code(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    monkeypatch.setattr(cli, "app", _Unwritable(error))
    ended = shell("endpoints")
    assert ended.code == code
    assert ended.err.startswith(message)
    assert "secret" not in ended.err


def test_json_and_quiet_hold_in_every_command(shell: Shell) -> None:
    table = shell("endpoints", "--no-json", "--group", "refunds")
    lines = shell("endpoints", "--json", "--group", "refunds")
    assert lines.out.startswith('{"name"')
    assert not table.out.startswith("{")
    assert "━" in table.out
    loud = shell("call", "taobao.refunds.page", "--dry-run")
    assert loud.code == shell("call", "taobao.refunds.page", "--dry-run", "-q").code


def test_the_groups_and_calls_are_completed() -> None:
    from pandapon_async.cli.call import complete_name
    from pandapon_async.cli.endpoints import _groups

    assert _groups("re") == ["refunds"]
    assert any(name == "alibaba.refunds.get" for name, _ in complete_name("alibaba.refunds.g"))
