"""Receive pushes: verify them, store them, answer within the vendor's second; handle them afterwards.

This module does not depend on a web framework: a request is a method, a few headers and chunks of bytes, an
answer is a status and a word. `aiohttp_app` and `asgi` adapt it. No request makes it raise, and a signed push
that cannot be stored gets an answer that makes the vendor send it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from pandapon_async.callbacks.dispatch import Dispatcher
from pandapon_async.callbacks.handlers import ANY, H, Handlers
from pandapon_async.callbacks.messages import Message, content_id, read
from pandapon_async.callbacks.push import (
    BROKEN,
    BUSY,
    ENCODED,
    METHOD,
    NOT_STORED,
    OK,
    SIGNED,
    SLOW,
    STATUS_OF,
    Push,
    ReceiverResponse,
)
from pandapon_async.callbacks.settings import CallbackSettings
from pandapon_async.callbacks.statistics import Statistics
from pandapon_async.callbacks.store import (
    Backlog,
    CallbackStoreUnavailableError,
    Entry,
    MessageState,
    MessageStore,
    Record,
)
from pandapon_async.callbacks.uptime import Uptime
from pandapon_async.callbacks.verify import several, verify
from pandapon_async.clock import Clock, time_limit
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.core.json_codec import loads
from pandapon_async.core.options import clean_frames
from pandapon_async.environment import tell
from pandapon_async.errors import CallbackReason, CallbackRefusedError
from pandapon_async.events import MESSAGES, Observed
from pandapon_async.settings import Credentials
from pandapon_async.settings.settings import shared_database
from pandapon_async.storage.batch_writer import BatchWriter

if TYPE_CHECKING:
    from aiohttp import web

    from pandapon_async.callbacks.asgi import AsgiApp
    from pandapon_async.callbacks.shared_store import Hearing

__all__ = ["Receiver"]

DEFAULT_STORE = "callbacks.sqlite"
LARGEST_VERIFICATION = 4096
"""The most bytes of an unsigned body that is parsed at all."""

log: Final = logging.getLogger("pandapon_async")


class Receiver:
    """Receives the vendor's pushes; `async with` it, or let the web application start and close it.

    `credentials` are one or several (the new and the old ones during a rotation). `store` is the file that
    stores messages, ":memory:" for tests; several processes may share one, and one of them handles its
    messages. `shared` is the database of `Settings.shared`: receivers of several machines keep their messages
    there and handle them together. If both are given, `store` is used, and a log line says so. Handlers are
    registered with `on`. `observer` is an object with `message_started(message)` or `message_ended(message,
    failures)`, such as `pandapon_async.otel.OpenTelemetry`; its errors are logged once and change nothing.
    """

    @clean_frames
    def __init__(
        self,
        credentials: Credentials | Iterable[Credentials],
        settings: CallbackSettings | None = None,
        *,
        store: str | os.PathLike[str] | None = None,
        shared: DatabaseUrl | str | None = None,
        clock: Clock | None = None,
        observer: object = None,
    ) -> None:
        database = shared_database(shared)
        if database is not None and store is not None:
            tell(f"the callbacks store passed in is used, not the one in {database}")
            database = None
        self.path: str = str(store or DEFAULT_STORE if database is None else database)
        """The file that messages are stored in, ":memory:", or the address of the database."""
        self.credentials: tuple[Credentials, ...] = several(credentials)
        """The credentials whose signatures are accepted."""
        self.settings: CallbackSettings = settings or CallbackSettings()
        """The settings of the receiver."""
        self.statistics: Statistics = Statistics()
        """The counters since its creation."""
        self.handlers: Handlers = Handlers()
        """The registered handlers."""
        self._clock = clock or Clock()
        self._writer = BatchWriter(
            lambda: MessageStore(self.path) if database is None else self._open_shared(database),
            "pandapon-callbacks",
        )
        self._dispatcher = Dispatcher(
            self._writer,
            self.handlers,
            self.settings,
            self.statistics,
            self._clock,
            Observed.of(observer, events=MESSAGES),
        )
        self._uptime = Uptime(self._writer, self._clock)
        self._hearing = None if database is None else self._hearing_of(database)
        self._starting: asyncio.Lock | None = None
        self._started = False
        self._storing = 0

    def _open_shared(self, database: DatabaseUrl) -> MessageStore:
        """Runs on the store's thread. Loaded here: most receivers are one process."""
        from pandapon_async.callbacks.shared_store import SharedMessageStore

        store = SharedMessageStore(database, self._clock)
        try:
            store.open()
        except BaseException:
            store.close()
            raise
        return store

    def _hearing_of(self, database: DatabaseUrl) -> Hearing:
        from pandapon_async.callbacks.shared_store import Hearing

        return Hearing(database, self._clock, self._dispatcher.wake)

    def __repr__(self) -> str:
        return f"Receiver(store={self.path!r})"

    def on(self, platform: str = ANY, kind: str = ANY) -> Callable[[H], H]:
        """Decorator: call this function with the messages of a platform and a kind or type.

        `platform` is "1688", "taobao" or "*"; `kind` is "price", "status", "refund", "other", "*", or a
        message type as the vendor writes it. The function takes a `Message`; a plain one is run in
        a thread (which nothing can stop when it takes too long). It is called at least once with each
        message that it wants, again after it raised or took too long, and once more if the process was
        killed meanwhile: key its effects by `message.id`.
        """
        return self.handlers.on(platform, kind)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Open the store and handle what is in it; may be called twice.

        Raises CallbackStoreUnavailableError if the file cannot be used. A request starts a receiver that was
        not started, too, but then nothing is handled until the first one comes.
        """
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if not self._started:
                await self._writer.open()
                await self._uptime.start()
                self._dispatcher.start()
                if self._hearing is not None:
                    self._hearing.start()
                self._started = True

    async def aclose(self) -> None:
        """Let running handlers finish within the grace time, and close the store; may be called twice."""
        if self._started:
            self._started = False
            if self._hearing is not None:
                await self._hearing.aclose()
            await self._dispatcher.aclose()
            await self._uptime.aclose()
        await self._writer.aclose()
        self._starting = None

    def aiohttp_app(self, path: str = "") -> web.Application:
        """An aiohttp application, for `app.add_subapp("/pandapon", receiver.aiohttp_app())` or by itself.

        It starts and closes the receiver. `path` is where in it the pushes arrive, with or without a
        slash at the end.
        """
        from pandapon_async.callbacks.aiohttp_app import application

        return application(self, path)

    def asgi_app(self) -> AsgiApp:
        """An ASGI application: `app.router.routes.append(Route("/pandapon", receiver.asgi_app()))`.

        Better a `Route` than a mount, which answers /pandapon with a redirect to /pandapon/. FastAPI and
        Starlette do not pass their lifespan on: put `async with receiver` into that of your application.
        """
        from pandapon_async.callbacks.asgi import AsgiApp

        return AsgiApp(self)

    async def counts(self) -> dict[MessageState, int]:
        """Count the messages in each state."""
        return await self._writer.run(lambda store: store.counts())

    def count_open_soon(self, told: Callable[[Backlog | None], object]) -> None:
        """From any thread: count the messages that are not done with, and pass the counts to `told`.

        It gets None if the store is closed or cannot be used.
        """
        self._writer.look(lambda store: store.backlog(), told)

    async def find(
        self, state: MessageState | None = None, *, unhandled: bool = False, limit: int = 100
    ) -> list[Record]:
        """Return stored messages in this state (None: any), newest first; `unhandled`: without a handler."""
        return await self._writer.run(lambda store: store.find(state, unhandled=unhandled, limit=limit))

    async def replay(self, ids: Iterable[str] | None = None) -> int:
        """Handle these messages again, or all dead letters; return their number. `ids` are complete ids."""
        wanted, now = None if ids is None else list(ids), self._clock.wall()
        found = await self._writer.run(lambda store: store.replay(wanted, now))
        self._dispatcher.wake()
        return found

    async def answer(self, push: Push) -> ReceiverResponse:
        """Read and process a request, and return the answer."""
        response = await self._answer(push)
        if response.status != 200 and push.authorization is not None:
            self._uptime.refused()
        return response

    async def _answer(self, push: Push) -> ReceiverResponse:
        if push.method in ("GET", "HEAD"):
            self.statistics.verifications += 1
            return OK
        if push.method != "POST":
            return METHOD
        if push.encoding not in (None, "", "identity"):
            return ENCODED  # the signature covers the received bytes, and decompression could be a bomb
        try:
            with time_limit(self._clock, self.settings.read_within):
                body = await self._body(push)
        except CallbackRefusedError as refused:
            return self._refused(refused)
        except TimeoutError:
            return SLOW
        except (ConnectionError, ValueError):
            return BROKEN
        return await self._take(body, push.authorization)

    async def receive(self, body: bytes, authorization: str | bytes | None) -> ReceiverResponse:
        """Process a body that was read already. Never raises for any received data."""
        response = await self._take(body, authorization)
        if response.status != 200 and authorization is not None:
            self._uptime.refused()
        return response

    async def _take(self, body: bytes, authorization: str | bytes | None) -> ReceiverResponse:
        try:
            return await self._receive(body, authorization)
        except CallbackRefusedError as refused:
            return self._refused(refused)
        except Exception as error:
            self.statistics.unavailable += 1
            log.error("callbacks: a message could not be stored (%s)", type(error).__name__)
            log.debug("callbacks: what happened", exc_info=error)
            return NOT_STORED

    async def _receive(self, body: bytes, authorization: str | bytes | None) -> ReceiverResponse:
        settings = self.settings
        if authorization is None and (settings.unsigned_ok or _is_verification(body)):
            if not _is_verification(body):
                self._uptime.refused()
            self.statistics.verifications += 1
            return OK
        signer = verify(
            body,
            authorization,
            self.credentials,
            base=settings.base,
            hex_case=settings.hex_case,
            maximum_bytes=settings.maximum_bytes,
        )
        if not body:
            self.statistics.verifications += 1
            return OK
        now = self._clock.wall()
        try:
            message = read(body)
        except CallbackRefusedError as refused:
            await self._store(self._unreadable(body, signer, refused, now))
            raise
        self._check_time(message, now)
        return await self._store(self._entry(message, signer, now))

    async def _body(self, push: Push) -> bytes:
        most = self.settings.maximum_bytes
        body = bytearray()
        if push.length is None or push.length <= most:
            async with contextlib.aclosing(push.chunks) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > most:
                        break
                else:
                    return bytes(body)
        raise CallbackRefusedError(f"the body has more than {most} bytes", reason=CallbackReason.TOO_LARGE)

    def _check_time(self, message: Message, now: float) -> None:
        """Check the message's own time; ignore an unreadable one: the signature proves the origin."""
        if message.timestamp is None:
            return
        age = now - message.timestamp.timestamp()
        if not -self.settings.newer <= age <= self.settings.older:
            raise CallbackRefusedError(
                f"the message was pushed {abs(age):.0f} s {'ago' if age > 0 else 'ahead of now'}",
                reason=CallbackReason.OUTSIDE_WINDOW,
            )

    def _entry(self, message: Message, signer: Credentials, now: float) -> Entry:
        moment, pushed = message.moment, message.timestamp
        arrived = round(now * 1000)
        return Entry(
            id=content_id(message) if self.settings.duplicates == "content" else message.id,
            access_key=signer.access_key,
            platform=message.platform,
            type=message.type,
            kind=message.kind.value,
            order_id=message.order_id,
            refund_id=message.refund_id,
            key=message.key,
            timed=moment is not None,
            stamped=pushed is not None,
            moment=arrived if moment is None else round(moment.timestamp() * 1000),
            pushed=arrived if pushed is None else round(pushed.timestamp() * 1000),
            received=now,
            due=now + (self.settings.order_window if message.key else 0.0),
            updated=now,
            body=message.raw,
        )

    def _unreadable(
        self, body: bytes, signer: Credentials, refused: CallbackRefusedError, now: float
    ) -> Entry:
        """Keep a signed body that is not a message as a dead letter: the vendor drops it later."""
        arrived = round(now * 1000)
        return Entry(
            id=hashlib.sha256(body).hexdigest(),
            access_key=signer.access_key,
            moment=arrived,
            pushed=arrived,
            received=now,
            due=now,
            updated=now,
            state=MessageState.DEAD,
            note=str(refused.reason),
            body=body,
        )

    async def _store(self, entry: Entry) -> ReceiverResponse:
        """Store the message before the answer; if that takes too long, ask the vendor to send it again."""
        await self.start()
        if self._storing >= self.settings.most_waiting:
            self.statistics.unavailable += 1
            return BUSY
        forget_before = entry.received - self.settings.remember
        # In a file the order of arrival is kept; in a database another receiver may store the same messages.
        order = None if self._hearing is None else entry.id
        self._storing += 1
        try:
            with time_limit(self._clock, self.settings.answer_within):
                new = await self._writer.run(
                    lambda store: store.add(entry, forget_before), durable=True, order=order
                )
        except (TimeoutError, CallbackStoreUnavailableError) as error:
            self.statistics.unavailable += 1
            log.error("callbacks: a message could not be stored in time (%s)", type(error).__name__)
            return NOT_STORED
        finally:
            self._storing -= 1
        if not new:
            self.statistics.duplicates += 1
            return OK
        self.statistics.stored += 1
        self._dispatcher.wake()
        return OK

    def _refused(self, refused: CallbackRefusedError) -> ReceiverResponse:
        reason = refused.reason or CallbackReason.UNREADABLE
        self.statistics.refused[reason.value] += 1
        # Anyone can send unsigned requests; an operator should see signed ones that are refused.
        log.log(logging.WARNING if reason in SIGNED else logging.INFO, "callback refused: %s", refused)
        return ReceiverResponse(STATUS_OF[reason], reason.value, close=reason is CallbackReason.TOO_LARGE)


def _is_verification(body: bytes) -> bool:
    """Whether an unsigned body is the console's verification: empty, or not a message.

    The console's request is not documented. A message without a signature is always refused: if a proxy drops
    the header, the vendor must not believe that we have the message.
    """
    if not body:
        return True
    if len(body) > LARGEST_VERIFICATION:
        return False
    try:
        value = loads(body)
    except ValueError:
        return False
    return isinstance(value, dict) and not {"messageType", "messageBody"} & value.keys()
