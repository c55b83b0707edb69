"""The two shopping carts of the account.

Nothing that is declared puts anything into 1688's cart, so it begins with a few products; Taobao's begins
empty. What is ordered leaves its cart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs

from pandapon_async.sandbox.catalogue import Product, product, yuan
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.numbering import draws

__all__ = ["Cart1688", "CartEntry", "TaobaoCart", "TaobaoEntry"]

FIRST_ID = 5_000_000_000
_SHOPS = (3, 2, 1, 2)  # products of each shop in the cart as it begins


@attrs.define(frozen=True)
class CartEntry:
    """One product in 1688's cart; one that is not `enabled` can no longer be bought."""

    id: int
    product: Product
    spec_id: str
    shop: str
    shop_name: str
    quantity: int
    enabled: bool = True

    def wire(self, generation: str) -> dict[str, Any]:
        """As the vendor's page shows it; each generation names the product in its own way."""
        bought = self.product
        variant = bought.variant(self.spec_id)
        first = generation == "v1"
        return {
            "id": self.id,
            **({"offerId": int(bought.offer_id)} if first else {"offerMapId": bought.offer_map_id}),
            "specId": variant.spec_id,
            "skuId": variant.sku_id,
            "itemTitle": bought.subject,
            "itemPic": bought.image,
            "price": yuan(bought.price),
            "quantity": self.quantity,
            "amountOnSale": bought.stock,
            "properties": f"颜色:{variant.colour}",
        }


class Cart1688:
    """1688's cart, by shop."""

    def __init__(self, seed: int) -> None:
        self.entries: dict[int, CartEntry] = {entry.id: entry for entry in _beginning(seed)}

    def wire(self, generation: str) -> dict[str, Any]:
        """The whole cart."""
        return {
            "enableList": self._shops(generation, enabled=True),
            "disableList": self._shops(generation, enabled=False),
        }

    def _shops(self, generation: str, *, enabled: bool) -> list[dict[str, Any]]:
        shops: dict[str, dict[str, Any]] = {}
        for entry in self.entries.values():
            if entry.enabled is enabled:
                shop = shops.setdefault(
                    entry.shop,
                    {"sellerOpenId": entry.shop, "sellerNickName": entry.shop_name, "cartItemInfos": []},
                )
                shop["cartItemInfos"].append(entry.wire(generation))
        return list(shops.values())

    def set_quantity(self, entry_id: int, quantity: int) -> None:
        """Set the quantity of an entry."""
        entry = self.entries.get(entry_id)
        if entry is None:
            raise Refusal(404, "cart entry does not exist")
        if not entry.product.minimum <= quantity <= entry.product.stock:
            raise Refusal(400, f"quantity: from {entry.product.minimum} to {entry.product.stock}")
        self.entries[entry_id] = attrs.evolve(entry, quantity=quantity)

    def chosen(self, entry_ids: Iterable[int]) -> list[CartEntry]:
        """The entries that are to be ordered."""
        found = _chosen(self.entries, entry_ids)
        if not all(entry.enabled for entry in found):
            raise Refusal(409, "a cart entry can no longer be bought")
        return found


def _beginning(seed: int) -> Iterable[CartEntry]:
    number = FIRST_ID
    for shop, products in enumerate(_SHOPS):
        draw = draws(seed, "cart", shop)
        for at in range(products):
            bought = product(600_000_000_000 + draw[at])
            variant = bought.variants[draw[5] % len(bought.variants)]
            seller = f"BBB{draw[6]:010d}"
            enabled = shop + 1 < len(_SHOPS)
            quantity = bought.minimum + draw[7] % 20
            yield CartEntry(number, bought, variant.spec_id, seller, bought.shop, quantity, enabled)
            number += 1


@attrs.define(frozen=True)
class TaobaoEntry:
    """One product in Taobao's cart, as the caller described it."""

    id: int
    facts: Mapping[str, Any]


class TaobaoCart:
    """Taobao's cart. Adding a product again adds a second entry: the client must prevent that."""

    def __init__(self) -> None:
        self.entries: dict[int, TaobaoEntry] = {}
        self._next = FIRST_ID

    def add(self, facts: Mapping[str, Any]) -> TaobaoEntry:
        """Put a product into it."""
        if not 1 <= facts["quantity"] <= 1_000_000:
            raise Refusal(400, "quantity: from 1 to 1000000")
        entry = TaobaoEntry(self._next, dict(facts))
        self._next += 1
        self.entries[entry.id] = entry
        return entry

    def chosen(self, entry_ids: Iterable[int]) -> list[TaobaoEntry]:
        """The entries that are to be ordered."""
        return _chosen(self.entries, entry_ids)


Entry = TypeVar("Entry")


def _chosen(entries: Mapping[int, Entry], entry_ids: Iterable[int]) -> list[Entry]:
    found = [entries.get(entry_id) for entry_id in dict.fromkeys(entry_ids)]
    chosen = [entry for entry in found if entry is not None]
    if len(chosen) < len(found):
        raise Refusal(404, "cart entry does not exist")
    if not chosen:
        raise Refusal(400, "names no cart entry")
    return chosen
