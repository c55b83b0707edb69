"""Messages for handlers, and how a message is read from the received bytes.

The frame is documented: `messagePlatform`, `messageType`, `messageBody` (an object, or its JSON text) and
`timestamp`. The ids and times of a body are looked up under the names in known bodies.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import orjson

from pandapon_async.callbacks.bodies import typed
from pandapon_async.core.json_codec import loads
from pandapon_async.core.json_values import Result
from pandapon_async.core.model import parse_moment
from pandapon_async.errors import CallbackReason, CallbackRefusedError

__all__ = ["PLATFORMS", "CallbackType", "Message", "MessageOrder", "content_id", "read"]

PLATFORMS = ("1688", "taobao")
LONGEST_ID = 64


class CallbackType(enum.StrEnum):
    """The kind of a message: the three groups of the vendor's navigation, or another."""

    PRICE = "price"
    """The price of an order changed."""
    STATUS = "status"
    """An order changed its state."""
    REFUND = "refund"
    """A refund was opened or changed."""
    OTHER = "other"
    """A message type that no page names."""


class MessageOrder(enum.StrEnum):
    """The order of a message relative to others about the same refund or order."""

    RESTORED = "restored"
    """No later message of the same key was handled before it."""
    LATE = "late"
    """A later message was handled already: read the state before you act on this one."""
    UNKNOWN = "unknown"
    """It has no id or no time of its own, or the same time as another message."""


@attrs.define(frozen=True, kw_only=True)
class Message(Result):
    """One message of the vendor. Bodies can hold personal data and are not in the repr."""

    id: str = attrs.field(repr=lambda text: f"'{text[:12]}'")
    """The SHA-256 of the received bytes in hex, equal for every delivery. Key your effects by it."""
    platform: str
    """"1688", "taobao", or the unchanged number if it is unknown."""
    type: str
    """The type, as the vendor writes it."""
    kind: CallbackType
    """The group of types that it belongs to."""
    order_id: str | None = None
    """The id of its order, if it has one."""
    refund_id: str | None = None
    """The id of its refund, if it has one."""
    timestamp: datetime | None = None
    """When it was pushed, if known."""
    moment: datetime | None = None
    """When the event happened, if known."""
    body: Any = attrs.field(default=None, repr=False, metadata={"personal": True})
    """The body as JSON, unchanged. It may hold personal data."""
    content: Any = attrs.field(default=None, repr=False)
    """The body as a model if one matches, else `body`. It may hold personal data."""
    misfit: str | None = attrs.field(default=None, repr=False)
    """The place that does not match the model, such as "$.messageBody.orderId"."""
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False, metadata={"personal": True})
    """The fields of the frame that no page names."""
    raw: bytes = attrs.field(default=b"", repr=False, metadata={"personal": True})
    """The received bytes. They may hold personal data."""
    access_key: str | None = attrs.field(default=None, repr=False, metadata={"personal": True})
    """The access key whose secret signed it. Set by the receiver."""
    received: datetime | None = attrs.field(default=None, repr=False)
    """When it was stored. Set by the receiver."""
    attempt: int = 1
    """The number of the attempt to handle it, from 1. Set by the receiver."""
    order: MessageOrder = MessageOrder.UNKNOWN
    """Its place among the messages of the same refund or order. Set by the receiver."""

    @property
    def key(self) -> str | None:
        """The key for ordering messages: the refund, else the order."""
        if self.refund_id is not None:
            return f"{self.platform}:refund:{self.refund_id}"
        return None if self.order_id is None else f"{self.platform}:order:{self.order_id}"


