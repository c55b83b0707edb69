"""Making an image small enough for the vendor. Needs Pillow, which is loaded on first use only.

Phones take pictures of several megabytes. What is kept is what a proof needs: the picture, upright. What
else a file tells (where it was taken, with what) is left out.
"""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Any

from pandapon_async.errors import ConfigurationError

__all__ = ["ORIGINAL_BYTES", "READ_FORMATS", "compress_image"]

ORIGINAL_BYTES = 64 * 1024 * 1024
"""The largest file that is opened to be made smaller."""
MOST_PIXELS = 30_000_000
"""A picture of one colour takes kilobytes as a file and four bytes a pixel in memory, several times over."""
MOST_PIXELS_OF_A_JPEG = 120_000_000
"""Phones make such; a JPEG can be read at a half, a quarter or an eighth of its size, and is."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
READ_FORMATS = tuple(name.lower() for name in FORMATS)
"""The formats that are opened, as `images.image_format` names them."""
SIDES = (4096, 2560, 1600, 1024, 640, 400)
QUALITIES = (90, 80, 65)


def compress_image(data: bytes, maximum_bytes: int) -> bytes:
    """The picture as JPEG, as large and as good as the limit allows.

    Args:
        data: a JPEG, PNG, GIF (its first frame), BMP or WebP.
        maximum_bytes: the most that the result may have.

    Raises:
        ValueError: the picture is damaged, has too many pixels, or cannot be made small enough.
        ConfigurationError: Pillow is not installed.
    """
    try:
        pillow: Any = importlib.import_module("PIL.Image")
        turning: Any = importlib.import_module("PIL.ImageOps")
    except ImportError:
        raise ConfigurationError(
            "making images smaller needs Pillow: pip install 'pandapon-async[images]'"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own warning of large pictures; the limit here is ours
            with pillow.open(io.BytesIO(data), formats=FORMATS) as opened:
                _check_pixels(opened)  # only its header was read so far
                opened.draft("RGB", (SIDES[0], SIDES[0]))
                # A palette's neighbours are not alike, so only colours can be mixed.
                picture = opened.convert("RGBA") if opened.mode in ("P", "PA") else opened
                picture.thumbnail((SIDES[0], SIDES[0]))  # before what follows, which makes copies
                turning.exif_transpose(picture, in_place=True)
                picture = _plain(picture)
    except pillow.DecompressionBombError:  # of so many it does not even say how many
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
    """Three colours on white: JPEG knows no transparency, and most other ways to store colours not either."""
    if picture.mode in ("RGBA", "LA", "P", "PA"):
        layers = picture.convert("RGBA")
        white = importlib.import_module("PIL.Image").new("RGB", layers.size, "white")
        white.paste(layers, mask=layers.getchannel("A"))
        return white
    return picture.convert("RGB")
