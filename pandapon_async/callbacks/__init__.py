"""What PandaPon pushes to you: verified, stored before it is answered, handled at least once.

`verify` and `read` are pure and enough by themselves; `Receiver` is the whole of it.
"""

from pandapon_async.callbacks.bodies import (
    RefundChange,
    StatusChange,
    TaobaoOrderView,
    TaobaoRefundChange,
    TaobaoSubOrder,
)
from pandapon_async.callbacks.messages import Kind, Message, MessageOrder, read
from pandapon_async.callbacks.receiver import Answer, Push, Receiver
from pandapon_async.callbacks.settings import CallbackSettings
from pandapon_async.callbacks.settle import CreateUnderWay, FoundCreate, Settled, settle_creates
from pandapon_async.callbacks.statistics import Statistics
from pandapon_async.callbacks.store import CallbackStoreUnavailable, Record, State, Store
from pandapon_async.callbacks.verify import verify
from pandapon_async.errors import CallbackReason, CallbackRefused

__all__ = [
    "Answer",
    "CallbackReason",
    "CallbackRefused",
    "CallbackSettings",
    "CallbackStoreUnavailable",
    "CreateUnderWay",
    "FoundCreate",
    "Kind",
    "Message",
    "MessageOrder",
    "Push",
    "Receiver",
    "Record",
    "RefundChange",
    "Settled",
    "State",
    "Statistics",
    "StatusChange",
    "Store",
    "TaobaoOrderView",
    "TaobaoRefundChange",
    "TaobaoSubOrder",
    "read",
    "settle_creates",
    "verify",
]
