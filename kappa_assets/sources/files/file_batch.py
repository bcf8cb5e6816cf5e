"""The Files source: the stream carries plans, which name files, and the batch reads the files themselves.

So one damaged or foreign file is set aside alone, and columns are matched by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField

from kappa_assets.columns import ARRIVED_AT, SOURCE, quoted
from kappa_assets.declare.source import Files
from kappa_assets.errors import SourceError
from kappa_assets.place.local.spark_paths import literal_path
from kappa_assets.sources.column_names import RESERVED, column_name, same_name
from kappa_assets.sources.files.inspect_files import (
    Fits,
    SetAside,
    Sorted,
    files_of_one_schema,
    find_unreadable,
    fits_nothing,
    sort_files,
)
from kappa_assets.sources.files.landed_names import (
    arrival_in_column,
    file_column,
    folder_columns,
    folder_keys,
    given_arrival,
    path_below,
)
from kappa_assets.sources.files.parquet_types import DoesNotFit, fits_of, misfit
from kappa_assets.sources.files.read_text import Groups, read_csv, read_lines
from kappa_assets.sources.source import READ_FAILED

_FOR_EVER = f"{2**63 - 1}ms"
"""Spark's `maxFileAge` counts back from the newest file seen. With the greatest number no file is too old."""
_OTHER_TYPE = "has columns of another type than the tape"
_READING = {
    # Spark knows seven encodings by default, and Windows' are not among them.
    "spark.sql.legacy.javaCharsets": "true",
    # pandas writes times in nanoseconds, which Spark refuses to read as times.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
}
"""For the session of a Bronze's batches, in which nobody's logic runs."""
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


def stream_of_plans(spark: SparkSession, folder: Path) -> DataFrame:
    """Return the stream of the files in which the batches are planned, one a batch: `path`, and nothing of the content.

    Spark keeps a list of all files that it has seen, and knows them by their names alone: of plans it may.
    """
    # Else it looks in each plan for a list of files that another stream may have left.
    spark.conf.set("spark.sql.streaming.fileStreamSink.ignoreMetadata", "true")
    return (
        spark.readStream.format("binaryFile")
        .schema(_BINARY_FILE)
        .option("maxFileAge", _FOR_EVER)
        .option("maxFilesPerTrigger", "1")
        .load(literal_path(folder))
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
    known: Mapping[str, DataType | None],
    fits: Fits = fits_nothing,
    *,
    folder: Path | None = None,
    of_others: frozenset[str] = frozenset(),
) -> FileBatch:
    """Return the rows of `paths`: payload columns, `_source`, and `_arrived_at` where the source knows it.

    `folder`: the landing folder. `_source.file` is the path below it, so that `north/a.csv` is not `south/a.csv`;
    without `folder` it is the file's name.

    `known`: the payload columns the tape has, with their types; None for one that is declared, and has no type yet.
    `of_others`: those that only other sources of the tape give.
    Files that cannot be read as they came, share no column with the tape, or have a value that does not fit the tape's
    type of its column, are set aside.
    """
    for setting, value in _READING.items():
        spark.conf.set(setting, value)
    found = sort_files(source, tuple(paths), frozenset(known) - of_others, fits)
    if source.folder_columns:
        found = _without_clashes(found, folder)
    if source.format == "parquet":
        parts, misfits = _parquet_parts(spark, source, found.groups, known, folder)
    else:
        misfits = []
        parts = [_read_together(spark, source, groups, folder) for groups in _of_one_width(found.groups)]
    aside = (*found.set_aside, *misfits)
    without = {a.file for a in aside}
    taken = tuple(f for files in found.groups.values() for f in files if f not in without)
    return FileBatch(_union(parts), taken, aside)


def _without_clashes(found: Sorted, folder: Path | None) -> Sorted:
    """Set aside the files that have a column themselves which a folder on the way to them gives too."""
    groups: dict[tuple[str, ...], tuple[str, ...]] = {}
    aside = list(found.set_aside)
    for columns, files in found.groups.items():
        own = {same_name(name) for name in columns or ("value",)}
        clash = {path: key for path in files if (key := _own_key(path, folder, own)) is not None}
        aside += [SetAside(p, f"has a column {key!r}, which its folder gives too") for p, key in clash.items()]
        if sound := tuple(path for path in files if path not in clash):
            groups[columns] = sound
    return Sorted(groups, tuple(aside))


def _own_key(path: str, folder: Path | None, own: set[str]) -> str | None:
    keys = folder_keys(path if folder is None else path_below(folder, path))
    return next((key for same, key in keys.items() if same in own or same in RESERVED), None)


def _of_one_width(groups: Groups) -> list[Groups]:
    """Return files whose headers have equally many names together: Spark reads them at once, as columns without names.

    A read for each header took 147 s for 200 headers.
    """
    widths: dict[int, dict[tuple[str, ...], Sequence[str]]] = {}
    for columns, files in groups.items():
        widths.setdefault(len(columns), {})[columns] = files
    return list(widths.values())


