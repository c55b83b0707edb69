"""`pandapon vouchers upload`: files and folders, results that survive, nothing uploaded twice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.command import Ended, Shell


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "proofs"
    (folder / "deep").mkdir(parents=True)
    plan_files.write_images(folder, 3)
    (folder / "deep" / "SAME.JPG").write_bytes((folder / "proof-0.jpg").read_bytes())
    (folder / "notes.txt").write_text("no image")
    return folder


def lines(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def uploads(server: Sandbox) -> int:
    return sum(entry.endpoint == "alibaba.refunds.upload_voucher" for entry in server.log)


async def test_a_folder_is_uploaded_and_each_image_once(shell: Shell, images: Path) -> None:
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        ended = await shell.beside("vouchers", "upload", "proofs")
        assert (ended.code, uploads(server)) == (0, 3)
    assert [line["path"] for line in lines(ended)] == [
        "proofs/deep/SAME.JPG", "proofs/proof-0.jpg", "proofs/proof-1.jpg", "proofs/proof-2.jpg",
    ]  # fmt: skip
    assert sorted(line["reused"] for line in lines(ended)) == [False, False, False, True]
    assert lines(ended)[0]["url"] == lines(ended)[1]["url"]
    assert "3 uploaded, 1 the same as one uploaded before, 0 refused" in ended.err


async def test_a_later_run_adds_to_the_results_and_uploads_what_is_new(
    shell: Shell, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.jsonl"
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        first = await shell.beside("vouchers", "upload", "proofs", "--out", "results.jsonl")
        kept = out.read_bytes()
        (images / "new.png").write_bytes(b"\x89PNG\r\n\x1a\nnew")
        second = await shell.beside("vouchers", "upload", "proofs", "--out", "results.jsonl")
        assert (first.code, second.code, uploads(server)) == (0, 0, 4)
    assert out.read_bytes().startswith(kept)
    found = plan_files.results_of(out)
    assert len(found) == 5
    assert all(line["url"] for line in found)


async def test_a_line_that_a_crash_cut_short_is_closed_off(
    shell: Shell, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.jsonl"
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        await shell.beside("vouchers", "upload", "proofs", "--out", "results.jsonl")
        whole = out.read_bytes()
        out.write_bytes(whole[:-30])
        ended = await shell.beside("vouchers", "upload", "proofs", "--out", "results.jsonl")
        assert (ended.code, uploads(server)) == (0, 4)
    parts = out.read_bytes().splitlines()
    assert len(parts) == 5
    read = [json.loads(part) for number, part in enumerate(parts) if number != 3]
    assert len({line["path"] for line in read}) == 4


async def test_refused_images_are_in_the_results_too(shell: Shell, images: Path) -> None:
    (images / "broken.jpg").write_bytes(b"not an image")
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        ended = await shell.beside("vouchers", "upload", "proofs", "nowhere.jpg")
    assert ended.code == 1
    errors = {line["path"]: line["error"] for line in lines(ended) if "error" in line}
    assert set(errors) == {"proofs/broken.jpg", "nowhere.jpg"}
    assert "must be one of jpeg, png, gif, bmp" in errors["proofs/broken.jpg"]
    assert "4 were" not in ended.err
    assert "2 refused" in ended.err


def test_a_dry_run_looks_and_uploads_nothing(shell: Shell, images: Path) -> None:
    (images / "broken.jpg").write_bytes(b"not an image")
    ended = shell("vouchers", "upload", "proofs", "--dry-run")
    assert ended.code == 1
    assert [line.get("format") for line in lines(ended)] == [None, "jpeg", "jpeg", "jpeg", "jpeg"]


async def test_a_wrong_secret(shell: Shell, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        monkeypatch.setenv("PANDAPON_ACCESS_SECRET", "wrong")
        ended = await shell.beside("vouchers", "upload", "proofs", "--out", "results.jsonl")
    assert ended.code == 4
    assert "PANDAPON_ACCESS_SECRET" in ended.err


@pytest.mark.parametrize("content", ["mine\n", '{"refund_id":"TQ1"}\n', "[1]\n"])
def test_a_file_of_something_else_is_not_added_to(shell: Shell, images: Path, content: str) -> None:
    out = shell.folder / "results.jsonl"
    out.write_text(content)
    ended = shell("vouchers", "upload", "proofs", "--out", "results.jsonl")
    assert ended.code == 2
    assert "choose another --out" in ended.err
    assert out.read_text() == content


def test_no_images_at_all(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = shell("vouchers", "upload", "empty")
    assert (ended.code, "no images" in ended.err) == (2, True)


async def test_results_belong_to_one_process_at_a_time(shell: Shell, images: Path, tmp_path: Path) -> None:
    async with Sandbox(refunds=1, faults="latency:1.0:delay=0.5") as server:
        shell.use(server)
        process = await plan_files.start(
            server, "vouchers", "upload", images, "--out", tmp_path / "results.jsonl", folder=tmp_path
        )
        await plan_files.seen(server, 1, process)
        second = await shell.beside("vouchers", "upload", "proofs", "--out", "results.jsonl")
        assert second.code == 2
        assert "is being written by another process" in second.err
        assert (await plan_files.finish(process))[0] == 0


async def test_killed_in_the_middle_it_goes_on(shell: Shell, images: Path, tmp_path: Path) -> None:
    plan_files.write_images(images, 60)
    out = tmp_path / "results.jsonl"
    async with Sandbox(refunds=1, faults="latency:1.0:delay=0.02") as server:
        shell.use(server)
        command = ("vouchers", "upload", "proofs", "--out", out, "--concurrency", 4)
        process = await plan_files.start(server, *command, folder=tmp_path, fresh=True)
        await plan_files.seen(server, 25, process)
        process.kill()
        await plan_files.finish(process)
        before, kept = uploads(server), len(plan_files.results_of(out))
        assert 5 <= kept <= 25
        ended = await shell.beside("vouchers", "upload", "proofs", "--out", str(out))
        assert ended.code == 0
        assert uploads(server) - before <= 60 - kept + 1
    assert len({line["path"] for line in plan_files.results_of(out)}) == 61


async def test_what_a_folder_holds_besides_is_named(shell: Shell, images: Path) -> None:
    (images / "scan.jfif").write_bytes((images / "proof-1.jpg").read_bytes() + b"more")
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        ended = await shell.beside("vouchers", "upload", "proofs", "--out", "proofs/results.jsonl")
        assert (ended.code, uploads(server)) == (0, 4)
    passed_over = [line for line in ended.err.splitlines() if line.startswith("ignored: ")]
    assert passed_over == [
        "ignored: proofs/notes.txt (its name does not end in .jpg, .jpeg, .jfif, .jpe, .png, .gif, .bmp)"
    ]


async def test_each_file_is_ignored_for_its_own_reason(shell: Shell, images: Path) -> None:
    for name in ("._proof-0.jpg", ".trash/old.jpg", "deep/._x.JPG"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(b"\xff\xd8\xff")
    (images / "gone.jpg").symlink_to(images / "nowhere.jpg")
    (images / "linked").symlink_to(images / "deep")
    os.mkfifo(images / "pipe.jpg")
    (images / "notes.txt").unlink()
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        ended = await shell.beside("vouchers", "upload", "proofs")
        assert (ended.code, uploads(server)) == (0, 3)
        (images.parent / "empty").mkdir()
        nothing = await shell.beside("vouchers", "upload", "empty")
    assert [line for line in ended.err.splitlines() if line.startswith("ignored: ")] == [
        "ignored: proofs/._proof-0.jpg (it is hidden)",
        "ignored: proofs/.trash (it is hidden)",
        "ignored: proofs/deep/._x.JPG (it is hidden)",
        "ignored: proofs/gone.jpg (the file that it links to does not exist)",
        "ignored: proofs/linked (links to folders are not followed)",
        "ignored: proofs/pipe.jpg (it is not a file)",
    ]
    assert nothing.code == 2
    assert "no images in empty: name files, or folders with .jpg" in nothing.err
