"""What uploading an image costs: CPU, memory, and how long it holds the event loop.

`python -m benchmarks.uploads` sends images of 1 and 2 MB through this client, with bare aiohttp out of a
body that is already there (the least that sending can cost), and with the `json.dumps` of the whole body
that one would write by hand. Then 256 at once, and 1,000 through `bulk.upload_vouchers`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import functools
import io
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.child import in_child
from benchmarks.contenders import CREDENTIALS, Place
from benchmarks.measure import (
    MIB,
    Stopwatch,
    Ticker,
    current_rss,
    drive,
    drive_for,
    forget_peak,
    peak_rss,
    run,
)
from benchmarks.replies import HEADERS, REPLIES
from benchmarks.server import cores, serving
from pandapon_async import Client, ImageLimits, Settings, VendorProfile, bulk
from pandapon_async.images import Image
from pandapon_async.transport.image_body import ImageBody

__all__ = ["main"]

Upload = Callable[[], Awaitable[Any]]
AT_A_TIME = 8
PREPARED, OURS, OURS_BODY, JSON = (
    "prepared bytes",
    "pandapon-async",
    "pandapon-async, its body alone",
    "json.dumps",
)
BY_SIZE = {1: [PREPARED, OURS, OURS_BODY, JSON], 2: [PREPARED, OURS_BODY, JSON]}
"""Images of 2 MB go around the client: it refuses what is over the vendor's limit, here 1 MiB."""
LIMITS = VendorProfile(images=ImageLimits(largest_bytes=MIB))


def _picture(megabytes: int, number: int = 0) -> bytes:
    """As good as a JPEG to anyone who looks at its first bytes; each number is another one."""
    return b"\xff\xd8\xff" + number.to_bytes(8, "big") + bytes(megabytes * MIB - 11)


def _encoded(picture: bytes) -> bytes:
    return json.dumps({"imageBytesBase64Str": base64.b64encode(picture).decode()}).encode()


@functools.cache
def _prepared(file: Path) -> bytes:
    return _encoded(file.read_bytes())


@asynccontextmanager
async def uploader(how: str, url: str, file: Path, concurrency: int) -> AsyncIterator[Upload]:
    """A function that uploads the file once, in one of the ways."""
    place = Place(url, "upload", concurrency)
    if how == OURS:
        settings = Settings(base_url=url, rate=None, concurrency=concurrency, vendor=LIMITS)
        async with Client(CREDENTIALS, settings) as pandapon:
            yield lambda: pandapon.v2.alibaba.refunds.upload_voucher(image=file)
        return
    bodies: dict[str, Callable[[], Any]] = {
        PREPARED: lambda: io.BytesIO(_prepared(file)),
        JSON: lambda: io.BytesIO(_encoded(file.read_bytes())),
        OURS_BODY: lambda: ImageBody({"image": Image(file, file.stat().st_size, "jpeg")}),
    }
    async with place.session() as session:

        async def upload() -> bytes:
            target = url + REPLIES["upload"].path
            async with session.post(target, data=bodies[how](), headers=HEADERS) as response:
                return await response.read()

        yield upload


def one_by_one(how: str, url: str, file: str, seconds: float) -> dict[str, float]:
    """In a child: a few at a time for so many seconds."""

    async def work() -> dict[str, float]:
        async with uploader(how, url, Path(file), AT_A_TIME) as upload:
            await drive(upload, 2 * AT_A_TIME, AT_A_TIME)
            forget_peak()
            before = current_rss()
            with Stopwatch() as watch:
                count = await drive_for(upload, seconds, AT_A_TIME)
            return {"cpu": watch.cpu / count, "rate": count / watch.wall, "memory": peak_rss() - before}

    return run(work())


def all_at_once(how: str, url: str, file: str, count: int) -> dict[str, float]:
    """In a child: so many uploads begun in the same moment."""

    async def work() -> dict[str, float]:
        async with uploader(how, url, Path(file), count) as upload:
            await upload()
            forget_peak()
            before = current_rss()
            async with Ticker() as ticker:
                with Stopwatch() as watch:
                    await asyncio.gather(*(upload() for _ in range(count)))
            return {
                "cpu": watch.cpu / count,
                "wall": watch.wall,
                "memory": peak_rss() - before,
                "stall": ticker.worst,
            }

    return run(work())


