"""`kappa quarantine` lists rows that are not in the table, by their addresses; those of earlier versions too."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake

from kappa_assets.cli import main
from kappa_assets_tests.written_logs import VISITS, WrittenLake

AT = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def row(batch: int, number: int, *, generation: int = 1, **more: object) -> dict[str, object]:
    said = {"reasons": ["timely"], "row": json.dumps({"page": f"p{number}"}), "generation": generation, "batch": batch}
    return {"_batch_id": batch, "_row": number, "_arrived_at": AT, "_arrival_date": AT.date(), **said, **more}


def asked(web: WrittenLake, *options: str) -> list[dict[str, Any]]:
    places = ["--lake", str(web.lake.root), "--pipeline", "kappa_assets_tests.written_logs", "--json"]
    result = CliRunner().invoke(main, ["quarantine", str(VISITS), *options, *places])
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


@pytest.fixture
def web(lake_path: Path) -> WrittenLake:
    return WrittenLake(lake_path)


def put(web: WrittenLake, *rows: dict[str, object]) -> None:
    write_deltalake(web.lake.rejects(VISITS), pa.Table.from_pylist(list(rows)), mode="append", schema_mode="merge")


def test_a_table_without_rows_aside_has_none_to_list(web: WrittenLake) -> None:
    assert asked(web) == asked(web, "--dropped") == []


def test_rows_are_listed_by_what_became_of_them_and_those_of_before_are_dropped_ones(web: WrittenLake) -> None:
    put(web, row(0, 4))  # as an earlier version has written it
    assert asked(web) == []
    marked = "quarantine/released/7"  # by a release that was interrupted
    put(web, *(row(1, n, on_fail=marked if n == 1 else "quarantine") for n in range(3)), row(1, 3, on_fail="drop"))
    put(web, row(1, 9, generation=2, on_fail="quarantine"))
    found = asked(web)
    assert [(r["_batch_id"], r["_row"]) for r in found] == [(1, 2), (1, 1), (1, 0)]
    assert (found[0]["reasons"], json.loads(found[0]["row"])) == (["timely"], {"page": "p2"})
    assert [(r["_batch_id"], r["_row"]) for r in asked(web, "--dropped")] == [(1, 3), (0, 4)]
    assert len(asked(web, "--limit", "2")) == 2
