"""A machine that files refund applications with a shared journal.

    python -m tests.support.shared_writer VENDOR DATABASE COUNT

Every machine wants all of the same applications, each in an order of its own. Prints what became of them.
"""

from __future__ import annotations

import asyncio
import collections
import json
import random
import sys
from typing import Any

from pandapon_async import Client, Credentials, PandaponError, Settings, errors


def application(number: int) -> dict[str, Any]:
    """The refund application for this order."""
    return {
        "order_id": 9_000_000_000_000_000_000 + number,
        "order_entry_ids": [number + 1],
        "dispute_request": "refund",
        "apply_payment": 300,
        "apply_carriage": 0,
        "apply_reason_id": 1,
        "description": "too small",
        "goods_status": "refundWaitSellerSend",
    }


async def main(vendor: str, database: str, count: int) -> None:
    shared: Any = database
    settings = Settings(base_url=vendor, rate=500.0, concurrency=16, timeout=20.0, shared=shared)
    ended: collections.Counter[str] = collections.Counter()
    numbers = list(range(count))
    random.shuffle(numbers)
    async with Client(Credentials("key", "secret", "1"), settings) as pandapon:
        few_at_once = asyncio.Semaphore(4)

        async def apply(number: int) -> None:
            async with few_at_once:
                for _ in range(100):
                    how = await once(number)
                    if how != "JournalUnavailableError":  # then nothing was sent
                        break
                    await asyncio.sleep(0.2)
            ended[how] += 1

        async def once(number: int) -> str:
            try:
                await pandapon.alibaba.refunds.create(**application(number))
            except errors.DuplicateIntentError as error:
                return f"refused, {error.state}"
            except PandaponError as error:
                return type(error).__name__
            return "done"

        await asyncio.gather(*map(apply, numbers))
    print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
