"""The Files source: the stream carries file names, the batch reads the files themselves.

So one damaged or foreign file is set aside alone, columns are matched by name, and nothing depends on Spark's
`maxFileAge`, which skips old files silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # py4j ships no types
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from kappa_assets.declare.source import Files
from kappa_assets.errors import SourceError
from kappa_assets.sources.inspect_files import (
    SetAside,
    column_name,
    files_of_one_schema,
    find_unreadable,
    sort_files,
)
from kappa_assets.sources.landed_names import file_column, given_arrival
from kappa_assets.spark_paths import literal_path

MALFORMED = "_malformed"
"""The raw line, where a CSV line has more or fewer fields than its header; null for good lines."""

READ_FAILED = (PySparkException, Py4JJavaError)
"""How a failed job shows: which of the two depends on the Java exception it died of."""
_FOR_EVER = f"{2**63 - 1}ms"
"""Spark's `maxFileAge` counts back from the newest file seen, and 100 years are not enough: one file dated 2300, and no
later file of today was ever read. With the greatest number no file is older, whatever the times are."""
_SEEN = "[^._]*"
"""Names that are read. Spark itself makes an exception for `_metadata.csv`, for Parquet's sake."""
_BINARY_FILE = "path string, modificationTime timestamp, length long, content binary"


@dataclass(frozen=True)
class FileBatch:
    """The rows of one batch of files (None: no rows at all), and the files that were set aside."""

    rows: DataFrame | None
    files: tuple[str, ...]
    set_aside: tuple[SetAside, ...]


def folder_of(source: Files, landing: Path) -> Path:
    """Return the folder the source reads. Raises SourceError when it is not there."""
    folder = landing / source.folder
    if not folder.is_dir():
        raise SourceError(
            f"the landing folder {str(folder)!r} is missing",
            hint="Make it, or name another with --landing or KAPPA_LANDING; reading goes on by itself then.",
        )
    return folder


def stream_of_files(spark: SparkSession, source: Files, landing: Path, *, max_files: int) -> DataFrame:
    """Return the stream of landed files, those in subfolders too: `path`, and nothing of their content.

    Folders and files whose names begin with a dot or an underscore are passed by. Folders called `key=value` are
    folders: looked up recursively, Spark infers no partitions, which fails when `year=` lies beside `country=`.
    """
    # Else a `_spark_metadata` folder, which another stream left, is taken for the list of all files.
    spark.conf.set("spark.sql.streaming.fileStreamSink.ignoreMetadata", "true")
    return (
        spark.readStream.format("binaryFile")
        .schema(_BINARY_FILE)
        .option("recursiveFileLookup", "true")
        .option("pathGlobFilter", _SEEN)
        .option("maxFileAge", _FOR_EVER)
        .option("maxFilesPerTrigger", str(max_files))
        .load(literal_path(folder_of(source, landing)))
        .select("path")
    )


def local_paths(uris: Iterable[str]) -> list[str]:
    """Return plain paths for the paths that Spark gives: a scheme before the name, and nothing in it encoded.

    Each once: if one name in a batch has the characters of a pattern, Spark's file stream lists all the others twice.
    """
    return sorted({f"/{uri.removeprefix('file:').lstrip('/')}" for uri in uris})


def read_batch(
    spark: SparkSession,
    source: Files,
    paths: Iterable[str],
    known: Mapping[str, str | None],
    *,
    folder: Path | None = None,
) -> FileBatch:
    """Return the rows of `paths`: payload columns, `_source`, and `_arrived_at` where the source knows it.

    `folder`: the landing folder. `_source.file` is the path below it, so that `north/a.csv` is not `south/a.csv`;
    without `folder` it is the file's name.

    `known`: the payload columns the tape has, with their types as Spark names them; None for one that is declared, and
    has no type yet. Files that cannot be opened, share no column with the tape, or have a column of another type than
    the tape, are set aside.
    """
    found = sort_files(source, tuple(paths), frozenset(known))
    types = {name.lower(): kind for name, kind in known.items() if kind is not None}
    parts: list[DataFrame] = []
    taken: list[str] = []
    aside = list(found.set_aside)
    for part, files, misfit in _parts(spark, source, found.groups, types, folder):
        if misfit:
            aside += [SetAside(path, f"has columns of another type than the tape: {misfit}") for path in files]
        else:
            parts.append(part)
            taken += files
    rows = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), parts) if parts else None
    return FileBatch(rows, tuple(taken), tuple(aside))


