"""Paths as Spark takes them: to its readers, in batch and in streams, each is a pattern."""

from __future__ import annotations

import re
from pathlib import Path

_IN_A_PATTERN = re.compile(r"[][*?{}\\]")


def literal_path(path: str | Path) -> str:
    """Return the pattern that names this path alone: `a[1].csv` is a name, and so is `in [prod]`.

    Spark's own way to take a path as one, the option `__globPaths__`, reads the other files of a batch twice.
    """
    return _IN_A_PATTERN.sub(r"\\\g<0>", str(path))
