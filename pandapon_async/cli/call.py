"""`pandapon call`: make any declared call from a shell; arguments are checked before anything is sent."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from pandapon_async.api.registry import endpoints, nearest_names, operations
from pandapon_async.cli.call_help import SAFETY, help_text
from pandapon_async.cli.call_preview import preview
from pandapon_async.cli.new_journal import NewJournal, begin_new_journal
from pandapon_async.cli.output import confirmed, note, print_result
from pandapon_async.cli.plan_options import AllowSecond, AnyAccount, ResendThrottled
from pandapon_async.cli.values import read_arguments, read_document
from pandapon_async.core.model import Model
from pandapon_async.core.outcome import Safety
from pandapon_async.core.unstructure import count_extra, to_json
from pandapon_async.declare.arguments import encode_arguments, open_images
from pandapon_async.declare.endpoint import Endpoint, Evidence, Stage
from pandapon_async.declare.response import Response
from pandapon_async.errors import ConfigurationError, InvalidArgumentError, OutcomeUnknownError
from pandapon_async.settings import Credentials, Settings, SettingsArguments, VendorProfile

__all__ = ["call", "choose_endpoint", "find_candidates"]


def complete_name(incomplete: str) -> list[tuple[str, str]]:
    """Complete names of calls for the shell; pinned ones after "v1." or "v2."."""
    plain = [(name, one.ranked[0].summary) for name, one in operations().items()]
    pinned = [(name, one.summary) for name, one in endpoints().items()] if incomplete[:1] == "v" else []
    return [(name, told) for name, told in (*plain, *pinned) if name.startswith(incomplete)]


def complete_argument(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Complete the arguments of the typed call, and values if there are few."""
    from pandapon_async.cli.call_help import describe
    from pandapon_async.declare import fields as rules

    try:
        candidates = find_candidates(context.params.get("name") or "", VendorProfile(allow_inferred=True))
    except InvalidArgumentError:
        return []
    found: dict[str, str] = {}
    for parameter in (each for endpoint in candidates for each in endpoint.parameters):
        found.setdefault(f"{parameter.name}=", describe(parameter.rule))
        if isinstance(parameter.rule, rules.EnumField) and incomplete.startswith(f"{parameter.name}="):
            found |= {f"{parameter.name}={member.value}": member.name for member in parameter.rule.values}
    return [
        (text, told) for text, told in found.items() if text.startswith(incomplete) and text != incomplete
    ]


def call(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Such as alibaba.refunds.get.", autocompletion=complete_name),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="The call's arguments.", autocompletion=complete_argument
        ),
    ] = None,
    body: Annotated[
        str | None, typer.Option("--body", help="Arguments as a JSON object: '{...}', @file or - for stdin.")
    ] = None,
    with_response: Annotated[
        bool, typer.Option("--with-response", help="Also print the envelope and the attempts.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent; send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a change.")] = False,
    moves_money: Annotated[
        bool, typer.Option("--yes-this-moves-money", help="Needed for calls that release money.")
    ] = False,
    personal: Annotated[
        bool, typer.Option("--personal", help="Show phones, names and addresses instead of ***.")
    ] = False,
    extra: Annotated[
        bool, typer.Option("--extra", help="Show fields that this version does not know.")
    ] = False,
    repeat: Annotated[
        bool, typer.Option("--allow-repeat", help="Repeat a write that the journal has as done.")
    ] = False,
    allow_second: AllowSecond = False,
    resend_throttled: ResendThrottled = False,
    any_account: AnyAccount = False,
    new_journal: NewJournal = False,
    allow_inferred: Annotated[
        bool,
        typer.Option("--allow-inferred", help="Allow an inferred path, which no page of the vendor shows."),
    ] = False,
    base_url: Annotated[str | None, typer.Option(help="Another PandaPon, such as a sandbox.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Calls per second.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Time limit in seconds, retries included.")
    ] = None,
    help_: Annotated[
        bool, typer.Option("--help", "-h", help="Show this help; after a NAME, the arguments of that call.")
    ] = False,
) -> None:
    """Make one call; NAME --help shows its arguments.

    `pandapon endpoints` lists the names. Wrong arguments are refused before anything is sent. The rules of
    the call read the values: true or false; lists separated by commas, or the key repeated; objects as JSON;
    an image by its path; a time as ISO 8601 or in ms.
    """
    if name is None:
        typer.echo(context.get_help())
        raise typer.Exit(0 if help_ else 2)
    if help_:
        typer.echo(help_text(find_candidates(name, VendorProfile(allow_inferred=True))[0], name))
        return
    chosen: SettingsArguments = {}
    if allow_inferred:
        chosen["allow_inferred"] = True
    if repeat:
        chosen["allow_repeat"] = True
    if allow_second:
        chosen["allow_second"] = True
    if resend_throttled:
        chosen["resend_throttled"] = True
    if any_account:
        chosen["any_account"] = True
    if base_url is not None:
        chosen["base_url"] = base_url
    if rate is not None:
        chosen["rate"] = rate
    if timeout is not None:
        chosen["timeout"] = timeout
    vendor = Settings.from_env(**chosen).vendor
    candidates = find_candidates(name, vendor)
    endpoint, given = choose_endpoint(
        candidates, arguments or (), read_document(body), pinned=name in endpoints()
    )
    encoded = open_images(endpoint.parameters, encode_arguments(endpoint.parameters, given))
    if dry_run:
        print_result(preview(endpoint, encoded))
        return
    _permit(endpoint, yes=yes, moves_money=moves_money, allow_inferred=vendor.allow_inferred)
    if new_journal:
        begin_new_journal(chosen)
    settings = Settings.from_env(**chosen)
    response = _make(endpoint, given, settings)
    _print(response, whole=with_response, personal=personal, extra=extra)


