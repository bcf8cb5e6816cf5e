"""The files that Spark keeps for one streaming query: its logs of offsets, of batches done and of files seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kappa_assets.errors import LakeError
from kappa_assets.place.beside import StoredCheckpoint
from kappa_assets.place.local import durable


@dataclass(frozen=True)
class LocalCheckpointFiles:
    """The folder of one query's checkpoint."""

    path: Path

    @property
    def location(self) -> str:
        return str(self.path)

    def entries(self, log: str) -> list[int]:
        folder = self.path / log
        return [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []

    def entry(self, log: str, number: int) -> str | None:
        try:
            return (self.path / log / str(number)).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def metadata(self) -> str:
        return (self.path / "metadata").read_text()

    def clean_leftovers(self) -> list[str]:
        removed = []
        for log in ("offsets", "commits", "sources/0"):
            folder = self.path / log
            if not folder.is_dir():
                continue
            stale = [p for p in folder.iterdir() if p.name.startswith(".") and ".tmp" in p.name]
            newest = max((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name), default=None)
            if newest is not None and newest.stat().st_size == 0:
                stale += [newest, folder / f".{newest.name}.crc"]
            for leftover in stale:
                leftover.unlink(missing_ok=True)
                removed.append(str(leftover.relative_to(self.path)))
        return removed

    def file_log(self) -> list[dict[str, Any]]:
        folder = self.path / "sources" / "0"
        found: list[dict[str, Any]] = []
        logs = sorted(folder.iterdir(), key=lambda p: p.name) if folder.is_dir() else []
        logs = [p for p in logs if p.name.partition(".")[0].isdigit()]
        compact = max((int(p.stem) for p in logs if p.suffix == ".compact"), default=-1)
        for path in logs:
            number = int(path.name.partition(".")[0])
            if number > compact or (number == compact and path.suffix == ".compact"):
                found += [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[1:] if line]
        return found

    def retire(self) -> str:
        aside = self.path.with_name(f"{self.path.name}.retired")
        if aside.exists():
            shutil.rmtree(aside)
        self.path.rename(aside)
        return str(aside)

    def sync(self, names: Iterable[str]) -> None:
        durable.sync([self.path / name for name in names], self.path)


WhereLogged = StoredCheckpoint | Path
"""A checkpoint, or the folder in which one lies."""


def logged(where: WhereLogged) -> StoredCheckpoint:
    """Return the checkpoint that lies in a folder; a checkpoint itself as it is."""
    return LocalCheckpointFiles(where) if isinstance(where, Path) else where


def folder_of_logs(where: WhereLogged) -> Path:
    """Return the folder of a checkpoint of this place. Raises LakeError for one of another place."""
    path = where if isinstance(where, Path) else getattr(where, "path", None)
    if isinstance(path, Path):
        return path
    raise LakeError(f"the checkpoint {where} lies in no local folder", hint="What asks for one works on local lakes.")
