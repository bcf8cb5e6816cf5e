"""The three hops as people write them by hand: `foreachBatch`, a transaction id, Delta's sink and MERGE."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from kappa_assets.declare.tables import Gold, Silver
from kappa_assets_tests.benchmarks.scene import DAILY_REVENUE, HEADER, SALES
from kappa_assets_tests.retail_sales import pipeline

_PAYLOAD = ", ".join(f"{name} string" for name in HEADER.split(","))
_FEED = ("_change_type", "_commit_version", "_commit_timestamp")


class ByHand:
    """Bronze, Silver and Gold written with Delta's own sink and the defaults of Spark and Delta."""

    def __init__(self, spark: SparkSession, root: Path, landing: Path, *, interval: str | None = None) -> None:
        self._spark = spark
        self._root = root
        self._landing = landing
        self._interval = interval
        sales, revenue = pipeline.derived_table(SALES), pipeline.derived_table(DAILY_REVENUE)
        assert isinstance(sales, Silver)
        assert isinstance(revenue, Gold)
        self._sales, self._revenue = sales, revenue
        self._make_tables()

    def start(self) -> list[StreamingQuery]:
        """Start the three queries."""
        bronze = (
            self._spark.readStream.schema(_PAYLOAD)
            .option("header", "true")
            .option("escape", '"')
            .csv(str(self._landing / "invoices"))
        )
        silver = self._spark.readStream.format("delta").load(str(self.folder("bronze")))
        gold = (
            self._spark.readStream.format("delta")
            .option("readChangeFeed", "true")
            .option("startingVersion", "0")
            .load(str(self.folder("silver")))
        )
        return [
            self._started("bronze", bronze, self._to_bronze),
            self._started("silver", silver, self._to_silver),
            self._started("gold", gold, self._to_gold),
        ]

    def folder(self, layer: str) -> Path:
        return self._root / layer

    def _started(self, name: str, stream: DataFrame, write: object) -> StreamingQuery:
        writer = stream.writeStream.foreachBatch(write).option(  # type: ignore[arg-type]  # a plain function
            "checkpointLocation", str(self._root / "checkpoints" / name)
        )
        if self._interval is not None:
            writer = writer.trigger(processingTime=self._interval)
        return writer.queryName(f"by hand: {name}").start()

    def _to_bronze(self, batch: DataFrame, number: int) -> None:
        rows = batch.select(
            *HEADER.split(","),
            F.lit(number).cast("long").alias("_batch_id"),
            F.monotonically_increasing_id().alias("_row"),
            F.current_timestamp().alias("_arrived_at"),
            F.current_date().alias("_arrival_date"),
        )
        self._append(rows, "bronze", number)

    def _to_silver(self, batch: DataFrame, number: int) -> None:
        rows = self._sales(batch)
        for expectation in self._sales.expectations:
            rows = rows.where(f"coalesce({expectation.condition}, false)")
        self._append(rows, "silver", number)

    def _append(self, rows: DataFrame, layer: str, number: int) -> None:
        (
            rows.write.format("delta")
            .mode("append")
            .option("txnAppId", layer)
            .option("txnVersion", number)
            .save(str(self.folder(layer)))
        )

    def _to_gold(self, batch: DataFrame, number: int) -> None:
        session = batch.sparkSession
        self._revenue(batch.drop(*_FEED)).createOrReplaceTempView("fresh")
        session.conf.set("spark.databricks.delta.write.txnAppId", "gold")
        session.conf.set("spark.databricks.delta.write.txnVersion", str(number))
        try:
            session.sql(
                f"""MERGE INTO delta.`{self.folder("gold")}` t USING fresh s
                    ON t.day <=> s.day AND t.country <=> s.country
                    WHEN MATCHED THEN UPDATE SET revenue = t.revenue + s.revenue, units = t.units + s.units,
                                                 lines = t.lines + s.lines
                    WHEN NOT MATCHED THEN INSERT *"""
            )
        finally:
            session.conf.unset("spark.databricks.delta.write.txnAppId")
            session.conf.unset("spark.databricks.delta.write.txnVersion")

    def _make_tables(self) -> None:
        lineage = "_batch_id long, _row long, _arrived_at timestamp, _arrival_date date"
        empty_bronze = self._spark.createDataFrame([], f"{_PAYLOAD}, {lineage}")
        empty_silver = self._sales(empty_bronze)
        empty_gold = self._revenue(empty_silver).withColumn("revenue", F.col("revenue").cast("decimal(38,4)"))
        for layer, rows, partition in (
            ("bronze", empty_bronze, ["_arrival_date"]),
            ("silver", empty_silver, ["_arrival_date"]),
            ("gold", empty_gold, []),
        ):
            (
                rows.write.format("delta")
                .partitionBy(*partition)
                .option("delta.enableChangeDataFeed", str(layer == "silver").lower())
                .save(str(self.folder(layer)))
            )
