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

__all__ = ["ORIGINAL_BYTES", "shrunk"]

ORIGINAL_BYTES = 64 * 1024 * 1024
"""The largest file that is opened to be made smaller."""
LARGEST_PIXELS = 100_000_000
SIDES = (4096, 2560, 1600, 1024, 640, 400)
QUALITIES = (90, 80, 65)


def shrunk(data: bytes, maximum_bytes: int) -> bytes:
    """The picture as JPEG of at most `maximum_bytes`, as large and as good as that allows.

    Raises ValueError if it is no whole picture, and ConfigurationError without Pillow.
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
            with pillow.open(io.BytesIO(data)) as opened:
                if opened.width * opened.height > LARGEST_PIXELS:
                    raise ValueError("has too many pixels to be made smaller")
                picture = _plain(turning.exif_transpose(opened))
    except (OSError, SyntaxError, pillow.DecompressionBombError):
        raise ValueError("is damaged and cannot be made smaller") from None
    for side in SIDES:
        picture.thumbnail((side, side))
        for quality in QUALITIES:
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=quality, optimize=True)
            if out.tell() <= maximum_bytes:
                return out.getvalue()
    raise ValueError("cannot be made small enough")


def _plain(picture: Any) -> Any:
    """Three colours on white: JPEG knows no transparency, and most other ways to store colours not either."""
    if picture.mode in ("RGBA", "LA", "P", "PA"):
        layers = picture.convert("RGBA")
        white = importlib.import_module("PIL.Image").new("RGB", layers.size, "white")
        white.paste(layers, mask=layers.getchannel("A"))
        return white
    return picture.convert("RGB")
