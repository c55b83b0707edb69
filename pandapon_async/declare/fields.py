"""What an argument may be, and how it looks on the wire.

A declaration annotates each argument with one of these rules: `Annotated[str, TextField(2, 150)]`. The
same rule checks the caller's value before anything is sent, shapes it for the wire, reads it from
a command line, and describes it in the exported schema. A refused value raises `ValueError` with
what would be right; the value itself is never repeated, as it may be personal.
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

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # what no encoding can carry
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@functools.cache  # re's own takes three times as long to find a pattern again
def _shape(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


class Field(Protocol):
    """How one argument is checked and written."""

    def encode(self, value: Any) -> Any:
        """The wire form, or ValueError that says what would be right."""
        ...

    def schema(self) -> dict[str, Any]:
        """The JSON schema of the wire form."""
        ...


@attrs.define(frozen=True)
class TextField:
    """Text of `minimum` to `maximum` characters, optionally of one shape."""

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
            raise ValueError("must be text, not only blanks")
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            hint = f", such as {self.example}" if self.example else ""
            raise ValueError(f"must match {self.pattern}{hint}")
        if not value.isascii() and _HALF_CHARACTER.search(value):
            raise ValueError("must be text without half characters (lone surrogates)")
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
    """An id that travels as text; given as int or str. `pattern` is what the whole id must match.

    A stray blank or TAB (one of the vendor's own samples has one) is refused, not trimmed: trimming
    belongs where the data is read, see `pandapon_async.reconcile`.
    """

    pattern: str = r"[A-Za-z0-9_-]{1,64}"
    example: str = "110000235001"

    def encode(self, value: Any) -> str:
        text = value if value.__class__ is str else self._text(value)
        if _shape(self.pattern).fullmatch(text) is None:
            raise ValueError(f"must be an id such as {self.example} ({self.pattern}, no blanks)")
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
    """An id that travels as a JSON integer, up to 2**63-1; given as int or as digits."""

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
    """A whole number within bounds, both included; without a bound, what 64 bits can hold."""

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
    """Money in whole fen, 0 or more. Yuan go through `Fen.from_yuan`; a float is refused."""

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
    """A number with at most `decimals` decimals, given as int, Decimal or text; a float is refused.

    For quantities, and for amounts whose unit the vendor does not state. It travels as a JSON number,
    or as text where `as_text` says so.
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
        # The one float of this client: JSON knows no other fraction, and 14 digits are written as given.
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
    """One of an enumeration's values, given as member or as plain value.

    A value that the enumeration does not know is refused, unless `open`: the vendor may have more.
    """

    values: type[enum.Enum]
    open: bool = False

    def encode(self, value: Any) -> Any:
        raw = value.value if isinstance(value, enum.Enum) else value
        known = [member.value for member in self.values]
        # By class first: to Python False is 0 and 10.0 is 10.
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
    """A point in time that travels as epoch milliseconds; given as aware datetime or as ms.

    `of_list` says that it bounds a list of refunds, whose `unit` is the vendor's: see `ListFacts`.
    """

    of_list: bool = False
    unit: Literal["ms", "s"] = "ms"

    def encode(self, value: Any) -> int:
        if isinstance(value, datetime) and value.utcoffset() is not None:
            value = round((value - _EPOCH) / timedelta(milliseconds=1))
        if isinstance(value, bool) or not isinstance(value, int) or not 10**11 <= value < 10**14:
            raise ValueError(
                "must be a datetime with a time zone, or epoch milliseconds (13 digits); from 1973 to 5138"
            )
        return value if self.unit == "ms" else value // 1000

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "format": "int64", "minimum": 10**11, "maximum": 10**14 - 1}


@attrs.define(frozen=True)
class ListField:
    """A list of `minimum` to `maximum` items, each under its own rule; a text is not a list."""

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
    """Anything JSON can carry, handed through; for fields whose shape the vendor's pages do not show."""

    def encode(self, value: Any) -> Any:
        refuse_floats(value)
        dumps(value)
        return value

    def schema(self) -> dict[str, Any]:
        return {}


@attrs.define(frozen=True)
class JsonTextField:
    """A value under its own rule that travels as text holding JSON, as a few of the vendor's fields do."""

    rule: Field

    def encode(self, value: Any) -> str:
        if isinstance(value, str):
            raise ValueError("must be given as it is, not as JSON text: it is written as JSON here")
        return dumps(self.rule.encode(value)).decode()

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": self.rule.schema(),
        }


@attrs.define(frozen=True)
class ImageField:
    """An image that travels as base64: bytes, a path or a binary file. Checked from its first bytes.

    `formats` and `maximum_bytes` are bounds of this client; `of_vendor` says that the vendor has some, which
    its profile names and which hold instead. Bytes are checked at once; a path or a file is opened when the
    call's turn comes.
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
        """The image, checked; reads a file."""
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
    """An image that nobody has opened yet: its path or file, and the rule that it must keep."""

    source: Any
    rule: ImageField
    _image: Image | None = attrs.field(default=None, init=False)

    def open(self) -> Image:
        """The image, checked. Reads the file, the first time only: not for the event loop."""
        if self._image is None:
            self._image = self.rule.open(self.source)
        return self._image


NonEmpty = Annotated[str, TextField()]
# A number someone else gave, such as a waybill's: a stray TAB in it would be another number.
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
