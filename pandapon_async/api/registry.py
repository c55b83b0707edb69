"""Every declared call by name."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from pandapon_async.api import Addresses, Alibaba, Freight, Taobao
from pandapon_async.declare.call import Resource, Subresource, operation_of
from pandapon_async.declare.endpoint import Endpoint, Operation
from pandapon_async.errors import ConfigurationError

__all__ = ["check_names", "endpoints", "nearest_names", "operations"]

_ROOTS: tuple[type[Resource], ...] = (Alibaba, Taobao, Addresses, Freight)


@functools.cache
def operations() -> Mapping[str, Operation]:
    """Every operation by its name, such as "alibaba.refunds.get"."""
    return MappingProxyType({one.name: one for root in _ROOTS for one in _operations_in(root)})


def _operations_in(kind: type[Resource]) -> Iterator[Operation]:
    for holder in reversed(kind.__mro__):
        for name, declared in vars(holder).items():
            if isinstance(declared, Subresource):
                yield from _operations_in(declared.__get__(None, kind))
            # If several classes have the operation, the class that users call decides.
            elif (operation := operation_of(getattr(kind, name))) is not None:
                yield operation


@functools.cache
def endpoints() -> Mapping[str, Endpoint]:
    """Every endpoint by its pinned name: "v1.alibaba.refunds.get"."""
    found = [endpoint for operation in operations().values() for endpoint in operation.generations.values()]
    return MappingProxyType({endpoint.pin: endpoint for endpoint in sorted(found, key=_generation)})


def _generation(endpoint: Endpoint) -> str:
    return endpoint.generation


def nearest_names(name: str, *, most: int = 3) -> list[str]:
    """The closest names of calls, pinned if the wrong name is pinned."""
    pinned = name.partition(".")[0] in {"v1", "v2"}
    known = endpoints() if pinned else operations()
    ending = [one for one in known if one.endswith(f".{name}")]
    return (ending or difflib.get_close_matches(name, known, n=most, cutoff=0.5))[:most]


def check_names(names: Iterable[str]) -> None:
    """Refuse names that are not calls: an override under such a name would be silently ignored."""
    for name in names:
        if name not in operations() and name not in endpoints():
            near = nearest_names(name, most=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigurationError(f"overrides: {name} is not a call{hint}")
