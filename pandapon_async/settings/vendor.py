"""What the vendor leaves undocumented, in one object: how this vendor reads, signs, pages and counts.

The pages do not say whether a timestamp counts milliseconds or seconds, what a code means, or whether the
freight of a refund is part of its amount. Each is a field here, with a documented default. The same names
stand in the section `[vendor]` of pandapon.toml and in the environment.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import attrs

from pandapon_async.core.codes import Codes
from pandapon_async.core.freight import FreightReading
from pandapon_async.core.options import Options
from pandapon_async.core.signing import SIGNERS, Signer, signature
from pandapon_async.core.urls import climbs
from pandapon_async.declare.fields import ImageField
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings.checks import choices, count, flag, instance, one_of

__all__ = ["FreightReading", "ImageLimits", "ListFacts", "Override", "QuotaScope", "VendorProfile"]

QuotaScope = Literal["key", "user"]
"""Whether all users of an access key share its quota, or each has one."""


def signer_of(value: Any) -> Any:
    """A built-in signer by its name; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value not in SIGNERS:
        near = difflib.get_close_matches(value, SIGNERS, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(SIGNERS)}"
        raise ConfigurationError(f"signer has no built-in rule {value[:40]!r}; {hint}")
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
    """A correction to one declared call, without a new release."""

    path: str | None = attrs.field(default=None)
    """Replaces the declared path; begins with one `/`; `{wireName}` takes an argument."""
    arguments: Literal["query", "body"] | None = attrs.field(
        default=None, validator=one_of("query", "body", None)
    )
    """"query" or "body": sends all arguments there that are not in the path."""
    signer: Signer | None = attrs.field(
        default=None, repr=False, converter=signer_of, validator=attrs.validators.optional(_callable)
    )
    """Signs this call in its own way."""

    def __attrs_post_init__(self) -> None:
        path = self.path
        if path is None:
            return
        if not isinstance(path, str) or not path.startswith("/") or path.startswith("//") or climbs(path):
            raise ConfigurationError("an overriding path begins with one / and does not climb with ..")
        if not path.isascii() or not path.isprintable() or set(path) & set(" ?#\\"):
            raise ConfigurationError("an overriding path has no blanks, ? or #, and is percent-encoded")


def _overrides(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(one, Override) for one in value.values()):
        raise ConfigurationError(f"{attribute.name} must be a mapping of names of calls to Override(...)")


@attrs.define(frozen=True, kw_only=True)
class ImageLimits(Options):
    """Which proof images the vendor takes. The upstream's page says jpg below 1 MB; another one says more."""

    formats: tuple[str, ...] = attrs.field(
        default=("jpeg",), converter=_texts, validator=choices("jpeg", "png", "gif", "bmp", "webp")
    )
    """Formats that are uploaded."""
    noted: tuple[str, ...] = attrs.field(
        default=("png", "gif", "bmp"),
        converter=_texts,
        validator=choices("jpeg", "png", "gif", "bmp", "webp"),
    )
    """Formats that are uploaded as well, with a note: one page of the upstream does not name them."""
    largest_bytes: int = attrs.field(default=999_999, validator=count)
    """Bytes of the largest image."""

    def of(self, rule: ImageField) -> ImageField:
        """The rule of an image with these limits, if the vendor has any for it."""
        if not rule.of_vendor:
            return rule
        return attrs.evolve(
            rule, maximum_bytes=self.largest_bytes, formats=tuple(dict.fromkeys(self.formats + self.noted))
        )


@attrs.define(frozen=True, kw_only=True)
class ListFacts(Options):
    """What is known of lists of refunds. `pages` uses `first_page`; a sandbox plays the others."""

    time: Literal["applied", "modified"] | None = attrs.field(
        default=None, validator=one_of("applied", "modified", None)
    )
    """Which moment the window of a list bounds; None: not known."""
    unit: Literal["ms", "s"] = attrs.field(default="ms", validator=one_of("ms", "s"))
    """What the bounds of the window count in."""
    first_page: int = attrs.field(default=1, validator=one_of(0, 1))
    """The number of the first page, 0 or 1."""
    largest_page: int | None = attrs.field(default=None, validator=attrs.validators.optional(count))
    """The most items that a page holds, whatever is asked for; None: not known."""
    items: str | None = attrs.field(default=None, validator=attrs.validators.optional(instance(str)))
    """The field that the items stand in; None: the usual names are tried."""


@attrs.define(frozen=True, kw_only=True)
class VendorProfile(Options):
    """How this vendor reads, signs, pages and counts, where no page says it.

    `Settings(vendor=VendorProfile(timestamp_unit="s"))`; `from_env` and `with_settings` take a single field
    as `timestamp_unit="s"`, too.
    """

    signer: Signer = attrs.field(default=signature, repr=False, converter=signer_of, validator=_callable)
    """The rule of the signature: "md5_upper" or "md5_lower"; in Python also
    (access_key, timestamp, nonce, access_secret) -> text."""
    timestamp_unit: Literal["ms", "s"] = attrs.field(default="ms", validator=one_of("ms", "s"))
    """What the signed timestamp counts in."""
    codes: Codes = attrs.field(factory=Codes, validator=instance(Codes))
    """What the vendor's codes mean."""
    overrides: Mapping[str, Override] = attrs.field(factory=dict, validator=_overrides)
    """Corrections of single calls by name: path, place of the arguments, signer."""
    allow_inferred: bool = attrs.field(default=False, validator=flag)
    """Permits calls whose path no page shows."""
    generation: Literal["v1", "v2"] | None = attrs.field(default=None, validator=one_of("v1", "v2", None))
    """The generation of the API that plain names prefer where both are documented; None: the one released,
    then the newer one."""
    freight: FreightReading = attrs.field(default="ask", validator=one_of(*get_args(FreightReading)))
    """Whether a refund's freight is "added" to its amount or "included" in it; "ask" judges neither."""
    images: ImageLimits = attrs.field(factory=ImageLimits, validator=instance(ImageLimits))
    """Which proof images the vendor takes."""
    quota_scope: QuotaScope = attrs.field(default="key", validator=one_of(*get_args(QuotaScope)))
    """Whether the quota belongs to the access "key" or to each "user" of it."""
    list: ListFacts = attrs.field(factory=ListFacts, validator=instance(ListFacts))
    """What is known of lists of refunds."""
