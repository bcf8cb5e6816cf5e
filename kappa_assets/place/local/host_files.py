"""What the host of a lake says about itself, in files of one folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LocalHostFiles:
    """The folder of the host's lock and words."""

    folder: Path

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def replace(self, name: str, text: str) -> None:
        path = self.folder / name
        fresh = path.with_name(f".{path.stem}.{os.getpid()}")
        fresh.write_text(text)
        fresh.replace(path)

    def write_over(self, name: str, text: bytes) -> None:
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(descriptor, text, 0)
        finally:
            os.close(descriptor)