def find_candidates(name: str, vendor: VendorProfile) -> tuple[Endpoint, ...]:
    """Return the endpoints of a name: one, or several among which the arguments choose."""
    if name in endpoints():
        return (endpoints()[name],)
    operation = operations().get(name)
    if operation is None:
        nearest = nearest_names(name)
        hint = f"did you mean {_or(nearest)}?" if nearest else "see `pandapon endpoints`"
        raise InvalidArgumentError(f"there is no call {name}; {hint}", argument="name")
    candidates = operation.candidates(allow_inferred=vendor.allow_inferred, preferred=vendor.generation)
    return candidates[:1] if operation.same_arguments else candidates


def _or(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def choose_endpoint(
    candidates: tuple[Endpoint, ...], typed: Sequence[str], document: Mapping[str, Any], *, pinned: bool
) -> tuple[Endpoint, dict[str, Any]]:
    """Return the arguments, and the candidate that accepts them."""
    operation = operations()[candidates[0].name]
    if pinned or operation.same_arguments:
        return candidates[0], read_arguments(candidates[0].parameters, typed, document)

    def read(endpoint: Endpoint) -> dict[str, Any]:
        given = read_arguments(endpoint.parameters, typed, document)
        encode_arguments(endpoint.parameters, given)
        return given

    names = {*document, *(text.partition("=")[0] for text in typed)}
    return operation.choose(candidates, names, read)


def _permit(endpoint: Endpoint, *, yes: bool, moves_money: bool, allow_inferred: bool) -> None:
    """Refuse a dangerous call, or ask about it."""
    if endpoint.evidence is Evidence.INFERRED and not allow_inferred:
        raise ConfigurationError(
            f"no page shows the path of {endpoint.name}; {endpoint.path} is inferred from the other "
            "generation. To try it, add --allow-inferred"
        )
    if endpoint.stage is Stage.DEPRECATED:
        note(f"the vendor marks {endpoint.name} as 'to be deprecated'")
    if endpoint.safety is Safety.NEVER_AUTOMATIC:
        if not moves_money:
            raise InvalidArgumentError(
                f"{endpoint.name} releases money; to confirm, add --yes-this-moves-money"
            )
        return
    if endpoint.safety.repeatable or yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidArgumentError(f"{endpoint.name} {SAFETY[endpoint.safety]}; to confirm, add --yes")
    if not confirmed(f"{endpoint.name} {SAFETY[endpoint.safety]}. Continue?"):
        print("nothing was sent.", file=sys.stderr)
        raise typer.Exit(3)


def _make(endpoint: Endpoint, given: Mapping[str, Any], settings: Settings) -> Response[Any]:
    try:
        return asyncio.run(_send(endpoint, given, settings))
    except KeyboardInterrupt:
        if not endpoint.safety.repeatable:
            note(
                "interrupted: the write may have been carried out, and the journal has it; read the "
                "state first"
            )
        raise typer.Exit(3) from None
    except OutcomeUnknownError as lost:
        lost.add_note(_how_to_find_out(lost, settings))
        raise


def _how_to_find_out(lost: OutcomeUnknownError, settings: Settings) -> str:
    from pandapon_async.journal.place import forgets

    if forgets(settings):
        return (
            "The journal was in memory, the default for a sandbox, and is gone; set PANDAPON_JOURNAL to "
            "keep it."
        )
    return f"To resolve it without sending it again:\n  pandapon journal resolve {lost.intent_id} --wait"


async def _send(endpoint: Endpoint, given: Mapping[str, Any], settings: Settings) -> Response[Any]:
    from pandapon_async.client import Client

    async with Client(Credentials.from_env(), settings) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # already printed for people
            operation = operations()[endpoint.name]
            started = client.call(operation, given, generation=endpoint.generation)
        return await started.with_response()


def _problems(value: Any) -> list[str]:
    """Return the places of fields with another type than documented."""
    if isinstance(value, list):
        return [f"[{number}].{place}" for number, item in enumerate(value) for place in _problems(item)]
    return list(value.problems) if isinstance(value, Model) else []


def _print(response: Response[Any], *, whole: bool, personal: bool, extra: bool) -> None:
    value = to_json(response.value, personal=personal, extra=extra)
    unknown = count_extra(response.value)
    if unknown and not extra:
        note(f"{unknown} fields that this version does not know are hidden; --extra shows them")
    if odd := _problems(response.value):
        shown = ", ".join(odd[:5]) + (" ..." if len(odd) > 5 else "")
        note(f"{len(odd)} fields have another type than documented: {shown}; --extra shows them")
    if not whole:
        print_result(value)
        return
    print_result(
        {
            "value": value,
            "request_id": response.request_id,
            "code": response.code,
            "msg": response.msg,
            "http_status": response.http_status,
            "attempts": response.attempts,
            "seconds": round(response.seconds, 6),
            "waited": round(response.waited, 6),
            "history": [attempt._asdict() for attempt in response.history],
        }
    )
