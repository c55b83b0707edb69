"""A vendor that loses answers, lands late, shows late, and counts by itself what it carried out.

It shares no code with the client or the sandbox. It lives in the process that applies, on the same virtual
time, and dies with it when that process is killed: so everything it knows is a line in a file before anybody
hears of it. A write that arrived is carried out when its time has come, also if by then another process runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

__all__ = ["CampaignVendor", "Truth", "Weather", "first_order"]

Json = dict[str, Any]
ANSWERING = (0.1, 0.2, 0.3, 0.4)
"""Seconds until an answer. Few values, so that timers fall together: steps of virtual time take real time."""


def first_order(number: int) -> int:
    """The id of the order of row `number`; its lines are the ids after it."""
    return 3_100_000_000_000_000_000 + 10 * number


@attrs.frozen
class Weather:
    """What goes wrong: shares of all writes (and of all reads), and the longest times in seconds."""

    never: float = 0.03
    """Lost on the way there: never carried out, no answer."""
    dropped: float = 0.04
    """Carried out, no answer."""
    late: float = 0.03
    """No answer, and carried out up to `late_seconds` later."""
    late_seconds: float = 300.0
    hidden_seconds: float = 60.0
    """Reads show a write up to so long after it was carried out."""
    refused_after: float = 0.0
    """Carried out, and answered with a page that refuses."""
    read_fails: float = 0.02


@attrs.define
class Truth:
    """What the vendor's file says: its own count of what it carried out."""

    executed: Counter[str] = attrs.field(factory=Counter)
    """How often each write was carried out, accepted or not, by natural key."""
    accepted: Counter[str] = attrs.field(factory=Counter)
    results: dict[str, str] = attrs.field(factory=dict)
    """The refund form that an application opened, by natural key."""
    fates: Counter[str] = attrs.field(factory=Counter)
    """What became of the requests that write."""
    pending: int = 0
    """Writes whose time has not come."""
    nonces_repeated: int = 0
    last: float = 0.0
    """The time of the last line."""

    @property
    def doubled(self) -> list[str]:
        """What was carried out more than once."""
        return sorted(key for key, count in self.executed.items() if count > 1)

    @classmethod
    def read(cls, path: Path) -> Truth:
        """Count the lines of a vendor's file."""
        truth, due, nonces = cls(), set[int](), Counter[str]()
        for line in map(json.loads, path.read_text("utf-8").splitlines()):
            truth.last = max(truth.last, line["at"])
            if line["is"] == "arrived":
                truth.fates[line["fate"]] += 1
                if line["fate"] != "never":
                    due.add(line["number"])
            elif line["is"] == "done":
                due.discard(line["number"])
                truth.executed[line["key"]] += 1
                truth.accepted[line["key"]] += line["accepted"]
                if line["result"]:
                    truth.results[line["key"]] = line["result"]
            nonces[line["nonce"]] += line["is"] != "done"
        truth.pending = len(due)
        truth.nonces_repeated = sum(count - 1 for count in nonces.values() if count > 1)
        return truth


@attrs.define
class _Form:
    """A refund form: as it is, and as reads show it until `visible_at`."""

    refund_id: str
    status: str = "waitbuyersend"
    bill: str | None = None
    facts: Json = attrs.field(factory=dict)
    visible_at: float = 0.0
    opened: float | None = None


