"""The money path: the rules that decide whether a write is sent, and what it came to; and who holds them.

For each module the functions, methods and statements that are rules, and the tests that notice if one of them
is wrong, the most likely first. Left out is what only words an answer for people, draws or measures.
"""

from __future__ import annotations

import attrs

__all__ = ["RULES", "Rules"]


@attrs.frozen
class Rules:
    """Rules that stand in one module, and the tests that hold them."""

    module: str
    targets: tuple[str, ...]
    tests: tuple[str, ...]


def _in(file: str, *tests: str) -> tuple[str, ...]:
    return tuple(f"{file}::{test}" for test in tests)


_BY_LIST = _in(  # the quick ones first
    "test_reconcile_by_list.py",
    "test_what_a_list_confirms",
    "test_what_a_list_said_before_its_proof_does_not_outlive_the_run",
    "test_what_a_list_said_that_is_not_believed_is_dropped",
    "test_a_list_that_was_refused_stays_refused_though_the_run_is_killed_at_once",
    "test_what_a_list_confirmed_before_a_kill_is_looked_up_if_the_resumed_run_refuses_it",
    "test_a_small_ledger_is_looked_up_singly",
    "test_lists_confirm_what_has_ended_and_all_verdicts_are_the_same",
    "test_an_old_state_that_the_ledger_has_too_confirms_nothing",
    "test_however_a_list_lies_no_row_is_judged_wrongly",
    "test_what_an_unproved_list_said_is_forgotten_without_the_option",
    "test_a_list_of_far_more_than_the_ledger_is_given_up",
    "test_each_account_has_its_own_list_and_its_own_proof",
)
_MISSING = _in(
    "test_reconcile_missing.py",
    "test_a_lacking_refund_is_missing_only_if_it_surely_belongs_to_the_time",
    "test_a_push_that_spells_an_id_otherwise_names_the_refund_of_the_ledger",
    "test_what_several_windows_show_was_applied_for_in_all_of_them",
    "test_the_amounts_of_what_is_missing_are_added_up_by_currency",
    "test_windows_bound_the_application_only_if_enough_refunds_show_it",
    "test_1688_without_a_store_of_callbacks_is_told",
    "test_a_search_that_was_stopped_in_time_says_so",
    "test_what_the_ledger_lacks_is_found_and_nothing_else",
    "test_the_days_that_are_said_are_searched",
    "test_the_ledger_of_one_shop_of_three_is_asked_about",
    "test_a_list_that_leaves_out_what_exists_is_no_proof_that_nothing_lacks",
    "test_a_list_that_cannot_be_read_is_told",
    "test_what_1688_pushed_and_no_row_names_is_found",
)
_QUOTA = _in(
    "test_shared_quota.py",
    "test_a_pause_is_passed_on_once_the_clocks_are_compared_and_only_of_this_quota",
    "test_a_pause_is_heard_by_all_and_nothing_is_booked_in_it",
    "test_a_clock_that_was_set_back_does_not_stop_the_quota",
    "test_slots_of_a_database_whose_clock_was_set_back_are_not_of_long_ago",
)


def _of(kind: str, *methods: str) -> tuple[str, ...]:
    return tuple(f"{kind}.{method}" for method in methods)


