"""Which column of a table is which field of a plan: by `map`, else by names in English and Chinese.

As with ledgers, a guess has to be the only one, and what an amount counts in is said by its column's name
or by an option, never by the look of the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.plans.plan_types import ColumnSpec, PlanType
from pandapon_async.reconcile.columns import UNITS, plain_name, split_unit
from pandapon_async.tables.cells import AmountUnit, Refused, tidy

__all__ = ["Columns", "resolve_columns"]

_SUFFIXES: Mapping[str, AmountUnit] = {"_fen": "fen", "_yuan": "yuan"}


@attrs.frozen
class Columns:
    """Where each field is, what money counts in, what holds for all rows, and what was concluded."""

    names: tuple[str, ...]
    positions: Mapping[str, int]
    units: Mapping[str, AmountUnit]
    constants: Mapping[str, Any]
    inferred: tuple[str, ...]

    def name_of(self, field: str) -> str:
        """The table's own name for a field's column, or the field's if it has none."""
        position = self.positions.get(field)
        return field if position is None else self.names[position]

    def named(self) -> dict[str, str]:
        """Every found field with its column's name."""
        return {field: self.names[position] for field, position in self.positions.items()}


def resolve_columns(
    kind: PlanType,
    names: Sequence[str],
    *,
    mapping: Mapping[str, str],
    constants: Mapping[str, str],
    amount_unit: AmountUnit | None,
) -> Columns:
    """Find the columns of a table. `constants` are values that hold for all rows, by field.

    Raises InvalidArgumentError, with the columns there are and what was recognised, when a required field has
    neither column nor value, two columns claim one field, or no one says what money counts in.
    """
    tidied = tuple([" ".join(tidy(name).split()) for name in names])
    search = _Search(kind, tidied)
    for key, wanted in mapping.items():
        search.map(key, wanted)
    fixed = dict(search.read_constant(key, text, amount_unit) for key, text in constants.items())
    for field in kind.fields:
        if field.name not in search.settled and field.name not in fixed:
            search.guess(field)
    search.check_required(fixed)
    units: dict[str, AmountUnit] = {field.name: search.unit(field, amount_unit) for field in search.money()}
    inferred = tuple(_inferred(kind, search.positions, fixed))
    return Columns(tidied, search.positions, units, fixed, inferred)


class _Search:
    """The columns as far as they are found. `settled` are the fields that need no guess any more."""

    def __init__(self, kind: PlanType, names: tuple[str, ...]) -> None:
        self._kind = kind
        self._names = names
        self.positions: dict[str, int] = {}
        self.settled: set[str] = set()
        self._said: dict[str, AmountUnit] = {}

    def map(self, key: str, wanted: str) -> None:
        """What the person says of one field."""
        field, unit = self._field(key, "map")
        if field.name in self.settled:
            raise InvalidArgumentError(f"--map names {field.name} twice", argument="map")
        self.settled.add(field.name)
        if unit is not None:
            self._said[field.name] = unit
        if not wanted:
            return
        exact = [at for at, name in enumerate(self._names) if name == " ".join(tidy(wanted).split())]
        found = exact or [at for at, name in enumerate(self._names) if plain_name(name) == plain_name(wanted)]
        if len(found) != 1:
            problem = "more than one column" if found else "no column"
            raise InvalidArgumentError(
                f"--map {key}={wanted} names {problem}. {self._found()}", argument="map"
            )
        self.positions[field.name] = found[0]

    def read_constant(self, key: str, text: str, amount_unit: AmountUnit | None) -> tuple[str, Any]:
        """A value that holds for all rows, read like a cell."""
        field, unit = self._field(key, "set")
        unit = unit or amount_unit
        if field.money and unit is None:
            raise InvalidArgumentError(f"--set {key}: say {key}_fen or {key}_yuan", argument="set")
        try:
            return field.name, field.read(text, unit)
        except Refused as refused:
            raise InvalidArgumentError(f"--set {key}: {refused}", argument="set") from None

    def _field(self, key: str, argument: str) -> tuple[ColumnSpec, AmountUnit | None]:
        for field in self._kind.fields:
            if field.name == key:
                return field, None
            if field.money:
                for suffix, unit in _SUFFIXES.items():
                    if field.name + suffix == key:
                        return field, unit
        known = ", ".join(field.name for field in self._kind.fields)
        raise InvalidArgumentError(f"no such field: {key}; known: {known}", argument=argument)

    def guess(self, field: ColumnSpec) -> None:
        """Find a field by the names it usually has; names that say it outright come first."""
        taken = set(self.positions.values())
        for known in (field.outright, field.general):
            found = [
                at for at, name in enumerate(self._names) if at not in taken and self._is(field, name, known)
            ]
            if len(found) > 1:
                several = ", ".join(self._names[at] for at in found)
                raise InvalidArgumentError(
                    f"more than one column could be {field.name}: {several}; say which with "
                    f"--map {field.name}=COLUMN. {self._found()}",
                    argument="map",
                )
            if found:
                self.positions[field.name] = found[0]
                return

    @staticmethod
    def _is(field: ColumnSpec, name: str, known: frozenset[str]) -> bool:
        plain = plain_name(name)
        return plain in known or (field.money and split_unit(plain)[0] in known)

    def check_required(self, constants: Mapping[str, Any]) -> None:
        """Refuse a table in which a field is missing that the call cannot be made without."""
        have = self.positions.keys() | {name for name, value in constants.items() if value is not None}
        required = {parameter.name for parameter in self._kind.endpoint.parameters if parameter.required}
        for field in self._kind.fields:
            if field.argument not in required or field.name in have or field.default is not None:
                continue
            if field.name == "reason_id" and "reason" in have:
                continue
            raise InvalidArgumentError(
                f"no {field.name} column; name it with --map {field.name}=COLUMN, or give all rows the same "
                f"with --set {field.name}=VALUE. {self._found()}",
                argument="map",
            )

    def money(self) -> list[ColumnSpec]:
        """The money fields that have a column."""
        return [field for field in self._kind.fields if field.money and field.name in self.positions]

    def unit(self, field: ColumnSpec, amount_unit: AmountUnit | None) -> AmountUnit:
        """What a money column counts in: its name, --map and --amount-unit must not disagree."""
        column = self._names[self.positions[field.name]]
        named = split_unit(plain_name(column))[1]
        said: set[AmountUnit] = {
            unit for unit in (named, self._said.get(field.name), amount_unit) if unit is not None
        }
        if len(said) > 1:
            raise InvalidArgumentError(
                f"the column {column} is said to be in fen and in yuan; its name, --map and --amount-unit "
                "must agree",
                argument="amount_unit",
            )
        if not said:
            raise InvalidArgumentError(
                f"the name of the column {column} does not say its unit ({', '.join(UNITS)}); give "
                f"--amount-unit fen or --amount-unit yuan. {self._found()}",
                argument="amount_unit",
            )
        return said.pop()

    def _found(self) -> str:
        recognised = ", ".join(f"{name}={self._names[at]}" for name, at in self.positions.items()) or "none"
        return f"Columns: {', '.join(self._names) or 'none'}. Recognised: {recognised}."


def _inferred(kind: PlanType, positions: Mapping[str, int], constants: Mapping[str, Any]) -> list[str]:
    """What was concluded without having been said, one sentence each."""
    return [
        f"no {field.name} column: {field.default} for all rows"
        for field in kind.fields
        if field.default is not None and field.name not in positions and field.name not in constants
    ]
