"""The base of option classes: a misspelt option raises ConfigurationError with a suggestion.

Without it a misspelt option raises TypeError, which code that handles ConfigurationError does not expect. And
the frames of a configuration error have the secret as a local variable, which crash reporters print; this
module removes those frames.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import attrs

from pandapon_async.errors import ConfigurationError, PandaponError

__all__ = ["Options", "clean_frames", "where_raised"]

P = ParamSpec("P")
T = TypeVar("T")


def clean_frames(function: Callable[P, T]) -> Callable[P, T]:
    """Remove the frames of a function from the errors of this package that it raises."""

    @functools.wraps(function)
    def called(*args: P.args, **named: P.kwargs) -> T:
        try:
            return function(*args, **named)
        except PandaponError as error:
            failure = error
        del args, named
        failure.__traceback__ = failure.__cause__ = failure.__context__ = None
        try:
            raise failure
        finally:
            del failure  # avoids a reference cycle of frame and error

    return called


def where_raised(error: BaseException) -> str:
    """The type, file and line of an error in foreign code; nothing else of it is reported."""
    trace = error.__traceback__
    if trace is None:
        return type(error).__name__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{type(error).__name__} in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"


if TYPE_CHECKING:  # a type checker reads the signature of the class itself

    class Options:
        """Base of an attrs class of options."""

else:

    class _CheckedNames(type):
        @clean_frames
        def __call__(cls, *args: Any, **named: Any) -> Any:
            named = cls._arranged(named)
            _check_names(cls, len(args), named)
            return super().__call__(*args, **named)

        @property
        def __signature__(cls) -> inspect.Signature:
            """The signature that `help` and editors show: the options, not this metaclass's call."""
            whole = inspect.signature(cls.__init__)
            return whole.replace(parameters=list(whole.parameters.values())[1:])

    class Options(metaclass=_CheckedNames):
        """Base of an attrs class of options."""

        __slots__ = ()

        _INSIDE: frozenset[str] = frozenset()  # names of a field's own fields, which can be passed directly

        @classmethod
        def _arranged(cls, named: dict[str, Any]) -> dict[str, Any]:
            """The keyword arguments, each under the name of a field."""
            return named


def _check_names(kind: type[Any], by_position: int, named: dict[str, Any]) -> None:
    fields = [field for field in attrs.fields(kind) if field.init]
    known = [field.alias or field.name for field in fields]
    for name in named:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, [*known, *sorted(kind._INSIDE)], 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
            raise ConfigurationError(f"{kind.__name__} has no setting {name}{hint}")
    positional = [name for name, field in zip(known, fields, strict=True) if not field.kw_only]
    if by_position > len(positional):
        raise ConfigurationError(f"{kind.__name__} takes keyword arguments only, such as {known[0]}=...")
    given = {*positional[:by_position], *named}
    missing = [
        name
        for name, field in zip(known, fields, strict=True)
        if field.default is attrs.NOTHING and name not in given
    ]
    if missing:
        raise ConfigurationError(f"{kind.__name__} needs {', '.join(missing)}")
