"""Which files may hold a group is told by bounds alone: none that holds one stays, and new ones are cut apart."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyspark.sql.types import StringType, StructField, StructType

from kappa_assets.place.change import Groups
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import describe_files
from kappa_assets.place.local.delta_write.small_files import write_part
from kappa_assets.place.local.key_order import key_order
from kappa_assets.place.local.key_order.extents import as_ordered, cuts, extents, to_replace
from kappa_assets.place.local.key_order.key_order import KeyOrder

HIGHEST = "\U0010ffff" * 33
TEXT = st.none() | st.sampled_from(["", "a", "b", "m" * 31, "m" * 32, "m" * 32 + "a", "m" * 33, "ü", HIGHEST])
FILES = st.lists(st.lists(TEXT, min_size=1, max_size=4), min_size=1, max_size=6)
SCHEMA = StructType([StructField("k", StringType())])


def table_of(folder: Path, files: list[list[str | None]]) -> tuple[DeltaWriter, dict[str, list[str | None]]]:
    """Return a table of these files, and what each of them holds."""
    writer = DeltaWriter("t", folder)
    writer.prepare(SCHEMA)
    (folder / "data").mkdir()
    held = {f"data/{number}.parquet": values for number, values in enumerate(files)}
    for path, values in held.items():
        write_part(pa.table({"k": pa.array(values, pa.string())}), folder / path)
    writer.commit(describe_files(folder, held, ()), Once("a", 1), "")
    return writer, held


@settings(max_examples=40)
@given(FILES, st.lists(TEXT, max_size=4))
@example([["a", HIGHEST], ["b"]], [HIGHEST])  # no bound is above it, and its home is the other file
def test_no_file_that_holds_a_wanted_value_stays(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str | None]], wanted: list[str | None]
) -> None:
    writer, held = table_of(tmp_path_factory.mktemp("t"), files)
    found = extents(writer.held(), "k")
    assert {one.path for one in found} == held.keys()
    replaced = to_replace(found, as_ordered(pa.array(wanted, pa.string())))
    gone = {one.path for one in replaced}
    assert {path for path, values in held.items() if set(values) & set(wanted)} <= gone
    new_ones_have_a_home = not any(wanted) or all(set(values) == {None} for values in files)
    assert gone or new_ones_have_a_home
    borders = cuts(found, replaced)
    assert borders == sorted(set(borders))
    begun = {one.low for one in found if one.low is not None and one.path not in gone}
    assert begun - {min((one.low for one in found if one.low is not None), default=None)} <= set(borders)


@settings(max_examples=40)
@given(FILES, st.lists(TEXT, min_size=1, max_size=4), st.lists(TEXT, min_size=1, max_size=40))
def test_new_files_hold_all_rows_in_order_and_none_spans_a_cut(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[str | None]],
    wanted: list[str | None],
    rows: list[str | None],
) -> None:
    folder = tmp_path_factory.mktemp("t")
    writer, _ = table_of(folder, files)
    order = KeyOrder(writer, ("k",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_order, "_SMALLEST", 1)
        patch.setattr(key_order, "_GROWTH", 1)
        part = order.part_of(Groups(("k",), pa.table({"k": pa.array(wanted, pa.string())})))
        new = order.write_sorted(pa.table({"k": pa.array(rows, pa.string())}), part)
    tables = [pq.read_table(folder / action.path) for action in new.actions]
    together = pa.concat_tables(tables)["k"]
    assert together.to_pylist() == pc.take(together, pc.sort_indices(together)).to_pylist()
    assert sorted(map(str, together.to_pylist())) == sorted(map(str, rows))
    for table in tables:
        values = [value for value in table["k"].to_pylist() if value is not None]
        if values:
            assert not any(values[0] < cut <= values[-1] for cut in part.cuts)
    assert all(len(table) <= max(2 * part.rows_a_file, 1) for table in tables)
    assert part.kept_rows == sum(map(len, files)) - sum(one.rows for one in part.replaced)
