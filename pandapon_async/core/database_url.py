"""The address of the shared database: parsed once, strictly, and shown without its password.

A driver accepts more than the user meant: it sends a misspelt option to the server as a setting, and
`sslmode=prefer` silently falls back to an unencrypted connection. Its errors may hold the whole address,
password included. So this module parses the address and refuses an unknown option by its name.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, Literal, get_args
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

__all__ = ["DatabaseUrl", "TlsMode", "is_database_address"]

TlsMode = Literal["disable", "require", "verify-ca", "verify-full"]
"""The level of TLS: none, encryption only, a trusted certificate, a trusted certificate for this host."""

EXAMPLE: Final = "must look like postgresql://user@db.example:5432/database"
_OPTIONS: Final = frozenset({"host", "port", "sslmode", "sslrootcert"})
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?", re.ASCII)


def is_database_address(file: object) -> bool:
    """Whether what was given as a file is an address, which may hold a password: a message must not show it.

    A `Path` of it has one slash less.
    """
    return re.match("postgres(ql)?:/", str(file), re.IGNORECASE) is not None


class DatabaseUrl:
    """The address of a PostgreSQL database and the user that connects to it.

    Not an attrs class: `attrs.asdict` and everything that lists fields would reveal the password.
    """

    __slots__ = ("__text", "database", "host", "port", "root_certificate", "tls", "user")

    def __init__(self, text: str) -> None:
        parts, options = _taken_apart(text)
        self.__text = text
        self.host: str = _host(unquote(parts.hostname or "") or options.get("host", ""))
        """A host, or the folder of a unix socket."""
        self.port: int = parts.port or _port(options.get("port", "5432"))
        self.user: str | None = unquote(parts.username) if parts.username else None
        """None: PGUSER or the name of the system's user."""
        self.database: str | None = unquote(parts.path.lstrip("/")) or None
        """None: the database with the user's name."""
        self.tls: TlsMode = _mode(options.get("sslmode", "disable" if self.local else "verify-full"))
        self.root_certificate: str | None = options.get("sslrootcert")
        """The file with the authority of the server's certificate; None: the system's authorities."""

    @property
    def password(self) -> str | None:
        """None: PGPASSWORD, or the password file of PostgreSQL."""
        found = urlsplit(self.__text).password
        return unquote(found) if found else None

    @property
    def local(self) -> bool:
        """Whether the connection stays on this machine."""
        return self.host.startswith("/") or _is_loopback(self.host)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatabaseUrl) and self.__text == other.__text

    def __hash__(self) -> int:
        return hash(self.__text)

    def __reduce__(self) -> tuple[type[DatabaseUrl], tuple[str]]:
        return DatabaseUrl, (self.__text,)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        if self.host.startswith("/"):
            return f"postgresql://{user}/{self.database or ''}?host={self.host}&port={self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{user}{host}:{self.port}/{self.database or ''}"

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


def _taken_apart(text: str) -> tuple[SplitResult, dict[str, str]]:
    """Parse an address and its options. Raises ValueError, which never quotes a password."""
    if not text.isprintable() or " " in text or "://" not in text:
        raise ValueError(EXAMPLE)
    try:
        parts = urlsplit(text)
        zero = parts.port == 0
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        zero, parts, options = True, SplitResult("", "", "", "", ""), {}
    if zero or parts.scheme not in ("postgresql", "postgres") or parts.fragment:
        raise ValueError(EXAMPLE)
    if unknown := sorted(options.keys() - _OPTIONS):
        raise ValueError(f"has the option {unknown[0][:40]!r}; known: {', '.join(sorted(_OPTIONS))}")
    return parts, options


def _mode(text: str) -> TlsMode:
    for mode in get_args(TlsMode):
        if mode == text:
            return mode  # type: ignore[no-any-return]
    raise ValueError(f"has sslmode={text[:20]}; write one of {', '.join(get_args(TlsMode))}")


def _host(text: str) -> str:
    if not text:
        raise ValueError(f"names no host; it {EXAMPLE}, or for a socket postgresql:///database?host=/FOLDER")
    if "," in text:
        raise ValueError("names several hosts; write the one name that leads to the current primary")
    if not text.startswith("/") and _HOST.fullmatch(text) is None and not _is_address(text):
        raise ValueError(EXAMPLE)
    return text


def _port(text: str) -> int:
    if re.fullmatch("[0-9]{1,5}", text, re.ASCII) is None or not 0 < int(text) < 65_536:
        raise ValueError(EXAMPLE)
    return int(text)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
