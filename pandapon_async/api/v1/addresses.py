"""The account's own addresses, first generation."""

from __future__ import annotations

from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Call, Resource, call
from pandapon_async.declare.fields import IdInteger, NonEmpty

__all__ = ["Addresses"]


class Addresses(Resource):
    """Keep the account's addresses."""

    @call(
        "POST",
        "/open/address/addOrUpdate",
        safety=Safety.ONCE,
        page="https://doc-en.pandapon.com/api-263477669",
    )
    def save(
        self,
        *,
        name: NonEmpty,
        phone: NonEmpty,
        province: NonEmpty,
        city: NonEmpty,
        district: NonEmpty,
        address: NonEmpty,
        id: IdInteger | None = None,
    ) -> Call[None]:
        """Add an address, or with `id` change that one. Never sent twice: a repeat could add a second one.

        `phone` is the receiver's mobile number, `address` the street and house. No data comes back, not
        even the id of a new address.
        """
        ...
