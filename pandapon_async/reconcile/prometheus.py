"""Write how a run ended for node_exporter's textfile collector, because a batch job cannot be scraped.

It has only counts and times, no amounts and ids, so everyone may read the file. A failed run writes its exit
code and no rows, so an alert need not wait until the file is old. Of two files with the same series
node_exporter drops one, so each series has the name of its file.
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
    if path.suffix != ".prom":
        raise ConfigurationError(f"--metrics: node_exporter reads only files named *.prom, not {path.name}")
    if not path.parent.is_dir():
        raise ConfigurationError(f"--metrics: the folder {path.parent} does not exist")
    _MARK.check(path, "--metrics")


def write_metrics(path: Path, exit_code: int, ended: float, summary: Summary | None = None) -> None:
    """Write the file completely, or keep the existing one.

    Args:
        path: The file.
        exit_code: How the run ended.
        ended: When it ended, in seconds since 1970.
        summary: The result; None if the run has none.
    """
    with whole_file(path, _MARK, mode=EVERYBODY) as file:
        file.writelines(f"{line}\n" for line in _lines(_escaped(path.stem), exit_code, ended, summary))


def _lines(name: str, exit_code: int, ended: float, summary: Summary | None) -> Iterator[str]:
    yield _MARK.words
    if summary is not None:
        yield from _gauge("rows", "Rows of the ledger by verdict.")
        for verdict, count in summary.verdicts.items():
            yield f'pandapon_reconcile_rows{{name="{name}",verdict="{verdict}"}} {count}'
    codes = "0 all matched, 1 differences, 2 usage, 3 incomplete, 4 authentication, 70 an unforeseen error."
    for metric, told, value in (
        ("exit_code", f"How the last run ended: {codes}", f"{exit_code:d}"),
        ("ended_timestamp_seconds", "When the last run ended.", f"{ended:.3f}"),
    ):
        yield from _gauge(metric, told)
        yield f'pandapon_reconcile_{metric}{{name="{name}"}} {value}'


def _gauge(name: str, told: str) -> Iterator[str]:
    yield f"# HELP pandapon_reconcile_{name} {told}"
    yield f"# TYPE pandapon_reconcile_{name} gauge"


def _escaped(label: str) -> str:
    """The value of a label; a name that is not UTF-8 would make the whole file unreadable."""
    text = label.encode("utf-8", "replace").decode()
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
