"""Images: known by their first bytes, opened late, refused with what would be right."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.declare.fields import ImageField
from pandapon_async.images import Image, image_format

JPEG = b"\xff\xd8\xff\xe0" + b"j" * 60
PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 60
GIF = b"GIF89a" + b"g" * 60
BMP = b"BM" + b"b" * 60
FORMATS = {"jpeg": JPEG, "png": PNG, "gif": GIF, "bmp": BMP}


def opened(source: Any, maximum_bytes: int = 100, formats: tuple[str, ...] = tuple(FORMATS)) -> Image:
    return Image.open(source, maximum_bytes=maximum_bytes, formats=formats)


@pytest.mark.parametrize("name", FORMATS)
def test_every_way_to_give_an_image_gives_the_same_image(name: str, tmp_path: Path) -> None:
    data = FORMATS[name]
    path = tmp_path / "no-suffix-is-needed"
    path.write_bytes(data)
    with path.open("rb") as buffered, path.open("rb", buffering=0) as raw:
        files = [io.BytesIO(data), buffered, raw]
        sources = [data, bytearray(data), memoryview(data), path, str(path), *files]
        images = [opened(source) for source in sources]
    digest = hashlib.sha256(data).hexdigest()
    for image in images:
        assert (image.format, image.size, image.read(), image.digest()) == (name, len(data), data, digest)


@pytest.mark.parametrize(
    ("head", "name"),
    [(b"GIF87a", "gif"), (b"\xff\xd8\xff", "jpeg"), (b"RIFF....WEBP", "webp"), (b"<svg", None), (b"", None),
     (b"%PDF-1.7", None), (b"\x89PNG\n", None), (base64.b64encode(JPEG), None),
     (b"\x00\x00\x00 ftypheic", "heic"), (b"\x00\x00\x00 ftypavif", "avif"),
     (b"\x00\x00\x00 ftypmp42", None)],
)  # fmt: skip
def test_the_format_is_what_the_first_bytes_say(head: bytes, name: str | None) -> None:
    assert image_format(head) == name


def test_the_size_may_be_exactly_the_limit() -> None:
    assert opened(PNG, maximum_bytes=len(PNG)).size == len(PNG)


class Trickle(io.RawIOBase):
    """A file that gives a few bytes at a time, as pipes and sockets do."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def read(self, size: int = -1) -> bytes:
        piece, self._left = self._left[:7], self._left[7:]
        return piece


def test_a_file_that_reads_in_pieces_is_read_to_its_end() -> None:
    assert opened(Trickle(PNG)).read() == PNG


class Broken(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise OSError("13800001111")


CLOSED = io.BytesIO(PNG)
CLOSED.close()
WRONG: dict[str, tuple[Any, str]] = {
    "empty bytes": (b"", "empty"),
    "empty file object": (io.BytesIO(), "empty"),
    "text file": (io.StringIO("x"), "binary mode"),
    "number": (1, "bytes, a path or a binary file, not int"),
    "none": (None, "not NoneType"),
    "list": ([PNG], "not list"),
    "unknown format": (b"%PDF-1.7", "jpeg, png, gif, bmp"),
    "base64 as bytes": (base64.b64encode(PNG), "base64 text must be decoded"),
    "too large": (PNG + b"x" * 100, "at most 100 bytes"),
    "too large file object": (io.BytesIO(PNG + b"x" * 100), "at most 100 bytes"),
    "no such file": ("/no/such/13800001111.jpg", "image file that can be read"),
    "base64 as text, which looks like a path": (
        base64.b64encode(JPEG * 100).decode(),
        "image file that can be read",
    ),
    "data url": (
        "data:image/jpeg;base64," + base64.b64encode(JPEG * 100).decode(),
        "image file that can be read",
    ),
    "nul in the path": ("a\0b", "image file that can be read"),
    "broken file object": (Broken(), "could not be read"),
    "closed file object": (CLOSED, "could not be read"),
}


@pytest.mark.parametrize(("source", "hint"), WRONG.values(), ids=WRONG)
def test_what_is_no_image_is_refused(source: Any, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as caught:
        opened(source)
    assert type(caught.value) is ValueError
    assert "13800001111" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_directory_an_empty_file_and_a_wrong_one_are_refused(tmp_path: Path) -> None:
    empty, wrong, large = (tmp_path / name for name in ("empty.jpg", "text.jpg", "large.jpg"))
    empty.write_bytes(b"")
    wrong.write_text("no image")
    large.write_bytes(JPEG + b"x" * 100)
    for path, hint in (
        (tmp_path, "an image file"),
        (empty, "empty"),
        (wrong, "first bytes"),
        (large, "at most 100"),
    ):
        with pytest.raises(ValueError, match=hint):
            opened(path)


def test_a_path_given_as_bytes_by_pathlike_is_a_clear_error() -> None:
    class Odd(os.PathLike[bytes]):
        def __fspath__(self) -> bytes:
            return b"x.jpg"

    with pytest.raises(ValueError, match="image file that can be read"):
        opened(Odd())


def test_a_file_that_changed_while_it_waited_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "proof.jpg"
    path.write_bytes(JPEG)
    image = opened(path)
    for changed in (JPEG + b"more", JPEG[:-1], b""):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="changed"):
            image.read()
    path.write_bytes(JPEG)
    assert image.read() == JPEG


def test_a_format_can_be_excluded() -> None:
    with pytest.raises(ValueError, match="must be one of jpeg, png; by its first bytes it is gif"):
        opened(GIF, formats=("jpeg", "png"))


def test_a_repr_shows_neither_path_nor_bytes(tmp_path: Path) -> None:
    path = tmp_path / "13800001111.jpg"
    path.write_bytes(JPEG)
    assert repr(opened(path)) == "Image(jpeg, 64 bytes)"


def test_the_rule_of_the_declarations() -> None:
    assert ImageField().open(PNG).read() == PNG
    assert ImageField().schema()["contentEncoding"] == "base64"
    with pytest.raises(ValueError, match="at most 1048576 bytes"):
        ImageField().encode(PNG + bytes(1_048_576))


def test_an_image_that_shrank_since_it_was_checked_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "proof.jpg"
    path.write_bytes(JPEG)
    image = Image(path, len(JPEG), "jpeg")
    assert image.read() == JPEG
    path.write_bytes(JPEG[:-1])
    with pytest.raises(ValueError, match="changed while it was waiting"):
        image.read()
    path.unlink()
    with pytest.raises(ValueError, match="changed while it was waiting"):
        image.digest()
