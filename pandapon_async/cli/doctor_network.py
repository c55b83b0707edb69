"""The doctor's checks of the way to the vendor: name, TLS, clock, key."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from urllib.parse import urlsplit

import aiohttp
import attrs

from pandapon_async.api.registry import endpoints
from pandapon_async.calibration import CART, CLOCK_WINDOW
from pandapon_async.cli.doctor_check import Check, DoctorContext
from pandapon_async.client import Client
from pandapon_async.core.clock_skew import Skew, date_of, measure
from pandapon_async.core.outcome import Safety
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    MalformedResponseError,
    NotSentError,
    Outcome,
    PandaponError,
    RateLimitError,
)
from pandapon_async.settings import Override, Settings, is_loopback
from pandapon_async.storage import IN_MEMORY

__all__ = ["clock", "dns", "key", "skew_of", "tls"]

PATIENCE = 10.0  # seconds for each of name, connection and answer


async def dns(context: DoctorContext) -> Check:
    """Check that the host name resolves."""
    host = urlsplit(context.settings.base_url).hostname or ""
    advice = "check the network, the name server and base_url"
    try:
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        return Check("dns", "bad", f"{host}: no answer within {PATIENCE:g} s", advice)
    except (OSError, UnicodeError) as error:
        return Check("dns", "bad", f"{host}: {getattr(error, 'strerror', None) or error}", advice)
    addresses = sorted({str(entry[4][0]) for entry in found})
    return Check("dns", "ok", f"{host} is {', '.join(addresses[:3])}")


async def tls(context: DoctorContext) -> Check:
    """Check that a connection works and is encrypted."""
    if broken := context.failed("dns"):
        return Check("tls", "bad", "not tried: the host has no address", f"see {broken}")
    settings = context.settings
    parts = urlsplit(settings.base_url)
    secure = parts.scheme == "https"
    if not secure and not is_loopback(settings.base_url):
        return Check(
            "tls", "bad", "plain http: key and signature are sent unencrypted", "use https in base_url"
        )
    port = parts.port or (443 if secure else 80)
    ssl_context = None
    if secure:
        ssl_context = settings.ssl_context or await asyncio.to_thread(ssl.create_default_context)
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=ssl_context)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", None) or error.reason or "handshake failed"
        return Check(
            "tls",
            "bad",
            reason,
            "check base_url, intercepting proxies, CA certificates and this machine's clock",
        )
    except (OSError, TimeoutError) as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        advice = (
            "check base_url, firewall and proxy" if secure else "check that the sandbox runs on this port"
        )
        return Check("tls", "bad", f"no connection to port {port} ({reason})", advice)
    agreed = writer.get_extra_info("ssl_object")
    writer.close()
    if agreed is None:
        return Check("tls", "ok", "plain http to this machine")
    return Check("tls", "ok", f"{agreed.version()}, certificate accepted")


async def clock(context: DoctorContext) -> Check:
    """Compare this machine's time with the server's."""
    if broken := context.failed("dns", "tls"):
        return Check("clock", "warning", "not compared: no connection", f"see {broken}")
    try:
        skew = await skew_of(context.settings)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Check(
            "clock", "warning", f"not compared: no answer ({type(error).__name__})", "see dns and tls"
        )
    if skew is None:
        return Check("clock", "warning", "not compared: the answer has no Date", "check NTP yourself")
    found = f"{skew}, give or take {skew.doubt:.1f} s"
    if not skew.matters:
        return Check("clock", "ok", found if abs(skew.seconds) > skew.doubt else "equal to the server's")
    advice = "set this machine's clock (NTP), because signatures contain the time"
    if abs(skew.seconds) < CLOCK_WINDOW:
        return Check("clock", "warning", found, advice)
    if context.settings.correct_clock and skew.believable:
        advice += "; until then calls use the server's time after one was refused"
    return Check("clock", "bad", f"{found}; {CLOCK_WINDOW} s are accepted", advice)


async def skew_of(settings: Settings) -> Skew | None:
    """Measure the clock difference with an unsigned HEAD; None without a Date."""
    times = settings.clock
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        begun = times.now()
        async with session.head(
            settings.base_url,
            allow_redirects=False,
            proxy=settings.proxy,
            ssl=settings.ssl_context or True,
        ) as response:
            received, took = times.wall(), times.now() - begun
            date = date_of(response.headers)
    return None if date is None else measure(date, received - took, received)


async def key(context: DoctorContext) -> Check:
    """Make one signed read, the documented call that needs no id, and report how it was signed and sent."""
    if context.credentials is None:
        return Check("key", "bad", context.without_key, "get them from the vendor's console")
    if broken := context.failed("dns", "tls"):
        return Check("key", "bad", "not tried: no connection", f"see {broken}")
    settings = attrs.evolve(context.settings, timeout=15.0, journal=IN_MEMORY)
    async with Client(context.credentials, settings) as client:
        try:
            response = await client.request("GET", endpoints()[CART].path, safety=Safety.READ).with_response()
        except PandaponError as error:
            return _refused(error)
        finally:
            context.rate = client.statistics.slowed_to
        took = f"{response.seconds * 1000:.0f} ms, request id {response.request_id}; {_reading(settings)}"
        if client.clock_correction:
            return Check(
                "key", "warning", f"accepted with the server's time in the signature, {took}", "see clock"
            )
        return Check("key", "ok", f"accepted, {took}")


def _reading(settings: Settings) -> str:
    """Describe the most important assumptions of the settings about the vendor."""
    vendor = settings.vendor
    override = vendor.overrides.get("alibaba.refunds.get") or Override()
    said = override.arguments is not None
    place = override.arguments or "body"
    return f"timestamps in {vendor.timestamp_unit}; refund ids in the {place}{'' if said else ' (default)'}"


def _refused(error: PandaponError) -> Check:
    if isinstance(error, AuthenticationError):
        said = f" (the vendor says: {error.msg})" if error.msg else ""
        advice = (
            "set this machine's clock"
            if error.clock_skew
            else "check key, secret, user id, clock; `pandapon calibrate` tries both units"
        )
        return Check("key", "bad", f"refused, code {error.code}{said}", advice)
    if isinstance(error, RateLimitError):
        return Check("key", "warning", str(error), "something else uses up the quota; lower PANDAPON_RATE")
    if isinstance(error, ApiError) and error.code is not None and error.outcome is Outcome.ANSWERED:
        found = f"the signature was accepted; the call itself was refused with code {error.code}"
        return Check("key", "ok", found)
    if isinstance(error, ApiError | MalformedResponseError):
        advice = (
            "this may not be PandaPon: check base_url, and whether a proxy or gateway answers in its place"
        )
        return Check("key", "bad", str(error), advice)
    return Check(
        "key", "bad", str(error), "see dns and tls" if isinstance(error, NotSentError) else "try again"
    )