def read(raw: bytes) -> Message:
    """Read a message after its signature was verified. Raises CallbackRefusedError if it is not one.

    An unknown type, an unknown platform and an unknown body are not a reason to refuse.

    >>> message = read(b'{"messageType": "1688_NEW_THING", "messageBody": {"orderId": 1}, "timestamp": "1"}')
    >>> message.platform, message.kind.value, message.order_id, message.timestamp
    ('1688', 'other', '1', None)
    """
    frame = _json(raw)
    if not isinstance(frame, dict):
        raise _unreadable("the body is not a JSON object")
    name = frame.get("messageType")
    if name is not None and (isinstance(name, bool) or not isinstance(name, str | int)):
        raise _unreadable("messageType is not text")
    name = "" if name is None else str(name)
    body = frame.get("messageBody")
    if isinstance(body, str) and body.lstrip()[:1] in ("{", "["):
        body = _json(body.encode())
    platform, kind = _platform(frame.get("messagePlatform"), name), _kind(name)
    content, misfit = typed(platform, kind, body)
    pushed = _moment(frame.get("timestamp"))
    return Message(
        id=hashlib.sha256(raw).hexdigest(),
        platform=platform,
        type=name,
        kind=kind,
        order_id=_first_id(body, _ORDER_IDS),
        refund_id=_first_id(body, _REFUND_IDS),
        timestamp=pushed,
        moment=next(filter(None, map(_moment, _found(body, _TIMES))), pushed),
        body=body,
        content=content,
        misfit=misfit,
        extra={field: value for field, value in frame.items() if field not in _FRAME},
        raw=raw,
    )


def content_id(message: Message) -> str:
    """Return an id without the time of the push, for a vendor that stamps every retry anew."""
    try:
        body = orjson.dumps(message.body, default=str, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # whole numbers beyond 64 bits, or nested beyond orjson's bounds
        return message.id
    names = orjson.dumps([message.platform, message.type])
    return hashlib.sha256(names + body).hexdigest()


_FRAME = frozenset(("messageType", "messageBody", "messagePlatform", "timestamp"))
_NUMBERED: Mapping[str, str] = {"0": "taobao", "1": "1688"}

_REFUND = re.compile("REFUND|AFTER_?SALE|REVERSE")
_STATUS = re.compile("STATUS|PAY|SENDGOODS|RECEIVEGOODS|SUCCESS|CLOSE|CANCEL|CREATE|BUYER_MAKE")

Path = tuple[str, ...]
_ORDER_IDS: tuple[Path, ...] = (
    ("orderId",),
    ("baseInfo", "idOfStr"),
    ("baseInfo", "id"),
    ("purchaseOrderId",),
    ("salesOrderId",),
    ("refundOrderAggregate", "purchaseOrderLine", "purchaseOrderId"),
)
_REFUND_IDS: tuple[Path, ...] = (("refundId",), ("refundOrderAggregate", "refundOrder", "refundId"))
_TIMES: tuple[Path, ...] = (("msgSendTime",), ("baseInfo", "modifyTime"), ("gmtModified",))


def _unreadable(problem: str) -> CallbackRefusedError:
    return CallbackRefusedError(f"not a message: {problem}", reason=CallbackReason.UNREADABLE)


def _json(raw: bytes) -> Any:
    try:
        return loads(raw)
    except ValueError as error:
        problem = str(error)
    raise _unreadable(problem)


def _platform(value: Any, name: str) -> str:
    """Return the platform by the page's number, else by the begin of the type."""
    if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        return _NUMBERED.get(str(value), str(value))
    beginning = name.partition("_")[0].lower()
    return beginning if beginning in PLATFORMS else ""


def _kind(name: str) -> CallbackType:
    """The group of a type. Only the two of the price changes were read; the rules hold the upstream's."""
    name = name.upper()
    if _REFUND.search(name):
        return CallbackType.REFUND
    if "PRICE" in name:
        return CallbackType.PRICE
    return CallbackType.STATUS if _STATUS.search(name) else CallbackType.OTHER


def _found(body: Any, paths: tuple[Path, ...]) -> Iterator[Any]:
    """Return the existing values at these paths."""
    for path in paths:
        value = body
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            yield value


def _first_id(body: Any, paths: tuple[Path, ...]) -> str | None:
    for value in _found(body, paths):
        if isinstance(value, int | str) and not isinstance(value, bool):
            text = str(value) if isinstance(value, str) or abs(value) < 10**LONGEST_ID else ""
            if 0 < len(text) <= LONGEST_ID:
                return text
    return None


def _moment(value: Any) -> datetime | None:
    """Read a time in any of the vendor's forms or in seconds; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value) if isinstance(value, str) or abs(value) < 10**20 else ""
    try:
        if re.fullmatch("[0-9]{9,10}", text):
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text))
        return parse_moment(text)
    except (ValueError, OverflowError):
        return None
