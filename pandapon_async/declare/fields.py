"""The rules of arguments: which values each accepts, and their form on the wire.

A declaration annotates each argument with one of these rules: `Annotated[str, TextField(2, 150)]`. The same
rule checks the caller's value before anything is sent, shapes it for the wire, reads it from a command line,
and describes it in the exported schema. A refused value raises `ValueError`, which describes the accepted
form and never quotes the value, because it may be personal.
"""

from __future__ import annotations

import enum
import functools
import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Protocol

import attrs

from pandapon_async.core.json_codec import dumps, refuse_floats
from pandapon_async.core.model import Wire
from pandapon_async.images import Image, ImageSource
from pandapon_async.money import Fen

__all__ = [
    "BoolField",
    "EnumField",
    "FenField",
    "Field",
    "IdInteger",
    "IdText",
    "ImageField",
    "ImageFile",
    "IntegerField",
    "IntegerIdField",
    "JsonField",
    "JsonTextField",
    "ListField",
    "NonEmpty",
    "NumberField",
    "OrderEntryIds",
    "OrderIdInteger",
    "OrderIdText",
    "PageNo",
    "Reference",
    "RefundId1688",
    "RefundIdTaobao",
    "TextField",
    "TextIdField",
    "TimestampField",
    "VoucherImage",
    "YuanField",
]

