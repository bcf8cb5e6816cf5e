"""The Spark session: what it needs of the machine, where its jars come from, what it is set to."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kappa_assets.errors import SetupError
from kappa_assets.host import session
from kappa_assets.host.spark_log import quiet_streams

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty PATH folder (returned), no Java, and an empty jar cache in tmp_path/cache."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("KAPPA_JARS_CACHE", str(tmp_path / "cache"))
    for name in (
        "JAVA_HOME",
        "KAPPA_JARS",
        "PYSPARK_PYTHON",
        "PYSPARK_DRIVER_PYTHON",
        "SPARK_HOME",
        "SPARK_LOCAL_IP",
    ):
        monkeypatch.setenv(name, "")  # noted by monkeypatch, so what pin_environment sets is undone
        monkeypatch.delenv(name)
    return programs


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def java(folder: Path, version: str) -> None:
    program(folder / "java", f"""echo 'openjdk version "{version}" 2025-04-15' >&2""")


# What a fake spark-submit does: note the call, and put jars where spark.jars.ivy says.
FETCHES = """
PATH=/usr/bin:/bin
echo call >> {log}
for a in "$@"; do case $a in spark.jars.ivy=*) ivy=${{a#spark.jars.ivy=}};; esac; done
mkdir -p $ivy/jars; cd $ivy/jars; sleep 0.2; touch delta-spark_4.2_2.13-4.4.0.jar delta-storage.jar
"""


def spark_submit(monkeypatch: pytest.MonkeyPatch, home: Path, script: str) -> None:
    program(home / "bin" / "spark-submit", script)
    monkeypatch.setattr(session, "_pyspark_home", lambda: home)


def test_no_java_says_what_to_install(machine: Path) -> None:
    with pytest.raises(SetupError, match=r"Java 17 or newer; no java was found on PATH.*\nHint: install Java 17"):
        session.spark_conf()


def test_a_java_that_is_too_old_is_named(machine: Path) -> None:
    java(machine, "11.0.2")
    with pytest.raises(SetupError, match=rf"on PATH is Java 11 \({machine}/java\)"):
        session.require_java()


def test_java_8_is_read_from_its_older_version_number(machine: Path) -> None:
    java(machine, "1.8.0_402")
    with pytest.raises(SetupError, match="is Java 8 "):
        session.require_java()


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21), ("25-ea", 25)])
def test_java_from_17_on_is_accepted(machine: Path, version: str, major: int) -> None:
    java(machine, version)
    assert session.require_java() == major


def test_java_home_is_asked_before_path_as_spark_does(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java(machine, "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    with pytest.raises(SetupError, match=f"there is no {tmp_path}/jdk/bin/java"):
        session.require_java()
    java(tmp_path / "jdk" / "bin", "11.0.1")
    with pytest.raises(SetupError, match="in JAVA_HOME is Java 11"):
        session.require_java()


def test_something_that_is_no_java_is_quoted(machine: Path) -> None:
    program(machine / "java", "echo The operation couldn\\'t be completed. >&2; exit 1")
    with pytest.raises(SetupError, match="names no version; it said \"The operation couldn't"):
        session.require_java()


def test_a_folder_of_jars_is_used_as_it_is(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java(machine, "17")
    monkeypatch.setenv("KAPPA_JARS", str(tmp_path))
    with pytest.raises(SetupError, match=r"holds no delta-spark jar \(jars: 0\)"):
        session.spark_conf()
    (tmp_path / "delta-spark_4.2_2.13-4.4.0.jar").touch()
    (tmp_path / "delta-storage-4.4.0.jar").touch()
    jars = f"{tmp_path}/delta-spark_4.2_2.13-4.4.0.jar,{tmp_path}/delta-storage-4.4.0.jar"
    assert session.spark_conf()["spark.jars"] == jars


@pytest.mark.parametrize(
    ("cores", "options", "live", "first_alone"),
    [
        (2, None, True, True),
        (4, None, True, False),  # there the second compiler has a core to itself
        (2, None, False, False),  # a drain or a replay may have millions of rows before it
        (2, "-Xlog:gc", True, False),  # somebody has chosen
    ],
)
def test_only_a_stream_on_a_small_machine_does_without_the_second_compiler(
    machine: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    options: str | None,
    *,
    live: bool,
    first_alone: bool,
) -> None:
    java(machine, "17")
    monkeypatch.setenv("KAPPA_JARS", str(tmp_path))
    (tmp_path / "delta-spark_4.2_2.13-4.4.0.jar").touch()
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.delenv("JDK_JAVA_OPTIONS", raising=False)
    if options is not None:
        monkeypatch.setenv("JDK_JAVA_OPTIONS", options)
    given = session.spark_conf(live=live).get("spark.driver.extraJavaOptions", "")
    assert ("-XX:TieredStopAtLevel=1" in given) == first_alone


def test_python_workers_find_what_this_process_finds_in_the_same_order(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java(machine, "17")
    monkeypatch.setenv("KAPPA_JARS", str(tmp_path))
    (tmp_path / "delta-spark_4.2_2.13-4.4.0.jar").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), "", str(tmp_path / "gone"), *sys.path])
    given = session.spark_conf()["spark.executorEnv.PYTHONPATH"].split(":")
    assert given[:2] == [str(tmp_path), str(Path.cwd())]
    assert str(tmp_path / "gone") not in given


def test_jars_are_fetched_once_even_when_several_start_together(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java(machine, "17")
    spark_submit(monkeypatch, tmp_path / "pyspark", FETCHES.format(log=tmp_path / "log"))
    found: list[tuple[Path, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(session.delta_jars())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "log").read_text() == "call\n"
    assert len(set(found)) == 1
    assert [jar.exists() for jar in found[0]] == [True, True]
    assert not list((tmp_path / "cache").glob("fetch-*")), "scratch folders are left"


def test_what_a_source_needs_is_fetched_beside_delta_without_what_pyspark_has(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java(machine, "17")
    fetches = (
        FETCHES.format(log=tmp_path / "log").replace("echo call", 'echo "$@"') + "touch spark-sql-toy_2.13-1.jar\n"
    )
    spark_submit(monkeypatch, tmp_path / "pyspark", fetches)
    toy = "org.toy:spark-sql-toy_2.13:1"
    with_toy = session.spark_conf(packages=[toy])["spark.jars"].split(",")
    assert session.spark_conf()["spark.jars"].split(",") == with_toy[: len(with_toy) // 2]
    assert {Path(jar).parent.name for jar in with_toy} == {
        "io.delta_delta-spark_4.2_2.13_4.4.0",
        "org.toy_spark-sql-toy_2.13_1",
    }
    of_delta, of_toy = (tmp_path / "log").read_text().splitlines()
    assert f"--packages {session.DELTA} --exclude-packages com.*:*" in of_delta
    assert f"--packages {toy} --exclude-packages at.yawk.lz4:*" in of_toy
    monkeypatch.setenv("KAPPA_JARS", str(tmp_path))
    (tmp_path / "delta-spark_4.2_2.13-4.4.0.jar").touch()
    with pytest.raises(
        SetupError, match=rf"holds no spark-sql-toy jar \(jars: 1\).\nHint: put {toy} and what it needs"
    ):
        session.spark_conf(packages=[toy])


def test_jars_that_cannot_be_fetched_name_the_way_without_network(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    java(machine, "17")
    refuses = "echo 'java.lang.RuntimeException: [unresolved dependency: delta: not found]' >&2; exit 1"
    spark_submit(monkeypatch, tmp_path / "pyspark", refuses)
    assert session.main(["--fetch-jars"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1, "one line"
    assert "delta-spark_4.2_2.13:4.4.0 could not be fetched: java.lang.RuntimeException: [unresolved" in error
    assert "set KAPPA_JARS to a folder" in error
    assert not list((tmp_path / "cache").glob("io.delta*")), "a failed fetch must not look like a whole one"


def test_a_cache_that_cannot_be_written_is_named(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(SetupError, match=f"jar cache {tmp_path}/cache cannot be written"):
        session.delta_jars()


def test_other_arguments_print_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert session.main([]) == 2
    assert "usage: python -m kappa_assets.host.session --fetch-jars" in capsys.readouterr().err


def test_importing_the_module_starts_nothing_and_leaves_spark_out() -> None:
    heavy = "[m for m in sys.modules if m.startswith(('pyspark', 'delta'))]"
    script = f"import sys, kappa_assets.host.session; print({heavy})"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"


def test_the_session_writes_delta_in_utc_and_its_workers_run_this_python(spark: SparkSession, lake_path: Path) -> None:
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"
    assert spark.conf.get("spark.sql.streaming.stopActiveRunOnRestart") == "false"
    spark.range(3).write.format("delta").save(str(lake_path / "t"))
    assert spark.read.format("delta").load(str(lake_path / "t")).count() == 3
    from pyspark.sql.functions import udf

    running = udf(lambda _: sys.executable)
    assert [row[0] for row in spark.range(1).select(running("id")).collect()] == [sys.executable]
    with pytest.raises(Exception, match="DIVIDE_BY_ZERO"):
        spark.sql("SELECT 1 / 0").collect()


def test_a_ranking_of_all_rows_gives_no_warning_because_a_whole_gold_may_make_one(spark: SparkSession) -> None:
    from pyspark.sql import Window
    from pyspark.sql import functions as sf

    quiet_streams(spark)
    java = spark._jvm
    assert java is not None
    log4j, said = java.org.apache.logging.log4j, java.java.io.StringWriter()
    appender = log4j.core.appender.WriterAppender.createAppender(None, None, said, "said", False, True)
    root = log4j.LogManager.getContext(False).getConfiguration().getRootLogger()
    appender.start()
    root.addAppender(appender, None, None)
    try:
        log4j.LogManager.getLogger("of.somebody.else").error("is heard")
        spark.range(3).select(sf.row_number().over(Window.orderBy("id"))).collect()
    finally:
        root.removeAppender("said")
    assert said.toString().strip() == "is heard"
