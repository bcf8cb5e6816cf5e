"""A kind of a stranger's: the newest batch of the tape, and nothing of those before. Also a process that dies in it.

python -m kappa_assets_tests.kinds.toy_kind <folder with lake and landing>
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kappa_assets import Files, Pipeline, Silver, bronze, silver
from kappa_assets.columns import ADDRESS, LINEAGE
from kappa_assets.faults import Point, inject
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.kind import Kind, Standing
from kappa_assets.kinds.known_kinds import kind_of
from kappa_assets.kinds.query import Pace, Setting, checkpoint_of
from kappa_assets.log.note import CommitNote
from kappa_assets.log.positions import input_range, position_of_bronze_version
from kappa_assets.logic.logic_check import check_row_by_row
from kappa_assets.place.change import Change, Counts, Everything, Write
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Generation

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


# --- the kind: fifty lines ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Newest(Silver):
    """A row-by-row table of the newest batch alone."""


class NewestQuery:
    every = 0.0

    def __init__(self, setting: Setting, table: Newest, generation: Generation, standing: Standing) -> None:
        self._setting, self._function, self._on = setting, table, standing
        self.table, self._of = table.name, generation
        self.generation, self.checkpoint = generation.number, checkpoint_of(setting.lake, generation)
        self.upstreams = (setting.lake.table(standing.upstreams[0]),)
        self._target = setting.lake.table(self.table, self.generation).open()

    def is_ready(self) -> bool:
        return self.upstreams[0].open().version() > 0

    def prepare(self) -> None:
        tape = self.upstreams[0].read(self._setting.spark, self.upstreams[0].newest() or 0)
        self._target.prepare(self._function(tape).schema)
        self._target.take_over(self._write(0), self._setting.fence)

    def stream(self) -> DataFrame:
        return self.upstreams[0].changes(self._setting.spark, feed=False, limits={"maxFilesPerTrigger": "1"})

    def apply(self, batch: DataFrame, number: int) -> None:
        read = input_range(self.upstreams[0], 1, *self.checkpoint.delta_range(number))
        position = position_of_bronze_version(self._on.tapes[0], read.version)

        def note(counts: Counts) -> str:
            tape, version = str(*self._on.upstreams), self._on.code_version
            at = {"reads": {tape: read}, "position": {tape: position}, "rows": counts.rows, "replay": self._of.replay}
            return CommitNote(str(self.table), self.generation, number, version, **at).to_json()  # type: ignore[arg-type]

        change = Change(self._write(number), self._function(batch), note, Everything())
        self._target.apply(change, self._setting.fence)

    def _write(self, number: int) -> Write:
        return Write(str(self.table), self.generation, "main", number)


NEWEST = Kind("newest", NewestQuery, check_row_by_row, lambda _: ADDRESS, keeps_addresses=True)


@kind_of.register
def _(table: Newest) -> Kind:
    return NEWEST


# --- a pipeline with a table of it -------------------------------------------------------------------------------
lines = bronze("lines", source=Files("lines", format="text"))


@silver
def plain(lines: DataFrame) -> DataFrame:
    """The lines as they came."""
    return lines.select("value", *LINEAGE)


@silver(version="corrected")
def upper(lines: DataFrame) -> DataFrame:
    """The lines in capitals."""
    return lines.selectExpr("upper(value) AS value", *LINEAGE)


def pipeline_of(declared: Silver) -> Pipeline:
    options: dict[str, Any] = {**vars(declared), "name": plain.name}
    return Pipeline.from_tables("toy", [lines, Newest(**options)])


def dies(point: Point, what: str) -> None:
    if (point, what) == ("after_rejects", str(plain.name)):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    inject(dies)
    setting = Setting(
        build_session("toy", cores=1, memory="512m"), Lake.at(folder / "lake"), folder / "landing", Pace(1)
    )
    Host(setting, pipeline_of(plain)).drain()
