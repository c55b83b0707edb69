"""Files are written whole, for their owner, through no link, and never over somebody else's."""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.errors import ConfigurationError
from pandapon_async.openapi import document
from pandapon_async.storage.files import (
    EVERYBODY,
    Mark,
    append_to,
    clear_drafts,
    mode_of,
    only_writer,
    whole_file,
)
from tests.support.command import Shell

MARK = Mark("made by us", "us")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write(path: Path, text: str, **more: Any) -> None:
    with whole_file(path, MARK, **more) as file:
        file.write(text)


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write(path, "made by us: old\r\n店")

    def torn() -> None:
        with whole_file(path, MARK) as file:
            file.write("made by us: half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        torn()
    assert path.read_bytes() == "made by us: old\r\n店".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_who_may_read_depends_on_no_umask(tmp_path: Path, umask: int) -> None:
    path, added = tmp_path / "a.txt", tmp_path / "b.txt"
    before = os.umask(umask)
    try:
        for group_readable, expected in ((False, 0o600), (True, 0o640), (False, 0o600)):
            write(path, "made by us", mode=mode_of(group_readable))
            with append_to(added, mode=mode_of(group_readable)):
                pass
            assert (mode(path), mode(added)) == (expected, expected)
        write(path, "made by us", mode=EVERYBODY)
        assert mode(path) == 0o644
    finally:
        os.umask(before)


def test_a_file_is_its_owners_while_it_is_written(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with whole_file(tmp_path / "a.txt", MARK) as file:
            file.write("12.50")
            assert [mode(path) for path in tmp_path.iterdir()] == [0o600]
    finally:
        os.umask(before)


def test_only_what_carries_the_mark_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write(path, "made by us: first")
    write(path, "made by us: second")
    assert path.read_text() == "made by us: second"
    for content in ("precious", "x" * 1024 + "made by us"):
        path.write_text(content)
        with pytest.raises(ConfigurationError, match=r"a\.txt was not written by us; choose another --out"):
            write(path, "made by us")
        assert path.read_text() == content
    path.write_text("")
    write(path, "made by us")


def test_a_file_that_comes_to_be_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def overtaken() -> None:
        with whole_file(path, MARK) as file:
            file.write("made by us")
            path.write_text("precious")

    with pytest.raises(ConfigurationError, match="was not written by us"):
        overtaken()
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_no_link_is_followed(tmp_path: Path, target: str) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "out"
    victim.write_text("made by us: precious")
    folder.mkdir()
    path = folder / "a.txt"
    path.symlink_to(tmp_path / target)
    with pytest.raises(ConfigurationError, match=r"a\.txt is a link; remove it"):
        write(path, "made by us")
    with pytest.raises(ConfigurationError, match=r"a\.txt is a link; remove it"), append_to(path):
        raise AssertionError("opened")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out", "victim"]
    assert victim.read_text() == "made by us: precious"


def test_a_link_under_the_name_of_the_draft_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name cannot be guessed; if it were, the draft still must not exist."""
    victim, path = tmp_path / "victim", tmp_path / "a.txt"
    victim.write_text("precious")
    monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * 2 * count)
    (tmp_path / ".a.txt.0000000000000000.partial").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write(path, "made by us")
    assert victim.read_text() == "precious"


def test_the_name_of_a_draft_is_never_the_same(tmp_path: Path) -> None:
    names = set()
    for _ in range(20):
        with whole_file(tmp_path / "a.txt", MARK) as file:
            names |= {one.name for one in tmp_path.iterdir() if one.suffix == ".partial"}
            file.write("made by us")
    assert len(names) == 20


def test_folders_and_devices_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(ConfigurationError, match="is not a file"):
            write(tmp_path / name, "made by us")


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "results.jsonl"):
        with (
            only_writer(path),
            pytest.raises(ConfigurationError, match="is being written by another process"),
            only_writer(path),
        ):
            raise AssertionError("two writers")
        with only_writer(path):
            pass


def test_the_lock_follows_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".pandapon.lock").symlink_to(victim)
    with pytest.raises(ConfigurationError, match="is a link"), only_writer(tmp_path):
        raise AssertionError("locked")
    assert victim.read_text() == "precious"


def test_what_a_killed_run_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".rows.csv.0123456789abcdef.partial").write_text("half")
    others = [tmp_path / name for name in (".mine.partial", "rows.csv.0123456789abcdef.partial", "a.txt")]
    for other in others:
        other.write_text("precious")
    clear_drafts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def test_the_openapi_document_replaces_only_itself(shell: Shell) -> None:
    for notation in ("json", "yaml"):
        path = shell.folder / f"api.{notation}"
        for _ in range(2):
            assert shell("openapi", "--format", notation, "--out", path.name).code == 0
        path.write_text('{"openapi": "3.1.0", "info": {"title": "mine"}}')
        ended = shell("openapi", "--format", notation, "--out", path.name)
        assert ended.code == 2
        assert "was not written by `pandapon openapi`; choose another --out" in ended.err
        assert "mine" in path.read_text()
    assert shell("openapi", "--out", "api2.json").code == 0
    assert json.loads((shell.folder / "api2.json").read_text()) == document()


def test_vouchers_add_to_no_link(shell: Shell) -> None:
    victim = shell.folder / "victim.jsonl"
    victim.write_text('{"path":"a.jpg"}\n')
    (shell.folder / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (shell.folder / "results.jsonl").symlink_to(victim)
    ended = shell("vouchers", "upload", "a.jpg", "--out", "results.jsonl")
    assert ended.code == 2
    assert "results.jsonl is a link" in ended.err
    assert victim.read_text() == '{"path":"a.jpg"}\n'
