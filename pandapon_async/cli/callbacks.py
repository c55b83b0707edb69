"""`pandapon callbacks`: receive the vendor's pushes, list them, replay failed ones."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from pandapon_async.callbacks.store import FILE_FORMAT, MessageState, MessageStore, Record
from pandapon_async.cli.output import for_people, note, print_lines, print_result, print_table
from pandapon_async.cli.usage import cannot_listen
from pandapon_async.clock import Clock
from pandapon_async.core.database_url import DatabaseUrl, is_database_address
from pandapon_async.core.options import clean_frames, where_raised
from pandapon_async.environment import WORKING_FOLDER, environment
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import Credentials, Settings
from pandapon_async.settings.sources import Sources

if TYPE_CHECKING:
    from pandapon_async.accounts import Accounts
    from pandapon_async.callbacks import CallbackSettings, Message, Receiver
    from pandapon_async.client import Client

__all__ = ["callbacks_app"]


def _store(given: Path | None) -> Path | None:
    """Return the option's value, or PANDAPON_CALLBACKS from the environment or a .env file."""
    named = environment().get("PANDAPON_CALLBACKS")
    chosen = Path(named) if given is None and named else given
    if is_database_address(chosen):
        raise typer.BadParameter(
            "must be a file, not the address of a database (PANDAPON_CALLBACKS too); --shared names that",
            param_hint="--store",
        )
    return chosen


StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        callback=_store,
        help="The file that stores messages; default: PANDAPON_CALLBACKS, or the shared database, or "
        "callbacks.sqlite.",
        show_default=False,
    ),
]

callbacks_app: Final = typer.Typer(
    name="callbacks",
    help="Receive the vendor's pushes, list them, replay failed ones.",
    pretty_exceptions_enable=False,  # its tracebacks print local variables, and one of them is the secret
)


@callbacks_app.command("list")
def list_messages(
    store: StoreOption = None,
    state: Annotated[MessageState | None, typer.Option(help="Show only messages in this state.")] = None,
    unhandled: Annotated[
        bool, typer.Option("--unhandled", help="Show only messages that no handler wanted.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="The largest number of messages, newest first.")] = 50,
    counts: Annotated[
        bool, typer.Option("--counts", help="Show only the number of messages in each state.")
    ] = False,
) -> None:
    """List messages and their states, without bodies, which can hold personal data."""
    with _opened(store) as opened:
        found = opened.counts()
        records = [] if counts else opened.find(state, unhandled=unhandled, limit=limit)
    if counts:
        print_lines([found])
        return
    rows = [_row(record) for record in records]
    if for_people():
        print_table(rows[0] if rows else ("id", "state"), rows)
    else:
        print_lines(rows)
    note(", ".join(f"{count} {name}" for name, count in found.items()))


@callbacks_app.command()
def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of messages, or the beginnings of ids.")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Replay all dead letters.")] = False,
    store: StoreOption = None,
) -> None:
    """Handle messages again with all handlers; a receiver that runs on this file does it."""
    if dead == bool(ids):
        raise typer.BadParameter("name the messages by their ids, or use --dead")
    with _opened(store) as opened:
        wanted = None if dead else [_one(opened, beginning) for beginning in ids or ()]
        replayed = opened.replay(wanted, datetime.now(UTC).timestamp())
    note(f"{replayed} messages will be handled again")
    raise typer.Exit(0 if wanted is None or replayed == len(set(wanted)) else 1)


@callbacks_app.command()
def serve(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")
    ] = 8090,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is this machine.")
    ] = "127.0.0.1",
    path: Annotated[str, typer.Option(help="Path for pushes.")] = "/pandapon",
    store: StoreOption = None,
    handlers: Annotated[
        str | None, typer.Option(help="module:function that takes the receiver and registers handlers.")
    ] = None,
    bodies: Annotated[
        bool, typer.Option("--bodies", help="Also print bodies; they can hold personal data.")
    ] = False,
    settle: Annotated[
        bool,
        typer.Option(
            "--settle", help="Let refund messages settle refund applications with an unknown outcome."
        ),
    ] = False,
    verifying: Annotated[
        bool,
        typer.Option(
            "--verifying", help="Answer 200 to every unsigned request during the console's verification."
        ),
    ] = False,
) -> None:
    """Receive pushes until Ctrl-C; without --handlers print each message as a line of JSON.

    The vendor pushes over HTTPS only: put a proxy with a certificate in front. The secret comes from
    PANDAPON_ACCESS_KEY and PANDAPON_ACCESS_SECRET; the secrets before a rotation, separated by spaces, come
    from PANDAPON_OLD_ACCESS_SECRETS. PANDAPON_CALLBACK_BASE is "key+body" (the default), "body" or "either",
    PANDAPON_CALLBACK_HEX_CASE "lower" (the default), "upper" or "any".
    """
    from pandapon_async.accounts import Accounts
    from pandapon_async.callbacks import Receiver

    accounts = Accounts.found()
    credentials, settings = _configured(verifying, accounts)
    receiver = Receiver(credentials, settings, store=store, shared=_shared_database(accounts))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if handlers is not None:
        _register(handlers, receiver)
    else:
        receiver.on()(_printer(bodies, accounts))
    try:
        with contextlib.suppress(KeyboardInterrupt):
            clients = _settling(credentials, accounts) if settle else {}
            asyncio.run(_serve(receiver, clients, host, port, path))
    except OSError as error:
        typer.echo(cannot_listen(host, port, error), err=True)
        raise typer.Exit(2) from None


