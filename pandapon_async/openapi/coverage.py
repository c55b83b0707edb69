"""The docs' table of what is covered: counts by group and evidence, then every call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pandapon_async.api.registry import endpoints, operations
from pandapon_async.declare.endpoint import Endpoint, Evidence
from pandapon_async.openapi.catalogue import Section, section_of, undocumented

__all__ = ["coverage"]

_INTRODUCTION = """\
# Coverage

Every call that this client knows, from its declarations. Made by
`pandapon endpoints --coverage > docs/coverage.md`; a test fails when it is stale.

- *documented*: a page of the vendor shows the path.
- *public client*: the path was read in the source of a public client.
- *inferred*: the path follows the pattern of the other generation's. It is refused unless
  `VendorProfile(allow_inferred=True)` allows it.
- *path not known*: the vendor's navigation names the call, but no page that could be read shows its path.
  These cannot be called by name, as paths are never invented; `Client.request` takes any path.

A call stands in one line per generation of the API that has it. The one in bold is what the plain name uses
(`pandapon.alibaba.refunds.get`); the other is reached by its pin (`pandapon.v2.alibaba.refunds.get`),
or where the arguments are its own.
"""
_EVIDENCE = tuple(Evidence)


def coverage() -> str:
    """The whole page, as markdown."""
    declared = endpoints()
    missing = Counter(row.section for row in undocumented())
    sections = _sections([*map(section_of, declared.values()), *missing])
    return "\n".join(
        [
            _INTRODUCTION,
            "## By group",
            "",
            *_counts(sections, declared, missing),
            "",
            "## Every call",
            "",
            *(line for group in dict.fromkeys(map(str, sections)) for line in _calls(group)),
            "## Path not known",
            "",
            *_table(
                ("generation", "group", "what the navigation says"),
                ((row.generation, str(row.section), _link(row.title, row.page)) for row in undocumented()),
            ),
            "",
        ]
    )


def _sections(found: Iterable[Section]) -> list[Section]:
    """Each group once: by generation, 1688 and Taobao before what belongs to neither."""
    return sorted(
        set(found), key=lambda section: (section.generation, section.platform or "~", section.group)
    )


def _counts(
    sections: list[Section], declared: Mapping[str, Endpoint], missing: Counter[Section]
) -> list[str]:
    found = Counter((section_of(one), one.evidence) for one in declared.values())
    rows = [
        [
            section.generation,
            str(section),
            *(found[section, evidence] for evidence in _EVIDENCE),
            missing[section],
        ]
        for section in sections
    ]
    totals = [sum(column) for column in zip(*(row[2:] for row in rows), strict=True)]
    heads = ("generation", "group", *(evidence.value for evidence in _EVIDENCE), "path not known")
    return _table(heads, [*rows, ["all", "", *totals]])


def _calls(group: str) -> list[str]:
    rows = [
        (
            f"`{one.name}`",
            f"**{one.generation}**" if one is operation.ranked[0] else one.generation,
            f"`{one.method} {one.path}`",
            one.safety,
            one.stage,
            one.evidence,
            _link("page", one.page),
        )
        for operation in operations().values()
        for one in operation.generations.values()
        if str(section_of(one)) == group
    ]
    if not rows:
        return []
    heads = ("call", "generation", "path", "safety", "stage", "evidence", "source")
    return [f"### {group}", "", *_table(heads, rows), ""]


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    heads = tuple(heads)
    return [_line(heads), _line("---" for _ in heads), *map(_line, rows)]


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _link(text: str, page: str | None) -> str:
    return f"[{text}]({page})" if page else text
