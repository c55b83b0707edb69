"""The account's own addresses."""

from __future__ import annotations

from pandapon_async.core.outcome import Safety
from pandapon_async.declare.call import At, Call, Resource, call
from pandapon_async.declare.endpoint import Scope
from pandapon_async.declare.fields import IdInteger, NonEmpty

__all__ = ["Addresses"]


class Addresses(Resource):
    """Manage the account's addresses."""

    @call(
        "POST",
        v1=At("/open/address/addOrUpdate", "https://doc-en.pandapon.com/api-263477669"),
        v2=At("/v2/open/address/addOrUpdate", "https://doc-env2.pandapon.com/api-289121051"),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
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
        """Add an address, or change the one with `id`. Never sent twice: a repeat could add a second one.

        `phone` is the receiver's mobile number, `address` the street and house number. The answer has no
        data, not even the id of a new address.
        """
        ...
