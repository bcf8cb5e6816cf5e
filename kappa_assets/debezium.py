"""Debezium's envelopes read: what a row of the source was or is, which change that was, and where it stands in the log.

`from kappa_assets import debezium`, and in the function of a Silver with `cdc`:

    debezium.changes(customer_changes, "id bigint, name string", source="lsn bigint, ts_ms bigint")
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import LINEAGE, quoted
from kappa_assets.errors import LogicError

OP = "_op"
"""String: `c` created, `u` updated, `d` deleted, `r` read by a snapshot, `t` truncated; null where it is not known."""
SOURCE = "_source_"
"""What the names of columns begin with that are fields of the envelope's `source`: `_source_lsn`."""
_BROKEN = "_broken"
_ENVELOPE = "_envelope"


def changes(
    tape: DataFrame,
    schema: StructType | str,
    *,
    source: StructType | str = "ts_ms bigint",
    value: str = "value",
) -> DataFrame:
    """Return a row for each change that a tape of envelopes tells, row by row, with the lineage of the tape.

    An envelope is JSON, with or without the wrapper `{"schema": ..., "payload": ...}`. Of each the columns of `schema`
    are those of `after`, or of `before` for a delete; beside them stand `_op` and `_source_<field>`. A tombstone, which
    is null, says nothing that the delete before it does not, and gives no row. A change of a key comes from Debezium as
    a delete and a creation, and is both here.

    An envelope that is no JSON, or has a value that does not fit its column, gives a row with nulls in all of them: it
    lacks its key, so that a Silver with `cdc` sets it aside.

    Args:
        tape: with a column of envelopes, and LINEAGE.
        schema: the columns of the source's table, as DDL or a StructType, of the types that the JSON has: Debezium
            writes times as whole numbers and, unless told otherwise, decimals as base64.
        source: those fields of the envelope's `source` that are wanted, such as "lsn bigint, ts_ms bigint" of
            Postgres, or "file string, pos bigint, ts_ms bigint" of MySQL.
        value: the name of the column of envelopes, text or bytes.
    """
    image, told = _parsed(schema), _parsed(source)
    fields = f"before struct<{_ddl(image)}>, after struct<{_ddl(image)}>, op string, source struct<{_ddl(told)}>"
    both = f"{fields}, payload struct<{fields}>, {_BROKEN} string"
    text = F.col(quoted(value)).cast("string")  # a topic gives bytes
    says_something = text.isNotNull() & ~F.trim(text).isin("", "null")
    read = F.from_json(text, both, {"columnNameOfCorruptRecord": _BROKEN})
    rows = tape.where(says_something).select(read.alias(_ENVELOPE), *LINEAGE)
    is_whole = F.col(f"{_ENVELOPE}.{_BROKEN}").isNull()
    op = F.when(is_whole, _either("op"))
    return rows.select(
        *[
            F.when(is_whole, F.when(op == "d", _either("before", name)).otherwise(_either("after", name))).alias(name)
            for name in image.names
        ],
        op.alias(OP),
        *[F.when(is_whole, _either("source", name)).alias(f"{SOURCE}{name}") for name in told.names],
        *LINEAGE,
    )


def _either(*path: str) -> Column:
    """Return a field of the envelope, which may lie in a wrapper."""
    inside = ".".join(map(quoted, path))
    wrapped = F.col(f"{_ENVELOPE}.payload")
    return F.when(wrapped.isNotNull(), F.col(f"{_ENVELOPE}.payload.{inside}")).otherwise(F.col(f"{_ENVELOPE}.{inside}"))


def _parsed(schema: StructType | str) -> StructType:
    found = StructType.fromDDL(schema) if isinstance(schema, str) else schema
    if not isinstance(found, StructType):
        raise LogicError(
            f"the columns {schema!r} are one type, {found.simpleString()}, and no list of columns",
            hint="Write names and types: 'id bigint, name string'.",
        )
    return found


def _ddl(schema: StructType) -> str:
    return ", ".join(f"{quoted(field.name)}: {field.dataType.simpleString()}" for field in schema)