def _parts(
    spark: SparkSession,
    source: Files,
    groups: Mapping[tuple[str, ...], tuple[str, ...]],
    types: dict[str, str],
    folder: Path | None,
) -> Iterator[tuple[DataFrame, tuple[str, ...], str]]:
    """Yield the rows of files that are read together, these files, and what of them does not fit the tape.

    Only Parquet files have types of their own. A new column gets the type of the first file that has it.
    """
    for columns, files in groups.items():
        if source.format != "parquet":
            yield _read_group(spark, source, columns, files, folder), files, ""
            continue
        for alike in files_of_one_schema(files):
            part = _read_group(spark, source, columns, alike, folder)
            kinds = {f.name: f.dataType.simpleString() for f in part.schema if f.name not in ("_source", "_arrived_at")}
            other = [name for name, kind in kinds.items() if types.get(name.lower(), kind) != kind]
            if not other:
                types |= {name.lower(): kind for name, kind in kinds.items()}
            yield part, alike, ", ".join(f"{name} is {kinds[name]}, not {types[name.lower()]}" for name in other)


def culprits(spark: SparkSession, source: Files, files: Iterable[str], error: Exception) -> list[SetAside]:
    """Return the files that made a read fail; raise the error again when every file is sound.

    What reads well without Spark is read by Spark alone: it fails on a colon in a name, or on 20 481 fields in a line.
    """
    suspects = tuple(files)
    found = find_unreadable(source, suspects)
    for path in () if found else suspects:
        try:
            for columns, paths in sort_files(source, [path], frozenset()).groups.items():
                _read_group(spark, source, columns, paths).write.format("noop").mode("overwrite").save()
        except READ_FAILED as failure:
            found.append(SetAside(path, f"Spark cannot read it: {_reason(failure)}"))
    if not found:
        raise error
    return found


def _reason(failure: Exception) -> str:
    """Return the innermost cause that Spark names, in one line."""
    causes = [line for line in str(failure).splitlines() if line.startswith("Caused by: ")]
    return (causes or str(failure).splitlines())[-1].removeprefix("Caused by: ")[:200]


def _read_group(
    spark: SparkSession, source: Files, columns: tuple[str, ...], files: tuple[str, ...], folder: Path | None = None
) -> DataFrame:
    paths = [literal_path(path) for path in files]
    reader = spark.read
    if source.format == "parquet":
        payload = reader.parquet(*paths)
    elif source.keeps_lines:
        payload = reader.text(paths)
    else:
        schema = StructType([StructField(c, StringType()) for c in (*columns, MALFORMED)])
        payload = (
            reader.schema(schema)
            .option("header", "true")
            .option("mode", "PERMISSIVE")
            .option("columnNameOfCorruptRecord", MALFORMED)
            # A quote inside quotes is doubled (RFC 4180); Spark's default is a backslash.
            .option("escape", '"')
            .csv(paths)
        )
    file, modified = file_column(files, folder), F.col("_metadata.file_modification_time")
    return payload.select(
        *[F.col(f"`{name}`").alias(column_name(name)) for name in payload.columns],
        F.struct(
            file.alias("file"),
            F.col("_metadata.file_size").alias("bytes"),
            modified.alias("modified_at"),
        ).alias("_source"),
        given_arrival(files, file, modified).alias("_arrived_at"),
    )
