"""`pandapon vouchers upload`: upload proof images in bulk, each distinct one once over all runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import attrs
import orjson
import typer

from pandapon_async.cli.exit_codes import CHECK_ACCESS
from pandapon_async.cli.output import progress as console_progress
from pandapon_async.cli.plan_options import BaseUrl, Concurrency, DryRun, GroupReadable, Rate, given
from pandapon_async.errors import AuthenticationError, ConfigurationError, PandaponError
from pandapon_async.storage.files import Mark, append_to, mode_of, only_writer

if TYPE_CHECKING:
    from pandapon_async.bulk import Done, Failed, UploadedVoucher
    from pandapon_async.settings import ImageLimits

__all__ = ["vouchers_app"]

vouchers_app: Final = typer.Typer(help="Upload proof images.", pretty_exceptions_enable=False)

MARK = Mark('{"path":', "`pandapon vouchers upload`")
ENDINGS = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".gif", ".bmp")
OTHER_ENDINGS = (".webp", ".heic", ".heif", ".avif")
"""Endings of images that are refused by name or converted, not ignored."""


@vouchers_app.callback()
def _group() -> None:
    """Upload proof images."""


@vouchers_app.command()
def upload(
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of images.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Results, one line of JSON per image; a later run appends and skips images that it has."
        ),
    ] = None,
    compress: Annotated[
        bool,
        typer.Option(
            "--compress",
            "--shrink",
            help="Convert images that are too large, or WebP, to a smaller JPEG (needs Pillow).",
        ),
    ] = False,
    group_readable: GroupReadable = False,
    dry_run: DryRun = False,
    rate: Rate = None,
    concurrency: Concurrency = None,
    base_url: BaseUrl = None,
) -> None:
    """Upload images and print their urls; identical ones are uploaded once.

    Other files in a folder are ignored and listed on stderr.

    Exit codes: 0 all uploaded, 1 some were refused, 2 usage, 3 interrupted, 4 authentication.
    """
    images = list(_images(paths, out))
    if not images:
        where = ", ".join(map(str, paths))
        raise ConfigurationError(f"no images in {where}: name files, or folders with {', '.join(ENDINGS)}")
    settings = given(rate=rate, concurrency=concurrency, base_url=base_url)
    if dry_run:
        from pandapon_async.settings import Settings

        raise typer.Exit(_check(images, Settings.from_env(**settings).vendor.images, compress))
    with _Results.opened(out, group_readable) as results:
        raise typer.Exit(_run(images, results, compress, concurrency or 16, settings))


def _images(paths: Iterable[Path], out: Path | None) -> Iterator[Path]:
    """Return the named images and those in named folders, in order; list ignored files."""
    own = {out, out.with_name(f"{out.name}.lock")} if out is not None else set()
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for found, why in sorted(_inside(path).items()):
            if why is None:
                yield found
            elif found not in own:
                _say(f"ignored: {found} ({why})")


def _inside(folder: Path) -> dict[Path, str | None]:
    """Return the files below a folder, each with the reason why it is ignored, None for an image."""
    found: dict[Path, str | None] = {}

    def unreadable(error: OSError) -> None:
        found[Path(os.fsdecode(error.filename))] = "the folder cannot be read"

    for root, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(root)
        for name in names:
            found[here / name] = _why_ignored(here / name)
        for name in [*folders]:
            if (here / name).is_symlink():
                found[here / name] = "links to folders are not followed"
            elif name.startswith("."):
                found[here / name] = "it is hidden"
                folders.remove(name)
    return found


def _why_ignored(path: Path) -> str | None:
    if path.suffix.lower() not in ENDINGS + OTHER_ENDINGS:
        return f"its name does not end in {', '.join(ENDINGS)}"
    if path.name.startswith("."):  # macOS keeps one beside each image on a disk of another system
        return "it is hidden"
    if not path.exists():
        return "the file that it links to does not exist"
    return None if path.is_file() else "it is not a file"


def _check(images: Iterable[Path], limits: ImageLimits, compress: bool) -> int:
    """Report which images would be accepted; uploads nothing."""
    from pandapon_async.bulk.vouchers import before_compression, note_of, picture_rule

    rule, wrong = picture_rule(limits), 0
    if compress:
        rule = before_compression(rule)
    for path in images:
        try:
            image = rule.open(path)
            facts = {"path": str(path), "size": image.size, "format": image.format}
            _write({**facts, "note": note_of(image.format, limits)})
        except (ValueError, OSError) as error:
            wrong += 1
            _write({"path": str(path), "error": f"image {error}"})
    return 1 if wrong else 0


@attrs.define(eq=False)
class _Results:
    """The results file, or stdout.

    Each line is one write at the end of the file, so another process never splits it. A line that a crash cut
    short is closed and not read.
    """

    path: Path | None
    file: int | None = None
    known: dict[str, UploadedVoucher] = attrs.field(factory=dict)
    there: set[tuple[str, str]] = attrs.field(factory=set)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path | None, group_readable: bool) -> Iterator[_Results]:
        """Open the results at `path`, with those of earlier runs."""
        if path is None:
            yield cls(None)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(path):
            MARK.check(path)
            results = cls(path)
            torn = results._read()
            with append_to(path, mode=mode_of(group_readable)) as results.file:
                if torn:
                    os.write(results.file, b"\n")
                yield results

    def _read(self) -> bool:
        """Read earlier uploads; return whether the last line is incomplete. Refuses a foreign file."""
        assert self.path is not None
        if not self.path.exists():
            return False
        torn = False
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                torn = not line.endswith(b"\n")
                with contextlib.suppress(orjson.JSONDecodeError):
                    self._learn(orjson.loads(line))
                    continue
                if number == 0 and not torn:
                    raise ConfigurationError(
                        f"{self.path} is not a results file of uploads; choose another --out"
                    )
        return torn

    def _learn(self, facts: Any) -> None:
        if not isinstance(facts, dict) or "path" not in facts:
            raise ConfigurationError(f"{self.path} is not a results file of uploads; choose another --out")
        if facts.get("url") and facts.get("digest"):
            from pandapon_async.bulk import UploadedVoucher

            self.there.add((facts["path"], facts["digest"]))
            self.known[facts["digest"]] = UploadedVoucher(
                image_domain=facts["image_domain"],
                image_relative_url=facts["image_relative_url"],
                digest=facts["digest"],
                size=facts["size"],
            )

    def add(self, facts: dict[str, Any]) -> None:
        """Write one line, unless an earlier run wrote it."""
        if self.file is None:
            _write(facts)
        elif (facts["path"], facts.get("digest")) not in self.there:
            os.write(self.file, orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE))


def _run(
    images: list[Path], results: _Results, compress: bool, concurrency: int, settings: dict[str, Any]
) -> int:
    go_on = "Run the same command again: it skips what is uploaded." if results.path else ""
    try:
        uploaded, reused, failed = asyncio.run(_upload(images, results, compress, concurrency, settings))
    except AuthenticationError as error:
        _say(f"error: {error}\n{CHECK_ACCESS}\n{go_on}")
        return 4
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say(f"stopped. {go_on}")
        return 3
    except OSError as error:
        _say(f"error: {error}. {go_on}")
        return 3
    _say(f"{uploaded:,} uploaded, {reused:,} the same as one uploaded before, {failed:,} refused")
    return 1 if failed else 0


async def _upload(
    images: list[Path], results: _Results, compress: bool, concurrency: int, settings: dict[str, Any]
) -> tuple[int, int, int]:
    from pandapon_async import bulk
    from pandapon_async.client import Client

    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows; not the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    uploaded = reused = failed = 0
    progress = console_progress()
    async with Client.from_env(**settings) as client:
        progress.begin("uploading", len(images), 0, client.statistics)
        vouchers = bulk.upload_vouchers(
            client,
            images,
            compress=compress,
            known=results.known,
            concurrency=concurrency,
            ordered=True,
        )
        try:
            async with contextlib.aclosing(vouchers):
                async for result in vouchers:
                    uploaded += isinstance(result, bulk.Done) and not result.value.reused
                    reused += isinstance(result, bulk.Done) and result.value.reused
                    failed += isinstance(result, bulk.Failed)
                    await asyncio.to_thread(results.add, _line(result))
                    progress.advance(failed=isinstance(result, bulk.Failed))
        finally:
            progress.end()
    return uploaded, reused, failed


def _line(result: Done[Path, UploadedVoucher] | Failed[Path]) -> dict[str, Any]:
    from pandapon_async.bulk import Failed

    if isinstance(result, Failed):
        error = result.error
        kind = type(error).__name__
        said = str(error) if isinstance(error, PandaponError) else kind
        return {"path": str(result.item), "error": said, "kind": kind, "request_id": result.request_id}
    voucher = result.value
    return {
        "path": str(result.item),
        "digest": voucher.digest,
        "size": voucher.size,
        "url": voucher.url,
        "image_domain": voucher.image_domain,
        "image_relative_url": voucher.image_relative_url,
        "reused": voucher.reused,
        "shrunk": voucher.shrunk,
        "note": voucher.note,
        "request_id": result.request_id,
    }


def _write(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
