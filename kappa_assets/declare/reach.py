"""What a table's function reaches in its pipeline's code, as comparable pieces."""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import NoReturn

from kappa_assets.declare import syntax
from kappa_assets.declare.modules import Module, Territory
from kappa_assets.declare.plain import NotPlain, plain
from kappa_assets.declare.syntax import Json
from kappa_assets.declare.tables import Derived, Table
from kappa_assets.errors import DeclarationError


class Reach:
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
        self._value(table.function)

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
        defaults: list[object] = []
        if "<locals>" in function.__qualname__:
            defaults = [*(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
        added = self._add(id(function), syntax.bare(nodes[0]), module, _closure(function), defaults)
        return {"piece": added}

    def _add(
        self,
        key: int,
        tree: ast.AST,
        module: Module,
        held: Mapping[str, object] | None = None,
        defaults: Iterable[object] = (),
    ) -> int:
        """Add a piece of syntax and, in turn, what it reaches; return its number."""
        if key in self._seen:
            return self._seen[key]
        number = self._seen[key] = len(self.pieces)
        self.pieces.append(None)
        closure = held or {}
        uses: dict[str, Json] = {}
        for chain in syntax.references(tree):
            name = ".".join(chain)
            if name not in uses:
                inside = chain[0] in closure
                uses[name] = self._value(closure[chain[0]]) if inside else self._member(module, *chain)
        for bound, target, taken in () if tree is module.tree else syntax.imports(tree):
            uses[f"import {bound}"] = self._imported(module.absolute(target), *filter(None, [taken]))
        known: dict[str, Json] = {name: use for name, use in uses.items() if use is not None}
        self.pieces[number] = [syntax.canonical(tree), known, [self._value(value) for value in defaults]]
        return number

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


def _closure(function: FunctionType) -> dict[str, object]:
    held: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:  # not assigned yet: the function itself cannot use it either
            continue
    return held
