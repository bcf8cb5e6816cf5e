"""The package's metadata, read by pip; `make setup` installs it with its dev extras."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="kappa_assets",
    version="0.1.0",
    description="A Kappa architecture on Delta Lake, steered from Dagster: one log, one logic, replayed",
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # include=, not exclude=: excluding kappa_assets_tests would still ship its sub-packages.
    packages=find_packages(include=["kappa_assets", "kappa_assets.*"]),
    package_data={
        "kappa_assets": ["py.typed"],
        "kappa_assets.orchestration": ["*.yaml"],
        "kappa_assets.pipelines.retail": ["data/*"],
    },
    install_requires=[
        # Lineage stands on event tags that Dagster keeps to itself; a test guards them against an upgrade.
        "dagster==1.13.27",
        # The webserver is released with, and only works with, the same dagster.
        "dagster-webserver==1.13.27",
        # Dagster's integrations are numbered 0.29.x for dagster 1.13.x, and pin it.
        "dagster-pyspark==0.29.27",
        # The Delta jar is built for Spark 4.2, and delta-spark refuses pyspark 4.3.
        "pyspark==4.2.0",
        # Not 4.4.1: it is on PyPI, but its jar for Spark 4.2 is not on Maven Central.
        "delta-spark==4.4.0",
        # Its log reader and compare-and-set commits were measured in 1.6; before 2.0 a minor may break it.
        "deltalake>=1.6,<1.7",
        # pyspark does not support pandas 3 yet.
        "pandas<3",
        # The form in which delta-rs hands over rows; pandas and pyspark bound it themselves.
        "pyarrow",
        # Draws what a comparison found.
        "matplotlib",
        # The command line and its tables; nothing of theirs that changed lately is used.
        "click",
        "rich",
    ],
    extras_require={
        # For pipelines that run on Databricks; nothing here imports it yet. Numbered as dagster-pyspark is.
        "databricks": ["dagster-databricks==0.29.27"],
        # What `kappa feed --to topic` sends with, and the demo on Kafka; a pipeline that reads topics needs none of it:
        # Spark fetches its own reader. Built on librdkafka, with wheels for the usual machines.
        "kafka": ["confluent-kafka>=2.11,<3"],
        "dev": [
            # The extra `kafka`, for the demo and the tests of the feed.
            "confluent-kafka>=2.11,<3",
            # The oracles of the end-to-end tests, and two readers of the tables that are not Spark.
            "duckdb",
            "polars",
            "hypothesis",
            "pytest",
            # Runs several test modules at a time, each worker with a Spark session of its own.
            "pytest-xdist",
            # Drives Debian's Chromium in the tests of the user interface; its own driver download is off.
            "selenium",
            # Sees and ends the processes that crash tests start.
            "psutil",
            # Their findings change from minor to minor: `make check` must mean the same here and in CI.
            "mypy==2.4.*",
            "ruff==0.17.*",
            # Types for mypy; the stubs follow pandas' numbers.
            "pandas-stubs",
            "types-psutil",
            "types-PyYAML",
        ],
    },
    entry_points={"console_scripts": ["kappa = kappa_assets.cli:main"]},
)
