"""Settings: how calls are made. Every value is checked when the object is made.

Some defaults rest on inference rather than on a page of the vendor. The README lists each of them under "What
is not known about the vendor", and each is a field of `VendorProfile` or `Settings`.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypedDict
from urllib.parse import SplitResult, urlsplit

import attrs

from pandapon_async.clock import Clock
from pandapon_async.core.adaptive import AdaptiveRate
from pandapon_async.core.codes import Codes
from pandapon_async.core.database_url import DatabaseUrl, is_database_address
from pandapon_async.core.options import Options, clean_frames
from pandapon_async.core.rate_limiter import RateLimiter
from pandapon_async.core.retry import RetryPolicy
from pandapon_async.core.signing import Signer
from pandapon_async.core.urls import check_base_url, check_proxy
from pandapon_async.environment import WORKING_FOLDER, by_option, tell
from pandapon_async.errors import ConfigurationError
from pandapon_async.events import Observed, Observer
from pandapon_async.settings.checks import (
    count,
    flag,
    instance,
    one_of,
    positive,
    positive_or_none,
    rate_limiter,
)
from pandapon_async.settings.vendor import (
    FreightReading,
    ImageLimits,
    ListFacts,
    Override,
    QuotaScope,
    VendorProfile,
)

if TYPE_CHECKING:
    from typing import Unpack

    from pandapon_async.journal.journal import Journal
    from pandapon_async.settings.sources import Sources

__all__ = [
    "AUTOMATIC",
    "PROFILE_FIELDS",
    "Observer",
    "Settings",
    "SettingsArguments",
    "SettingsChanges",
    "VendorChanges",
    "is_loopback",
]

PYTHON: Final = {"python_only": True}
"""Marks a field that neither a file nor the environment can set."""

PROFILE_FIELDS = frozenset(field.name for field in attrs.fields(VendorProfile))
"""Separate the fields of the vendor's profile, which can be set like settings."""

AUTOMATIC = "automatic"
"""The journal's default place: a file in the user's state directory; in memory for a loopback base_url."""

LEAST_SETTLING: Final = 15.0
"""Seconds; three times the longest delay between recording a write and its first byte."""


def _bare_url(value: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"base_url must be text, not {type(value).__name__}")
    return value.rstrip("/")


