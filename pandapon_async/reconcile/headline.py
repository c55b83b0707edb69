"""The headline of a run, its calls and time, and how it was done; for page and workbook."""

from __future__ import annotations

from pandapon_async.clock import duration
from pandapon_async.reconcile.explain import minute
from pandapon_async.reconcile.find_missing import LackingVerdict
from pandapon_async.reconcile.summary import Summary
from pandapon_async.reconcile.verdict import Verdict
from pandapon_async.reconcile.words import Words

__all__ = ["cost_facts", "headline", "method_facts"]

_COUNTS = ("lookups", "lookups_before", "second_pass", "calls", "attempts", "retried", "throttled", "failed")


def headline(summary: Summary, words: Words) -> str:
    """Return the headline."""
    missing = 0 if summary.missing is None else summary.missing.verdicts[LackingVerdict.MISSING_LOCAL]
    text = _of_rows(summary, words)
    return words.also_missing.format(text=text, missing=f"{missing:,}") if missing else text


def _of_rows(summary: Summary, words: Words) -> str:
    unverified = summary.verdicts[Verdict.UNVERIFIED]
    others = summary.rows - summary.verdicts[Verdict.MATCHED] - unverified
    if not summary.rows:
        return words.no_rows
    if unverified:
        text = words.incomplete.format(unverified=words.count_rows(unverified))
        if not others:
            return text
        differ = words.differs if others == 1 else words.differ
        return words.incomplete_also.format(
            incomplete=text, others=words.count_rows(others), others_differ=differ
        )
    if not others:
        return words.all_agree
    text = words.one_needs_attention if others == 1 else words.need_attention
    return text.format(others=words.count_rows(others), rows=f"{summary.rows:,}")


def cost_facts(summary: Summary, words: Words) -> list[tuple[str, str]]:
    """Return the run's calls, retries, throttles and time."""
    run, names = summary.run, words.cost
    facts = [(names["finished"], minute(run["finished_at"]))]
    if "seconds" in run:
        facts.append((names["seconds"], duration(run["seconds"])))
    return facts + [(names[name], f"{run[name]:,}") for name in _COUNTS if name in run]


def method_facts(summary: Summary, words: Words) -> list[tuple[str, str]]:
    """Return how the run was done, so that the numbers can be traced."""
    ledger, options, names = summary.ledger, summary.options, words.method
    columns = ", ".join(f"{field} = {name}" for field, name in ledger["columns"].items())
    amounts = words.amounts_in.format(
        name=ledger["name"], format=ledger["format"], unit=ledger["amount_unit"]
    )
    tolerance = words.tolerance.format(basis=options["amount_basis"], fen=options["tolerance_fen"])
    return [
        (names["ledger"], amounts),
        (names["columns"], columns),
        (names["basis"], tolerance),
        (names["assumptions"], "; ".join(summary.inferred) or words.none),
        (names["notes"], "; ".join(summary.notes) or words.none),
        (names["blank"], words.blank_lines.format(count=f"{ledger['blank_lines']:,}")),
        (names["sha"], str(ledger["sha256"])),
        (names["digest"], summary.rows_digest),
    ]
