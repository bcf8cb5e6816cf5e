"""What a replay costs, told beforehand from logs, registry and disk: bytes to read, bytes to write, time."""

from __future__ import annotations

from dataclasses import dataclass

from kappa_assets.columns import BATCH_ID
from kappa_assets.errors import ReplayError
from kappa_assets.log.tape import Tape
from kappa_assets.names import TableName
from kappa_assets.place.held import held
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import State
from kappa_assets.replay.tape_range import TapeRange


@dataclass(frozen=True)
class DataFile:
    """One file of a table's newest version. `batches`: the tape batches it may hold rows of; None: any."""

    path: str
    bytes: int
    rows: int
    batches: tuple[int, int] | None


def data_files(lake: Lake, table: TableName, generation: int = 1) -> list[DataFile]:
    """Return the files a generation consists of now; none for one that was never written."""
    stored = lake.table(table, generation)
    newest = stored.newest()
    return [] if newest is None else [_data_file(row) for row in held(stored.files(newest))]


def _data_file(row: dict[str, object]) -> DataFile:
    first, last = row.get(f"min.{BATCH_ID}"), row.get(f"max.{BATCH_ID}")
    batches = (first, last) if isinstance(first, int) and isinstance(last, int) else None
    return DataFile(str(row["path"]), int(str(row["size_bytes"])), int(str(row.get("num_records") or 0)), batches)


def tape_bytes(lake: Lake, tape: Tape, part: TapeRange) -> int:
    """Return the size of the Bronze files that hold a part of the tape.

    Raises ReplayError when files, or rows that the tape index counts, are gone.
    """
    files = [f for f in data_files(lake, tape.bronze) if _holds(f, part)]
    gone = lake.table(tape.bronze).gone(f.path for f in files)
    rows = sum(c.rows for c in part.of(tape.commits()))
    there = sum(f.rows for f in files)
    if gone or there < rows:
        lack = f"{len(gone)} of its files are gone, such as {gone[0]}" if gone else f"it holds only {there:,} of them"
        raise ReplayError(
            f"{tape.bronze} can no longer be played from batch {part.first}: the tape index counts {rows:,} rows "
            f"there, but {lack}",
            hint="Restore them from a backup, or start with a later version: kappa tape lists them.",
        )
    return sum(f.bytes for f in files)


def _holds(file: DataFile, part: TapeRange) -> bool:
    if file.batches is None:
        return True
    return file.batches[1] >= part.first and (part.last is None or file.batches[0] <= part.last)


def table_bytes(lake: Lake, table: TableName, generation: int | None) -> int:
    """Return the size of the files a generation consists of now."""
    return 0 if generation is None else sum(f.bytes for f in data_files(lake, table, generation))


def written_bytes(lake: Lake, table: TableName, generation: int | None) -> int:
    """Return the size of the files that a generation consists of now, and its state."""
    state = None if generation is None else lake.state_of(table, generation)
    newest = None if state is None else state.newest()
    kept = 0 if state is None or newest is None else sum(state.files(newest).column("size_bytes").to_pylist())
    return table_bytes(lake, table, generation) + int(kept)


def reject_bytes(lake: Lake, state: State, table: TableName) -> int:
    """Return about how much one generation sets aside: the size of its side table, shared among those in it."""
    aside = lake.set_aside(table)
    newest = aside.newest()
    if newest is None:
        return 0
    sizes = aside.files(newest).column("size_bytes").to_pylist()
    there = sum(t == table and state.state_of(g) != "discarded" for (t, _), g in state.generations.items())
    return int(sum(sizes)) // max(there, 1)


def rows_per_second(state: State, table: TableName) -> float | None:
    """Return how fast the newest measured replay built a table, in rows of the tape; None: never measured."""
    for replay in reversed(list(state.replays.values())):
        built = ((replay.comparison or {}).get("built") or {}).get(str(table))
        if built and built["rows"] > 0 and built["seconds"] > 0:
            return float(built["rows"]) / float(built["seconds"])
    return None


def free_bytes(lake: Lake) -> int:
    """Return how much the disk of the lake can take."""
    return lake.free_bytes()


def in_words(size: float) -> str:
    """Return a number of bytes as people read it: `12.3 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 -- a kilo
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
