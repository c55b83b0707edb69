"""The account's own addresses, second generation."""

from __future__ import annotations

from typing import Final

from pandapon_async.api.v1 import addresses as first
from pandapon_async.declare.endpoint import Resource, twin

__all__ = ["Addresses"]


class Addresses(Resource):
    """Keep the account's addresses."""

    save: Final = twin(
        first.Addresses.save,
        "/v2/open/address/addOrUpdate",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121051",
    )
