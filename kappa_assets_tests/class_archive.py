"""Spark's classes as the JVM keeps them, loaded and verified once for all processes of a run of the tests.

The suite starts some hundreds of JVMs. One that builds a session, writes a table and streams it took 16 to 17 CPU
seconds, and 11 to 13 with an archive (2 cores), which costs 35 to make. The JVM looks whether the archive is of its own
version and of these very jars, and does without it where not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kappa_assets import Kafka
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.place.local.lake import Lake
from kappa_assets_tests.retail_files import make_files
from kappa_assets_tests.retail_sales import pipeline


def options_with(folder: Path) -> str:
    """The JVM's options for having the archive in `folder`, made where it is not there; none where it cannot be."""
    java = subprocess.run(["java", "-version"], check=True, capture_output=True, text=True).stderr
    of = sha256(f"{java} {version('pyspark')}".encode()).hexdigest()[:16]
    archive = folder / f"{of}.jsa"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Under another name until it is whole: a run beside this one must not take half of it.
        growing = archive.with_suffix(f".{os.getpid()}")
        made = subprocess.run([sys.executable, "-m", __name__, str(growing)], check=False, capture_output=True)
        if made.returncode or not growing.exists():
            warnings.warn(f"JVMs start without an archive of classes: {made.stderr.decode()[-500:]}", stacklevel=2)
            return ""
        growing.rename(archive)
    # The log would tell each JVM of another program (a broker, Spark's launcher) that the archive is not of its jars.
    return f"-XX:SharedArchiveFile={archive} -Xlog:cds=off -Xlog:cds+dynamic=off"


def make(archive: Path) -> None:
    """Drain a small day, and have the JVM write at its end what classes that took."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        make_files(root / "landing" / "invoices", 5, files=1, lines=40)
        options = {"spark.driver.extraJavaOptions": f"-XX:ArchiveClassesAtExit={archive}"}
        spark = build_session("classes", cores=2, memory="1g", packages=Kafka.packages, extra=options)
        Host(Setting(spark, Lake.at(root / "lake"), root / "landing", Pace(1, 1)), pipeline).drain()
        gateway: Any = spark.sparkContext._gateway
        spark.stop()
        gateway.shutdown()
        # It ends with its input; only then is the archive written.
        gateway.proc.stdin.close()
        gateway.proc.wait()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