def _union(parts: list[DataFrame]) -> DataFrame | None:
    """Return all rows, with all columns; Spark takes columns for one that differ in case."""
    if len(parts) < 2:  # noqa: PLR2004 -- nothing to put together
        return parts[0] if parts else None
    fields: dict[str, StructField] = {}
    for field in (f for part in parts for f in part.schema):
        fields.setdefault(same_name(field.name), field)
    return reduce(DataFrame.union, [_with_all(part, fields) for part in parts])


def _with_all(part: DataFrame, fields: Mapping[str, StructField]) -> DataFrame:
    mine = {same_name(name): name for name in part.columns}
    return part.select(
        *[
            (F.col(quoted(mine[key])) if key in mine else F.lit(None).cast(field.dataType)).alias(field.name)
            for key, field in fields.items()
        ]
    )


def _parquet_parts(
    spark: SparkSession, source: Files, groups: Groups, known: Mapping[str, DataType | None], folder: Path | None
) -> tuple[list[DataFrame], list[SetAside]]:
    """Return the rows of Parquet files, and the files with a value that does not fit the tape's type of its column.

    A new column gets the type of the first file that tells one.
    """
    types = {same_name(name): kind for name, kind in known.items() if kind is not None}
    parts: list[DataFrame] = []
    aside: list[SetAside] = []
    for alike in files_of_one_schema(path for files in groups.values() for path in files):
        payload = spark.read.parquet(*_literal(alike))
        try:
            fits = fits_of(alike[0], payload.schema, types)
        except DoesNotFit as error:
            aside += [SetAside(path, f"{_OTHER_TYPE}: {error}") for path in alike]
            continue
        misfits = [SetAside(path, f"{_OTHER_TYPE}: {why}") for path in alike if (why := misfit(path, fits))]
        aside += misfits
        sound = [path for path in alike if path not in {m.file for m in misfits}]
        if sound:
            types |= {same_name(column_name(name)): fit.kind for name, fit in fits.items()}
            payload = payload if not misfits else spark.read.parquet(*_literal(sound))
            columns = [fit.column.alias(column_name(name)) for name, fit in fits.items()]
            parts.append(_with_source(source, payload, columns, sound, folder))
    return parts, aside


def culprits(spark: SparkSession, source: Files, files: Iterable[str], error: Exception) -> list[SetAside]:
    """Return the files that made a read fail; raise the error again when every file is sound.

    What reads well without Spark is read by Spark alone: it fails on a colon in a name, or on 20 481 fields in a line.
    """
    suspects = tuple(files)
    found = find_unreadable(source, suspects)
    for path in () if found else suspects:
        try:
            groups = sort_files(source, [path], frozenset()).groups
            if groups:
                _read_together(spark, source, groups).write.format("noop").mode("overwrite").save()
        except READ_FAILED as failure:
            found.append(SetAside(path, f"Spark cannot read it: {_reason(failure)}"))
    if not found:
        raise error
    return found


def _reason(failure: Exception) -> str:
    """Return the innermost cause that Spark names, in one line."""
    causes = [line for line in str(failure).splitlines() if line.startswith("Caused by: ")]
    return (causes or str(failure).splitlines())[-1].removeprefix("Caused by: ")[:200]


def _read_together(spark: SparkSession, source: Files, groups: Groups, folder: Path | None = None) -> DataFrame:
    """Return the rows of files that Spark reads in one pass."""
    files = [path for group in groups.values() for path in group]
    paths = _literal(files)
    if source.format == "parquet":
        payload = spark.read.parquet(*paths)
        columns = [F.col(quoted(name)).alias(column_name(name)) for name in payload.columns]
    elif source.keeps_lines:
        payload, columns = read_lines(spark, source, paths)
    else:
        payload, columns = read_csv(spark, source, groups, paths)
    return _with_source(source, payload, columns, files, folder)


def _literal(paths: Iterable[str]) -> list[str]:
    return [literal_path(path) for path in paths]


def _with_source(
    source: Files, payload: DataFrame, columns: list[Column], files: Sequence[str], folder: Path | None
) -> DataFrame:
    """Return the columns of the payload, and where each row is from and when that arrived."""
    file, modified = file_column(files, folder), F.col("_metadata.file_modification_time")
    where = F.struct(
        file.alias("file"),
        F.col("_metadata.file_size").alias("bytes"),
        modified.alias("modified_at"),
    ).alias(SOURCE)
    if source.folder_columns:
        columns = [*columns, *folder_columns(files, file, folder)]
    if source.arrived_column is not None:
        rows = payload.select(*columns, where)
        return rows.withColumn(ARRIVED_AT, arrival_in_column(source.arrived_column, rows.columns))
    return payload.select(*columns, where, given_arrival(source.arrived, files, file, modified).alias(ARRIVED_AT))
