"""What can be called: declarations only, one file per group of the vendor's navigation."""

from pandapon_async.api.v1 import V1
from pandapon_async.api.v2 import V2

__all__ = ["V1", "V2"]
