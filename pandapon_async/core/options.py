"""The base of what users configure: a wrong name is an error of the configuration, and says what was meant.

Without it a misspelt setting is a TypeError, which nobody who handles ConfigurationError expects.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import attrs

from pandapon_async.errors import ConfigurationError

__all__ = ["Options"]

if TYPE_CHECKING:  # a checker reads the signature of the class itself

    class Options:
        """Base of an attrs class of options."""

else:

    class _CheckedNames(type):
        def __call__(cls, *args: Any, **named: Any) -> Any:
            _check_names(cls, len(args), named)
            return super().__call__(*args, **named)

    class Options(metaclass=_CheckedNames):
        """Base of an attrs class of options."""

        __slots__ = ()


def _check_names(kind: type[Any], by_position: int, named: dict[str, Any]) -> None:
    fields = attrs.fields(kind)
    known = [field.alias or field.name for field in fields]
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
            raise ConfigurationError(f"{kind.__name__} has no setting {name}{hint}")
    positional = [name for name, field in zip(known, fields, strict=True) if not field.kw_only]
    if by_position > len(positional):
        raise ConfigurationError(f"{kind.__name__} takes its settings by name, such as {known[0]}=...")
    given = {*positional[:by_position], *named}
    missing = [
        name
        for name, field in zip(known, fields, strict=True)
        if field.default is attrs.NOTHING and name not in given
    ]
    if missing:
        raise ConfigurationError(f"{kind.__name__} needs {', '.join(missing)}")
