"""Receive PandaPon's pushes in a FastAPI service, and hand out refunds as JSON.

    $ pip install pandapon-async fastapi uvicorn
    $ uvicorn --factory fastapi_callbacks:make_app --port 8000

Put https://your.host/pandapon into the vendor's console (message service) and let it verify.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from pandapon_async import Client, Credentials, Settings
from pandapon_async.callbacks import Message, Receiver, RefundChange

log = logging.getLogger(__name__)


def make_app(
    credentials: Credentials | None = None,
    settings: Settings | None = None,
    store: Path = Path("callbacks.sqlite"),
) -> FastAPI:
    """The service; credentials and settings come from the environment unless they are given."""
    credentials = credentials or Credentials.from_env()
    receiver = Receiver(credentials, store=store)
    pandapon = Client(credentials, settings or Settings.from_env())
    refunds: dict[str, str] = {}  # stands for your database

    @receiver.on("1688", "refund")
    async def refund_changed(message: Message) -> None:
        """Called after the vendor has its 200; again, later, if this raises.

        At least once: so write what `message.id` has not written yet, or what may be written twice.
        """
        if not isinstance(message.content, RefundChange) or message.refund_id is None:
            return
        if message.order == "late":
            log.info("refund %s: something newer is known, reading its state instead", message.refund_id)
            return
        refunds[message.refund_id] = str(message.content.current_status)

    @receiver.on()
    def keep(message: Message) -> None:
        """Every message, of any platform and type; a plain function runs in a thread."""
        log.info("%s %s of order %s", message.platform, message.type, message.order_id)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pandapon, receiver:  # opens the store, handles what an earlier process left
            yield

    app = FastAPI(lifespan=lifespan)
    # A route and no mount: a mount answers /pandapon with a redirect to /pandapon/, which nobody follows.
    app.router.routes.append(Route("/pandapon", receiver.asgi_app()))

    @app.get("/refunds/{refund_id}")
    async def refund(refund_id: str) -> dict[str, Any]:
        return {"refund_id": refund_id, "status": refunds.get(refund_id)}

    @app.get("/refunds/{refund_id}/form")
    async def form(refund_id: str) -> dict[str, Any]:
        """The whole form as the platform has it now; `to_dict` leaves personal data out."""
        return (await pandapon.alibaba.refunds.get(refund_id=refund_id)).to_dict()

    return app
