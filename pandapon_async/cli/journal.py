"""`pandapon journal`: show the writes, and resolve those whose answer was lost.

Nothing here sends a write. `resolve` reads the state; if no read shows it, an operator can settle it by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import getpass
import json
import re
import shlex
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import attrs
import typer

from pandapon_async.cli.journal_named import named_journal, refuse_memory, writer_of
from pandapon_async.cli.journal_text import reasons, what
from pandapon_async.cli.journal_upkeep import a_file, check, prune, salvage
from pandapon_async.cli.output import confirmed, for_people
from pandapon_async.cli.plan_options import AnyAccount, BaseUrl, JournalFile, Rate, SettleAfter, Yes, given
from pandapon_async.clock import duration
from pandapon_async.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
    PandaponError,
)
from pandapon_async.journal import Intent, IntentState, Journal, Resolution

if TYPE_CHECKING:
    from pandapon_async.client import Client

__all__ = ["journal_app"]

T = TypeVar("T")

journal_app: Final = typer.Typer(
    help="Show the journal of writes, and resolve unknown outcomes.",
    pretty_exceptions_enable=False,
)

Id = Annotated[
    str, typer.Argument(help="The id of an intent, or an unambiguous beginning of it.", show_default=False)
]
States = Annotated[
    list[IntentState] | None, typer.Option("--state", help="Show only intents in this state. Repeatable.")
]

SHOWN = 50
TABLE = 4
"""A table shows at most this many times the requested rows."""
_WHOLE_ID = re.compile("[0-9a-f]{32}")
OPEN = tuple(state for state in IntentState if state.open)
_OF_THE_PROCESS = ("session", "scope", "account", "wrote", "boot", "uptime", "served", "resolver", "extra")
_ADVICE = {
    IntentState.UNKNOWN: "resolve it by reading: pandapon journal resolve {id} --wait{where}",
    IntentState.SENT: "a running process has sent it and has no answer yet; check again when it ends",
    IntentState.INTENDED: "a running process is about to send it",
    IntentState.SETTLED_ABSENT: "not found then, but it may have arrived since; check again before a repeat: "
    "pandapon journal resolve {id}{where}",
}


for _command in (check, salvage, prune):
    journal_app.command()(_command)


@journal_app.command("list")
def list_(
    state: States = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many of the newest; default: all, on a terminal the open ones and 50.",
            show_default=False,
        ),
    ] = None,
    journal: JournalFile = None,
    base_url: BaseUrl = None,
) -> None:
    """List the intents, oldest first; on a terminal the open ones and the newest."""

    async def work(opened: Journal) -> None:
        if not for_people():
            await _write_lines(_newest(opened.all(state), limit))
            return
        from pandapon_async.cli.journal_table import show_table

        counts = await opened.counts()
        newest = await opened.latest(state, limit or SHOWN)
        if limit is not None:
            newest = newest[-limit:]
        # A long table is slow to draw; the older of many open intents are printed above it, one per line.
        for intent in newest[: -TABLE * SHOWN]:
            _tell(intent)
        show_table(opened, newest[-TABLE * SHOWN :], counts, state)
        if counts.get(IntentState.UNKNOWN):
            _say("To resolve the unknown ones by reading:")
            _say(f"  pandapon journal resolve --all --wait{_where(journal)}")

    _read(work, given(journal=journal, base_url=base_url))


@journal_app.command()
def show(id: Id, journal: JournalFile = None, base_url: BaseUrl = None) -> None:
    """Show one intent: its write, its state, and the advice."""

    async def work(opened: Journal) -> None:
        intent = await _intent(opened, id)
        if not for_people():
            _write(_plain(intent))
            return
        from pandapon_async.cli.journal_table import show_facts

        show_facts(_plain(intent))
        if advice := _ADVICE.get(intent.state):
            _say(advice.format(id=intent.id[:12], where=_where(journal)))

    _read(work, given(journal=journal, base_url=base_url))


@journal_app.command()
def export(state: States = None, journal: JournalFile = None, base_url: BaseUrl = None) -> None:
    """Write every intent as a line of JSON, oldest first."""
    _read(lambda opened: _write_lines(opened.all(state)), given(journal=journal, base_url=base_url))


@journal_app.command()
def resolve(
    id: Annotated[
        str | None, typer.Argument(help="The id of an intent, or an unambiguous beginning of it.")
    ] = None,
    all_: Annotated[
        bool,
        typer.Option(
            "--all", help="Every intent with an unknown outcome, and those found absent in the last 45 days."
        ),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until absence can be believed.")] = False,
    word: Annotated[
        Literal["done", "absent"] | None,
        typer.Option("--as", help="Settle by hand if no read shows it; absent not before --settle-after."),
    ] = None,
    note: Annotated[str | None, typer.Option(help="With --as: where you saw it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and report, but record nothing.")] = False,
    any_account: AnyAccount = False,
    yes: Yes = False,
    journal: JournalFile = None,
    settle_after: SettleAfter = None,
    rate: Rate = None,
    base_url: BaseUrl = None,
) -> None:
    """Resolve writes with an unknown outcome by reading the state; sends no write.

    Exit codes: 0 all settled, 2 usage, 3 something is still unknown, 4 authentication.
    """
    if (id is None) != all_:
        raise InvalidArgumentError("name one intent, or use --all", argument="id")
    settings = given(journal=journal, settle_after=settle_after, rate=rate, base_url=base_url)
    if word is not None:
        if id is None:
            raise InvalidArgumentError("--as settles one intent: name it", argument="as")
        if not note:
            raise InvalidArgumentError("add --note with the place where you saw it", argument="note")
        look = _Look(wait, dry_run, any_account, _where(journal))
        work = functools.partial(_take_word, id=id, word=word, note=note, yes=yes, look=look)
        left = _run(work, settings, must_exist=_WHOLE_ID.fullmatch(id) is None)
    else:
        look = _Look(wait, dry_run, any_account, _where(journal))
        left = _run(lambda client: _resolve(client, id, look), settings)
    raise typer.Exit(3 if left else 0)


@attrs.frozen
class _Look:
    """How to read the state; `where` leads the next command to the same journal."""

    wait: bool
    dry_run: bool
    any_account: bool
    where: str


@journal_app.command()
def adopt(
    file: Annotated[
        Path, typer.Argument(callback=a_file, help="A journal of an earlier version, or the current one.")
    ],
    user_id: Annotated[str, typer.Option(help="The sub-account that wrote it.")],
    journal: JournalFile = None,
    base_url: BaseUrl = None,
) -> None:
    """Name the writer of a journal of an earlier version; adds its rows to the current one.

    The rows count as written to the vendor of the base url by the sub-account of --user-id.
    """
    if not file.is_file():
        raise ConfigurationError(f"the journal {file} does not exist")

    settings = given(journal=journal, base_url=base_url)
    writer = attrs.evolve(writer_of(settings), user_id=user_id)
    taken = _read(lambda opened: opened.adopt(file, writer), settings, must_exist=False)
    _say(f"{taken:,} rows of user id {user_id} are in the journal now.")


async def _resolve(client: Client, id: str | None, look: _Look) -> int:
    """Resolve one or all; return how many are still open."""
    from pandapon_async.journal.resolve import LOOKED_AT_AGAIN
    from pandapon_async.plans.stop import Stop

    journal = client.journal
    if id is not None:
        intents = [await _intent(journal, id)]
    else:
        since = client.settings.clock.wall() - LOOKED_AT_AGAIN
        intents = [intent async for intent in journal.all(OPEN)]
        absent = [intent async for intent in journal.all((IntentState.SETTLED_ABSENT,), since=since)]
        succeeded = [one for one in await _asked(client, absent, look) if one.state.succeeded]
        for intent in succeeded:
            _tell(intent)
        if succeeded:
            _say(f"{len(succeeded)} that were not found before were carried out.")
        if not intents:
            _say("nothing is open.")
    intents = await _asked(client, intents, look)
    if look.wait and not look.dry_run and any(intent.state is IntentState.UNKNOWN for intent in intents):
        seconds = client.settings.settle_after
        _say(f"waiting {duration(seconds)} until absence can be believed")
        await Stop().pause(seconds, client.settings.clock)
        intents = await _asked(client, intents, look)
    for intent in intents:
        _tell(intent)
    _advise([intent for intent in intents if intent.state is IntentState.UNKNOWN], client, look)
    return sum(intent.state.open for intent in intents)


def _advise(unknown: list[Intent], client: Client, look: _Look) -> None:
    """Print the advice for intents that are still unknown."""
    ours = [one for one in unknown if one.vendor == client.writer.vendor]
    absent = [one for one in ours if one.resolution is Resolution.ABSENT]
    theirs = [] if look.any_account else [one for one in absent if one.user_id != client.writer.user_id]
    if young := [one for one in absent if one not in theirs]:
        _say(
            f"{len(young)} not found yet; absence is believed {duration(client.settings.settle_after)} "
            "after the write at the earliest, because a lost request may still arrive. To wait for it:"
        )
        _say(f"  pandapon journal resolve {_named(young, '--all')} --wait{look.where}")
    for user_id, count in sorted(Counter(one.user_id for one in theirs).items()):
        _say(
            f"{count} not found, written by user id {user_id}, which may see what user id "
            f"{client.writer.user_id} does not. Run it with PANDAPON_USER_ID={user_id}, or add "
            "--any-account."
        )
    if hidden := [one for one in ours if one not in absent]:
        _say(f"No read shows {len(hidden)} of them. Check the vendor's console and settle each by hand:")
        _say(f"  pandapon journal resolve {_named(hidden, 'ID')} --as done|absent --note '...'{look.where}")
    for vendor, count in sorted(Counter(one.vendor for one in unknown if one not in ours).items()):
        if vendor:
            _say(
                f"{count} were sent to {vendor}, but this client uses {client.writer.vendor}: run it "
                "with that base url."
            )
        else:
            _say(
                f"{count} of an earlier version have an unknown writer: name it with pandapon journal adopt."
            )


def _named(intents: list[Intent], several: str) -> str:
    return intents[0].id[:12] if len(intents) == 1 else several


def _where(journal: Path | None) -> str:
    """Return the option that leads the next command to the same journal."""
    return "" if journal is None else f" --journal {shlex.quote(str(journal))}"


async def _asked(client: Client, intents: list[Intent], look: _Look) -> list[Intent]:
    """Resolve every intent; return them afterwards in the same order."""
    from pandapon_async import bulk

    async def ask(intent: Intent) -> Intent:
        return await _look(client, intent, as_account=look.any_account, dry_run=look.dry_run)

    settled = []
    async for result in bulk.run(ask, intents, concurrency=16, on_error="raise", ordered=True):
        settled.append(result.value if isinstance(result, bulk.Done) else result.item)
    return settled


async def _look(client: Client, intent: Intent, *, as_account: bool, dry_run: bool) -> Intent:
    try:
        return await client.resolve(intent.id, as_account=as_account, dry_run=dry_run)
    except AuthenticationError:
        raise
    except PandaponError as error:
        return _not_read(intent, error)


def _not_read(intent: Intent, error: PandaponError) -> Intent:
    return attrs.evolve(
        intent, resolution=None, remarks=[*intent.remarks, f"the state was not read: {error}"]
    )


async def _take_word(client: Client, id: str, word: str, note: str, yes: bool, look: _Look) -> int:
    """Settle one intent by hand; a remark records who did it and when."""
    gone = _WHOLE_ID.fullmatch(id) is not None and await client.journal.get(id) is None
    if gone:
        _say(
            f"{client.journal.path} has no intent {id}: your statement is recorded under that id, for "
            "the row of a plan."
        )
    else:
        _tell(await _intent(client.journal, id))
    if not look.dry_run and not yes and not await asyncio.to_thread(_sure, word):
        _say("nothing was settled.")
        return 3
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    said = f"{_who()} at {moment} said {word}: {note}"
    if gone:
        if not look.dry_run:
            _tell(await client.journal.settle_lost(id, client.writer, done=word == "done", note=said))
        return 0
    intent = await _intent(client.journal, id)
    _tell(
        await client.settle(intent.id, done=word == "done", note=said, wait=look.wait, dry_run=look.dry_run)
    )
    return 0


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the user has no name, as in many containers
        return "an operator"


def _sure(word: str) -> bool:
    if not sys.stdin.isatty():
        raise InvalidArgumentError("no terminal to ask on; add --yes to confirm", argument="yes")
    means = "it was carried out" if word == "done" else "it was NOT carried out"
    return confirmed(f"Record permanently that {means}?")


async def _intent(journal: Journal, id: str) -> Intent:
    intent = await journal.get(id)
    if intent is not None:
        return intent
    begins = [one.id async for one in journal.all() if one.id.startswith(id)]
    if begins:
        some = ", ".join(one[: len(id) + 8] for one in begins[:4])
        more = f" and {len(begins) - 4:,} more" if len(begins) > 4 else ""
        raise InvalidArgumentError(
            f"{len(begins):,} intent ids begin with {id!r}: {some}{more}; type more of the id", argument="id"
        )
    raise InvalidArgumentError(
        f"no intent id begins with {id}; `pandapon journal list` shows all of them", argument="id"
    )


def _read(work: Callable[[Journal], Awaitable[T]], settings: dict[str, Any], *, must_exist: bool = True) -> T:
    """Open the journal that the settings name, if it exists, without a client."""
    journal = named_journal(settings)

    async def opened() -> T:
        if must_exist:
            await _refuse_missing(journal)
        async with contextlib.aclosing(journal):
            return await work(journal)

    return asyncio.run(opened())


def _run(work: Callable[[Client], Awaitable[T]], settings: dict[str, Any], *, must_exist: bool = True) -> T:
    """Open a client with the journal that the settings name, if it exists."""
    from pandapon_async.client import Client

    client = Client.from_env(**settings)
    refuse_memory(client.journal)

    async def opened() -> T:
        if must_exist:
            await _refuse_missing(client.journal)
        async with client:
            return await work(client)

    return asyncio.run(opened())


async def _refuse_missing(journal: Journal) -> None:
    if not await journal.exists() and not journal.earlier_files():
        raise ConfigurationError(
            f"the journal {journal.path} does not exist: no write was recorded there yet"
        )


async def _newest(intents: AsyncIterator[Intent], limit: int | None) -> AsyncIterator[Intent]:
    """Return the last `limit` in order, or all."""
    if limit is None:
        async for intent in intents:
            yield intent
        return
    kept = deque[Intent](maxlen=limit)
    async for intent in intents:
        kept.append(intent)
    for intent in kept:
        yield intent


def _tell(intent: Intent) -> None:
    """Print one intent with its state: a line for people or for machines."""
    if not for_people():
        _write(_plain(intent))
        return
    result = f" -> {intent.result}" if intent.result else ""
    print(f"{intent.id[:12]} {intent.operation} {what(intent)}: {intent.state.value}{result}")
    for line in reasons(intent):
        print(f"  {line}")


async def _write_lines(intents: AsyncIterator[Intent]) -> None:
    async for intent in intents:
        _write(_plain(intent))


def _write(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n")


def _plain(intent: Intent) -> dict[str, Any]:
    """Return an intent for machines: times in ISO 8601, without internals of a process."""
    facts = attrs.asdict(intent, recurse=False)
    for name in _OF_THE_PROCESS:
        del facts[name]
    facts["state"] = intent.state.value
    facts["created"], facts["updated"] = _moment(intent.created), _moment(intent.updated)
    return facts


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
