"""What we say of a file's texts is what delta-rs, and who filters with it, reads of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql.types import StringType, StructField, StructType

from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles, describe_files
from kappa_assets.place.local.delta_write.small_files import write_part

TEXTS = ['a"\\b', "\u2028", "\uf600", "\U0001f600", "\U0010ffff"]


@pytest.mark.parametrize("exchanged", [False, True], ids=["a commit of delta-rs", "a commit file of our own"])
def test_bounds_of_any_letter_are_read_back_as_they_are(tmp_path: Path, *, exchanged: bool) -> None:
    writer = DeltaWriter("t", tmp_path)
    writer.prepare(StructType([StructField("k", StringType())]))

    def written(text: str) -> WrittenFiles:
        path = f"data/{TEXTS.index(text)}.parquet"
        write_part(pa.table({"k": [text]}), tmp_path / path)
        return describe_files(tmp_path, [path], ())

    (tmp_path / "data").mkdir()
    for number, text in enumerate(TEXTS):
        once = Once("a", number)
        if exchanged:
            assert writer.exchange([], written(text), once, lambda: "", changed=written(text)) is not None
        else:
            assert writer.commit(written(text), once, "") is not None
    actions = pa.table(DeltaTable(tmp_path).get_add_actions(flatten=True))
    assert sorted(actions["min.k"].to_pylist()) == sorted(actions["max.k"].to_pylist()) == sorted(TEXTS)
    for text in TEXTS:
        assert DeltaTable(tmp_path).to_pyarrow_table(filters=[("k", "=", text)]).num_rows == 1