@callbacks_app.command()
def send(
    url: Annotated[str, typer.Argument(help="The url of the receiver.")] = ("http://127.0.0.1:8090/pandapon"),
    platform: Annotated[
        Literal["1688", "taobao"], typer.Option(help="The platform of the message.")
    ] = "1688",
    refund_id: Annotated[str, typer.Option(help="The changed refund form.")] = "TQ900000000000000001",
    order_id: Annotated[str, typer.Option(help="The id of its order, digits only.")] = "900000000000000001",
    status: Annotated[str, typer.Option(help="Its new state.")] = "waitbuyersend",
    message_type: Annotated[
        str | None, typer.Option("--type", help="Another type of message; needs --body.")
    ] = None,
    body: Annotated[
        str | None, typer.Option("--body", help="The messageBody: '{...}', @file or - for stdin.")
    ] = None,
    wrong_signature: Annotated[
        bool, typer.Option("--wrong-signature", help="Sign it wrongly; a receiver must refuse it.")
    ] = False,
) -> None:
    """Push one signed test message to your receiver and print its answer.

    Without --body the message reports a changed refund form. The credentials and PANDAPON_CALLBACK_BASE are
    those of `callbacks serve`. Exit code 0: the answer was 200 within the second that the vendor waits; 1: it
    was not; 3: nobody answered.
    """
    from pandapon_async.cli.callbacks_send import advice, send_push
    from pandapon_async.cli.values import read_document
    from pandapon_async.sandbox.callbacks import refund_body

    if (message_type is None) != (body is None):
        raise typer.BadParameter("use both or neither", param_hint="--type and --body")
    if not (order_id.isascii() and order_id.isdigit()):
        raise typer.BadParameter(f"{order_id[:40]!r} is not a number", param_hint="--order-id")
    if message_type is not None:
        content: Any = read_document(body)
    else:
        message_type, content = refund_body(
            platform,
            refund_id=refund_id,
            order_id=order_id,
            status=status,
            time_sent=datetime.now(UTC).timestamp(),
        )
    credentials, settings = _configured(False)
    answer = asyncio.run(
        send_push(
            url,
            credentials[0],
            settings,
            platform=platform,
            message_type=message_type,
            body=content,
            wrong_signature=wrong_signature,
        )
    )
    print_result(answer)
    told = advice(answer)
    if told is not None:
        note(told)
    raise typer.Exit(0 if told is None else 1)


def _settling(credentials: list[Credentials], accounts: Accounts | None) -> dict[str, Client]:
    """Return the clients that read the forms of messages, by the access key that signs a message."""
    from pandapon_async.client import Client

    if accounts is None:
        client = Client(credentials[0], Settings.from_env())
        return {one.access_key: client for one in credentials}
    return {accounts.credentials_of(name).access_key: accounts.client(name) for name in accounts.names}


async def _serve(receiver: Receiver, settling: Mapping[str, Client], host: str, port: int, path: str) -> None:
    """Serve until SIGINT or SIGTERM. `settling` has the clients that read the forms of messages."""
    from aiohttp import web  # imported here, because every other command starts without a server

    from pandapon_async.callbacks.connections import ConnectionGuard
    from pandapon_async.journal import settler_by_key

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows, where Ctrl-C ends asyncio.run
            loop.add_signal_handler(number, stopped.set)
    application = receiver.aiohttp_app(path)
    guard = ConnectionGuard(receiver.settings.idle_within, receiver.settings.most_connections, Clock())
    application.middlewares.append(guard.middleware)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0)
    async with contextlib.AsyncExitStack() as opened:
        for client in dict.fromkeys(settling.values()):
            await opened.enter_async_context(client)
        if settling:
            receiver.on("1688", "refund")(settler_by_key(settling))  # pyright: ignore
        opened.push_async_callback(runner.cleanup)
        await runner.setup()
        serve = runner.server
        assert serve is not None
        server = await loop.create_server(lambda: guard.protocol(serve()), host, port)
        opened.callback(server.close)
        where = server.sockets[0].getsockname()
        note(f"receiving at http://{where[0]}:{where[1]}{path}, messages in {receiver.path}")
        await stopped.wait()


