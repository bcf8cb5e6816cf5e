"""When a landed row arrived: what its file says, where that can be, else the moment it was read."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F

from kappa_assets.sources.files.landed_names import date_in_name

_EARLIEST = "2000-01-01"
_TOLERANCE = "INTERVAL 5 MINUTES"
"""How far clocks of machines may be apart: file servers with NTP are milliseconds off, and without it a few minutes."""
_FIRST_TO_SEE_A_DAY = "INTERVAL 14 HOURS"
"""UTC+14, where a day begins first."""


@dataclass(frozen=True)
class Arrival:
    """When a row arrived, and whether its file gave a time that cannot be."""

    at: Column
    implausible: Column


def arrival(given: Column, file: Column, now: Column) -> Arrival:
    """Return when a row arrived whose file `file` gives the time `given`, read at `now`.

    - From 2000 on, and not after `now`: as given.
    - A date in a name stands for its midnight in UTC, also before that has come: up to 14 hours ahead, the date of a
      file that is named in local time east of Greenwich, and up to five minutes more. So a file lies in the slice of
      its date, whether it is read live or later.
    - A time up to five minutes ahead, in a name or a file's own: `now`. The clocks differ by so much.
    - Any other time: `now`, and it is implausible.
    """
    tolerance, ahead = F.expr(_TOLERANCE), F.expr(_FIRST_TO_SEE_A_DAY)
    early = given < F.lit(_EARLIEST).cast("timestamp")
    # Looked for in the name only where the time is ahead: that is one comparison for nearly every row.
    date = (given <= now + ahead + tolerance) & F.coalesce(date_in_name(file) == given, F.lit(False))
    implausible = early | ((given > now + tolerance) & ~date)
    return Arrival(
        F.when(early, now).when((given <= now) | date, given).otherwise(now),
        F.coalesce(implausible, F.lit(False)),
    )
