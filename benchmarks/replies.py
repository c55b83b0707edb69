"""What the canned server answers, and the requests that ask for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

__all__ = ["HEADERS", "REFUND_ID", "REFUND_ID_1688", "REPLIES", "Reply", "refund", "write_replies"]

EXAMPLE = Path(__file__).parent.parent / "tests" / "data" / "pages" / "taobao-reverse-order-cancel.json"
REFUND_ID = "110000235001"
REFUND_ID_1688 = "TQ201808300000001"
LIST_LENGTH = 200

HEADERS = {
    "access-key": "benchmark",
    "timestamp": "1715669977082",
    "nonce-str": "n" * 32,
    "user-id": "1",
    "signature": "S" * 32,
    "Content-Type": "application/json",
}
"""As many bytes of headers as a signed call has, for clients that do not sign."""


@attrs.define(frozen=True)
class Reply:
    """One question and its answer: `body` is what is posted (None: a GET), `data` what comes back."""

    method: str
    path: str
    body: dict[str, Any] | None
    data: Any
    query: str = ""

    @property
    def target(self) -> str:
        """The path with its query."""
        return self.path + self.query

    def envelope(self) -> bytes:
        """The whole answer, as compact as the vendor's."""
        whole = {
            "requestId": "5b950f5f7b064dc889c1a878b5c16234",
            "code": 200,
            "developId": "1021090911993463110",
            "msg": "成功",
            "data": self.data,
            "ok": True,  # what slack_sdk looks for; the others do not mind
        }
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def refund() -> dict[str, Any]:
    """The refund of the vendor's page: 42 fields in 8 objects."""
    data: dict[str, Any] = json.loads(EXAMPLE.read_text("utf-8"))["data"]
    del data["cancelSuccess"]  # of the page's own call, not of a query
    return data


def _replies() -> dict[str, Reply]:
    tiny = {"refundId": REFUND_ID_1688}
    return {
        "tiny": Reply("POST", "/alibaba/refund/info", tiny, tiny),
        "list": Reply(
            "POST",
            "/open/order/refund/queryList",
            {"pageNo": 1, "pageSize": LIST_LENGTH},
            [refund() for _ in range(LIST_LENGTH)],
        ),
        "refund": Reply("GET", "/open/order/refund/query", None, refund(), f"?refundId={REFUND_ID}"),
        "slack": Reply("POST", "/api/refund.info", tiny, tiny),
        "write": Reply("POST", "/alibaba/refund/goods/return", None, {"success": True}),
        "upload": Reply(
            "POST",
            "/v2/alibaba/refund/voucher/upload",
            None,
            {"imageDomain": "https://img.example.com/", "imageRelativeUrl": "/proof/1.png"},
        ),
    }


REPLIES = _replies()


def write_replies(directory: Path, replies: Mapping[str, Reply]) -> list[str]:
    """Put the answers into files; gives the server's arguments."""
    arguments = []
    for name, reply in replies.items():
        file = directory / f"{name}.json"
        file.write_bytes(reply.envelope())
        arguments.append(f"{reply.method} {reply.path}={file}")
    return arguments
