"""Uploads in bulk: checked from the bytes, each distinct image once, memory bounded by what is on its way."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import struct
import sys
import tracemalloc
import zlib
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import (
    AuthenticationError,
    Client,
    ConfigurationError,
    ImageLimits,
    InvalidArgumentError,
    RetryPolicy,
    Settings,
    VendorProfile,
    bulk,
)
from pandapon_async.bulk import Done, Failed, UploadedVoucher
from pandapon_async.bulk.compress import compress_image
from pandapon_async.bulk.vouchers import Uploader
from pandapon_async.models.alibaba.refunds import Voucher
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)

UPLOAD = "alibaba.refunds.upload_voucher"
LIMIT = 999_999
GIF, PNG, BMP = b"GIF89a" + bytes(20), b"\x89PNG\r\n\x1a\n" + bytes(20), b"BM" + bytes(20)


def client(server: Sandbox, **changes: Any) -> Client:
    return Client(server.credentials, Settings(base_url=server.base_url, rate=None, **changes))


def uploads(server: Sandbox) -> int:
    return sum(entry.endpoint == UPLOAD for entry in server.log)


async def results(
    server: Sandbox, images: list[Any], **more: Any
) -> list[Done[Any, UploadedVoucher] | Failed[Any]]:
    async with client(server) as pandapon:
        return [result async for result in bulk.upload_vouchers(pandapon, images, ordered=True, **more)]


async def write(path: Path, content: bytes) -> Path:
    await asyncio.to_thread(path.write_bytes, content)
    return path


async def test_paths_bytes_and_files_are_uploaded(tmp_path: Path) -> None:
    async with Sandbox(refunds=1) as server:
        path = await write(tmp_path / "a.gif", GIF)
        found = await results(server, [path, str(path), PNG, io.BytesIO(BMP), plan_files.JPEG + b"x"])
        assert [type(result) for result in found] == [Done] * 5
        vouchers = [result.value for result in found if isinstance(result, Done)]
        assert all(isinstance(voucher, Voucher) for voucher in vouchers)
        assert [voucher.digest for voucher in vouchers[2:4]] == [
            hashlib.sha256(content).hexdigest() for content in (PNG, BMP)
        ]
        assert all(voucher.url.startswith("https://") for voucher in vouchers)
        reused = [voucher.reused for voucher in vouchers]
        assert sorted(reused[:2]) == [False, True]  # whichever of the two was read first
        assert reused[2:] == [False, False, False]
        assert [result.attempts for result in found] == [0 if again else 1 for again in reused]
        assert uploads(server) == 4


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"no image", "must be one of jpeg, png, gif, bmp"),
        (b"", "image is empty"),
        (plan_files.JPEG + bytes(LIMIT), "must have at most 999999 bytes, but has 1000003"),
        ("nope.jpg", "image file that can be read"),
        (12, "must be bytes, a path or a binary file"),
    ],
)
async def test_what_the_vendor_would_refuse_is_not_sent(image: Any, message: str) -> None:
    async with Sandbox(refunds=1) as server:
        (failed, done) = await results(server, [image, PNG])
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, InvalidArgumentError)
        assert message in str(failed.error)
        assert isinstance(done, Done)
        assert uploads(server) == 1


async def test_the_limits_are_those_of_the_profile() -> None:
    async with Sandbox(refunds=1) as server:
        (noted,) = await results(server, [PNG])
        assert isinstance(noted, Done)
        assert noted.value.note == (
            "it is png; the upstream's page of the upload names only jpeg, another page names more"
        )
        limits = ImageLimits(formats=("png",), noted=(), largest_bytes=len(PNG))
        async with client(server, images=limits) as pandapon:
            ended = [
                one
                async for one in bulk.upload_vouchers(
                    pandapon, [PNG, PNG + b"x", plan_files.JPEG], ordered=True
                )
            ]
            with pytest.raises(InvalidArgumentError, match="must be one of png; by its first bytes"):
                pandapon.alibaba.refunds.upload_voucher(image=plan_files.JPEG)
        (taken, large, other) = ended
        assert isinstance(taken, Done)
        assert taken.value.note is None
        assert f"at most {len(PNG)} bytes, but has {len(PNG) + 1}" in str(getattr(large, "error", ""))
        assert "must be one of png; by its first bytes it is jpeg" in str(getattr(other, "error", ""))


async def test_the_sandbox_plays_the_limits_of_a_profile() -> None:
    strict = VendorProfile(images=ImageLimits(formats=("jpeg",), noted=(), largest_bytes=100))
    async with Sandbox(refunds=1, profile=strict) as server:
        png, large, taken = await results(server, [PNG, plan_files.JPEG + bytes(200), plan_files.JPEG])
    assert "code 400" in str(getattr(png, "error", ""))
    assert "code 400" in str(getattr(large, "error", ""))
    assert isinstance(taken, Done)


async def test_what_phones_and_browsers_save_is_named() -> None:
    photo, saved = b"\x00\x00\x00 ftypheic" + bytes(99), b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(99)
    async with Sandbox(refunds=1) as server:
        heic, webp = await results(server, [photo, saved])
    assert "it is heic, the format of iPhone photos; save it as JPEG first" in str(getattr(heic, "error", ""))
    assert "it is webp; compress=True (--compress)" in str(getattr(webp, "error", ""))
    assert uploads(server) == 0


async def test_identical_images_are_uploaded_once_also_at_the_same_time(tmp_path: Path) -> None:
    async with Sandbox(refunds=1, faults="latency:1.0:delay=0.05") as server:
        paths = [await write(tmp_path / f"{n}.jpg", plan_files.JPEG + bytes([n % 3])) for n in range(60)]
        found = await results(server, paths, concurrency=30)
        assert uploads(server) == 3
        assert sum(isinstance(result, Done) and result.value.reused for result in found) == 57
        assert len({result.value.url for result in found if isinstance(result, Done)}) == 3


async def test_one_that_failed_is_tried_again_by_the_next(tmp_path: Path) -> None:
    once = RetryPolicy(attempts=1)
    async with (
        Sandbox(refunds=1, faults="reset_before:1.0:times=1") as server,
        client(server, retry=once) as pandapon,
    ):
        run = bulk.upload_vouchers(pandapon, [PNG, PNG, PNG], concurrency=3)
        found = [isinstance(result, Done) async for result in run]
        assert found.count(True) == 2
        assert len(plan_files.effects_per_key(server, "voucher")) == 1


async def test_a_lost_answer_is_asked_for_again() -> None:
    async with Sandbox(refunds=1, faults="reset_after:1.0:times=2") as server:
        (result,) = await results(server, [PNG])
        assert isinstance(result, Done)
        assert result.attempts == 3


async def test_known_vouchers_are_carried_from_run_to_run() -> None:
    async with Sandbox(refunds=1) as server:
        known: dict[str, UploadedVoucher] = {}
        (first,) = await results(server, [PNG], known=known)
        (second,) = await results(server, [PNG], known=known)
        assert isinstance(first, Done)
        assert isinstance(second, Done)
        assert (second.value.url, second.value.reused) == (first.value.url, True)
        assert uploads(server) == 1


async def test_items_may_be_anything_that_leads_to_an_image() -> None:
    async with Sandbox(refunds=1) as server:
        found = await results(server, [{"proof": PNG}, {"proof": GIF}], image=lambda item: item["proof"])
        assert [isinstance(result, Done) for result in found] == [True, True]
        assert found[0].item == {"proof": PNG}


async def test_a_refused_key_stops_it(tmp_path: Path) -> None:
    async with Sandbox(refunds=1) as server:
        wrong = type(server.credentials)("sandbox-access-key", "wrong", "2100000000001")
        settings = Settings(base_url=server.base_url, rate=None)
        async with Client(wrong, settings) as pandapon:
            run = bulk.upload_vouchers(
                pandapon, [plan_files.JPEG + bytes([n]) for n in range(50)], concurrency=2
            )
            with pytest.raises(AuthenticationError):
                [result async for result in run]
        assert uploads(server) < 6


async def test_an_image_must_be_the_one_that_was_meant() -> None:
    async with Sandbox(refunds=1) as server, client(server) as pandapon:
        uploader = Uploader(pandapon)
        with pytest.raises(InvalidArgumentError, match="the image has changed"):
            await uploader.upload(PNG, digest="0" * 64)
        voucher = await uploader.upload(PNG, digest=hashlib.sha256(PNG).hexdigest())
        assert voucher.size == len(PNG)
        assert uploader._turns == {}


class TestShrinking:
    """Needs Pillow; without it the rest works all the same."""

    @pytest.fixture(autouse=True)
    def pillow(self) -> Any:
        return pytest.importorskip("PIL.Image")

    @staticmethod
    def photograph(side: int, kind: str = "JPEG", mode: str = "RGB", **more: Any) -> bytes:
        from PIL import Image

        picture = Image.effect_noise((side, side), 90).convert("RGB").convert(mode)
        out = io.BytesIO()
        picture.save(out, kind, **more)
        return out.getvalue()

    async def test_a_large_image_is_made_smaller_when_asked_for(self, tmp_path: Path) -> None:
        data = await asyncio.to_thread(self.photograph, 1400, quality=95)
        assert len(data) > LIMIT
        path = await write(tmp_path / "large.jpg", data)
        async with Sandbox(refunds=1) as server:
            (refused,) = await results(server, [path])
            assert isinstance(refused, Failed)
            (done,) = await results(server, [path], compress=True)
            assert isinstance(done, Done)
            assert done.value.shrunk
            assert done.value.size <= LIMIT
            assert done.value.digest == hashlib.sha256(data).hexdigest()

    async def test_webp_becomes_a_jpeg_and_the_format_is_looked_at_after_that(self) -> None:
        data = await asyncio.to_thread(self.photograph, 64, "WEBP")
        only_png = ImageLimits(formats=("png",), noted=())
        async with Sandbox(refunds=1) as server:
            (refused,) = await results(server, [data])
            assert isinstance(refused, Failed)
            assert "it is webp; compress=True (--compress) converts it to JPEG" in str(refused.error)
            (done,) = await results(server, [data], compress=True)
            assert isinstance(done, Done)
            assert (done.value.shrunk, done.value.note) == (True, None)
            async with client(server, images=only_png) as pandapon:
                (other,) = [one async for one in bulk.upload_vouchers(pandapon, [data], compress=True)]
            assert isinstance(other, Failed)
            assert "must be one of png; by its first bytes it is jpeg" in str(other.error)
        assert uploads(server) == 1

    async def test_a_small_image_is_sent_as_it_is(self) -> None:
        async with Sandbox(refunds=1) as server:
            (done,) = await results(server, [PNG], compress=True)
            assert isinstance(done, Done)
            assert (done.value.shrunk, done.value.size) == (False, len(PNG))

    @pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"), ("BMP", "RGB")])
    def test_every_kind_of_image_becomes_a_jpeg(self, kind: str, mode: str) -> None:
        small = compress_image(self.photograph(700, kind, mode), 200_000)
        assert small.startswith(b"\xff\xd8\xff")
        assert len(small) <= 200_000

    def test_where_a_picture_was_taken_is_left_out_and_it_stands_upright(self) -> None:
        from PIL import Image

        picture = Image.effect_noise((600, 300), 90).convert("RGB")
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        exif[0x8825] = {1: "N", 2: (31.0, 13.0, 0.0)}
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=98, exif=exif)
        small = Image.open(io.BytesIO(compress_image(out.getvalue(), 90_000)))
        assert dict(small.getexif()) == {}
        assert small.height > small.width

    def test_what_is_damaged_is_said_so(self) -> None:
        data = self.photograph(900)
        with pytest.raises(ValueError, match="damaged"):
            compress_image(data[: len(data) // 2], 1000)
        with pytest.raises(ValueError, match="small enough"):
            compress_image(data, 10)

    @pytest.mark.parametrize(
        ("width", "height"), [(10_000, 10_000), (30_000_001, 1), (60_000, 2_000), (21_000, 21_000)]
    )
    def test_too_many_pixels_are_refused_before_they_are_decoded(self, width: int, height: int) -> None:
        """100 million pixels of one colour are a file of 400 KB, and took 1.7 GB."""
        header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
        chunks = (b"IHDR" + header, b"IDAT" + zlib.compress(b""), b"IEND")
        pieces = [
            struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks
        ]
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match="pixels; at most 30,000,000 can be made smaller"):
                compress_image(PNG[:8] + b"".join(pieces), 1000)
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()

    def test_only_formats_that_the_vendor_takes_are_opened(self) -> None:
        from PIL import Image

        out = io.BytesIO()
        Image.new("RGB", (9, 9)).save(out, "TIFF")
        with pytest.raises(ValueError, match="damaged"):
            compress_image(out.getvalue(), 1000)


def test_without_pillow_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'pandapon-async\[images\]'"):
        compress_image(PNG, 10)


MEASURE = """
import asyncio, json, sys
from pathlib import Path
from pandapon_async import Client, Credentials, Settings, bulk

