"""The Spark sessions of the two sides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

from kappa_assets.host.session import build_session, spark_conf
from kappa_assets_tests.benchmarks.rounds import say


@contextmanager
def session(*, defaults: bool = False, live: bool = False, packages: tuple[str, ...] = ()) -> Iterator[SparkSession]:
    """A session of the product, or one with Spark's and Delta's defaults but for what makes Delta run at all.

    `packages`: what it needs beside Delta.
    """
    say(f"a session with {'default' if defaults else 'our'} settings")
    spark = _with_defaults() if defaults else _ours(live=live, packages=packages)
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def _ours(*, live: bool, packages: tuple[str, ...]) -> SparkSession:
    return build_session("kappa_assets benchmarks", memory="4g", live=live, packages=packages)


def _with_defaults() -> SparkSession:
    needed = (
        "spark.master",
        "spark.jars",
        "spark.sql.extensions",
        "spark.sql.catalog.spark_catalog",
        "spark.driver.host",
    )
    builder = SparkSession.builder.appName("by hand").config("spark.driver.memory", "4g")
    for name, value in spark_conf().items():
        if name in needed or name == "spark.driver.bindAddress":
            builder = builder.config(name, value)
    # The functions are written for UTC; it changes no speed.
    return builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
