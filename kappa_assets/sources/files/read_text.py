"""Text files as Spark reads them: raw lines, or CSV whose headers differ, in one pass."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from kappa_assets.columns import MALFORMED
from kappa_assets.declare.charsets import javas_name
from kappa_assets.declare.source import Files
from kappa_assets.sources.column_names import same_name

Groups = Mapping[tuple[str, ...], Sequence[str]]
"""Files by the names in their headers."""

_HEADER = "_header"
_NO_TEXT = "\uffff"
"""Stands for nothing in Spark's reader, whose own choice is the text without a character: it would be null as well."""


def read_lines(spark: SparkSession, source: Files, paths: list[str]) -> tuple[DataFrame, list[Column]]:
    """Return files line by line, and `value`, the raw line."""
    value = F.col("value")
    charset = javas_name(source.encoding)
    if charset not in ("UTF-8", "US-ASCII"):  # Spark passes bytes on, and takes them for UTF-8
        value = F.decode(value.cast("binary"), charset)
    return spark.read.text(paths), [value.alias("value")]


def read_csv(spark: SparkSession, source: Files, groups: Groups, paths: list[str]) -> tuple[DataFrame, list[Column]]:
    """Return CSV files whose headers have equally many names, and the columns by these names, text all of them."""
    headers = list(groups)
    cells = [f"c{i}" for i in range(len(headers[0]))]
    schema = StructType([StructField(c, StringType()) for c in (*cells, MALFORMED)])
    read = _reader(spark, source).schema(schema).csv(paths)
    if len(headers) > 1:
        numbers = {path: str(number) for number, columns in enumerate(headers) for path in groups[columns]}
        by_path = F.map_from_arrays(_texts(numbers.keys()), _texts(numbers.values()))
        path = F.regexp_replace(decoded(F.col("_metadata.file_path")), "^file:/*", "/")
        read = read.withColumn(_HEADER, F.element_at(by_path, path).cast("int"))
    return read, [*_by_name(headers), F.col(MALFORMED)]


def decoded(uri: Column) -> Column:
    """Return a name or path as it is: Spark gives it encoded as in a URI, where a plus stands for itself."""
    return F.url_decode(F.replace(uri, F.lit("+"), F.lit("%2B")))


def _reader(spark: SparkSession, source: Files) -> DataFrameReader:
    reader = (
        spark.read.option("header", "true")
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", MALFORMED)
        .option("encoding", javas_name(source.encoding))
        .option("sep", source.sep)
        .option("quote", source.quote or "")
        # A quote inside quotes is doubled (RFC 4180); Spark's default is a backslash.
        .option("escape", source.escape)
        .option("nullValue", _NO_TEXT if source.null_value is None else source.null_value)
        .option("emptyValue", "")
    )
    return reader.option("multiLine", "true") if source.multiline else reader


def _by_name(headers: list[tuple[str, ...]]) -> list[Column]:
    """Return each column: the cell where its file has it, by the number of the file's header."""
    places: dict[str, dict[int, list[int]]] = {}
    names: dict[str, str] = {}
    for number, columns in enumerate(headers):
        for position, name in enumerate(columns):
            names.setdefault(same_name(name), name)
            places.setdefault(same_name(name), {}).setdefault(position, []).append(number)
    return [_cell(where, len(headers)).alias(names[key]) for key, where in places.items()]


def _cell(where: Mapping[int, list[int]], headers: int) -> Column:
    if len(where) == 1:
        ((position, numbers),) = where.items()
        if len(numbers) == headers:
            return F.col(f"c{position}")
    whens = " ".join(f"WHEN {_HEADER} IN ({', '.join(map(str, n))}) THEN c{p}" for p, n in where.items())
    return F.expr(f"CASE {whens} END")


def _texts(values: Iterable[str]) -> Column:
    """Return an array of texts: one literal, where one for each of a thousand files would cost a call to the JVM."""
    return F.from_json(F.lit(json.dumps(list(values))), "array<string>")
