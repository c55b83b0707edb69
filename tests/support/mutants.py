"""Small wrong versions of chosen functions and SQL texts: tests that guard a rule fail on each of them.

A mutant is the whole module with one place changed: a comparison turned round, a condition dropped, a state
left out of a list. SQL counts as code: the journal's rules are for the greater part conditions in statements.
"""

from __future__ import annotations

import ast
import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

__all__ = ["Mutant", "mutants_of"]


@attrs.frozen
class Mutant:
    """One wrong version of a module."""

    target: str
    """The function, method (`Class.method`) or constant that is changed."""
    change: str
    """What was changed into what; the same text twice in one target is numbered."""
    source: str
    """The whole module."""

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
        for change, source_of in _changes(tree, node):
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


def _changes(tree: ast.Module, root: ast.AST) -> Iterator[tuple[str, str]]:
    """Each change of something below `root`, told in words, and the module with it."""
    for parent, field, at, node in list(_places(root)):
        for changed in _variants(node, field):
            holder = getattr(parent, field)
            before, after = ast.unparse(node), ast.unparse(changed) or "nothing"
            if before == after:
                continue
            if at is None:
                setattr(parent, field, changed)
            else:
                holder[at] = changed
            ast.fix_missing_locations(tree)
            yield f"{_short(before, after)}", ast.unparse(tree)
            if at is None:
                setattr(parent, field, node)
            else:
                holder[at] = node


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
            yield root, field, None, value
            yield from _places(value)
        elif isinstance(value, list):
            for at, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield root, field, at, item
                    yield from _places(item)


def _variants(node: Any, field: str) -> Iterator[Any]:
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
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.If | ast.IfExp) and isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
        turned = copy.copy(node)
        turned.test = ast.UnaryOp(ast.Not(), node.test)
        yield turned
    elif isinstance(node, ast.Set | ast.Tuple) and field in ("comparators", "value") and len(node.elts) > 1:
        for at in range(len(node.elts)):
            yield type(node)([*node.elts[:at], *node.elts[at + 1 :]], *_context(node))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        if node.func.id in ("set", "sorted", "str", "bool"):
            yield node.args[0]
    elif (isinstance(node, ast.Expr) and not _is_text(node.value)) or isinstance(node, ast.Raise):
        yield ast.Pass()


def _context(node: ast.Set | ast.Tuple) -> tuple[Any, ...]:
    return (node.ctx,) if isinstance(node, ast.Tuple) else ()


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
