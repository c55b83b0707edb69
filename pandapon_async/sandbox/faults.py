"""Faults by rule: what goes wrong, how often, and where.

Which request meets which fault follows from the seed and the request's number alone, so a run can be
repeated. At most one fault meets a request: the shares of all rules that apply to it add up.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import attrs

from pandapon_async.sandbox.numbering import draws

__all__ = ["Fault", "FaultKind", "FaultPlan", "chaos", "parse_faults"]


class FaultKind(enum.StrEnum):
    """What can be done to a request. `*_after` and truncated: it was carried out, the answer is lost."""

    LATENCY = "latency"
    """Answered after `delay` seconds."""
    REFUSE = "refuse"
    """The connection is closed and the body not even read."""
    RESET_BEFORE = "reset_before"
    """Read, then TCP RST: nothing was carried out."""
    RESET_AFTER = "reset_after"
    """Carried out, then TCP RST."""
    TRUNCATED = "truncated"
    """Carried out, half of the answer sent, closed."""
    ERROR_500 = "error_500"
    """HTTP 500, nothing carried out."""
    ERROR_500_AFTER = "error_500_after"
    """HTTP 500, after it was carried out."""
    ERROR_502_HTML = "error_502_html"
    """A gateway's page, nothing carried out."""
    ERROR_503 = "error_503"
    """A gateway's page, with Retry-After if the rule says so; nothing carried out."""
    THROTTLE_429 = "throttle_429"
    """HTTP 429 with Retry-After, nothing carried out."""
    THROTTLE_CODE = "throttle_code"
    """HTTP 200 with the envelope's code 429, nothing carried out."""
    REFUSAL = "refusal"
    """Answered with `status` and `body`, nothing carried out."""
    REFUSAL_AFTER = "refusal_after"
    """Carried out, and then answered with `status` and `body`."""
    LANDS_LATE = "lands_late"
    """TCP RST, and carried out `delay` seconds later."""
    VISIBLE_LATE = "visible_late"
    """Carried out and answered; reads show it `visible_after` seconds later."""


CARRIED_OUT = frozenset(
    {
        FaultKind.LATENCY,
        FaultKind.RESET_AFTER,
        FaultKind.TRUNCATED,
        FaultKind.ERROR_500_AFTER,
        FaultKind.REFUSAL_AFTER,
        FaultKind.VISIBLE_LATE,
    }
)
BODIES = ("html", "envelope", "code", "inner", "empty")


