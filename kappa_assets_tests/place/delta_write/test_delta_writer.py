"""One Delta table written by us alone: what is said when a commit does not go in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql.types import ArrayType, LongType, MapType, StructField, StructType, TimestampNTZType

from kappa_assets.errors import CommitOvertaken, LakeError
from kappa_assets.place.local.delta_write.delta_writer import DeltaWriter, Once
from kappa_assets.place.local.delta_write.parquet_files import WrittenFiles, describe_files
from kappa_assets_tests.disks import full, small_disk, unwritable

NUMBERS = StructType([StructField("n", LongType())])
WIDER = StructType([*NUMBERS, StructField("m", LongType())])


def writer_of(folder: Path) -> DeltaWriter:
    writer = DeltaWriter("silver.numbers", folder)
    writer.prepare(NUMBERS)
    return writer


def a_file(folder: Path, number: int) -> WrittenFiles:
    """Write one row, not yet committed."""
    pq.write_table(pa.table({"n": [number]}), folder / f"{number}.parquet")
    return describe_files(folder, [f"{number}.parquet"], ())


def numbers(folder: Path) -> list[int]:
    return sorted(DeltaTable(folder).to_pyarrow_table().column("n").to_pylist())


def test_a_full_disk_is_told_from_another_host_and_the_batch_goes_in_once_there_is_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        folder = disk / "numbers"
        writer = writer_of(folder)
        file = a_file(folder, 1)
        writer.commit(a_file(folder, 0), Once("app", 0), "{}")
        with full(disk), pytest.raises(LakeError, match=r"silver.numbers cannot be written in .*: .*No space left"):
            writer.commit(file, Once("app", 1), "{}")
        assert numbers(folder) == [0]
        assert writer.commit(file, Once("app", 1), "{}") == 2
        assert writer.commit(file, Once("app", 1), "{}") is None
        assert numbers(folder) == [0, 1]


def test_a_table_that_cannot_be_made_on_a_full_disk_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        (disk / "numbers").mkdir()
        with full(disk), pytest.raises(LakeError, match=r"silver.numbers cannot be written in .*: .*No space left"):
            writer_of(disk / "numbers")
        assert writer_of(disk / "numbers").version() == 0


@pytest.mark.parametrize(
    "write",
    [lambda w, file: w.commit(file, Once("app", 0), "{}"), lambda w, _: w.prepare(WIDER)],
    ids=["a batch", "a new column"],
)
def test_a_log_that_may_not_be_written_is_told_from_another_host(
    tmp_path: Path, write: Callable[[DeltaWriter, WrittenFiles], Any]
) -> None:
    writer = writer_of(tmp_path / "numbers")
    file = a_file(writer.folder, 1)
    refused = r"silver.numbers cannot be written in .*: .*(Permission denied|Read-only file system)"
    with unwritable(writer.folder / "_delta_log"), pytest.raises(LakeError, match=refused) as failure:
        write(writer, file)
    assert "\n" not in failure.value.what
    assert writer.version() == 0


def test_of_two_that_decide_on_the_same_version_the_second_is_told_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = writer_of(tmp_path / "numbers"), writer_of(tmp_path / "numbers")
    files = [a_file(first.folder, n) for n in (0, 1)]
    seen = second._opened()
    first.commit(files[0], Once("one", 0), "{}")
    with monkeypatch.context() as patched:
        patched.setattr(second, "_open", lambda: seen)  # it looked before the first committed
        with pytest.raises(CommitOvertaken, match=r"somebody else committed to silver.numbers"):
            second.commit(files[1], Once("two", 0), "{}")
    assert numbers(first.folder) == [0]
    second.commit(files[1], Once("two", 0), "{}")
    assert numbers(first.folder) == [0, 1]


def test_a_column_is_nullable_through_and_through(tmp_path: Path) -> None:
    """Else Spark refuses the table beside a timestamp without zone: an invariant that its protocol does not name."""
    inner = StructType([StructField("x", LongType(), False)])
    first = StructType([StructField("at", TimestampNTZType(), False), StructField("in", inner, False)])
    second = StructType([*first, StructField("list", ArrayType(MapType(LongType(), inner, False), False), False)])
    writer = DeltaWriter("silver.t", tmp_path / "t")
    for schema in (first, second):
        writer.prepare(schema)
        assert '"nullable":false' not in str(writer.schema().json())  # type: ignore[union-attr]
        assert 'ContainsNull":false' not in str(writer.schema().json())  # type: ignore[union-attr]
    assert writer.schema().simpleString() == second.simpleString()  # type: ignore[union-attr]


def test_of_two_that_make_a_table_the_second_is_told_of_the_first(tmp_path: Path) -> None:
    first, second = (DeltaWriter("silver.numbers", tmp_path / "numbers") for _ in range(2))
    first.prepare(NUMBERS)
    with pytest.raises(CommitOvertaken, match=r"somebody else committed to silver.numbers"):
        second._create(NUMBERS)
