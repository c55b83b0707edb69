"""Money as the vendor counts it: whole fen (1/100 yuan) in after-sales, decimal yuan in orders.

Floats are refused everywhere: 0.1 + 0.2 is not a refund.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact
from typing import Self

__all__ = ["Fen"]

# int() and Decimal() also take 1_0, full-width digits and blanks: too much for money.
_FEN = re.compile("-?[0-9]{1,60}")
_YUAN = re.compile(r"[+-]?[0-9]{1,60}(\.[0-9]{1,60})?")
# Our own, since the application's context may round to few digits.
_EXACT = Context(prec=10_000, traps=[Inexact])


class Fen(int):
    """An amount in fen, an `int` in every respect; `.yuan` is the same amount as a `Decimal`.

    >>> Fen(1250).yuan
    Decimal('12.50')
    >>> Fen.from_yuan("12.5")
    Fen(1250)
    """

    __slots__ = ()

    def __new__(cls, value: int | str) -> Self:
        """Whole fen from an int or digits; anything else is refused."""
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError(f"fen are whole numbers (int or digits), not {type(value).__name__}")
        if isinstance(value, str) and _FEN.fullmatch(value) is None:
            raise ValueError("not whole fen, such as 1250")
        return super().__new__(cls, value)

    @classmethod
    def from_yuan(cls, yuan: Decimal | int | str) -> Self:
        """Whole fen from yuan; more than two decimals or a float is refused."""
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

    def __repr__(self) -> str:
        return f"Fen({int(self)})"

    def __str__(self) -> str:
        return str(int(self))
