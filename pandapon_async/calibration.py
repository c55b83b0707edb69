"""Find out by reads only how this vendor signs, places arguments, and answers for a missing refund.

No page says whether a timestamp counts milliseconds or seconds, and with a wrong guess every nightly run ends
with an authentication error. A few reads can find out. They are few and slow, because a vendor may count
refusals: no signature is refused twice, a throttle ends the calibration, and nothing is ever written. What
the answers do not prove stays "not known".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from pandapon_async.api.registry import endpoints
from pandapon_async.client import Client
from pandapon_async.core.clock_skew import Skew
from pandapon_async.core.outcome import Safety
from pandapon_async.core.retry import RetryPolicy
from pandapon_async.core.structure import LIST_FIELDS
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    NotSentError,
    PandaponError,
    RateLimitError,
)
from pandapon_async.settings import Credentials, Settings
from pandapon_async.storage import IN_MEMORY

__all__ = ["CART", "CLOCK_WINDOW", "MOST_CALLS", "Calibration", "Finding", "calibrate", "shape_of"]

MOST_CALLS: Final = 20
CALLS_A_SECOND: Final = 2.0
CLOCK_WINDOW: Final = 600
"""Seconds that the vendor's manual accepts between its clock and this one."""
CART: Final = "v2.alibaba.carts.get"
"""The only released read that needs no id."""
DETAIL: Final = "v1.alibaba.refunds.get"
LIST: Final = "v1.taobao.refunds.page"
NO_SUCH_ID: Final = "TQ0"
"""A well-formed id that no refund can have."""
LARGEST_ASKED: Final = 200
"""The largest page size that this client asks for."""
WINDOWS: Final = {"ms": (1_262_304_000_000, 4_102_444_800_000), "s": (1_262_304_000, 4_102_444_800)}
"""A window from 2010 to 2100 in either unit; in the wrong unit it is a time without refunds."""
Signature = tuple[Literal["ms", "s"], str]
SIGNATURES: Final[tuple[Signature, ...]] = (
    ("ms", "md5_upper"),
    ("s", "md5_upper"),
    ("ms", "md5_lower"),
    ("s", "md5_lower"),
)
UNKNOWN: Final = "not known"
LISTED: Final = 60


@attrs.frozen
class Finding:
    """One question: the answer found, and the evidence for it."""

    name: str
    found: str
    why: str = ""


@attrs.define
class Calibration:
    """What the reads showed, without any value of an answer."""

    findings: list[Finding] = attrs.field(factory=list)
    calls: int = 0
    """How many requests were made, including the one for the clock."""
    stopped: str | None = None
    """Why the calibration ended early; None if everything was tried."""
    accepted: bool = False
    """Whether a signature was accepted."""
    vendor: dict[str, Any] = attrs.field(factory=dict)
    """The proven values, by the names of the settings in `[vendor]`."""

    def add(self, name: str, found: str = UNKNOWN, why: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(name, found, why))

    def to_toml(self) -> str:
        """The section `[vendor]` for pandapon.toml, with proven values only."""
        tables: dict[str, list[str]] = {"vendor": []}
        for name, value in self.vendor.items():
            if name == "overrides":
                for call, override in value.items():
                    tables[f'vendor.overrides."{call}"'] = [_line(*item) for item in override.items()]
            elif isinstance(value, Mapping):
                tables[f"vendor.{name}"] = [_line(*item) for item in value.items()]
            else:
                tables["vendor"].append(_line(name, value))
        return "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in tables.items())


def _line(name: str, value: Any) -> str:
    if isinstance(value, list):
        return f"{name} = [{', '.join(map(str, value))}]"
    return f"{name} = {value}" if isinstance(value, int) else f'{name} = "{value}"'


class _StoppedError(Exception):
    """No further request is made."""


@attrs.frozen
class _Answer:
    """The end of a call: data, or a code."""

    accepted: bool
    """Whether the signature was."""
    code: int | None
    data: Any = attrs.field(default=None, repr=False)

    @property
    def something(self) -> bool:
        """Whether it shows anything."""
        if isinstance(self.data, Mapping):
            return any(value is not None for value in self.data.values())
        return self.data is not None


