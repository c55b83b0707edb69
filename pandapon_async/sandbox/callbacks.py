"""The sandbox's own pushes: what the vendor would send to a callback URL after a change.

Schedule, signature header and frame are those of the vendor's manual: one second for the answer, half an
hour between at most five retries, then the message is gone; no order is promised. The types and bodies of
status and refund messages stand on pages that could not be read: they are the upstream's topics here.
The signature is made here and not taken from the receiver that it is there to check.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import time
from collections import deque
from types import TracebackType
from typing import Any, Self

import aiohttp
import attrs
import orjson

from pandapon_async.clock import Clock
from pandapon_async.sandbox.numbering import ALIBABA, SALES_ORDER, TAOBAO, number_of
from pandapon_async.sandbox.orders import ORDER_MOVES
from pandapon_async.sandbox.records import Effect
from pandapon_async.sandbox.refunds import RefundState
from pandapon_async.sandbox.server import Sandbox
from pandapon_async.sandbox.states import MOVES, Status
from pandapon_async.sandbox.wire_orders import order_1688
from pandapon_async.settings import Credentials

__all__ = ["TIMEOUT", "CallbackSender", "Delivery", "message_frame", "refund_body", "signature_of"]

TIMEOUT = 1.0
RETRY_SECONDS = 1800.0
RETRIES = 5

_PLATFORM = {TAOBAO: 0, ALIBABA: 1}
_TYPE = "ORDER_BUYER_VIEW_"
_REFUND_ACTIONS = {
    "waitselleragree": ("BUYER_APPLY_REFUND", "buyer"),
    "waitbuyermodify": ("SELLER_REJECT_REFUND", "seller"),
    "waitbuyersend": ("SELLER_AGREE_REFUND", "seller"),
    "waitsellerreceive": ("BUYER_SEND_GOODS", "buyer"),
    "refundsuccess": ("SYSTEM_AGREE_REFUND", "system"),
    "refundclose": ("BUYER_CANCEL_REFUND_CLOSE", "buyer"),
}
_ORDER_TOPICS = {
    "waitbuyerpay": "BUYER_MAKE",
    "waitsellersend": "ORDER_PAY",
    "waitbuyerreceive": "ANNOUNCE_SENDGOODS",
    "success": "ORDER_SUCCESS",
    "cancel": "ORDER_BUYER_CLOSE",
    "terminated": "ORDER_SELLER_CLOSE",
}
_STATUS_AFTER: dict[str, Status] = {
    "create": "waitselleragree",
    "return_goods": "waitsellerreceive",
    "cancel": -20,
}
_ORDER_STATUS_AFTER = {"order": "waitbuyerpay", "pay": "waitsellersend", "cancel_order": "cancel"}


@attrs.define(frozen=True)
class Delivery:
    """One message sent once: `attempt` from 1, `status` of the answer (None: none within the second).

    `digest` is the SHA-256 of the body, `seconds` how long the answer took, `copy` whether it is a planted
    duplicate.
    """

    digest: str
    type: str
    attempt: int
    copy: bool
    status: int | None
    seconds: float


@attrs.define(eq=False)
class _Message:
    """One message in flight."""

    type: str
    body: bytes
    digest: str
    copy: bool
    attempt: int = 0


class CallbackSender:
    """Sends what changes in a sandbox to `url`, as long as it is open.

    `duplicates` is the share of messages that are sent twice, `disorder` the share that is held back by up
    to `hold` seconds, so that later ones overtake them. `body_as_text` sends `messageBody` as JSON text.
    Retries wait on `clock`; the second that an answer may take is a real one. `signed_text` is what is
    signed: "key+body" or "body". `log` has every delivery (the last `log_limit`, if that is set), `lost`
    the messages that were given up.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        url: str,
        *,
        duplicates: float = 0.0,
        disorder: float = 0.0,
        hold: float = 2.0,
        body_as_text: bool = False,
        signed_text: str = "key+body",
        seed: int = 7,
        concurrency: int = 64,
        watch_every: float = 0.02,
        log_limit: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.log: deque[Delivery] = deque(maxlen=log_limit)
        self.lost: list[str] = []
        self.created: int = 0
        self._sandbox = sandbox
        self._url = url
        self._duplicates = duplicates
        self._disorder = disorder
        self._hold = hold
        self._body_as_text = body_as_text
        self._with_key = signed_text == "key+body"
        self._random = random.Random(seed)
        self._slots = asyncio.Semaphore(concurrency)
        self._watch_every = watch_every
        self._clock = clock or Clock()
        self._seen = len(sandbox.effects)
        self._session: aiohttp.ClientSession | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT), connector=aiohttp.TCPConnector(limit=0)
        )
        self._later(self._watch_every, self._watch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def catch_up(self) -> None:
        """Send what changed since the last look; happens by itself every few milliseconds."""
        effects = self._sandbox.effects
        for effect in effects[self._seen :]:
            self._announce(effect)
        self._seen = len(effects)

    def push(self, platform: str, message_type: str, body: Any, *, timestamp_ms: int | None = None) -> str:
        """Send one message with this type and body; return the SHA-256 of the sent bytes."""
        raw = message_frame(
            platform,
            message_type,
            orjson.dumps(body).decode() if self._body_as_text else body,
            round(self._clock.wall() * 1000) if timestamp_ms is None else timestamp_ms,
        )
        digest = hashlib.sha256(raw).hexdigest()
        self.created += 1
        copies = 2 if self._random.random() < self._duplicates else 1
        for number in range(copies):
            held = self._random.random() * self._hold if self._random.random() < self._disorder else 0.0
            self._under_way += 1
            self._quiet.clear()
            self._start_later(held, _Message(message_type, raw, digest, copy=number > 0))
        return digest

    def price_changed(self, order_id: str) -> str:
        """Push a price change of a 1688 order. No price changes by itself here."""
        order, upstream = self._sandbox.order(order_id), self._sandbox._upstream
        return self.push(ALIBABA, f"1688_{_TYPE}ORDER_PRICE_MODIFY", order_1688(order, upstream.refunds))

    async def drain(self) -> None:
        """Wait until every message was taken, or given up."""
        self.catch_up()
        await self._quiet.wait()

    def _announce(self, effect: Effect) -> None:
        """The message that a change of state causes, if it causes one."""
        if effect.refund_id is not None and (effect.kind == "advance" or effect.kind in _STATUS_AFTER):
            number = number_of(effect.refund_id)
            if number is not None:
                self._refund_changed(self._sandbox.refund(number), effect)
        elif effect.order_id is not None and not (effect.endpoint or "").startswith("taobao."):
            status: Status | None = _ORDER_STATUS_AFTER.get(effect.kind)
            if effect.kind == "advance_order":
                status = _advanced_to(effect)
            elif (
                effect.kind == "confirm_receipt" and self._sandbox.order(effect.order_id).status == "success"
            ):
                status = "success"
            if status is not None:
                self._order_changed(effect, status)

    def _refund_changed(self, refund: RefundState, effect: Effect) -> None:
        status = _STATUS_AFTER.get(effect.kind) if effect.kind != "advance" else _advanced_to(effect)
        # In-sale or after-sale as the refund's own detail says it.
        after_sale = refund.salt // 2 % 2 == 1
        message_type, body = refund_body(
            refund.platform,
            refund_id=refund.refund_id,
            order_id=refund.order_id,
            status=status,
            time_sent=effect.time,
            after_sale=after_sale,
            seller=refund.salt,
        )
        if refund.platform == TAOBAO:
            body["salesOrderId"] = SALES_ORDER.text(refund.number)
        self.push(refund.platform, message_type, body)

    def _order_changed(self, effect: Effect, status: Status) -> None:
        body = {
            "orderId": int(effect.order_id or 0),
            "currentStatus": status,
            "msgSendTime": _beijing(effect.time),
            "buyerMemberId": "b2b-2208000000001",
        }
        self.push(ALIBABA, f"1688_{_TYPE}{_ORDER_TOPICS.get(str(status), 'ORDER_STATUS')}", body)

    def _watch(self) -> None:
        self.catch_up()
        self._later(self._watch_every, self._watch)

    def _later(self, seconds: float, callback: Any, *arguments: Any) -> None:
        def run() -> None:
            self._timers.discard(timer)
            callback(*arguments)

        timer = self._clock.call_later(seconds, run)
        self._timers.add(timer)

    def _start_later(self, seconds: float, message: _Message) -> None:
        if seconds > 0:
            self._later(seconds, self._start, message)
        else:
            self._start(message)

    def _start(self, message: _Message) -> None:
        task = asyncio.ensure_future(self._deliver(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, message: _Message) -> None:
        async with self._slots:
            message.attempt += 1
            begun = time.perf_counter()
            status = await self._post(message.body)
            taken = time.perf_counter() - begun
        self.log.append(Delivery(message.digest, message.type, message.attempt, message.copy, status, taken))
        if status == 200 or message.attempt > RETRIES:
            if status != 200:
                self.lost.append(message.digest)
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()
        else:
            self._start_later(RETRY_SECONDS, message)

    async def _post(self, body: bytes) -> int | None:
        assert self._session is not None, "use `async with CallbackSender(...)`"
        headers = {"Authorization": self.signature(body), "Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    def signature(self, body: bytes) -> str:
        """What goes into the header Authorization."""
        return signature_of(self._sandbox.credentials, body, with_key=self._with_key)


def message_frame(platform: str, message_type: str, body: Any, timestamp_ms: int) -> bytes:
    """What is pushed, as bytes: the frame of the vendor's manual around a body."""
    return orjson.dumps(
        {
            "messageType": message_type,
            "messagePlatform": _PLATFORM[platform],
            "timestamp": str(timestamp_ms),
            "messageBody": body,
        }
    )


def signature_of(credentials: Credentials, pushed: bytes, *, with_key: bool = True) -> str:
    """The header Authorization of a push, in lower case; `with_key`: the key is signed before the body."""
    signed = credentials.access_key.encode() + pushed if with_key else pushed
    return hmac.new(credentials.access_secret.encode(), signed, hashlib.sha256).hexdigest()


def refund_body(
    platform: str,
    *,
    refund_id: str,
    order_id: str,
    status: Status | None,
    time_sent: float,
    after_sale: bool = True,
    seller: int = 0,
) -> tuple[str, dict[str, Any]]:
    """The type and the body of the message that a refund form changed, as the upstream writes them."""
    if platform == TAOBAO:
        return f"TAOBAO_{_TYPE}ORDER_BUYER_REFUND", {
            "refundId": refund_id,
            "purchaseOrderId": order_id,
            "refundStatus": str(status),
            "msgSendTime": _beijing(time_sent),
        }
    action, operator = _REFUND_ACTIONS.get(str(status), ("CRM_MODIFY_REFUND", "system"))
    topic = "ORDER_REFUND_AFTER_SALES" if after_sale else "ORDER_BUYER_REFUND_IN_SALES"
    return f"1688_{_TYPE}{topic}", {
        "orderId": int(order_id),
        "refundId": refund_id,
        "refundAction": action,
        "currentStatus": status,
        "operator": operator,
        "msgSendTime": _beijing(time_sent),
        "buyerMemberId": "b2b-2208000000001",
        "sellerMemberId": f"b2b-{2_200_000_000_000 + seller}",
    }


def _digest_of(status: Status) -> str:
    return hashlib.sha256(orjson.dumps({"status": status})).hexdigest()


_BY_DIGEST: dict[str, Status] = {
    _digest_of(status): status
    for statuses in (*(moves.keys() for moves in MOVES.values()), ORDER_MOVES.keys())
    for status in statuses
}


def _advanced_to(effect: Effect) -> Status | None:
    """The state that a step of the platform led to: all that its payload holds, so its digest names it.

    The present state would not do, as several steps may have been taken since.
    """
    return _BY_DIGEST.get(effect.digest)


def _beijing(wall: float) -> str:
    """The upstream's form of dates in messages: Beijing time, without a zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(wall + 28_800))
