"""The nightly job: compare a ledger of refunds with the platforms, row by row.

`reconcile` reads the ledger, looks up every refund, assigns exactly one `Verdict` to each row, and writes
reports for people (report.xlsx, report.html, exceptions.csv) and files for machines (rows.csv, rows.parquet,
summary.json). After a kill at any moment it resumes where it stopped. `split`, `run_part` and `merge` do the
same in parts, and `reconcile_on` does it on a Dask cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandapon_async.core.later import later

if TYPE_CHECKING:
    from pandapon_async.progress import ConsoleProgress, Progress
    from pandapon_async.reconcile.calls_saved import CallsSaved
    from pandapon_async.reconcile.dask_client import DaskClient
    from pandapon_async.reconcile.find_missing import LackingVerdict, MissingSummary
    from pandapon_async.reconcile.job import reconcile, state_path
    from pandapon_async.reconcile.ledger_preview import LedgerPreview, preview
    from pandapon_async.reconcile.on_dask import PartFailure, PartsFailedError, reconcile_on
    from pandapon_async.reconcile.options import AmountBasis, Options
    from pandapon_async.reconcile.outputs import rows_digest
    from pandapon_async.reconcile.part_runs import IncompletePartsError, PartResult, merge, run_part
    from pandapon_async.reconcile.parts import Split, split
    from pandapon_async.reconcile.probe import NothingFoundError
    from pandapon_async.reconcile.summary import JudgedRow, Summary
    from pandapon_async.reconcile.verdict import (
        Judgement,
        LedgerRow,
        Lookup,
        LookupSource,
        Outcome,
        Verdict,
        VerdictRule,
        judge,
    )

__all__ = [
    "AmountBasis",
    "CallsSaved",
    "ConsoleProgress",
    "DaskClient",
    "IncompletePartsError",
    "JudgedRow",
    "Judgement",
    "LackingVerdict",
    "LedgerPreview",
    "LedgerRow",
    "Lookup",
    "LookupSource",
    "MissingSummary",
    "NothingFoundError",
    "Options",
    "Outcome",
    "PartFailure",
    "PartResult",
    "PartsFailedError",
    "Progress",
    "Split",
    "Summary",
    "Verdict",
    "VerdictRule",
    "judge",
    "merge",
    "preview",
    "reconcile",
    "reconcile_on",
    "rows_digest",
    "run_part",
    "split",
    "state_path",
]

if not TYPE_CHECKING:
    __getattr__ = later(
        __name__,
        {
            "progress": "ConsoleProgress Progress",
            "reconcile.calls_saved": "CallsSaved",
            "reconcile.dask_client": "DaskClient",
            "reconcile.find_missing": "LackingVerdict MissingSummary",
            "reconcile.job": "reconcile state_path",
            "reconcile.on_dask": "PartFailure PartsFailedError reconcile_on",
            "reconcile.options": "AmountBasis Options",
            "reconcile.outputs": "rows_digest",
            "reconcile.part_runs": "IncompletePartsError PartResult merge run_part",
            "reconcile.parts": "Split split",
            "reconcile.ledger_preview": "LedgerPreview preview",
            "reconcile.probe": "NothingFoundError",
            "reconcile.summary": "JudgedRow Summary",
            "reconcile.verdict": "Judgement LedgerRow Lookup LookupSource Outcome Verdict VerdictRule judge",
        },
    )
