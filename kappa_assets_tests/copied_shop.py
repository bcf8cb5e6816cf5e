"""A folder with a lake and its landing folder, copied whole: cheaper than to drain another."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


SCRATCH = "scratch"
"""Where processes beside a shop leave temporary files, which no copy needs."""


def copy_shop(shop: Path, to: Path) -> Path:
    """Copy `shop`, which holds `lake` and `landing`, to the new folder `to`, and return that.

    Spark's stream of landed files knows them by their absolute paths. In the copy's checkpoints these are the paths of
    the copied files: else all of them would be new, and be read twice.
    """
    shutil.copytree(shop, to, symlinks=True, ignore=shutil.ignore_patterns(SCRATCH))
    for entry in (to / "lake" / "_kappa" / "checkpoints" / "bronze").rglob("sources/*/*"):
        if not entry.name.startswith("."):
            entry.write_text(entry.read_text().replace(f"{shop}/", f"{to}/"))
            entry.with_name(f".{entry.name}.crc").unlink(missing_ok=True)  # the sum of what it said before
    return to
