"""Number formats of a workbook: what people see is the number in its format, not the number alone.

A waybill that is stored as 1234567 and shown as 0001234567 is another one without its zeros, and 12.5 that is
shown as 1250% or as $12.50 is not an amount of 12.50 yuan.
"""

from __future__ import annotations

import re

__all__ = ["OTHER_CURRENCY", "adds_to", "is_percentage", "other_currency", "shows_a_date", "shows_more"]

OTHER_CURRENCY = re.compile(r"[$€£₫₩₽฿]|USD|EUR|HKD|JPY|VND|GBP", re.IGNORECASE)
"""A currency other than CNY."""
_QUOTED = re.compile(r'"[^"]*"|\\.')
_NO_PLACEHOLDER = re.compile(r'"[^"]*"|\\.|_.|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)
_LOCALE = re.compile(r"\[\$([^\]-]*)(?:-[^\]]*)?\]")
"""A currency with its language, such as [$€-407], or only a language: [$-804]."""


def shows_a_date(code: str) -> bool:
    """Whether a number format shows a year, month, day, hour, minute or second.

    >>> shows_a_date("yyyy\\\\-mm\\\\-dd"), shows_a_date('[Red]#,##0.00"days"'), shows_a_date("General")
    (True, False, False)
    """
    plain = _NO_PLACEHOLDER.sub("", code).lower()
    return plain != "general" and any(letter in plain for letter in "ymdhs")


def shows_more(code: str) -> bool:
    """Whether a number format may show another value than the number's digits."""
    return is_percentage(code) or other_currency(code) or adds_to("0", code)


def is_percentage(code: str) -> bool:
    """Whether a number is shown a hundred times as large."""
    return "%" in _QUOTED.sub("", code)


def other_currency(code: str) -> bool:
    """Whether an amount is shown in another currency than CNY.

    >>> other_currency('[$¥-804]#,##0.00'), other_currency('"US$"0.00'), other_currency("[$-409]0.00")
    (False, True, False)
    """
    return OTHER_CURRENCY.search(_LOCALE.sub(r"\1", code)) is not None


def adds_to(digits: str, code: str) -> bool:
    """Whether a number format shows zeros or letters that the digits do not have.

    >>> adds_to("12", "0000"), adds_to("12", '"TQ"0'), adds_to("12", "#,##0.00"), adds_to("12", '0"元"')
    (True, True, False, True)
    """
    shown = code.partition(";")[0]
    zeros = _NO_PLACEHOLDER.sub("", shown).partition(".")[0].count("0")
    return zeros > len(digits) or any(map(str.isalnum, "".join(_QUOTED.findall(shown))))
