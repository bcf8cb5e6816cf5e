"""Parquet files whose types differ from the tape's: taken where no value changes, set aside alone where one would."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from kappa_assets import Files
from kappa_assets.sources.files.file_batch import FileBatch, read_batch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SOURCE = Files("o", format="parquet")
NAN, INFINITY = float("nan"), float("inf")
POINT = StructType([StructField("x", LongType()), StructField("y", StringType())])
NOON = dt.datetime(2026, 1, 5, 12, 0, 0, 123456)  # noqa: DTZ001 -- a time without a zone is what is tried
ARROW: list[tuple[pa.DataType, Any, DataType, Any]] = [
    (pa.int32(), 7, LongType(), 7),
    (pa.int64(), 2**31 - 1, IntegerType(), 2**31 - 1),
    (pa.uint64(), 2**63 - 1, LongType(), 2**63 - 1),
    (pa.float64(), -3.0, LongType(), -3),
    (pa.float64(), 2.0**53 - 1, LongType(), 2**53 - 1),
    (pa.float32(), 5.0, IntegerType(), 5),
    (pa.int64(), 2**53, DoubleType(), 2.0**53),
    (pa.float32(), 0.5, DoubleType(), 0.5),
    (pa.float64(), 0.5, FloatType(), 0.5),
    (pa.float64(), INFINITY, FloatType(), INFINITY),
    (pa.int32(), 12, DecimalType(5, 2), Decimal("12.00")),
    (pa.decimal128(12, 3), Decimal("1.230"), DecimalType(5, 2), Decimal("1.23")),
    (pa.dictionary(pa.int32(), pa.string()), "a", StringType(), "a"),
    (pa.large_string(), "a", StringType(), "a"),
    (pa.timestamp("ms"), NOON.replace(microsecond=0), TimestampNTZType(), NOON.replace(microsecond=0)),
    (pa.timestamp("ns"), NOON, TimestampNTZType(), NOON),
    (pa.timestamp("ns", "UTC"), NOON, TimestampType(), NOON),
    (pa.timestamp("ns"), dt.datetime(1901, 1, 1, 0, 0, 0, 1), TimestampNTZType(), dt.datetime(1901, 1, 1, 0, 0, 0, 1)),  # noqa: DTZ001
    (pa.null(), None, POINT, None),
    (pa.list_(pa.null()), [None], ArrayType(StringType()), [None]),
    (pa.list_(pa.null()), [], ArrayType(POINT), []),
    (pa.list_(pa.float64()), [1.0, None], ArrayType(LongType()), [1, None]),
    (pa.struct([("y", pa.string())]), {"y": "b"}, POINT, (None, "b")),
    (pa.struct([("y", pa.null()), ("X", pa.float64())]), {"y": None, "X": 4.0}, POINT, (4, None)),
]
REFUSED: list[tuple[pa.DataType, Any, DataType, str]] = [
    (pa.int64(), 2**31, IntegerType(), "v holds int64 values that are no int"),
    (pa.uint64(), 2**63, LongType(), "v holds uint64 values that are no bigint"),
    (pa.float64(), 1.5, LongType(), "v holds double values that are no bigint"),
    (pa.float64(), 2.0**53, LongType(), "v holds double values"),
    (pa.float64(), NAN, LongType(), "v holds double values"),
    (pa.float64(), INFINITY, LongType(), "v holds double values"),
    (pa.int64(), 2**53 + 1, DoubleType(), "v holds int64 values that are no double"),
    (pa.float64(), 0.1, FloatType(), "v holds double values that are no float"),
    (pa.int32(), 1_000, DecimalType(5, 2), "v holds int32 values that are no decimal(5,2)"),
    (pa.decimal128(12, 3), Decimal("1.234"), DecimalType(5, 2), "values that are no decimal(5,2)"),
    (pa.decimal128(9, 2), Decimal("7.00"), LongType(), "v is decimal(9,2), not bigint"),
    (pa.string(), "7", LongType(), "v is string, not bigint"),
    (pa.int64(), 7, StringType(), "v is bigint, not string"),
    (pa.timestamp("us"), NOON, TimestampType(), "v is timestamp_ntz, not timestamp"),
    (pa.timestamp("ns"), NOON, TimestampType(), "v is timestamp_ntz, not timestamp"),
    (pa.timestamp("ns"), 1_001, TimestampNTZType(), "v holds times finer than a microsecond"),
    (pa.list_(pa.timestamp("ns")), [NOON], ArrayType(LongType()), "v holds times in nanoseconds inside"),
    (pa.list_(pa.float64()), [0.5], ArrayType(LongType()), "v holds double values"),
    (pa.struct([("x", pa.int64()), ("z", pa.int64())]), {"x": 1, "z": 2}, POINT, "v has the field z, which the tape"),
    (pa.struct([("x", pa.float64())]), {"x": 0.5}, POINT, "v.x holds double values that are no bigint"),
]


def land(folder: Path, name: str, kind: pa.DataType, values: list[Any]) -> str:
    pq.write_table(pa.table({"v": pa.array(values, kind)}), folder / name)
    return str(folder / name)


def read(spark: SparkSession, paths: list[str], tape: DataType | None) -> FileBatch:
    return read_batch(spark, SOURCE, paths, {} if tape is None else {"V": tape})


def plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, tuple) else value


def test_a_value_that_stays_the_same_is_taken_in_the_tapes_type(spark: SparkSession, tmp_path: Path) -> None:
    for number, (kind, value, tape, expected) in enumerate(ARROW):
        path = land(tmp_path, f"{number}.parquet", kind, [value, None])
        batch = read(spark, [path], tape)
        assert (batch.rows is not None, batch.set_aside) == (True, ()), (kind, tape)
        assert batch.rows is not None
        if not pa.types.is_null(kind):
            assert batch.rows.schema["v"].dataType.simpleString() == tape.simpleString()
            assert [plain(row.v) for row in batch.rows.collect()] == [expected, None], (kind, tape)


def test_a_value_that_would_change_sets_its_file_aside_alone(spark: SparkSession, tmp_path: Path) -> None:
    for number, (kind, value, tape, expected) in enumerate(REFUSED):
        bad = land(tmp_path, f"{number}.parquet", kind, [None, value])
        batch = read(spark, [bad], tape)
        assert batch.rows is None
        assert expected in batch.set_aside[0].reason
    good = [land(tmp_path, f"good{n}.parquet", pa.float64(), [float(n), None]) for n in range(2)]
    batch = read(spark, [*good, str(tmp_path / "2.parquet")], LongType())
    assert [(Path(a.file).name, a.reason) for a in batch.set_aside] == [
        ("2.parquet", "has columns of another type than the tape: v holds double values that are no bigint")
    ]
    assert batch.rows is not None
    assert sorted(str(row.v) for row in batch.rows.collect()) == ["0", "1", "None", "None"]


def test_a_column_of_nothing_leaves_its_type_open_until_a_file_tells_it(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "v": pa.nulls(1), "l": pa.array([[]], pa.list_(pa.null()))}), tmp_path / "a")
    pq.write_table(pa.table({"id": [2], "v": ["X10"], "l": [["t"]]}), tmp_path / "b")
    alone = read(spark, [str(tmp_path / "a")], None)
    assert alone.rows is None
    assert "l holds empty values only, and no other file has told its type yet" in alone.set_aside[0].reason
    batch = read(spark, [str(tmp_path / "a"), str(tmp_path / "b")], None)
    assert batch.rows is not None
    assert sorted((r.id, r.v, r.l) for r in batch.rows.collect()) == [(1, None, []), (2, "X10", ["t"])]
    pq.write_table(pa.table({"id": [1], "v": pa.nulls(1)}), tmp_path / "c")
    open_type = read(spark, [str(tmp_path / "c")], None)
    assert open_type.rows is not None
    assert open_type.rows.columns == ["id", "_source", "_arrived_at"]


def test_names_inside_a_parquet_file_are_names(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"*": [1], "a.b": [2], "c`d": [3.0], "µ": [4]}), tmp_path / "a")
    batch = read_batch(spark, SOURCE, [str(tmp_path / "a")], {"c_d": LongType(), "μ": LongType()})
    assert batch.rows is not None
    (row,) = batch.rows.collect()
    assert [row["*"], row["a_b"], row["c_d"], row["µ"]] == [1, 2, 3, 4]
