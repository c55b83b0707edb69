"""`pandapon record`: save the form of one real answer, without private data, as a file to share."""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pandapon_async.api.registry import endpoints, operations
from pandapon_async.cli.call import choose_endpoint, find_candidates
from pandapon_async.cli.output import confirmed, note
from pandapon_async.client import Client
from pandapon_async.core.json_codec import loads
from pandapon_async.core.outcome import RawResponse, Safety
from pandapon_async.declare.arguments import encode_arguments
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.errors import ApiError, DecodeError, InvalidArgumentError, MalformedResponseError
from pandapon_async.recording import Recording, Redactor
from pandapon_async.settings import Credentials, Settings, SettingsArguments
from pandapon_async.storage.files import Mark, whole_file
from pandapon_async.transport.exchange import Exchange
from pandapon_async.transport.session import Session

__all__ = ["record"]

_MARK = Mark('"made_by": "pandapon-async record"', "pandapon record")
_USAGE = "write: pandapon record FILE -- call NAME KEY=VALUE ..."


def record(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="-- call NAME [KEY=VALUE]...", help="The call, in the form of `pandapon call`."
        ),
    ],
    amounts: Annotated[
        Literal["shown", "hidden"], typer.Option(help="Whether to keep amounts of at most five digits.")
    ] = "shown",
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    allow_inferred: Annotated[
        bool, typer.Option("--allow-inferred", help="Call a path that no page shows.")
    ] = False,
    base_url: Annotated[str | None, typer.Option(help="Another PandaPon, such as a sandbox.")] = None,
) -> None:
    """Make one read and save its answer with replaced content, as a file to share.

    Every text, and every number of more than five digits, is replaced by another one of the same form, unless
    the declaration of the call marks it as harmless; undeclared fields are always replaced. Dates are
    shifted. Equal values stay equal. Of the request only the names of the call and its arguments are kept.
    Undeclared fields keep their names, unless these look like content; they are listed.
    The recording is shown before it is written: read it. `pandapon sandbox --recorded FILE` plays it.
    """
    if len(words) < 2 or words[0] != "call":
        raise InvalidArgumentError(_USAGE, argument="words")
    name = words[1]
    chosen: SettingsArguments = {}
    if allow_inferred:
        chosen["allow_inferred"] = True
    if base_url is not None:
        chosen["base_url"] = base_url
    candidates = find_candidates(name, Settings.from_env(**chosen).vendor)
    endpoint, given = choose_endpoint(candidates, words[2:], {}, pinned=name in endpoints())
    if endpoint.safety is not Safety.READ:
        raise InvalidArgumentError(
            f"{name} may change something; only reads can be recorded", argument="NAME"
        )
    encode_arguments(endpoint.parameters, given)
    _MARK.check(file, "FILE")
    status, envelope = asyncio.run(_answer(endpoint, given, chosen))
    offset = timedelta(seconds=-random.SystemRandom().randrange(30 * 86_400, 400 * 86_400))
    redactor = Redactor(secrets.token_bytes(32), offset, hide_amounts=amounts == "hidden")
    made = Recording.of(endpoint.pin, given, status, envelope, endpoint.response_type, redactor)
    text = made.to_json()
    sys.stdout.write(text)
    if redactor.kept:
        note(f"undeclared fields, kept by name: {', '.join(sorted(redactor.kept))}; none may name a person")
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise InvalidArgumentError(f"{file} was not written: read the recording above, then add --yes")
        if not confirmed(f"Write this to {file}?"):
            raise typer.Abort
    with whole_file(file, _MARK) as written:
        written.write(text)
    note(f"written to {file}; it should not contain any of your data, but please check it")


class _KeepingSession(Session):
    """Keeps the last response, also that of a call that fails."""

    response: RawResponse | None = None

    async def send(self, exchange: Exchange) -> RawResponse:
        self.response = await super().send(exchange)
        return self.response


class _KeepingClient(Client):
    """A refusal is an error, and errors carry no data of the answer: the session keeps it."""

    def __init__(self, credentials: Credentials, settings: Settings | None = None) -> None:
        super().__init__(credentials, settings)
        self.session = self._pipeline.session = _KeepingSession()


async def _answer(
    endpoint: Endpoint, given: Mapping[str, Any], chosen: SettingsArguments
) -> tuple[int, dict[str, Any]]:
    """Return the status and the envelope of the answer, even of a refusal or of one that does not match."""
    client = _KeepingClient.from_env(**chosen)
    session = client.session
    async with client:
        try:
            await client.call(operations()[endpoint.name], given, generation=endpoint.generation)
        except (ApiError, DecodeError, MalformedResponseError):
            if _envelope_of(session.response) is None:
                raise
        envelope = _envelope_of(session.response)
        assert session.response is not None
        assert envelope is not None
        return session.response.http_status, envelope


def _envelope_of(response: RawResponse | None) -> dict[str, Any] | None:
    """The whole answer as it came; None if it is not a JSON object."""
    try:
        value = None if response is None else loads(response.body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
