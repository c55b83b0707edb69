"""TLS for real: what a certificate has to be before a key is shown to a server."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from pandapon_async import ConfigurationError, NotSentError, RetryPolicy, Settings
from pandapon_async.errors import Outcome
from tests.support.clients import REFUND, client

BODY = b'{"requestId":"r","code":200,"developId":1,"msg":"ok","data":{"refundId":"' + REFUND.encode() + b'"}}'


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@asynccontextmanager
async def serving(certificate: trustme.LeafCert) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A TLS server that answers everything with one refund; gives its port and what it was sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heard.append(head)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(BODY), BODY)
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def test_a_certificate_of_a_trusted_authority_is_accepted() -> None:
    authority = trustme.CA()
    async with (
        serving(authority.issue_cert("localhost")) as (port, heard),
        client(f"https://localhost:{port}", ssl_context=trusting(authority)) as pandapon,
    ):
        assert (await pandapon.v1.alibaba.refunds.get(refund_id=REFUND)).refund_id == REFUND
        assert len(heard) == 1


LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize("fault", ["another name", "expired", "unknown authority"])
async def test_a_bad_certificate_is_refused_before_anything_is_sent(fault: str) -> None:
    authority = trustme.CA()
    name = "elsewhere.invalid" if fault == "another name" else "localhost"
    expiry = LONG_AGO if fault == "expired" else None
    trusted = trustme.CA() if fault == "unknown authority" else authority
    async with (
        serving(authority.issue_cert(name, not_after=expiry, not_before=LONG_AGO if expiry else None)) as (
            port,
            heard,
        ),
        client(
            f"https://localhost:{port}", ssl_context=trusting(trusted), retry=RetryPolicy(attempts=3)
        ) as pandapon,
    ):
        for call in (
            pandapon.v1.alibaba.refunds.get(refund_id=REFUND),
            pandapon.v1.taobao.refunds.cancel(refund_id="110000235001"),
        ):
            with pytest.raises(NotSentError, match="TLS") as caught:
                await call
            assert caught.value.outcome is Outcome.NOT_SENT
            assert caught.value.attempts == 1  # it will not get better by asking again
        assert heard == []


def test_checking_cannot_be_switched_off() -> None:
    careless = ssl.create_default_context()
    careless.check_hostname = False
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    for context in (careless, blind):
        with pytest.raises(ConfigurationError, match="must check"):
            Settings(ssl_context=context)


def test_plain_http_is_for_this_machine_alone() -> None:
    with pytest.raises(ConfigurationError, match="plain http"):
        Settings(base_url="http://pandapon.example")
    assert Settings(base_url="http://pandapon.example", allow_plain_http=True)
    assert Settings(base_url="http://127.0.0.1:8080")
