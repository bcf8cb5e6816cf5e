"""The rows of a batch with their addresses on the tape: what every source's rows get, and no source gives."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from kappa_assets.columns import (
    ARRIVAL_DATE,
    ARRIVED_AT,
    BATCH_ID,
    INGESTED_AT,
    OF_THE_TAPE,
    ROW,
    SOURCE,
    SOURCE_FILE,
    quoted,
)
from kappa_assets.sources.column_names import same_name
from kappa_assets.sources.files.arrival import arrival


def addressed(
    rows: DataFrame, tape_batch: int, read_at: dt.datetime, known: StructType, implausible: Observation
) -> DataFrame:
    """Return rows with address, arrival and slice, and with every column that the tape has or is declared to have.

    `known`: the tape's columns, or those declared of one that is to be made. Rows whose source gives a time that cannot
    be arrive at `read_at`; `implausible` counts them on the way.
    """
    micros = int(read_at.timestamp() * 1_000_000)
    now = F.timestamp_micros(_batch_constant(micros))
    arrived = arrival(F.col(ARRIVED_AT), F.col(SOURCE_FILE), now)
    # Delta tells columns apart without regard to case: a file's "country" goes into the tape's "Country".
    names = {same_name(f.name): f.name for f in known}
    result = rows.observe(implausible, F.count_if(arrived.implausible).alias("rows")).select(
        *[F.col(quoted(c)).alias(names.get(same_name(c), c)) for c in rows.columns if c not in OF_THE_TAPE],
        SOURCE,
        _batch_constant(tape_batch).alias(BATCH_ID),
        F.monotonically_increasing_id().alias(ROW),
        now.alias(INGESTED_AT),
        arrived.at.alias(ARRIVED_AT),
        arrived.at.cast("date").alias(ARRIVAL_DATE),
    )
    missing = [f for f in known if f.name not in result.columns]
    return result.withColumns({f.name: F.lit(None).cast(f.dataType) for f in missing})


def _batch_constant(value: int) -> Column:
    """Return a number that is the same for all rows of a batch, but not part of the code that Spark generates.

    A plain literal is written into that code, which is then new, and compiled, for every batch: about 60 ms each time.
    """
    nothing = F.left(F.col(SOURCE_FILE), F.lit(0))
    return F.concat(F.lit(str(value)), nothing).cast("long")
