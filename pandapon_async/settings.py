"""Who calls, and how: credentials and settings, checked when they are made.

Every default that rests on inference rather than on a page of the vendor is named in the README
under "What is not known about the vendor", and every one is a setting here.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict
from urllib.parse import SplitResult, urlsplit

import attrs

from pandapon_async.clock import Clock
from pandapon_async.core.adaptive import AdaptiveRate
from pandapon_async.core.codes import Codes
from pandapon_async.core.options import Options, clean_frames
from pandapon_async.core.retry import RetryPolicy
from pandapon_async.core.signing import Signer, signature
from pandapon_async.core.urls import check_base_url, check_proxy, climbs
from pandapon_async.environment import WORKING_FOLDER, environment
from pandapon_async.errors import Attempt, ConfigurationError

if TYPE_CHECKING:
    from typing import Unpack

    from pandapon_async.journal.journal import Journal
    from pandapon_async.transport.rate_limiter import Limiter

__all__ = [
    "AUTOMATIC",
    "Credentials",
    "Observer",
    "Override",
    "Settings",
    "SettingsArguments",
    "SettingsChanges",
]

AUTOMATIC = "automatic"
"""The journal's default place: a file in the user's state directory, in memory towards loopback."""

Observer = Callable[[str, Attempt], object]
"""Called after every attempt with the name of the call and what became of it; must not block."""


LARGEST_NUMBER = 1e9  # of seconds, calls and bytes; what is beyond it, or its inverse, is a mistake


def _header_text(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{attribute.name} must be text, not {type(value).__name__}")
    if not value:
        raise ConfigurationError(f"{attribute.name} is missing; get it from the vendor's console")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(
            f"{attribute.name} has a character that no header can carry (blank, newline?)"
        )


def _id_text(value: int | str) -> str:
    # The validator refuses the rest.
    return str(value) if type(value) is int else value  # type: ignore[return-value]


def _bare_url(value: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"base_url must be text, not {type(value).__name__}")
    return value.rstrip("/")


def _beginning(key: str) -> str:
    """Enough of a key to tell two accounts apart in a log."""
    return f"'{key[:4]}...'" if len(key) > 12 else "'...'"


def _positive(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 1 / LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise ConfigurationError(f"{attribute.name} must be a number above 0 (and below {LARGEST_NUMBER:g})")


def _positive_or_none(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None:
        _positive(instance, attribute, value)


def _count(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    _positive(instance, attribute, value)
    if not isinstance(value, int):
        raise ConfigurationError(f"{attribute.name} must be a whole number")


def _flag(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):  # "no" would be as good as True
        raise ConfigurationError(f"{attribute.name} must be True or False, not {type(value).__name__}")


def _proxy(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise ConfigurationError(f"{attribute.name} must be text, not {type(value).__name__}")
    try:
        check_proxy(value)
    except ValueError as error:
        raise ConfigurationError(f"{_named(attribute.name, value)} {error}") from None


def _named(name: str, url: str) -> str:
    """A setting with its value, unless that may hold a password."""
    return name if "@" in url else f"{name} {url[:80]!r}"


def _one_of(*allowed: Any) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in allowed:
            raise ConfigurationError(f"{attribute.name} must be one of {', '.join(map(repr, allowed))}")

    return check


def _a(kind: type[Any]) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(
                f"{attribute.name} must be a {kind.__name__}, not {type(value).__name__}"
            )

    return check


@attrs.define(frozen=True)
class Credentials(Options):
    """The key pair of the console and the sub-account (`user_id`) that calls are made for."""

    access_key: str = attrs.field(validator=_header_text, repr=_beginning)
    access_secret: str = attrs.field(validator=_header_text, repr=False)
    user_id: str = attrs.field(validator=_header_text, converter=_id_text)

    @classmethod
    @clean_frames
    def from_env(cls, env_file: str | os.PathLike[str] | None = WORKING_FOLDER) -> Self:
        """From PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET and PANDAPON_USER_ID."""
        values = environment(env_file)
        names = {field.name: f"PANDAPON_{field.name.upper()}" for field in attrs.fields(cls)}
        missing = [name for name in names.values() if not values.get(name)]
        if missing:
            raise ConfigurationError(f"set {', '.join(missing)} in the environment or in a .env file")
        return cls(**{field: values[name] for field, name in names.items()})


@attrs.define(frozen=True)
class Override(Options):
    """A correction to one declared call, without a new release.

    `path` replaces the declared path; `arguments` sends all arguments that are not in the path in
    the "query" or in the "body"; `signer` signs this call in its own way.
    """

    path: str | None = attrs.field(default=None)
    arguments: Literal["query", "body"] | None = attrs.field(
        default=None, validator=_one_of("query", "body", None)
    )
    signer: Signer | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        path = self.path
        if path is None:
            return
        if not path.startswith("/") or path.startswith("//") or climbs(path):
            raise ConfigurationError("an overriding path begins with one / and does not climb with ..")
        if not path.isascii() or not path.isprintable() or set(path) & set(" ?#\\"):
            raise ConfigurationError("an overriding path has no blanks, ? or #, and is percent-encoded")


def _overrides(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(one, Override) for one in value.values()):
        raise ConfigurationError(f"{attribute.name} must be a mapping of names of calls to Override(...)")


class SettingsChanges(TypedDict, total=False):
    """What `Client.with_settings` takes, for type checkers; a test compares it with `Settings`."""

    timeout: float
    connect_timeout: float
    retry: RetryPolicy
    timestamp_unit: Literal["ms", "s"]
    signer: Signer
    max_response_bytes: int
    observer: Observer | None
    allow_repeat: bool
    allow_second: bool
    resend_throttled: bool
    settle_after: float
    overrides: Mapping[str, Override]
    codes: Codes
    ssl_context: ssl.SSLContext | None
    proxy: str | None
    trust_env: bool
    allow_plain_http: bool
    allow_inferred: bool
    correct_clock: bool


class SettingsArguments(SettingsChanges, total=False):
    """What `from_env` takes: every setting."""

    base_url: str
    rate: float | None
    adaptive_rate: AdaptiveRate | None
    concurrency: int
    limiter: Limiter | None
    journal: Journal | str | os.PathLike[str]
    vendor_id: str | None
    clock: Clock


@attrs.define(frozen=True, kw_only=True)
class Settings(Options):
    """How calls are made. Frozen; `attrs.evolve` or `Client.with_settings` make changed copies.

    `rate` is calls per second over the whole client (None: unlimited; the vendor names no quota),
    `adaptive_rate` how it gives way to throttles (None: they only pause), `concurrency` how many requests
    may be under way at once, `timeout` the seconds one call may take with all its waits and retries.
    `limiter` shares one quota between clients.
    `journal` is where writes are noted before they are sent: a path, ":memory:", a `Journal`, or
    AUTOMATIC (a file in the user's state directory; in memory towards loopback). `allow_repeat` permits
    what was carried out once to be done again, `allow_second` another refund application for an order line
    while one is open, `resend_throttled` a write again that a throttle refused where no read can tell whether
    it was carried out. `settle_after` is how many seconds a write of unknown outcome must be old before its
    absence is believed. `vendor_id` says which vendor a gateway leads to (default: host and path prefix of
    `base_url`); it belongs to what makes two writes the same. `codes` says what the
    envelope's `code` means. `overrides` correct single calls by name,
    `allow_inferred` permits calls whose path no page shows. `correct_clock` signs with the server's time
    once this machine's clock explains a refused authentication. `ssl_context` is for a CA of your own; one
    that does not check certificates or host names is refused. `proxy` is the url of an HTTP proxy; with
    `trust_env` HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment hold where none is given.
    """

    base_url: str = attrs.field(default="https://api.pandapon.com", converter=_bare_url)
    rate: float | None = attrs.field(default=10.0, validator=_positive_or_none)
    adaptive_rate: AdaptiveRate | None = attrs.field(
        factory=AdaptiveRate, validator=attrs.validators.optional(_a(AdaptiveRate))
    )
    concurrency: int = attrs.field(default=64, validator=_count)
    timeout: float = attrs.field(default=30.0, validator=_positive)
    connect_timeout: float = attrs.field(default=10.0, validator=_positive)
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=_a(RetryPolicy))
    timestamp_unit: Literal["ms", "s"] = attrs.field(default="ms", validator=_one_of("ms", "s"))
    signer: Signer = attrs.field(default=signature, repr=False)
    max_response_bytes: int = attrs.field(default=16 * 1024 * 1024, validator=_count)
    limiter: Limiter | None = attrs.field(default=None, repr=False)
    observer: Observer | None = attrs.field(default=None, repr=False)
    journal: Journal | str | os.PathLike[str] = attrs.field(default=AUTOMATIC, repr=False)
    allow_repeat: bool = attrs.field(default=False, validator=_flag)
    allow_second: bool = attrs.field(default=False, validator=_flag)
    resend_throttled: bool = attrs.field(default=False, validator=_flag)
    vendor_id: str | None = attrs.field(default=None)
    settle_after: float = attrs.field(default=60.0, validator=_positive)
    overrides: Mapping[str, Override] = attrs.field(factory=dict, validator=_overrides)
    codes: Codes = attrs.field(factory=Codes, validator=_a(Codes))
    ssl_context: ssl.SSLContext | None = attrs.field(default=None, repr=False)
    proxy: str | None = attrs.field(default=None, repr=False, validator=_proxy)
    trust_env: bool = attrs.field(default=False, validator=_flag)
    allow_plain_http: bool = attrs.field(default=False, validator=_flag)
    allow_inferred: bool = attrs.field(default=False, validator=_flag)
    correct_clock: bool = attrs.field(default=True, validator=_flag)
    clock: Clock = attrs.field(factory=Clock, repr=False)
    proxy_in_use: str | None = attrs.field(default=None, init=False, repr=False, eq=False)
    """`proxy`, or with `trust_env` the one that the environment names."""

    def __attrs_post_init__(self) -> None:
        context = self.ssl_context
        if context is not None and not (context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname):
            raise ConfigurationError("ssl_context must check certificates and host names")
        try:
            parts = check_base_url(self.base_url)
        except ValueError as error:
            raise ConfigurationError(f"{_named('base_url', self.base_url)} {error}") from None
        object.__setattr__(self, "proxy_in_use", self.proxy or self._environments_proxy(parts))
        if parts.scheme == "http" and not self.allow_plain_http and not is_loopback(self.base_url):
            raise ConfigurationError(
                "base_url is plain http: key and signature would travel in clear. "
                "Use https, or say Settings(allow_plain_http=True)"
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
        """From PANDAPON_BASE_URL, PANDAPON_JOURNAL and PANDAPON_RATE ("none": unlimited); arguments win."""
        values = environment(env_file)
        if (url := values.get("PANDAPON_BASE_URL")) and "base_url" not in settings:
            settings["base_url"] = url
        if (journal := values.get("PANDAPON_JOURNAL")) and "journal" not in settings:
            settings["journal"] = journal
        if (rate := values.get("PANDAPON_RATE")) and "rate" not in settings:
            settings["rate"] = _rate(rate.strip())
        return cls(**settings)


def _rate(text: str) -> float | None:
    if text.lower() == "none":
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) is None:
        raise ConfigurationError("PANDAPON_RATE must be a number of calls per second, such as 20, or none")
    return float(text)


def is_loopback(url: str) -> bool:
    """Whether a url leads to this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