def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 1024

async def main(url, key, secret, user, folder, concurrency):
    async with Client(Credentials(key, secret, user), Settings(base_url=url, rate=None)) as client:
        warm = [Path(folder) / "warm.jpg"]
        _ = [one async for one in bulk.upload_vouchers(client, warm)]
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        idle = memory("VmRSS")
        images = sorted(Path(folder).glob("image-*.jpg"))
        done = 0
        async for result in bulk.upload_vouchers(client, images, concurrency=int(concurrency)):
            done += hasattr(result, "value")
        print(json.dumps({"done": done, "idle": idle, "over": memory("VmHWM") - idle}))

asyncio.run(main(*sys.argv[1:]))
"""


async def measured(folder: Path, count: int, concurrency: int) -> dict[str, float]:
    """Upload so many images of 1 MB in a process of its own; what it held, in MiB."""
    for number in range(count):
        path = await write(folder / f"image-{number}.jpg", plan_files.JPEG + number.to_bytes(4, "big"))
        await asyncio.to_thread(os.truncate, path, 990_000)
    await write(folder / "warm.jpg", plan_files.JPEG)
    async with Sandbox(refunds=1, log_limit=10) as server:
        credentials = server.credentials
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MEASURE, server.base_url, credentials.access_key),
            *(credentials.access_secret, credentials.user_id, str(folder), str(concurrency)),
            stdout=PIPE,
        )
        out, _ = await process.communicate()
    found: dict[str, float] = json.loads(out)
    return found


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="measured as Linux tells it")
async def test_memory_is_bounded_by_what_is_on_its_way(tmp_path: Path) -> None:
    found = await measured(tmp_path, 150, 32)
    assert found["done"] == 150
    assert found["over"] < 150


@pytest.mark.nightly
@pytest.mark.timeout(300)
async def test_memory_of_a_thousand_uploads(tmp_path: Path) -> None:
    found = await measured(tmp_path, 1_000, 32)
    print(found)
    assert found["done"] == 1_000
    assert found["over"] < 150
