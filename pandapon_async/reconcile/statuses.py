"""Normalise the states of a refund, however the ledger or the platform spells them.

1688 writes one state as `waitselleragree` or WAIT_SELLER_AGREE; Taobao sends numbers as text; people write
the words of the platform's pages, or their own (see `Options.status_map`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pandapon_async.models.alibaba import refunds as alibaba
from pandapon_async.models.taobao import refunds as taobao
from pandapon_async.tables.cells import Platform, tidy

__all__ = [
    "is_final",
    "is_known",
    "is_open",
    "known_states",
    "plain_word",
    "platform_of_state",
    "state_label",
    "states_named",
    "status_of_ledger",
    "status_of_platform",
    "succeeded",
]

_STATES: dict[Platform, dict[str, bool]] = {  # state -> whether it is final
    "1688": {state.value: state.terminal for state in alibaba.RefundStatus},
    "taobao": {str(state.value): state.terminal for state in taobao.RefundStatus},
}
_SUCCESS: dict[Platform, str] = {
    "1688": alibaba.RefundStatus.REFUND_SUCCESS.value,
    "taobao": str(taobao.RefundStatus.SUCCESS.value),
}
_NAMES_1688 = {
    "waitselleragree": "等待卖家同意 等待卖家处理 待卖家同意 待卖家处理",
    "waitbuyermodify": "等待买家修改 待买家修改",
    "waitbuyersend": "等待买家退货 等待买家发货 待买家退货 待买家发货",
    "waitsellerreceive": "等待卖家收货 等待卖家确认收货 待卖家收货",
    "refundsuccess": "退款成功 退款完成 已退款",
    "refundclose": "退款关闭 退款已关闭 已关闭 refundclosed",
}
_NAMES_TAOBAO = {
    "0": "无退款",
    "10": "已申请 买家已申请 申请退款 等待卖家同意 待卖家同意 applied",
    "20": "卖家已同意 等待买家退货 待买家退货 awaitingreturn",
    "30": "买家已退货 等待卖家收货 待卖家收货 awaitingreceipt",
    "100": "退款成功 退款完成 已退款 success",
    "-10": "卖家拒绝 卖家已拒绝 拒绝退款 卖家拒绝退款 refused",
    "-20": "退款关闭 退款已关闭 已关闭 closed",
}
_WORDS: dict[Platform, dict[str, str]] = {
    "1688": {word: state for state, words in _NAMES_1688.items() for word in words.split()},
    "taobao": {word: state for state, words in _NAMES_TAOBAO.items() for word in words.split()},
}
_SEPARATORS = re.compile(r"[\s_,-]+")
_NUMBER = re.compile(r"[+-]?[0-9]{1,6}", re.ASCII)


def plain_word(text: str) -> str:
    """Normalise a word of the ledger: neither case nor width nor spaces make another word."""
    return " ".join(tidy(text).lower().split())


def status_of_ledger(platform: Platform, text: str, status_map: Mapping[str, tuple[str, ...]]) -> str:
    """Return the state that a ledger's word means on this platform; the word itself if it is unknown.

    `status_map` has plain words.
    """
    if status_map:
        for state in status_map.get(plain_word(text), ()):
            if state in _STATES[platform]:
                return state
    if platform == "taobao" and _NUMBER.fullmatch(text):
        return str(int(text))
    plain = _SEPARATORS.sub("", text).lower()
    if plain in _STATES[platform]:
        return plain
    return _WORDS[platform].get(plain, text)


def status_of_platform(value: Any) -> str | None:
    """Return the state in a platform's answer as text; None without one."""
    if value is None:
        return None
    raw = value.value if isinstance(value, alibaba.RefundStatus | taobao.RefundStatus) else value
    return " ".join(str(raw).split())[:64]


def known_states() -> list[str]:
    """Return every state of both platforms, in the spelling of their answers."""
    return [state for states in _STATES.values() for state in states]


def states_named(text: str) -> tuple[str, ...]:
    """Return the states that a word means, at most one of each platform.

    >>> states_named("退款成功"), states_named("RefundSuccess"), states_named("gone")
    (('refundsuccess', '100'), ('refundsuccess',), ())
    """
    word = " ".join(tidy(text).split())
    found = ((status_of_ledger(platform, word, {}), states) for platform, states in _STATES.items())
    return tuple(state for state, states in found if state in states)


def platform_of_state(state: str) -> Platform | None:
    """Return the platform that has this state; None for another word."""
    return next((platform for platform, states in _STATES.items() if state in states), None)


def state_label(platform: Platform, state: str, language: Literal["en", "zh"]) -> str | None:
    """Return a state in words for people; None if it is not one of the platform's.

    >>> state_label("taobao", "30", "en"), state_label("taobao", "30", "zh")
    ('awaiting receipt', '买家已退货')
    """
    if state not in _STATES[platform]:
        return None
    if language == "zh":
        return (_NAMES_1688 if platform == "1688" else _NAMES_TAOBAO)[state].split()[0]
    member = alibaba.RefundStatus(state) if platform == "1688" else taobao.RefundStatus(int(state))
    return str(member.name).lower().replace("_", " ")


def is_known(platform: Platform, state: str | None) -> bool:
    """Whether the state is one of the platform's."""
    return state in _STATES[platform]


def is_open(platform: Platform, state: str | None) -> bool:
    """Whether the refund is still open (a known state that is not final)."""
    return state is not None and _STATES[platform].get(state) is False


def is_final(platform: Platform, state: str | None) -> bool:
    """Whether the refund is finished for good (a known state that is final)."""
    return state is not None and _STATES[platform].get(state) is True


def succeeded(platform: Platform, state: str | None) -> bool:
    """Whether the money was paid back."""
    return state == _SUCCESS[platform]
