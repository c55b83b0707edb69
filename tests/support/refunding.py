"""A vendor that takes applications and shows what became of them, in virtual time.

It does with each application what it was told: answers, loses the answer, carries it out late, throttles or
refuses before or after the deed. `forms` is what really happened.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Literal, get_args

import attrs

from tests.support.server import Exchange, envelope, http
from tests.support.virtual import LoopClock

__all__ = ["MODES", "Form", "Mode", "RefundingVendor", "SteppingClock"]

Mode = Literal[
    "good",
    "done and lost",
    "lost",
    "lands late",
    "throttled",
    "throttled after",
    "forbidden after",
    "no login",
    "no login after",
]
MODES: tuple[Mode, ...] = get_args(Mode)
HTML = b"<html>no</html>"
EPOCH = 1_700_000_000.0


class SteppingClock(LoopClock):
    """The loop's clock, whose wall can be set and whose machine can be started again."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0.0
        self.boots = 0

    def wall(self) -> float:
        return super().wall() + self.offset

    def boot(self) -> tuple[str, float] | None:
        return f"boot {self.boots}", self.now() - 1_000.0 * (self.boots > 0)


@attrs.define
class Form:
    """A refund form, and when it appeared (in the loop's seconds)."""

    refund_id: str
    line: str
    user_id: str
    arguments: dict[str, Any]
    landed: float


@attrs.define(eq=False)
class RefundingVendor:
    """The behaviour of a FaultServer. `mode` is how the next applications are treated."""

    mode: Mode = "good"
    late: float = 40.0
    """Seconds after which an application lands that lands late."""
    shows_all: bool = True
    """Whether every sub-account sees the forms of the others."""
    told_time: bool = False
    """Whether answers carry a Date."""
    forms: list[Form] = attrs.field(factory=list)
    reads_fail: bool = False
    reads_take: float = 0.0
    applications: int = 0
    posts: Literal["ok", "429", "401", "lost"] = "ok"
    """How messages are treated."""
    applied_at: Literal["in time", "now"] = "in time"
    """What forms say of when they were applied for: after every write, or the vendor's time then."""

    async def __call__(self, exchange: Exchange) -> None:
        seen = await exchange.request()
        arguments = json.loads(seen.body) if seen.body else {}
        user_id = seen.header("user-id") or ""
        if seen.target.endswith("detail/create"):
            await self._apply(exchange, arguments, user_id)
        elif "message" in seen.target:
            if self.posts == "lost":
                exchange.reset()
            elif self.posts == "429":
                await exchange.send(self._http(HTML, "429 Too Many"))
            else:
                await exchange.send(self._http(envelope({}, code=401 if self.posts == "401" else 200)))
        elif self.reads_fail:
            await exchange.send(self._http(HTML, "502 Bad Gateway"))
        elif self.reads_take:
            await asyncio.sleep(self.reads_take)
            exchange.close()
        elif seen.target.endswith("order/detail"):
            await self._send(exchange, self._order(arguments["orderId"], user_id))
        else:
            await self._send(exchange, self._form(arguments["refundId"], user_id))

    async def _apply(self, exchange: Exchange, arguments: dict[str, Any], user_id: str) -> None:
        self.applications += 1
        mode, loop = self.mode, asyncio.get_running_loop()
        form: Form | None = None
        if mode in (
            "good",
            "done and lost",
            "throttled after",
            "forbidden after",
            "no login after",
            "lands late",
        ):
            delay = self.late if mode == "lands late" else 0.0
            number = len(self.forms) + 1
            line = f"{arguments['orderId']}/{arguments['orderEntryIds'][0]}"
            form = Form(f"TQ{number}", line, user_id, arguments, loop.time() + delay)
            self.forms.append(form)
        if mode == "good":
            assert form is not None
            await self._send(exchange, {"refundId": form.refund_id})
        elif mode.startswith("throttled"):
            await exchange.send(self._http(HTML, "429 Too Many Requests"))
        elif mode == "forbidden after":
            await exchange.send(self._http(HTML, "403 Forbidden"))
        elif mode.startswith("no login"):
            await exchange.send(self._http(envelope(None, code=401)))
        else:
            exchange.reset()

    def _visible(self, user_id: str) -> list[Form]:
        now = asyncio.get_running_loop().time()
        return [one for one in self.forms if one.landed <= now and (self.shows_all or one.user_id == user_id)]

    def _order(self, order_id: object, user_id: str) -> dict[str, Any]:
        lines = {f"{order_id}/{line}": line for line in (1, 2)}
        shown = {one.line: one.refund_id for one in self._visible(user_id)}
        items = [{"subItemID": line, "refundId": shown.get(name)} for name, line in lines.items()]
        return {"baseInfo": {"id": order_id, "status": "success"}, "productItems": items}

    def _form(self, refund_id: str, user_id: str) -> dict[str, Any] | None:
        for one in self._visible(user_id):
            if one.refund_id == refund_id:
                return {
                    "refundId": refund_id,
                    "status": "waitselleragree",
                    "orderEntryIdList": one.arguments["orderEntryIds"],
                    "applyPayment": one.arguments["applyPayment"],
                    "applyCarriage": one.arguments["applyCarriage"],
                    "applyReasonId": one.arguments["applyReasonId"],
                    "gmtApply": self._applied(one),
                }
        return None

    def _applied(self, form: Form) -> str:
        if self.applied_at == "in time":
            return "20991231000000000+0800"
        return datetime.fromtimestamp(EPOCH + form.landed, UTC).strftime("%Y%m%d%H%M%S000+0000")

    async def _send(self, exchange: Exchange, data: Any) -> None:
        await exchange.send(self._http(envelope(data)))

    def _http(self, body: bytes, status: str = "200 OK") -> bytes:
        now = EPOCH + asyncio.get_running_loop().time()
        return http(body, status, [f"Date: {formatdate(now, usegmt=True)}"] if self.told_time else [])
