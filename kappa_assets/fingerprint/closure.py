"""What a table's function reaches in its pipeline's code, as comparable pieces."""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import NoReturn

from kappa_assets.declare.tables import Derived, Table
from kappa_assets.errors import DeclarationError
from kappa_assets.fingerprint import syntax
from kappa_assets.fingerprint.modules import Module, Territory
from kappa_assets.fingerprint.plain import NotPlain, plain
from kappa_assets.fingerprint.syntax import Json


@dataclasses.dataclass(frozen=True)
class _Piece:
    """Syntax to be described; of a function object, if it is one."""

    number: int
    tree: ast.AST
    module: Module
    function: FunctionType | None

    @property
    def is_module(self) -> bool:
        return self.tree is self.module.tree


class Closure:
    """The pieces of pipeline code that a table's function reaches, numbered in the order they are met.

    A piece is its syntax and, for each name it takes from outside, what that is: the number of a piece, a
    value, or the name of something installed. Names of the pipeline's modules, and paths, do not occur.

    Raises DeclarationError for source that cannot be read, and for values that cannot be compared.
    """

    def __init__(self, table: Derived) -> None:
        self.pieces: list[Json] = []
        self._table = table
        self._seen: dict[int, int] = {}
        self._modules: dict[str, Module | None] = {}
        self._territory = Territory.around(table.function)
        self._todo: list[_Piece] = []
        self._value(table.function)
        while self._todo:  # not by recursion: a chain of helpers may be longer than Python's stack
            piece = self._todo.pop()
            self.pieces[piece.number] = self._described(piece)

    def _function(self, function: FunctionType) -> Json:
        """Add a function object of the pipeline; return what it is to the one that reaches it."""
        if id(function) in self._seen:
            return {"piece": self._seen[id(function)]}
        if not self._territory.holds(function.__globals__):
            return {"outside": f"{function.__module__}.{function.__qualname__}"}
        module = self._module_of(function.__globals__)
        nodes = module.functions(function.__code__) if module else []
        if module is None or len({str(syntax.canonical(node)) for node in nodes}) != 1:
            self._unreadable(function.__code__, several=bool(nodes))
        return {"piece": self._add(id(function), syntax.bare(nodes[0]), module, function)}

    def _add(self, key: int, tree: ast.AST, module: Module, function: FunctionType | None = None) -> int:
        """Note a piece of syntax, to be described later; return its number."""
        if key not in self._seen:
            self._seen[key] = len(self.pieces)
            self.pieces.append(None)
            self._todo.append(_Piece(self._seen[key], tree, module, function))
        return self._seen[key]

    def _described(self, piece: _Piece) -> Json:
        """Return the syntax of a piece and what it reaches, noting pieces not met before."""
        closure = _closure(piece.function)
        uses: dict[str, Json] = {}
        for chain in syntax.references(piece.tree):
            name = ".".join(chain)
            if name not in uses:
                inside = chain[0] in closure
                uses[name] = self._value(closure[chain[0]]) if inside else self._member(piece.module, *chain)
        for bound, target, taken in () if piece.is_module else syntax.imports(piece.tree):
            uses[f"import {bound}"] = self._imported(piece.module.absolute(target), *filter(None, [taken]))
        known: dict[str, Json] = {name: use for name, use in uses.items() if use is not None}
        given: list[Json] = [self._value(value) for value in _defaults(piece.function)]
        return [syntax.canonical(piece.tree), known, given]

    def _member(self, module: Module, name: str, *rest: str) -> Json:
        """Return what a module-level name of the pipeline is; None for a builtin."""
        value = module.namespace.get(name)
        if isinstance(value, Table):
            return self._value(value)
        if name in module.imports:
            target, taken = module.imports[name]
            return self._imported(target, *filter(None, [taken]), *rest)
        statements = module.bindings.get(name, [])
        known = name in module.namespace and not name.startswith("__")
        try:
            data = plain(value, self._territory.relative) if known else None
        except NotPlain:
            data = None
        if known and data is not None:
            return {"value": data}
        if statements:
            made: list[Json] = [self._add(id(statement), statement, module) for statement in statements]
            return {"pieces": made, "items": [self._function(f) for f in _registered(value)]}
        return self._unbound(module, name, rest) if known else None

    def _unbound(self, module: Module, name: str, rest: tuple[str, ...]) -> Json:
        """Return what a name is that no statement of its module binds."""
        for star in module.stars:
            if hasattr(sys.modules.get(star), name):
                return self._imported(star, name, *rest)
        return self._value(module.namespace[name])

    def _imported(self, name: str, *path: str) -> Json:
        """Return what `path`, taken from the module `name`, is."""
        if not self._territory.holds_module(name):
            return {"outside": ".".join([name, *path[:1]])}
        loaded = _loaded(name)
        if loaded is None:
            return {"absent": name}
        within = self._module_of(vars(loaded))
        if not path:
            return {"piece": self._add(id(within.tree), within.tree, within)} if within is not None else None
        below = vars(loaded).get(path[0])
        if isinstance(below, ModuleType):
            return self._imported(below.__name__, *path[1:])
        if within is not None and (path[0] in within.namespace or path[0] in within.bindings):
            return self._member(within, *path)
        inner = f"{name}.{path[0]}"
        if hasattr(loaded, "__path__") and importlib.util.find_spec(inner) is not None:
            return self._imported(inner, *path[1:])
        return {"outside": inner}

    def _value(self, value: object) -> Json:
        """Return what an object is that a closure, a default or another value holds."""
        match value:
            case Derived(function=function):
                return self._value(function)
            case FunctionType():
                return self._function(value)
            case BuiltinFunctionType():
                return {"outside": f"{value.__module__}.{value.__qualname__}"}
            case ModuleType():
                return self._imported(value.__name__)
            case type():
                return self._imported(value.__module__, value.__qualname__.partition(".")[0])
            case _:
                return self._data(value)

    def _data(self, value: object) -> Json:
        match value:
            case Table():
                return {"table": str(value.name)}
            case functools.partial():
                parts: list[object] = [value.func, value.args, value.keywords]
                return {"partial": [self._value(part) for part in parts]}
            case enum.Enum():
                return {"member": [self._value(type(value)), value.name]}
        if dataclasses.is_dataclass(value):
            record: dict[str, Json] = {f.name: self._value(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"record": [self._value(type(value)), record]}
        if type(value).__module__ == "pyspark.sql.types":
            return {"type": str(getattr(value, "json", value.__repr__)())}
        nested = type(value) in {list, tuple, set, frozenset, dict}
        try:
            return {"value": plain(value, self._territory.relative, self._value if nested else None)}
        except NotPlain:
            self._strange(value)

    def _module_of(self, namespace: Mapping[str, object]) -> Module | None:
        key = f"{namespace.get('__name__')} {namespace.get('__file__')}"
        if key not in self._modules:
            self._modules[key] = Module.of(namespace)
        return self._modules[key]

    def _unreadable(self, code: CodeType, *, several: bool) -> NoReturn:
        why = "several lambdas on its line" if several else "it is in no file, or not as it was loaded"
        where = f"{code.co_filename}:{code.co_firstlineno}"
        raise DeclarationError(
            f"{self._table.name} reaches {code.co_name} ({where}), whose source cannot be told: {why}",
            origin=self._table.origin,
            hint="Define it with def in a file, or say version='1' and change that with the logic.",
        )

    def _strange(self, value: object) -> NoReturn:
        raise DeclarationError(
            f"{self._table.name} holds a {type(value).__name__}, which cannot be compared between processes",
            origin=self._table.origin,
            hint="Make it of plain data, at module level, or say version='1' and change that with the logic.",
        )


def _loaded(name: str) -> ModuleType | None:
    """Return the module, imported if only a function would; None when this machine cannot import it."""
    try:
        return sys.modules.get(name) or importlib.import_module(name)
    except Exception:  # noqa: BLE001 - it runs the module's own code, which may raise what it likes
        return None


def _registered(value: object) -> list[FunctionType]:
    """Return the functions that a list, tuple or dict holds: a registry, say, that decorators fill."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [item for item in items if isinstance(item, FunctionType) and item.__name__ != "<lambda>"]


def _closure(function: FunctionType | None) -> dict[str, object]:
    """Return what a function made in another one holds of it."""
    held: dict[str, object] = {}
    cells = (function.__code__.co_freevars, function.__closure__ or ()) if function is not None else ((), ())
    for name, cell in zip(*cells, strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:  # not assigned yet: the function itself cannot use it either
            continue
    return held


def _defaults(function: FunctionType | None) -> list[object]:
    """Return the defaults of a function made in another one; elsewhere their syntax tells."""
    if function is None or "<locals>" not in function.__qualname__:
        return []
    return [*(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
