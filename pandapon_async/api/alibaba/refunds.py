"""1688 after-sales."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pandapon_async.core.outcome import Safety
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.call import At, Call, Resource, call
from pandapon_async.declare.endpoint import Evidence, Scope
from pandapon_async.declare.fields import (
    EnumField,
    FenField,
    IntegerField,
    ListField,
    OrderEntryIds,
    OrderIdInteger,
    Reference,
    RefundId1688,
    TextField,
    VoucherImage,
)
from pandapon_async.models.alibaba.refunds import (
    CreatedRefund,
    DisputeRequest,
    GoodsStatus,
    OrderEntryCount,
    Refund,
    RefundReason,
    SubmittedReturn,
    Voucher,
)
from pandapon_async.money import Fen

__all__ = ["Refunds"]

GoodsStatusArgument = Annotated[
    GoodsStatus
    | Literal[
        "refundWaitSellerSend",
        "refundWaitBuyerReceive",
        "refundBuyerReceived",
        "aftersaleBuyerNotReceived",
        "aftersaleBuyerReceived",
    ],
    EnumField(GoodsStatus),
]


class Refunds(Resource):
    """Read reasons, upload proof images, open refund forms, follow them, send goods back."""

    @call(
        "POST",
        v1=At("/alibaba/refund/info", "https://doc-vnm.pandapon.com/api-250496578"),
        v2=At(
            "/v2/alibaba/refund/info",
            "https://doc-env2.pandapon.com/api-289121044",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.READ,
        place_known=False,
    )
    def get(self, *, refund_id: RefundId1688) -> Call[Refund]:
        """Read one refund form in full.

        One page of the vendor puts the id into the query of the POST, another one into the body, and neither
        has a date. The client uses the body; if the vendor then finds nothing, it tries the query once in its
        life. `VendorProfile(overrides={"alibaba.refunds.get": Override(arguments="query")})` sets the query.
        The fields of the answer are only partly known, see `Refund`.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/refund/reason/list", "https://doc-en.pandapon.com/api-263477654"),
        v2=At(
            "/v2/alibaba/refund/reason/list",
            "https://doc-env2.pandapon.com/api-289121045",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.READ,
    )
    def reasons(
        self,
        *,
        order_id: OrderIdInteger,
        order_entry_ids: OrderEntryIds,
        goods_status: GoodsStatusArgument,
    ) -> Call[list[RefundReason]]:
        """Read the reasons that the seller accepts for these order lines; `create` needs the id of one.

        `order_entry_ids` are the lines (sub-orders) to refund. A reason states whether a voucher is required;
        `no_refund_carriage=True` means that freight is NOT refundable.
        """
        ...

    @call(
        "POST",
        v1=At(
            "/alibaba/refund/voucher/upload",
            "https://doc-en.pandapon.com/api-263477655",
            evidence=Evidence.INFERRED,
        ),
        v2=At("/v2/alibaba/refund/voucher/upload", "https://doc-env2.pandapon.com/api-289121046"),
        safety=Safety.REPEATABLE,
        confirmed_by="imageRelativeUrl",
    )
    def upload_voucher(self, *, image: VoucherImage) -> Call[Voucher]:
        """Upload one proof image; the result's `.url` goes into `vouchers` of the other calls.

        `image` is bytes, a path or a binary file. The upstream's page of this call allows jpg below 1 MB;
        another page also allows png, gif and bmp. The client accepts all four, recognised by their first
        bytes, below 1,000,000 bytes; `VendorProfile(images=...)` changes that. The image is encoded when its
        turn comes. A repeat only leaves an unused image, so the client retries after a lost answer.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/refund/detail/create", "https://doc-en.pandapon.com/api-263477656"),
        v2=At("/v2/alibaba/refund/detail/create", "https://doc-env2.pandapon.com/api-289121047"),
        safety=Safety.ONCE,
        confirmed_by="refundId",
        unclear_codes=("5100",),
        key=(
            "orderId",
            "orderEntryIds",
            "disputeRequest",
            "applyPayment",
            "applyCarriage",
            "applyReasonId",
            "goodsStatus",
        ),
        scope=Scope.PLATFORM,
        subjects=("orderId", "orderEntryIds"),
    )
    def create(
        self,
        *,
        order_id: OrderIdInteger,
        order_entry_ids: OrderEntryIds,
        dispute_request: Annotated[
            DisputeRequest | Literal["refund", "returnRefund"], EnumField(DisputeRequest)
        ],
        apply_payment: Annotated[Fen | int, FenField()],
        apply_carriage: Annotated[Fen | int, FenField()],
        apply_reason_id: Annotated[int, IntegerField(1)],
        description: Annotated[str, TextField(2, 150)],
        goods_status: GoodsStatusArgument,
        vouchers: Annotated[Iterable[str] | None, ListField(TextField(), 1, 5)] = None,
        order_entry_count_list: Annotated[
            Iterable[OrderEntryCount] | None, ListField(ObjectField(OrderEntryCount))
        ] = None,
    ) -> Call[CreatedRefund]:
        """Open a refund form: refund only, or return and refund. This client never sends it twice.

        Amounts are fen and sent unchanged. `apply_payment` is at most the amount paid, and exactly that
        amount until the seller has shipped. `apply_carriage` is the freight, 0 if the reason excludes it. No
        page says whether it is included in `apply_payment` or added to it; other programs add it. `vouchers`
        are 1 to 5 urls of uploaded images. `order_entry_count_list` limits the pieces per line; by default
        all.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/refund/goods/return", "https://doc-en.pandapon.com/api-263477657"),
        v2=At(
            "/v2/alibaba/refund/goods/return",
            "https://doc-env2.pandapon.com/api-289121048",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.CHECKED,
        confirmed_by="success",
        unclear_codes=("5001", "5002", "5003"),
        authorisation_codes=("4001",),
        later_codes=("4004",),
        key=("refundId",),
        facts=("freightBill", "logisticsCompanyNo"),
        scope=Scope.PLATFORM,
    )
    def return_goods(
        self,
        *,
        refund_id: RefundId1688,
        logistics_company_no: Reference,
        freight_bill: Reference,
        description: Annotated[str | None, TextField(2, 200)] = None,
        vouchers: Annotated[Iterable[str] | None, ListField(TextField(), 1, 10)] = None,
    ) -> Call[SubmittedReturn]:
        """Report to the seller that the goods are on their way back.

        `logistics_company_no` is the carrier's number in the vendor's list, `freight_bill` the waybill.
        `vouchers` are urls of uploaded images; without them no later claim is possible. A refusal by the
        platform raises `RejectedError` with its `error_code`; 4004 (the waybill is not valid or could not be
        checked) raises `TryLaterError`, 4001 (a new authorisation is needed) raises `AuthenticationError`.
        """
        ...
