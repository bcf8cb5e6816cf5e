"""README's code, for tests that run it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import kappa_assets
from kappa_assets import load_pipeline

if TYPE_CHECKING:
    from kappa_assets import Pipeline

_README = Path(kappa_assets.__file__).parent.parent / "README.md"


def pipeline_of_readme(folder: Path, holds: str) -> Pipeline:
    """Return the pipeline of the first of README's blocks of Python that holds a text; its module is written there."""
    blocks = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
    module = folder / "pipeline_of_readme.py"
    module.write_text(next(block for block in blocks if holds in block))
    return load_pipeline(str(module))
