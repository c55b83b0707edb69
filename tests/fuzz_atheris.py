"""Fuzzing that is led by coverage: `python -m tests.fuzz_atheris JSON 20000`, after `pip install atheris`.

It plays those targets of tests/support/fuzz_targets.py whose cases are bytes or text. A finding ends it with
a traceback and leaves the case in a file `crash-...` in the current folder, beside `corpus`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

SEEDS = [
    b'{"requestId":"r","code":200,"developId":1,"msg":"ok","data":{"a":[1,1.5,null]}}',
    b'{"messagePlatform":0,"messageType":"1688_REFUND","messageBody":{"refundId":"TQ1"},"timestamp":1700000000000}',
    b'{"messageType":"X","messageBody":"{\\"orderId\\":1}"}',
    '平台,退款编号,退款金额(元)\n1688,TQ1,"1,250.00"\n'.encode(),
    b"1e5",
    b'"\\ud83d\\ude00"',
    "￥１，２５０．００".encode(),
]


def main(name: str, runs: str) -> None:
    """Play a target so many times; exits with 0 if nothing was found."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["pandapon_async"]):
        targets = importlib.import_module("tests.support.fuzz_targets").TARGETS
    target = targets[name]
    corpus = Path("corpus")
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        target.check(target.seed(data))

    atheris.Setup(
        [sys.argv[0], f"-runs={runs}", "-max_len=300", "-seed=7", "-print_final_stats=1", str(corpus)], one
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