# What may be sent again, and what an answer means.
_OUTCOME = (
    Rules(
        "core/outcome.py",
        (
            *("Safety.repeatable", "read_response", "_without_envelope", "_refusal", "_throttled"),
            *("_check_inside", "_confirmation", "_rejection", "_plain"),
        ),
        ("test_core_outcome.py", "test_vendor_fields.py", "test_transport_errors.py"),
    ),
    Rules(
        "core/outcome.py",
        ("may_repeat", "retry_if_safe", "for_operation"),
        ("test_core_outcome.py", "test_retry_if_safe.py", "test_transport_errors.py"),
    ),
    Rules("core/codes.py", ("Codes.meaning",), ("test_core_outcome.py", "test_vendor_fields.py")),
    Rules("core/envelope.py", ("read_envelope", "text_of"), ("test_core_envelope.py",)),
    Rules(
        "core/retry.py",
        (
            *_of("RetryPolicy", "delay", "pause", "accepts"),
            *_of("RetryBudget", "spend", "repay"),
            "parse_retry_after",
        ),
        ("test_core_retry.py",),
    ),
    Rules(
        "core/signing.py",
        ("signature", "signature_in_lower_case", "signed_headers"),
        ("test_core_signing.py", "test_transport_requests.py"),
    ),
    Rules("core/vendor.py", ("vendor_id",), ("test_writes_rules.py",)),
    Rules(
        "transport/pipeline.py",
        (
            *_of(
                "Pipeline", "_limited", "_failed", "_attempts", "_look_at_the_clock", "_give_up", "_back_off"
            ),
            *("_sent_before", "_look_before_sending"),
        ),
        (
            *("test_transport_errors.py", "test_journal_client.py", "test_transport_clock.py"),
            *("test_transport_deadline.py", "test_journal_resend.py"),
        ),
    ),
    Rules(
        "transport/calls.py",
        _of("CallContext", "begin_attempt", "ended", "cut_off"),
        ("test_transport_errors.py", "test_transport_deadline.py", "test_transport_closing.py"),
    ),
    Rules("transport/failures.py", ("explain",), ("test_transport_explain.py", "test_transport_errors.py")),
    Rules("bulk/guard.py", ("check_payments_allowed",), ("test_bulk_client.py",)),
    Rules("transport/places.py", _of("ArgumentPlaces", "carry_out", "_try"), ("test_vendor_places.py",)),
)
# The journal: who writes what, what stands in the way, and what a write came to.
_JOURNAL = (
    Rules(
        "journal/identity.py",
        (
            *_of("Writer", "scope", "key_of"),
            *("natural_key", "subjects_of", "plain_of", "digest_of", "anything", "_sorted"),
        ),
        ("test_writes_rules.py", "test_journal_identity.py"),
    ),
    Rules(
        "journal/writes.py",
        (
            *_of("Write", "begin", "sending", "check_lease", "_add", "confirmed", "failed"),
            *_of("Write", "abandoned", "_ended"),
            *("draft_of", "begin_write"),
        ),
        (
            *("test_journal_client.py", "test_journal_resend.py", "test_journal_deadline.py"),
            "test_journal_shared.py::test_no_first_byte_leaves_when_the_note_is_old",
        ),
    ),
    Rules(
        "journal/resolve.py",
        (
            *("resolve_outcome", "judge", "_returned", "carries_waybill", "_plain", "_cancelled_taobao"),
            *("_cancelled_order", "_created", "is_ours", "_shows_ours", "_lines_tell"),
            *_of("Resolver", "resolve", "seconds_until_absent", "take_word", "_is_young"),
        ),
        ("test_writes_rules.py", "test_journal_resolve.py", "test_journal_word.py"),
    ),
    Rules(
        "journal/settling.py",
        _of("SettlesWrites", "resolve", "settle", "_open_intent", "look_up"),
        ("test_journal_resolve.py", "test_journal_word.py", "test_journal_client.py"),
    ),
    Rules(
        "journal/store.py",
        (
            "_SAME_KEY",
            *_of("JournalStore", "add", "_earlier", "_same_key", "sending", "resolve", "_has_open"),
            *_of("JournalStore", "close_abandoned"),
        ),
        ("test_writes_rules.py", "test_journal_identity.py", "test_journal_store.py"),
    ),
    Rules(
        "journal/queries.py",
        _of("JournalQueries", "with_key", "_about", "about_any", "claimed", "newest_sent", "was_sent"),
        ("test_writes_rules.py", "test_journal_upkeep.py", "test_callbacks_settle.py", "test_plans_past.py"),
    ),
    Rules(
        "journal/file_format.py",
        ("_EXTRA_SQL", "COUNTS_SQL", "_INDEXES"),
        ("test_writes_rules.py", "test_journal_store.py", "test_storage_formats.py"),
    ),
    Rules(
        "journal/intent.py",
        ("OPEN", *_of("IntentState", "open", "succeeded"), *_of("Intent", "doubtful", "may_become")),
        ("test_writes_rules.py", "test_journal_store.py"),
    ),
    Rules("journal/ages.py", ("seconds_left", "Ages.of"), ("test_writes_rules.py", "test_journal_resend.py")),
    Rules("journal/resend.py", ("look_first", "_unseen"), ("test_journal_resend.py", "test_journal_word.py")),
    Rules(
        "journal/callbacks.py",
        ("journal_settler", "settler_by_key", "_creates", "_ours", "_not_before"),
        ("test_callbacks_settle.py",),
    ),
    Rules("journal/prune.py", ("_step", "_old"), ("test_journal_upkeep.py",)),
    Rules(
        "journal/shared_store.py",
        _of("SharedJournalStore", "add", "_is_careful", "_is_doubted", "_look_at_history", "close_ended"),
        ("test_journal_shared.py",),
    ),
)
# The shared store: who handles which message, and who books which part of the quota.
_SHARED = (
    Rules(
        "callbacks/store.py",
        ("FREE", "GIVE_BACK", *_of("MessageStore", "add", "claim", "recover", "_sound", "release")),
        ("test_callbacks_store.py", "test_callbacks_order.py"),
    ),
    Rules(
        "callbacks/shared_store.py",
        (
            "INSERT_NEW",
            *_of("SharedMessageStore", "commit", "add", "recover", "claim", "_look_again", "finish"),
            *_of("SharedMessageStore", "release", "_opened"),
        ),
        ("test_callbacks_shared.py", "test_callbacks_store.py"),
    ),
    Rules("shared/quota.py", _of("QuotaBook", "_learn", "_hear"), _QUOTA),
    Rules("shared/runs.py", ("only_run",), ("test_shared_runs.py",)),
)
# Amounts: from a cell or an answer to whole fen.
_MONEY = (
    Rules(
        "money.py",
        (
            *_of("Fen", "__new__", "from_yuan", "yuan", "__add__", "__sub__", "__mul__", "__floordiv__"),
            *_of("Fen", "__rsub__", "__rfloordiv__", "__rmod__", "__abs__"),
            "_whole",
        ),
        ("test_models_money.py",),
    ),
    Rules(
        "tables/amounts.py",
        ("amount_fen", "_fen_of_number", "_fen_of_text", "_fen_of_digits"),
        ("test_tables_cells.py",),
    ),
    Rules("core/freight.py", ("total_fen", "totals_fen"), ("test_vendor_freight.py",)),
)
# Plans: which rows are sent, which are not, and what they come to.
_PLANS = (
    Rules(
        "plans/binding.py",
        ("Binding.is_of", "check_binding", "check_writer"),
        ("test_plans_journal.py", "test_plans_past.py", "test_plans_resend.py"),
    ),
    Rules("plans/line_rule.py", _of("LineRule", "holds_back", "_earlier_form"), ("test_plans_lines.py",)),
    Rules("plans/limits.py", ("refuse_over_limits", "counted_amounts"), ("test_plans_limits.py",)),
    Rules(
        "plans/checks.py",
        (
            *_of("Checks", "check", "_check_return", "_check_reason", "_check_amount", "_open_form"),
            *("Checks.open_form", "_not_answered", "_chosen", "_lines_of", "_sum", "_compare"),
            *("_check_freight", "_compare_added"),
        ),
        ("test_plans_checks.py", "test_plans_lines.py", "test_vendor_freight.py"),
    ),
    Rules(
        "plans/looking.py",
        (
            *_of("RowLooker", "resolve", "look_again", "_resolve_without_intent", "may_send", "_keep_back"),
            *("RowLooker.absence_is_believed", "_is_an_answer"),
        ),
        ("test_plans_past.py", "test_plans_resend.py", "test_plans_apply.py", "test_plans_journal.py"),
    ),
    Rules(
        "plans/execute.py",
        _of(
            "RowSender",
            "send",
            "_held_back",
            "_call",
            "_seconds_to_wait",
            "_forbidding",
            "_take_over",
            "_urls",
        ),
        (
            *("test_plans_apply.py", "test_plans_past.py", "test_plans_resend.py", "test_plans_lines.py"),
            "test_plans_journal.py",
        ),
    ),
    Rules(
        "plans/record.py",
        (
            *_of("RowRecorder", "same_write", "learn", "_most_telling", "ended"),
            *("_surely_ours", "_code_of"),
        ),
        ("test_plans_apply.py", "test_plans_past.py", "test_plans_resend.py", "test_plans_journal.py"),
    ),
    Rules(
        "plans/apply.py",
        (
            *("_MAY_BE_SENT", "_BEGUN"),
            *_of("_Application", "_check_expected", "_take_possession", "_work", "_send_what_was_too_young"),
            *_of("_Application", "_vendor_answers", "_wait_until_believed"),
        ),
        (
            *("test_plans_apply.py", "test_plans_past.py", "test_plans_resend.py", "test_plans_put_off.py"),
            "test_plans_journal.py",
        ),
    ),
    Rules(
        "plans/rows.py",
        (*_of("RowState", "done", "open", "failed"), "state_of", "_FAILED"),
        ("test_plans_rows.py", "test_plans_apply.py", "test_plans_limits.py"),
    ),
    Rules(
        "plans/plan_file.py",
        _of(
            "PlanFile", "raise_mark", "doubt", "_refuse_duplicate", "recheck_key", "count_doubtful", "amounts"
        ),
        ("test_plans_file.py", "test_plans_limits.py", "test_plans_past.py", "test_plans_rows.py"),
    ),
    Rules(
        "plans/summary.py",
        ("summary_of", "sendable_states", "_money"),
        ("test_plans_limits.py", "test_plans_checks.py", "test_plans_rows.py"),
    ),
    Rules(
        "plans/row_parser.py",
        _of("RowParser", "_row", "_values", "_fill", "_check_freight"),
        ("test_plans_rows.py", "test_vendor_freight.py", "test_plans_by_account.py"),
    ),
)
# Reconciliation: what a row of the ledger is, by what the platform says.
_RECONCILE = (
    Rules(
        "reconcile/verdict.py",
        ("judge", "counted_fen", "_findings", "_passed", "_age_days"),
        ("test_reconcile_verdict.py", "test_vendor_freight.py"),
    ),
    Rules(
        "reconcile/statuses.py",
        ("status_of_ledger", "status_of_platform", "is_known", "is_open", "is_final", "succeeded"),
        ("test_reconcile_verdict.py", "test_reconcile_rows.py"),
    ),
    Rules(
        "reconcile/lookup.py",
        ("lookup_of_answer", "_of_1688", "_of_taobao", "_whole", "lookup_of_error"),
        ("test_reconcile_verdict.py", "test_vendor_fields.py", "test_reconcile_engine.py"),
    ),
    Rules(
        "reconcile/summary.py",
        (*_of("Totals", "add", "check"), "Summary.exit_code"),
        ("test_reconcile_verdict.py", "test_vendor_freight.py"),
    ),
    Rules(
        "reconcile/by_list.py",
        (
            *("lookup_of_item", "confirms"),
            *_of("Confirming", "prepare", "_may_confirm", "take", "_confirm", "_proved", "_compare"),
            *_of("Confirming", "_difference", "conclude", "_end"),
        ),
        _BY_LIST,
    ),
    Rules(
        "reconcile/list_store.py",
        (
            *("_PENDING_ROW", "_DATED"),
            *_of("ListTables", "forget_unproved", "forget_list_lookups"),
        ),
        _BY_LIST,
    ),
    Rules(
        "reconcile/list_store.py",
        (*("_LACKING", "_FOUND"), *_of("ListTables", "add_listed", "lacking_pending")),
        _MISSING,
    ),
    Rules(
        "reconcile/reuse.py",
        (
            *("is_settled", "changed"),
            *_of("ReuseRule", "choose", "_use", "_waits", "_is_silent"),
            *_of("Reuse", "choose", "_choices", "use", "compare", "_differing"),
        ),
        (
            *_in(
                "test_reconcile_reuse_parts.py",
                "test_a_run_that_goes_on_knows_for_which_platform_reuse_has_ended",
                "test_a_run_that_goes_on_chooses_anew_and_keeps_what_it_looked_up_itself",
            ),
            *("test_reconcile_reuse.py", "test_reconcile_silence.py"),
        ),
    ),
    Rules(
        "reconcile/lookup_store.py",
        (
            "_INSERT",
            "Known.same_ledger",
            *_of("LookupStore", "find", "mark_pushed", "forget", "remember", "_keep"),
        ),
        ("test_reconcile_reuse.py", "test_reconcile_silence.py"),
    ),
    Rules(
        "reconcile/find_missing.py",
        (
            *("judge_lacking", "_bounds", "too_many", "_incomplete"),
            *_of("Finding", "_bounds_applications", "until_now", "conclude"),
            *_of("MissingSummary", "add", "outside", "exit_code"),
        ),
        _MISSING,
    ),
)
_FOLLOW = (
    Rules(
        "follow/changes.py",
        (*_of("Seen", "missing"), "change_of", "is_done"),
        ("test_follow.py",),
    ),
    Rules(
        "follow/following.py",
        _of("Following", "_take_up", "_keep", "_hurry", "_judge", "_note", "_is_stuck", "_change"),
        ("test_follow.py",),
    ),
)
RULES = (*_OUTCOME, *_JOURNAL, *_SHARED, *_MONEY, *_PLANS, *_RECONCILE, *_FOLLOW)
