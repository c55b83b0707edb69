"""Make an image small enough for the vendor. Needs Pillow, imported on first use.

Phones take pictures of several megabytes. The result keeps what a proof needs: the picture, upright. Other
data of the file (place, camera) is dropped.
"""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Any

from pandapon_async.errors import ConfigurationError

__all__ = ["ORIGINAL_BYTES", "READ_FORMATS", "compress_image"]

ORIGINAL_BYTES = 64 * 1024 * 1024
"""The largest file in bytes that is opened for compression."""
MOST_PIXELS = 30_000_000
"""The most pixels: a plain picture has kilobytes on disk but four bytes a pixel in memory, several times."""
MOST_PIXELS_OF_A_JPEG = 120_000_000
"""The most pixels of a JPEG, which can be read at a half, a quarter or an eighth of its size."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
READ_FORMATS = tuple(name.lower() for name in FORMATS)
"""The formats that are opened, in the names of `images.image_format`."""
SIDES = (4096, 2560, 1600, 1024, 640, 400)
QUALITIES = (90, 80, 65)


def compress_image(data: bytes, maximum_bytes: int) -> bytes:
    """Convert a picture to the largest and best JPEG within the limit.

    Args:
        data: A JPEG, PNG, GIF (its first frame), BMP or WebP.
        maximum_bytes: The most bytes of the result.

    Raises:
        ValueError: The picture is damaged, has too many pixels, or cannot be made small enough.
        ConfigurationError: Pillow is not installed.
    """
    try:
        pillow: Any = importlib.import_module("PIL.Image")
        turning: Any = importlib.import_module("PIL.ImageOps")
    except ImportError:
        raise ConfigurationError(
            "compressing images needs Pillow: pip install 'pandapon-async[images]'"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warning about large pictures; our own limit applies
            with pillow.open(io.BytesIO(data), formats=FORMATS) as opened:
                _check_pixels(opened)  # so far only the header was read
                opened.draft("RGB", (SIDES[0], SIDES[0]))
                # Neighbours in a palette are unrelated, so convert to colours before resizing.
                picture = opened.convert("RGBA") if opened.mode in ("P", "PA") else opened
                picture.thumbnail((SIDES[0], SIDES[0]))  # before the next steps, which make copies
                turning.exif_transpose(picture, in_place=True)
                picture = _plain(picture)
    except pillow.DecompressionBombError:  # Pillow does not report such a large number
        raise ValueError(f"has too many pixels; at most {MOST_PIXELS:,} can be made smaller") from None
    except (OSError, SyntaxError):
        raise ValueError("is damaged and cannot be made smaller") from None
    for side in SIDES:
        picture.thumbnail((side, side))
        for quality in QUALITIES:
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=quality, optimize=True)
            if out.tell() <= maximum_bytes:
                return out.getvalue()
    raise ValueError("cannot be made small enough")


def _check_pixels(picture: Any) -> None:
    most = MOST_PIXELS_OF_A_JPEG if picture.format == "JPEG" else MOST_PIXELS
    if picture.width * picture.height > most:
        raise ValueError(
            f"has {picture.width} x {picture.height} pixels; at most {most:,} can be made smaller"
        )


def _plain(picture: Any) -> Any:
    """Convert to RGB on white: JPEG supports neither transparency nor most other colour modes."""
    if picture.mode in ("RGBA", "LA", "P", "PA"):
        layers = picture.convert("RGBA")
        white = importlib.import_module("PIL.Image").new("RGB", layers.size, "white")
        white.paste(layers, mask=layers.getchannel("A"))
        return white
    return picture.convert("RGB")
