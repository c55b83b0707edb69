"""One measurement in a process of its own: `python -m benchmarks.child`, what to do on standard input.

The answer is one line of JSON on standard output. A fresh process for every round means that no
contender inherits another's heap, caches or hash seed.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

from benchmarks.server import HERE, cores, pin

__all__ = ["in_child"]

PATIENCE = 120
"""Seconds after which a measurement is given up."""


def in_child(bench: str, function: str, **parameters: Any) -> Any:
    """What `benchmarks.<bench>.<function>(**parameters)` gives, measured on the client's core."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child"],
        input=json.dumps([bench, function, parameters]),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=HERE.parent,
        timeout=PATIENCE,
    )
    if done.returncode:
        raise SystemExit(f"the measurement of {bench} failed: {parameters}")
    return json.loads(done.stdout)


def _main() -> None:
    bench, function, parameters = json.load(sys.stdin)
    pin(cores()[0])
    module = importlib.import_module(f"benchmarks.{bench}")
    print(json.dumps(getattr(module, function)(**parameters)))


if __name__ == "__main__":
    _main()
