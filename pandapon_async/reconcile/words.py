"""The texts of the reports, in English and Chinese.

CSV column names, JSON names and the verdicts themselves are for programs and never translated.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, cast

import attrs

from pandapon_async.errors import ConfigurationError, ErrorKind
from pandapon_async.reconcile.find_missing import LackingVerdict
from pandapon_async.reconcile.options import Language
from pandapon_async.reconcile.verdict import Verdict

__all__ = ["Words", "language_of", "words_of"]

VARIABLE = "PANDAPON_LANGUAGE"


def language_of(chosen: Language | None, environ: Mapping[str, str] | None = None) -> Language:
    """Return the language of the reports.

    Args:
        chosen: The configured language, which takes precedence.
        environ: The environment, by default that of the process. PANDAPON_LANGUAGE comes first, then LC_ALL,
            and only without it LANG.

    Raises: ConfigurationError if PANDAPON_LANGUAGE is neither en nor zh.
    """
    values = os.environ if environ is None else environ
    if chosen is not None:
        return chosen
    if said := values.get(VARIABLE):
        if said not in _WORDS:
            raise ConfigurationError(f"{VARIABLE} must be en or zh")
        return cast("Language", said)
    locale = values.get("LC_ALL") or values.get("LANG") or ""
    return "zh" if locale.lower().startswith("zh") else "en"


def words_of(language: Language) -> Words:
    """Return the texts of a language."""
    return _WORDS[language]


@attrs.frozen(kw_only=True)
class Words:
    """Every text of the reports; those with {names} are templates."""

    language: Language
    title: str
    verdicts: Mapping[Verdict, tuple[str, str]]
    """Name and meaning of each verdict."""
    failures: Mapping[str, str]
    """Why a lookup failed, by `Lookup.error_kind`."""
    # headlines
    no_rows: str
    all_agree: str
    incomplete: str
    incomplete_also: str
    need_attention: str
    one_needs_attention: str
    # facts and figures
    facts: str
    in_ledger: str
    matched_share: str
    differ: str
    differs: str
    unverified: str
    at_stake: str
    at_stake_note: str
    verdicts_title: str
    exceptions: str
    of: str
    open_title: str
    open_facts: str
    past_deadline: str
    ages: Mapping[str, str]
    totals_title: str
    totals_facts: str
    rows: str
    ledger: str
    platform: str
    meaning: str
    together: str
    no_currency: str
    # what the ledger lacks
    missing_title: str
    missing_sheet: str
    missing_verdicts: Mapping[LackingVerdict, str]
    missing_found: str
    missing_asks: str
    missing_left: str
    missing_unverified: str
    missing_invented: str
    missing_more: str
    missing_part: str
    also_missing: str
    # the list
    list_title: str
    list_all: str
    list_part: str
    list_rest: str
    heads: Mapping[str, str]
    row: str
    open: str
    closed: str
    days: str
    search: str
    every_verdict: str
    every_shop: str
    every_age: str
    older_than: str
    shown: str
    copied: str
    # reasons
    column: str
    same_as_row: str
    no_status: str
    unknown_platform_status: str
    unknown_ledger_status: str
    currencies: str
    no_amount: str
    equal_if: str
    platform_less: str
    platform_more: str
    statuses: str
    overdue: str
    # actions
    mend_row: str
    drop_duplicate: str
    run_again: str
    check_id: str
    map_status: str
    report_status: str
    mend_currency: str
    read_form: str
    ask_for_rest: str
    correct_ledger: str
    say_freight: str
    book_paid: str
    apply_again: str
    ledger_ahead: str
    act_now: str
    # how it was made
    method_title: str
    method: Mapping[str, str]
    amounts_in: str
    tolerance: str
    none: str
    blank_lines: str
    cost_title: str
    cost: Mapping[str, str]
    footer: str
    summary_sheet: str
    attention_sheet: str

    def count_rows(self, count: int) -> str:
        """Return a number of rows in words."""
        if self.language == "zh":
            return f"{count:,} 行"
        return f"{count:,} row{'' if count == 1 else 's'}"


_EN: Final = Words(
    language="en",
    title="Refund reconciliation",
    verdicts={
        Verdict.MATCHED: ("Matched", "amount and status agree"),
        Verdict.AMOUNT_MISMATCH: ("Amount differs", "the platform has another amount"),
        Verdict.MISSING_UPSTREAM: ("Missing upstream", "the platform does not know this refund"),
        Verdict.CURRENCY_MISMATCH: ("Currency differs", "the amounts are in two currencies"),
        Verdict.STATUS_DRIFT: ("Status drifted", "the refund has another status on the platform"),
        Verdict.TIMED_OUT: ("Past deadline", "still open after its deadline"),
        Verdict.UNKNOWN_STATUS: ("Unknown status", "a status that is not documented"),
        Verdict.DUPLICATE_LOCAL: ("Duplicate row", "an earlier row has the same refund"),
        Verdict.UNREADABLE: ("Unreadable row", "the row cannot be read as a refund"),
        Verdict.UNVERIFIED: ("Unverified", "the lookup failed; nothing is known"),
    },
    failures={},
    no_rows="The ledger has no rows",
    all_agree="Every row agrees with the platform",
    incomplete="Incomplete: {unverified} could not be verified",
    incomplete_also="{incomplete}, and {others} {others_differ}",
    need_attention="{others} of {rows} need attention",
    one_needs_attention="1 row of {rows} needs attention",
    facts="{ledger} · {rows} rows · as of {as_of}",
    in_ledger="rows in the ledger",
    matched_share="matched ({count})",
    differ="differ",
    differs="differs",
    unverified="unverified",
    at_stake="at stake",
    at_stake_note="{rows} with an unknown amount",
    verdicts_title="Verdicts",
    exceptions="Exceptions",
    of="{part} of {whole}",
    open_title="Open refunds by age",
    open_facts="{count} still open, worth {amount};",
    past_deadline="{count} past their deadline",
    ages={
        "0-3 days": "0-3 days", "4-7 days": "4-7 days", "8-15 days": "8-15 days", "16-30 days": "16-30 days",
        "over 30 days": "over 30 days", "age unknown": "age unknown",
    },
    totals_title="Totals",
    totals_facts="Amounts of the ledger, and of the platform if it has one in the same currency.",
    rows="Rows",
    ledger="Ledger",
    platform="Platform",
    meaning="Meaning",
    together="Together",
    no_currency="No currency",
    missing_title="What the ledger lacks",
    missing_sheet="Missing",
    missing_verdicts={
        LackingVerdict.MISSING_LOCAL: "missing in the ledger",
        LackingVerdict.EDGE: "at an edge",
        LackingVerdict.UNVERIFIED: "not verified",
    },
    missing_found=
        "Of {named} refunds that the platform names, {missing} are missing in the ledger ({amount}); "
        "{edge} more were applied for within a day of an edge of {since} to {until}, or at an unknown "
        "time.",
    missing_asks="The ledger lacks {lacking} of {named} refunds that the platform names ({share} %). "
    "Is it complete, and of the whole account? With the ledger of one shop, leave out --find-missing.",
    missing_left="They were not looked up, so none is reported as missing; --accept-missing looks them up.",
    missing_unverified="{count} of the lacking refunds could not be looked up; "
    "the same command repeats only those.",
    missing_invented="{count} refunds that the list names do not exist; they are not counted.",
    missing_more="More may lack: {why}.",
    missing_part="The {count} with the most money; missing.csv lists all.",
    also_missing="{text}; the ledger lacks {missing} of the platform's refunds",
    list_title="What needs attention",
    list_all="All {count}, the most money at stake first.",
    list_part="The {count} with the most money at stake. Left out: {left}, with {amount} at stake.",
    list_rest="report.xlsx lists {count}, exceptions.csv all.",
    heads={
        "row": "Row", "stake": "At stake", "verdict": "Verdict", "shop": "Shop", "order": "Order",
        "account": "Account",
        "refund": "Refund", "ids": "Refund, order", "platform": "Platform", "applied": "Applied",
        "age": "Age (days)", "ledger": "Ledger", "upstream": "Platform", "difference": "Difference",
        "ledger_amount": "Ledger amount", "platform_amount": "Platform amount",
        "ledger_currency": "Ledger currency",
        "platform_currency": "Platform currency", "ledger_status": "Ledger status",
        "platform_status": "Platform status", "reason": "Reason", "action": "What to do",
        "deadline": "Deadline",
        "looked_up": "Looked up", "request": "Request id",
    },
    row="row {row}",
    open="{age}, open",
    closed="{age}",
    days="{days} d",
    search="Search shop, id, status …",
    every_verdict="All verdicts",
    every_shop="All shops",
    every_age="Any age",
    older_than="Older than {days} days",
    shown="Shown: {shown} of {all} rows, {amount} at stake",
    copied="copied",
    column="column {column}: {problem}",
    same_as_row="the same refund as row {row}",
    no_status="the platform has no status",
    unknown_platform_status="the platform's status is not a documented one",
    unknown_ledger_status="the ledger's status is not one of the platform's",
    currencies="ledger {ledger}, platform {platform}",
    no_amount="the platform has no amount",
    equal_if="equal if freight is {reading}",
    platform_less="the platform has {amount} less than the ledger",
    platform_more="the platform has {amount} more than the ledger",
    statuses="ledger {ledger}, platform {platform}",
    overdue="still open past its deadline {deadline}",
    mend_row="Correct row {row} of the ledger, then run again",
    drop_duplicate="Remove row {row} or row {other} from the ledger",
    run_again="Run the same command again; it repeats only failed lookups",
    check_id="Check the refund id and the account; if both are right, ask the shop",
    map_status="Define the word: --status-map {word}=STATE",
    report_status="Read the form on the platform; the status is new",
    mend_currency="Correct the currency in the ledger to {currency}",
    read_form="Read the form on the platform",
    ask_for_rest="Ask the shop for {amount}, or correct the ledger to {platform}",
    correct_ledger="Correct the ledger to {platform}",
    say_freight="Set how freight counts: --freight {reading}",
    book_paid="Book it as refunded",
    apply_again="Closed on the platform: ask the shop, or apply again",
    ledger_ahead="Not finished on the platform: set the ledger back to {status}",
    act_now="The deadline has passed: act on the form, or call the platform",
    method_title="How this was made",
    method={
        "ledger": "Ledger", "columns": "Columns", "basis": "Amount of 1688", "assumptions": "Assumptions",
        "notes": "Notes", "blank": "Blank lines", "sha": "Ledger SHA-256", "digest": "Rows digest",
    },
    amounts_in="{name} ({format}), amounts in {unit}",
    tolerance="{basis}, tolerance {fen} fen",
    none="none",
    blank_lines="{count}, not counted as rows",
    cost_title="What it took",
    cost={
        "finished": "Finished", "seconds": "Time", "lookups": "Looked up",
        "lookups_before": "Known from before",
        "second_pass": "Looked up a second time", "calls": "Calls", "attempts": "Requests",
        "retried": "Retries",
        "throttled": "Throttled", "failed": "Failed calls",
    },
    footer="Times are Beijing time. Made by pandapon-async reconcile.",
    summary_sheet="Summary",
    attention_sheet="Attention",
)  # fmt: skip

_ZH: Final = Words(
    language="zh",
    title="退款对账",
    verdicts={
        Verdict.MATCHED: ("一致", "金额和状态都一致"),
        Verdict.AMOUNT_MISMATCH: ("金额不符", "平台上是另一个金额"),
        Verdict.MISSING_UPSTREAM: ("平台无此退款", "平台查不到这笔退款"),
        Verdict.CURRENCY_MISMATCH: ("币种不符", "两边金额的币种不同"),
        Verdict.STATUS_DRIFT: ("状态不符", "平台上的状态与账本不同"),
        Verdict.TIMED_OUT: ("已超时", "过了期限仍未结束"),
        Verdict.UNKNOWN_STATUS: ("未知状态", "文档中没有的状态"),
        Verdict.DUPLICATE_LOCAL: ("重复行", "前面已有同一笔退款"),
        Verdict.UNREADABLE: ("无法读取", "这一行不能读成一笔退款"),
        Verdict.UNVERIFIED: ("未核实", "查询失败，情况不明"),
    },
    failures={
        ErrorKind.NOT_SENT: "查询失败：请求没有发出",
        ErrorKind.CONNECTION_LOST: "查询失败：连接中断",
        ErrorKind.DEADLINE: "查询失败：没有及时答复",
        ErrorKind.MALFORMED_RESPONSE: "查询失败：答复无法读取",
        ErrorKind.RESPONSE_TOO_LARGE: "查询失败：答复过大",
        ErrorKind.DECODE: "查询失败：答复与文档不符",
        ErrorKind.RATE_LIMIT: "查询失败：超过调用频率",
        ErrorKind.API: "查询失败：平台拒绝了请求",
    },
    no_rows="账本没有数据行",
    all_agree="每一行都与平台一致",
    incomplete="未完成：{unverified}未能核实",
    incomplete_also="{incomplete}，另有{others}{others_differ}",
    need_attention="{rows} 行中有 {others}需要处理",
    one_needs_attention="{rows} 行中有 1 行需要处理",
    facts="{ledger} · {rows} 行 · 截至 {as_of}",
    in_ledger="账本行数",
    matched_share="一致（{count}）",
    differ="不符",
    differs="不符",
    unverified="未核实",
    at_stake="涉及金额",
    at_stake_note="{rows}金额不明",
    verdicts_title="结果",
    exceptions="异常",
    of="{whole} 行中的 {part} 行",
    open_title="未结束退款的时长",
    open_facts="{count} 笔未结束，共 {amount}；",
    past_deadline="{count} 笔已超过期限",
    ages={
        "0-3 days": "0-3 天", "4-7 days": "4-7 天", "8-15 days": "8-15 天", "16-30 days": "16-30 天",
        "over 30 days": "30 天以上", "age unknown": "时长不明",
    },
    totals_title="合计",
    totals_facts="账本金额；平台金额只计与账本同币种的。",
    rows="行数",
    ledger="账本",
    platform="平台",
    meaning="含义",
    together="总计",
    no_currency="无币种",
    missing_title="账本缺少的退款",
    missing_sheet="账本缺少",
    missing_verdicts={
        LackingVerdict.MISSING_LOCAL: "账本缺少",
        LackingVerdict.EDGE: "在边缘",
        LackingVerdict.UNVERIFIED: "未核实",
    },
    missing_found="平台列出 {named} 笔退款，账本缺少 {missing} 笔（{amount}）；另有 {edge} 笔的申请时间在 "
    "{since} 至 {until} 的边缘一天之内，或无法得知。",
    missing_asks="平台列出 {named} 笔退款，账本缺少 {lacking} 笔（{share} %）。账本完整吗？是整个账号的吗？"
    "若只是一个店铺的账本，请不要用 --find-missing。",
    missing_left="没有逐笔查询，也没有一笔算作缺少；--accept-missing 会逐笔查询。",
    missing_unverified="账本缺少的退款中有 {count} 笔查询失败；再次运行同一命令，只重查这些。",
    missing_invented="列表中有 {count} 笔并不存在，不计入。",
    missing_more="可能缺少更多：{why}。",
    missing_part="金额最大的 {count} 笔；missing.csv 列出全部。",
    also_missing="{text}；账本缺少平台上的 {missing} 笔退款",
    list_title="需要处理的行",
    list_all="共 {count}，按涉及金额从大到小。",
    list_part="涉及金额最大的 {count}。未列出：{left}，涉及 {amount}。",
    list_rest="report.xlsx 列出 {count}，exceptions.csv 列出全部。",
    heads={
        "row": "行", "stake": "涉及金额", "verdict": "结果", "shop": "店铺", "order": "订单号",
        "account": "账号",
        "refund": "退款编号", "ids": "退款编号、订单号", "platform": "平台", "applied": "申请时间",
        "age": "天数", "ledger": "账本", "upstream": "平台", "difference": "差额",
        "ledger_amount": "账本金额", "platform_amount": "平台金额", "ledger_currency": "账本币种",
        "platform_currency": "平台币种", "ledger_status": "账本状态",
        "platform_status": "平台状态", "reason": "原因", "action": "处理办法", "deadline": "期限",
        "looked_up": "查询时间", "request": "请求编号",
    },
    row="第 {row} 行",
    open="{age}，未结束",
    closed="{age}",
    days="{days} 天",
    search="搜索店铺、编号、状态 …",
    every_verdict="全部结果",
    every_shop="全部店铺",
    every_age="不限时长",
    older_than="超过 {days} 天",
    shown="显示 {all} 行中的 {shown} 行，涉及 {amount}",
    copied="已复制",
    column="{column} 列：{problem}",
    same_as_row="与第 {row} 行是同一笔退款",
    no_status="平台没有给出状态",
    unknown_platform_status="平台的状态不在文档中",
    unknown_ledger_status="账本的状态不是平台的状态",
    currencies="账本 {ledger}，平台 {platform}",
    no_amount="平台没有给出金额",
    equal_if="运费按 {reading} 计则相等",
    platform_less="平台比账本少 {amount}",
    platform_more="平台比账本多 {amount}",
    statuses="账本 {ledger}，平台 {platform}",
    overdue="已过期限 {deadline}，仍未结束",
    mend_row="更正账本第 {row} 行后重新运行",
    drop_duplicate="从账本中删去第 {row} 行或第 {other} 行",
    run_again="再次运行同一命令，只重查失败的",
    check_id="核对退款编号和账号；都正确时联系店铺",
    map_status="说明该词的含义：--status-map {word}=STATE",
    report_status="到平台查看退款单；这是新的状态",
    mend_currency="将账本币种更正为 {currency}",
    read_form="到平台查看退款单",
    ask_for_rest="向店铺追讨 {amount}，或将账本更正为 {platform}",
    correct_ledger="将账本更正为 {platform}",
    say_freight="说明运费的计法：--freight {reading}",
    book_paid="登记为已退款",
    apply_again="平台已关闭：联系店铺，或重新申请",
    ledger_ahead="平台尚未结束：将账本改回 {status}",
    act_now="已过期限：处理退款单，或联系平台",
    method_title="本报告的由来",
    method={
        "ledger": "账本", "columns": "列", "basis": "1688 的金额", "assumptions": "推断",
        "notes": "备注", "blank": "空行", "sha": "账本 SHA-256", "digest": "结果摘要",
    },
    amounts_in="{name}（{format}），金额单位 {unit}",
    tolerance="{basis}，容差 {fen} 分",
    none="无",
    blank_lines="{count}，不计入行数",
    cost_title="本次运行",
    cost={
        "finished": "完成时间", "seconds": "用时", "lookups": "查询", "lookups_before": "沿用以前的查询",
        "second_pass": "再次查询", "calls": "调用", "attempts": "请求", "retried": "重试",
        "throttled": "被限流", "failed": "失败的调用",
    },
    footer="时间为北京时间。由 pandapon-async reconcile 生成。",
    summary_sheet="汇总",
    attention_sheet="需要处理",
)  # fmt: skip

_WORDS: Final[Mapping[str, Words]] = {"en": _EN, "zh": _ZH}
