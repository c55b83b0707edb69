"""Made-up answers that are true to their types: for the examples of the document and for servers.

The same type and seed give the same answer in every process and version: no value depends on the
order in which others were made. Persons, numbers and addresses are invented.
"""

from __future__ import annotations

import hashlib
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Union

from pandapon_async.core.model import BEIJING, Model, OpenEnum, PageModel
from pandapon_async.core.outcome import DATA_IF_ANY
from pandapon_async.core.structure import wire_fields
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.money import Fen
from pandapon_async.openapi.schemas import arms_of, is_id, known_values

__all__ = ["example_answer", "example_data"]

_REFUSALS = frozenset({"error_code", "error_info", "error_msg"})  # filled in refusals only
_START = datetime(2025, 1, 1, tzinfo=UTC)
_IMAGE_WORDS = ("image", "img", "pic", "video", "url")
_PERSONS = ("Li Example", "Wang Example", "Zhang Example")


def example_answer(endpoint: Endpoint, seed: int = 0, asked: Mapping[str, Any] | None = None) -> Any:
    """The data of a successful answer to a call, as JSON.

    `asked` are the arguments by wire name: ids among them come back in the fields of the same name.
    """
    data = example_data(endpoint.response_type, seed, asked)
    if endpoint.confirmed_by in ("data", DATA_IF_ANY):
        return True
    if endpoint.confirmed_by is not None and isinstance(data, dict) and not data.get(endpoint.confirmed_by):
        data[endpoint.confirmed_by] = True
    return data


def example_data(kind: Any, seed: int = 0, asked: Mapping[str, Any] | None = None) -> Any:
    """A JSON value that fits a response type: objects by wire names, ids as text, fen as whole numbers.

    Data whose shape no page shows (`Any`) is an empty object, except that inside others it is null.
    """
    return {} if kind is Any else _Maker(seed, asked or {}).value(kind, "$", "", compact=False)


class _Maker:
    def __init__(self, seed: int, asked: Mapping[str, Any]) -> None:
        self._seed = seed
        self._asked = asked

    def _draw(self, path: str, below: int) -> int:
        """A number from 0 up to `below`, bound to a place in the answer."""
        name = f"{self._seed}:{path}".encode()
        return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") % below

    def value(self, kind: Any, path: str, name: str, *, compact: bool) -> Any:
        """`name` is the field's; `compact` says which form dates have in the answer around it."""
        if kind in (None, Any, types.NoneType):
            return None
        if is_id(kind):
            return str(10**11 + self._draw(path, 9 * 10**11))
        if typing.get_origin(kind) in (Union, types.UnionType):
            return self.value(arms_of(kind)[0], path, name, compact=compact)
        if typing.get_origin(kind) is list:
            item = typing.get_args(kind)[0]
            count = 1 + self._draw(f"{path}#", 2)
            return [self.value(item, f"{path}[{at}]", name, compact=compact) for at in range(count)]
        if issubclass(kind, PageModel):
            items = typing.get_type_hints(kind, include_extras=True)["items"]
            rows = self.value(items, f"{path}.list", "items", compact=compact)
            return {"total": len(rows), "list": rows}
        if issubclass(kind, Model):
            return self._object(kind, path)
        return self._plain(kind, path, name, compact)

    def _object(self, kind: type[Model], path: str) -> dict[str, Any]:
        compact = ".alibaba." in kind.__module__  # 1688 writes its dates out, Taobao counts milliseconds
        hints = typing.get_type_hints(kind, include_extras=True)
        made: dict[str, Any] = {}
        for wire, field in wire_fields(kind).items():
            place = f"{path}.{wire}"
            hint = hints[field.name]
            if field.name in _REFUSALS:
                made[wire] = None
            elif is_id(arms_of(hint)[0]) and isinstance(self._asked.get(wire), int | str):
                made[wire] = str(self._asked[wire])
            elif field.name.endswith("success"):
                made[wire] = True
            elif field.metadata.get("personal") and str in arms_of(hint):
                made[wire] = self._personal(field.name, place)
            else:
                made[wire] = self.value(hint, place, field.name, compact=compact)
        return made

    def _personal(self, name: str, path: str) -> str:
        number = self._draw(path, 1000)
        if any(word in name for word in ("phone", "mobile", "fax", "contact")):
            return f"13800000{number:03}"
        if "address" in name:
            return f"Example Road {number}"
        if any(word in name for word in ("zip", "post")):
            return f"{number:06}"
        return _PERSONS[number % len(_PERSONS)]

    def _plain(self, kind: Any, path: str, name: str, compact: bool) -> Any:
        if kind is bool:
            return bool(self._draw(path, 2))
        if kind in (int, Fen):
            return 1 + self._draw(path, 9_999)
        if kind is Decimal:
            return f"{1 + self._draw(path, 9_999)}.50"
        if kind is datetime:
            moment = _START + timedelta(seconds=self._draw(path, 86_400 * 300))
            if compact:
                return f"{moment.astimezone(BEIJING):%Y%m%d%H%M%S}000+0800"
            return int(moment.timestamp()) * 1000
        if issubclass(kind, OpenEnum):
            known = known_values(kind)
            return known[self._draw(path, len(known))]
        if kind is str:
            return self._text(path, name)
        raise AssertionError(f"no example for {kind}: add one")

    def _text(self, path: str, name: str) -> str:
        number = self._draw(path, 1000)
        if name == "currency":
            return "CNY"
        if name == "image_relative_url":
            return f"/example/{number}.jpg"
        if any(word in name for word in _IMAGE_WORDS) or not name:
            return f"https://example.com/{number}.jpg"
        return f"{name.replace('_', ' ')} {number}"
