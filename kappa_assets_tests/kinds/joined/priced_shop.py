"""A shop whose sales are joined with what was known of the customer, with tables above: what it holds, in plain Python.

    python -m kappa_assets_tests.kinds.joined.priced_shop <folder> <point> <table>

drains `<folder>/landing` into `<folder>/lake`, and dies at a point of the work on a table.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from pyspark.sql import Window
from pyspark.sql import functions as F

from kappa_assets import LINEAGE, Files, Pipeline, bronze, gold, silver
from kappa_assets.faults import Point, inject
from kappa_assets.host.host import Host
from kappa_assets.host.session import build_session
from kappa_assets.kinds.query import Pace, Setting
from kappa_assets.place.local.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from kappa_assets.declare.tables import Table

_HEADER = {"orders": "kind,sale,customer,amount,at", "people": "customer,segment,at"}
orders = bronze("orders", source=Files("orders", header=True))
people = bronze("people", source=Files("people", header=True))


@silver
def sales(orders: DataFrame) -> DataFrame:
    """One row for each sale."""
    sold = orders.where("kind = 'sale'")
    return sold.selectExpr("sale", "customer", "int(amount) AS amount", "int(at) AS at", *LINEAGE)


@silver
def refunds(orders: DataFrame) -> DataFrame:
    """One row for each sale that was given back: of the tape that the sales are on."""
    back = orders.where("kind = 'refund'")
    return back.selectExpr("sale", "customer", "int(amount) AS refunded", *LINEAGE)


@silver
def customers(people: DataFrame) -> DataFrame:
    """One row for each change of a customer."""
    return people.selectExpr("customer", "segment", "int(at) AS at", *LINEAGE)


@silver(keys=["sale"], by={"sales": "customer", "customers": "customer"})
def priced_sales(sales: DataFrame, customers: DataFrame) -> DataFrame:
    """Each sale with the segment that its customer was in when it was made."""
    address = [F.col("_batch_id").alias("batch"), F.col("_row").alias("row")]
    known = customers.select(F.col("customer").alias("who"), "segment", F.col("at").alias("since"), *address)
    both = sales.join(known, (F.col("customer") == F.col("who")) & (F.col("since") <= F.col("at")), "left")
    newest_first = [F.desc(name) for name in ("since", "batch", "row")]
    of_a_sale = Window.partitionBy("customer", "_batch_id", "_row").orderBy(*newest_first)
    newest = both.withColumn("place", F.row_number().over(of_a_sale)).where("place = 1")
    return newest.select("sale", "customer", "amount", "segment")


@silver(keys=["customer"], by={"sales": "customer", "refunds": "customer"}, keep_inputs=True)
def balances(sales: DataFrame, refunds: DataFrame) -> DataFrame:
    """What each customer has paid, and got back: of one tape, so never a refund without its sale."""
    moved = sales.selectExpr("customer", "amount AS paid", "int(null) AS refunded")
    moved = moved.unionByName(refunds.selectExpr("customer", "int(null) AS paid", "refunded"))
    return moved.groupBy("customer").agg(F.sum("paid").alias("paid"), F.sum("refunded").alias("refunded"))


@gold(keys=["segment"], combine={"revenue": "sum", "sales": "count"})
def segment_revenue(priced_sales: DataFrame) -> DataFrame:
    """Revenue by segment."""
    sums = [F.sum("amount").alias("revenue"), F.count("*").alias("sales")]
    return priced_sales.groupBy("segment").agg(*sums)


@gold(keys=["sales"])
def segments_by_sales(segment_revenue: DataFrame) -> DataFrame:
    """How many segments have so many sales: a Gold over a Gold."""
    return segment_revenue.groupBy("sales").agg(F.count("*").alias("segments"))


@gold
def overview(priced_sales: DataFrame, customers: DataFrame) -> DataFrame:
    """One row that counts all: of two tables without a common group."""
    changes = customers.agg(F.count("*").alias("changes"))
    return priced_sales.agg(F.count("*").alias("sales")).crossJoin(changes)


def _doubled(orders: DataFrame) -> DataFrame:
    """Return one row for each sale, at twice its amount."""
    return sales(orders).withColumn("amount", F.expr("2 * amount"))


_doubled.__name__ = "sales"
doubled_sales = silver(version="doubled")(_doubled)

TABLES: tuple[Table, ...] = (
    *(orders, people, sales, refunds, customers),
    *(priced_sales, balances, segment_revenue, segments_by_sales, overview),
)
pipeline = Pipeline.from_tables("priced", TABLES)
doubled = Pipeline.from_tables("priced", [doubled_sales if table is sales else table for table in TABLES])


@dataclass
class Told:
    """What landed, and what follows from it."""

    sold: list[tuple[str, str | None, int, int, int]] = field(default_factory=list)
    """Sale, customer, amount, time, and the batch of its tape."""
    refunded: list[tuple[str, str | None, int]] = field(default_factory=list)
    changed: list[tuple[str | None, str, int]] = field(default_factory=list)
    doubled_from: int | None = None
    """The first batch whose sales count at twice their amount."""

    def sales(self) -> Iterator[tuple[str, str | None, int, int]]:
        """Yield the sales as the table has them."""
        for sale, customer, amount, at, batch in self.sold:
            twice = self.doubled_from is not None and batch >= self.doubled_from
            yield sale, customer, amount * (2 if twice else 1), at

    def priced(self) -> Counter[tuple[Any, ...]]:
        found: Counter[tuple[Any, ...]] = Counter()
        for sale, customer, amount, at in self.sales():
            known = [(c[2], n, c[1]) for n, c in enumerate(self.changed) if c[0] == customer and c[0] and c[2] <= at]
            found[sale, customer, amount, max(known)[2] if known else None] += 1
        return found

    def expected(self) -> dict[str, Counter[tuple[Any, ...]]]:
        """Return what each table that is joined, or stands above, holds: its rows."""
        priced = self.priced()
        paid: dict[str | None, int] = defaultdict(int)
        back: dict[str | None, int] = defaultdict(int)
        for _, customer, amount, _ in self.sales():
            paid[customer] += amount
        for _, customer, amount in self.refunded:
            back[customer] += amount
        balances = Counter((who, paid.get(who), back.get(who)) for who in paid.keys() | back.keys())
        revenue: dict[str | None, list[int]] = defaultdict(lambda: [0, 0])
        for (_, _, amount, segment), times in priced.items():
            revenue[segment][0] += amount * times
            revenue[segment][1] += times
        by_sales = Counter(sales for _, sales in revenue.values())
        return {
            "silver.priced_sales": priced,
            "silver.balances": balances,
            "gold.segment_revenue": Counter((segment, *sums) for segment, sums in revenue.items()),
            "gold.segments_by_sales": Counter(by_sales.items()),
            "gold.overview": Counter({(len(self.sold), len(self.changed)): 1}),
        }


class PricedShop:
    """A folder with landing and lake, and what landed so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = Lake.at(folder / "lake")
        self.told = Told()
        self._files = self._orders = 0
        for name in ("orders", "people"):
            (folder / "landing" / name).mkdir(parents=True)

    def setting(self, spark: Any, files: int = 1) -> Setting:
        return Setting(spark, self.lake, self.folder / "landing", Pace(landed_files=files, table_files=files))

    def sell(self, *rows: tuple[str, str | None, int, int]) -> None:
        self.told.sold += [(*row, self._orders) for row in rows]
        self._land("orders", (f"sale,{s},{c or ''},{a},{at}" for s, c, a, at in rows))

    def refund(self, *rows: tuple[str, str | None, int]) -> None:
        self.told.refunded += rows
        self._land("orders", (f"refund,{s},{c or ''},{a}," for s, c, a in rows))

    def change(self, *rows: tuple[str | None, str, int]) -> None:
        self.told.changed += rows
        self._land("people", (f"{c or ''},{s},{at}" for c, s, at in rows))

    def held(self) -> dict[str, Counter[tuple[Any, ...]]]:
        """Return what readers see of each table that is joined, or stands above."""
        return {str(name): Counter(self.rows(name)) for name in pipeline.tables if str(name) in self.told.expected()}

    def drain(self, spark: Any, of: Pipeline = pipeline, files: int = 1) -> None:
        Host(self.setting(spark, files), of).drain()

    def rows(self, name: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that readers see of a table."""
        table = DeltaTable(self.lake.link(name).resolve())
        return (tuple(row.values()) for row in table.to_pyarrow_table().to_pylist())

    def _land(self, name: str, lines: Iterable[str]) -> None:
        path = self.folder / "landing" / name / f"{self._files:04d}.csv"
        path.write_text("".join(f"{line}\n" for line in (_HEADER[name], *lines)))
        os.utime(path, (1_767_700_000 + self._files,) * 2)
        self._files += 1
        self._orders += name == "orders"


if __name__ == "__main__":
    where, point, table = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

    def dies(at: Point, what: str) -> None:
        if (at, what) == (point, table):
            os.kill(os.getpid(), signal.SIGKILL)

    inject(dies)
    spark = build_session("priced", cores=1, memory="512m")
    Host(Setting(spark, Lake.at(where / "lake"), where / "landing", Pace(1, 1)), pipeline).drain()
