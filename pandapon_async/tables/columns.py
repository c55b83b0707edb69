"""Find the column of each field: by `map`, otherwise by the usual names of such columns.

A guess must be the only one: if two columns could be the amount, the user must choose, not the program. The
unit of an amount comes from its column's name or from an option, never from the look of the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.plain_text import meant
from pandapon_async.tables.cells import AmountUnit, Cell, Refused, shown, tidy, unwrap
from pandapon_async.tables.fields import ColumnSpec, plain_name, split_unit, unknown_field

__all__ = ["Columns", "Resolver", "columns_named", "listed_names"]

_SUFFIXES: Mapping[str, AmountUnit] = {"_fen": "fen", "_yuan": "yuan"}
_POSITION = re.compile(r"#? ?([0-9]{1,5})")
_ID = re.compile(r"T[QD][0-9]{5,}|[0-9]{10,}", re.ASCII)
MOST_LISTED = 40
"""How many columns a message lists."""


@attrs.frozen
class Columns:
    """The position of each field, the unit of money, and values for all rows.

    `notes` has a sentence for each ignored column, `known` the usual names of each field.
    """

    names: tuple[str, ...]
    positions: Mapping[str, int]
    units: Mapping[str, AmountUnit]
    constants: Mapping[str, Any] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()
    known: Mapping[str, Collection[str]] = attrs.field(factory=dict)

    def named_by(self, field: str, cell: Cell) -> bool:
        """Whether a cell has a name of this field's column instead of a value."""
        if not isinstance(cell, str):
            return False
        name = plain_name(cell)
        known = self.known.get(field, ())
        return name == plain_name(self.name_of(field)) or name in known or split_unit(name)[0] in known

    def name_of(self, field: str) -> str:
        """Return the table's name of a field's column, or the field's name if it has none."""
        position = self.positions.get(field)
        return field if position is None else self.names[position] or f"#{position + 1}"

    def named(self) -> dict[str, str]:
        """Return every found field with its column's name."""
        return {field: self.name_of(field) for field in self.positions}


@attrs.frozen(kw_only=True)
class Resolver:
    """Finds the columns of a table. The first of `specs` that is `required` identifies a row.

    `mapping` names the column of a field (`amount_yuan` also sets the unit; an empty name means no column),
    `constants` are values for all rows, `amount_unit` is the unit of money if no name says it.
    """

    specs: Sequence[ColumnSpec]
    required: Collection[str]
    mapping: Mapping[str, str] = attrs.field(factory=dict)
    constants: Mapping[str, str] = attrs.field(factory=dict)
    amount_unit: AmountUnit | None = None

    @property
    def identifier(self) -> str:
        """The field that identifies a row; "" if none is required."""
        return next((spec.name for spec in self.specs if spec.name in self.required), "")

    def recognised(self, names: Sequence[str]) -> set[str]:
        """Return the fields that match at least one column; raises nothing."""
        found = set()
        for key, wanted in self.mapping.items():
            if wanted and columns_named(names, wanted):
                found.add(_field_of(key))
        plain = [plain_name(name) for name in names]
        for spec in self.specs:
            known = spec.outright | spec.general
            if any(spec.is_named(name, known) for name in plain if name):
                found.add(spec.name)
        return found

    def satisfied(self, names: Sequence[str]) -> bool:
        """Whether these columns have every required field, as far as their names tell; raises nothing."""
        have = self.recognised(names)
        return all(
            spec.name in have
            or spec.instead in have
            or spec.default is not None
            or spec.name in map(_field_of, self.constants)
            for spec in self.specs
            if spec.name in self.required
        )

    def resolve(self, names: Sequence[str], hint: str = "") -> Columns:
        """Find the columns. `hint` is added to the message about a missing required one.

        Raises InvalidArgumentError with the existing and the recognised columns if a required field has
        neither column nor value, two columns match one field, or the unit of money is not known.
        """
        search = _Search(self.specs, tuple([" ".join(tidy(name).split()) for name in names]))
        for key, wanted in self.mapping.items():
            search.map(key, wanted)
        fixed = dict(
            search.read_constant(key, text, self.amount_unit) for key, text in self.constants.items()
        )
        for spec in self.specs:
            if spec.name not in search.settled:
                search.guess(spec)
        search.check_constants(fixed)
        search.check_names(self.identifier, hint)
        search.check_amounts()
        search.check_required(self.required, fixed, hint)
        units: dict[str, AmountUnit] = {}
        for spec in search.money():
            units[spec.name] = search.unit(spec, self.amount_unit, units.get(spec.unit_of))
        positions = {
            spec.name: search.positions[spec.name] for spec in self.specs if spec.name in search.positions
        }
        known = {spec.name: spec.outright | spec.general for spec in self.specs}
        return Columns(search.names, positions, units, fixed, tuple(search.notes), known)


