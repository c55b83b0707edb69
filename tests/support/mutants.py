"""Small wrong versions of chosen functions and SQL texts: tests that guard a rule fail on each of them.

A mutant is the whole module with one place changed: a comparison turned round, a condition dropped, a state
left out of a list or taken for the next one. SQL counts as code: the journal's rules are for the greater part
conditions in statements. What a log or an error says to people is not changed, nor what an `assert` says to a
type checker.
"""

from __future__ import annotations

import ast
import copy
import functools
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

__all__ = ["Mutant", "mutants_of"]

Members = Mapping[tuple[str, str], str]


@attrs.frozen(eq=False)
class Mutant:
    """One wrong version of a module."""

    target: str
    """The function, method (`Class.method`) or constant that is changed."""
    change: str
    """What was changed into what; the same text twice in one target is numbered."""
    _source: Callable[[], str]

    @property
    def source(self) -> str:
        """The whole module, made only now: of thousands of mutants few are used."""
        return self._source()

    @property
    def name(self) -> str:
        """What it is called in lists."""
        return f"{self.target}: {self.change}"


_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPPOSITES = {"any": "all", "all": "any", "min": "max", "max": "min"}
_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|WHERE|CREATE|AND|OR|IN|CASE)\b")
_SQL_CHANGES = (
    (r"(?<!IF )\bNOT EXISTS\b", "EXISTS"),
    (r"\bNOT IN\b", "IN"),
    (r"(?<!NOT )\bIN \(", "NOT IN ("),
    (r"\bAND\b", "OR"),
    (r"\bOR\b(?! IGNORE)", "AND"),
    (r"\bOR IGNORE\b", ""),
    (r"\bUNIQUE\b", ""),
    (r"\bIS NULL\b", "IS NOT NULL"),
    (r"\bIS NOT NULL\b", "IS NULL"),
    (r"<>", "="),
    (r"(?:^|\b(?:WHERE|AND|OR|WHEN) \(?)[\w.?]+ (=) ", "<>"),  # no assignment
    (r"\bDESC\b", "ASC"),
    (r"'\w+', (?=[^()]*\))", ""),  # a member of a list
    (r", '\w+'(?=\))", ""),  # the last one
    (r"\+ 1\b", "+ 2"),
)


def mutants_of(source: str, targets: Iterable[str]) -> Iterator[Mutant]:
    """All mutants of these targets of a module, in the order of the source."""
    tree = ast.parse(source)
    for target in targets:
        node = _find(tree, target)
        seen = Counter[str]()
        for change, source_of in _changes(tree, node, _members(tree)):
            seen[change] += 1
            numbered = change if seen[change] == 1 else f"{change} (#{seen[change]})"
            yield Mutant(target, numbered, source_of)


def _find(tree: ast.Module, target: str) -> ast.AST:
    scope: ast.AST = tree
    for part in target.split("."):
        scope = next((node for node in ast.iter_child_nodes(scope) if part in _names(node)), tree)
        if scope is tree:
            raise LookupError(f"there is no {target}")
    return scope


def _names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()


def _members(tree: ast.Module) -> Members:
    """The members of enumerations that a module names, each with the next one of the same enumeration."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr.isupper():
            found.setdefault(node.value.id, set()).add(node.attr)
    members: dict[tuple[str, str], str] = {}
    for kind, names in found.items():
        ordered = sorted(names)
        members |= {
            (kind, name): other for name, other in zip(ordered, ordered[1:] + ordered[:1], strict=True)
        }
    return members


def _changes(tree: ast.Module, root: ast.AST, members: Members) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each change of something below `root`, told in words, and what makes the module with it."""
    for parent, field, at, node in _places(root):
        for changed in (*_variants(node, parent, field), *_other_names(node, members)):
            before, after = ast.unparse(node), ast.unparse(changed) or "nothing"
            if before != after:
                yield _short(before, after), functools.partial(_with, tree, parent, field, at, node, changed)


_CHANGING = threading.Lock()
"""All mutants of a module are made of one tree."""


def _with(tree: ast.Module, parent: ast.AST, field: str, at: int | None, node: Any, changed: Any) -> str:
    """The module with one node changed."""
    with _CHANGING:
        _put(parent, field, at, changed)
        try:
            return ast.unparse(tree)
        finally:
            _put(parent, field, at, node)


