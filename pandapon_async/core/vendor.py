"""The vendor behind a base_url: two spellings of one address must mean the same vendor.

Otherwise the journal would not recognise a repeated write. The scheme, a default port, a trailing dot and the
case of the host do not matter. A path prefix does, because a gateway may lead to several vendors. All names
of this machine count as one.
"""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["vendor_id", "vendor_of"]

_PORTS = {"http": 80, "https": 443}
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


def vendor_id(base_url: str) -> str:
    """Return the host in lower case, the port unless it is the default, and the path prefix.

    >>> vendor_id("https://API.PandaPon.com.:443/"), vendor_id("http://127.0.0.1:8080/v/")
    ('api.pandapon.com', 'localhost:8080/v')
    """
    parts = urlsplit(base_url)
    host = (parts.hostname or "").rstrip(".")
    if not host.isascii():
        host = host.encode("idna").decode()
    if host in _THIS_MACHINE:
        host = "localhost"
    elif ":" in host:
        host = f"[{host}]"
    port = "" if parts.port in (None, _PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{host}{port}{parts.path.rstrip('/')}"


def vendor_of(given: str | None, base_url: str) -> str:
    """Return the vendor that is asked: the one that the settings name, else the one behind the base url."""
    return given or vendor_id(base_url)
