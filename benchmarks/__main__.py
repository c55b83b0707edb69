"""All parts, one after another: `python -m benchmarks`, which is `make bench`.

Keeps what each prints in benchmarks/results/. A part that fails is named at the end; the others run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks import report
from benchmarks.server import HERE

__all__ = ["PARTS", "main"]

PARTS = ("instructions", "calls", "uploads", "journal", "structuring", "limiter", "quota", "shared", "bulk")


def main() -> None:
    """Run the parts that were named, or all."""
    parts = sys.argv[1:] or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"no such part: {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    failed = []
    for part in parts:
        begun = time.perf_counter()
        command = [sys.executable, "-m", f"benchmarks.{part}"]
        done = subprocess.run(command, check=False, cwd=HERE.parent, env={**os.environ, report.SAVE: "1"})
        print(f"\n({part}: {time.perf_counter() - begun:.0f} s)\n", flush=True)
        if done.returncode:
            failed.append(part)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
