"""The lakes that are kept, unpacked; and what must hold of one after anything that is done to it."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable

from kappa_assets import TableName
from kappa_assets.log.delta_log import commits
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.registry import Registry
from kappa_assets_tests.copied_shop import know_landed_files
from kappa_assets_tests.lakes.shop_files import Row, expected

ARCHIVES = tuple(sorted(Path(__file__).parent.glob("*.tar.gz")))

PLACE = Path("/tmp/kappa-old-lake")
"""Where a kept lake has lived: its checkpoints know the landed files by their whole paths."""

ORDERS, SALES = TableName.parse("bronze.orders"), TableName.parse("silver.sales")
SPENDING, CUSTOMERS = TableName.parse("gold.spending"), TableName.parse("gold.customers")
TOP_ITEMS = TableName.parse("gold.top_items")

_COLUMNS = {
    SALES: ("order_id", "customer", "item", "pieces", "amount"),
    SPENDING: ("customer", "spent", "lines"),
    CUSTOMERS: ("customer", "orders", "largest"),
    TOP_ITEMS: ("rank", "item", "brought"),
}
_AGE = 400 * 86_400
"""Seconds by which a lake's files are made older: Delta goes by them, and a test must not depend on the day it runs."""


@dataclass(frozen=True)
class KeptLake:
    """A lake from an archive, in a place of its own, with its landing folder."""

    archive: Path
    lake: Lake
    landing: Path

    @property
    def landed(self) -> list[Path]:
        """The files in the landing folder."""
        return sorted((self.landing / "orders").iterdir())

    def verify(self) -> None:
        """Assert that the tables that readers see hold what plain Python makes of the landed files, and no more."""
        should = expected(self.landed)
        for table in _COLUMNS:
            assert self.rows(self.lake.link(table), table) == getattr(should, table.name), str(table)
        aside = DeltaTable(self.lake.rejects(ORDERS)).to_pyarrow_table(columns=["file"]).column("file").to_pylist()
        assert sorted(aside) == sorted(should.set_aside)

    def verify_rejects(self) -> None:
        """Assert that the live Silver, which has computed all of the tape itself, kept and counted each reject once."""
        live = Registry(self.lake).state().live(SALES)
        assert live is not None
        noted: Counter[str] = Counter()
        for commit in commits(self.lake.folder(SALES, live.number)):
            noted.update(dict(commit.note.rejected) if commit.note else {})
        kept = DeltaTable(self.lake.rejects(SALES)).to_pyarrow_table(columns=["generation", "reasons"]).to_pylist()
        should = expected(self.landed).rejected
        assert noted == should
        assert Counter(why for row in kept if row["generation"] == live.number for why in row["reasons"]) == should

    def rows(self, folder: Path, table: TableName) -> Counter[Row]:
        """Return how often each row occurs in a table's folder, its lineage columns left out."""
        found = DeltaTable(folder.resolve()).to_pyarrow_table(columns=list(_COLUMNS[table])).to_pylist()
        return Counter(tuple(row.values()) for row in found)


def unpack(archive: Path, to: Path) -> KeptLake:
    """Unpack an archive into a folder that is not there yet, as a lake of long ago that has always lain there."""
    with tarfile.open(archive) as tar:
        tar.extractall(to, filter="data")
    seen: set[int] = set()
    for path in (to / "lake").rglob("*"):
        stat = path.lstat()
        if path.is_file() and not path.is_symlink() and stat.st_ino not in seen:
            seen.add(stat.st_ino)
            os.utime(path, (stat.st_atime - _AGE, stat.st_mtime - _AGE))
    know_landed_files(to, was_at=PLACE)
    return KeptLake(archive, Lake.at(to / "lake"), to / "landing")