def _field_of(key: str) -> str:
    """Return the field that a key of `--map` or `--set` means: its own name, or that with a unit."""
    return key.removesuffix("_fen").removesuffix("_yuan")


def columns_named(names: Sequence[str], wanted: str) -> list[int]:
    """Return the columns for a name or a position (`#3`; 3 if no column has that name)."""
    tidied = " ".join(tidy(wanted).split())
    exact = [at for at, name in enumerate(names) if " ".join(tidy(name).split()) == tidied]
    found = exact or [at for at, name in enumerate(names) if name and plain_name(name) == plain_name(wanted)]
    position = _POSITION.fullmatch(tidied)
    if position and (tidied.startswith("#") or not found):
        at = int(position[1]) - 1
        return [at] if 0 <= at < len(names) else []
    return found


def listed_names(names: Sequence[str]) -> str:
    """List the column names for a message."""
    listed = [name or f"#{at + 1}" for at, name in enumerate(names[:MOST_LISTED])]
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"{', '.join(listed) or 'none'}{more}"


class _Search:
    """The columns found so far. `settled` has the fields that need no guess any more."""

    def __init__(self, specs: Sequence[ColumnSpec], names: tuple[str, ...]) -> None:
        self.names = names
        self.positions: dict[str, int] = {}
        self.settled: set[str] = set()
        self.notes: list[str] = []
        self._specs = specs
        self._said: dict[str, AmountUnit] = {}

    def map(self, key: str, wanted: str) -> None:
        """Apply what the user says about one field."""
        spec, unit = self._spec(key, wanted, "map")
        if spec.name in self.settled:
            raise InvalidArgumentError(f"--map has {spec.name} twice", argument="map")
        self.settled.add(spec.name)
        if unit is not None:
            self._said[spec.name] = unit
        if not wanted:
            return
        found = columns_named(self.names, wanted)
        if len(found) != 1:
            several = " or ".join(f"--map {key}=#{at + 1}" for at in found)
            none = f"no column{meant(wanted, filter(None, self.names)) or '.'}"
            problem = f"more than one column; write {several}." if found else none
            raise InvalidArgumentError(
                f"--map {key}={wanted} matches {problem} {self._found()}", argument="map"
            )
        self.positions[spec.name] = found[0]

    def read_constant(self, key: str, text: str, amount_unit: AmountUnit | None) -> tuple[str, Any]:
        """Read a value for all rows like a cell."""
        spec, unit = self._spec(key, text, "set")
        unit = unit or amount_unit
        if spec.money and unit is None:
            raise InvalidArgumentError(f"--set {key}: write {key}_fen or {key}_yuan", argument="set")
        try:
            return spec.name, spec.value(text, unit)
        except Refused as refused:
            raise InvalidArgumentError(f"--set {key}: {refused}", argument="set") from None

    def _spec(self, key: str, text: str, argument: str) -> tuple[ColumnSpec, AmountUnit | None]:
        for spec in self._specs:
            if spec.name == key:
                return spec, None
            if spec.money:
                for suffix, unit in _SUFFIXES.items():
                    if spec.name + suffix == key:
                        return spec, unit
        known = [
            spec.name + suffix for spec in self._specs for suffix in ("", *(_SUFFIXES if spec.money else ()))
        ]
        raise unknown_field(key, text, known, argument)

    def guess(self, spec: ColumnSpec) -> None:
        """Find a field by its usual names, specific names first."""
        taken = set(self.positions.values())
        for known in (spec.outright, spec.general):
            found = [
                at
                for at, name in enumerate(self.names)
                if at not in taken and name and spec.is_named(plain_name(name), known)
            ]
            if len(found) > 1:
                self._ask(spec, found)
                return
            if found:
                self.positions[spec.name] = found[0]
                return

    def _ask(self, spec: ColumnSpec, found: Sequence[int]) -> None:
        several = ", ".join(self.names[at] for at in found)
        options = " or ".join(f"--map {spec.name}=#{at + 1}" for at in found)
        message = f"more than one column could be {spec.name}: {several}; choose with {options}"
        if spec.compared:
            raise InvalidArgumentError(f"{message}. {self._found()}", argument="map")
        self.notes.append(f"{message}; none of them is read")

    def check_constants(self, constants: Mapping[str, Any]) -> None:
        """Refuse a value for all rows where the table has a column: one of them would be lost."""
        for name in constants.keys() & self.positions.keys():
            column = self.names[self.positions[name]]
            raise InvalidArgumentError(
                f"--set {name}: the table has the column {column} for it; remove --set, or ignore the column "
                f"with --map {name}=",
                argument="set",
            )

    def check_amounts(self) -> None:
        """Refuse an amount whose column is also that of another field."""
        for spec in self.money():
            at = self.positions[spec.name]
            for name, other in self.positions.items():
                if other == at and name != spec.name:
                    raise InvalidArgumentError(
                        f"--map: the column {self.names[at]} cannot be {spec.name} and {name} at once",
                        argument="map",
                    )

    def check_names(self, identifier: str, hint: str) -> None:
        """Refuse a row of data where the names of columns are expected: it would be lost."""
        at = self.positions.get(identifier)
        for name in self.names if at is None else (self.names[at],):
            if _ID.fullmatch(unwrap(name)):
                where = hint or (
                    "Add a row with column names above it, or say where it is with --header-row N"
                )
                raise InvalidArgumentError(
                    f"{shown(name)} stands where the names of the columns are expected: that row is a row "
                    f"of data. {where}",
                    argument="header_row",
                )

    def check_required(self, required: Collection[str], constants: Mapping[str, Any], hint: str) -> None:
        """Refuse a table without a required field."""
        have = self.positions.keys() | {name for name, value in constants.items() if value is not None}
        for spec in self._specs:
            if spec.name not in required or spec.name in have or spec.default is not None:
                continue
            if spec.instead in have:
                continue
            raise InvalidArgumentError(
                f"no {spec.name} column found; name it with --map "
                f"{spec.name}=COLUMN{self._or_constant(spec)}. {hint}{self._found()}",
                argument="map",
            )

    def _or_constant(self, spec: ColumnSpec) -> str:
        if spec.argument is None:
            return ""
        return f", or set one value for all rows with --set {spec.name}=VALUE"

    def money(self) -> list[ColumnSpec]:
        """Return the money fields with a column."""
        return [spec for spec in self._specs if spec.money and spec.name in self.positions]

    def unit(
        self, spec: ColumnSpec, amount_unit: AmountUnit | None, otherwise: AmountUnit | None = None
    ) -> AmountUnit:
        """Return the unit of a money column: its name, --map and --amount-unit must agree."""
        column = self.names[self.positions[spec.name]]
        named = split_unit(plain_name(column))[1]
        said: set[AmountUnit] = {
            unit for unit in (named, self._said.get(spec.name), amount_unit) if unit is not None
        }
        if len(said) > 1:
            raise InvalidArgumentError(
                f"the column {column} is both in fen and in yuan; its name, --map and --amount-unit must "
                "agree",
                argument="amount_unit",
            )
        if not said and otherwise is not None:
            return otherwise
        if not said:
            raise InvalidArgumentError(
                f"the name of the column {column} does not state its unit; set --amount-unit fen or "
                f"--amount-unit yuan. {self._found()}",
                argument="amount_unit",
            )
        return said.pop()

    def _found(self) -> str:
        recognised = ", ".join(f"{name}={self.names[at]}" for name, at in self.positions.items()) or "none"
        return f"Columns: {listed_names(self.names)}. Recognised: {recognised}."
