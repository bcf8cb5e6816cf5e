"""The files that a version of a table consists of, as values of Python's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_BOUNDS = ("min.", "max.")


def held(files: pa.Table) -> list[Any]:
    """Return path, size_bytes, modification_time, num_records, partition.<column> and the bounds of whole numbers.

    `min.<column>` and `max.<column>` of other types are left out: Python has no equal of some, such as days of year 0,
    of which Spark writes bounds when it rewrites a file.
    """
    import pyarrow as pa

    wanted = [n for n, f in enumerate(files.schema) if not f.name.startswith(_BOUNDS) or pa.types.is_integer(f.type)]
    found: list[Any] = files.select(wanted).to_pylist()
    return found
