"""Every model there is: slotted, by value, null by default, and silent about persons."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

import pandapon_async.models
from pandapon_async.core.model import Model, PageModel

CANARY = "13800001111"


def models() -> Iterator[type[Model]]:
    for module in pkgutil.walk_packages(pandapon_async.models.__path__, "pandapon_async.models."):
        importlib.import_module(module.name)
    pending: list[type[Model]] = [Model]
    while pending:
        kind = pending.pop()
        yield kind
        pending += kind.__subclasses__()


# `slots` makes a second class of each; only the one that its module holds is real.
MODELS = [
    kind
    for kind in models()
    if kind.__module__.startswith("pandapon_async.models.")
    and getattr(sys.modules[kind.__module__], kind.__name__, None) is kind
]
by_name = pytest.mark.parametrize("kind", MODELS, ids=lambda kind: f"{kind.__module__[22:]}.{kind.__name__}")


def test_there_are_models() -> None:
    assert len(MODELS) > 20


@by_name
def test_personal_and_unknown_fields_never_reach_a_repr(kind: type[Model]) -> None:
    personal = {field.name: CANARY for field in attrs.fields(kind) if field.metadata.get("personal")}
    make: Any = kind
    personal.pop("extra")
    full = make(**personal, extra={CANARY: CANARY})
    assert CANARY not in repr(full)
    assert CANARY not in repr(PageModel(items=[full]))


@by_name
def test_a_model_is_slotted_keyword_only_and_compared_by_value(kind: type[Model]) -> None:
    make: Any = kind
    one = make()
    assert not hasattr(one, "__dict__")
    assert one == kind()
    assert one != make(extra={"a": 1})
    with pytest.raises(TypeError):
        make("positional")


@by_name
def test_what_is_not_there_is_none(kind: type[Model]) -> None:
    own = {field.name: getattr(kind(), field.name) for field in attrs.fields(kind)}
    assert own.pop("extra") == {}
    assert own.pop("problems") == ()
    if issubclass(kind, PageModel):
        assert own.pop("items") == []
    assert set(own.values()) <= {None}


@by_name
def test_wire_names_are_told_apart(kind: type[Model]) -> None:
    from pandapon_async.core.structure import wire_fields

    assert len(wire_fields(kind)) == len(attrs.fields(kind)) - 2  # extra, problems


def test_documentation_says_what_each_is() -> None:
    silent: list[Any] = [kind for kind in MODELS if not kind.__doc__ or kind.__doc__.startswith("Method gen")]
    assert silent == []
