"""`pandapon endpoints`: list the calls, the source of each path, and calls without a known path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import attrs
import typer

from pandapon_async.api import registry
from pandapon_async.cli.output import for_people, print_lines, print_table
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Endpoint, Evidence, Stage
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.openapi.catalogue import Section, section_of, undocumented

__all__ = ["endpoints"]

COLUMNS = ("name", "generation", "method", "path", "safety", "stage", "evidence", "summary")
PATH_NOT_KNOWN = "path not known"


@attrs.define(frozen=True)
class Filter:
    """The filters; None selects all."""

    group: str | None
    platform: str | None
    generation: str | None
    stage: Stage | None
    evidence: Evidence | None
    safety: Safety | None

    def has(self, section: Section) -> bool:
        """Whether the filters select a group of calls."""
        asked = (self.group, self.platform, self.generation)
        found = (section.group, section.platform, section.generation)
        return all(one in (None, other) for one, other in zip(asked, found, strict=True))

    def takes(self, one: Endpoint) -> bool:
        """Whether the filters select a call."""
        asked = (self.stage, self.evidence, self.safety)
        found = (one.stage, one.evidence, one.safety)
        return self.has(section_of(one)) and all(a in (None, b) for a, b in zip(asked, found, strict=True))


def _groups(incomplete: str) -> list[str]:
    """Complete the names of groups."""
    sections = [*map(section_of, registry.endpoints().values()), *(row.section for row in undocumented())]
    return sorted({section.group for section in sections if section.group.startswith(incomplete)})


def endpoints(
    group: Annotated[
        str | None,
        typer.Option(help="Such as refunds, orders, goods, carts.", autocompletion=_groups),
    ] = None,
    platform: Annotated[Literal["1688", "taobao"] | None, typer.Option(help="The platform behind.")] = None,
    generation: Annotated[Literal["v1", "v2"] | None, typer.Option(help="Generation of the API.")] = None,
    stage: Annotated[Stage | None, typer.Option(help="The status on the vendor's page.")] = None,
    evidence: Annotated[Evidence | None, typer.Option(help="The source of the path.")] = None,
    safety: Annotated[Safety | None, typer.Option(help="The safety class: the effect of a repeat.")] = None,
    missing: Annotated[
        bool, typer.Option("--undocumented", help="Also list calls with an inferred path.")
    ] = False,
    table: Annotated[
        bool, typer.Option("--coverage", help="Print the page docs/coverage.md as markdown.")
    ] = False,
) -> None:
    """List the calls: a table on a terminal, JSON lines when piped."""
    if table:
        from pandapon_async.openapi import coverage

        sys.stdout.write(coverage())
        return
    if group is not None and group not in _groups(""):
        known = ", ".join(_groups(""))
        raise InvalidArgumentError(f"there is no group {group}; known: {known}", argument="--group")
    asked = Filter(group, platform, generation, stage, evidence, safety)
    rows = [*_declared(asked), *(_missing(asked) if missing else ())]
    if for_people():
        print_table(COLUMNS, rows)
    else:
        print_lines(rows)


def _declared(asked: Filter) -> Iterator[dict[str, Any]]:
    for one in registry.endpoints().values():
        if asked.takes(one):
            chosen = registry.operations()[one.name].ranked[0] is one
            yield {**{name: getattr(one, name) for name in (*COLUMNS, "page")}, "chosen": chosen}


def _missing(asked: Filter) -> Iterator[dict[str, Any]]:
    """Calls without a path have no declaration, so filters by its facts never match them."""
    if asked.stage or asked.evidence or asked.safety:
        return
    for row in undocumented():
        if asked.has(row.section):
            yield {
                **dict.fromkeys(COLUMNS),
                "generation": row.generation,
                "evidence": PATH_NOT_KNOWN,
                "summary": f"{row.section}: {row.title}",
                "page": row.page,
                "chosen": False,
            }
