"""A local Spark driver that speaks Delta: Java checked, jars fetched once, settings sized for one machine.

`python -m kappa_assets.host.session --fetch-jars` fills the cache; after that no start needs the network.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kappa_assets.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyspark.sql import SparkSession

DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"
OLDEST_JAVA = 17
_BEHIND = 5
"""The niceness of replays and repairs: beside a busy stream they get about a third of its share of a core."""

_SMALL_MACHINE = 2
"""Cores up to which a JVM that streams compiles with its first compiler alone."""
_LIGHT_JVM = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
"""On 2 cores a file of 30 rows every 5 s took 4.1 CPU seconds in a young host, 1.8 of them the second compiler's, and
2.5 with the first alone. Millions of rows that wait take a third longer (600,000: 29 s instead of 21, once it is warm;
the same when it is not), so drains and replays have both. The first compiler alone would have room for 48 MB of code,
which Spark fills within minutes, to compile the same again and again. Who sets JDK_JAVA_OPTIONS has both."""

# Delta's POM lists 28 jars beside its own five. What a local lake needs of them is in pyspark's folder, in
# newer versions; missing is only Unity Catalog's client. So a first fetch took 5 s and 12 MB, not 32 s and
# 87 MB, and merge, optimize, vacuum, restore, deletion vectors, change feed and streams ran the same.
_NOT_NEEDED = "com.*:*,commons-*:*,io.airlift:*,io.unitycatalog:*,javax.*:*,org.*:*"
# What other packages need and pyspark has; Kafka's would bring Hadoop along, 60 MB that are there.
_IN_PYSPARK = (
    "at.yawk.lz4:*,com.github.luben:*,com.google.*:*,commons-logging:*,org.apache.hadoop:*,org.lz4:*,org.scala-lang*:*,"
    "org.slf4j:*,org.xerial.*:*"
)

_JAVA_HINT = (
    f"install Java {OLDEST_JAVA} (Debian, Ubuntu: apt-get install openjdk-17-jre-headless; "
    "macOS: brew install openjdk@17), or point JAVA_HOME at one."
)


def require_java() -> int:
    """The major version of the Java that Spark will use (JAVA_HOME's, else the first on PATH).

    Raises SetupError when there is none, or it is older than Spark 4.2 needs.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    where = "in JAVA_HOME" if home else "on PATH"
    if java is None or not os.access(java, os.X_OK):
        got = f"there is no {java}" if home else "no java was found on PATH, and JAVA_HOME is not set"
        raise SetupError(f"Spark needs Java {OLDEST_JAVA} or newer; {got}.", hint=_JAVA_HINT)
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    said = answer.stderr + answer.stdout
    # 'openjdk version "17.0.15"', but 'java version "1.8.0_402"' up to Java 8.
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None:
        first = said.strip().split("\n")[0]
        raise SetupError(f"`{java} -version` names no version; it said {first!r}.", hint=_JAVA_HINT)
    version = int(found[1])
    if version < OLDEST_JAVA:
        what = f"Spark needs Java {OLDEST_JAVA} or newer; {where} is Java {version} ({java})."
        raise SetupError(what, hint=_JAVA_HINT)
    return version


def pin_environment() -> None:
    """Make Spark's own processes use this Python and this pyspark, and the loopback address.

    Else Python workers run the system's Python, and a SPARK_HOME left over from another Spark starts that.
    Call it before a session is built by somebody else, such as dagster-pyspark.
    """
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["SPARK_HOME"] = str(_pyspark_home())
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"


def delta_jars() -> tuple[Path, ...]:
    """Delta's jars, as `jars_of` returns them. Raises SetupError."""
    return jars_of(DELTA)


def jars_of(*packages: str) -> tuple[Path, ...]:
    """The jars of Maven coordinates: those in the folder KAPPA_JARS, else the cache's, fetched by Spark if not there.

    Raises SetupError when KAPPA_JARS lacks the jar of one of them, or a fetch fails.
    """
    if folder := os.environ.get("KAPPA_JARS"):
        jars = tuple(sorted(Path(folder).expanduser().glob("*.jar")))
        for package in packages:
            name = _named(package)
            if not any(name in jar.name for jar in jars):
                hint = f"put {package} and what it needs into that folder, or unset KAPPA_JARS to fetch them."
                raise SetupError(f"KAPPA_JARS={folder} holds no {name} jar (jars: {len(jars)}).", hint=hint)
        return jars
    return tuple(jar for package in packages for jar in fetched_jars(package, without=_not_needed(package)))


def fetched_jars(package: str, *, without: str = "") -> tuple[Path, ...]:
    """The jars of Maven coordinates and of what these need, but for the groups `without`, from the cache.

    Raises SetupError when they are not there and cannot be fetched.
    """
    cache = Path(os.environ.get("KAPPA_JARS_CACHE") or "~/.cache/kappa_assets/ivy").expanduser()
    # A folder per coordinates, put in place by one rename: if it is there, it is whole.
    ready = cache / package.replace(":", "_")
    if not ready.is_dir():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with (cache / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not ready.is_dir():
                    _fetch(package, without, ready)
        except OSError as error:
            raise SetupError(
                f"The jar cache {cache} cannot be written: {error}.",
                hint="set KAPPA_JARS_CACHE to a folder that can, or KAPPA_JARS to one that holds the jars.",
            ) from error
    return tuple(sorted(ready.glob("*.jar")))


def spark_conf(
    *, cores: int | None = None, memory: str | None = None, live: bool = False, packages: Iterable[str] = ()
) -> dict[str, str]:
    """Every Spark setting of a local driver, for `SparkSession.builder.config` or dagster-pyspark's resource.

    `cores`: the driver's threads (default: all there are). `memory`: the JVM's heap, such as "2g" (default:
    Spark's 1g). `live`: it will stream, so on a small machine it takes little for small batches. `packages`: Maven
    coordinates beside Delta's (`Pipeline.packages`). Raises SetupError when Java or the jars are missing.
    """
    require_java()
    threads = cores or os.cpu_count() or 1
    conf = {
        "spark.master": f"local[{threads}]",
        "spark.jars": ",".join(str(jar) for jar in jars_of(DELTA, *packages)),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "WARN",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        # 200 and 50 by default: a small micro-batch on one machine would mostly start empty tasks.
        "spark.sql.shuffle.partitions": str(threads),
        "spark.databricks.delta.snapshotPartitions": "2",
        # More than 32 files named one by one would be looked up by a job with a task for each: 1 s for 200 files.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        # The default, INT96, has no statistics in the footer: no reader could skip a file by time.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # Both send the line of code of every column expression to the JVM, for error messages: half the
        # time a function takes to describe a batch (sales: 360 ms; without: 170). kappa check looks for errors, and has
        # them on.
        "spark.sql.dataFrameQueryContext.enabled": "false",
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        # Python workers find what this process finds: the folder of a pipeline that is given as a file is on no other
        # path, and a UDF of it would fail there with ModuleNotFoundError.
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(str(Path(p).resolve()) for p in sys.path if Path(p).is_dir()),
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        # A second query on a checkpoint would silently stop the first, and a stop would wait for ever (0).
        "spark.sql.streaming.stopActiveRunOnRestart": "false",
        "spark.sql.streaming.stopTimeout": "60s",
        # How soon a query that found nothing looks again; one that found something does so at once. By default it is 10
        # milliseconds, which keeps a core busy.
        "spark.sql.streaming.pollingDelay": "200ms",
        # Generated classes that are kept, by their text. By default 100: five tables have more, and a dozen were
        # compiled anew for each file that landed.
        "spark.sql.codegen.cache.maxEntries": "1000",
        # The default manager starts a process for every file it makes on a local disk: 100 ms instead of 20 for
        # each entry of the offset and commit logs. Both rename a finished file into place.
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
    }
    if live and (os.cpu_count() or 1) <= _SMALL_MACHINE and "JDK_JAVA_OPTIONS" not in os.environ:
        conf["spark.driver.extraJavaOptions"] = _LIGHT_JVM
    return conf | ({"spark.driver.memory": memory} if memory else {})


def go_behind() -> None:
    """Let live streams on this machine go first: lower the priority of this process, and of the JVM it starts.

    A replay takes what they leave. It cannot be taken back, so this is for processes that do nothing else.
    """
    if os.nice(0) < _BEHIND:
        os.nice(_BEHIND - os.nice(0))


def build_session(
    app_name: str = "kappa_assets",
    *,
    cores: int | None = None,
    memory: str | None = None,
    live: bool = False,
    packages: Iterable[str] = (),
    extra: Mapping[str, str] | None = None,
) -> SparkSession:
    """A local Spark session with Delta, and `packages` beside it; `extra` settings win over `spark_conf`'s.

    Raises SetupError when Java or the jars are missing. A session that runs in this process already is kept.
    """
    conf = spark_conf(cores=cores, memory=memory, live=live, packages=packages) | dict(extra or {})
    pin_environment()
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app_name)
    for name, value in conf.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _named(package: str) -> str:
    """Return by what its own jar is known: `spark-sql-kafka-0-10` of `...:spark-sql-kafka-0-10_2.13:4.2.0`."""
    return package.split(":")[1].partition("_")[0]


def _not_needed(package: str) -> str:
    return _NOT_NEEDED if package == DELTA else _IN_PYSPARK


def _fetch(package: str, without: str, ready: Path) -> None:
    """Let Spark's own resolver fetch a package into `ready`, from the mirror that its settings name."""
    require_java()
    pin_environment()
    with tempfile.TemporaryDirectory(dir=ready.parent, prefix="fetch-") as scratch:
        program = Path(scratch, "nothing.py")
        program.write_text("")  # resolving happens before the program starts
        submit = [str(_pyspark_home() / "bin" / "spark-submit"), "--master", "local[1]", "--packages", package]
        submit += ["--exclude-packages", without] if without else []
        submit += ["--conf", f"spark.jars.ivy={scratch}", str(program)]
        done = subprocess.run(submit, capture_output=True, text=True, check=False)
        jars = Path(scratch, "jars")
        if done.returncode != 0 or not any(jars.glob(f"*{_named(package)}*.jar")):
            said = re.findall(r"^.*(?:Exception|not found|FAILED|rror:).*$", done.stderr, re.MULTILINE)
            why = said[-1].strip(" :\t") if said else f"spark-submit ended with {done.returncode}"
            raise SetupError(
                f"{package} could not be fetched: {why}",
                hint="check the network and try again, or set KAPPA_JARS to a folder that holds the jars of "
                "delta-spark and delta-storage, and of what else the pipeline needs.",
            )
        jars.rename(ready)


def _pyspark_home() -> Path:
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise SetupError("pyspark is not installed.", hint="run `make setup`, or `pip install -e .`")
    return Path(spec.origin).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """`--fetch-jars` fills the cache and prints where the jars are, or the reason why not (exit code 1)."""
    if list(sys.argv[1:] if arguments is None else arguments) != ["--fetch-jars"]:
        sys.stderr.write("usage: python -m kappa_assets.host.session --fetch-jars\n")
        return 2
    try:
        jars = delta_jars()
    except SetupError as error:
        sys.stderr.write("kappa_assets: " + str(error).replace("\n", " ") + "\n")
        return 1
    sys.stdout.write(f"{len(jars)} Delta jars in {jars[0].parent}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
