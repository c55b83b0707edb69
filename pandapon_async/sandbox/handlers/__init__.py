"""What the declared calls do here, by name, in rooms like those of the API; both generations share them."""

from pandapon_async.sandbox.handlers import account, carts, goods, orders, refunds, taobao
from pandapon_async.sandbox.handlers.registry import HANDLERS, Handler, handles

__all__ = ["HANDLERS", "Handler", "account", "carts", "goods", "handles", "orders", "refunds", "taobao"]
