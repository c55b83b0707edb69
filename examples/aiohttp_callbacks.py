"""Receive PandaPon's pushes in an aiohttp service, and let refund messages settle lost creates.

    $ pip install pandapon-async
    $ python aiohttp_callbacks.py

Put https://your.host/pandapon into the vendor's console (message service) and let it verify.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from pandapon_async import Client, Credentials, Settings
from pandapon_async.callbacks import CallbackSettings, Message, Receiver
from pandapon_async.journal import journal_settler

REFUNDS: web.AppKey[dict[str, str]] = web.AppKey("refunds", dict)


def make_app(
    credentials: Credentials, settings: Settings, store: Path = Path("callbacks.sqlite")
) -> web.Application:
    """The service: pushes under /pandapon, and the client that the rest of it uses."""
    # Two seconds for earlier messages of the same refund to come in: then they are handled in their order.
    receiver = Receiver(credentials, CallbackSettings(order_window=2.0), store=store)
    pandapon = Client(credentials, settings)
    refunds: dict[str, str] = {}  # stands for your database

    # A create whose answer was lost stands as "unknown" in the client's journal: the vendor's message
    # about the new form is what tells that it landed.
    receiver.on("1688", "refund")(journal_settler(pandapon))

    @receiver.on("*", "refund")
    async def refund_changed(message: Message) -> None:
        """Read the state rather than believe the message: no order is promised, and messages get lost."""
        if message.platform == "1688" and message.refund_id is not None:
            refund = await pandapon.alibaba.refunds.get(refund_id=message.refund_id)
            refunds[message.refund_id] = str(refund.status)

    async def client(_: web.Application) -> AsyncIterator[None]:
        async with pandapon:
            yield

    async def form(request: web.Request) -> web.Response:
        """The whole form as the platform has it now; `to_json` leaves personal data out."""
        refund = await pandapon.alibaba.refunds.get(refund_id=request.match_info["refund_id"])
        return web.json_response(text=refund.to_json())

    app = web.Application()
    app.router.add_get("/refunds/{refund_id}/form", form)
    app[REFUNDS] = refunds
    app.cleanup_ctx.append(client)
    app.add_subapp("/pandapon", receiver.aiohttp_app())  # starts and closes the receiver
    return app


if __name__ == "__main__":
    web.run_app(make_app(Credentials.from_env(), Settings.from_env()), port=8000)
