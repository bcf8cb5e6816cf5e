"""When a row arrived: the whole rule as a table of names, times of files, and clocks."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from kappa_assets.sources.arrival import arrival
from kappa_assets.sources.files.landed_names import date_in_name, time_in_name

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOON = "2026-03-10 12:00:00"
NOW = "now"
BEFORE, AFTER = "2026-03-10 09:00:00", "2026-03-10 12:00:00.050"

# File, its own time, the clock when it is read, and: the arrival, whether what it gives cannot be.
# fmt: off
MATRIX = [
    ("orders.csv", BEFORE, NOON, BEFORE, False),
    ("orders.csv", NOON, NOON, NOON, False),
    ("orders.csv", AFTER, NOON, NOW, False),                                # the file server's clock is 50 ms ahead
    ("orders.csv", "2026-03-10 12:05:00", NOON, NOW, False),
    ("orders.csv", "2026-03-10 12:05:00.001", NOON, NOW, True),
    ("orders.csv", "2026-03-11 00:00:00", NOON, NOW, True),                 # a midnight, but no date in a name
    ("orders.csv", "2300-01-01 00:00:00", NOON, NOW, True),
    ("orders.csv", "1999-12-31 23:59:59.999", NOON, NOW, True),
    ("orders.csv", "2000-01-01 00:00:00", NOON, "2000-01-01 00:00:00", False),
    ("2026-03-10.csv", AFTER, NOON, "2026-03-10 00:00:00", False),
    ("2026-03-09.csv", AFTER, NOON, "2026-03-09 00:00:00", False),
    # Named in local time: live in Auckland (UTC+13), in Kiritimati (UTC+14) with a clock ahead, and late.
    ("2026-03-11.csv", BEFORE, "2026-03-10 11:00:01", "2026-03-11 00:00:00", False),
    ("2026-03-11.csv", BEFORE, "2026-03-10 10:00:00", "2026-03-11 00:00:00", False),
    ("2026-03-11.csv", BEFORE, "2026-03-10 09:55:00", "2026-03-11 00:00:00", False),
    ("2026-03-11.csv", BEFORE, "2026-03-10 09:54:59", NOW, True),
    ("2026-03-11.csv", BEFORE, "2026-03-10 23:58:00", "2026-03-11 00:00:00", False),
    ("2026-03-11.csv", BEFORE, "2026-05-01 00:00:00", "2026-03-11 00:00:00", False),
    ("east/2026-03-11.csv", BEFORE, NOON, "2026-03-11 00:00:00", False),
    ("2026-03-11/orders.csv", BEFORE, NOON, BEFORE, False),                 # a folder's name says nothing
    ("2026-03-11T256199.csv", BEFORE, NOON, "2026-03-11 00:00:00", False),  # no time of day, and so a date
    ("2026-03-12.csv", BEFORE, NOON, NOW, True),
    ("2999-01-01.csv", BEFORE, NOON, NOW, True),
    ("1066-10-14.csv", BEFORE, NOON, NOW, True),
    ("2026-13-45.csv", BEFORE, NOON, BEFORE, False),
    # A time of day in a name is UTC.
    ("2026-03-10T101530.csv", AFTER, NOON, "2026-03-10 10:15:30", False),
    ("2026-03-10T120459.csv", BEFORE, NOON, NOW, False),
    ("2026-03-10T120501.csv", BEFORE, NOON, NOW, True),
    ("2026-03-11T000000.csv", BEFORE, NOON, NOW, True),
    ("2026-03-11T000000.csv", BEFORE, "2026-03-10 23:58:00", NOW, False),
]
# fmt: on


def test_every_file_arrives_when_it_says_or_when_it_is_read(spark: SparkSession) -> None:
    rows = [(number, *case[:3]) for number, case in enumerate(MATRIX)]
    given = spark.createDataFrame(rows, "number int, file string, modified string, now string")
    now = F.col("now").cast("timestamp")
    says = F.coalesce(time_in_name(F.col("file")), F.col("modified").cast("timestamp"))
    judged = arrival(says, now, date_in_name(F.col("file")) == says)
    found = given.select(
        "file",
        "now",
        F.when(judged.at == now, NOW).otherwise(judged.at.cast("string")).alias("at"),
        judged.implausible.alias("implausible"),
        judged.at.cast("date").cast("string").alias("slice"),
    ).orderBy("number")
    for row, (file, _, clock, expected, implausible) in zip(found.collect(), MATRIX, strict=True):
        case = f"{file} read at {clock}"
        moment = clock if expected == NOW else expected
        assert (row.implausible, row.slice) == (implausible, moment[:10]), case
        assert row.at == (NOW if moment == clock else expected), case


def test_the_matrix_asks_for_the_same_slice_live_and_late() -> None:
    """Of a file whose date is plausible when it is read live, the slice is the same when it is read weeks later."""
    live = {file: at for file, _, clock, at, wrong in MATRIX if at != NOW and not wrong and clock < "2026-03-11"}
    late = {file: at for file, _, clock, at, _ in MATRIX if clock > "2026-04"}
    assert late
    assert late.items() <= live.items()
    assert all(dt.datetime.fromisoformat(at) for at in live.values())
