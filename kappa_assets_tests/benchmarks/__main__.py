"""`make bench`: run the benchmarks and print a Markdown table. `--only a,b` picks some; `--quick` is a trial."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import SparkSession

from kappa_assets import Kafka
from kappa_assets_tests.benchmarks import (
    age,
    aged_kinds,
    beside,
    changes,
    judging,
    kafka,
    landing,
    large_gold,
    large_join,
    light,
    live,
    overhead,
    rewind,
    throughput,
    topic_live,
    unique_rows,
    upkeep,
)
from kappa_assets_tests.benchmarks.rounds import Result
from kappa_assets_tests.benchmarks.sessions import session


def main() -> None:
    arguments = _arguments()
    scale = 20 if arguments.quick else 1
    root = Path(tempfile.mkdtemp(prefix="kappa-bench-"))
    benches: dict[str, Callable[[], list[Result]]] = {
        "drain": lambda: _in_our_session(
            lambda s: [throughput.drain_against_plain_spark(s, root, rows=5_000_000 // scale, rounds=arguments.rounds)]
        ),
        "replay": lambda: _in_our_session(
            lambda s: throughput.replay_against_live_commits(
                s, root, commits=max(500 // scale, 10), rounds=arguments.rounds
            )
        ),
        "live": lambda: _in_our_session(
            lambda s: [live.throughput(s, root, files=max(400 // scale, 10), rounds=arguments.rounds)], live=True
        ),
        "latency": lambda: live.latency(root, files=max(60 // scale, 5), warm_up=max(40 // scale, 3)),
        "rewind": lambda: _in_our_session(lambda s: _rewind(s, root, arguments.rounds, scale)),
        "overhead": lambda: overhead.overhead(root, seconds=120 // scale),
        "light": lambda: _in_our_session(
            lambda s: light.light_hand(s, root, seconds=max(120 // scale, 10), files=max(40 // scale, 5)), live=True
        ),
        "beside": lambda: _in_our_session(
            lambda s: beside.replay_beside_a_stream(s, root, rows=21_000 // scale, rounds=arguments.rounds), live=True
        ),
        "upkeep": lambda: _in_our_session(
            lambda s: upkeep.upkeep(s, root, commits=5_000 // scale, files=max(40 // scale, 5), rounds=arguments.rounds)
        ),
        "kinds": lambda: _in_our_session(
            lambda s: aged_kinds.aged_kinds(
                s, root, commits=2_000 // scale, files=max(40 // scale, 5), rounds=arguments.rounds
            )
        ),
        "gold": lambda: _in_our_session(
            lambda s: large_gold.large_gold(s, root, keys=2_000_000 // scale, few=1_000), live=True
        ),
        "joined": lambda: _in_our_session(
            lambda s: large_join.large_join(s, root, customers=2_000_000 // scale), live=True
        ),
        "unique": lambda: _in_our_session(
            lambda s: [unique_rows.unique_rows(s, root, rows=20_000_000 // scale, rounds=arguments.rounds)], live=True
        ),
        "changes": lambda: _in_our_session(
            lambda s: changes.merged_changes(
                s, root, rows=1_000_000 // scale, keys=100_000 // scale, rounds=arguments.rounds
            )
        ),
        "judging": lambda: _in_our_session(
            lambda s: [judging.judging(s, root, rows=5_000_000 // scale, rounds=arguments.rounds)]
        ),
        "kafka": lambda: _in_our_session(
            lambda s: kafka.kafka(s, root, rows=2_000_000 // scale, rounds=arguments.rounds), packages=Kafka.packages
        ),
        "topic": lambda: _in_our_session(
            lambda s: topic_live.topic_to_gold(s, root, seconds=600 // scale, trial=max(30 // scale, 10)),
            live=True,
            packages=Kafka.packages,
        ),
        "landing": lambda: landing.looks(root, files=100_000 // scale),
        "age": lambda: _in_our_session(
            lambda s: age.age(s, root, commits=20_000 // scale, files=max(40 // scale, 5), rounds=arguments.rounds)
        ),
    }
    chosen = arguments.only.split(",") if arguments.only else list(benches)
    try:
        results = [result for name in chosen for result in benches[name]()]
    finally:
        shutil.rmtree(root, ignore_errors=True)
    _print(results)


def _rewind(spark: SparkSession, root: Path, rounds: int, scale: int) -> list[Result]:
    rows = 5_000_000 // scale
    return [
        rewind.replay_against_plain_spark(spark, root, rows=rows, rounds=rounds),
        rewind.late_start(spark, root, rows=2 * rows, rounds=rounds),
        *rewind.growth(spark, root, rows=rows // 10),
        *rewind.beside_live(spark, root, rows=rows // 2, files=max(60 // scale, 5)),
    ]


def _print(results: list[Result]) -> None:
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, Spark 4.2.0, Delta 4.4.0\n"
    )
    print("| what | ours | other | ratio | target |\n|---|---|---|---|---|")
    for r in results:
        ratio = "" if r.ratio is None else f"{r.ratio:.2f}"
        print(f"| {r.what} | {r.ours} | {r.other} | {ratio} | {r.target} |")


def _in_our_session(
    bench: Callable[[SparkSession], list[Result]], *, live: bool = False, packages: tuple[str, ...] = ()
) -> list[Result]:
    with session(live=live, packages=packages) as spark:
        return bench(spark)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        default="",
        help="comma-separated: drain, replay, live, latency, rewind, overhead, light, beside, upkeep, kinds, gold,"
        " joined, unique, changes, judging, kafka, topic, landing, age",
    )
    parser.add_argument("--rounds", type=int, default=2, help="rounds of A and B each, after one to warm up")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the size: shows that it runs, no more")
    return parser.parse_args()


if __name__ == "__main__":
    main()
