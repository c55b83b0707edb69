"""Many calls at once: a bounded window over any number of items, with one result for each."""

from pandapon_async.bulk.refunds import fetch_refunds
from pandapon_async.bulk.run import Done, Failed, run
from pandapon_async.bulk.vouchers import UploadedVoucher, upload_vouchers

__all__ = ["Done", "Failed", "UploadedVoucher", "fetch_refunds", "run", "upload_vouchers"]
