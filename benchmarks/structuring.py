"""What it costs to make objects of a refund: 1.6 KB of JSON, 42 fields in 8 objects.

`python -m benchmarks.structuring` compares this client's models with classes for cattrs as it comes,
msgspec and pydantic. Those take the fields as they are, and numbers in a wrong field are turned into
text or refused; ours also make money, moments and enumerations, and keep what they do not know. From bytes,
ours are read as the client reads them: in their envelope.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import orjson
from cattrs import Converter

from benchmarks import report, rivals
from benchmarks.child import in_child
from benchmarks.replies import refund
from benchmarks.shapes import attrs_class, msgspec_class, pydantic_class
from pandapon_async.core.envelope import read_envelope
from pandapon_async.core.structure import structurer
from pandapon_async.models.taobao.refunds import RefundDetail

__all__ = ["WAYS", "main", "ways_of"]

Way = tuple[Callable[[Any], Any], Callable[[bytes], Any]]
"""From plain values to objects, and from bytes to objects."""


def _ours() -> Way:
    structure = structurer(RefundDetail)

    def from_bytes(text: bytes) -> Any:
        return structure(read_envelope(b'{"code":200,"data":' + text + b"}").data, RefundDetail)

    return (lambda data: structure(data, RefundDetail)), from_bytes


def _cattrs() -> Way:
    converter, kind = Converter(), attrs_class()
    return (
        lambda data: converter.structure(data, kind),
        lambda text: converter.structure(orjson.loads(text), kind),
    )


def _msgspec() -> Way:
    package, kind = rivals.module("msgspec"), msgspec_class()
    decoder = package.json.Decoder(kind)
    return (lambda data: package.convert(data, kind)), decoder.decode


def _pydantic() -> Way:
    kind = pydantic_class()
    return kind.model_validate, kind.model_validate_json


WAYS: dict[str, tuple[str, Callable[[], Way]]] = {
    "cattrs as it comes": ("cattrs", _cattrs),
    "pandapon-async": ("pandapon_async", _ours),
    "pydantic": ("pydantic", _pydantic),
    "msgspec": ("msgspec", _msgspec),
}


def ways_of(name: str) -> Way:
    """The two functions of one of them."""
    return WAYS[name][1]()


def measure(name: str, count: int) -> list[float]:
    """In a child: seconds per refund, from plain values and from bytes."""
    from_values, from_bytes = ways_of(name)
    data: Any = refund()
    text = json.dumps(
        data, ensure_ascii=False, separators=(",", ":")
    ).encode()  # compact, as the vendor writes
    return [_seconds(from_values, data, count), _seconds(from_bytes, text, count)]


def _seconds(make: Callable[[Any], Any], source: Any, count: int) -> float:
    for _ in range(count // 10 + 1):
        make(source)
    begun = time.process_time()
    for _ in range(count):
        make(source)
    return (time.process_time() - begun) / count


def main() -> None:
    """Run all in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    names = [name for name, (package, _) in WAYS.items() if rivals.is_installed(package)]
    skipped = [f"skipped: {name}, as it is not installed" for name in WAYS if name not in names]
    runs: dict[str, list[list[float]]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            runs[name].append(in_child("structuring", "measure", name=name, count=options.count))
    rows = [
        [name, *(report.spread([1e6 * one[part] for one in results], ".1f") for part in (0, 1))]
        for name, results in runs.items()
    ]
    head = ["µs a refund", "values to objects", "bytes to objects"]
    report.write("structuring", "objects of a refund", report.table(head, rows), *skipped)


if __name__ == "__main__":
    main()
