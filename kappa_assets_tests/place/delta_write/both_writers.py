"""Rows of every type, written by us through Arrow and by Spark's own writer, and read by three readers."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from hypothesis import strategies as st

from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles, write_files

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
        writer.commit(files, Once("app", 0), "{}")
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
