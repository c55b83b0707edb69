"""One call with a client that another tool generated; run by the Python that has what it needs.

    python generated_call.py FOLDER BASE_URL ACCESS_KEY ACCESS_SECRET USER_ID

FOLDER holds the generated package `generated`. Signs by itself, as a stranger to this project would.
Prints the answer as JSON.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import time
import uuid


def main(folder: str, base_url: str, access_key: str, secret: str, user_id: str) -> None:
    """Ask for the refund reasons of an order."""
    sys.path.insert(0, folder)
    package = importlib.import_module("generated")
    operation = importlib.import_module("generated.api.tag1688_refunds.v1_alibaba_refunds_reasons")
    models = importlib.import_module("generated.models")
    client = package.AuthenticatedClient(
        base_url, token=access_key, prefix="", auth_header_name="access-key", raise_on_unexpected_status=True
    )
    timestamp, nonce = str(round(time.time() * 1000)), uuid.uuid4().hex
    signed = hashlib.md5(f"{access_key}{timestamp}{nonce}{secret}".encode()).hexdigest().upper()
    answer = operation.sync(
        client=client,
        body=models.V1AlibabaRefundsReasonsBody(
            order_id=2542285634920880794,
            order_entry_ids=[2542285634921880794],
            goods_status=models.V1AlibabaRefundsReasonsBodyGoodsStatus("aftersaleBuyerReceived"),
        ),
        timestamp=timestamp,
        nonce_str=nonce,
        user_id=user_id,
        signature=signed,
    )
    print(json.dumps({"type": type(answer).__name__, "answer": answer.to_dict()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
