"""Going through pages: nothing lost, nothing twice without saying so, an end in every case."""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import AsyncGenerator
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.declare.call import Call, paged
from pandapon_async.declare.response import Response
from pandapon_async.errors import MalformedResponseError


@attrs.define
class Sheet:
    items: list[int]
    total: int | None = None


class Shelf:
    """A list of sheets by number, and what was asked for."""

    def __init__(self, *sheets: Sheet) -> None:
        self.sheets = sheets
        self.asked: list[dict[str, Any]] = []

    def page(self, *, page_no: int = 1, page_size: int = 3, word: str | None = None) -> Call[Sheet]:
        """One sheet."""
        found = self.sheets[page_no - 1] if page_no <= len(self.sheets) else Sheet([])
        asked = {"page_no": page_no, "page_size": page_size, "word": word}
        return Call("shelf.page", lambda: self._asked(asked, found))

    async def _asked(self, asked: dict[str, Any], sheet: Sheet) -> Response[Sheet]:
        self.asked.append(asked)
        return await self._answer(sheet)

    async def _answer(self, sheet: Sheet) -> Response[Sheet]:
        return Response(sheet, None, 200, None, None, None, 200, 1, (), 0.0, 0.0)

    pages = paged(page)


async def read(shelf: Shelf, **arguments: Any) -> list[int]:
    return [item async for item in shelf.pages(**arguments)]


@pytest.mark.parametrize(
    ("sheets", "items", "calls"),
    [
        ([], [], 1),
        ([Sheet([])], [], 1),
        ([Sheet([], 0)], [], 1),
        ([Sheet([1, 2, 3]), Sheet([4])], [1, 2, 3, 4], 3),  # no total: the empty page ends it
        ([Sheet([1, 2, 3], 4), Sheet([4], 4)], [1, 2, 3, 4], 2),  # a total saves the last request
        ([Sheet([1], 3), Sheet([2], 3), Sheet([3], 3)], [1, 2, 3], 3),  # short pages end nothing
        ([Sheet([1, 2], 9), Sheet([3])], [1, 2, 3], 3),  # fewer than stated: still an end
        ([Sheet([1, 2, 3], 0), Sheet([4, 5])], [1, 2, 3, 4, 5], 3),  # a total that cannot be is not believed
        ([Sheet([1, 2, 3], -1), Sheet([4, 5])], [1, 2, 3, 4, 5], 3),
        ([Sheet([1, 2, 3], 2), Sheet([4, 5], 2)], [1, 2, 3, 4, 5], 2),
    ],
)
async def test_every_item_of_every_page(sheets: list[Sheet], items: list[int], calls: int) -> None:
    shelf = Shelf(*sheets)
    assert await read(shelf) == items
    assert [asked["page_no"] for asked in shelf.asked] == list(range(1, calls + 1))


@given(st.lists(st.integers(1, 5), max_size=8), st.booleans())
def test_any_split_into_pages_gives_all_items_in_order(sizes: list[int], stated: bool) -> None:
    items = list(range(sum(sizes)))
    sheets, left = [], items
    for size in sizes:
        sheets.append(Sheet(left[:size], len(items) if stated else None))
        left = left[size:]
    assert asyncio.run(read(Shelf(*sheets))) == items


async def test_a_server_that_ignores_the_page_number_is_an_error_and_no_endless_loop() -> None:
    shelf = Shelf(Sheet([1, 2, 3]), Sheet([1, 2, 3]))
    pages = shelf.pages()
    assert [await anext(pages) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(MalformedResponseError, match="page 2 repeats page 1"):
        await anext(pages)


async def test_it_begins_where_it_is_told_to_and_hands_the_arguments_on() -> None:
    shelf = Shelf(Sheet([1]), Sheet([2]), Sheet([3]))
    assert await read(shelf, page_no=2, page_size=7, word="x") == [2, 3]
    assert shelf.asked[0] == {"page_no": 2, "page_size": 7, "word": "x"}
    assert await read(Shelf(Sheet([1])), page_no=None) == [1]


async def test_one_page_is_asked_for_ahead_and_never_more() -> None:
    shelf = Shelf(Sheet([1, 2]), Sheet([3, 4]), Sheet([5, 6]), Sheet([7]))
    pages = shelf.pages()
    for item in (1, 2, 3, 4):
        assert await anext(pages) == item
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(shelf.asked) == (item + 1) // 2 + 1
    await typing.cast("AsyncGenerator[int, None]", pages).aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_goes_through_to_the_call_under_way() -> None:
    started = asyncio.Event()
    ended: list[str] = []

    class Slow(Shelf):
        async def _answer(self, sheet: Sheet) -> Response[Sheet]:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("call")
            raise AssertionError

    task = asyncio.create_task(read(Slow(Sheet([1]))))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["call"]


def test_it_says_what_it_is() -> None:
    assert inspect.isasyncgen(Shelf().pages())
    assert Shelf.pages.__doc__ == "Iterate over the items of all pages of `page`; takes the same arguments."
    assert list(inspect.signature(Shelf.pages).parameters) == ["self", "page_no", "page_size", "word"]


async def test_the_error_names_the_call() -> None:
    from pandapon_async import Settings
    from pandapon_async.api import V1
    from pandapon_async.models.taobao.refunds import RefundDetail, RefundPage

    class Always:
        settings = Settings()

        def call(self, operation: Any, arguments: Any, *, generation: str | None = None) -> Call[Any]:
            page = RefundPage(items=[RefundDetail(currency="CNY")])
            return Call("shelf.page", lambda: Shelf()._answer(page))  # type: ignore[arg-type]

    pages = V1(Always()).taobao.refunds.pages()
    await anext(pages)
    with pytest.raises(MalformedResponseError) as caught:
        await anext(pages)
    assert caught.value.endpoint == "taobao.refunds.page"
