"""Goods of both platforms, from the catalogue."""

from __future__ import annotations

from typing import Any

import orjson

from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox.catalogue import Product, found_offers, offer_number, product
from pandapon_async.sandbox.handlers.registry import handles
from pandapon_async.sandbox.listing import page_of
from pandapon_async.sandbox.upstream import Upstream
from pandapon_async.sandbox.vouchers import decode_image

__all__: list[str] = []


@handles("alibaba.goods.get")
def get(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One product of 1688 in full; any id is one."""
    one = product(offer_number(arguments["offerId"]))
    named = {"offerId" if endpoint.generation == "v1" else "offerMapId": arguments["offerId"]}
    return {
        **named,
        "categoryId": 1_000_000 + one.salt % 1_000,
        "categoryName": "日用百货",
        "subject": one.subject,
        "subjectTrans": f"Product {one.offer_id}",
        "description": f'<p>{one.subject}</p><img src="{one.image}">',
        "mainVideo": None,
        "detailVideo": None,
        "status": "published",
        "productImage": {"images": [one.image], "whiteImage": one.image},
        "productSkuInfos": [
            {
                "skuId": int(variant.sku_id),
                "specId": variant.spec_id,
                "cargoNumber": None,
                "amountOnSale": one.stock,
                "price": f"{one.price / 100:.2f}",
                "skuAttributes": [{"attributeName": "颜色", "value": variant.colour}],
            }
            for variant in one.variants
        ],
        "sellerOpenId": one.seller,
        "minOrderQuantity": one.minimum,
    }


@handles("alibaba.goods.search")
def search(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """What matches a keyword. Filters, order and bounds of price are taken and change nothing."""
    return _found(endpoint, arguments, "keyword", arguments["keyword"])


@handles("alibaba.goods.search_by_image")
def search_by_image(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """What looks like a picture."""
    decode_image("imageBase64", arguments["imageBase64"])
    return _found(endpoint, arguments, "image", arguments["imageBase64"])


@handles("alibaba.goods.search_in_shop")
def search_in_shop(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """What a shop sells under a keyword; any shop has some."""
    return _found(endpoint, arguments, arguments["sellerOpenId"], arguments["keyword"])


@handles("alibaba.goods.related")
def related(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Products related to one, at most ten a page. The field of the list is inferred."""
    first, total = found_offers("related", str(offer_number(arguments["offerId"])))
    asked = page_of(arguments, largest=10)
    found = [_summary(endpoint, product(number)) for number in asked.run(first, total)]
    return {"total": total, "pageNo": asked.number, "pageSize": asked.size, "list": found}


@handles("alibaba.goods.decrypt_open_uid")
def decrypt_open_uid(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """By its title a url in the first generation and a nickname in the second; no page shows it."""
    salt = product(offer_number(arguments["offerId"])).salt
    return f"https://im.sandbox.invalid/{salt}" if endpoint.generation == "v1" else f"店主{salt}"


@handles("taobao.goods.get")
def get_taobao(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One product of Taobao with its variants; any id is one."""
    return _taobao(arguments["itemId"])


@handles("taobao.goods.get_batch")
def get_batch(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Several products; one in eight cannot be supplied."""
    asked = [query["itemId"] for query in orjson.loads(arguments["params"])]
    missing = [item for item in asked if product(offer_number(item)).salt % 8 == 0]
    return {
        "mpProducts": [_taobao(item) for item in asked if item not in set(missing)],
        "noMpProductItemIds": missing,
        "noMpReasonList": [{"itemId": item, "reason": "item not found"} for item in missing],
    }


@handles("taobao.goods.search")
def search_taobao(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Products that match a keyword, at most 40 a page. The field of the list is inferred."""
    first, total = found_offers("taobao", arguments.get("keyword") or "")
    asked = page_of(arguments, largest=40)
    found = [_taobao(_name(endpoint, product(number))) for number in asked.run(first, total)]
    return {"total": total, "pageNo": asked.number, "pageSize": asked.size, "list": found}


def _found(endpoint: Endpoint, arguments: dict[str, Any], *words: str) -> dict[str, Any]:
    first, total = found_offers(*words)
    asked = page_of(arguments, number="beginPage")
    return {
        "totalRecords": total,
        "totalPage": -(-total // asked.size),
        "pageSize": asked.size,
        "currentPage": asked.number,
        "data": [_summary(endpoint, product(number)) for number in asked.run(first, total)],
    }


def _summary(endpoint: Endpoint, one: Product) -> dict[str, Any]:
    first = endpoint.generation == "v1"
    return {
        "imageUrl": one.image,
        "subject": one.subject,
        "subjectTrans": f"Product {one.offer_id}",
        **({"offerId": int(one.offer_id)} if first else {"offerMapId": one.offer_map_id}),
        "priceInfo": {"price": f"{one.price / 100:.2f}"},
    }


def _name(endpoint: Endpoint, one: Product) -> str:
    return one.offer_id if endpoint.generation == "v1" else one.offer_map_id


def _taobao(item_id: str) -> dict[str, Any]:
    one = product(offer_number(item_id))
    return {
        "itemId": item_id,
        "mpId": str(10**12 + one.salt),
        "title": one.subject,
        "description": f"<p>{one.subject}</p>",
        "categoryId": 50_000_000 + one.salt % 1_000,
        "categoryName": "日用百货",
        "categoryPath": "居家/日用百货",
        "price": one.price,
        "promotionPrice": None,
        "beginAmount": one.minimum,
        "quantity": one.stock,
        "productUnit": "件",
        "picUrls": [one.image],
        "itemType": "HAVE_MATERIAL",
        "status": 1,
        "shopId": 10**8 + one.salt % 10**6,
        "shopName": one.shop,
        "userNick": one.shop,
        "skuList": [
            {
                "skuId": variant.sku_id,
                "mpSkuId": f"9{variant.sku_id}",
                "picUrl": one.image,
                "price": one.price,
                "promotionPrice": None,
                "postFee": 0,
                "quantity": one.stock,
                "status": 1,
                "properties": [
                    {
                        "propId": 1_627_207,
                        "propName": "颜色",
                        "valueId": 28_320 + at,
                        "valueName": variant.colour,
                    }
                ],
            }
            for at, variant in enumerate(one.variants)
        ],
    }
