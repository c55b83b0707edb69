"""Read for a reconciliation what a store of callbacks has received, while its receiver runs."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple, Self

import attrs

from pandapon_async.callbacks.store import FILE_FORMAT
from pandapon_async.callbacks.uptime import LATE
from pandapon_async.core.database_url import is_database_address
from pandapon_async.errors import InvalidArgumentError

__all__ = ["PushLog", "Pushed", "check_file"]

_LAST = (
    "SELECT access_key, platform, max(received) FROM messages WHERE kind = 'refund'"
    " GROUP BY access_key, platform"
)
_UNCLEAR = (
    "SELECT max(received) FROM messages WHERE type = '' OR (kind = 'refund' AND"
    " (platform NOT IN ('1688', 'taobao') OR (refund_id IS NULL AND order_id IS NULL)))"
)
"""A message without a refund may be about any refund."""


def check_file(callbacks: str | os.PathLike[str] | None) -> None:
    """Raise InvalidArgumentError if the address of a database is given: pushes are read from a file only.

    A database can lose its newest rows when a replica takes over, so it cannot show that nothing was pushed.
    """
    if is_database_address(callbacks):
        raise InvalidArgumentError(
            "--callbacks must be the file of a receiver: messages in a shared database are not read for this",
            argument="callbacks",
        )


class Pushed(NamedTuple):
    """A refund message of a store."""

    platform: str
    refund_id: str | None
    order_id: str | None
    received: float


@attrs.frozen
class PushLog:
    """What a store has received, read while its receiver runs. Times are seconds since 1970."""

    _connection: sqlite3.Connection

    @classmethod
    @contextlib.contextmanager
    def reading(cls, path: str | os.PathLike[str]) -> Iterator[Self]:
        """Open the file of a store for reading only.

        Raises: CallbackStoreUnavailableError for a file that is not one, cannot be read, or is of an older
            version, which did not keep when it was receiving.
        """
        with FILE_FORMAT.failing(path, "read"), FILE_FORMAT.reading(path) as (connection, number):
            if number != FILE_FORMAT.number:
                raise FILE_FORMAT.error(
                    f"the {FILE_FORMAT.name} {path} has format {number} without a record of when it was "
                    "receiving; start its receiver once with this version"
                )
            yield cls(connection)

    def receiving_since(self, now: float) -> float | None:
        """Return the time since which the store has been receiving without a break; None if it is not now."""
        begun = None
        query = "SELECT since, until FROM receiving WHERE since <= ? ORDER BY until DESC"
        for since, until in self._connection.execute(query, (now,)):
            if until < (now - LATE if begun is None else begun):
                break
            begun = since if begun is None else min(begun, since)
        return begun

    def silence(self, now: float, heard: float) -> dict[tuple[str, str], float]:
        """Return the time from which "nothing was pushed" is certain, by access key and platform.

        Args:
            now: The present.
            heard: Only a platform counts of which a message about a refund came after this moment.
        """
        begun = self.receiving_since(now)
        if begun is None:
            return {}
        breaks = [moment for (moment,) in self._connection.execute("SELECT moment FROM marks")]
        # A receiver that was there later than now: the clock was set back.
        ahead = self._connection.execute("SELECT until FROM receiving WHERE until > ?", (now + LATE,))
        breaks += [until for (until,) in ahead]
        (unclear,) = self._connection.execute(_UNCLEAR).fetchone()
        since = max(begun, *breaks, begun if unclear is None else unclear)
        last = self._connection.execute(_LAST).fetchall()
        return {(access_key, platform): since for access_key, platform, moment in last if moment > heard}

    def refund_messages(self, after: float) -> Iterator[Pushed]:
        """Iterate over the messages after a time that are about refunds or name one."""
        query = (
            "SELECT platform, refund_id, order_id, received FROM messages WHERE received > ?"
            " AND (kind = 'refund' OR refund_id IS NOT NULL)"
        )
        yield from map(Pushed._make, self._connection.execute(query, (after,)))
