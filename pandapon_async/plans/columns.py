"""The columns of a plan's table: the fields that its call needs, and the defaults for missing ones."""

from __future__ import annotations

from pandapon_async.plans.options import PlanOptions
from pandapon_async.plans.plan_types import PlanType
from pandapon_async.tables.columns import Columns, Resolver

__all__ = ["inferred", "resolver"]


def resolver(plan_type: PlanType, options: PlanOptions) -> Resolver:
    """Return the finder of a table's columns for these options."""
    arguments = {parameter.name for parameter in plan_type.endpoint.parameters if parameter.required}
    return Resolver(
        specs=plan_type.fields,
        required=tuple(spec.name for spec in plan_type.fields if spec.argument in arguments),
        mapping=options.map,
        constants=options.constants,
        amount_unit=options.amount_unit,
    )


def inferred(plan_type: PlanType, columns: Columns) -> list[str]:
    """Return the assumptions about the table, one sentence each."""
    return [
        f"no {spec.name} column: {spec.default} for all rows"
        for spec in plan_type.fields
        if spec.default is not None
        and spec.name not in columns.positions
        and spec.name not in columns.constants
    ]
