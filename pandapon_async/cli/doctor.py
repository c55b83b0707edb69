"""`pandapon doctor`: why does it not work? Each check says what it saw and what to do about it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import platform
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import aiohttp
import attrs
import typer
from rich.console import Console
from rich.table import Table

from pandapon_async.client import Client
from pandapon_async.endpoint import Safety
from pandapon_async.errors import ApiError, AuthenticationFailed, PandaponError
from pandapon_async.settings import Credentials, Settings, is_loopback
from pandapon_async.transport.journal import IN_MEMORY
from pandapon_async.transport.store import IntentState

__all__ = ["doctor"]

CLOCK_WINDOW = 600  # seconds the vendor accepts
CLOCK_WARNING = 30
DISK_WARNING = 100 * 1024 * 1024


@attrs.define
class Check:
    """One finding: `state` is "ok", "warning" or "bad"; `advice` is what to do, if anything."""

    name: str
    state: str
    found: str
    advice: str = ""


def doctor(
    base_url: Annotated[str | None, typer.Option(help="Another PandaPon, such as a sandbox.")] = None,
    online: Annotated[bool, typer.Option(help="Also make one signed call (a read).")] = True,
) -> None:
    """Check clock, network, TLS, key, quota, journal, disk and versions; say what to do."""
    given = {} if base_url is None else {"base_url": base_url}
    settings = Settings.from_env(**given)
    checks = asyncio.run(_examine(settings, online))
    if sys.stdout.isatty():
        _show(checks)
    else:
        for check in checks:
            sys.stdout.write(json.dumps(attrs.asdict(check), ensure_ascii=False) + "\n")
    raise typer.Exit(1 if any(check.state == "bad" for check in checks) else 0)


async def _examine(settings: Settings, online: bool) -> list[Check]:
    steps: list[Callable[[Settings], Awaitable[Check]]] = [_versions, _dns, _tls, _clock]
    if online:
        steps.append(_key)
    steps += [_rate, _journal, _disk]
    return [await step(settings) for step in steps]


async def _versions(_: Settings) -> Check:
    names = ("pandapon-async", "aiohttp", "attrs", "cattrs", "orjson")
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return Check("versions", "ok", f"Python {platform.python_version()}, {found}")


async def _dns(settings: Settings) -> Check:
    host = urlsplit(settings.base_url).hostname or ""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return Check("dns", "bad", f"{host}: {error.strerror}", "check the network and base_url")
    addresses = sorted({str(entry[4][0]) for entry in found})
    return Check("dns", "ok", f"{host} is {', '.join(addresses[:3])}")


async def _tls(settings: Settings) -> Check:
    parts = urlsplit(settings.base_url)
    if parts.scheme == "http":
        if is_loopback(settings.base_url):
            return Check("tls", "ok", "plain http towards this machine itself")
        return Check("tls", "bad", "plain http: key and signature travel in clear", "use https in base_url")
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(parts.hostname, parts.port or 443, ssl=ssl.create_default_context()), 10
        )
    except ssl.SSLError as error:
        return Check(
            "tls", "bad", error.reason or "handshake failed", "check base_url, proxies, CA certificates"
        )
    except (OSError, TimeoutError) as error:
        return Check("tls", "bad", f"no connection ({type(error).__name__})", "check network and firewall")
    version = writer.get_extra_info("ssl_object").version()
    writer.close()
    return Check("tls", "ok", f"{version}, certificate accepted")


async def _clock(settings: Settings) -> Check:
    advice = "set this machine's clock (NTP): signatures carry the time"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.head(settings.base_url, allow_redirects=False, proxy=settings.proxy) as response,
        ):
            begun = time.time()
            date = response.headers.get("Date")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Check(
            "clock", "warning", f"not compared: no answer ({type(error).__name__})", "see dns and tls"
        )
    if date is None:
        return Check("clock", "warning", "not compared: the answer had no Date")
    try:
        skew = begun - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return Check("clock", "warning", "not compared: the answer's Date is no date")
    found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server"
    if abs(skew) >= CLOCK_WINDOW:
        return Check("clock", "bad", f"{found}; {CLOCK_WINDOW} s are accepted", advice)
    return Check(
        "clock", "warning" if abs(skew) >= CLOCK_WARNING else "ok", found, advice if abs(skew) > 30 else ""
    )


async def _key(settings: Settings) -> Check:
    """One signed read of the cheapest kind: a page of one reverse order."""
    try:
        credentials = Credentials.from_env()
    except PandaponError as error:
        return Check("key", "bad", str(error))
    settings = attrs.evolve(settings, timeout=15.0, journal=IN_MEMORY)
    async with Client(credentials, settings) as client:
        try:
            response = await client.request(
                "POST", "/open/order/refund/queryList", json={"pageNo": 1, "pageSize": 1}, safety=Safety.READ
            ).with_response()
        except AuthenticationFailed as error:
            said = f" (the vendor says: {error.msg})" if error.msg else ""
            return Check(
                "key", "bad", f"refused, code {error.code}{said}", "check key, secret, user id, clock"
            )
        except ApiError as error:
            return Check(
                "key", "ok", f"signed and understood; the call itself was refused with code {error.code}"
            )
        except PandaponError as error:
            return Check("key", "bad", str(error), "see dns, tls and clock")
    return Check("key", "ok", f"accepted, {response.seconds * 1000:.0f} ms, request id {response.request_id}")


async def _rate(settings: Settings) -> Check:
    if settings.rate is None:
        return Check("rate", "warning", "no limit", "set PANDAPON_RATE unless this is a sandbox")
    return Check("rate", "ok", f"{settings.rate:g} calls a second, {settings.concurrency} at once")


async def _journal(settings: Settings) -> Check:
    try:
        client = Client(Credentials.from_env(), settings)
        path = client.journal.path
        if path != IN_MEMORY and not await asyncio.to_thread(Path(path).is_file):
            return Check("journal", "ok", f"{path}: made with the first write")
        counts = await client.journal.counts()
        await client.aclose()
    except PandaponError as error:
        return Check("journal", "bad", str(error), "choose another place with PANDAPON_JOURNAL")
    unknown = counts.get(IntentState.UNKNOWN, 0)
    found = f"{path}: {sum(counts.values())} writes, {unknown} of unknown outcome"
    advice = "run `pandapon journal resolve --all`" if unknown else ""
    return Check("journal", "warning" if unknown else "ok", found, advice)


async def _disk(_: Settings) -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    state = "ok" if free > DISK_WARNING else "warning"
    return Check("disk", state, f"{free / 2**30:.1f} GiB free here", "" if state == "ok" else "make room")


def _show(checks: list[Check]) -> None:
    colours = {"ok": "green", "warning": "yellow", "bad": "red"}
    table = Table(show_edge=False)
    for column in ("check", "", "found", "what to do"):
        table.add_column(column)
    for check in checks:
        table.add_row(check.name, f"[{colours[check.state]}]{check.state}[/]", check.found, check.advice)
    Console().print(table)
