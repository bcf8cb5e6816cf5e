"""The state of a generation, as upkeep has it: what it replaced goes within hours, all of it with the generation."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from kappa_assets.maintenance import Policy
from kappa_assets.place.registry import events
from kappa_assets_tests.maintenance.hand_lake import MONDAY, HandLake, now, run
from kappa_assets_tests.written_logs import PAGES, VISITS


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.parquet")}


def test_what_a_state_replaced_goes_soon_and_all_of_it_with_its_generation(lake_path: Path) -> None:
    hand = HandLake(lake_path)
    hand.land(MONDAY)
    hand.read()
    folder = hand.lake.state(VISITS)
    for number in range(3):
        write_deltalake(folder, pa.table({"k": [number]}), mode="overwrite")
    before = files(folder)
    run(hand, at=now(hours=5))
    assert files(folder) == before, "a batch may still be reading them"
    run(hand, at=now(hours=7))
    assert len(before) == 3
    assert files(folder) == {Path(one).name for one in DeltaTable(folder).file_uris()}

    lying = hand.lake.lying(VISITS, 1)
    made = [events.generation_created(name, 2, "new", upstream=2) for name in (VISITS, PAGES)]
    hand.say(*made, events.release_created(2, {VISITS: 2, PAGES: 2}, "x"))
    run(hand, policy=Policy(keep_releases=1), at=now(days=8))
    assert lying is not None
    assert not folder.exists()
    assert hand.lake.lying(VISITS, 1) is None
