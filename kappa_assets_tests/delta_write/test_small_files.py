"""Small batches written through Arrow are, for every reader, what Spark's own writer would have written."""

from __future__ import annotations

import datetime as dt
import glob
import json
import math
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql.pandas.types import from_arrow_schema

from kappa_assets.delta_write.delta_writer import DeltaWriter
from kappa_assets.delta_write.file_stats import file_stats
from kappa_assets.delta_write.parquet_files import WrittenFiles, write_apart, write_files
from kappa_assets.delta_write.small_files import fetch_small
from kappa_assets.maintenance.merge_files import merge_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

EVERY_TYPE = pa.schema(
    {
        "flag": pa.bool_(),
        "byte": pa.int8(),
        "short": pa.int16(),
        "int": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "price": pa.decimal128(9, 2),
        "exact": pa.decimal128(38, 9),
        "text": pa.string(),
        "raw": pa.binary(),
        "day": pa.date32(),
        "at": pa.timestamp("us", "UTC"),
        "clock": pa.timestamp("us"),
        "inside": pa.struct({"x": pa.int32(), "deep": pa.struct({"at": pa.timestamp("us", "UTC"), "t": pa.string()})}),
        "list": pa.list_(pa.struct({"price": pa.decimal128(5, 1), "clock": pa.timestamp("us")})),
        "map": pa.map_(pa.string(), pa.list_(pa.date32())),
        "part": pa.string(),
    }
)
# As Spark holds them: days and microseconds since 1970, of any year. Python's dates know only 1 to 9999.
LAST_DAY, FOREVER = 2_932_896, 253_402_300_799_999_999
DAYS = st.integers(-(2**31), 2**31 - 1) | st.integers(-800_000, LAST_DAY) | st.sampled_from([LAST_DAY, LAST_DAY + 1])
CLOCKS = (
    st.integers(-(2**63), 2**63 - 1)
    | st.integers(-70_000_000_000_000_000, FOREVER)
    | st.sampled_from([FOREVER - 1000, FOREVER, FOREVER + 1])
)
# Parquet's text is UTF-8, which has no lone surrogates.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# Spark's strings hold any bytes.
BYTES = TEXTS.map(str.encode) | st.binary(max_size=40)


def decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    largest = 10**digits - 1
    return st.integers(-largest, largest).map(lambda n: Decimal(f"{n}E-{places}"))


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def or_none(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


ROWS = st.fixed_dictionaries(
    {
        "flag": or_none(st.booleans()),
        "byte": or_none(integers(8)),
        "short": or_none(integers(16)),
        "int": or_none(integers(32)),
        "long": or_none(integers(64)),
        "float": or_none(st.floats(width=32, allow_nan=False)),
        "double": or_none(st.floats(allow_nan=False)),
        "price": or_none(decimals(9, 2)),
        "exact": or_none(decimals(38, 9)),
        "text": or_none(BYTES),
        "raw": or_none(st.binary(max_size=8)),
        "day": or_none(DAYS),
        "at": or_none(CLOCKS),
        "clock": or_none(CLOCKS),
        "inside": or_none(
            st.fixed_dictionaries(
                {
                    "x": or_none(integers(32)),
                    "deep": or_none(st.fixed_dictionaries({"at": or_none(CLOCKS), "t": or_none(TEXTS)})),
                }
            )
        ),
        "list": or_none(
            st.lists(
                or_none(st.fixed_dictionaries({"price": or_none(decimals(5, 1)), "clock": or_none(CLOCKS)})),
                max_size=3,
            )
        ),
        "map": or_none(
            st.dictionaries(TEXTS, or_none(st.lists(or_none(DAYS), max_size=2)), max_size=3).map(lambda m: [*m.items()])
        ),
        "part": st.sampled_from(["a", "b", None]),
    }
)


def plain(value: Any) -> Any:
    """Return a value that can be counted; nan is equal to itself here."""
    match value:
        case dict():
            return tuple((name, plain(inner)) for name, inner in value.items())
        case list() | tuple():
            return tuple(plain(inner) for inner in value)
        case float() if math.isnan(value):
            return "nan"
        case bytearray():
            return bytes(value)
    return value


def stored(kind: pa.DataType) -> pa.DataType:
    """Return the type that holds the same values as numbers and bytes: Python has no equal of some of the others."""
    if pa.types.is_struct(kind):
        return pa.struct([(f.name, stored(f.type)) for f in kind])
    if pa.types.is_map(kind):
        return pa.map_(stored(kind.key_type), stored(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(stored(kind.value_type))
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return pa.int64() if pa.types.is_timestamp(kind) else pa.int32()
    return pa.binary() if pa.types.is_string(kind) else kind


def counted(rows: pa.Table, columns: list[str]) -> Counter[Any]:
    chosen = rows.select(columns)
    numbers = chosen.cast(pa.schema([(f.name, stored(f.type)) for f in chosen.schema]))
    return Counter(plain(row) for row in numbers.to_pylist())


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows of EVERY_TYPE; their text may be any bytes, which Arrow takes as text if it need not look."""
    position = EVERY_TYPE.get_field_index("text")
    table = pa.Table.from_pylist(rows, schema=EVERY_TYPE.set(position, pa.field("text", pa.binary())))
    text = table.column("text").combine_chunks().view(pa.string())
    return table.set_column(position, EVERY_TYPE.field("text"), text)


class Sides:
    """The same rows written by us through Arrow and by Spark's own writer, each as a Delta table."""

    def __init__(self, spark: SparkSession, folder: Path, rows: DataFrame, *parts: str) -> None:
        self.spark = spark
        self.columns = rows.columns
        self.ours, our_files = self._write(rows, folder / "ours", parts, small=True)
        self.theirs, their_files = self._write(rows, folder / "theirs", parts, small=False)
        assert all("/part-0.parquet" in a.path for a in our_files.actions), "it was not written through Arrow"
        assert our_files.rows == their_files.rows
        self.statistics = tuple(statistics(files) for files in (our_files, their_files))

    @staticmethod
    def _write(rows: DataFrame, folder: Path, parts: tuple[str, ...], *, small: bool) -> tuple[Path, WrittenFiles]:
        writer = DeltaWriter("silver.t", folder, partition_by=parts)
        writer.prepare(rows.schema)
        files = write_files(rows.coalesce(1), folder, parts, small=small)
        writer.commit(files, "app", 0, "{}")
        return folder, files

    def each_reader(self) -> Iterator[tuple[str, Counter[Any], Counter[Any]]]:
        """Yield what Spark, delta-rs and DuckDB read: of ours, and of Spark's."""
        for name, read in (("Spark", self._spark), ("delta-rs", _delta_rs), ("DuckDB", _duckdb)):
            ours, theirs = (counted(read(folder), self.columns) for folder in (self.ours, self.theirs))
            yield name, ours, theirs

    def _spark(self, folder: Path) -> pa.Table:
        return self.spark.read.format("delta").load(str(folder)).toArrow()


def _delta_rs(folder: Path) -> pa.Table:
    return DeltaTable(folder).to_pyarrow_table()


def _duckdb(folder: Path) -> pa.Table:
    dataset = DeltaTable(folder).to_pyarrow_dataset()  # noqa: F841  # DuckDB finds it by its name
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql("SELECT * FROM dataset").to_arrow_table()


def statistics(files: WrittenFiles) -> dict[Any, list[Any]]:
    """Return each partition's file statistics. Spark writes an empty file too, which no commit names."""
    found: dict[Any, list[Any]] = {}
    for action in files.actions:
        found.setdefault(tuple(action.partition_values.items()), []).append(json.loads(action.stats or "null"))
    return found


def same_for_every_reader(sides: Sides, expected: Counter[Any]) -> None:
    """Assert that the files have the same statistics, and that each reader finds what was written, in both."""
    assert sides.statistics[0] == sides.statistics[1]
    for name, ours, theirs in sides.each_reader():
        assert ours == theirs, name
        assert ours == expected, name


_folders = count()


@settings(max_examples=15, phases=[Phase.generate])  # to shrink what fails takes minutes
@given(st.lists(ROWS, max_size=6))
def test_rows_of_every_type_read_back_as_they_were_and_as_spark_writes_them(
    spark: SparkSession, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    source = table_of(rows)
    frame = spark.createDataFrame(source, from_arrow_schema(EVERY_TYPE, prefer_timestamp_ntz=True))
    sides = Sides(spark, tmp_path / str(next(_folders)), frame, "part")
    same_for_every_reader(sides, counted(source, source.column_names))
    merged_value_for_value(sides)


def merged_value_for_value(sides: Sides) -> None:
    """Assert that our file and Spark's of each partition, merged, hold the rows of both, with the bounds of each."""
    for ours in sides.ours.rglob("part=*/*.parquet"):
        (theirs,) = sides.theirs.rglob(f"{glob.escape(ours.parent.name)}/*.parquet")
        into = ours.with_name("merged.parquet")
        assert merge_files([ours, theirs], into) == 2 * file_stats(ours)[0]
        once, merged = (json.loads(file_stats(path)[1]) for path in (ours, into))
        assert all(merged[bound] == once[bound] for bound in ("minValues", "maxValues"))
        assert merged["nullCount"] == doubled(once["nullCount"])
        rows, both = (pq.ParquetFile(path).read() for path in (ours, into))
        assert counted(both, both.column_names) == counted(rows, rows.column_names) + counted(rows, rows.column_names)


def doubled(counts: Any) -> Any:
    return {k: doubled(v) for k, v in counts.items()} if isinstance(counts, dict) else 2 * counts


SPECIAL = ["a b", "50%", "%20", "a=b", "a/b", "x:y", "ü茶", "#?*", "it's", 'a"b', "a+b", "a\\b", "{x}[1]", ".", None]


def test_partition_values_with_any_character_and_null_read_back_as_they_were(
    spark: SparkSession, tmp_path: Path
) -> None:
    source = pa.table({"n": pa.array(range(len(SPECIAL)), pa.int64()), "part": pa.array(SPECIAL, pa.string())})
    sides = Sides(spark, tmp_path, spark.createDataFrame(source), "part")
    same_for_every_reader(sides, counted(source, ["n", "part"]))
    read = spark.read.format("delta").load(str(sides.ours))
    for number, value in enumerate(SPECIAL):
        condition = read.part.isNull() if value is None else read.part == value
        assert [r.n for r in read.where(condition).collect()] == [number], value


@pytest.mark.parametrize("parts", [(), ("part",), ("day", "part"), ("flag", "day", "part")])
def test_rows_go_to_the_same_partitions_as_spark_puts_them(
    spark: SparkSession, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    days = [dt.date(2026, 1, 1), None, dt.date(1969, 12, 31)]
    values = [(n, days[n % 3], "ab"[n % 2], (True, False, None)[n // 2 % 3]) for n in range(12)]
    columns = zip(*values, strict=True)
    source = pa.table(dict(zip(("n", "day", "part", "flag"), (pa.array(c) for c in columns), strict=True)))
    sides = Sides(spark, tmp_path, spark.createDataFrame(source), *parts)
    same_for_every_reader(sides, counted(source, source.column_names))


def test_no_rows_are_no_files(spark: SparkSession, tmp_path: Path) -> None:
    for parts in ((), ("part",)):
        sides = Sides(spark, tmp_path / str(len(parts)), spark.createDataFrame([], "n long, part string"), *parts)
        same_for_every_reader(sides, Counter())
        assert DeltaTable(sides.ours).file_uris() == []


def test_spark_finds_the_rows_that_have_no_number(spark: SparkSession, tmp_path: Path) -> None:
    """For Spark nan is greater than any number: a greatest value that leaves it out would hide the file."""
    source = pa.table({"n": [1, 2, 3], "x": [0.5, math.nan, -1.5], "in": [{"x": math.nan}, {"x": 1.0}, None]})
    sides = Sides(spark, tmp_path, spark.createDataFrame(source))
    for folder in (sides.ours, sides.theirs):
        read = spark.read.format("delta").load(str(folder))
        assert [r.n for r in read.where("x > 100").collect()] == [2], folder
        assert [r.n for r in read.where("in.x > 100").collect()] == [1], folder


@pytest.mark.parametrize(
    "column",
    [
        "parse_json('{\"a\": 1}')",
        "array(parse_json('1'))",
        "INTERVAL '1' DAY",
        "named_struct('x', INTERVAL '2' MONTH)",
        "map('k', INTERVAL '2' HOUR)",
    ],
)
def test_a_type_that_arrow_has_no_equal_of_is_left_to_sparks_writer(
    spark: SparkSession, tmp_path: Path, column: str
) -> None:
    rows = spark.sql(f"SELECT id, {column} AS v FROM range(3)")
    assert fetch_small(rows) is None
    files = write_files(rows.coalesce(1), tmp_path, small=True)
    assert files.rows == 3
    assert spark.read.parquet(str(tmp_path / "data" / "*")).schema.simpleString() == rows.schema.simpleString()


def test_a_batch_that_fails_for_another_reason_fails(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(3).selectExpr("id", "IF(id = 2, raise_error('no such customer'), 'x') AS v")
    with pytest.raises(Exception, match="no such customer"):
        write_files(rows, tmp_path, small=True)


@pytest.mark.parametrize("small", [True, False])
def test_flagged_rows_are_kept_apart_and_counted(spark: SparkSession, tmp_path: Path, small: bool) -> None:  # noqa: FBT001
    rows = spark.sql("SELECT id, id % 3 = 0 AS bad, DATE'2026-01-01' + CAST(id % 2 AS INT) AS day FROM range(10)")
    files, apart = write_apart(rows, tmp_path, "bad", ("day",), small=small)
    good = [r.id for r in spark.read.parquet(*[str(tmp_path / a.path) for a in files.actions]).collect()]
    bad = [r.id for r in spark.read.parquet(*map(str, apart)).collect()]
    assert (sorted(good), sorted(bad)) == ([1, 2, 4, 5, 7, 8], [0, 3, 6, 9])
    assert files.rows == 6
    assert {tuple(a.partition_values) for a in files.actions} == {("day",)}
