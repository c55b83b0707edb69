"""Records in a plain file: whatever the process or the disk does to it, a record is whole or named."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.errors import ConfigurationError
from pandapon_async.storage.record_file import RecordFile, read_records

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def write(path: Path, records: list[Any]) -> None:
    with RecordFile.open(path) as file:
        for record in records:
            file.append(record)
        file.flush()


@given(parts=st.lists(st.lists(JSON, max_size=4), max_size=4))
def test_what_was_added_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[Any]]
) -> None:
    path = tmp_path_factory.mktemp("records") / "part.lookups"
    before: list[Any] = []
    for records in parts:
        with RecordFile.open(path) as file:
            assert file.records == before
            for record in records:
                file.append(record)
        before += records
    assert read_records(path) == before


def test_cut_anywhere_only_the_last_record_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "part.lookups"
    write(path, [{"row": 1, "words": "退款\n成功"}, {"row": 2}])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with RecordFile.open(path) as file:
            assert [record["row"] for record in file.records] == ([1] if end >= first else [])
            file.append({"row": 3})
        assert [record["row"] for record in read_records(path)] == ([1, 3] if end >= first else [3])


def test_damage_is_named_and_nothing_of_the_file_is_used(tmp_path: Path) -> None:
    path = tmp_path / "part.lookups"
    write(path, [{"row": number, "fen": 100 * number} for number in range(50)])
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    draw = random.Random(7)
    for _ in range(200):
        at = draw.randrange(last)
        changed = bytes([whole[at] ^ draw.randrange(1, 256)])
        path.write_bytes(whole[:at] + changed + whole[at + 1 :])
        with pytest.raises(ConfigurationError, match=r"part\.lookups is damaged in line \d+"):
            read_records(path)


def test_one_process_at_a_time_and_no_link(tmp_path: Path) -> None:
    path = tmp_path / "part.lookups"
    with RecordFile.open(path), pytest.raises(ConfigurationError, match="another process"):
        write(path, [])
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(ConfigurationError, match="is a link"):
        write(tmp_path / "link", [])
    assert read_records(tmp_path / "none") == []
