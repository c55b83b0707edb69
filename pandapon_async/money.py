"""Money as the vendor counts it: whole fen (1/100 yuan) in after-sales, decimal yuan in orders.

Floats are refused everywhere: 0.1 + 0.2 is not a refund.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Self

__all__ = ["Fen"]


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
        return super().__new__(cls, value)

    @classmethod
    def from_yuan(cls, yuan: Decimal | int | str) -> Self:
        """Whole fen from yuan; more than two decimals or a float is refused."""
        if isinstance(yuan, bool) or not isinstance(yuan, Decimal | int | str):
            raise TypeError(f"yuan must be Decimal, int or text, not {type(yuan).__name__}")
        try:
            fen = Decimal(yuan) * 100
            whole = int(fen)
        except (InvalidOperation, OverflowError, ValueError):
            raise ValueError("not an amount of yuan, such as 12.50") from None
        if whole != fen:
            raise ValueError("yuan have at most two decimals, such as 12.50")
        return cls(whole)

    @property
    def yuan(self) -> Decimal:
        """The same amount in yuan, with two decimals."""
        return Decimal(int(self)).scaleb(-2)

    def __repr__(self) -> str:
        return f"Fen({int(self)})"

    def __str__(self) -> str:
        return str(int(self))
