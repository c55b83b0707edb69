"""Answers to the calls that nothing is kept for: made up from the declared response type, true to it.

An answer depends on the call and its arguments only, so the same question gets the same answer.
"""

from __future__ import annotations

from typing import Any

import orjson

from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.openapi import example_answer
from pandapon_async.sandbox.numbering import draws
from pandapon_async.sandbox.upstream import Upstream

__all__ = ["answer", "chance"]


def answer(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """The data of an answer to this call, made up; ids that were asked for come back in it."""
    return example_answer(endpoint, chance(endpoint.name, arguments)[0], arguments)


def chance(name: str, arguments: dict[str, Any]) -> tuple[int, ...]:
    """Sixteen even draws that hang on a name and the arguments of a call alone."""
    return draws(0, name, orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS).decode())
