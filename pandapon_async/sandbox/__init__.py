"""A PandaPon on your own machine, for learning, testing, measuring and failure tests.

It shares nothing with the client that it is there to check but the declarations and the signing rule.
"""

from pandapon_async.recording import Recording
from pandapon_async.sandbox.faults import Fault, FaultKind, chaos, parse_faults
from pandapon_async.sandbox.list_shapes import ListShape
from pandapon_async.sandbox.orders import OrderLine, OrderState
from pandapon_async.sandbox.records import Counters, Effect, RequestRecord
from pandapon_async.sandbox.refunds import LEDGER_AS_OF, RefundState
from pandapon_async.sandbox.server import Sandbox

__all__ = [
    "LEDGER_AS_OF",
    "Counters",
    "Effect",
    "Fault",
    "FaultKind",
    "ListShape",
    "OrderLine",
    "OrderState",
    "Recording",
    "RefundState",
    "RequestRecord",
    "Sandbox",
    "chaos",
    "parse_faults",
]
