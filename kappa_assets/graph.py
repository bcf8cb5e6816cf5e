"""A pipeline: the tables of a module, their upstreams resolved and checked, in the order data flows."""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from kappa_assets.declare.data_flow import check_cycles, check_upstreams, resolve, upstream_first
from kappa_assets.declare.kafka import Kafka
from kappa_assets.declare.source import DeclaredSource, Files
from kappa_assets.declare.tables import Bronze, Derived, Table
from kappa_assets.errors import DeclarationError, PipelineNotFound, SetupError, TableNotDeclared
from kappa_assets.fingerprint.code_version import code_version
from kappa_assets.names import TableName, identifier

_LOADED_FROM_FILE = "__kappa_loaded_from_file__"
_COORDINATES = re.compile(r"[\w.-]+:[\w.-]+:[\w.-]+", re.ASCII)
_NO_SESSION = "SESSION_OR_CONTEXT_NOT_EXISTS"
"""How Spark names an error of a function that was called without one."""


@dataclass(frozen=True)
class Pipeline:
    """The tables of one pipeline, upstream first.

    Raises DeclarationError when it is made: for an unknown or ambiguous upstream, a cycle, a wrong layer
    order, or logic whose source cannot be read.
    """

    name: str
    tables: Mapping[TableName, Table] = field(hash=False)
    upstreams: Mapping[TableName, tuple[TableName, ...]] = field(hash=False)
    """The tables that each Silver and Gold reads, in the order of its parameters; a tape is not in it."""
    start: dt.date
    """The first slice shown as a Dagster partition; earlier ones flow too, and are reported without one."""
    logic_packages: tuple[str, ...] = ()
    """The Maven coordinates of what the functions of its tables need of Spark, such as spark-avro's."""

    @classmethod
    def of(
        cls, name: str, *modules: ModuleType, start: dt.date = dt.date(2026, 1, 1), packages: Iterable[str] = ()
    ) -> Pipeline:
        """Return the pipeline of every table found in `modules`. `packages`: what their functions need of Spark."""
        found = (t for module in modules for t in _tables_in(module))
        return cls.from_tables(name, found, start=start, packages=packages)

    @classmethod
    def from_tables(
        cls,
        name: str,
        tables: Iterable[Table],
        *,
        start: dt.date = dt.date(2026, 1, 1),
        packages: Iterable[str] = (),
    ) -> Pipeline:
        """Return the pipeline of exactly `tables`; their code versions are taken now, from the source.

        `packages`: what their functions need of Spark beside Delta, by Maven coordinates.
        """
        by_name: dict[TableName, Table] = {}
        for table in tables:
            other = by_name.setdefault(table.name, table)
            if other is not table:
                raise DeclarationError(
                    f"{table.name} is declared twice, first at {other.origin}",
                    origin=table.origin,
                    hint="One table, one logic: rename one of them.",
                )
        derived = [t for t in by_name.values() if isinstance(t, Derived)]
        upstreams = {t.name: tuple(resolve(t, wanted, by_name) for wanted in t.reads.values()) for t in derived}
        check_cycles(derived, upstreams)
        check_upstreams(derived, upstreams)
        for table in by_name.values():
            code_version(table)
        return cls(
            identifier(name, what="pipeline name"),
            {n: by_name[n] for n in upstream_first(by_name, upstreams)},
            upstreams,
            start,
            coordinates(packages),
        )

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def __getitem__(self, name: TableName) -> Table:
        try:
            return self.tables[name]
        except KeyError:
            raise TableNotDeclared(
                f"pipeline {self.name!r} has no table {name}",
                hint=f"It has {', '.join(map(str, self.tables)) or 'none'}.",
            ) from None

    @property
    def bronzes(self) -> tuple[Bronze, ...]:
        """The tapes, as declared."""
        return tuple(t for t in self if isinstance(t, Bronze))

    @property
    def packages(self) -> tuple[str, ...]:
        """The Maven coordinates of what Spark needs beside Delta: to read its sources, and for its logic."""
        of_sources = {package for b in self.bronzes for one in b.sources for package in one.packages}
        return tuple(sorted(of_sources | {*self.logic_packages}))

    def read_from(self, where: str | None) -> Pipeline:
        """Return this pipeline as the setting KAPPA_SOURCE has it: of `kafka`, with topics in the place of folders.

        Each tape that is declared to read a folder reads the topic of that name then: `shop.orders` for `shop/orders`.
        None, nothing and `folder`: as it is declared. Raises SetupError for another word.
        """
        if where in (None, "", "folder"):
            return self
        if where != "kafka":
            raise SetupError(
                f"KAPPA_SOURCE must be folder or kafka; got {where!r}", hint="Set it to one, or not at all."
            )
        tables = {name: _from_topics(one) if isinstance(one, Bronze) else one for name, one in self.tables.items()}
        return replace(self, tables=tables)

    @property
    def derived(self) -> tuple[Derived, ...]:
        """Silver and Gold tables, upstream first."""
        return tuple(t for t in self if isinstance(t, Derived))

    def derived_table(self, name: TableName) -> Derived:
        """Return the Silver or Gold table of that name."""
        table = self[name]
        if not isinstance(table, Derived):
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
            if reached & {*self.upstreams.get(table, ())}:
                reached.add(table)
        return tuple(t for t in self.tables if t in reached and t != name)

    def readers(self, name: TableName) -> tuple[TableName, ...]:
        """Return the tables that read `name` themselves, upstream first."""
        return tuple(t for t in self.tables if name in self.upstreams.get(t, ()))

    def tape_of(self, name: TableName) -> TableName:
        """Return the tape of a table that stands on one: of a tape itself, and of every table that has slices."""
        return self.tapes_of(name)[0]

    def tapes_of(self, name: TableName) -> tuple[TableName, ...]:
        """Return the Bronze tables that `name` is, in the end, a function of, by name; of a tape, itself."""
        if name not in self.upstreams:
            return (name,)
        return tuple(sorted({tape for upstream in self.upstreams[name] for tape in self.tapes_of(upstream)}))


