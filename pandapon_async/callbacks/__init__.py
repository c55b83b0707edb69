"""Receive PandaPon's pushes: verified, stored before the answer, handled at least once.

`verify` and `read` are pure functions for your own receiver; `Receiver` does everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandapon_async.callbacks.verify import verify
from pandapon_async.core.later import later
from pandapon_async.errors import CallbackReason, CallbackRefusedError

if TYPE_CHECKING:
    from pandapon_async.callbacks.bodies import (
        RefundChange,
        StatusChange,
        TaobaoOrderView,
        TaobaoRefundChange,
        TaobaoSubOrder,
    )
    from pandapon_async.callbacks.messages import CallbackType, Message, MessageOrder, read
    from pandapon_async.callbacks.push import Push, ReceiverResponse
    from pandapon_async.callbacks.receiver import Receiver
    from pandapon_async.callbacks.settings import CallbackSettings
    from pandapon_async.callbacks.statistics import Statistics
    from pandapon_async.callbacks.store import (
        CallbackStoreUnavailableError,
        MessageState,
        MessageStore,
        Record,
    )

__all__ = [
    "CallbackReason",
    "CallbackRefusedError",
    "CallbackSettings",
    "CallbackStoreUnavailableError",
    "CallbackType",
    "Message",
    "MessageOrder",
    "MessageState",
    "MessageStore",
    "Push",
    "Receiver",
    "ReceiverResponse",
    "Record",
    "RefundChange",
    "Statistics",
    "StatusChange",
    "TaobaoOrderView",
    "TaobaoRefundChange",
    "TaobaoSubOrder",
    "read",
    "verify",
]

if not TYPE_CHECKING:
    __getattr__ = later(
        __name__,
        {
            "callbacks.bodies": "RefundChange StatusChange TaobaoOrderView TaobaoRefundChange TaobaoSubOrder",
            "callbacks.messages": "CallbackType Message MessageOrder read",
            "callbacks.push": "Push ReceiverResponse",
            "callbacks.receiver": "Receiver",
            "callbacks.settings": "CallbackSettings",
            "callbacks.statistics": "Statistics",
            "callbacks.store": "CallbackStoreUnavailableError MessageState MessageStore Record",
        },
    )
