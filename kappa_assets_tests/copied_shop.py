"""A folder with a lake and its landing folder, copied whole: cheaper than to drain another."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from kappa_assets.kinds.query import Setting
    from kappa_assets.place.local.lake import Lake


SCRATCH = "scratch"
"""Where processes beside a shop leave temporary files, which no copy needs."""


def copy_shop(shop: Path, to: Path) -> Path:
    """Copy `shop`, which holds `lake` and `landing`, to the new folder `to`, and return that."""
    shutil.copytree(shop, to, symlinks=True, ignore=shutil.ignore_patterns(SCRATCH))
    know_landed_files(to, was_at=shop)
    return to


def know_landed_files(shop: Path, *, was_at: Path) -> None:
    """Let the checkpoints of a shop that lay elsewhere know its landed files by the paths that they have now.

    Spark's stream of landed files knows them by their absolute paths: else all of them would be new, and be read twice.
    """
    for entry in (shop / "lake" / "_kappa" / "checkpoints" / "bronze").rglob("sources/*/*"):
        if not entry.name.startswith("."):
            entry.write_text(entry.read_text().replace(f"{was_at}/", f"{shop}/"))
            entry.with_name(f".{entry.name}.crc").unlink(missing_ok=True)  # the sum of what it said before


@dataclass(frozen=True)
class Shop:
    """A setting, and the files on its tape: one in each batch, a day apart."""

    setting: Setting
    files: tuple[Path, ...]

    @property
    def lake(self) -> Lake:
        return self.setting.lake
