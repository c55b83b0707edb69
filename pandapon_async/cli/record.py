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
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.arguments import encode_arguments
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.errors import ApiError, DecodeError, InvalidArgumentError
from pandapon_async.recording import Recording, Redactor
from pandapon_async.settings import Settings, SettingsArguments
from pandapon_async.storage.files import Mark, whole_file

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
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise InvalidArgumentError(f"{file} was not written: read the recording above, then add --yes")
        if not confirmed(f"Write this to {file}?"):
            raise typer.Abort
    with whole_file(file, _MARK) as written:
        written.write(text)
    note(f"written to {file}; it should not contain any of your data, but please check it")


async def _answer(
    endpoint: Endpoint, given: Mapping[str, Any], chosen: SettingsArguments
) -> tuple[int, dict[str, Any]]:
    """Return the status and the envelope of the answer, even of a refusal or of one that does not match."""
    async with Client.from_env(**chosen) as client:
        started = client.call(operations()[endpoint.name], given, generation=endpoint.generation)
        try:
            response = await started.with_response()
        except DecodeError as odd:
            return 200, {"requestId": odd.request_id, "code": 200, "msg": None, "data": odd.data}
        except ApiError as refused:
            if refused.http_status is None or refused.code is None:
                raise
            return refused.http_status, {
                "requestId": refused.request_id,
                "code": refused.code,
                "msg": refused.msg,
                "data": None,
            }
    return response.http_status, {
        "requestId": response.request_id,
        "code": response.code,
        "developId": response.develop_id,
        "msg": response.msg,
        "data": response.data,
    }
