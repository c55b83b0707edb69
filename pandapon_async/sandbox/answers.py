"""Answers to the calls that nothing is kept for: made from the declared response type, true to it.

An answer depends on the call and its arguments only, so the same question gets the same answer. What
the caller named (a refund, an item, a language) comes back under the same name where the answer has it.
"""

from __future__ import annotations

import types
import typing
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Union

import orjson

from pandapon_async.core.structure import wire_fields
from pandapon_async.endpoint import Endpoint
from pandapon_async.models.base import IdMark, Model, OpenEnum, PageModel
from pandapon_async.money import Fen
from pandapon_async.sandbox.catalogue import yuan
from pandapon_async.sandbox.numbering import draws
from pandapon_async.sandbox.refunds import START_MS, WINDOW_MS
from pandapon_async.sandbox.upstream import Upstream
from pandapon_async.sandbox.wire_1688 import compact_date

__all__ = ["answer", "example"]

_DEEPEST = 8
_REFUSALS = ("error_code", "error_info", "error_msg")  # of answers that are no refusals


def answer(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """The data of an answer to this call, made up."""
    question = orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS).decode()
    return example(endpoint.response_type, f"{endpoint.operation}:{question}", arguments)


def example(kind: Any, name: str, arguments: dict[str, Any]) -> Any:
    """A JSON value that structures into `kind`, the same for ever for one name and arguments.

    Null for a type that says nothing (`Any`).
    """
    return _Example(arguments).value(kind, name, "", 0)


class _Example:
    """Makes values of any response type; `name` is what their chance hangs on."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = arguments

    def value(self, kind: Any, name: str, field: str, depth: int) -> Any:
        if kind in (None, Any, types.NoneType) or depth > _DEEPEST:
            return None
        if _origin(kind) is Union:
            return self.value(_arm(kind), name, field, depth)
        if _origin(kind) is list:
            return self._list(typing.get_args(kind)[0], name, field, depth)
        if isinstance(kind, type) and issubclass(kind, PageModel):
            return self._page(kind, name, depth)
        if isinstance(kind, type) and issubclass(kind, Model):
            return self._object(kind, name, depth)
        return _plain(kind, name, field)

    def _object(self, kind: type[Model], name: str, depth: int) -> dict[str, Any]:
        hints = typing.get_type_hints(kind, include_extras=True)
        made: dict[str, Any] = {}
        for wire, field in wire_fields(kind).items():
            hint = hints[field.name]
            if field.name in _REFUSALS:
                made[wire] = None
            elif field.name in ("success", "cancel_success", "sale_flag"):
                made[wire] = True
            else:
                asked = self._arguments.get(wire)
                echoed = _is_id(hint) and isinstance(asked, str | int) and not isinstance(asked, bool)
                value = asked if echoed else self.value(hint, f"{name}.{wire}", field.name, depth + 1)
                made[wire] = value
        return made

    def _list(self, kind: Any, name: str, field: str, depth: int) -> list[Any]:
        return [self.value(kind, f"{name}[{at}]", field, depth + 1) for at in (0, 1)]

    def _page(self, kind: type[PageModel], name: str, depth: int) -> dict[str, Any]:
        """The first page holds all there is, so that turning pages ends."""
        hint = typing.get_type_hints(kind, include_extras=True)["items"]
        first = self._arguments.get("pageNo", 1) == 1
        return {"total": 2, "list": self.value(hint, name, "items", depth + 1) if first else []}


def _plain(kind: Any, name: str, field: str) -> Any:
    draw = draws(0, "answer", name)[0]
    if _is_id(kind):
        return str(10**11 + draw)
    if kind is bool:
        return draw % 2 == 0
    if kind in (int, Fen):
        return 1 + draw % 10_000
    if kind is Decimal:
        return yuan(draw % 100_000)
    if kind is datetime:
        return compact_date(START_MS + (draw * WINDOW_MS >> 32))
    if isinstance(kind, type) and issubclass(kind, OpenEnum):
        members = list(kind)
        return members[draw % len(members)].value
    if kind is str:
        is_link = field.endswith(("url", "urls", "img", "pic", "image", "images", "video")) or not field
        return (
            f"https://images.sandbox.invalid/{draw}"
            if is_link
            else f"{field.replace('_', ' ')} {draw % 1000}"
        )
    return {}


def _origin(kind: Any) -> Any:
    origin = typing.get_origin(kind)
    return Union if origin is types.UnionType else origin


def _arm(kind: Any) -> Any:
    """The arm of a union to make an example of: the first that is not null."""
    return next(arm for arm in typing.get_args(kind) if arm is not types.NoneType)


def _is_id(kind: Any) -> bool:
    if _origin(kind) is Union:
        kind = _arm(kind)
    return typing.get_origin(kind) is Annotated and any(
        isinstance(mark, IdMark) for mark in typing.get_args(kind)
    )
