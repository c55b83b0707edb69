"""Receive PandaPon's pushes: verified, stored before the answer, handled at least once.

`verify` and `read` are pure functions for your own receiver; `Receiver` does everything.
"""

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
from pandapon_async.callbacks.store import CallbackStoreUnavailableError, MessageState, MessageStore, Record
from pandapon_async.callbacks.verify import verify
from pandapon_async.errors import CallbackReason, CallbackRefusedError

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
