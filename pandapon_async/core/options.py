"""The base of what users configure: a wrong name is an error of the configuration, and says what was meant.

Without it a misspelt setting is a TypeError, which nobody who handles ConfigurationError expects; and the
secret is a local variable of the frames that an error of the configuration comes out of, where crash
reporters print it.
"""

from __future__ import annotations

import difflib
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
    """Let errors of ours come out of a function without its frames, and without those that led to them."""

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
            del failure  # or the frame and the error would keep each other

    return called


def where_raised(error: BaseException) -> str:
    """The type of an error of somebody else's code, with its file and line: all that is told of it."""
    trace = error.__traceback__
    if trace is None:
        return type(error).__name__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{type(error).__name__} in {trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"


if TYPE_CHECKING:  # a checker reads the signature of the class itself

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
            """What `help` and editors show: the settings, and not this metaclass's call."""
            whole = inspect.signature(cls.__init__)
            return whole.replace(parameters=list(whole.parameters.values())[1:])

    class Options(metaclass=_CheckedNames):
        """Base of an attrs class of options."""

        __slots__ = ()

        _INSIDE: frozenset[str] = frozenset()  # names of fields of a field, which may be said directly

        @classmethod
        def _arranged(cls, named: dict[str, Any]) -> dict[str, Any]:
            """What is given by name, each under the name of a field."""
            return named


def _check_names(kind: type[Any], by_position: int, named: dict[str, Any]) -> None:
    fields = [field for field in attrs.fields(kind) if field.init]
    known = [field.alias or field.name for field in fields]
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *sorted(kind._INSIDE)], 1)
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
