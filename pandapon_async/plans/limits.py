"""The operator's limits for a plan: above one of them nothing is begun."""

from __future__ import annotations

from pathlib import Path

from pandapon_async.errors import ConfigurationError
from pandapon_async.money import Fen
from pandapon_async.plans.options import ApplyOptions
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.rows import RowState
from pandapon_async.plans.summary import sendable_states

__all__ = ["check_limits", "counted_amounts", "refuse_over_limits"]


def check_limits(path: str | Path, options: ApplyOptions) -> None:
    """Raise ConfigurationError if the plan in a file exceeds `max_total` or `max_each`. Blocks."""
    with PlanFile.reading(Path(path)) as file:
        refuse_over_limits(file, options)


def refuse_over_limits(file: PlanFile, options: ApplyOptions) -> None:
    """Raise ConfigurationError for a plan that exceeds a limit or has unknown amounts."""
    if options.max_total is None and options.max_each is None:
        return
    total, largest, unknown = counted_amounts(file, options)
    if unknown:
        raise ConfigurationError(
            f"{unknown} rows have an unknown amount, so no limit can be checked: create the plan without "
            "--offline, or apply without limits"
        )
    if options.max_total is not None and total > options.max_total:
        raise ConfigurationError(
            f"the sum of the plan is {_told(total)}, but --max-total is {_told(options.max_total)}; "
            "nothing was sent"
        )
    if options.max_each is not None and largest > options.max_each:
        raise ConfigurationError(
            f"a row has {_told(largest)}, but --max-each is {_told(options.max_each)}; nothing was sent"
        )


def counted_amounts(file: PlanFile, options: ApplyOptions) -> tuple[int, int, int]:
    """The sum in fen, the largest amount, and the number of unknown amounts, of all rows that were, may have
    been or are to be sent.
    """
    to_send = sendable_states(options)
    counted = [state for state in RowState if state.done or state.open or state in to_send]
    # A plan of an earlier version included freight in the amount without asking.
    return file.amounts(counted, freight_added=file.get("freight") in (None, "ask"))


def _told(fen: int) -> str:
    """Show both units, which makes an amount that is wrong by a factor of 100 visible."""
    return f"{int(fen)} fen ({Fen(fen).yuan} yuan)"
