"""Write the sums of a run for node_exporter's textfile collector, because a batch job cannot be scraped.

It has only counts and times, no amounts and ids, so everyone may read the file. A failed run leaves the file
of the last successful one: set an alert on its age.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pandapon_async.errors import ConfigurationError
from pandapon_async.reconcile.summary import Summary
from pandapon_async.storage.files import EVERYBODY, Mark, whole_file

__all__ = ["check_metrics_file", "write_metrics"]

_MARK: Final = Mark("# Written by pandapon reconcile", "pandapon reconcile")


def check_metrics_file(path: Path) -> None:
    """Raise ConfigurationError if the file cannot be written; before anything is looked up."""
    if not path.parent.is_dir():
        raise ConfigurationError(f"--metrics: the folder {path.parent} does not exist")
    _MARK.check(path, "--metrics")


def write_metrics(path: Path, summary: Summary, ended: float) -> None:
    """Write the file completely, or keep the existing one.

    Args:
        path: The file; node_exporter reads those that end with `.prom`.
        summary: The run.
        ended: When it ended, in seconds since 1970.
    """
    with whole_file(path, _MARK, mode=EVERYBODY) as file:
        file.writelines(f"{line}\n" for line in _lines(summary, ended))


def _lines(summary: Summary, ended: float) -> Iterator[str]:
    yield _MARK.words
    yield from _gauge("rows", "Rows of the ledger by verdict.")
    for verdict, count in summary.verdicts.items():
        yield f'pandapon_reconcile_rows{{verdict="{verdict}"}} {count}'
    for name, told, value in (
        ("exit_code", "0 all matched, 1 differences, 3 incomplete.", summary.exit_code),
        ("ended_timestamp_seconds", "When the run ended.", f"{ended:.3f}"),
    ):
        yield from _gauge(name, told)
        yield f"pandapon_reconcile_{name} {value}"


def _gauge(name: str, told: str) -> Iterator[str]:
    yield f"# HELP pandapon_reconcile_{name} {told}"
    yield f"# TYPE pandapon_reconcile_{name} gauge"
