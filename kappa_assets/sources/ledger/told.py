"""What a tape's own tables tell of its deliveries, where the notes of its commits are gone, or have never been."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from kappa_assets.columns import BATCH_ID, SOURCE, SOURCE_NAME
from kappa_assets.sources.standings import ANY, Mine

_OF_A_ROW = ("file", "bytes", "modified_at")
_WITHOUT_A_SIZE = -1


def source_columns(schema: pa.Schema, fields: Sequence[str]) -> dict[str, ds.Expression]:
    """Return fields of `_source` as columns, and which source it is where the tape says that."""
    return {name: ds.field(SOURCE, name) for name in (*fields, *({SOURCE_NAME} & _told(schema)))}


def tells_files(schema: pa.Schema) -> bool:
    """Return whether a tape has had rows of files; else it was read from something else so far."""
    return _told(schema).issuperset(_OF_A_ROW)


def _told(schema: pa.Schema) -> set[str]:
    """Return the names of the fields of `_source`."""
    kind = schema.field(SOURCE).type
    return {kind.field(number).name for number in range(kind.num_fields)}


def rows_tell(tape: Path, mine: Mine = ANY) -> Iterator[tuple[Any, ...]]:
    """Yield file, time of modification, size, None, 0 and batch of each delivery that a tape has rows of.

    A delivery without a row, such as a header alone, is not found: when it is read again, it brings nothing again.
    """
    rows = DeltaTable(tape).to_pyarrow_dataset()
    if not tells_files(rows.schema):
        return
    columns = source_columns(rows.schema, _OF_A_ROW) | {BATCH_ID: ds.field(BATCH_ID)}
    for part in rows.to_batches(columns=columns):
        files = pa.table(part).group_by(list(columns)).aggregate([])
        times = pc.cast(files.column("modified_at"), pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64())
        for row, modified in zip(files.to_pylist(), times.to_pylist(), strict=True):
            if row["file"] is None or not mine(row.get(SOURCE_NAME)):
                continue
            yield row["file"], modified, row["bytes"], None, 0, row[BATCH_ID]


def set_aside_tell(rejects: Path, mine: Mine = ANY) -> Iterator[tuple[Any, ...]]:
    """Yield file, time of modification, size, hash, 1 and None of each file set aside.

    An earlier version did not write down size and time; what lay there then was no younger than the moment it was set
    aside.
    """
    for row in DeltaTable(rejects).to_pyarrow_table().to_pylist():
        if row["retried_as"] is not None or not mine(row.get("source")):
            continue
        if row.get("bytes") is None:
            yield row["file"], int(row["at"].timestamp() * 1000), _WITHOUT_A_SIZE, None, 1, None
        else:
            yield row["file"], row["modified_ms"], row["bytes"], row.get("hash"), 1, None
