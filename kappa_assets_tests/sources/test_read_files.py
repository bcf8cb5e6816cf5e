"""What Spark makes of odd files that were taken: encodings, nothing and the empty text, line breaks, many headers."""

from __future__ import annotations

import bz2
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql.types import DataType, StringType

from kappa_assets import Files
from kappa_assets.sources.files.file_batch import FileBatch, read_batch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def csv_source(**options: Any) -> Files:
    return Files("o", format="csv", header=True, **options)


def batch_of(
    spark: SparkSession, source: Files, folder: Path, known: Mapping[str, DataType | None] | None = None
) -> FileBatch:
    return read_batch(spark, source, [str(path) for path in folder.iterdir()], known or {})


def cells(batch: FileBatch, columns: Iterable[str]) -> list[tuple[Any, ...]]:
    assert batch.rows is not None
    assert not batch.set_aside
    rows = batch.rows.coalesce(1).collect()
    return sorted((tuple(row[column] for column in columns) for row in rows), key=str)


def test_text_of_other_encodings_is_read_as_it_was_written(spark: SparkSession, tmp_path: Path) -> None:
    text = 'id,name\n1,"Françoise, ""née"" Côté"\n'
    for number, encoding in enumerate(("utf-8", "utf-8-sig", "latin-1", "cp1252", "cp850", "utf-16", "utf-16-le")):
        folder = tmp_path / encoding
        folder.mkdir()
        (folder / "x.csv").write_bytes(text.encode(encoding))
        (folder / "y.csv.bz2").write_bytes(bz2.compress(text.encode(encoding)))
        (folder / "z.csv.zst").write_bytes(pa.compress(text.encode(encoding), codec="zstd", asbytes=True))
        source = csv_source(encoding=encoding.removesuffix("-sig"), multiline=number % 2 == 1 or "16" in encoding)
        found = cells(batch_of(spark, source, folder), ["id", "name", "_malformed"])
        assert found == [("1", 'Françoise, "née" Côté', None)] * 3, encoding
    for kept_as_lines in (Files("o", format="text", encoding="latin-1"), Files("o", encoding="latin-1")):
        lines = read_batch(spark, kept_as_lines, [str(tmp_path / "latin-1/x.csv")], {})
        assert cells(lines, ["value"]) == [('1,"Françoise, ""née"" Côté"',), ("id,name",)]


def test_nothing_and_a_text_of_no_length_are_told_apart(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('id,name\n1,\n2,""\n3,NA\n"",5\n')
    wanted = [("1", None), ("2", ""), ("3", "NA"), ("", "5")]
    both_nothing = [("1", None), ("2", None), ("3", "NA"), (None, "5")]
    marked = [("1", None), ("2", ""), ("3", None), ("", "5")]
    cases: list[tuple[dict[str, str], list[Any]]] = [
        ({}, wanted),
        ({"null_value": ""}, both_nothing),
        ({"null_value": "NA"}, marked),
    ]
    for options, expected in cases:
        assert cells(batch_of(spark, csv_source(**options), tmp_path), ["id", "name"]) == sorted(expected, key=str)


def test_other_separators_quotes_and_escapes_are_read(spark: SparkSession, tmp_path: Path) -> None:
    contents: dict[str, tuple[str, dict[str, Any], str]] = {
        "sep": ("id;name\n1;a,b\n", {"sep": ";"}, "a,b"),
        "tab": ('id\tname\n1\t"a\tb"\n', {"sep": "\t"}, "a\tb"),
        "quote": ("id,name\n1,'a,\"b'\n", {"quote": "'"}, 'a,"b'),
        "none": ('id,name\n1,"a\n', {"quote": None}, '"a'),
        "escape": ('id,name\n1,"a \\"b\\", c"\n', {"escape": "\\"}, 'a "b", c'),
    }
    for name, (content, options, expected) in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.csv").write_text(content)
        found = cells(batch_of(spark, csv_source(**options), tmp_path / name), ["id", "name", "_malformed"])
        assert found == [("1", expected, None)], name


BROKEN = 'customer,amount\nanna,"1\nbob,900\n"\nmia,3\n'


def test_a_line_break_in_quotes_makes_one_record_or_none(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(BROKEN + "short\nlong,1,2\n")
    (tmp_path / "2.csv").write_text("customer,amount\nzoe,4\n")
    batch = batch_of(spark, csv_source(), tmp_path)
    assert [(Path(a.file).name, "multiline=True" in a.reason) for a in batch.set_aside] == [("1.csv", True)]
    assert batch.rows is not None
    assert [row.customer for row in batch.rows.collect()] == ["zoe"]
    whole = cells(batch_of(spark, csv_source(multiline=True), tmp_path), ["customer", "amount", "_malformed"])
    assert whole == sorted(
        [
            ("anna", "1\nbob,900\n", None),
            ("mia", "3", None),
            ("short", None, "short"),
            ("long", "1", "long,1,2"),
            ("zoe", "4", None),
        ],
        key=str,
    )


def test_names_that_spark_takes_for_one_are_one_column_and_a_star_is_a_name(
    spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "1.csv").write_text("μ,*,a`b,_change_type\n1,x,p,i\n")
    (tmp_path / "2.csv").write_text("*,µ\ny,2\n")
    (tmp_path / "3.csv").write_text("µ\n3\n")
    batch = batch_of(spark, csv_source(), tmp_path)
    assert batch.rows is not None
    assert {c for c in batch.rows.columns if c[0] != "_"} == {"μ", "*", "a_b"}
    found = cells(batch, ["μ", "*", "a_b", "_change_type"])
    assert found == [("1", "x", "p", "i"), ("2", "y", None, None), ("3", None, None, None)]


def test_many_headers_are_read_by_as_many_reads_as_they_have_widths(spark: SparkSession, tmp_path: Path) -> None:
    files = 60
    for number in range(files):
        names = ["id", "name"] if number % 2 else ["name", "id"]
        extra = [f"extra {number}"] if number % 3 else []
        record = {"id": str(number), "name": "Käthe, x" if number % 5 else "", f"extra {number}": "e"}
        cells_of = [f'"{record[n]}"' for n in (*names, *extra)]
        path = tmp_path / f"a+b %20 [{number}].csv"
        path.write_text(",".join([*names, *extra]) + "\n" + ",".join(cells_of) + "\nshort\n")
    batch = batch_of(spark, csv_source(), tmp_path, {"id": StringType()})
    assert batch.rows is not None
    plan = batch.rows._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("Relation [") == 2
    good = batch.rows.where("id IS NOT NULL AND name IS NOT NULL").coalesce(1).collect()
    assert sorted((int(r.id), r.name, r._malformed) for r in good) == [
        (n, "Käthe, x" if n % 5 else "", None) for n in range(files)
    ]
    for row in good:
        number = int(row.id)
        assert row._source.file == f"a+b %20 [{number}].csv"
        filled = {c for c in row.asDict() if c.startswith("extra") and row[c] is not None}
        assert filled == ({f"extra_{number}"} if number % 3 else set())
    assert sum(row._malformed == "short" for row in batch.rows.collect()) == files