@clean_frames
def _configured(
    verifying: bool, accounts: Accounts | None = None
) -> tuple[list[Credentials], CallbackSettings]:
    from pandapon_async.callbacks import CallbackSettings

    values = environment()
    base: Any = values.get("PANDAPON_CALLBACK_BASE") or "key+body"
    hex_case: Any = values.get("PANDAPON_CALLBACK_HEX_CASE") or "lower"
    settings = CallbackSettings(base=base, hex_case=hex_case, unsigned_ok=verifying)
    if accounts is not None:
        return [accounts.credentials_of(name) for name in accounts.names], settings
    found = {name: value for name, (value, _) in Sources.find(WORKING_FOLDER).credentials().items()}
    if "access_key" not in found or "access_secret" not in found:
        raise ConfigurationError(
            "set PANDAPON_ACCESS_KEY and PANDAPON_ACCESS_SECRET, or name an account with --account"
        )
    user = found.get("user_id", "0")  # not part of the signature
    secrets = [found["access_secret"], *values.get("PANDAPON_OLD_ACCESS_SECRETS", "").split()]
    return [Credentials(found["access_key"], one, user) for one in secrets], settings


def _register(name: str, receiver: Receiver) -> None:
    """Let the user's module register its handlers."""
    module, _, function = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # by default Python looks in the folder of the command
    problem = ""
    try:
        register = getattr(importlib.import_module(module), function or "register")
        if callable(register):
            register(receiver)
        else:
            problem = "it is not a function"
    except Exception as error:
        problem = where_raised(error)
    if problem:  # not chained: the frames of the module may hold private data
        raise typer.BadParameter(f"{name}: {problem}", param_hint="--handlers")


def _printer(bodies: bool, accounts: Accounts | None = None) -> Callable[[Message], Awaitable[None]]:
    async def print_message(message: Message) -> None:
        shown = ("id", "platform", "type", "kind", "order_id", "refund_id", "timestamp", "moment", "received")
        line = {name: getattr(message, name) for name in (*shown, "attempt", "order")}
        if accounts is not None:
            line["account"] = accounts.named(message.access_key)
        if bodies:
            line["body"] = message.body
        # A closed pipe fails the message, which is then kept and tried again.
        sys.stdout.write(json.dumps(line, ensure_ascii=False, default=_text) + "\n")
        sys.stdout.flush()

    return print_message


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _shared_database(accounts: Accounts | None) -> DatabaseUrl | None:
    return (Settings.from_env() if accounts is None else accounts.settings).shared


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[MessageStore]:
    """Open the store for one group of changes, which is committed if nothing fails."""
    database = None
    if path is None:
        from pandapon_async.accounts import Accounts
        from pandapon_async.callbacks.receiver import DEFAULT_STORE

        database = _shared_database(Accounts.found())
        path = Path(DEFAULT_STORE)
    if database is None:
        if not path.is_file():
            raise typer.BadParameter(f"the store {path} does not exist", param_hint="--store")
        store = MessageStore(path)
        failing = FILE_FORMAT.failing(path, "read")
    else:
        from pandapon_async.callbacks.shared_store import SharedMessageStore

        store = SharedMessageStore(database, Clock())
        failing = store.failing()
    with contextlib.closing(store), failing:
        store.begin(durable=True)
        try:
            yield store
            store.commit()
        finally:
            store.rollback()


def _one(store: MessageStore, beginning: str) -> str:
    found = store.get(beginning)
    if len(found) != 1:
        raise typer.BadParameter(
            f"{'no' if not found else 'more than one'} message id begins with {beginning}"
        )
    return found[0].id


def _row(record: Record) -> dict[str, Any]:
    names = ("id", "state", "platform", "type", "order_id", "refund_id", "attempts", "copies", "note")
    row = {name: getattr(record, name) for name in names}
    if for_people():
        row["id"] = record.id[:12]
    return {**row, "received": datetime.fromtimestamp(record.received, UTC).isoformat(timespec="seconds")}
