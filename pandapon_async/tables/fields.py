"""The fields of a row: one description for each, shared by ledgers and plans.

A field has the usual names of its column, in English and Chinese, and a function that reads its cells.
Specific names are tried before general ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.plain_text import meant
from pandapon_async.tables.cells import AmountUnit, Cell, Refused, blank, no_value, shown, tidy

__all__ = [
    "NAMES",
    "UNITS",
    "ColumnSpec",
    "names_of",
    "plain_name",
    "simplified",
    "split_unit",
    "unknown_field",
]

Read = Callable[[Cell, AmountUnit | None], Any]

NAMES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    field: (frozenset(outright.split()), frozenset(general.split()))
    for field, outright, general in (
        ("platform", "platform purchaseplatform sourceplatform 采购平台 货源平台 来源平台 订单平台", "平台"),
        ("shop", "shop shopname store storename 店铺 店铺名称 店铺名 网店 网店名称", "卖家店铺 所属店铺"),
        ("account", "account pandaponaccount", ""),
        (
            "refund_id",
            """refundid refundno refundnumber refundcode reverseid reverseorderid aftersaleid aftersalesid
            aftersaleno 退款id 退款编号 退款单号 退款单编号 退款号 退款单 退款单id 退款申请单号 退款申请编号
            售后单号 售后编号 售后单编号 售后单id 售后id 逆向单号 逆向订单号
            平台退款单号 平台退款编号 平台售后单号 平台售后编号 线上退款单号 线上售后单号 原始退款单号""",
            "refund 退款批次号请求号 退单号 退货单号 退货退款编号",
        ),
        (
            "order_id",
            """orderid orderno ordernumber purchaseorderid purchaseorderno
            订单号 订单编号 订单id 订单单号 采购单号 采购订单号 采购订单编号
            主订单号 主订单编号 主订单id 平台订单号 平台订单编号 平台单号 线上订单号 线上单号 原始订单号
            原始单号 交易编号 交易订单号 淘宝订单号 淘宝订单编号""",
            "order 订单 商户订单号",
        ),
        (
            "amount",
            """refundamount refundamt refundfee refundpayment refundmoney
            退款金额 退款额 退款总额 退款总金额 实退金额 应退金额 申请退款金额 申请金额 买家退款金额
            退给买家金额 退买家金额 退款给买家金额 实际退款金额 买家实退金额 平台退款金额""",
            "amount amt 金额",
        ),
        ("currency", "currency currencycode ccy 币种 货币 币别 货币代码 结算币种 货币种类", ""),
        (
            "status",
            "refundstatus refundstate 退款状态 售后状态 退款单状态 售后单状态 平台退款状态",
            "status state 状态",
        ),
        (
            "applied_at",
            """appliedat applytime applieddate applydate gmtapply refundapplytime
            申请时间 退款申请时间 申请退款时间 申请日期 退款申请日期 退款的申请时间 售后申请时间""",
            "createdat createtime 创建时间 创建日期",
        ),
    )
}
"""The names of the fields that ledgers and plans share: specific, general; see `plain_name`."""

UNITS: Mapping[str, AmountUnit] = {
    **dict.fromkeys(("fen", "分"), "fen"),
    **dict.fromkeys(("yuan", "元", "¥"), "yuan"),
}
_SEPARATORS = re.compile(r"[\s_\-.:/#*`'\"]+")
_BRACKETS = str.maketrans("[]【】〔〕「」『』《》〈〉{}", "()" * 8)
_MARKS = re.compile(r"^(?:[0-9]{1,2}[.、)](?![0-9])|[\u2460-\u2473])|[\u2190-\u21ff\u25a0-\u27bf※•·!?]+")
"""Numbers of columns, stars and arrows around a name."""
_PERSONAL = re.compile(r"@|(?<![0-9])1[3-9][0-9]{9}(?![0-9])|[^\W\d_]{2,}\s+[^\W\d_]{2,}")
"""Mail addresses, mobile phones, and several words: a name, an address."""
_OF_MONEY = frozenset(
    "元角分厘圆圓块塊毛万萬仟佰拾千百十整正人民币幣约約零〇一二三四五六七八九两壹贰叁肆伍陆柒捌玖貳參陸¥−"
)
"""The characters of an amount in words."""
LONGEST_QUOTED = 64
LONGEST_WORD = 12
_REMARK = re.compile(
    r"[,;、|]?(?:必填|选填|必须|必输|可选|可不填|非必填|非空|required|optional|mandatory)[^()]*(?=\))"
)
_UNIT = re.compile(
    r"(?P<stem>.+?)(?:\((?:单位|unit)?(?:人民币|rmb|cny)?(?P<inside>fen|yuan|分|元|¥)\)"
    r"|\((?:单位|unit)?(?P<currency>人民币|rmb|cny)\)|(?P<after>fen|yuan|分|元))"
)
_BILINGUAL = re.compile(r"(?P<one>[^\x00-\x7f]+)\(?(?P<other>[\x00-\x27\x2a-\x7f]+)\)?")
_REVERSED = re.compile(r"(?P<other>[\x00-\x27\x2a-\x7f]+)\(?(?P<one>[^\x00-\x7f]+)\)?")
_SIMPLIFIED = str.maketrans(
    "僅編號單訂計筆額狀態鋪幣種請時間貨運費說憑證圖淘寶總實應類買賣親備註條選問題舉據購採來網際後個開關碼遞線稱結屬還給賬帳戶發對處標質數轉電鏈與"
    "約從優複製審覈確認寫輸補倉庫調營銷廣細節經辦簽蓋頁導",
    "仅编号单订计笔额状态铺币种请时间货运费说凭证图淘宝总实应类买卖亲备注条选问题举据购采来网际后个开关码递线称结属还给账账户发对处标质数转电链与"
    "约从优复制审核确认写输补仓库调营销广细节经办签盖页导",
)


def plain_name(column: str) -> str:
    """Normalise a column name: no case, spaces, separators, stars or required marks; simplified characters.

    >>> plain_name("*退款編號（必填）")
    '退款编号'
    """
    name = _MARKS.sub("", simplified(tidy(column).lower().translate(_BRACKETS)))
    name = _REMARK.sub("", _SEPARATORS.sub("", name)).replace("()", "")
    bare = name.removeprefix("(").removesuffix(")")
    return bare if len(bare) == len(name) - 2 and not {*"()"} & {*bare} else name


def simplified(text: str) -> str:
    """Replace the traditional characters of column names and footers by simplified ones."""
    return text.translate(_SIMPLIFIED)


def split_unit(name: str) -> tuple[str, AmountUnit | None]:
    """Split a plain name into the name and its unit.

    >>> split_unit("退款金额(元)")
    ('退款金额', 'yuan')
    """
    match = _UNIT.fullmatch(name)
    if match is None:
        return name, None
    if match["currency"]:
        return match["stem"], "yuan"
    return match["stem"], UNITS[match["inside"] or match["after"]]


def unknown_field(key: str, value: str, known: Sequence[str], argument: str) -> InvalidArgumentError:
    """Return the error about a field that does not exist, with the one that is probably meant."""
    if value in known:
        text = f"unknown field {key} in --{argument}; write the field first: --{argument} {value}={key}"
    else:
        text = f"unknown field {key} in --{argument}{meant(key, known) or '.'} Known: {', '.join(known)}"
    return InvalidArgumentError(text, argument=argument)


def names_of(
    outright: str, general: str = "", of: str | None = None
) -> tuple[frozenset[str], frozenset[str]]:
    """Return names of a column, together with those of the shared field `of`."""
    shared = NAMES[of] if of is not None else (frozenset[str](), frozenset[str]())
    return shared[0] | frozenset(outright.split()), shared[1] | frozenset(general.split())


@attrs.frozen
class ColumnSpec:
    """A field: the names of its column, and how its cells are read.

    `argument` is the call's argument for it; None if it is only for people or is processed before. `money` is
    read in the unit of its column. `default` is the value without such a column. `needed`: a filled cell
    without a value (#N/A, NULL, -) is refused; otherwise it counts as empty. `id`: a float32 cannot hold it.
    `compared`: something depends on it; otherwise two columns of that name raise no question, and an
    unreadable cell does not fail the row. `private`: a message must not quote it. `word`: it is one of a few
    words, so a message may quote another word in any script. `instead` is a field that can replace it,
    `unit_of` a money field whose unit applies if its own is not stated.
    """

    name: str
    outright: frozenset[str]
    general: frozenset[str]
    read: Read
    argument: str | None = None
    money: bool = False
    default: Any = None
    needed: bool = False
    id: bool = False
    compared: bool = True
    private: bool = False
    word: bool = False
    instead: str | None = None
    unit_of: str = ""

    def value(self, cell: Cell, unit: AmountUnit | None = None, read: Read | None = None) -> Any:
        """Read a cell; `read` is a stricter reader.

        Raises Refused, quoting the cell unless it is empty or private.
        """
        try:
            if why := no_value(cell):
                if self.needed or self.money:
                    raise Refused(why)
                return None
            return (read or self.read)(cell, unit)
        except Refused as refused:
            if blank(cell) or not (no_value(cell) or self.may_quote(str(cell))):
                raise
            raise Refused(f"{shown(cell)} {refused}") from None

    def may_quote(self, text: str) -> bool:
        """Whether a message may quote a cell: with shifted columns it may be a phone number."""
        if self.private or _PERSONAL.search(text):
            return False
        if len(text) > LONGEST_QUOTED:
            return False
        foreign = sum(letter.isalpha() and not letter.isascii() for letter in text)
        of_money = self.money and all(letter.isascii() or letter in _OF_MONEY for letter in tidy(text))
        return (
            foreign == 0
            or (self.word and len(text) <= LONGEST_WORD)
            or ((foreign == 1 or of_money) and any(map(str.isdigit, text)))
        )

    def is_named(self, column: str, known: frozenset[str]) -> bool:
        """Whether a plain column name is a known one, ignoring its unit, or has two languages for one."""
        name = split_unit(column)[0] if self.money else column
        if column in known or name in known:
            return True
        both = _BILINGUAL.fullmatch(name) or _REVERSED.fullmatch(name)
        return both is not None and both["one"] in known and both["other"] in self.outright | self.general
