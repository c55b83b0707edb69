"""Warehouse logistics, second generation; signed in the query like the first."""

from __future__ import annotations

from typing import Final

from pandapon_async.api.v1 import freight as first
from pandapon_async.declare.endpoint import Evidence, Resource, twin

__all__ = ["Freight"]


class Freight(Resource):
    """Estimate and book the way abroad, and say which parcels come to the warehouse."""

    estimate: Final = twin(
        first.Freight.estimate,
        "/v2/open/pp/logistics/itemLogisticsPrice",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121052",
    )
    preview: Final = twin(
        first.Freight.preview,
        "/v2/open/pp/logistics/orderRenderFreight",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121053",
    )
    update_domestic_logistics: Final = twin(
        first.Freight.update_domestic_logistics,
        "/v2/open/pp/logistics/updateLogisticInfo",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121054",
        evidence=Evidence.INFERRED,
    )
    create_international_order: Final = twin(
        first.Freight.create_international_order,
        "/v2/open/pp/logistics/orderBookingFreight",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121055",
        evidence=Evidence.INFERRED,
    )
