"""Modules written and loaded by a test, to ask for the code versions of their tables."""

from __future__ import annotations

import importlib
import sys
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from kappa_assets.declare.tables import Table
from kappa_assets.fingerprint.code_version import code_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Load = Callable[..., str]


NOTHING: Mapping[str, str] = {}


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Write a module of a folder of its own, load it, and return the code version of a table in it."""
    folders = count()
    before = set(sys.modules)
    path_before = list(sys.path)

    def loaded(source: str, table: str = "sales", files: Mapping[str, str] = NOTHING) -> str:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (folder / "shop_tables.py").write_text(dedent(source))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]
        sys.path[:] = [str(folder), *path_before]
        importlib.invalidate_caches()
        found = vars(importlib.import_module("shop_tables"))[table]
        assert isinstance(found, Table)
        return code_version(found)

    yield loaded
    sys.path[:] = path_before
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