class CampaignVendor:
    """One life of the vendor whose memory is the file at `path`."""

    def __init__(
        self,
        path: Path,
        weather: Weather,
        keys: frozenset[str],
        port: int,
        clock: Callable[[], float],
        seed: int,
        moment: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._weather = weather
        self._keys = keys
        self._port = port
        self._clock = clock
        self._seed = seed
        self._moment = moment
        self._number = 0
        self._forms: dict[str, _Form] = {}
        self._lines: dict[str, list[_Form]] = {}
        self._due: dict[int, Json] = {}
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._file = -1

    async def start(self) -> None:
        """Remember what earlier lives did, and listen."""
        if self._path.exists():
            for line in map(json.loads, self._path.read_text("utf-8").splitlines()):
                self._number = max(self._number, line["number"])
                if line["is"] == "arrived" and line["fate"] != "never":
                    self._due[line["number"]] = line
                elif line["is"] == "done":
                    self._apply(self._due.pop(line["number"]), line)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        loop = asyncio.get_running_loop()
        for line in self._due.copy().values():
            loop.call_later(max(0.0, line["due"] - self._clock()), self._execute, line)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def aclose(self) -> None:
        """End this life."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        os.close(self._file)

    def _write_down(self, **line: Any) -> Json:
        os.write(self._file, json.dumps(line).encode() + b"\n")
        return line

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
                raw = await reader.readexactly(int(headers.get("content-length", 0)))
                answer = await self._answer(method, target, headers, json.loads(raw or b"{}"))
                if answer is None:
                    return
                status, kind, body = answer
                writer.write(
                    f"HTTP/1.1 {status} -\r\nDate: {_date(self._clock())}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(
        self, method: str, target: str, headers: dict[str, str], body: Json
    ) -> tuple[int, str, bytes] | None:
        self._number += 1
        number, draw = self._number, random.Random(f"{self._seed}/{self._number}")
        call = target.partition("?")[0].removeprefix("/v2")
        nonce = headers["nonce-str"]
        if headers["access-key"] not in self._keys:
            self._write_down(**{"is": "refused"}, at=self._clock(), number=number, nonce=nonce)
            return _envelope(None, code=401)
        if call in ("/alibaba/refund/goods/return", "/alibaba/refund/detail/create"):
            return await self._take(number, draw, call, nonce, body)
        self._write_down(**{"is": "asked"}, at=self._clock(), number=number, nonce=nonce)
        await asyncio.sleep(draw.choice(ANSWERING))
        if draw.random() < self._weather.read_fails:
            return 502, "text/html", b"<html>bad gateway</html>"
        return _envelope(*self._read(call, body))

    async def _take(
        self, number: int, draw: random.Random, call: str, nonce: str, body: Json
    ) -> tuple[int, str, bytes] | None:
        weather, point, fate = self._weather, draw.random(), "answered"
        for name in ("never", "dropped", "late", "refused_after"):
            if point < (share := getattr(weather, name)):
                fate = name
                break
            point -= share
        seconds = draw.uniform(1.0, weather.late_seconds) if fate == "late" else draw.choice(ANSWERING)
        hidden = draw.uniform(0.0, weather.hidden_seconds)
        line = self._write_down(
            **{"is": "arrived"},
            at=self._clock(),
            number=number,
            nonce=nonce,
            fate=fate,
            due=self._clock() + seconds,
            hidden=hidden,
            call=call,
            body=body,
        )
        self._moment("arrived")
        if fate == "never":
            return None
        self._due[number] = line
        if fate == "late":
            asyncio.get_running_loop().call_later(seconds, self._execute, line)
            return None
        await asyncio.sleep(seconds)
        answer = self._execute(line)
        self._moment("carried out")
        if fate == "refused_after":
            status = draw.choice((403, 404, 429))
            return status, "text/html", b"<html>go away</html>"
        return None if fate == "dropped" else answer

    def _execute(self, line: Json) -> tuple[int, str, bytes]:
        """Carry a write out, and have it in the file before anybody hears of it."""
        body, number = line["body"], line["number"]
        if line["call"].endswith("/return"):
            key = str(body["refundId"])
            accepted = self._form(key).status == "waitbuyersend"
            result = None
        else:
            key = "/".join([str(body["orderId"]), *map(str, sorted(body["orderEntryIds"]))])
            accepted, result = True, f"TQ{77_000_000_000_000 + number}"
        done = self._write_down(
            **{"is": "done"},
            at=self._clock(),
            number=number,
            nonce=None,
            key=key,
            accepted=accepted,
            result=result,
        )
        del self._due[number]
        self._apply(line, done)
        if result is not None:
            return _envelope({"refundId": result})
        refused = {"success": False, "errorCode": "4007", "errorInfo": "status does not allow return"}
        return _envelope({"success": True, "errorCode": None, "errorInfo": None} if accepted else refused)

    def _apply(self, line: Json, done: Json) -> None:
        body, visible_at = line["body"], done["at"] + line["hidden"]
        if not done["accepted"]:
            return
        if done["result"] is None:
            form = self._form(done["key"])
            form.status, form.bill, form.visible_at = "waitsellerreceive", body["freightBill"], visible_at
            return
        form = _Form(done["result"], "waitselleragree", None, body, visible_at, done["at"])
        self._forms[form.refund_id] = form
        for entry in body["orderEntryIds"]:
            self._lines.setdefault(str(entry), []).append(form)

    def _form(self, refund_id: str) -> _Form:
        return self._forms.setdefault(refund_id, _Form(refund_id))

    def _read(self, call: str, body: Json) -> tuple[Any, int]:
        if call == "/alibaba/refund/reason/list":
            reason = {"id": 20022, "name": "quality", "needVoucher": False, "noRefundCarriage": False}
            return [reason], 200
        if call == "/alibaba/order/detail":
            return self._order(int(body["orderId"])), 200
        assert call == "/alibaba/refund/info", call
        return self._info(self._form(str(body["refundId"])))

    def _info(self, form: _Form) -> tuple[Any, int]:
        seen = form.visible_at <= self._clock()
        if form.opened is None:
            return {
                "refundId": form.refund_id,
                "status": form.status if seen else "waitbuyersend",
                "applyPayment": 1_000,
                "applyCarriage": 0,
                "freightBill": form.bill if seen else None,
                "gmtApply": _stamp(self._clock() - 86_400),
            }, 200
        if not seen:
            return None, 404
        return {
            "refundId": form.refund_id,
            "status": form.status,
            "applyPayment": form.facts["applyPayment"],
            "applyCarriage": form.facts["applyCarriage"],
            "applyReasonId": form.facts["applyReasonId"],
            "orderId": form.facts["orderId"],
            "orderEntryIdList": form.facts["orderEntryIds"],
            "gmtApply": _stamp(form.opened),
        }, 200

    def _order(self, order_id: int) -> Json:
        items = []
        for entry in (order_id + 1, order_id + 2):
            seen = [form for form in self._lines.get(str(entry), ()) if form.visible_at <= self._clock()]
            items.append(
                {
                    "subItemID": entry,
                    "subItemIDString": str(entry),
                    "itemAmount": 100_000,
                    "refund": 0,
                    "quantity": 1,
                    "status": "waitbuyerreceive",
                    "refundId": seen[-1].refund_id if seen else None,
                    "refundStatus": "WAIT_SELLER_AGREE" if seen else None,
                }
            )
        base = {
            "id": order_id,
            "idOfStr": str(order_id),
            "status": "waitbuyerreceive",
            "totalAmount": 200_000,
            "shippingFee": 0,
        }
        return {"baseInfo": base, "productItems": items}


def _envelope(data: Any, code: int = 200) -> tuple[int, str, bytes]:
    answer = {"requestId": "r", "code": code, "developId": "1", "msg": "", "data": data}
    return 200, "application/json", json.dumps(answer).encode()


def _stamp(seconds: float) -> str:
    return time.strftime("%Y%m%d%H%M%S000+0800", time.gmtime(seconds + 8 * 3600))


def _date(seconds: float) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
