"""The states of a refund and the steps between them.

Written out here and not taken from the client's models, because the sandbox checks those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pandapon_async.sandbox.numbering import ALIBABA, TAOBAO

__all__ = ["MOVES", "UNKNOWN", "UPPER_SNAKE", "Freight", "Status", "is_open", "may_move"]

Status = str | int
"""1688 writes words, Taobao numbers."""
Freight = Literal["added", "included"]
"""Whether the freight of a 1688 refund is on top of its amount or part of it."""

MOVES: Mapping[str, Mapping[Status, tuple[Status, ...]]] = {
    ALIBABA: {
        "waitselleragree": ("waitbuyermodify", "waitbuyersend", "refundsuccess", "refundclose"),
        "waitbuyermodify": ("waitselleragree", "refundclose"),
        "waitbuyersend": ("waitsellerreceive", "refundclose"),
        "waitsellerreceive": ("waitbuyermodify", "refundsuccess", "refundclose"),
        "refundsuccess": (),
        "refundclose": (),
    },
    TAOBAO: {
        0: (10, -20),  # nothing applied for yet
        10: (20, 100, -10, -20),  # applied
        20: (30, -20),  # agreed, the goods are to go back
        30: (100, -10, -20),  # goods on their way back
        -10: (10, -20),  # refused, the buyer may change it
        100: (),  # paid back
        -20: (),  # closed
    },
}

UNKNOWN: Mapping[str, Status] = {ALIBABA: "waitplatformjudge", TAOBAO: 77}
"""A state that no page names: what a client meets when the platform adds one."""

UPPER_SNAKE: Mapping[Status, str] = {
    "waitselleragree": "WAIT_SELLER_AGREE",
    "waitbuyermodify": "WAIT_BUYER_MODIFY",
    "waitbuyersend": "WAIT_BUYER_SEND",
    "waitsellerreceive": "WAIT_SELLER_RECEIVE",
    "refundsuccess": "REFUND_SUCCESS",
    "refundclose": "REFUND_CLOSED",
}
"""The second spelling of 1688's states, as its order lines have it."""


def is_open(platform: str, status: Status) -> bool:
    """Whether anything can still happen. An unknown state counts as finished: no step leads out of it."""
    return bool(MOVES[platform].get(status))


def may_move(platform: str, before: Status, after: Status) -> bool:
    """Whether a refund may go from one state to the other in one step."""
    return after in MOVES[platform].get(before, ())