async def calibrate(
    credentials: Credentials, settings: Settings, *, skew: Skew | None = None, refund_id: str | None = None
) -> Calibration:
    """Find out what reads show about a vendor, with at most `MOST_CALLS` requests.

    Args:
        credentials: The credentials of an account of this vendor.
        settings: The settings with the vendor's address; their vendor profile is tested, not trusted.
        skew: The clock difference, from an unsigned request that counts as the first call.
        refund_id: A 1688 refund that the account can see; without it, less can be found.
    """
    result = Calibration(calls=1)
    slow = attrs.evolve(
        settings,
        rate=min(settings.rate or CALLS_A_SECOND, CALLS_A_SECOND),
        adaptive_rate=None,
        retry=RetryPolicy(attempts=1),
        journal=IN_MEMORY,
        correct_clock=False,
    )
    async with Client(credentials, slow) as client:
        probe = _Probe(client, result)
        try:
            probe.clock(skew)
            await probe.signature()
            await probe.place(refund_id)
            await probe.pages()
            await probe.window()
        except _StoppedError as stopped:
            result.stopped = str(stopped)
    return result


@attrs.define
class _Probe:
    client: Client
    result: Calibration
    refused: set[Signature] = attrs.field(factory=set)
    signed: Signature = SIGNATURES[0]

    def clock(self, skew: Skew | None) -> None:
        """Check the clock first: a signature contains the time, so a wrong clock would hide every result."""
        if skew is None:
            self.result.add("clock", UNKNOWN, "the answer to an unsigned request has no Date")
        elif abs(skew.seconds) >= CLOCK_WINDOW:
            self.result.add("clock", str(skew), f"{CLOCK_WINDOW} s are accepted")
            raise _StoppedError("set this machine's clock (NTP) first, because signatures contain the time")
        else:
            self.result.add("clock", "equal to the server's" if not skew.matters else str(skew))

    async def signature(self) -> None:
        """Find the timestamp's unit and the hex digits' case: one read per combination until a success."""
        codes: list[int] = []
        for unit, signer in SIGNATURES:
            self.signed = unit, signer
            answer = await self.ask("GET", CART)
            if answer.accepted:
                self.result.accepted = True
                self.result.add(
                    "timestamp_unit", unit, "accepted" if not codes else "the other one is refused"
                )
                self.result.add("signer", signer)
                self.result.vendor |= {"timestamp_unit": unit, "signer": signer}
                self.result.add("cart", "", shape_of(answer.data))
                self._authentication(codes)
                return
            if answer.code is not None:
                codes.append(answer.code)
        self.result.add("timestamp_unit", UNKNOWN, f"all four are refused ({_listed(codes)})")
        self.result.add("signer")
        raise _StoppedError("no signature is accepted: check key, secret and user id")

    def _authentication(self, codes: list[int]) -> None:
        known = self.client.settings.vendor.codes.authentication
        new = sorted({code for code in codes if code not in known})
        if new:
            numbers = sorted(code for code in known if isinstance(code, int))
            self.result.vendor["codes"] = {"authentication": [*numbers, *new]}
            self.result.add(
                "codes.authentication", _listed(new), "refused in this form, accepted in the other"
            )

    async def place(self, refund_id: str | None) -> None:
        """Find the place of a 1688 refund's id, and the answer to an impossible id."""
        if refund_id is None:
            for name in ("place of refund_id", "codes.not_found"):
                self.result.add(
                    name, UNKNOWN, "name a 1688 refund that the account can see: --refund-id TQ..."
                )
            return
        body = await self.ask("POST", DETAIL, json={"refundId": refund_id})
        query = await self.ask("POST", DETAIL, json={}, params={"refundId": refund_id})
        places = [name for name, answer in (("body", body), ("query", query)) if answer.something]
        if not places:
            codes = _listed([answer.code for answer in (body, query) if answer.code is not None])
            self.result.add(
                "place of refund_id", UNKNOWN, f"not found with the id in the body or the query ({codes})"
            )
            self.result.add("codes.not_found")
            return
        self.result.add("place of refund_id", " or ".join(places), "the refund is found with it")
        if places == ["query"]:
            self.result.vendor["overrides"] = {"alibaba.refunds.get": {"arguments": "query"}}
        self.result.add("refund", "", shape_of((body if body.something else query).data))
        where: dict[str, Any] = {"refundId": NO_SUCH_ID}
        json, params = (where, None) if places[0] == "body" else ({}, where)
        self._not_found(await self.ask("POST", DETAIL, json=json, params=params))

    def _not_found(self, answer: _Answer) -> None:
        known = self.client.settings.vendor.codes.not_found
        if answer.something:
            self.result.add("codes.not_found", UNKNOWN, "an impossible id gets an answer with data")
        elif answer.code is None:
            empty = "null" if answer.data is None else "empty data"
            self.result.add(
                "codes.not_found", "no code", f"a success with {empty}: unverified, never missing"
            )
        elif answer.code in known:
            self.result.add("codes.not_found", str(answer.code))
        else:
            numbers = sorted(code for code in known if isinstance(code, int))
            codes = self.result.vendor.setdefault("codes", {})
            codes["not_found"] = [*numbers, answer.code]
            self.result.add("codes.not_found", str(answer.code), "the answer to an impossible id")

    async def pages(self) -> None:
        """Find whether a list begins with page 0 or 1, and the field of its items."""
        first, second = [
            await self.ask("POST", LIST, json={"pageNo": number, "pageSize": 1}) for number in (0, 1)
        ]
        shown = {number: _items(answer) for number, answer in ((0, first), (1, second))}
        found = next((one for one in shown.values() if one is not None), None)
        if found is None:
            self.result.add("list.first_page", UNKNOWN, "neither page 0 nor page 1 shows an item")
            self.result.add("list.items")
            return
        name, items = found
        page = _first_page(shown[0], shown[1])
        if page is None:
            self.result.add("list.first_page", UNKNOWN, "pages 0 and 1 show the same")
        else:
            self.result.vendor["list"] = {"first_page": page}
            self.result.add("list.first_page", str(page))
        self.result.add("list.items", name or "the list itself", shape_of(items[0]))
        if name and name not in LIST_FIELDS:
            self.result.vendor.setdefault("list", {})["items"] = name

    async def window(self) -> None:
        """Find the unit of a list's bounds and the page size; no item shows which time they limit."""
        facts = self.result.vendor.get("list", {})
        page = {"pageNo": facts.get("first_page", 1), "pageSize": 1}
        shown = {unit: await self._shows(page, *WINDOWS[unit]) for unit in ("ms", "s")}
        if shown["ms"] == shown["s"]:
            why = "both show items: the bounds are ignored" if shown["s"] else "neither shows an item"
            self.result.add("list.unit", UNKNOWN, why)
        else:
            unit = "ms" if shown["ms"] else "s"
            self.result.vendor.setdefault("list", {})["unit"] = unit
            self.result.add("list.unit", unit, "the other shows nothing")
        self.result.add("list.time", UNKNOWN, "no item says when it was applied for or changed")
        answer = await self.ask("POST", LIST, json={**page, "pageSize": LARGEST_ASKED})
        found, after = _items(answer), None
        size = 0 if found is None else len(found[1])
        if 0 < size < LARGEST_ASKED:
            rest = {**page, "pageNo": page["pageNo"] + 1, "pageSize": LARGEST_ASKED}
            after = _items(await self.ask("POST", LIST, json=rest))
        if found is None or after is None or _same(after, found):
            why = "a page of 200 is refused" if answer.code is not None else "the list has too few items"
            self.result.add(
                "list.largest_page", UNKNOWN, f"it shows {size}" if size == LARGEST_ASKED else why
            )
        else:
            self.result.vendor.setdefault("list", {})["largest_page"] = size
            self.result.add("list.largest_page", str(size), f"of {LARGEST_ASKED} asked, and more follow")

    async def _shows(self, page: Mapping[str, Any], start: int, end: int) -> bool:
        body = {**page, "refundStartTime": start, "refundEndTime": end}
        return _items(await self.ask("POST", LIST, json=body)) is not None

    async def ask(self, method: str, name: str, *, json: Any = None, params: Any = None) -> _Answer:
        """Make one read. Raises _StoppedError if further reads would be useless or too many."""
        if self.result.calls >= MOST_CALLS:
            raise _StoppedError(f"{MOST_CALLS} calls were made")
        self.result.calls += 1
        unit, signer = self.signed
        client = self.client.with_settings(timestamp_unit=unit, signer=signer)
        path = endpoints()[name].path
        try:
            response = await client.request(
                method, path, json=json, params=params, safety=Safety.READ
            ).with_response()
        except RateLimitError:
            raise _StoppedError("the vendor throttled; try again later") from None
        except AuthenticationError as error:
            return self._refused(error.code)
        except ApiError as error:
            # Before a signature is accepted, any refusal may be because of the signature.
            return (
                _Answer(self.result.accepted, error.code)
                if self.result.accepted
                else self._refused(error.code)
            )
        except PandaponError as error:
            where = "see pandapon doctor" if isinstance(error, NotSentError) else "is this PandaPon?"
            raise _StoppedError(f"{error}; {where}") from None
        return _Answer(True, None, response.data)

    def _refused(self, code: int | None) -> _Answer:
        if self.signed in self.refused:
            raise _StoppedError("the same signature was refused twice")
        self.refused.add(self.signed)
        return _Answer(False, code)


