"""Which rows differ between two tables in memory, as Spark's groups are equal: exact, and without a job of Spark."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kappa_assets.place.local.change_feed.row_changes import CHANGE

_MOST = 1 << 62
"""What a number of 64 bits holds: the numbers of two columns are multiplied up to it."""


def differing(old: pa.Table, new: pa.Table) -> pa.Table | None:
    """Return the rows that are more often in the one than in the other, each as often as that, with `_change_type`.

    None where no row differs. Both have the same columns, one at least. Null is null, nan is nan, and -0.0 is 0.0.
    Values become small whole numbers, by a dictionary for each column, and so does a row, of which they are digits:
    there is no hash that two rows could share. 800,000 rows of 4 columns took a third of what Arrow's groups took.
    """
    both = pa.concat_tables([old, new])
    ordinal = pa.array(range(both.num_rows), pa.int64())
    sign = pc.if_else(pc.less(ordinal, old.num_rows), -1, 1)
    rows = pa.table({"number": _row_numbers(both), "ordinal": ordinal, "sign": sign})
    counted = rows.group_by("number").aggregate([("sign", "sum"), ("ordinal", "min"), ("ordinal", "max")])
    counted = counted.filter(pc.not_equal(counted["sign_sum"], 0))
    if not counted.num_rows:
        return None
    times = counted["sign_sum"].to_pylist()
    # Equal rows may look different, as -0.0 does: what is deleted is given as it was, what comes as it is.
    which = pc.if_else(pc.less(counted["sign_sum"], 0), counted["ordinal_min"], counted["ordinal_max"]).to_pylist()
    chosen = chain.from_iterable(repeat(one, abs(often)) for one, often in zip(which, times, strict=True))
    said = chain.from_iterable(repeat("insert" if often > 0 else "delete", abs(often)) for often in times)
    found = both.take(pa.array(chosen, pa.int64()))
    return found.append_column(CHANGE, pa.array(said, pa.string()))


def _row_numbers(rows: pa.Table) -> pa.Array:
    """Return a number for each row, the same for equal ones."""
    number, size = pa.array(repeat(0, rows.num_rows), pa.int64()), 1
    for column in rows.columns:
        for values in _comparable(column.combine_chunks()):
            digit, base = _numbered(values)
            if size * base > _MOST:
                number, size = _numbered(number)
            number, size = pc.add(pc.multiply(number, base), digit), size * base
    return number


def _numbered(values: pa.Array) -> tuple[pa.Array, int]:
    """Return a number for each value, the same for equal ones, and how many there are. Null has one too."""
    encoded = pc.dictionary_encode(values, null_encoding="encode")
    return encoded.indices.cast(pa.int64()), max(len(encoded.dictionary), 1)


def _comparable(values: pa.Array) -> Iterator[pa.Array]:
    """Yield arrays without fields, that are equal in all of them where values are."""
    kind = values.type
    if pa.types.is_struct(kind):
        yield pc.is_null(values)
        for n in range(kind.num_fields):
            yield from _comparable(pc.struct_field(values, [n]))
    elif pa.types.is_nested(kind):
        plain = values.cast(_stored(kind)).to_pylist()
        yield pa.array([None if value is None else repr(_plain(value)) for value in plain], pa.string())
    elif pa.types.is_floating(kind):
        known = pc.if_else(pc.is_nan(values), pa.scalar(math.nan, kind), values)
        yield pc.add(known, pa.scalar(0.0, kind))  # which makes 0.0 of -0.0
    else:
        yield values


def _plain(value: Any) -> Any:
    """Return what is written alike for equal values."""
    match value:
        case dict():
            return [_plain(inner) for inner in value.values()]
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float():
            return value + 0.0
    return value


def _stored(kind: pa.DataType) -> pa.DataType:
    """Return the type that holds days and times as numbers, and texts as bytes: Python has no equal of some of them."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _stored(f.type)) for f in kind])
    if pa.types.is_map(kind):
        return pa.map_(_stored(kind.key_type), _stored(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_stored(kind.value_type))
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return pa.int64() if pa.types.is_timestamp(kind) else pa.int32()
    return pa.binary() if pa.types.is_string(kind) else kind
