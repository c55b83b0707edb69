"""Upload thousands of proof images: checked by their bytes, each distinct image once.

An image is read when its turn comes, so memory holds only the images in flight. The bytes that were checked
are the bytes that are sent, whatever happens to the file meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from pandapon_async.api.registry import operations
from pandapon_async.bulk.compress import ORIGINAL_BYTES, READ_FORMATS, compress_image
from pandapon_async.bulk.run import Done, Failed, OnError, run
from pandapon_async.core.model import model
from pandapon_async.declare.call import Call
from pandapon_async.declare.fields import ImageField
from pandapon_async.declare.response import Response
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.images import ImageSource, image_format
from pandapon_async.models.alibaba.refunds import Voucher
from pandapon_async.settings import ImageLimits

if TYPE_CHECKING:
    from pandapon_async.client import Client

__all__ = ["UploadedVoucher", "Uploader", "before_compression", "note_of", "picture_rule", "upload_vouchers"]

Item = TypeVar("Item")

UPLOAD = "alibaba.refunds.upload_voucher"
REMEMBERED = 100_000
"""How many distinct images are remembered, at some 500 bytes each; an older one is uploaded again."""


@model
class UploadedVoucher(Voucher):
    """A voucher and its image."""

    digest: str = attrs.field()
    """The SHA-256 of the original image, in hex."""
    size: int = attrs.field()
    """How many bytes were sent."""
    reused: bool = attrs.field(default=False)
    """Whether an earlier upload of the same image was reused."""
    shrunk: bool = attrs.field(default=False)
    """Whether the image was compressed or converted to JPEG before it was sent."""
    note: str | None = attrs.field(default=None)
    """A note about its format, if any."""


def picture_rule(limits: ImageLimits) -> ImageField:
    """Return the vendor's rule of an image: the declaration of the upload with the profile's limits."""
    parameters = operations()[UPLOAD].ranked[0].parameters
    return limits.of(next(one.rule for one in parameters if isinstance(one.rule, ImageField)))


def before_compression(rule: ImageField) -> ImageField:
    """Return the rule of an image that may be compressed before it is sent."""
    return attrs.evolve(rule, maximum_bytes=ORIGINAL_BYTES, formats=READ_FORMATS)


def note_of(found: str | None, limits: ImageLimits) -> str | None:
    """Return a note about an image in this format, or None."""
    if found not in limits.noted or found in limits.formats:
        return None
    named = ", ".join(limits.formats)
    return f"it is {found}; the upstream's page of the upload names only {named}, another page names more"


def upload_vouchers(
    client: Client,
    images: Iterable[Item] | AsyncIterable[Item],
    *,
    image: Callable[[Item], ImageSource] | None = None,
    compress: bool = False,
    known: MutableMapping[str, UploadedVoucher] | None = None,
    concurrency: int = 16,
    on_error: OnError = "yield",
    ordered: bool = False,
) -> AsyncGenerator[Done[Item, UploadedVoucher] | Failed[Item], None]:
    """Upload every image; yields `Done` with the voucher or `Failed` for each item.

    The items are images (paths, bytes or binary files), or objects from which `image` returns one. Format and
    size are checked by the bytes against the limits of the vendor's profile. `compress` converts an image to
    JPEG that is too large or in a format that the vendor does not accept, such as WebP (needs Pillow). An
    image that came before under any name is not uploaded again: its `Done` has 0 attempts and the voucher of
    the first one. `known` keeps such vouchers, by digest, from run to run. Pass paths, not bytes, so that
    memory does not depend on the number of images. Everything else is as in `run`.
    """
    uploader = Uploader(client, compress=compress, known=known)

    def upload(item: Item) -> Call[UploadedVoucher]:
        source: Any = item if image is None else image(item)
        return Call(UPLOAD, lambda: uploader.response(source))

    clock = client.settings.clock
    return run(upload, images, concurrency=concurrency, on_error=on_error, ordered=ordered, clock=clock)


class Uploader:
    """Uploads images, each distinct one once. `known` has the existing vouchers, by digest."""

    def __init__(
        self,
        client: Client,
        *,
        compress: bool = False,
        known: MutableMapping[str, UploadedVoucher] | None = None,
    ) -> None:
        self.known: MutableMapping[str, UploadedVoucher] = {} if known is None else known
        self._client = client
        self._limits = client.settings.vendor.images
        self._rule = picture_rule(self._limits)
        self._compress = compress
        self._compressing = asyncio.Semaphore(2)  # an open picture takes far more memory than its file
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def upload(self, source: ImageSource, *, digest: str | None = None) -> UploadedVoucher:
        """Return the voucher of an image; raises InvalidArgumentError if it no longer has this `digest`."""
        return (await self.response(source, digest=digest)).value

    async def response(self, source: ImageSource, *, digest: str | None = None) -> Response[UploadedVoucher]:
        """Return the voucher with the details of the call; 0 attempts if an earlier upload was reused."""
        try:
            data, found, smaller = await self._read(source)
        except ValueError as error:
            raise InvalidArgumentError(f"image {error}", argument="image", endpoint=UPLOAD) from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InvalidArgumentError(
                f"image cannot be read: {reason}", argument="image", endpoint=UPLOAD
            ) from None
        if digest is not None and found != digest:
            raise InvalidArgumentError(
                "the image has changed since it was checked", argument="image", endpoint=UPLOAD
            )
        async with self._turn(found):
            if (earlier := self.known.get(found)) is not None:
                return _reused(earlier)
            response = await self._client.alibaba.refunds.upload_voucher(image=data).with_response()
            voucher = UploadedVoucher(
                image_domain=response.value.image_domain,
                image_relative_url=response.value.image_relative_url,
                digest=found,
                size=len(data),
                shrunk=smaller,
                note=note_of(image_format(data[:16]), self._limits),
            )
            voucher.extra = response.value.extra
            self._remember(voucher)
        return cast("Response[UploadedVoucher]", attrs.evolve(response, value=voucher))

    async def _read(self, source: ImageSource) -> tuple[bytes, str, bool]:
        """Return the bytes to send, the digest of the original image, and whether they differ."""
        if not self._compress:
            return await asyncio.to_thread(_checked, source, self._rule)
        async with self._compressing:
            return await asyncio.to_thread(_checked_or_shrunk, source, self._rule)

    @contextlib.asynccontextmanager
    async def _turn(self, digest: str) -> AsyncIterator[None]:
        """Upload an image once at a time: a second caller waits and finds it done."""
        lock, users = self._turns.get(digest, (asyncio.Lock(), 0))
        self._turns[digest] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns.pop(digest)
            if users > 1:
                self._turns[digest] = lock, users - 1

    def _remember(self, voucher: UploadedVoucher) -> None:
        while len(self.known) >= REMEMBERED:
            del self.known[next(iter(self.known))]
        self.known[voucher.digest] = voucher


def _reused(earlier: UploadedVoucher) -> Response[UploadedVoucher]:
    """The response of a call that was not made."""
    return Response(
        value=attrs.evolve(earlier, reused=True),
        request_id=None,
        code=200,
        msg=None,
        develop_id=None,
        data=None,
        http_status=0,
        attempts=0,
        history=(),
        seconds=0.0,
        waited=0.0,
    )


def _checked(source: Any, rule: ImageField) -> tuple[bytes, str, bool]:
    data = rule.open(source).read()
    return data, hashlib.sha256(data).hexdigest(), False


def _checked_or_shrunk(source: Any, rule: ImageField) -> tuple[bytes, str, bool]:
    """Like `_checked`, with more formats and a larger limit for images that are compressed."""
    data, digest, _ = _checked(source, before_compression(rule))
    if len(data) <= rule.maximum_bytes and image_format(data[:16]) in rule.formats:
        return data, digest, False
    return rule.open(compress_image(data, rule.maximum_bytes)).read(), digest, True