def _items(answer: _Answer) -> tuple[str, list[Any]] | None:
    """Return the first list of objects in an answer and its field ("": the data itself)."""
    if isinstance(answer.data, list):
        return ("", answer.data) if answer.data else None
    if not isinstance(answer.data, Mapping):
        return None
    lists = {name: value for name, value in answer.data.items() if isinstance(value, list) and value}
    name = next((name for name in (*LIST_FIELDS, *lists) if name in lists), None)
    return None if name is None else (name, lists[name])


def _first_page(zero: tuple[str, list[Any]] | None, one: tuple[str, list[Any]] | None) -> int | None:
    """Return the number of the first page; None if both show the same, because 0 may mean page 1."""
    if zero is None:
        return 1
    if one is None:
        return 0
    return None if _same(zero, one) else 0


def _same(one: tuple[str, list[Any]], other: tuple[str, list[Any]]) -> bool:
    """Whether two pages have the same refunds; a countdown in them may differ."""
    return [_about(item) for item in one[1]] == [_about(item) for item in other[1]]


def _about(item: Any) -> Any:
    """Return the id of a listed refund, or the whole item without one."""
    for name in ("refundOrderAggregate", "refundOrder"):
        if isinstance(item, Mapping) and isinstance(item.get(name), Mapping):
            item = item[name]
    return item.get("refundId", item) if isinstance(item, Mapping) else item


def shape_of(data: Any) -> str:
    """Return the names and types of an answer's fields, never a value."""
    if isinstance(data, Mapping):
        fields = [f"{name} {_type(value)}" for name, value in data.items()]
        more = f" and {len(fields) - LISTED} more" if len(fields) > LISTED else ""
        return ", ".join(fields[:LISTED]) + more if fields else "an object without fields"
    if isinstance(data, list):
        return f"a list of {shape_of(data[0])}" if data else "an empty list"
    return _type(data)


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true/false"
        case str():
            return "text"
        case list():
            return "list"
        case Mapping():
            return "object"
        case int():
            return "number"
        case _:
            return "decimal"


def _listed(codes: list[int]) -> str:
    return f"code {', '.join(map(str, dict.fromkeys(codes)))}" if codes else "no code"
