"""What can be bought: every offer id is a product, computed from the id alone.

So whatever is looked up, put into a cart or ordered has the same price everywhere. The first
generation of calls names an offer by a number, the second by opaque text: both name the same product.
"""

from __future__ import annotations

import base64
import hashlib
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any

import attrs

from pandapon_async.sandbox.numbering import draws

__all__ = ["Product", "Variant", "amount_of", "found_offers", "offer_number", "opaque", "product", "yuan"]

IMAGES = "https://images.sandbox.invalid"

_THINGS = ("不锈钢保温杯", "棉麻桌布", "蓝牙耳机", "儿童雨靴", "真丝围巾", "竹制砧板", "露营灯", "帆布包")
_MANNERS = ("加厚", "便携", "新款", "出口", "工厂直销", "可定制")
_COLOURS = (("白色", "white"), ("黑色", "black"), ("蓝色", "blue"), ("红色", "red"))
_SHOPS = ("义乌市晨光日用品厂", "广州市白云区合源贸易", "晋江市步远鞋业", "深圳市声动数码", "杭州丝语服饰")


@attrs.define(frozen=True)
class Variant:
    """One variant of a product; `spec_id` is what 1688 orders name it by."""

    sku_id: str
    spec_id: str
    colour: str


@attrs.define(frozen=True)
class Product:
    """One product. All variants cost the same: `price` is fen a piece."""

    offer_id: str
    price: int
    stock: int
    minimum: int
    subject: str
    shop: str
    seller: str
    variants: tuple[Variant, ...]
    salt: int

    @property
    def offer_map_id(self) -> str:
        """The opaque id of the same product."""
        return opaque(int(self.offer_id))

    @property
    def image(self) -> str:
        """The url of a picture; nothing is behind it."""
        return f"{IMAGES}/offer/{self.offer_id}.jpg"

    def variant(self, spec_id: str | None) -> Variant:
        """The variant of this name, else the first."""
        return next((one for one in self.variants if one.spec_id == spec_id), self.variants[0])


def opaque(number: int) -> str:
    """The opaque id of an offer: 22 characters, as the vendor's samples have them."""
    name = number.to_bytes(8, "big")
    check = hashlib.blake2b(name, digest_size=8).digest()
    return base64.urlsafe_b64encode(bytes(map(int.__xor__, name, check)) + check).decode().rstrip("=")


def offer_number(offer_id: Any) -> int:
    """The number of an offer, from number, digits or opaque id; other text names an offer as well."""
    text = str(offer_id)
    if text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63:
        return int(text)
    try:
        data = base64.b64decode(f"{text}==", altchars=b"-_", validate=True)
    except ValueError:
        data = b""
    number = int.from_bytes(map(int.__xor__, data[:8], data[8:]), "big")
    return number if opaque(number) == text else 600_000_000_000 + draws(0, "offer", text)[0]


@lru_cache(maxsize=4096)
def product(number: int) -> Product:
    """The product of this number."""
    draw = draws(0, "product", number)
    name = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
    colours = _COLOURS[: 1 + draw[0] % len(_COLOURS)]
    return Product(
        offer_id=str(number),
        price=100 + draw[1] % 2_000 * 10,
        stock=1_000 + draw[2] % 9_000,
        minimum=1 + draw[3] % 2,
        subject=f"{_THINGS[draw[4] % len(_THINGS)]} {_MANNERS[draw[5] % len(_MANNERS)]}",
        shop=_SHOPS[draw[6] % len(_SHOPS)],
        seller=f"BBB{name[:20]}",
        variants=tuple(
            Variant(str(4_000_000_000_000 + draw[7] * 10 + at), f"{name[:-1]}{at:x}", colour)
            for at, (colour, _) in enumerate(colours)
        ),
        salt=draw[8],
    )


def found_offers(*asked: str) -> tuple[int, int]:
    """What a search finds: the first of a run of offers, and how many."""
    draw = draws(0, "search", *asked)
    return 600_000_000_000 + draw[0], draw[1] % 120


def amount_of(price: int, quantity: Any) -> int:
    """What a quantity costs in whole fen; quantities may have decimals."""
    return int((price * Decimal(str(quantity))).quantize(Decimal(1), ROUND_HALF_UP))


def yuan(fen: int) -> int | float:
    """Fen as the JSON number of yuan that 1688 writes: at most two decimals."""
    return fen / 100 if fen % 100 else fen // 100
