"""Uploading proof images by the thousand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import TypeVar

from pandapon_async.bulk.run import Done, Failed, OnError, run
from pandapon_async.client import Client
from pandapon_async.images import ImageSource
from pandapon_async.models.alibaba.refunds import Voucher

__all__ = ["upload_vouchers"]

Source = TypeVar("Source", bound=ImageSource)


def upload_vouchers(
    client: Client,
    images: Iterable[Source] | AsyncIterable[Source],
    *,
    concurrency: int = 16,
    on_error: OnError = "yield",
    ordered: bool = False,
) -> AsyncGenerator[Done[Source, Voucher] | Failed[Source], None]:
    """Upload every image (path, bytes or binary file); yields `Done` with the voucher or `Failed`.

    An image is opened when its turn comes and passes through in pieces: give paths, not bytes, and
    memory does not depend on how many there are. The rest is as in `run`.
    """
    return run(
        lambda image: client.v2.alibaba.refunds.upload_voucher(image=image),
        images,
        concurrency=concurrency,
        on_error=on_error,
        ordered=ordered,
    )
