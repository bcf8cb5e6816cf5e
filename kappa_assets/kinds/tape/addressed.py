"""The rows of a batch with their addresses on the tape: what every source's rows get, and no source gives."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StringType, StructField, StructType

from kappa_assets.columns import (
    ARRIVAL_DATE,
    ARRIVED_AT,
    BATCH_ID,
    INGESTED_AT,
    OF_THE_TAPE,
    ROW,
    SOURCE,
    SOURCE_NAME,
    quoted,
)
from kappa_assets.declare.source import Form
from kappa_assets.log.note import IMPLAUSIBLE
from kappa_assets.sources.arrival import arrival
from kappa_assets.sources.column_names import same_name
from kappa_assets.sources.source import Taken


def addressed(
    taken: Taken, tape_batch: int, read_at: dt.datetime, known: StructType, source: str | None = None
) -> DataFrame:
    """Return rows with address, arrival and slice, and with every column that the tape has or is declared to have.

    `known`: the tape's columns, or those declared of one that is to be made. Rows whose source gives a time that cannot
    be arrive at `read_at`; the column IMPLAUSIBLE, which the tape does not have, says of which. `source`: which of the
    tape's sources they are from; None where there is one.
    """
    rows = taken.rows
    assert rows is not None  # noqa: S101 -- for mypy; the caller has looked
    empty = _empty_text(rows)
    micros = int(read_at.timestamp() * 1_000_000)
    now = F.timestamp_micros(_batch_constant(micros, empty))
    arrived = arrival(F.col(ARRIVED_AT), now, taken.of_a_date)
    payload = [_in_the_tapes_form(f, known) for f in rows.schema if f.name not in OF_THE_TAPE]
    result = rows.select(
        *payload,
        _where_from(rows, known, source),
        _batch_constant(tape_batch, empty).alias(BATCH_ID),
        F.monotonically_increasing_id().alias(ROW),
        now.alias(INGESTED_AT),
        (F.lit(None).cast("timestamp") if taken.arrival_unknown else arrived.at).alias(ARRIVED_AT),
        arrived.at.cast("date").alias(ARRIVAL_DATE),
        arrived.implausible.alias(IMPLAUSIBLE),
    )
    missing = [f for f in known if f.name not in result.columns]
    return result.withColumns({f.name: F.lit(None).cast(f.dataType) for f in missing})


def columns_of_all(mine: StructType, given: Sequence[Mapping[str, Form]]) -> StructType:
    """Return the columns that one source says it has, and those that sources beside it are known to give.

    What some give as text and others as bytes is bytes: a text has them, and not all bytes are a text.
    """
    if len(given) == 1:
        return mine
    forms: dict[str, Form] = {}
    for name, form in (one for all_of_it in given for one in all_of_it.items()):
        forms[name] = "bytes" if "bytes" in (form, forms.get(name)) else form
    told = [StructField(name, BinaryType() if form == "bytes" else StringType()) for name, form in forms.items()]
    return StructType([*(field for field in mine if field.name not in forms), *told])


def _in_the_tapes_form(field: StructField, known: StructType) -> Column:
    """Return a column as the tape has it: by its name there, and bytes as text, or text as bytes, byte for byte.

    Delta tells columns apart without regard to case: a file's "country" goes into the tape's "Country".
    """
    there = next((one for one in known if same_name(one.name) == same_name(field.name)), field)
    column = F.col(quoted(field.name))
    if {type(field.dataType), type(there.dataType)} == {StringType, BinaryType}:
        column = column.cast(there.dataType)
    return column.alias(there.name)


def _where_from(rows: DataFrame, known: StructType, source: str | None) -> Column:
    """Return `_source` with the fields that the tape knows and those of the rows; `source` is one of them."""
    mine = {field.name: field for field in _fields(rows.schema)}
    theirs = {field.name: field for field in _fields(known)}
    if source is None and theirs.keys() <= mine.keys():
        return F.col(SOURCE)
    told = {
        # In the tape's order: one of another order would be another type.
        name: F.col(SOURCE)[name] if name in mine else F.lit(None).cast(field.dataType)
        for name, field in (theirs | mine).items()
    }
    told |= {SOURCE_NAME: F.lit(source).cast("string")}
    return F.struct(*[value.alias(name) for name, value in told.items()]).alias(SOURCE)


def _fields(schema: StructType) -> list[StructField]:
    """Return the fields of `_source`; none of a table that has no such column yet."""
    kind = schema[SOURCE].dataType if SOURCE in schema.names else None
    return list(kind) if isinstance(kind, StructType) else []


def _batch_constant(value: int, empty: Column) -> Column:
    """Return a number that is the same for all rows of a batch, but not part of the code that Spark generates.

    A plain literal is written into that code, which is then new, and compiled, for every batch: about 60 ms each time.
    """
    return F.concat(F.lit(str(value)), empty).cast("long")


def _empty_text(rows: DataFrame) -> Column:
    """Return a text without a character that Spark does not know to be one."""
    fields = sorted(_fields(rows.schema), key=lambda field: not isinstance(field.dataType, StringType))
    told = F.col(SOURCE)[fields[0].name].cast("string")
    return F.coalesce(F.left(told, F.lit(0)), F.lit(""))
