"""Python source as a tree, without what does not change what it does, and the names it reaches for.

Nothing here depends on the Python version, on line numbers or on where a file lies.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import TypeAlias

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"
Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_IMMATERIAL = {"ctx", "kind", "type_comment", "type_ignores", "type_params"}


def parse(source: str) -> ast.Module:
    """Return the tree of `source` without docstrings, annotations and what only a type checker or main runs.

    Annotations stay where they act: in class bodies (fields) and on decorated functions (`pandas_udf`).
    """
    tree = ast.parse(source)
    _Strip().visit(tree)
    return tree


def bare(function: Function | ast.Lambda) -> Function | ast.Lambda:
    """Return the function without its name, decorators and annotations: what is left once it is an object."""
    if isinstance(function, ast.Lambda):
        return function
    plain = copy.copy(function)
    plain.name, plain.decorator_list, plain.args = "", [], copy.deepcopy(function.args)
    _drop_annotations(plain)
    return plain


def canonical(node: object) -> Json:
    """Return `node` as nested lists that are equal exactly when the syntax is."""
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in _IMMATERIAL)
        present: list[Json] = [[name, canonical(value)] for name, value in fields if value not in (None, [])]
        return [type(node).__name__, *present]
    if isinstance(node, list):
        return [canonical(item) for item in node]
    return node if node is None or isinstance(node, int | str) else repr(node)


def function_nodes(tree: ast.Module, code: CodeType) -> list[Function | ast.Lambda]:
    """Return the functions of `tree` that `code` can come from: several for lambdas on one line."""
    if code.co_name == "<lambda>":
        names = list(code.co_varnames[: code.co_argcount])
        lambdas = (n for n in ast.walk(tree) if isinstance(n, ast.Lambda) and n.lineno == code.co_firstlineno)
        return [n for n in lambdas if [a.arg for a in (*n.args.posonlyargs, *n.args.args)] == names]
    return [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        and n.name == code.co_name
        and min([n.lineno, *(d.lineno for d in n.decorator_list)]) == code.co_firstlineno
    ]


def references(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield what `tree` takes from outside itself, in order: `("rate",)`, `("helpers", "clean")`."""
    return _free(tree, frozenset())


def imports(tree: ast.AST) -> Iterator[tuple[str, str, str | None]]:
    """Yield every import in `tree`: name bound, module (leading dots when relative), name taken or None."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    yield alias.asname or whole, whole, None
            case ast.ImportFrom(module=module, names=aliases, level=level):
                for alias in aliases:
                    yield alias.asname or alias.name, "." * level + (module or ""), alias.name


def bindings(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Return the top-level statements that bind or change each name; imports left out."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            for name in sorted(_stored([statement]) | _changed(statement)):
                found.setdefault(name, []).append(statement)
    return found


class _Strip(ast.NodeTransformer):
    """Remove what does not act."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: Function) -> ast.AST:
        if not node.decorator_list:
            _drop_annotations(node)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        fields = [s for s in node.body if isinstance(s, ast.AnnAssign)]
        others = [s for s in node.body if not isinstance(s, ast.AnnAssign)]
        node.body = [*others]
        self.generic_visit(node)
        node.body = [*fields, *node.body]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign(targets=[node.target], value=self.visit(node.value)), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        # Python 3.12 has empty constants in f"{a:>{b}}: ", 3.11 and 3.13 have none.
        node.values = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value == "")]
        return self.generic_visit(node)

    def visit_Pass(self, _node: ast.Pass) -> None:
        return None

    def visit_TypeAlias(self, _node: ast.AST) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        match node.test:
            case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
                kept = [self.visit(s) for s in node.orelse]
                return [s for s in kept if s is not None]
            case ast.Compare(left=ast.Name(id="__name__")):
                return None
        return self.generic_visit(node)


def _drop_annotations(function: Function) -> None:
    function.returns = None
    arguments = function.args
    optional = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *optional):
        argument.annotation = None


def _free(node: ast.AST, bound: frozenset[str]) -> Iterator[tuple[str, ...]]:
    chain = _chain(node)
    if chain is not None:
        stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        if chain[0] not in bound and not stored:
            yield chain
        return
    inner = bound
    parts: list[ast.AST] = list(ast.iter_child_nodes(node))
    if isinstance(node, _FUNCTIONS):
        parts = [*node.body] if isinstance(node.body, list) else [node.body]
        for outside in (n for n in ast.iter_child_nodes(node) if n not in parts):
            yield from _free(outside, bound)
        inner = bound | _locals(node, parts)
    elif isinstance(node, _COMPREHENSIONS):
        inner = bound | _stored(generator.target for generator in node.generators)
    for part in parts:
        yield from _free(part, inner)


def _chain(node: ast.AST) -> tuple[str, ...] | None:
    """Return `a.b.c` as its parts; None for any other node."""
    if isinstance(node, ast.Name):
        return (node.id,)
    before = _chain(node.value) if isinstance(node, ast.Attribute) else None
    return (*before, node.attr) if before is not None and isinstance(node, ast.Attribute) else None


def _locals(function: Function | ast.Lambda, body: Iterable[ast.AST]) -> frozenset[str]:
    named = {a.arg for a in ast.walk(function.args) if isinstance(a, ast.arg)}
    return frozenset(named | _stored(body))


def _stored(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names bound in the scope of `nodes` itself, not in the scopes nested in it."""
    found: set[str] = set()
    foreign: set[str] = set()
    todo = list(nodes)
    while todo:
        node = todo.pop()
        children: Iterable[ast.AST] = ast.iter_child_nodes(node)
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
                children = ()
            case ast.Lambda():
                children = ()
            case ast.comprehension():
                children = [node.iter, *node.ifs]
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.Import() | ast.ImportFrom():
                found.update(name for name, _, _ in imports(node))
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                foreign.update(names)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                found.add(name)
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                found.add(name)
        todo.extend(children)
    return found - foreign


def _changed(statement: ast.stmt) -> set[str]:
    """Return the names whose objects a statement may change: `RATES["x"] = 1`, `RULES.append(rule)`."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return set()
    found: set[str] = set()
    for node in ast.walk(statement):
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                found |= _root(node)
            case ast.Expr(value=ast.Call(func=ast.Attribute() as method)):
                found |= _root(method)
    return found


def _root(node: ast.AST) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
