"""Numbers and ids: every refund of the sandbox has a number, its ids are computed from it and back.

Ids look unordered and sparse, as real ones do, so a guessed id does not exist. Since they are pure
functions of the number, a million refunds need no table. Refunds of the two platforms alternate:
even numbers are 1688's, odd ones Taobao's.
"""

from __future__ import annotations

import hashlib
import struct

import attrs

__all__ = [
    "ALIBABA",
    "LARGEST_NUMBER",
    "ORDER_1688",
    "PURCHASE_ORDER",
    "REFUND",
    "SALES_ORDER",
    "TAOBAO",
    "draws",
    "number_of",
    "platform_of",
    "refund_id",
]

ALIBABA = "1688"
TAOBAO = "taobao"
LARGEST_NUMBER = 10**10 - 1

_FACTOR = 6_364_136_223_846_793_009  # odd and no multiple of 5: invertible modulo every power of ten
_OFFSET = 1_442_695_041


@attrs.define(frozen=True)
class Series:
    """A run of ids of one shape: a prefix, then `base` plus the scattered number."""

    prefix: str
    base: int
    modulus: int
    inverse: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "inverse", pow(_FACTOR, -1, self.modulus))

    def text(self, number: int) -> str:
        """The id of a number."""
        return f"{self.prefix}{self.base + (number * _FACTOR + _OFFSET) % self.modulus}"

    def number(self, text: str) -> int | None:
        """The number of an id, or None if it is not an id of this series."""
        digits = text.removeprefix(self.prefix)
        if not (text.startswith(self.prefix) and digits.isascii() and digits.isdigit() and len(digits) <= 20):
            return None
        scattered = int(digits) - self.base
        if digits[0] == "0" or not 0 <= scattered < self.modulus:
            return None
        number = (scattered - _OFFSET) * self.inverse % self.modulus
        return number if number <= LARGEST_NUMBER else None


REFUND = {
    ALIBABA: Series("TQ", 2 * 10**17, 10**17),
    TAOBAO: Series("", 11 * 10**10, 10**10),
}
ORDER_1688 = Series("", 2_540_000_000_000_000_000, 10**16)
PURCHASE_ORDER = Series("", 1_020_000_000_000_000_000, 10**16)
SALES_ORDER = Series("SO-", 5 * 10**11, 10**11)


def platform_of(number: int) -> str:
    """Which platform refund `number` belongs to."""
    return TAOBAO if number % 2 else ALIBABA


def refund_id(number: int) -> str:
    """The id of refund `number`: "TQ" and digits on 1688, digits on Taobao."""
    return REFUND[platform_of(number)].text(number)


def number_of(identifier: str, platform: str | None = None) -> int | None:
    """The number of a refund id, or None if no refund could have this id.

    With `platform`, only an id of that platform counts.
    """
    own = ALIBABA if identifier.startswith("TQ") else TAOBAO
    if platform not in (None, own):
        return None
    number = REFUND[own].number(identifier)
    return number if number is not None and platform_of(number) == own else None


_DRAWS = struct.Struct("<16I")


def draws(seed: int, *name: int | str) -> tuple[int, ...]:
    """Sixteen even draws from 0 to 2**32-1, the same for ever for one seed and name."""
    text = f"{seed}:{':'.join(map(str, name))}"
    return _DRAWS.unpack(hashlib.blake2b(text.encode()).digest())