LARGEST_ID = 2**63 - 1

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # what UTF-8 cannot encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@functools.cache  # re's own cache takes three times as long
def _shape(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


class Field(Protocol):
    """The rule of one argument: how it is checked and written."""

    def encode(self, value: Any) -> Any:
        """Return the wire form, or raise ValueError with the accepted form."""
        ...

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the wire form."""
        ...


@attrs.define(frozen=True)
class TextField:
    """Text of `minimum` to `maximum` characters, optionally with a pattern."""

    minimum: int = 1
    maximum: int | None = None
    pattern: str | None = None
    example: str | None = None

    def encode(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"must be text, not {type(value).__name__}")
        length = len(value)
        if length < self.minimum or (self.maximum is not None and length > self.maximum):
            bounds = f"{self.minimum} to {self.maximum}" if self.maximum else f"at least {self.minimum}"
            raise ValueError(f"must have {bounds} characters, has {length}")
        if self.minimum and value.isspace():
            raise ValueError("must be text, not only spaces")
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            hint = f", such as {self.example}" if self.example else ""
            raise ValueError(f"must match {self.pattern}{hint}")
        if not value.isascii() and _HALF_CHARACTER.search(value):
            raise ValueError("must be text without lone surrogates, which UTF-8 cannot encode")
        return value

    def schema(self) -> dict[str, Any]:
        facts = {
            "type": "string",
            "minLength": self.minimum or None,
            "maxLength": self.maximum,
            "pattern": f"^{self.pattern}$" if self.pattern else None,
            "examples": [self.example] if self.example else None,
        }
        return {name: fact for name, fact in facts.items() if fact is not None}


@attrs.define(frozen=True)
class TextIdField:
    """An id that is text on the wire; pass int or str. The whole id must match `pattern`.

    A stray space or TAB (one of the vendor's own samples has one) is refused, not trimmed;
    `pandapon_async.reconcile` trims it when it reads a table.
    """

    pattern: str = r"[A-Za-z0-9_-]{1,64}"
    example: str = "110000235001"

    def encode(self, value: Any) -> str:
        text = value if value.__class__ is str else self._text(value)
        if _shape(self.pattern).fullmatch(text) is None:
            raise ValueError(f"must be an id such as {self.example} ({self.pattern}, no spaces)")
        return text

    @staticmethod
    def _text(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"must be an id as int or text, not {type(value).__name__}")
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$", "examples": [self.example]}


@attrs.define(frozen=True)
class IntegerIdField:
    """An id that is a JSON integer on the wire, up to 2**63-1; pass int or digits."""

    def encode(self, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("must be an id as int or digits, such as 2542285634920880794")
        if not 0 < value <= LARGEST_ID:
            raise ValueError("must be an id between 1 and 2**63-1")
        return int(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "format": "int64", "minimum": 1, "maximum": LARGEST_ID}


@attrs.define(frozen=True)
class IntegerField:
    """A whole number from `minimum` to `maximum`, both included; by default the range of 64 bits."""

    minimum: int | None = None
    maximum: int | None = None

    def encode(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, not {type(value).__name__}")
        least, most = self._bounds
        if not least <= value <= most:
            raise ValueError(f"must be >= {least} and <= {most}")
        return int(value)

    def schema(self) -> dict[str, Any]:
        least, most = self._bounds
        return {"type": "integer", "minimum": least, "maximum": most}

    @property
    def _bounds(self) -> tuple[int, int]:
        least = -LARGEST_ID - 1 if self.minimum is None else self.minimum
        return least, LARGEST_ID if self.maximum is None else self.maximum


@attrs.define(frozen=True)
class FenField:
    """Money in whole fen, 0 or more. Convert yuan with `Fen.from_yuan`; a float is refused."""

    def encode(self, value: Any) -> int:
        if isinstance(value, Decimal | float):
            raise ValueError("must be whole fen (int or Fen); for yuan write Fen.from_yuan('12.50')")
        return IntegerField(0, LARGEST_ID).encode(value)

    def schema(self) -> dict[str, Any]:
        return {**IntegerField(0, LARGEST_ID).schema(), "description": "fen, 1/100 yuan"}


@attrs.define(frozen=True)
class YuanField:
    """Money in yuan, as `Decimal`, int or text with at most two decimals; a float is refused."""

    def encode(self, value: Any) -> str:
        try:
            amount = Fen.from_yuan(value)
        except TypeError as error:
            raise ValueError(str(error)) from None
        if amount < 0:
            raise ValueError("must not be negative")
        return str(amount.yuan)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\d+(\.\d{1,2})?$", "description": "yuan"}


@attrs.define(frozen=True)
class NumberField:
    """A number with at most `decimals` decimals; pass int, Decimal or text, not float.

    For quantities, and for amounts whose unit the vendor does not state. On the wire it is a JSON number, or
    text with `as_text`.
    """

    minimum: int = 0
    decimals: int = 2
    as_text: bool = False

    @property
    def _pattern(self) -> str:
        fraction = rf"(\.[0-9]{{1,{self.decimals}}})?" if self.decimals else ""
        return "[0-9]{1,12}" + fraction

    def encode(self, value: Any) -> int | float | str:
        if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
            raise ValueError(f"must be a number as int, Decimal or text, not {type(value).__name__}")
        text = format(value, "f") if isinstance(value, Decimal) else str(value)
        if re.fullmatch(self._pattern, text, re.ASCII) is None or Decimal(text) < self.minimum:
            decimals = f"with at most {self.decimals} decimals" if self.decimals else "without decimals"
            raise ValueError(f"must be a number of at least {self.minimum}, {decimals}, below 10**12")
        if self.as_text:
            return text
        # The only float of this client: orjson writes no other fraction, and 14 digits stay exact.
        return float(text) if "." in text else int(text)

    def schema(self) -> dict[str, Any]:
        if self.as_text:
            return {"type": "string", "pattern": f"^{self._pattern}$"}
        return {"type": "number", "minimum": self.minimum}


@attrs.define(frozen=True)
class BoolField:
    """A boolean; "true", 1 and the like are refused."""

    def encode(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be True or False, not {type(value).__name__}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@attrs.define(frozen=True)
class EnumField:
    """A value of an enumeration; pass a member or a plain value.

    An unknown value is refused unless `open` is set, because the vendor may have more values.
    """

    values: type[enum.Enum]
    open: bool = False

    def encode(self, value: Any) -> Any:
        raw = value.value if isinstance(value, enum.Enum) else value
        known = [member.value for member in self.values]
        # The class first, because in Python False == 0 and 10.0 == 10.
        same_kind = isinstance(raw, type(known[0])) and not isinstance(raw, bool)
        if not same_kind or (raw not in known and not self.open):
            raise ValueError(f"must be one of {', '.join(map(str, known))}")
        return TextField(0).encode(raw) if isinstance(raw, str) else IntegerField().encode(raw)

    def schema(self) -> dict[str, Any]:
        known = [member.value for member in self.values]
        numbers = isinstance(known[0], int)
        if self.open:
            return {**(IntegerField().schema() if numbers else {"type": "string"}), "examples": known}
        return {"type": "integer" if numbers else "string", "enum": known}


@attrs.define(frozen=True)
class TimestampField:
    """A point in time, epoch milliseconds on the wire; pass an aware datetime or milliseconds.

    `of_list` says that it bounds a list of refunds, whose `unit` is the vendor's: see `ListFacts`.
    """

    of_list: bool = False
    unit: Literal["ms", "s"] = "ms"

    def encode(self, value: Any) -> int:
        if isinstance(value, datetime) and value.utcoffset() is not None:
            value = round((value - _EPOCH) / timedelta(milliseconds=1))
        if isinstance(value, bool) or not isinstance(value, int) or not 10**11 <= value < 10**14:
            raise ValueError(
                "must be a datetime with a time zone or epoch milliseconds (12 to 14 digits), from 1973 "
                "to 5138"
            )
        return value if self.unit == "ms" else value // 1000

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "format": "int64", "minimum": 10**11, "maximum": 10**14 - 1}


@attrs.define(frozen=True)
class ListField:
    """A list of `minimum` to `maximum` items with one rule for each item; text is not a list."""

    item: Field
    minimum: int = 1
    maximum: int | None = None

    def encode(self, value: Any) -> list[Any]:
        no_list = isinstance(value, str | bytes | bytearray | memoryview | Mapping)
        if no_list or not isinstance(value, Iterable):
            raise ValueError(f"must be a list, not {type(value).__name__}")
        items = list(value)
        if len(items) < self.minimum or (self.maximum is not None and len(items) > self.maximum):
            bounds = f"{self.minimum} to {self.maximum}" if self.maximum else f"at least {self.minimum}"
            raise ValueError(f"must have {bounds} items, has {len(items)}")
        encoded = []
        for position, item in enumerate(items):
            try:
                encoded.append(self.item.encode(item))
            except ValueError as error:
                raise ValueError(f"item {position}: {error}") from None
        return encoded

    def schema(self) -> dict[str, Any]:
        facts = {
            "type": "array",
            "items": self.item.schema(),
            "minItems": self.minimum or None,
            "maxItems": self.maximum,
        }
        return {name: fact for name, fact in facts.items() if fact is not None}


@attrs.define(frozen=True)
class JsonField:
    """Any JSON value, passed through; for fields whose form the vendor's pages do not show."""

    def encode(self, value: Any) -> Any:
        refuse_floats(value)
        dumps(value)
        return value

    def schema(self) -> dict[str, Any]:
        return {}


@attrs.define(frozen=True)
class JsonTextField:
    """A value with its own rule that is JSON text on the wire, as in a few of the vendor's fields."""

    rule: Field

    def encode(self, value: Any) -> str:
        if isinstance(value, str):
            raise ValueError("must be the value itself, not JSON text: the client writes it as JSON")
        return dumps(self.rule.encode(value)).decode()

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": self.rule.schema(),
        }


@attrs.define(frozen=True)
class ImageField:
    """An image, base64 on the wire; pass bytes, a path or a binary file. Its first bytes show the format.

    `formats` and `maximum_bytes` are limits of this client; with `of_vendor` the limits of the vendor's
    profile replace them. Bytes are checked at once; a path or a file is opened when the call's turn comes.
    """

    maximum_bytes: int = 1_048_576
    formats: tuple[str, ...] = ("jpeg", "png", "gif", "bmp")
    of_vendor: bool = False

    def encode(self, value: Any) -> Image | ImageFile:
        if isinstance(value, ImageFile):
            return value
        if isinstance(value, str | os.PathLike) or hasattr(value, "read"):
            return ImageFile(value, self)
        return self.open(value)

    def open(self, value: Any) -> Image:
        """Read and check the image."""
        return Image.open(value, maximum_bytes=self.maximum_bytes, formats=self.formats)

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "contentEncoding": "base64",
            "minLength": 1,
            "description": f"{', '.join(self.formats)} of at most {self.maximum_bytes} bytes, "
            "base64 without the data: prefix",
        }


