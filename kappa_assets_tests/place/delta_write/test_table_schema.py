"""What may come to be added to a table's columns, inside of them too, and what is refused and how that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DataType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
)

from kappa_assets.errors import LogicError
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import write_files
from kappa_assets.place.local.delta_write.table_schema import check_schema

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

TEXT, LONG = StringType(), LongType()


def struct(**fields: DataType) -> StructType:
    return StructType([StructField(name, kind, True) for name, kind in fields.items()])


KNOWN = struct(id=IntegerType(), name=TEXT, at=struct(x=LONG, y=LONG), lines=ArrayType(struct(no=LONG)))


def changed(**columns: DataType | None) -> StructType:
    """Return the known columns with some of another type, or without them."""
    types = {f.name: f.dataType for f in KNOWN} | columns
    return struct(**{name: kind for name, kind in types.items() if kind is not None})


ADDED = {
    "a column": (struct(**{f.name: f.dataType for f in KNOWN}, price=LONG), ["price"]),
    "a column before others": (StructType([StructField("price", LONG), *KNOWN]), ["price"]),
    "columns in another order and case": (StructType([StructField("NAME", TEXT), *(KNOWN[n] for n in (3, 2, 0))]), []),
    "a field": (changed(at=struct(x=LONG, y=LONG, z=TEXT)), ["at"]),
    "a field of an array's structs": (changed(lines=ArrayType(struct(no=LONG, sku=TEXT))), ["lines"]),
}


@pytest.mark.parametrize("what", ADDED)
def test_columns_and_fields_may_come_to_be(what: str) -> None:
    wanted, added = ADDED[what]
    assert [field.name for field in check_schema("silver.t", KNOWN, wanted)] == added


REFUSED = {
    "removed": (changed(name=None), "has a column 'name' (string) that its function does not"),
    "renamed": (changed(name=None, title=TEXT), "new is 'title' (string)"),
    "widened": (changed(id=LONG), "has 'id' as int, but its function gives bigint"),
    "narrowed": (changed(at=struct(x=IntegerType(), y=LONG)), "has 'at.x' as bigint, but its function gives int"),
    "a field removed": (changed(at=struct(x=LONG)), "has a field 'at.y' where its function gives 'at' with x;"),
    "a field before others": (changed(at=struct(x=LONG, z=LONG, y=LONG)), "'at' with x, z, y; new fields come last"),
    "a field in another case": (changed(at=struct(x=LONG, Y=LONG)), "has a field 'at.y' where"),
    "a field of an array's structs": (
        changed(lines=ArrayType(struct(no=TEXT))),
        "has 'lines[].no' as bigint, but its function gives string",
    ),
    "several": (changed(id=LONG, name=None), "that its function does not"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_taken_away_or_changed_is_refused_and_spelled_out(what: str) -> None:
    wanted, told = REFUSED[what]
    with pytest.raises(LogicError) as error:
        check_schema("silver.t", KNOWN, wanted)
    assert str(error.value).startswith("silver.t has ")
    assert told in str(error.value)
    assert "kappa replay" in str(error.value)
    assert ("'id' as int" in str(error.value)) == (what in {"widened", "several"})


def test_the_values_of_a_map_have_fields_too_and_its_keys_stay() -> None:
    known, wanted = MapType(TEXT, struct(a=LONG)), MapType(TEXT, struct(a=LONG, b=LONG))
    assert [f.name for f in check_schema("silver.t", struct(m=known), struct(m=wanted))] == ["m"]
    with pytest.raises(LogicError, match="'m' as map<string,struct<a:bigint>>, but its function gives map<bigint"):
        check_schema("silver.t", struct(m=known), struct(m=MapType(LONG, struct(a=LONG))))


def test_rows_of_before_a_field_came_are_read_with_null_there(spark: SparkSession, tmp_path: Path) -> None:
    writer = DeltaWriter("silver.t", tmp_path / "t")
    first = spark.range(2).select("id", F.struct("id", F.array(F.struct("id")).alias("l")).alias("s"))
    wider = F.array(F.struct("id", F.lit("a").alias("k"))).alias("l")
    second = spark.range(2, 3).select("id", F.struct("id", wider, F.lit(7).alias("n")).alias("s"))
    for number, rows in enumerate((first, second)):
        writer.prepare(rows.schema)
        writer.commit(write_files(rows, writer.folder), Once("app", number), "")
    expected = {0: (None, None), 1: (None, None), 2: ("a", 7)}
    assert read(spark.read.format("delta").load(str(writer.folder))) == expected
    found = DeltaTable(writer.folder).to_pyarrow_table().to_pylist()
    assert {row["id"]: (row["s"]["l"][0]["k"], row["s"]["n"]) for row in found} == expected


def read(rows: DataFrame) -> dict[int, tuple[str | None, int | None]]:
    return {row.id: (row.s.l[0].k, row.s.n) for row in rows.collect()}
