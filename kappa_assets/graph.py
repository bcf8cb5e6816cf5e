"""A pipeline: the tables of a module, their upstreams resolved and checked, in the order data flows."""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from kappa_assets.declare.tables import Bronze, Derived, Gold, Silver, Table
from kappa_assets.errors import DeclarationError, PipelineNotFound
from kappa_assets.table import Layer, TableName, identifier

_READS: Mapping[Layer, tuple[Layer, ...]] = {
    Layer.SILVER: (Layer.BRONZE,),
    Layer.GOLD: (Layer.SILVER,),
}


@dataclass(frozen=True)
class Pipeline:
    """The tables of one pipeline, upstream first.

    Raises DeclarationError when it is made, for an unknown or ambiguous upstream, a cycle, or a wrong layer order.
    """

    name: str
    tables: Mapping[TableName, Table]
    upstreams: Mapping[TableName, TableName]
    """The table each Silver and Gold reads."""
    start: dt.date
    """The first slice shown as a Dagster partition; earlier ones flow too, and are reported without one."""

    @classmethod
    def of(cls, name: str, *modules: ModuleType, start: dt.date = dt.date(2026, 1, 1)) -> Pipeline:
        """Return the pipeline of every table found in `modules`."""
        return cls.from_tables(name, (t for module in modules for t in _tables_in(module)), start=start)

    @classmethod
    def from_tables(
        cls, name: str, tables: Iterable[Table], *, start: dt.date = dt.date(2026, 1, 1)
    ) -> Pipeline:
        """Return the pipeline of exactly `tables`."""
        by_name: dict[TableName, Table] = {}
        for table in tables:
            other = by_name.setdefault(table.name, table)
            if other is not table:
                raise DeclarationError(
                    f"{table.name} is declared twice, first at {other.origin}",
                    origin=table.origin,
                    hint="One table, one logic: rename one of them.",
                )
        upstreams = {
            t.name: _resolve(t, wanted, by_name)
            for t in by_name.values()
            if isinstance(t, Derived)
            for wanted in t.reads.values()
        }
        ordered = sorted(by_name, key=lambda n: (list(Layer).index(n.layer), n.name))
        return cls(
            identifier(name, what="pipeline name"),
            {n: by_name[n] for n in ordered},
            upstreams,
            start,
        )

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def __getitem__(self, name: TableName) -> Table:
        try:
            return self.tables[name]
        except KeyError:
            raise PipelineNotFound(
                f"pipeline {self.name!r} has no table {name}",
                hint=f"It has {', '.join(map(str, self.tables)) or 'none'}.",
            ) from None

    @property
    def bronzes(self) -> tuple[Bronze, ...]:
        return tuple(t for t in self if isinstance(t, Bronze))

    @property
    def derived(self) -> tuple[Silver | Gold, ...]:
        """Silver and Gold tables, upstream first."""
        return tuple(t for t in self if isinstance(t, Silver | Gold))

    def derived_table(self, name: TableName) -> Silver | Gold:
        """Return the Silver or Gold table of that name."""
        table = self[name]
        if not isinstance(table, Silver | Gold):
            raise DeclarationError(
                f"{name} is a tape: it is never replayed, only played",
                origin=table.origin,
                hint="Name a Silver or Gold table.",
            )
        return table

    def downstream(self, name: TableName) -> tuple[TableName, ...]:
        """Return every table below `name`, upstream first, without itself."""
        reached = {name}
        for table in self.tables:
            if self.upstreams.get(table) in reached:
                reached.add(table)
        return tuple(t for t in self.tables if t in reached and t != name)

    def tape_of(self, name: TableName) -> TableName:
        """Return the Bronze table that `name` is, in the end, a function of."""
        while name in self.upstreams:
            name = self.upstreams[name]
        return name


def load_pipeline(where: str) -> Pipeline:
    """Return the pipeline of a module name (`shop.tables`) or a file (`shop/tables.py`).

    A module that holds a `Pipeline` gives that one; otherwise the tables in it are collected.
    Raises PipelineNotFound; DeclarationError for what is declared wrongly.
    """
    module = _module_of_file(Path(where)) if where.endswith(".py") else _module_of_name(where)
    declared = [value for value in vars(module).values() if isinstance(value, Pipeline)]
    if declared:
        return declared[0]
    tables = list(_tables_in(module))
    if not tables:
        raise PipelineNotFound(
            f"{where!r} declares no tables",
            hint="Declare them with bronze(...), @silver and @gold at module level.",
        )
    return Pipeline.from_tables(module.__name__.rpartition(".")[2], tables)


def _module_of_name(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise PipelineNotFound(
                f"no module {name!r}",
                hint="Name an importable module, or a file ending in .py.",
            ) from error
        raise


def _module_of_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise PipelineNotFound(f"no file {str(path)!r}", hint="Name a module, or a file ending in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _tables_in(module: ModuleType) -> Iterator[Table]:
    seen: set[int] = set()
    for value in vars(module).values():
        if isinstance(value, Table) and id(value) not in seen:
            seen.add(id(value))
            yield value


def _resolve(table: Derived, wanted: str, tables: Mapping[TableName, Table]) -> TableName:
    """Return the table that `wanted`, in a `reads` of `table`, means."""
    if "." in wanted:
        found = [n for n in tables if str(n) == wanted]
    else:
        found = [n for n in tables if n.name == wanted and n != table.name]
        allowed = [n for n in found if n.layer in _READS[table.name.layer]]
        found = allowed or found
    if len(found) != 1:
        several = ", ".join(map(str, found))
        raise DeclarationError(
            f"{table.name} reads {wanted!r}, which is " + (f"ambiguous: {several}" if found else "no table"),
            origin=table.origin,
            hint=f"reads={{{wanted!r}: 'layer.name'}}; there are {', '.join(map(str, tables))}.",
        )
    if found[0].layer not in _READS[table.name.layer]:
        readable = " or ".join(_READS[table.name.layer])
        raise DeclarationError(
            f"{table.name} reads {found[0]}: a {table.name.layer} table reads {readable}",
            origin=table.origin,
            hint="Data flows bronze -> silver -> gold.",
        )
    return found[0]
