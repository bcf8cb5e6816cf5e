"""The columns that kappa_assets adds to the rows of a table, and columns as Spark takes them by name."""

from __future__ import annotations

BATCH_ID = "_batch_id"
"""Long: which commit of the tape brought the row; its position on the tape."""
ROW = "_row"
"""Long: the row's number in that commit."""
ARRIVED_AT = "_arrived_at"
"""Timestamp, UTC: when the source had the row."""
ARRIVAL_DATE = "_arrival_date"
"""Date, UTC: the day it arrived, its slice; the partition of Bronze and of row-by-row Silver."""
INGESTED_AT = "_ingested_at"
"""Timestamp, UTC: when it was put on the tape. Bronze only."""
SOURCE = "_source"
"""Struct: where the row came from, for a file its name, bytes and time of modification. Bronze only."""
SOURCE_NAME = "name"
"""Field of SOURCE, string: which source a row is from, on a tape that has several; null on rows from before."""
SOURCE_FILE = f"{SOURCE}.file"
"""String: path of a row's landed file, below the landing folder."""
MALFORMED = "_malformed"
"""String: a CSV line with more or fewer fields than its header, as it came; null for good lines. Bronze only."""

ADDRESS = (BATCH_ID, ROW)
"""What tells a row of the tape from every other."""
LINEAGE = (BATCH_ID, ROW, ARRIVED_AT, ARRIVAL_DATE)
"""The columns of the tape that a Silver keeps: a row's address and when it arrived."""
OF_THE_TAPE = (SOURCE, BATCH_ID, ROW, INGESTED_AT, ARRIVED_AT, ARRIVAL_DATE)
"""The columns that a tape adds to its payload."""


def quoted(column: str) -> str:
    """Return the name that `F.col`, `select` and `groupBy` take for this column, whatever is in it."""
    return f"`{column.replace('`', '``')}`"
