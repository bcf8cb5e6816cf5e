"""Make the archive of a lake as the code of today writes it: `python -m kappa_assets_tests.lakes.make 0.2.0`.

To be done at every release, with the code that is released; the archives of earlier ones stay, and all are tested.
Beside the archive it writes what the registry and the tape said, as JSON: look at it before you commit it.

The lake has lived under a neutral path, has known logic that was replaced, and ends with its host stopped, a validation
that was kept, and a candidate that waits for a person. Nothing in it names the machine that made it.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import shutil
import socket
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kappa_assets import Pipeline
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.log.tape import Tape
from kappa_assets.maintenance import Policy
from kappa_assets.maintenance.one_run import maintain
from kappa_assets.place.local.lake import Lake
from kappa_assets.place.local.leases.machine import boot_id, pid_namespace
from kappa_assets.repair import plan_repair, run_repair
from kappa_assets.replay import discard_replay, plan_replay, rollback, run_replay
from kappa_assets_tests.lakes import shop_files
from kappa_assets_tests.lakes.kept import CUSTOMERS, ORDERS, PLACE, SALES, SPENDING
from kappa_assets_tests.lakes.shop import SHOP
from kappa_assets_tests.lakes.shop_at_first import AT_FIRST, FORWARDED
from kappa_assets_tests.lakes.told import told

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LATER = dt.timedelta(days=9)
"""So long after the promotion upkeep takes place: what was replaced then goes."""


def live(setting: Setting) -> None:
    """Let a lake live through all that the registry has events for."""
    lake, landing = setting.lake, setting.landing
    shop_files.land(landing, "2026-11-20-a.csv", 1)
    shop_files.land(landing, "2026-11-20-b.csv", 2)
    Host(setting, AT_FIRST).drain()
    _repair(setting, AT_FIRST)
    shop_files.land(landing, "2026-11-21-a.csv", 3)
    shop_files.land_no_text(landing, "2026-11-21-b.csv")
    Host(setting, FORWARDED).drain()
    run_replay(setting, SHOP, plan_replay(lake, SHOP, [SALES]))
    rollback(lake, reason="the bill of the 21st looks odd")
    rollback(lake, 2, reason="it is right")
    given_up = run_replay(setting, SHOP, plan_replay(lake, SHOP, [CUSTOMERS]), promote="hold")
    discard_replay(lake, given_up.id)
    maintain(lake, SHOP, Policy(keep_releases=1), now=dt.datetime.now(dt.UTC) + _LATER)
    _repair(setting, SHOP)
    shop_files.land(landing, "2026-11-21-c.csv", 4)
    Host(setting, SHOP).drain()
    first = Tape(lake, ORDERS).commits()[1].version
    run_replay(setting, SHOP, plan_replay(lake, SHOP, [SPENDING], to_version=first))
    run_replay(setting, SHOP, plan_replay(lake, SHOP, [SALES], from_version=first), promote="hold")


def _repair(setting: Setting, pipeline: Pipeline) -> None:
    list(run_repair(setting, pipeline, plan_repair(setting.lake, pipeline, SALES, [dt.date(2026, 11, 20)])))


@contextmanager
def _spark() -> Iterator[SparkSession]:
    session = build_session("kept_lake", cores=2, memory="1g", extra={"spark.sql.shuffle.partitions": "2"})
    try:
        yield session
    finally:
        session.stop()


def pack(place: Path, archive: Path) -> None:
    """Write a lake and its landing folder as a tar that names no machine and nobody.

    Locks and the host's last words are signed with the machine's name and boot: others stand there, of the same length.
    Raises ValueError where one is left, or a path of this checkout.
    """
    for path in sorted((place / "lake" / "_kappa").rglob("*")):
        if path.is_file() and (path.name.endswith("lock") or path.parent.name == "host"):
            _unname(path)
    _refuse_traces(place)
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        tar.add(place, arcname=".", filter=_of_nobody)


def _traces() -> dict[bytes, bytes]:
    return {
        boot_id().encode(): b"00000000-0000-4000-8000-000000000000",
        pid_namespace().encode(): b"pid:[0000000000]",
        socket.gethostname().encode(): b"till".ljust(len(socket.gethostname()), b"-"),
    }


def _unname(path: Path) -> None:
    stat, content = path.stat(), path.read_bytes()
    for trace, other in _traces().items():
        content = content.replace(trace, other) if trace else content
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _refuse_traces(place: Path) -> None:
    checkout, home = str(Path(__file__).parents[2]).encode(), str(Path.home()).encode()
    for path in place.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            left = [trace for trace in (*_traces(), checkout, home + b"/") if trace and trace in content]
            if left:
                raise ValueError(f"{path} names this machine: {left}")


def _of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main(version: str) -> None:
    """Make `<version>.tar.gz` and `<version>.json` beside this module."""
    shutil.rmtree(PLACE, ignore_errors=True)
    with _spark() as spark:
        live(Setting(spark, Lake.at(PLACE / "lake"), PLACE / "landing", Pace(1, 1)))
    archive = Path(__file__).with_name(f"{version}.tar.gz")
    pack(PLACE, archive)
    facts = told(Lake.at(PLACE / "lake"), SHOP)
    archive.with_name(f"{version}.json").write_text(json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(PLACE)


if __name__ == "__main__":
    main(sys.argv[1])
