"""What a table's function reaches in its pipeline's code, as comparable pieces."""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import importlib
import importlib.util
import sys
import uuid
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, NoReturn, TypeGuard

from kappa_assets.declare import syntax
from kappa_assets.declare.modules import Module, Territory
from kappa_assets.declare.tables import Derived, Table
from kappa_assets.errors import DeclarationError

_SCALARS = (type(None), bool, int, float, complex, bytes, decimal.Decimal, uuid.UUID)
_TIMES = (dt.date, dt.datetime, dt.time, dt.timedelta)


class _NotPlain(Exception):
    """A value that is no plain data."""


class Reach:
    """The pieces of pipeline code that a table's function reaches, numbered in the order they are met.

    A piece is its syntax and, for each name it takes from outside, what that is: the number of a piece, a value, or the
    name of something installed. Module names and paths do not occur.
    """

    def __init__(self, table: Derived) -> None:
        self.pieces: list[Any] = []
        self._table = table
        self._seen: dict[int, int] = {}
        self._modules: dict[str, Module | None] = {}
        self._territory = Territory.around(table.function.__globals__ if _is_function(table.function) else {})

    def function(self, function: Any) -> Any:
        """Add a function object of the pipeline; return what it is to the one that reaches it."""
        if id(function) in self._seen:
            return {"piece": self._seen[id(function)]}
        if not self._territory.holds(function.__globals__):
            return {"outside": f"{function.__module__}.{function.__qualname__}"}
        module = self._module_of(function.__globals__)
        nodes = module.functions(function.__code__) if module else []
        if module is None or len({str(syntax.canonical(node)) for node in nodes}) != 1:
            self._unreadable(function.__code__, several=bool(nodes))
        held = _closure(function)
        defaults: list[object] = []
        if "<locals>" in function.__qualname__:
            defaults = [*(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
        return {"piece": self._add(id(function), syntax.bare(nodes[0]), module, held, defaults)}

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
        uses: dict[str, Any] = {}
        for chain in syntax.references(tree):
            name = ".".join(chain)
            if name not in uses:
                known = held is not None and chain[0] in held
                uses[name] = self._value(held[chain[0]]) if held and known else self._member(module, *chain)
        for bound, target, taken in () if tree is module.tree else syntax.imports(tree):
            uses[f"import {bound}"] = self._imported(module.absolute(target), *filter(None, [taken]))
        given = [self._value(value) for value in defaults]
        self.pieces[number] = [syntax.canonical(tree), {k: v for k, v in uses.items() if v is not None}, given]
        return number

    def _member(self, module: Module, name: str, *rest: str) -> Any:
        """Return what a module-level name of the pipeline is; None for a builtin."""
        value = module.namespace.get(name)
        if isinstance(value, Derived):
            return self.function(value.function)
        if isinstance(value, Table):
            return {"table": str(value.name)}
        if name in module.imports:
            target, taken = module.imports[name]
            return self._imported(target, *filter(None, [taken]), *rest)
        statements = module.bindings.get(name, [])
        if name in module.namespace and not name.startswith("__"):
            try:
                return {"value": self._plain(value)}
            except _NotPlain:
                pass
        if statements:
            made = [self._add(id(statement), statement, module) for statement in statements]
            return {"pieces": made, "items": [self.function(f) for f in _named_functions(value)]}
        if name not in module.namespace or name.startswith("__"):
            return None
        for star in module.stars:
            if hasattr(sys.modules.get(star), name):
                return self._imported(star, name, *rest)
        return self._value(value)

    def _imported(self, name: str, *path: str) -> Any:
        """Return what `path`, taken from the module `name`, is."""
        if not self._territory.holds_module(name):
            return {"outside": ".".join([name, *path[:1]])}
        loaded = sys.modules.get(name) or importlib.import_module(name)
        if path and not isinstance(vars(loaded).get(path[0]), ModuleType):
            within = self._module_of(vars(loaded))
            if within is not None and (path[0] in vars(loaded) or path[0] in within.bindings):
                return self._member(within, *path)
        if path:
            below = vars(loaded).get(path[0])
            inner = below.__name__ if isinstance(below, ModuleType) else f"{name}.{path[0]}"
            known = inner in sys.modules or importlib.util.find_spec(inner) is not None
            return self._imported(inner, *path[1:]) if known else {"outside": ".".join([name, path[0]])}
        whole = self._module_of(vars(loaded))
        return {"piece": self._add(id(whole.tree), whole.tree, whole)} if whole is not None else None

    def _value(self, value: Any) -> Any:
        """Return what an object held by a closure, a default or another value is."""
        match value:
            case Derived():
                return self.function(value.function)
            case FunctionType():
                return self.function(value)
            case BuiltinFunctionType():
                return {"outside": f"{value.__module__}.{value.__qualname__}"}
            case ModuleType():
                return self._imported(value.__name__)
            case type():
                top = value.__qualname__.partition(".")[0]
                return self._imported(value.__module__, top) if top != "<locals>" else self._strange(value)
            case functools.partial():
                return {"partial": [self._value(part) for part in (value.func, value.args, value.keywords)]}
            case enum.Enum():
                return {"member": [self._value(type(value)), value.name]}
            case list() | tuple() | set() | frozenset() | dict():
                return {"value": self._plain(value, other=self._value)}
        if dataclasses.is_dataclass(value):
            fields = {f.name: self._value(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"record": [self._value(type(value)), fields]}
        if type(value).__module__ == "pyspark.sql.types":
            return {"type": value.json()}
        try:
            return {"value": self._plain(value)}
        except _NotPlain:
            return self._strange(value)

    def _plain(self, value: Any, other: Any = None) -> Any:
        """Return plain data in a form that is the same in every process and folder. Raises _NotPlain."""
        kind = type(value)
        if kind is str:
            return ["str", self._territory.relative(value)]
        if kind in _SCALARS or kind in _TIMES:
            return [kind.__name__, repr(value)]
        if kind in (list, tuple):
            return [kind.__name__, *(self._plain(item, other) for item in value)]
        if kind in (set, frozenset):
            return [kind.__name__, *sorted((self._plain(item, other) for item in value), key=str)]
        if kind is dict:
            items = ([self._plain(k, other), self._plain(v, other)] for k, v in value.items())
            return ["dict", *sorted(items, key=str)]
        if other is None:
            raise _NotPlain
        return other(value)

    def _module_of(self, namespace: Mapping[str, Any]) -> Module | None:
        key = f"{namespace.get('__name__')} {namespace.get('__file__')}"
        if key not in self._modules:
            self._modules[key] = Module.of(namespace)
        return self._modules[key]

    def _unreadable(self, code: CodeType, *, several: bool) -> NoReturn:
        why = "several lambdas stand on its line" if several else "it is not where it was loaded from"
        raise DeclarationError(
            f"the source of {code.co_name!r} ({code.co_filename}:{code.co_firstlineno}), which {self._table.name} "
            f"reaches, cannot be told: {why}",
            origin=self._table.origin,
            hint="Define it with def in a file, or say version='1' and change it with the logic.",
        )

    def _strange(self, value: object) -> NoReturn:
        raise DeclarationError(
            f"{self._table.name} reaches a value of type {type(value).__name__} that cannot be compared between "
            "processes",
            origin=self._table.origin,
            hint="Make it from plain data at module level, or say version='1' and change it with the logic.",
        )


def _is_function(value: object) -> TypeGuard[FunctionType]:
    return isinstance(value, FunctionType)


def _named_functions(value: object) -> list[FunctionType]:
    """Return the functions a list, tuple or dict holds: a registry, say, that decorators fill."""
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
