"""Money as the vendor counts it: whole fen (1/100 yuan) in after-sales, decimal yuan in orders.

Floats are refused everywhere, because 0.1 + 0.2 is not 0.3.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact
from typing import Any, NoReturn, Self

__all__ = ["Fen"]

# int() and Decimal() also accept 1_0, full-width digits and spaces, which is too lenient for money.
_FEN = re.compile("-?[0-9]{1,60}")
_YUAN = re.compile(r"[+-]?[0-9]{1,60}(\.[0-9]{1,60})?")
# A context of our own, because the application's may round to few digits.
_EXACT = Context(prec=10_000, traps=[Inexact])


class Fen(int):
    """An amount in fen: an `int` that stays money. `.yuan` is the same amount as a `Decimal`.

    `+ - * // %` with an int or other fen return fen, and so does `sum`; `/`, a float and a Decimal raise
    TypeError. With a float on the left (`0.5 * fen`) Python itself decides and returns a float.

    >>> Fen(1250).yuan
    Decimal('12.50')
    >>> Fen.from_yuan("12.5")
    Fen(1250)
    >>> sum([Fen(1250), Fen(50)]) // 2
    Fen(650)
    """

    __slots__ = ()

    def __new__(cls, value: int | str) -> Self:
        """Make whole fen from an int or digits; anything else is refused."""
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError(f"fen are whole numbers (int or digits), not {type(value).__name__}")
        if isinstance(value, str) and _FEN.fullmatch(value) is None:
            raise ValueError("not whole fen, such as 1250")
        return super().__new__(cls, value)

    @classmethod
    def from_yuan(cls, yuan: Decimal | int | str) -> Self:
        """Convert yuan to whole fen; more than two decimals or a float is refused."""
        if isinstance(yuan, bool) or not isinstance(yuan, Decimal | int | str):
            raise TypeError(f"yuan must be Decimal, int or text, not {type(yuan).__name__}")
        if isinstance(yuan, str) and _YUAN.fullmatch(yuan) is None:
            raise ValueError("not an amount of yuan, such as 12.50")
        amount = Decimal(yuan)
        if not amount.is_finite() or abs(amount.adjusted()) > 60:
            raise ValueError("not an amount of yuan, such as 12.50")
        fen = amount.scaleb(2, _EXACT)
        whole = int(fen)
        if whole != fen:
            raise ValueError("yuan have at most two decimals, such as 12.50")
        return cls(whole)

    @property
    def yuan(self) -> Decimal:
        """The same amount in yuan, with two decimals."""
        return Decimal(int(self)).scaleb(-2, _EXACT)

    def __add__(self, other: int) -> Self:
        return self._of(int.__add__(self, _whole(other)))

    def __sub__(self, other: int) -> Self:
        return self._of(int.__sub__(self, _whole(other)))

    def __mul__(self, other: int) -> Self:
        return self._of(int.__mul__(self, _whole(other)))

    def __floordiv__(self, other: int) -> Self:
        return self._of(int.__floordiv__(self, _whole(other)))

    def __mod__(self, other: int) -> Self:
        return self._of(int.__mod__(self, _whole(other)))

    def __divmod__(self, other: int) -> tuple[Self, Self]:
        return self // other, self % other

    def __truediv__(self, other: Any) -> NoReturn:
        raise TypeError("fen cannot be divided with /, which would return a float; use // and %, or .yuan")

    def __radd__(self, other: int) -> Self:
        return self + other

    def __rmul__(self, other: int) -> Self:
        return self * other

    def __rtruediv__(self, other: Any) -> NoReturn:
        self.__truediv__(other)

    def __rsub__(self, other: int) -> Self:
        return self._of(int.__sub__(_whole(other), self))

    def __rfloordiv__(self, other: int) -> Self:
        return self._of(int.__floordiv__(_whole(other), self))

    def __rmod__(self, other: int) -> Self:
        return self._of(int.__mod__(_whole(other), self))

    def __rdivmod__(self, other: int) -> tuple[Self, Self]:
        return self.__rfloordiv__(other), self.__rmod__(other)

    def __neg__(self) -> Self:
        return self._of(int.__neg__(self))

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> Self:
        return -self if self < 0 else self

    @classmethod
    def _of(cls, fen: int) -> Self:
        return super().__new__(cls, fen)

    def __repr__(self) -> str:
        return f"Fen({int(self)})"

    def __str__(self) -> str:
        return str(int(self))


def _whole(other: object) -> int:
    """Return an operand for arithmetic with fen. Raises TypeError for anything but an int or fen."""
    if isinstance(other, bool) or not isinstance(other, int):
        raise TypeError(
            f"fen can be combined with int or Fen, not {type(other).__name__}; for yuan use .yuan"
        )
    return other