def _proxy(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise ConfigurationError(f"{attribute.name} must be text, not {type(value).__name__}")
    try:
        check_proxy(value)
    except ValueError as error:
        raise ConfigurationError(f"{_named(attribute.name, value)} {error}") from None


def shared_database(value: Any) -> DatabaseUrl | None:
    """Parse a database address; its text may hold a password and is never shown."""
    if value is None or isinstance(value, DatabaseUrl):
        return value
    problem = f"shared must be text, not {type(value).__name__}"
    if isinstance(value, str):
        try:
            return DatabaseUrl(value)
        except ValueError as error:
            problem = f"shared {error}"
    raise ConfigurationError(problem)


def _share(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value <= 1):
        raise ConfigurationError(f"{attribute.name} must be a fraction of the rate, above 0 and at most 1")


def _named(name: str, url: str) -> str:
    """A setting's name and its value, without the value if that may hold a password."""
    return name if "@" in url else f"{name} {url[:80]!r}"


class VendorChanges(TypedDict, total=False):
    """The fields of the vendor's profile that can be set like settings; a test compares the two."""

    signer: Signer | str
    timestamp_unit: Literal["ms", "s"]
    codes: Codes
    overrides: Mapping[str, Override]
    allow_inferred: bool
    generation: Literal["v1", "v2"] | None
    freight: FreightReading
    images: ImageLimits
    quota_scope: QuotaScope
    list: ListFacts


class SettingsChanges(VendorChanges, total=False):
    """What `Client.with_settings` accepts, for type checkers; a test compares it with `Settings`."""

    vendor: VendorProfile
    timeout: float
    connect_timeout: float
    retry: RetryPolicy
    max_response_bytes: int
    observer: Observer | None
    allow_repeat: bool
    allow_second: bool
    resend_throttled: bool
    any_account: bool
    settle_after: float
    ssl_context: ssl.SSLContext | None
    proxy: str | None
    trust_env: bool
    allow_plain_http: bool
    correct_clock: bool
    language: Literal["en", "zh"] | None


class SettingsArguments(SettingsChanges, total=False):
    """What `from_env` accepts: every setting."""

    base_url: str
    rate: float | None
    adaptive_rate: AdaptiveRate | None
    concurrency: int
    limiter: RateLimiter | None
    journal: Journal | str | os.PathLike[str]
    shared: DatabaseUrl | str | None
    shared_fallback: float | None
    vendor_id: str | None
    clock: Clock


@attrs.define(frozen=True, kw_only=True)
class Settings(Options):
    """How calls are made. Frozen; `attrs.evolve` or `Client.with_settings` make changed copies.

    `with_settings`, `from_env` and the environment accept a field of the vendor's profile like a setting:
    `with_settings(timestamp_unit="s")` changes `settings.vendor.timestamp_unit`.
    """

    base_url: str = attrs.field(default="https://api.pandapon.com", converter=_bare_url)
    """The only address that calls go to, such as https://api.pandapon.com."""
    rate: float | None = attrs.field(default=10.0, validator=positive_or_none)
    """Calls per second over the whole client; None: unlimited. The vendor does not publish a quota."""
    adaptive_rate: AdaptiveRate | None = attrs.field(
        factory=AdaptiveRate, validator=attrs.validators.optional(instance(AdaptiveRate))
    )
    """How a throttle lowers the rate; None: a throttle only pauses all callers."""
    concurrency: int = attrs.field(default=64, validator=count)
    """How many requests may be in flight at once."""
    timeout: float = attrs.field(default=30.0, validator=positive)
    """Seconds that one call may take, waits and retries included."""
    connect_timeout: float = attrs.field(default=10.0, validator=positive)
    """Seconds that connecting may take."""
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=instance(RetryPolicy))
    """How often failed calls are retried, and how long the client waits in between."""
    vendor: VendorProfile = attrs.field(factory=VendorProfile, validator=instance(VendorProfile))
    """The answers to what the vendor leaves undocumented."""
    max_response_bytes: int = attrs.field(default=16 * 1024 * 1024, validator=count)
    """The most bytes of one answer, after decompression."""
    limiter: RateLimiter | None = attrs.field(
        default=None, repr=False, metadata=PYTHON, validator=rate_limiter
    )
    """One quota for several clients: any `RateLimiter`, such as a `Limiter`. It replaces `rate`."""
    observer: Observer | None = attrs.field(
        default=None, repr=False, metadata=PYTHON, validator=lambda _, __, value: Observed.of(value)
    )
    """A function called after each attempt with the call's name and an `Attempt`, or an object with any of
    the methods `started`, `attempt` and `ended`. It must not block.
    """
    journal: Journal | str | os.PathLike[str] = attrs.field(default=AUTOMATIC, repr=False)
    """Where writes are recorded before they are sent: a path, ":memory:", a `Journal`, or AUTOMATIC (a file
    in the user's state directory; in memory for a loopback base_url).
    """
    shared: DatabaseUrl | None = attrs.field(default=None, converter=shared_database)
    """A PostgreSQL database (`postgresql://user@host/database`) in which all processes and machines share one
    quota and one journal. A `limiter` or `journal` of your own takes precedence.
    """
    shared_fallback: float | None = attrs.field(default=None, validator=_share)
    """The fraction of `rate` that this process may use alone while the shared database is unreachable, such
    as 0.25 with four processes; None: it sends nothing then.
    """
    allow_repeat: bool = attrs.field(default=False, validator=flag)
    """Permits a write that was carried out before to be carried out again."""
    allow_second: bool = attrs.field(default=False, validator=flag)
    """Permits another refund application for an order line while one is open."""
    resend_throttled: bool = attrs.field(default=False, validator=flag)
    """Sends a throttled or unauthenticated write again even if no read shows whether it was carried out."""
    any_account: bool = attrs.field(default=False, validator=flag)
    """Lets this sub-account's reads prove that what another one wrote is not there."""
    vendor_id: str | None = attrs.field(default=None)
    """Which vendor a gateway leads to; None: host and path prefix of `base_url`. It belongs to what makes two
    writes the same."""
    settle_after: float = attrs.field(default=60.0, validator=positive)
    """Seconds that a write of unknown outcome must be old before its absence is believed."""
    ssl_context: ssl.SSLContext | None = attrs.field(default=None, repr=False, metadata=PYTHON)
    """For a CA of your own; one that does not check certificates and host names is refused."""
    proxy: str | None = attrs.field(default=None, repr=False, validator=_proxy)
    """The url of an HTTP proxy."""
    trust_env: bool = attrs.field(default=False, validator=flag)
    """Uses HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment if `proxy` is None."""
    allow_plain_http: bool = attrs.field(default=False, validator=flag)
    """Permits `http://` to another machine; key and signature are then sent unencrypted."""
    correct_clock: bool = attrs.field(default=True, validator=flag)
    """Signs with the server's time after this machine's wrong clock caused an authentication error."""
    language: Literal["en", "zh"] | None = attrs.field(default=None, validator=one_of("en", "zh", None))
    """The language of reports, "en" or "zh"; None: Chinese if LC_ALL or LANG ask for it, else English."""
    clock: Clock = attrs.field(factory=Clock, repr=False, metadata=PYTHON)
    """The source of time, timers and random numbers; tests replace it."""
    proxy_in_use: str | None = attrs.field(default=None, init=False, repr=False, eq=False)
    """`proxy`, or with `trust_env` the proxy of the environment."""

    _INSIDE = PROFILE_FIELDS

    @classmethod
    def _arranged(cls, named: dict[str, Any]) -> dict[str, Any]:
        """Move fields of the vendor's profile into `vendor`."""
        said = {name: value for name, value in named.items() if name in PROFILE_FIELDS}
        if not said:
            return named
        rest = {name: value for name, value in named.items() if name not in said}
        vendor = named.get("vendor")
        if vendor is None:
            return {**rest, "vendor": VendorProfile(**said)}
        instance(VendorProfile)(None, attrs.fields(Settings).vendor, vendor)
        return {**rest, "vendor": attrs.evolve(vendor, **said)}

    def __attrs_post_init__(self) -> None:
        context = self.ssl_context
        if context is not None and not (context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname):
            raise ConfigurationError("ssl_context must check certificates and host names")
        try:
            parts = check_base_url(self.base_url)
        except ValueError as error:
            raise ConfigurationError(f"{_named('base_url', self.base_url)} {error}") from None
        if isinstance(self.journal, str | os.PathLike) and is_database_address(self.journal):
            raise ConfigurationError(
                "journal must be a file, not the address of a database; --shared or PANDAPON_SHARED names one"
            )
        if self.shared is not None and self.journal == AUTOMATIC and self.settle_after < LEAST_SETTLING:
            raise ConfigurationError(
                f"settle_after must be at least {LEAST_SETTLING:g} s with a shared journal: another "
                "machine may send a write 5 s after recording it"
            )
        if self.shared is not None and self.rate is None and self.limiter is None:
            raise ConfigurationError("rate must be a number with a shared quota; rate=None means no limit")
        object.__setattr__(self, "proxy_in_use", self.proxy or self._environments_proxy(parts))
        if parts.scheme == "http" and not self.allow_plain_http and not is_loopback(self.base_url):
            raise ConfigurationError(
                "base_url is plain http and would send key and signature unencrypted; use https, or set "
                "Settings(allow_plain_http=True)"
            )

    def _environments_proxy(self, parts: SplitResult) -> str | None:
        if not self.trust_env:
            return None
        from urllib.request import getproxies, proxy_bypass

        url = getproxies().get(parts.scheme)
        if not url or proxy_bypass(parts.netloc):
            return None
        try:
            check_proxy(url)
        except ValueError as error:
            name = f"{parts.scheme.upper()}_PROXY"
            raise ConfigurationError(f"{_named(name, url)} {error}") from None
        return url

    @classmethod
    @clean_frames
    def from_env(
        cls, env_file: str | os.PathLike[str] | None = WORKING_FOLDER, **settings: Unpack[SettingsArguments]
    ) -> Self:
        """Read settings from the environment, a .env file and pandapon.toml; arguments take precedence.

        Args:
            env_file: The path of the .env file; None: none. By default the .env of the working folder, if it
                may be used.
            settings: Settings that override every other source.

        Raises:
            ConfigurationError: A name or a value is wrong; the message says which and where.
        """
        from pandapon_async.settings.sources import Sources

        return cls.of(Sources.find(env_file), **settings)

    @classmethod
    @clean_frames
    def of(cls, sources: Sources, **settings: Unpack[SettingsArguments]) -> Self:
        """Build settings from these sources; arguments take precedence."""
        arguments: dict[str, Any] = {**by_option.get(), **settings}
        known = {field.name for field in attrs.fields(cls) if field.init} | PROFILE_FIELDS
        if unknown := {name: value for name, value in arguments.items() if name not in known}:
            cls(**unknown)  # raises, with a suggestion
        said = sources.said(cls, arguments)
        made = said.make(cls)
        if made.shared is None or "shared" in arguments or not is_loopback(made.base_url):
            return made
        # A test or a sandbox must not use the company's shared quota and journal.
        tell(f"{said.place_of(('shared',))} is ignored for calls to {made.base_url}")
        return attrs.evolve(made, shared=None)


def is_loopback(url: str) -> bool:
    """Whether a url leads to this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
