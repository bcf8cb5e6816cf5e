"""How data flows between the tables of a pipeline: what each may read, and in which order they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kappa_assets.declare.tables import Derived, Silver, Table
from kappa_assets.errors import DeclarationError
from kappa_assets.names import Layer, TableName

Upstreams = Mapping[TableName, tuple[TableName, ...]]
"""The tables that each table reads, in the order of its parameters."""

_READS: Mapping[Layer, tuple[Layer, ...]] = {
    Layer.SILVER: (Layer.BRONZE, Layer.SILVER),
    Layer.GOLD: (Layer.SILVER, Layer.GOLD),
}
_FLOW = "Data flows bronze -> silver -> gold: a Silver reads a tape or Silvers, a Gold reads Silvers or Golds."


def resolve(table: Derived, wanted: str, tables: Mapping[TableName, Table]) -> TableName:
    """Return the table that `wanted`, in a `reads` of `table`, means: by its bare name, of the layer above first.

    Raises DeclarationError where there is none.
    """
    if "." in wanted:
        found = [n for n in tables if str(n) == wanted]
    else:
        found = [n for n in tables if n.name == wanted and n != table.name]
        nearest = ([n for n in found if n.layer is layer] for layer in _READS[table.name.layer])
        found = next(filter(None, nearest), found)
    if not found and wanted == table.name.name:
        return table.name
    if not found:
        raise DeclarationError(
            f"{table.name} reads {wanted!r}, which is no table",
            origin=table.origin,
            hint=f"Say reads={{'<parameter>': '<layer>.<name>'}}; there are {', '.join(map(str, tables))}.",
        )
    return found[0]


def check_cycles(derived: Iterable[Derived], upstreams: Upstreams) -> None:
    """Raise DeclarationError for a table that is, in the end, a function of itself."""
    for table in derived:
        path = _way_back(table.name, [table.name], upstreams)
        if path is not None:
            raise DeclarationError(
                f"cycle: {' -> '.join(map(str, path))} (each reads the next)",
                origin=table.origin,
                hint=f"{_FLOW} Let one of them read a table further up.",
            )


def _way_back(start: TableName, path: list[TableName], upstreams: Upstreams) -> list[TableName] | None:
    """Return how one comes from a table, up and up, to itself; None when one does not."""
    for above in upstreams.get(path[-1], ()):
        if above == start:
            return [*path, start]
        if above not in path and (found := _way_back(start, [*path, above], upstreams)) is not None:
            return found
    return None


def check_upstreams(derived: Iterable[Derived], upstreams: Upstreams) -> None:
    """Raise DeclarationError for a table of the wrong layer, one that is read twice, and a tape that is joined."""
    for table in derived:
        readable, reads = _READS[table.name.layer], upstreams[table.name]
        for upstream in reads:
            if upstream.layer not in readable:
                raise DeclarationError(
                    f"{table.name} reads {upstream}: a {table.name.layer} table reads {' or '.join(readable)}",
                    origin=table.origin,
                    hint=_FLOW,
                )
        _check_silver(table, reads)
        if len(set(reads)) < len(reads):
            raise DeclarationError(
                f"{table.name} reads {max(reads, key=reads.count)} by two parameters",
                origin=table.origin,
                hint="Take it once: the function may use one DataFrame as often as it likes.",
            )


def _check_silver(table: Derived, reads: tuple[TableName, ...]) -> None:
    """Raise DeclarationError for a Silver with keys over a tape, and for one without over anything else."""
    if not isinstance(table, Silver):
        return
    tape = next((upstream for upstream in reads if upstream.is_tape), None)
    if table.keys and tape is not None:
        raise DeclarationError(
            f"{table.name} has keys, and reads the tape {tape}",
            origin=table.origin,
            hint="Make a Silver of the tape first, row by row: a tape does not tell what changed by columns.",
        )
    if table.cdc is not None and tape is None:
        raise DeclarationError(
            f"{table.name} has cdc, and reads {reads[0]}: changes are read off a tape alone",
            origin=table.origin,
            hint="Read the tape that it is made of; what is to be done to a change, its function does.",
        )
    if not table.keys and tape is None:
        parameter = next(iter(table.reads))
        raise DeclarationError(
            f"{table.name} reads {reads[0]}, row by row: only a tape is read so",
            origin=table.origin,
            hint="A row above may change: say which rows belong together, as "
            f"keys=['_batch_id', '_row'], by={{'{parameter}': ['_batch_id', '_row']}} does for one at a time.",
        )


def upstream_first(tables: Iterable[TableName], upstreams: Upstreams) -> list[TableName]:
    """Return tables by layer and name, but none before what it reads."""
    found: list[TableName] = []

    def add(name: TableName) -> None:
        if name not in found:
            for above in sorted(upstreams.get(name, ()), key=_by_layer):
                add(above)
            found.append(name)

    for name in sorted(tables, key=_by_layer):
        add(name)
    return found


def _by_layer(name: TableName) -> tuple[int, str]:
    return list(Layer).index(name.layer), name.name