def coordinates(packages: Iterable[str]) -> tuple[str, ...]:
    """Return Maven coordinates as they are declared. Raises DeclarationError for what is none."""
    given = (packages,) if isinstance(packages, str) else tuple(packages)
    for one in given:
        if not isinstance(one, str) or not _COORDINATES.fullmatch(one):
            raise DeclarationError(
                f"packages must be Maven coordinates, group:name:version; got {one!r}",
                hint="Spark's reader of Avro is org.apache.spark:spark-avro_2.13:4.2.0.",
            )
    return given


def _from_topics(bronze: Bronze) -> Bronze:
    read = [
        Kafka(one.folder.strip("/").replace("/", "."), origin=one.origin) if isinstance(one, Files) else one
        for one in bronze.sources
    ]
    by_label: dict[str, DeclaredSource] = {}
    for one in sorted(read, key=lambda one: one not in bronze.sources):  # a topic that is declared beside goes first
        by_label.setdefault(one.label, one)
    first, *others = by_label.values()
    return replace(bronze, source=first, others=tuple(others))


def load_pipeline(where: str) -> Pipeline:
    """Return the pipeline of a module name (`shop.tables`) or a file (`shop/tables.py`).

    A module that holds a `Pipeline` gives that one; otherwise the tables in it are collected.
    Raises PipelineNotFound; DeclarationError for what is declared wrongly.
    """
    try:
        module = _module_of_file(Path(where)) if where.endswith(".py") else _module_of_name(where)
    except Exception as error:
        if _NO_SESSION not in str(error):
            raise
        raise DeclarationError(
            f"{where} needs a Spark session to load",
            hint="A pipeline loads without one: give a UDF its type as an object, F.udf(f, StringType()) and not "
            'F.udf(f, "string"), and call other functions of Spark inside the functions of the tables.',
        ) from error
    declared = {id(value): value for value in vars(module).values() if isinstance(value, Pipeline)}
    if len(declared) > 1:
        names = ", ".join(sorted(pipeline.name for pipeline in declared.values()))
        raise PipelineNotFound(
            f"{where!r} holds {len(declared)} pipelines: {names}",
            hint="Name the module of one of them.",
        )
    for pipeline in declared.values():
        return pipeline
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
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if not all(part.isidentifier() for part in name.split(".")) or f"{name}.".startswith(f"{missing}."):
            raise PipelineNotFound(
                f"no module {name!r}",
                hint="Name an importable module, or a file ending in .py.",
            ) from error
        raise


def _module_of_file(path: Path) -> ModuleType:
    """Import a file as Python would: inside its package if it has one, and with what lies beside it."""
    file = path.resolve()
    if not file.is_file():
        raise PipelineNotFound(f"no file {str(path)!r}", hint="Name a module, or a file ending in .py.")
    parts = [] if file.stem == "__init__" else [file.stem]
    root = file.parent
    while (root / "__init__.py").is_file():
        parts, root = [root.name, *parts], root.parent
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    name = ".".join(parts)
    alone = root == file.parent
    module = _lone_module(name, file) if alone else importlib.import_module(name)
    if not _lies_at(module, file):
        raise _taken(name, file, module)
    return module


def _lone_module(name: str, file: Path) -> ModuleType:
    """Import a file that lies in no package, anew, under its own name."""
    before = sys.modules.get(name)
    if before is not None and not hasattr(before, _LOADED_FROM_FILE) and _lies_at(before, file):
        return before
    if name in sys.stdlib_module_names or (before is not None and not hasattr(before, _LOADED_FROM_FILE)):
        raise _taken(name, file, before)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PipelineNotFound(f"{str(file)!r} is no Python file", hint="Name a file ending in .py.")
    module = importlib.util.module_from_spec(spec)
    setattr(module, _LOADED_FROM_FILE, True)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _lies_at(module: ModuleType, file: Path) -> bool:
    return module.__file__ is not None and Path(module.__file__).resolve() == file


def _taken(name: str, file: Path, by: ModuleType | None) -> PipelineNotFound:
    where = getattr(by, "__file__", None) or "a module of Python"
    return PipelineNotFound(
        f"{str(file)!r} cannot be loaded as {name!r}: that is {where}",
        hint="Rename the file.",
    )


def _tables_in(module: ModuleType) -> Iterator[Table]:
    seen: set[int] = set()
    for value in vars(module).values():
        if isinstance(value, Table) and id(value) not in seen:
            seen.add(id(value))
            yield value
