"""The sandbox's own pages under /_sandbox: log, effects, counters, ledger, truth. No signature needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
import orjson
from aiohttp import web

from pandapon_async.sandbox.ledger import csv_chunks
from pandapon_async.sandbox.records import Effect, RequestRecord

if TYPE_CHECKING:
    from pandapon_async.sandbox.server import Sandbox

__all__ = ["PREFIX", "inspect"]

PREFIX = "/_sandbox/"
_JSON_LINES = "application/x-ndjson"


async def inspect(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    """Answer one request for a page of the sandbox's own.

    `log` and `effects` take ?limit= (the newest so many, newest last), `ledger` and `truth` ?rows=.
    """
    try:
        page, content_type = _page(sandbox, request)
    except ValueError as error:
        return web.Response(status=400, text=f"{error}\n")
    except LookupError:
        return web.Response(status=404, text="pages: log, effects, counters, ledger, truth\n")
    response = web.StreamResponse(headers={"Content-Type": f"{content_type}; charset=utf-8"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # the reader left: the rest is not computed
        for chunk in page:
            await response.write(chunk)
        await response.write_eof()
    return response


def _page(sandbox: Sandbox, request: web.BaseRequest) -> tuple[Iterator[bytes], str]:
    name = request.path.removeprefix(PREFIX)
    if name == "counters":
        return iter((orjson.dumps(sandbox.counters.as_dict()),)), "application/json"
    if name in ("log", "effects"):
        records: list[RequestRecord] | list[Effect] = (
            list(sandbox.log) if name == "log" else list(sandbox.effects)
        )
        limit = _whole_number(request, "limit", len(records))
        return _json_lines(
            attrs.asdict(one, recurse=False) for one in records[len(records) - limit :]
        ), _JSON_LINES
    rows = _whole_number(request, "rows", sandbox.refunds)
    if name == "ledger":
        return (chunk.encode() for chunk in csv_chunks(sandbox.seed, rows)), "text/csv"
    if name == "truth":
        verdicts = enumerate(sandbox.truth(rows), start=1)
        return _json_lines({"row": row, "verdict": verdict} for row, verdict in verdicts), _JSON_LINES
    raise LookupError(name)


def _whole_number(request: web.BaseRequest, name: str, largest: int) -> int:
    text = request.query.get(name)
    if text is None:
        return largest
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError(f"{name} must be a whole number")
    if name == "rows" and int(text) > largest:
        raise ValueError(f"rows must be at most {largest}, the number of refunds")
    return min(int(text), largest)


def _json_lines(records: Iterable[dict[str, Any]], size: int = 500) -> Iterator[bytes]:
    records = iter(records)
    while some := list(islice(records, size)):
        yield b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in some)