@attrs.define(repr=False)
class ImageFile:
    """An image that is not open yet: its path or file, and its rule."""

    source: Any
    rule: ImageField
    _image: Image | None = attrs.field(default=None, init=False)

    def open(self) -> Image:
        """Read and check the image; blocks on file access the first time."""
        if self._image is None:
            self._image = self.rule.open(self.source)
        return self._image


NonEmpty = Annotated[str, TextField()]
# A number assigned by someone else, such as a waybill's: a stray TAB would make it another number.
Reference = Annotated[str, TextField(1, 64, r"\S(.*\S)?", "SF00000000001")]
PageNo = Annotated[int, IntegerField(1)]
IdText = Annotated[int | str, TextIdField()]
IdInteger = Annotated[int | str, IntegerIdField()]
RefundId1688 = Annotated[str, TextIdField(r"T[QD][0-9]{1,20}", "TQ201808300000001")]
RefundIdTaobao = Annotated[int | str, TextIdField(r"[0-9]{1,20}", "110000235001")]
OrderIdInteger = Annotated[int | str, IntegerIdField()]
OrderEntryIds = Annotated[Iterable[int | str], ListField(IntegerIdField())]
OrderIdText = Annotated[int | str, TextIdField(r"[0-9]{1,20}", "1022505290408395575")]
VoucherImage = Annotated[ImageSource, ImageField(999_999, of_vendor=True), Wire("imageData")]
