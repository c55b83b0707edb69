"""Send one push to a receiver, signed as by the vendor, and judge the answer."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from pandapon_async.callbacks import CallbackSettings
from pandapon_async.errors import ConfigurationError, InvalidArgumentError, NotSentError
from pandapon_async.sandbox.callbacks import TIMEOUT, message_frame, signature_of
from pandapon_async.settings import Credentials

__all__ = ["advice", "send_push"]

PATIENCE = 10.0
"""Seconds to wait for the answer; the vendor waits one."""


async def send_push(
    url: str,
    credentials: Credentials,
    settings: CallbackSettings,
    *,
    platform: str,
    message_type: str,
    body: Any,
    wrong_signature: bool,
) -> dict[str, Any]:
    """Send one message; return its id, the status and text of the answer, and the seconds it took.

    Raises NotSentError if nothing answers at the url, InvalidArgumentError if it is not one.
    """
    shown = _check_url(url)
    if callable(settings.base):
        raise ConfigurationError('PANDAPON_CALLBACK_BASE must be "key+body", "body" or "either"')
    pushed = message_frame(platform, message_type, body, round(time.time() * 1000))
    signature = signature_of(credentials, pushed, with_key=settings.base != "body")
    if settings.hex_case == "upper":
        signature = signature.upper()
    if wrong_signature:
        signature = signature[::-1]
    headers = {"Authorization": signature, "Content-Type": "application/json"}
    begun = time.perf_counter()
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session,
            session.post(url, data=pushed, headers=headers, allow_redirects=False) as response,
        ):
            text = (await response.content.read(200)).decode("utf-8", "replace").strip()
            status = response.status
    except aiohttp.ClientSSLError:
        raise NotSentError(f"no TLS with {shown}; check its certificate, or write http://") from None
    except ValueError:  # also what aiohttp raises for a URL
        raise InvalidArgumentError(f"{shown} is not a URL of a receiver", argument="URL") from None
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise NotSentError(f"no answer from {shown}; check that the receiver runs there") from None
    return {
        "id": hashlib.sha256(pushed).hexdigest(),
        "type": message_type,
        "status": status,
        "answer": text,
        "seconds": round(time.perf_counter() - begun, 3),
    }


def _check_url(url: str) -> str:
    """Check a receiver's URL and return what a message may show of it: neither a password nor a query."""
    scheme, host, user = "", None, None
    try:
        parts = urlsplit(url)
        scheme, host, user = parts.scheme, parts.hostname, parts.username
    except ValueError:
        pass
    if "@" in url and (user is not None or not host):
        problem = "the URL must name no user: the signature takes the place of a password"
    elif not host or scheme not in ("http", "https"):
        problem = f"{url.partition('?')[0][:80]} is not a URL of a receiver; write http://HOST:PORT/PATH"
    else:
        return url.partition("?")[0][:80]
    raise InvalidArgumentError(problem, argument="URL")


def advice(answer: dict[str, Any]) -> str | None:
    """Return the advice for an answer that makes the vendor send the message again; None for a good one."""
    if answer["status"] == 401:
        return (
            "the receiver refuses the signature; it must have the same PANDAPON_ACCESS_KEY and "
            "PANDAPON_ACCESS_SECRET, and the same PANDAPON_CALLBACK_BASE and PANDAPON_CALLBACK_HEX_CASE"
        )
    if answer["status"] in (404, 405) or 300 <= answer["status"] < 400:
        return f"{answer['status']}: pushes do not arrive at this path; compare it with the receiver's"
    if answer["status"] != 200:
        return f"{answer['status']} is not 200: the vendor would send the message again"
    if answer["seconds"] > TIMEOUT:
        return (
            f"the answer took {answer['seconds']:g} s; the vendor waits {TIMEOUT:g} s and would send the "
            "message again"
        )
    return None
