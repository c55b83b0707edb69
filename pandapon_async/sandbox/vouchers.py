"""Uploaded images: checked like the upstream does, kept as digest and size, never as bytes."""

from __future__ import annotations

import binascii
import hashlib

import pybase64

from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.settings import ImageLimits

__all__ = ["IMAGE_DOMAIN", "Vouchers", "decode_image"]

IMAGE_DOMAIN = "https://images.sandbox.invalid"
MAXIMUM_BYTES = 1_048_576
_MAXIMUM_TEXT = (MAXIMUM_BYTES + 2) // 3 * 4

_FIRST_BYTES = {b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png", b"GIF8": "gif", b"BM": "bmp"}


def decode_image(field: str, text: str, limits: ImageLimits | None = None) -> tuple[bytes, str]:
    """The bytes of a base64 image and its file name ending; a refusal (code 400) names the field.

    `limits` are those of a vendor that is played strictly.
    """
    if text.startswith("data:"):
        raise Refusal(400, f"{field}: leave out the data: prefix")
    if len(text) > _MAXIMUM_TEXT:
        raise Refusal(400, f"{field}: more than {MAXIMUM_BYTES} bytes")
    try:
        data = pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, f"{field}: is not base64") from None
    if len(data) > MAXIMUM_BYTES:
        raise Refusal(400, f"{field}: more than {MAXIMUM_BYTES} bytes")
    if limits is not None and len(data) > limits.largest_bytes:
        raise Refusal(400, f"{field}: more than {limits.largest_bytes} bytes")
    for start, ending in _FIRST_BYTES.items():
        if data.startswith(start) and _taken(ending, limits):
            return data, ending
    taken = [ending for ending in _FIRST_BYTES.values() if _taken(ending, limits)]
    raise Refusal(400, f"{field}: must be {' or '.join(filter(None, (', '.join(taken[:-1]), *taken[-1:])))}")


def _taken(ending: str, limits: ImageLimits | None) -> bool:
    name = "jpeg" if ending == "jpg" else ending
    return limits is None or name in limits.formats + limits.noted


class Vouchers:
    """The images that were uploaded, by relative url; the same image always gets the same one."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    def keep(self, data: bytes, ending: str) -> tuple[str, str]:
        """Note an image; its digest (SHA-256, hex) and its relative url."""
        digest = hashlib.sha256(data).hexdigest()
        path = f"/refund/voucher/{digest[:2]}/{digest}.{ending}"
        self.sizes[path] = len(data)
        return digest, path

    def knows(self, url: str) -> bool:
        """Whether a url is one that an upload answered, domain and path joined with one slash."""
        return url.startswith(IMAGE_DOMAIN) and url.removeprefix(IMAGE_DOMAIN) in self.sizes