def _share(_: object, __: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError("share must be from 0 to 1")


def _status(_: object, __: attrs.Attribute[int], value: int) -> None:
    if not 200 <= value <= 599:
        raise ValueError("status of a refusal must be from 200 to 599")


def _body(_: object, __: attrs.Attribute[str], value: str) -> None:
    if value not in BODIES:
        raise ValueError(f"body of a refusal must be one of {', '.join(BODIES)}")


@attrs.define(frozen=True)
class Fault:
    """One rule: `share` of the requests to `endpoint` meet a fault of this kind.

    `endpoint` is a pattern of names, with the generation in front or without ("v1.alibaba.*",
    "*.refunds.get"), None for all. The first `after` matching requests are spared, and after `times` faults
    the rule is done.

    `delay` (seconds) is for latency and lands_late. `retry_after` (seconds) is the header of throttle_429 (1
    unless given), throttle_code, error_503 and the refusals (none unless given). `status` and `body` are the
    refusals': an "html" page, an "envelope", an envelope in HTTP 200 ("code"), a refusal inside a successful
    envelope ("inner"), or "empty". `error_code` is the code in the envelope (the status unless given), or
    inside it (5001). `visible_after` goes with every kind that carries the request out: so many seconds pass
    until reads show what it changed (None: as the sandbox has it; for visible_late, 60).
    """

    kind: FaultKind = attrs.field(converter=FaultKind)
    """What is done."""
    share: float = attrs.field(default=1.0, validator=_share)
    """How often: the share of matching requests, from 0 to 1."""
    endpoint: str | None = None
    """The call it is done to; None: all."""
    times: int | None = None
    """How often at most; None: without end."""
    after: int = 0
    """How many matching requests pass first."""
    delay: float = 0.1
    """Seconds, for kinds that wait."""
    retry_after: float | None = None
    """Seconds in the Retry-After header; None: no header."""
    status: int = attrs.field(default=403, validator=_status)
    """The HTTP status of a refusal."""
    body: str = attrs.field(default="html", validator=_body)
    """The form of a refusal: "html", "envelope", "code", "inner" or "empty"."""
    visible_after: float | None = None
    """Seconds until reads show what was carried out."""
    error_code: str | None = None
    """The inner error code of a refusal."""

    @property
    def carries_out(self) -> bool:
        """Whether the request is processed nevertheless, and at once."""
        return self.kind in CARRIED_OUT

    @property
    def hidden_for(self) -> float | None:
        """How many seconds reads do not show what the request changed; None if the rule does not say."""
        if self.visible_after is None and self.kind is FaultKind.VISIBLE_LATE:
            return 60.0
        return self.visible_after


@attrs.define(eq=False)
class _Rule:
    fault: Fault
    matched: int = 0
    done: int = 0

    def applies(self, names: Sequence[str]) -> bool:
        fault = self.fault
        if fault.endpoint is not None and not any(fnmatchcase(name, fault.endpoint) for name in names):
            return False
        self.matched += 1
        return self.matched > fault.after and (fault.times is None or self.done < fault.times)


class FaultPlan:
    """All rules of one sandbox, and how far each of them is."""

    def __init__(self, faults: Iterable[Fault], seed: int) -> None:
        self._rules = [_Rule(fault) for fault in faults]
        self._seed = seed

    def choose(self, number: int, names: Sequence[str]) -> Fault | None:
        """The fault for request `number`, or None; `names` are those of the call, plain and pinned."""
        if not self._rules:
            return None
        point = draws(self._seed, "fault", number)[0] / 2**32
        reached = 0.0
        chosen: _Rule | None = None
        for rule in self._rules:
            if rule.applies(names) and chosen is None:
                reached += rule.fault.share
                if point < reached:
                    chosen = rule
        if chosen is None:
            return None
        chosen.done += 1
        return chosen.fault


def chaos(share: float = 0.1) -> tuple[Fault, ...]:
    """A mix of everything that happens to a client in production, over `share` of all requests."""
    return (
        Fault(FaultKind.LATENCY, share * 0.30, delay=0.05),
        Fault(FaultKind.RESET_AFTER, share * 0.15),
        Fault(FaultKind.RESET_BEFORE, share * 0.10),
        Fault(FaultKind.REFUSE, share * 0.05),
        Fault(FaultKind.TRUNCATED, share * 0.05),
        Fault(FaultKind.THROTTLE_429, share * 0.15, retry_after=0.2),
        Fault(FaultKind.THROTTLE_CODE, share * 0.05),
        Fault(FaultKind.ERROR_500, share * 0.05),
        Fault(FaultKind.ERROR_502_HTML, share * 0.10),
    )


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Rules from their short form: kind, share and named settings, colons between, commas after each.

    >>> parse_faults("reset_after:0.05,throttle_429:0.01:retry_after=0.2")[1].retry_after
    0.2

    "chaos:0.1" stands for the mix of `chaos`. Raises ValueError that says what would be right.
    """
    found: list[Fault] = []
    for rule in filter(None, (part.strip() for part in text.split(","))):
        kind, *rest = rule.split(":")
        if kind == "chaos":
            found += chaos(*(_read("share", part) for part in rest[:1]))
        else:
            found.append(_parse_rule(kind, rest))
    return tuple(found)


_SETTINGS: Mapping[str, Callable[[str], Any]] = {
    "share": float,
    "endpoint": str,
    "times": int,
    "after": int,
    "delay": float,
    "retry_after": float,
    "status": int,
    "body": str,
    "visible_after": float,
    "error_code": str,
}


def _parse_rule(kind: str, settings: Sequence[str]) -> Fault:
    if kind not in {known.value for known in FaultKind}:
        raise ValueError(f"unknown fault {kind}; known: chaos, {', '.join(FaultKind)}")
    found = {}
    for position, setting in enumerate(settings):
        name, equals, value = setting.partition("=")
        if position == 0 and not equals:
            name, value = "share", setting
        if name not in _SETTINGS:
            raise ValueError(f"unknown setting {name} of a fault; known: {', '.join(_SETTINGS)}")
        found[name] = _read(name, value)
    return Fault(kind, **found)


def _read(name: str, text: str) -> Any:
    try:
        return _SETTINGS[name](text)
    except ValueError:
        raise ValueError(f"{name} of a fault must be a number") from None
