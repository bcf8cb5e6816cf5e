"""The rows of a change are written in one pass: those to add, those to set aside, and how many are of which kind."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from kappa_assets.place.change import Aside, Change, Counts
from kappa_assets.place.local.delta_write.parquet_files import NOTHING, WrittenFiles, write_apart, write_files
from kappa_assets.place.local.linked_files import linked_files

_REJECTED = "_rejected"
"""Whether a row is set aside, while a change is written."""


def write_rows(
    change: Change, folder: Path, slices: tuple[str, ...], *, small: bool
) -> tuple[WrittenFiles, list[Path], Counts]:
    """Write a change's rows; return the files to add, those of rows to set aside, and the counts of both.

    `folder` is the table's, `slices` its partition columns. Raises ResultTooLarge where `small` was wrong.
    """
    observation = Observation()
    if change.rows is None or not isinstance(change.aside, Aside) or not change.aside.failed:
        files, counted = _added(change, folder, slices, observation, small=small)
        return files, [], Counts(files.rows, counted=counted)
    flagged, metrics = _flagged(change.rows, change.aside.failed, change.counted, observation)
    files, aside = write_apart(flagged, folder, _REJECTED, slices, small=small)
    found = observation.get
    rejected = {reason: found[metric] for reason, metric in metrics.items() if found[metric]}
    counted = {name: found[name] for name in change.counted}
    return files, aside, Counts(files.rows, rejected=rejected, counted=counted)


def _added(
    change: Change, folder: Path, slices: tuple[str, ...], observation: Observation, *, small: bool
) -> tuple[WrittenFiles, Mapping[str, int]]:
    """Write the rows, and link the files that are adopted; return what to add, and how many columns are true."""
    rows, counted, files = change.rows, change.counted, NOTHING
    if rows is not None:
        if counted:
            rows = rows.observe(observation, *[F.count_if(F.col(name)).alias(name) for name in counted]).drop(*counted)
        files = write_files(rows, folder, slices, small=small, observed=bool(counted))
    files = files if change.adopted is None else linked_files(change.adopted, folder).and_also(files)
    return files, observation.get if rows is not None and counted else {}


def _flagged(
    rows: DataFrame, failed: Mapping[str, Column], counted: tuple[str, ...], observation: Observation
) -> tuple[DataFrame, Mapping[str, str]]:
    """Return the rows with whether they are set aside, and of each reason what `observation` counts it as.

    It counts also where the columns `counted` are true, which the rows then have no more.
    """
    names = {reason: f"_fails_{number}" for number, reason in enumerate(failed)}
    judged = rows.withColumns({names[reason]: fails for reason, fails in failed.items()})
    columns = (*names.values(), *counted)
    judged = judged.observe(observation, *[F.count_if(F.col(name)).alias(name) for name in columns])
    rejected = reduce(Column.__or__, map(F.col, names.values()))
    return judged.withColumn(_REJECTED, rejected).drop(*columns), names
