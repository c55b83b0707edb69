"""The checks of urls in the settings: an ambiguous url is refused before anything is sent.

yarl, urllib and servers do not agree on dot segments, brackets and broken escapes: signed headers could go to
another path or host than the settings name.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, unquote, urlsplit

__all__ = ["check_base_url", "check_proxy", "climbs"]

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?\.?", re.ASCII)
_PATH = re.compile(r"(/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?", re.ASCII)


def climbs(path: str) -> bool:
    """Whether a path has a segment . or .., however often it is percent-encoded.

    >>> climbs("/a/%252e%252e/b"), climbs("/a/..b")
    (True, False)
    """
    plain, before = path, ""
    while plain != before:
        plain, before = unquote(plain), plain
    return not {".", ".."}.isdisjoint(re.split(r"[/\\;]", plain))


def check_base_url(url: str) -> SplitResult:
    """Parse a base_url. Raises ValueError, which says what is wrong with it."""
    parts = _parts(url, "must look like https://api.pandapon.com")
    if "@" in parts.netloc:
        raise ValueError("must not carry a user or a password")
    if "?" in url or "#" in url:
        raise ValueError("must not have a query or a fragment")
    if not _PATH.fullmatch(parts.path):
        raise ValueError("has an empty segment, a bad escape or an impossible character in its path")
    if climbs(parts.path):
        raise ValueError("must not have . or .. in its path")
    return parts


def check_proxy(url: str) -> None:
    """Raise ValueError, which says what is wrong, unless this is the url of an HTTP proxy."""
    parts = _parts(url, "must look like http://proxy.example:3128, or be None for no proxy")
    if parts.path not in ("", "/") or "?" in url or "#" in url:
        raise ValueError("must be scheme, host and port only, such as http://proxy.example:3128")


def _parts(url: str, example: str) -> SplitResult:
    # Checked in the text, because urlsplit drops TABs and newlines.
    if not url.isascii() or not url.isprintable() or not set(url).isdisjoint(' "\\<>^`{|}'):
        raise ValueError(example)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(example) from None
    host = parts.hostname or ""
    place = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https") or port == 0 or place.endswith(":"):
        raise ValueError(example)
    if "[" in place or "]" in place:
        if re.fullmatch(r"\[[0-9A-Fa-f:.]+\](:[0-9]+)?", place) is None or not _is_ipv6(host):
            raise ValueError(example)
    elif _HOST.fullmatch(host) is None or ".." in host:
        raise ValueError(example)
    return parts


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
