"""What a tape's own tables tell of its deliveries, where the notes of its commits are gone, or have never been."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from kappa_assets.columns import SOURCE

_OF_A_ROW = ("file", "bytes", "modified_at")
_WITHOUT_A_SIZE = -1


def rows_tell(tape: Path) -> Iterator[tuple[Any, ...]]:
    """Yield file, time of modification, size, None and 0 of each delivery that a tape has rows of, from its rows.

    A delivery without a row, such as a header alone, is not found: when it is read again, it brings nothing again.
    """
    rows = DeltaTable(tape).to_pyarrow_dataset()
    columns = {name: ds.field(SOURCE, name) for name in _OF_A_ROW}
    for part in rows.to_batches(columns=columns):
        files = pa.table(part).group_by(list(_OF_A_ROW)).aggregate([])
        times = pc.cast(files.column("modified_at"), pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64())
        for file, size, modified in zip(
            files.column("file").to_pylist(), files.column("bytes").to_pylist(), times.to_pylist(), strict=True
        ):
            yield file, modified, size, None, 0


def set_aside_tell(rejects: Path) -> Iterator[tuple[Any, ...]]:
    """Yield file, time of modification, size, hash and 1 of each file set aside.

    An earlier version did not write down size and time; what lay there then was no younger than the moment it was set
    aside.
    """
    for row in DeltaTable(rejects).to_pyarrow_table().to_pylist():
        if row["retried_as"] is not None:
            continue
        if row.get("bytes") is None:
            yield row["file"], int(row["at"].timestamp() * 1000), _WITHOUT_A_SIZE, None, 1
        else:
            yield row["file"], row["modified_ms"], row["bytes"], row.get("hash"), 1
