"""Figures as tables: printed, and with `--save` written to benchmarks/results/."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import rivals

__all__ = ["RESULTS", "SAVE", "bars", "chart", "environment", "middle", "spread", "table", "write"]

RESULTS = Path(__file__).parent / "results"
SAVE = "PANDAPON_BENCH_SAVE"
"""The environment variable that lets `write` keep what it prints: set by `python -m benchmarks`."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """The median with the quartiles: `1.23 (1.20-1.27)`."""
    if len(values) < 2:
        return format(values[0], form)
    first, second, third = statistics.quantiles(values, n=4, method="inclusive")
    return f"{second:{form}} ({first:{form}}-{third:{form}})"


def environment() -> str:
    """What it was measured with: date, processor, interpreter and the versions of the packages."""
    packages = ", ".join(f"{name} {version}" for name, version in rivals.versions().items())
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release().split('-')[0]}, "
        f"{platform.python_implementation()} {platform.python_version()}; {packages}."
    )


def write(name: str, title: str, *parts: str) -> None:
    """Print what was found; keep it as `results/<name>.md` if this run is one to keep."""
    text = "\n\n".join([f"# {title[0].upper()}{title[1:]}", *parts])
    print(text, flush=True)
    if os.environ.get(SAVE):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(f"{text}\n\n{environment()}\n", "utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "?")


def chart(name: str, title: str, values: dict[str, list[float]], *, highlight: str) -> None:
    """Bars of medians with their quartiles, kept as `results/<name>.svg` if this run is one to keep."""
    if os.environ.get(SAVE):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.svg").write_text(bars(title, values, highlight), "utf-8")


def bars(
    title: str,
    values: dict[str, list[float]],
    highlight: str,
    label: Callable[[list[float]], str] = spread,
) -> str:
    """Draw bars of medians as SVG, each with its name and what `label` says of its numbers."""
    left = max(150, 8 + 7 * max(map(len, values)))
    width, step = 440, 26
    scale = width / max(statistics.median(numbers) for numbers in values.values())
    height = 44 + step * len(values)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 120} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="100%" height="100%" fill="#ffffff"/><text x="10" y="22" font-size="15">{title}</text>',
    ]
    for place, (name, numbers) in enumerate(values.items()):
        middle, top = statistics.median(numbers), 36 + step * place
        color = "#c2410c" if name == highlight else "#94a3b8"
        lines.append(
            f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{name}</text>'
            f'<rect x="{left}" y="{top}" width="{scale * middle:.1f}" height="{step - 6}" fill="{color}"/>'
            f'<text x="{left + scale * middle + 6:.1f}" y="{top + 15}">{label(numbers)}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"
