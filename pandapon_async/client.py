"""The client: it owns the session and the quota, and offers every call of the API."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Coroutine, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import aiohttp
import attrs

from pandapon_async.core.options import clean_frames
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.call import Call
from pandapon_async.declare.endpoint import Endpoint, Operation, Stage
from pandapon_async.declare.response import Response
from pandapon_async.environment import WORKING_FOLDER
from pandapon_async.errors import ConfigurationError, PandaponError
from pandapon_async.events import Observed
from pandapon_async.journal.ages import Ages
from pandapon_async.journal.identity import Writer
from pandapon_async.journal.settling import SettlesWrites
from pandapon_async.settings import Credentials, Settings, SettingsArguments, SettingsChanges

if TYPE_CHECKING:
    import os
    from typing import Unpack

    from pandapon_async.api import V1, V2, Addresses, Alibaba, Freight, Taobao
    from pandapon_async.core.envelope import Envelope
    from pandapon_async.journal.journal import Journal
    from pandapon_async.journal.writes import Write
    from pandapon_async.transport.calls import CallContext
    from pandapon_async.transport.pipeline import Statistics
    from pandapon_async.transport.rate_limiter import Limiter
    from pandapon_async.transport.requests import PreparedRequest, RequestBuilder

__all__ = ["Client"]

_SHARED = frozenset(
    [
        *("base_url", "rate", "adaptive_rate", "concurrency", "limiter", "clock", "journal", "vendor_id"),
        *("shared", "shared_fallback"),
    ]
)
SafetyName = Literal["read", "repeatable", "checked", "once", "never_automatic"]
_GROUPS = ("alibaba", "taobao", "addresses", "freight", "v1", "v2")


class Client(SettlesWrites):
    """A client for one account, bound to one event loop.

    Use it as `async with Client(credentials, settings) as pandapon:`, or call `aclose` yourself. The calls
    are at `pandapon.alibaba`, `pandapon.taobao`, `pandapon.addresses` and `pandapon.freight`; each uses the
    documented path of the newest generation of the API that has one. `pandapon.v1` and `pandapon.v2` are the
    same groups pinned to a generation. `request` makes undeclared calls. A `session` that you pass in is used
    and left open.
    """

    def __init__(
        self,
        credentials: Credentials,
        settings: Settings | None = None,
        *,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        if not isinstance(credentials, Credentials):
            raise ConfigurationError(
                "the first argument must be Credentials(access_key=..., access_secret=..., user_id=...)"
            )
        # Imported here: at the top they would make this module's import half as slow again, and in the first
        # call they would block the loop.
        importlib.import_module("pandapon_async.api")
        from pandapon_async.transport.assembly import pipeline_of
        from pandapon_async.transport.places import ArgumentPlaces
        from pandapon_async.transport.requests import RequestBuilders

        settings = settings or Settings()
        self._is_copy = False
        self._builders = RequestBuilders(settings)
        self._pipeline = pipeline_of(credentials, settings, session)
        self._ages = Ages(settings.clock, self._pipeline.server_time.told)
        self._places = ArgumentPlaces(settings.clock)

    @classmethod
    @clean_frames
    def from_env(
        cls, env_file: str | os.PathLike[str] | None = WORKING_FOLDER, **settings: Unpack[SettingsArguments]
    ) -> Self:
        """Read credentials and settings from the environment; see `Settings.from_env`."""
        from pandapon_async.settings.sources import Sources

        sources = Sources.find(env_file)
        return cls(Credentials.of(sources), Settings.of(sources, **settings))

    @classmethod
    @clean_frames
    def from_config(
        cls, account: str, config: str | os.PathLike[str] | None = None, **settings: Unpack[SettingsArguments]
    ) -> Self:
        """Make a client for an account of pandapon.toml.

        Args:
            account: The name of its section: "shop-a" is `[accounts.shop-a]`.
            config: The path of the file; by default the one that PANDAPON_CONFIG names, pandapon.toml of the
                working folder, or the user's.
            settings: Settings that override every other source.

        Raises:
            ConfigurationError: The account does not exist, or a name or a value is wrong.
        """
        from pandapon_async.settings.sources import Sources

        sources = Sources.find(WORKING_FOLDER, account, config)
        return cls(Credentials.of(sources), Settings.of(sources, **settings))

    @cached_property
    def alibaba(self) -> Alibaba:
        """1688: goods, carts, orders, refunds."""
        from pandapon_async.api import Alibaba

        return Alibaba(self)

    @cached_property
    def taobao(self) -> Taobao:
        """Taobao: goods, carts, orders, refunds."""
        from pandapon_async.api import Taobao

        return Taobao(self)

    @cached_property
    def addresses(self) -> Addresses:
        """The account's own addresses."""
        from pandapon_async.api import Addresses

        return Addresses(self)

    @cached_property
    def freight(self) -> Freight:
        """Warehouse logistics: shipping abroad."""
        from pandapon_async.api import Freight

        return Freight(self)

    @cached_property
    def v1(self) -> V1:
        """The calls of the first generation of the API, pinned to it."""
        from pandapon_async.api import V1

        return V1(self, "v1")

    @cached_property
    def v2(self) -> V2:
        """The calls of the second generation of the API, pinned to it."""
        from pandapon_async.api import V2

        return V2(self, "v2")

    @property
    def settings(self) -> Settings:
        """The settings of this client or copy."""
        return self._pipeline.settings

    @property
    def credentials(self) -> Credentials:
        """Who this client is. Its repr holds no secret."""
        return self._pipeline.credentials

    @property
    def closed(self) -> bool:
        """Whether the client was closed, and with it its copies."""
        return self._pipeline.calls.closed

    @property
    def statistics(self) -> Statistics:
        """Running counters, shared with all copies: calls, attempts, retried, throttled, failed, slowed."""
        return self._pipeline.statistics

    @property
    def limiter(self) -> Limiter:
        """The limiter, to inspect or share; it has `rate`, `permits`, `waiting` and `paused_seconds`."""
        return self._pipeline.limiter

    @property
    def account(self) -> str:
        """The fingerprint of vendor, key and sub-account in plans of format 1; it reveals none of them."""
        return self._pipeline.writer.legacy

    @property
    def writer(self) -> Writer:
        """The vendor and the sub-account that this client's writes belong to."""
        return self._pipeline.writer

    @property
    def clock_correction(self) -> float:
        """Seconds added to this machine's time in signatures; 0 unless the clock was shown to be wrong."""
        return self._pipeline.server_time.correction

    @clean_frames
    def with_settings(self, **changes: Unpack[SettingsChanges]) -> Self:
        """Make a cheap copy with other settings that shares session, quota, retry budget and counters.

        `pandapon.with_settings(timeout=5)`. Shared settings (base_url, rate, adaptive_rate, concurrency,
        limiter, journal, shared, clock) cannot change in a copy. Closing a copy closes nothing.

        Raises:
            ConfigurationError: A setting is shared, unknown or wrong.
        """
        if wrong := _SHARED & changes.keys():
            raise ConfigurationError(
                f"{', '.join(sorted(wrong))} is shared by all copies; make another Client"
            )
        everything: dict[str, Any] = {**changes}
        settings = attrs.evolve(self.settings, **everything)
        other = copy.copy(self)
        other._builders = self._builders.under(settings)
        for name in _GROUPS:  # these call the original
            other.__dict__.pop(name, None)
        other._is_copy = True
        observed = Observed.of(settings.observer, self._pipeline.observed)
        other._pipeline = attrs.evolve(self._pipeline, settings=settings, observed=observed)
        return other

    def call(
        self,
        operation: Operation,
        arguments: Mapping[str, Any],
        *,
        generation: Literal["v1", "v2"] | str | None = None,
    ) -> Call[Any]:
        """Carry out an operation; every typed method calls this.

        Args:
            operation: One of `pandapon_async.api.registry.operations()`.
            arguments: By Python name.
            generation: The generation to use, "v1" or "v2"; None: the client chooses.

        Raises:
            InvalidArgumentError: An argument is unknown, missing or wrong; nothing was sent.
            ConfigurationError: The operation's path is only inferred, and the settings do not allow that.
        """
        builder, encoded = self._builders.encode(operation, arguments, generation)
        endpoint = builder.endpoint
        if endpoint.stage is Stage.DEPRECATED:
            warnings.warn(
                f"the vendor marks {endpoint.name} as 'to be deprecated'", DeprecationWarning, stacklevel=3
            )
        if builder.has_image:
            return Call(endpoint.name, lambda: self._upload(builder, encoded))
        request = builder.prepare(encoded)
        return Call(endpoint.name, lambda: self._execute(builder, request))

    def _encoded(self, operation: Operation, arguments: Mapping[str, Any]) -> tuple[Endpoint, dict[str, Any]]:
        builder, encoded = self._builders.encode(operation, arguments)
        return builder.endpoint, encoded

    async def _sleep(self, seconds: float) -> None:
        await self._pipeline.timers.sleep(seconds)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        safety: Safety | SafetyName = Safety.ONCE,
    ) -> Call[Any]:
        """Make an undeclared call: signed, rate-limited and checked like every other call.

        `safety` says whether the call may be repeated if its answer is lost; by default it is not. Returns
        the envelope's data as plain JSON values, with Decimal instead of float.

        Raises:
            InvalidArgumentError: The method, the path or a value cannot be sent; nothing was sent.
        """
        prepared = self._builders.prepare_undeclared(method, path, json=json, params=params, safety=safety)
        return Call(prepared.endpoint.name, lambda: self._execute_undeclared(prepared))

    async def _upload(self, builder: RequestBuilder, encoded: dict[str, Any]) -> Response[Any]:
        return await self._execute(builder, await builder.prepare_with_image(encoded))

    def _execute(
        self, builder: RequestBuilder, request: PreparedRequest
    ) -> Coroutine[Any, Any, Response[Any]]:
        if builder.place_known or builder.endpoint.pin in self._places.settled:
            return self._carry_out(builder, request)
        return self._places.carry_out(builder, request, self._carry_out, self.settings.timeout)

    async def _carry_out(
        self, builder: RequestBuilder, request: PreparedRequest, seconds: float | None = None
    ) -> Response[Any]:
        endpoint, pipeline = builder.endpoint, self._pipeline
        if endpoint.releases_money:
            _check_payments_allowed(endpoint)
        if seconds is not None and seconds != pipeline.settings.timeout:
            pipeline = attrs.evolve(pipeline, settings=attrs.evolve(pipeline.settings, timeout=seconds))
        envelope, context = await pipeline.run(request, self._look_first)
        try:
            value = builder.decode(envelope.data, envelope.request_id)
        except BaseException as error:
            if isinstance(error, PandaponError):
                error.endpoint = endpoint.name
                error.safety = endpoint.safety
                error.attempts = len(context.history)
                error.history = tuple(context.history)
            pipeline.tell_end(context, error, envelope.request_id)
            raise
        return self._response(value, envelope, context)

    async def _execute_undeclared(self, request: PreparedRequest) -> Response[Any]:
        if request.endpoint.releases_money:
            _check_payments_allowed(request.endpoint)
        envelope, context = await self._pipeline.run(request, self._look_first)
        return self._response(envelope.data, envelope, context)

    def _response(self, value: Any, envelope: Envelope, context: CallContext) -> Response[Any]:
        if self._pipeline.observed is not None:
            self._pipeline.tell_end(context, None, envelope.request_id)
        # By position, in the order of `Response`: keywords take a third longer.
        return Response(
            value,
            envelope.request_id,
            envelope.code,
            envelope.msg,
            envelope.develop_id,
            envelope.data,
            context.http_status,
            len(context.history),
            tuple(context.history),
            self._pipeline.settings.clock.now() - context.started,
            context.waited,
        )

    @property
    def journal(self) -> Journal:
        """The journal of this client's writes."""
        return self._pipeline.journal

    async def _look_first(self, write: Write, deadline: float) -> None:
        """Check an earlier write of the same key before this one is sent, within the deadline of its call."""
        from pandapon_async.journal.resend import look_first

        def within(left: float) -> Any:
            return self.with_settings(timeout=left)

        await look_first(write, within, deadline, self._ages, self.settings)

    async def aclose(self, grace: float = 0.0) -> None:
        """Close the client: refuse new calls and end the calls in flight.

        A call that is ended raises NotSentError; if its request may have left, a read raises
        ConnectionLostError and a write OutcomeUnknownError. Its outcome is noted in the journal within 2
        seconds; if that fails, the log says so and the write stays `sent`. A second call does nothing;
        neither does closing a copy.

        Args:
            grace: Seconds that calls in flight may still take before they are ended.
        """
        if not self._is_copy:
            await self._pipeline.close(grace)

    async def __aenter__(self) -> Self:
        self._pipeline.session.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Client of {self.settings.base_url}>"


def _check_payments_allowed(endpoint: Endpoint) -> None:
    # Imported here: most programs do no bulk work.
    from pandapon_async.bulk.guard import check_payments_allowed

    check_payments_allowed(endpoint.name)
