"""The plan's file on a separate thread, so that a slow disk never blocks the event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.storage.damage import FILE_ERRORS

__all__ = ["AsyncPlanFile", "finished"]

T = TypeVar("T")


class AsyncPlanFile:
    """A plan's file for the event loop. Use `async with AsyncPlanFile(opener) as plan_file`."""

    def __init__(self, opener: Callable[[], PlanFile]) -> None:
        self._opener = opener
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="pandapon-plan")
        self._file: PlanFile | None = None

    async def __aenter__(self) -> Self:
        opening = asyncio.get_running_loop().run_in_executor(self._executor, self._opener)
        try:
            self._file = await finished(opening)
        except BaseException:
            self._executor.shutdown(wait=False)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        file, self._file = self._file, None
        if file is not None:
            await finished(asyncio.get_running_loop().run_in_executor(self._executor, file.close))
        self._executor.shutdown(wait=False)

    async def do(self, work: Callable[[PlanFile], T]) -> T:
        """Run a function on the file after all earlier requests. Once begun it finishes.

        Raises: ConfigurationError if the file cannot be used.
        """
        file = self._file
        assert file is not None, "the plan file is closed"
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, file)
        except FILE_ERRORS as error:
            raise file.unavailable(error) from error

    async def change(self, row: int, **facts: Any) -> None:
        """Change a row."""
        await self.do(lambda file: file.change(row, **facts))

    async def rows(self, states: Iterable[RowState]) -> AsyncIterator[PlanRow]:
        """Iterate over the rows in these states in order; each comes once, even if its state changes."""
        wanted, after = tuple(states), -1
        while page := await self.do(functools.partial(PlanFile.page, states=wanted, after=after)):
            for row in page:
                yield row
            after = page[-1].row


async def finished(future: asyncio.Future[T]) -> T:
    """Return the result. A cancelled caller waits for it too, because the file is in use until then."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if (
            not future.cancelled()
            and future.exception() is None
            and isinstance(file := future.result(), PlanFile)
        ):
            file.close()
        raise