def by_the_thousand(url: str, count: int, concurrency: int) -> dict[str, float]:
    """In a child: distinct images of 1 MB through `bulk.upload_vouchers`."""

    async def work() -> dict[str, float]:
        async with Client(
            CREDENTIALS, Settings(base_url=url, rate=None, concurrency=concurrency, vendor=LIMITS)
        ) as pandapon:
            await pandapon.v2.alibaba.refunds.upload_voucher(image=_picture(1))
            forget_peak()
            before, sent_before = current_rss(), await _received(url)
            failed = 0
            async with Ticker() as ticker:
                with Stopwatch() as watch:
                    async for result in bulk.upload_vouchers(
                        pandapon, range(1, count + 1), image=lambda n: _picture(1, n), concurrency=concurrency
                    ):
                        failed += isinstance(result, bulk.Failed)
            sent = await _received(url) - sent_before
        if failed:
            raise SystemExit(f"{failed} of {count} uploads failed")
        ideal = count * len(base64.b64encode(_picture(1)))
        return {
            "cpu": watch.cpu / count,
            "wall": watch.wall,
            "memory": peak_rss() - before,
            "stall": ticker.worst,
            "overhead": sent / ideal - 1,
        }

    return run(work())


async def _received(url: str) -> int:
    async with Place(url, "upload", 1).session() as session, session.get(f"{url}/received") as response:
        return int(await response.read())


def _sizes(url: str, directory: Path, rounds: int, seconds: float) -> str:
    rows = []
    for megabytes, ways in BY_SIZE.items():
        file = directory / f"{megabytes}.jpg"
        file.write_bytes(_picture(megabytes))
        runs: dict[str, list[dict[str, float]]] = {how: [] for how in ways}
        for _ in range(rounds):
            for how in ways:
                runs[how].append(
                    in_child("uploads", "one_by_one", how=how, url=url, file=str(file), seconds=seconds)
                )
        for how, results in runs.items():
            ratios = [one["cpu"] / base["cpu"] for one, base in zip(results, runs[PREPARED], strict=True)]
            rows.append(
                [
                    f"{megabytes} MB, {how}",
                    f"{1e3 * report.middle([one['cpu'] for one in results]):.2f}",
                    report.spread(ratios),
                    f"{report.middle([one['rate'] for one in results]):,.0f}",
                    f"{max(one['memory'] for one in results) / MIB:.0f}",
                ]
            )
    return report.table(
        ["image, how", "CPU ms an upload", "x CPU of prepared bytes", "uploads/s", "memory growth, MB"], rows
    )


def _crowd(url: str, directory: Path, rounds: int, count: int) -> str:
    file = directory / "crowd.jpg"
    file.write_bytes(_picture(1))
    ways = [PREPARED, OURS, JSON]
    runs: dict[str, list[dict[str, float]]] = {how: [] for how in ways}
    for _ in range(rounds):
        for how in ways:
            runs[how].append(
                in_child("uploads", "all_at_once", how=how, url=url, file=str(file), count=count)
            )
    rows = [
        [
            how,
            f"{report.middle([one['memory'] for one in results]) / MIB:.0f}",
            report.spread([1e3 * one["stall"] for one in results], ".0f"),
            f"{1e3 * report.middle([one['cpu'] for one in results]):.2f}",
        ]
        for how, results in runs.items()
    ]
    return report.table(["how", "memory growth, MB", "worst stall of the loop, ms", "CPU ms an upload"], rows)


def _bulk(url: str, count: int, concurrency: int) -> str:
    figures = in_child("uploads", "by_the_thousand", url=url, count=count, concurrency=concurrency)
    row = [
        f"bulk.upload_vouchers, {count:,} at concurrency {concurrency}",
        f"{figures['memory'] / MIB:.0f}",
        f"{100 * figures['overhead']:.3f} %",
        f"{1e3 * figures['cpu']:.2f}",
        f"{1e3 * figures['stall']:.0f}",
        f"{count / figures['wall']:,.0f}",
    ]
    head = ["what", "memory growth, MB", "bytes received over the base64 alone", "CPU ms an upload"]
    return report.table([*head, "worst stall, ms", "uploads/s"], [row])


def main() -> None:
    """Run the three parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="per way, size and round")
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--count", type=int, default=1_000, help="images through bulk.upload_vouchers")
    options = parser.parse_args()
    with serving(cores()[1]) as server, tempfile.TemporaryDirectory(prefix="pandapon-bench-") as name:
        directory = Path(name)
        sizes = _sizes(server.url, directory, options.rounds, options.seconds)
        crowd = _crowd(server.url, directory, options.rounds, options.at_once)
        thousand = _bulk(server.url, options.count, 32)
    report.write(
        "uploads",
        "uploads of images",
        f"## {AT_A_TIME} at a time, from files\n\n{sizes}",
        f"## {options.at_once} images of 1 MB at once\n\n{crowd}",
        f"## By the thousand, 1 MB each\n\n{thousand}",
    )


if __name__ == "__main__":
    main()
