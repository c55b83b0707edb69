"""`--metrics FILE.prom`: how a job ended, for node_exporter, however it ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pandapon_async.cli.exit_codes import ExitCode, exit_code
from pandapon_async.cli.output import note
from pandapon_async.clock import Clock
from pandapon_async.errors import PandaponError

if TYPE_CHECKING:
    from pandapon_async.reconcile import Summary

__all__ = ["Metrics", "end_in"]

Metrics = Annotated[
    Path | None,
    typer.Option(metavar="FILE.prom", help="Counts and exit code, for node_exporter's textfile collector."),
]


@contextlib.contextmanager
def end_in(path: Path | None) -> Iterator[Callable[[Summary], None]]:
    """Write to a file, if one is named, how the work inside ends, also by typer.Exit or an error.

    Gives a function that takes the summary. Work without a summary has failed already: then a file that
    cannot be written changes nothing.
    """
    if path is None:
        yield lambda summary: None
        return
    from pandapon_async.reconcile.prometheus import check_metrics_file, write_metrics

    check_metrics_file(path)
    told: list[Summary] = []
    code: int = ExitCode.OK
    try:
        yield told.append
    except BaseException as error:
        code = exit_code(error)
        raise
    finally:
        try:
            write_metrics(path, code, Clock().wall(), told[0] if told else None)
        except (PandaponError, OSError) as failure:
            if told:
                raise
            note(f"--metrics: {path} was not written ({type(failure).__name__})")
