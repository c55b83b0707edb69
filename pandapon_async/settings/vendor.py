"""The vendor's profile: every answer that its pages leave open, in one object.

The pages do not say whether a timestamp counts milliseconds or seconds, what a code means, or whether the
freight of a refund is part of its amount. Each of these is a field here, with a documented default. The
section `[vendor]` of pandapon.toml and the environment use the same names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

from pandapon_async.core.codes import Codes
from pandapon_async.core.freight import FreightReading
from pandapon_async.core.options import Options
from pandapon_async.core.signing import SIGNERS, Signer, signature
from pandapon_async.core.urls import climbs
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings.checks import choices, count, flag, instance, one_of

if TYPE_CHECKING:
    from pandapon_async.declare.fields import ImageField, TimestampField

__all__ = ["FreightReading", "ImageLimits", "ListFacts", "Override", "QuotaScope", "VendorProfile"]

QuotaScope = Literal["key", "user"]
"""Whether all users of an access key share one quota, or each has its own."""


def signer_of(value: Any) -> Any:
    """Look up a built-in signer by its name; return anything else unchanged."""
    if not isinstance(value, str):
        return value
    if value not in SIGNERS:
        import difflib

        near = difflib.get_close_matches(value, SIGNERS, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(SIGNERS)}"
        raise ConfigurationError(f"signer {value[:40]!r} is not a built-in rule; {hint}")
    return SIGNERS[value]


def _callable(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not callable(value):
        raise ConfigurationError(f"{attribute.name} must be a function, not {type(value).__name__}")


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{str(values)[:40]!r} must be a list of texts")
    return tuple(values)


@attrs.define(frozen=True)
class Override(Options):
    """A correction of one declared call, without a new release."""

    path: str | None = attrs.field(default=None)
    """Replaces the declared path. It begins with one `/`; `{wireName}` is replaced by that argument."""
    arguments: Literal["query", "body"] | None = attrs.field(
        default=None, validator=one_of("query", "body", None)
    )
    """"query" or "body": where all arguments go that are not in the path."""
    signer: Signer | None = attrs.field(
        default=None, repr=False, converter=signer_of, validator=attrs.validators.optional(_callable)
    )
    """A signer for this call alone."""

    def __attrs_post_init__(self) -> None:
        path = self.path
        if path is None:
            return
        if not isinstance(path, str) or not path.startswith("/") or path.startswith("//") or climbs(path):
            raise ConfigurationError("an overriding path must begin with one / and must not contain ..")
        if not path.isascii() or not path.isprintable() or set(path) & set(" ?#\\"):
            raise ConfigurationError("an overriding path must be percent-encoded, without spaces, ? or #")


def _overrides(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(one, Override) for one in value.values()):
        raise ConfigurationError(f"{attribute.name} must map names of calls to Override(...)")


@attrs.define(frozen=True, kw_only=True)
class ImageLimits(Options):
    """Which proof images the vendor accepts. One upstream page says jpg below 1 MB, another allows more."""

    formats: tuple[str, ...] = attrs.field(
        default=("jpeg",), converter=_texts, validator=choices("jpeg", "png", "gif", "bmp", "webp")
    )
    """The formats that are uploaded without a note."""
    noted: tuple[str, ...] = attrs.field(
        default=("png", "gif", "bmp"),
        converter=_texts,
        validator=choices("jpeg", "png", "gif", "bmp", "webp"),
    )
    """The formats that are uploaded with a note, because one of the upstream's pages does not name them."""
    largest_bytes: int = attrs.field(default=999_999, validator=count)
    """The most bytes of an image."""

    def of(self, rule: ImageField) -> ImageField:
        """Return the rule of an image argument with the vendor's limits, if the vendor has any for it."""
        if not rule.of_vendor:
            return rule
        return attrs.evolve(
            rule, maximum_bytes=self.largest_bytes, formats=tuple(dict.fromkeys(self.formats + self.noted))
        )


@attrs.define(frozen=True, kw_only=True)
class ListFacts(Options):
    """What is known about lists of refunds. No page says it: how to ask for them, and what they show."""

    time: Literal["applied", "modified"] | None = attrs.field(
        default=None, validator=one_of("applied", "modified", None)
    )
    """Which time of a refund the window of a list bounds; None: not known."""
    unit: Literal["ms", "s"] = attrs.field(default="ms", validator=one_of("ms", "s"))
    """The unit of the window's bounds."""
    first_page: int = attrs.field(default=1, validator=one_of(0, 1))
    """The number of the first page, 0 or 1."""
    largest_page: int | None = attrs.field(default=None, validator=attrs.validators.optional(count))
    """The most items on a page, whatever size the request asks for; None: not known."""
    items: str | None = attrs.field(default=None, validator=attrs.validators.optional(instance(str)))
    """The field that holds the items; None: the usual names are tried."""
    current: bool = attrs.field(default=False, validator=flag)
    """Whether a list shows the present state of every refund. False: it may lag behind, so `--by-list` uses
    it only for refunds that have ended."""

    def of(self, rule: TimestampField) -> TimestampField:
        """The rule of a bound in the unit of this vendor, if it bounds a list."""
        return attrs.evolve(rule, unit=self.unit) if rule.of_list else rule


@attrs.define(frozen=True, kw_only=True)
class VendorProfile(Options):
    """How this vendor reads, signs, pages and counts, where its pages do not say.

    `Settings(vendor=VendorProfile(timestamp_unit="s"))`; `from_env` and `with_settings` also take a single
    field as `timestamp_unit="s"`.
    """

    signer: Signer = attrs.field(default=signature, repr=False, converter=signer_of, validator=_callable)
    """The rule of the signature: "md5_upper" or "md5_lower"; in Python also
    (access_key, timestamp, nonce, access_secret) -> text."""
    timestamp_unit: Literal["ms", "s"] = attrs.field(default="ms", validator=one_of("ms", "s"))
    """The unit of the signed timestamp."""
    codes: Codes = attrs.field(factory=Codes, validator=instance(Codes))
    """The meaning of the vendor's codes."""
    overrides: Mapping[str, Override] = attrs.field(factory=dict, validator=_overrides)
    """Corrections by name of the call: path, place of the arguments, signer."""
    allow_inferred: bool = attrs.field(default=False, validator=flag)
    """Permits calls whose path is inferred, because no page of the vendor shows it."""
    generation: Literal["v1", "v2"] | None = attrs.field(default=None, validator=one_of("v1", "v2", None))
    """The generation that plain names prefer, if it is documented; None: released first, then newer."""
    freight: FreightReading = attrs.field(default="ask", validator=one_of(*get_args(FreightReading)))
    """Whether a refund's freight is "added" to its amount or "included"; "ask": no reading is assumed."""
    images: ImageLimits = attrs.field(factory=ImageLimits, validator=instance(ImageLimits))
    """Which proof images the vendor accepts."""
    quota_scope: QuotaScope = attrs.field(default="key", validator=one_of(*get_args(QuotaScope)))
    """Whether the quota belongs to the access "key" or to each "user" of it."""
    list: ListFacts = attrs.field(factory=ListFacts, validator=instance(ListFacts))
    """What is known about lists of refunds."""
