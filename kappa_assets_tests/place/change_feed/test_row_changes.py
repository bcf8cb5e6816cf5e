"""What the change feed says of exchanged files: the rows that differ, each as often as it does."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql.types import StructType

from kappa_assets.place.local.change_feed import row_changes
from kappa_assets.place.local.change_feed.row_changes import changed_rows, tells_rows_apart

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FLAT = "n BIGINT, `a.b` STRING, x DOUBLE, s STRUCT<a: INT, `b.c`: INT>"
NESTED = "n BIGINT, `a.b` STRING, x DOUBLE, l ARRAY<STRUCT<a: INT, `b.c`: INT>>"
ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 1]),
        st.sampled_from([None, "", "a"]),
        st.sampled_from([None, float("nan"), 1.5]),
        st.sampled_from([None, (None, None), (1, None), (None, 1)]),
    ),
    max_size=12,
)


def counted(rows: list[Any]) -> Counter[str]:
    return Counter(repr(row) for row in rows)


@pytest.mark.parametrize("few", [0, 100], ids=["all rows are grouped", "rows behind digests are grouped"])
@pytest.mark.parametrize("schema", [FLAT, NESTED])
@settings(max_examples=6)
@given(ROWS, ROWS)
def test_old_rows_and_what_changed_give_the_new_rows_with_as_few_changes_as_can_be(
    spark: SparkSession, schema: str, few: int, old: list[Any], new: list[Any]
) -> None:
    if schema == NESTED:
        old, new = ([(*row[:3], [row[3]]) for row in rows] for rows in (old, new))
    frames = [spark.createDataFrame(rows, schema) for rows in (old, new)]
    said = {"insert": Counter[str](), "delete": Counter[str]()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_changes, "_FEW", few)
        with changed_rows(*frames) as changed:
            for row in [] if changed is None else changed.collect():
                said[row["_change_type"]] += counted([tuple(row)[:-1]])
    before, after = (counted([tuple(row) for row in frame.collect()]) for frame in frames)
    assert said == {"insert": after - before, "delete": before - after}


def test_types_that_spark_cannot_group_by_are_known(spark: SparkSession) -> None:
    assert all(tells_rows_apart(spark.createDataFrame([], schema).schema) for schema in (FLAT, NESTED))
    for kind in ("VARIANT", "ARRAY<STRUCT<v: VARIANT>>", "MAP<STRING, INT>"):
        assert not tells_rows_apart(StructType.fromDDL(f"v {kind}"))