def _put(parent: ast.AST, field: str, at: int | None, node: Any) -> None:
    if at is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[at] = node


def _short(before: str, after: str) -> str:
    """Both sides without what they share at length on the left and on the right."""
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    left, right = max(0, start - 30), max(0, end - 30)
    old, new = before[left : len(before) - right], after[left : len(after) - right]
    return " ".join(f"`{old}` -> `{new}`".split())


def _places(root: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, Any]]:
    """Everything below a node: its parent, the field it stands in, its position there, and itself."""
    for field, value in ast.iter_fields(root):
        if field in ("annotation", "returns", "decorator_list", "args") and not isinstance(root, ast.Call):
            continue
        if isinstance(value, ast.AST):
            if not _is_for_people(value):
                yield root, field, None, value
                yield from _places(value)
        elif isinstance(value, list):
            for at, item in enumerate(value):
                if isinstance(item, ast.AST) and not _is_for_people(item):
                    yield root, field, at, item
                    yield from _places(item)


def _is_for_people(node: ast.AST) -> bool:
    """Whether a node only fills in a text, goes to the log, or tells a type checker something."""
    if isinstance(node, ast.FormattedValue | ast.Assert):
        return True
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    called = node.value.func
    return (
        isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "log"
    )


def _other_names(node: Any, members: Members) -> Iterator[Any]:
    """Another member of the same enumeration, `all` for `any`, a text without its `upper()`."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        other = members.get((node.value.id, node.attr), node.attr)
        if other != node.attr:
            yield ast.Attribute(node.value, other, ast.Load())
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _OPPOSITES:
        yield ast.Call(ast.Name(_OPPOSITES[node.func.id], ast.Load()), node.args, node.keywords)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_plain(node.func.attr):
        yield node.func.value


def _is_collection(node: ast.Set | ast.Tuple, parent: ast.AST, field: str) -> bool:
    """Whether any number of members would do: not where each of them is unpacked."""
    if len(node.elts) < 2 or isinstance(node, ast.Set):
        return len(node.elts) > 1
    named = isinstance(parent, ast.AnnAssign) or (
        isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name)
    )
    return field == "comparators" or (field == "value" and named)


def _is_plain(method: str) -> bool:
    return method in ("upper", "lower", "strip")


def _variants(node: Any, parent: ast.AST, field: str) -> Iterator[Any]:
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            changed = _COMPARISONS.get(type(operator))
            if changed is not None:
                ops = [*node.ops[:at], changed(), *node.ops[at + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BoolOp):
        for at in range(len(node.values)):
            rest = [value for number, value in enumerate(node.values) if number != at]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        yield ast.BinOp(node.left, other, node.right)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield ast.BinOp(node.left, ast.Add(), node.right)
    elif isinstance(node, ast.JoinedStr) and _is_key(node):
        for at, value in enumerate(node.values):
            if isinstance(value, ast.FormattedValue):
                yield ast.JoinedStr([*node.values[:at], *node.values[at + 1 :]])
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.If | ast.IfExp) and isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
        turned = copy.copy(node)
        turned.test = ast.UnaryOp(ast.Not(), node.test)
        yield turned
    elif isinstance(node, ast.Set | ast.Tuple) and _is_collection(node, parent, field):
        for at in range(len(node.elts)):
            yield type(node)([*node.elts[:at], *node.elts[at + 1 :]], *_context(node))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        if node.func.id in ("set", "sorted", "str", "bool"):
            yield node.args[0]
    elif (isinstance(node, ast.Expr) and not _is_text(node.value)) or isinstance(node, ast.Raise):
        yield ast.Pass()


def _context(node: ast.Set | ast.Tuple) -> tuple[Any, ...]:
    return (node.ctx,) if isinstance(node, ast.Tuple) else ()


def _is_key(node: ast.JoinedStr) -> bool:
    """Whether a text is made of values alone, as a key is and a message is not."""
    between = [str(part.value) for part in node.values if isinstance(part, ast.Constant)]
    return len(node.values) > len(between) + 1 and all(len(text) <= 1 for text in between)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _constants(node: ast.Constant) -> Iterator[ast.Constant]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and _SQL.search(value):
        for pattern, instead in _SQL_CHANGES:
            for found in re.finditer(pattern, value):
                start, end = found.span(found.lastindex or 0)
                yield ast.Constant(value[:start] + instead + value[end:])
