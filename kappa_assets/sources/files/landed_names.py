"""What the path of a landed file says: where it lies below the landing folder, and when it arrived."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from pyspark.sql import Column
from pyspark.sql import functions as F

from kappa_assets.columns import quoted
from kappa_assets.place.local.delta_write.small_files import NO_PARTITION
from kappa_assets.sources.column_names import column_name, same_name
from kappa_assets.sources.ledger.ledger import Delivery, hash_of

_DATE_IN_NAME = r"(\d{4}-\d{2}-\d{2})"
_TIME_IN_NAME = r"(\d{4}-\d{2}-\d{2}T\d{6})"
"""A date, or a date and time, in UTC, anywhere in a file's name."""
_SAME_IN_A_URI = re.compile(r"[A-Za-z0-9._/-]+")
_NO_TIME = "0001-01-01"
"""What a text that is no time is taken for: a time that cannot be, so that it is counted."""
_DEEPEST = 4_096
"""More folders than a path can have."""


def deliveries(folder: Path, paths: Iterable[str]) -> list[Delivery]:
    """Return size, time and hash of the files that are there; no hash of one that cannot be read now."""
    found = []
    for path in paths:
        with suppress(OSError):
            stat = os.stat(path)  # noqa: PTH116 -- a Path for each file costs more than the look
            one = Delivery(path_below(folder, path), stat.st_size, stat.st_mtime_ns // 1_000_000)
            found.append(one)
            found[-1] = one._replace(hash=hash_of(path))
    return found


def given_arrival(arrived: str, files: Iterable[str], file: Column, modified: Column) -> Column:
    """Return when each row arrived: by the name of its file, or else by `modified`, the file's own time.

    `arrived`: as `Files` declares it; null where that is `unknown`.
    """
    if arrived == "unknown":
        return F.lit(None).cast("timestamp")
    if arrived == "name" and any(re.search(_DATE_IN_NAME, Path(path).name) for path in files):
        return F.coalesce(time_in_name(file), modified)
    return modified


def arrival_in_column(column: str, columns: Sequence[str]) -> Column:
    """Return the time that a column of the rows gives: null where it is null or missing, and impossible for no time."""
    key = same_name(column_name(column))
    told = next((F.col(quoted(name)) for name in columns if same_name(name) == key), None)
    if told is None:
        return F.lit(None).cast("timestamp")
    no_time = F.when(told.isNotNull(), F.lit(_NO_TIME).cast("timestamp"))
    return F.coalesce(told.cast("string").try_cast("timestamp"), no_time)


def time_in_name(file: Column) -> Column:
    """Return the time, or the midnight of the date, that the last part of a path gives in UTC, or null."""
    name = F.substring_index(file, "/", -1)
    return F.coalesce(_time_of_day_in(name), _date_in(name))


def date_in_name(file: Column) -> Column:
    """Return the midnight in UTC of the date that the last part of a path gives without a time of day, or null."""
    name = F.substring_index(file, "/", -1)
    return F.when(_time_of_day_in(name).isNull(), _date_in(name))


def _time_of_day_in(name: Column) -> Column:
    return _found_in(name, _TIME_IN_NAME, "yyyy-MM-dd'T'HHmmss")


def _date_in(name: Column) -> Column:
    return _found_in(name, _DATE_IN_NAME, "yyyy-MM-dd")


def _found_in(name: Column, pattern: str, form: str) -> Column:
    return F.try_to_timestamp(F.nullif(F.regexp_extract(name, pattern, 1), F.lit("")), F.lit(form))


def folder_keys(path: str) -> dict[str, str]:
    """Return the keys of the folders called `key=value` on the way to a file, each as Spark knows it and as it is."""
    keys = (part.partition("=")[0] for part in path.split("/")[:-1] if "=" in part)
    return {same_name(column_name(key)): key for key in keys if column_name(key)}


def folder_columns(files: Iterable[str], file: Column, folder: Path | None) -> list[Column]:
    """Return a column of text for each key of the files' folders: null for a file without it, or for Hive's null."""
    found: dict[str, dict[str, None]] = {}
    for path in files:
        for same, key in folder_keys(path if folder is None else path_below(folder, path)).items():
            found.setdefault(same, {})[key] = None
    columns = []
    for keys in found.values():
        either = "|".join(map(_java_literal, keys))
        value = F.regexp_extract(file, rf"(?:^|/)(?:{either})=([^/]*)/", 1)
        told = F.coalesce(F.try_url_decode(F.replace(value, F.lit("+"), F.lit("%2B"))), value)
        columns.append(F.when(~value.isin("", NO_PARTITION), told).alias(column_name(next(iter(keys)))))
    return columns


def _java_literal(text: str) -> str:
    return "\\Q" + text.replace("\\E", "\\E\\\\E\\Q") + "\\E"


def path_below(folder: Path, path: str) -> str:
    """Return the path of a landed file below its landing folder: its name alone, if it lies directly in it."""
    return os.path.relpath(path, folder.absolute())


def file_column(files: Iterable[str], folder: Path | None) -> Column:
    """Return the path of each row's file below `folder`, as it is.

    Spark gives it encoded as in a URI, where a plus stands for itself. Most files lie directly in the folder, and most
    names are the same either way; the rest is done for every row.
    """
    names = [Path(path).name if folder is None else path_below(folder, path) for path in files]
    given = F.col("_metadata.file_name")
    if folder is not None and any("/" in name for name in names):
        above = len(Path(os.path.normpath(folder.absolute())).parts) - 1
        parts = F.split(F.regexp_replace("_metadata.file_path", "^file:/+", ""), "/")
        given = F.array_join(F.slice(parts, above + 1, _DEEPEST), "/")
    if all(_SAME_IN_A_URI.fullmatch(name) for name in names):
        return given
    return F.url_decode(F.replace(given, F.lit("+"), F.lit("%2B")))
