"""Which refunds to follow: ids or a table that names them. Refused before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.follow.changes import PLATFORMS
from pandapon_async.reconcile.columns import SPECS
from pandapon_async.reconcile.statuses import is_known, known_states, status_of_ledger
from pandapon_async.tables.cells import Cell, Platform, Refused, platform_of_id, refund_id_text, shown
from pandapon_async.tables.columns import Resolver
from pandapon_async.tables.open import ReadOptions, open_table

__all__ = ["refund_of", "refunds_of_table", "states_of"]

_FIELDS = ("platform", "refund_id")


def refund_of(refund_id: Cell, platform: Platform | Callable[[str], Platform] | None) -> tuple[Platform, str]:
    """The platform of a refund and its id. Raises InvalidArgumentError for what is not the id of one."""
    try:
        one = platform(str(refund_id)) if callable(platform) else platform or platform_of_id(refund_id)
        if one not in PLATFORMS:
            raise InvalidArgumentError("platform must be '1688' or 'taobao'", argument="platform")
        return one, refund_id_text(refund_id, one)
    except Refused as refused:
        raise InvalidArgumentError(f"{shown(refund_id)} {refused}", argument="refund_ids") from None


def refunds_of_table(
    path: Path,
    platform: Platform | None = None,
    mapping: Mapping[str, str] | None = None,
    options: ReadOptions | None = None,
) -> tuple[dict[str, Platform], list[str]]:
    """The refunds that a table names, each with its platform, in order; and notes about what was not read.

    Raises InvalidArgumentError for a table without rows or a column of refund ids, and for the first cell of
    it that is not the id of a refund.
    """
    specs = [SPECS[name] for name in _FIELDS]
    table = open_table(path, Resolver(specs=specs, required=_FIELDS[1:], mapping=mapping or {}), options)
    named = list(table.columns.positions)
    found: dict[str, Platform] = {}
    for record in table.records():
        if record.problem is not None:
            raise InvalidArgumentError(f"{path.name}, row {record.row}: {record.problem}")
        cells = dict(zip(named, record.cells, strict=False))
        column = _FIELDS[0]
        try:
            of_row = platform
            if of_row is None and column in cells:
                of_row = SPECS[column].value(cells[column], None)
            column = _FIELDS[1]
            one, refund_id = refund_of(SPECS[column].value(cells.get(column), None), of_row)
        except (Refused, InvalidArgumentError) as refused:
            where = f"{path.name}, row {record.row}, column {table.columns.name_of(column)}"
            raise InvalidArgumentError(f"{where}: {refused}", argument="refund_ids") from None
        if found.setdefault(refund_id, one) != one:
            raise InvalidArgumentError(
                f"{path.name}, row {record.row}: {refund_id} is of {found[refund_id]} in an earlier row"
            )
    if not found:
        raise InvalidArgumentError(f"{path.name} has no rows below its column names", argument="refund_ids")
    return found, table.notes()


def states_of(wanted: Iterable[str], platforms: Iterable[Platform]) -> frozenset[str]:
    """The states that words mean. Raises InvalidArgumentError if a platform has none of them."""
    words = list(wanted)
    found: dict[Platform, dict[str, str]] = {
        platform: {word: status_of_ledger(platform, word, {}) for word in words} for platform in PLATFORMS
    }
    for word in words:
        if not any(is_known(platform, states[word]) for platform, states in found.items()):
            known = ", ".join(known_states())
            raise InvalidArgumentError(f"{shown(word)} is not a state; known: {known}", argument="wanted")
    for platform in platforms if words else ():
        if not any(is_known(platform, state) for state in found[platform].values()):
            known = ", ".join(state for state in known_states() if is_known(platform, state))
            raise InvalidArgumentError(
                f"no state of {platform} is among {', '.join(words)}; name one of {known}", argument="wanted"
            )
    return frozenset(
        state for platform, states in found.items() for state in states.values() if is_known(platform, state)
    )
