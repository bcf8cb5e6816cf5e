"""`kappa explain` says in words how a batch of each kind of table is applied, without data and without a host."""

from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import CliRunner

from kappa_assets.cli import main
from kappa_assets_tests.cli.conftest import Kappa

_EACH_KIND = """
from pyspark.sql import Window, functions as F
from kappa_assets import LINEAGE, Files, bronze, expect, gold, late, silver

invoices = bronze("invoices", source=Files("invoices", header=True))

@silver(expect=[expect("is_known", "StockCode IS NOT NULL")])
def sales(invoices):
    return invoices.select("StockCode", "InvoiceNo", F.col("Quantity").cast("long").alias("n"), *LINEAGE)

@silver(unique=["InvoiceNo"], unique_within="7 days", late=late("_arrived_at", after="1 day", policy="drop"))
def once(invoices):
    return invoices.select("InvoiceNo", *LINEAGE)

@gold(keys=["StockCode"], combine={"n": "sum", "lines": "count"})
def merged(sales):
    return sales.groupBy("StockCode").agg(F.sum("n").alias("n"), F.count("*").alias("lines"))

@gold(keys=["StockCode"])
def newest(sales):
    order = Window.partitionBy("StockCode").orderBy("_batch_id", "_row")
    return sales.withColumn("at", F.row_number().over(order)).where("at = 1").select("StockCode", "n")

@gold(keys=["StockCode"], keep_inputs=True)
def most(sales):
    return sales.groupBy("StockCode").agg(F.max("n").alias("most"))

@gold(keys=["digit"])
def digits(sales):
    return sales.groupBy((F.col("n").cast("double") % 10).alias("digit")).agg(F.max("n").alias("most"))

@gold
def whole(sales):
    return sales.groupBy("StockCode").count()

@gold(every="10 minutes")
def seldom(sales):
    return sales.groupBy("StockCode").count()
"""


OF_GROUPS = (
    "Up to 4 MB all of it is written anew with each batch. Beyond, its files lie in the order of {}, and a batch "
    "replaces those that may hold a group that it touches; one that touches more than 10,000 groups writes all of it."
)
OF_ALL = (
    "All of it is written anew; nothing is where it is seen that no row differs: in a small table, and in one that "
    "others follow."
)
RECOMPUTED = (
    "The groups that a row of the batch is in, or was in before it was changed, are recomputed from silver.sales; what "
    "the function gives of them takes the place of their rows."
)
FILES = (
    "the files of silver.sales that may hold a row of the groups that the batch touches: few where groups come in "
    "order, as days do, and all where their rows are everywhere, or up to 4 MB, at one version"
)
KEYS = (
    "Give it keys, if its rows belong to groups of rows of silver.sales: only those that a batch touches are then "
    "computed anew."
)
EVERY = "Say every=, such as '10 minutes', if it need not follow each batch of silver.sales."
SAID: dict[str, list[tuple[str, str]]] = {
    "silver.sales": [
        (
            "a batch",
            (
                "The function is called with the rows of the batch, and what it gives is added. Rows that fail "
                "is_known are set aside, in a commit before."
            ),
        ),
        ("read of bronze.invoices", "The rows of the batch, and no others of bronze.invoices."),
        (
            "of silver.sales",
            (
                "Nothing of it is read. A batch adds a file for each day of arrival that it has rows of; upkeep merges "
                "them."
            ),
        ),
    ],
    "silver.once": [
        (
            "a batch",
            (
                "The function is called with the rows of the batch, and what it gives is added. Rows that are late are "
                "set aside, in a commit before. Of rows with one InvoiceNo the first on the tape stays, and others are "
                "set aside."
            ),
        ),
        ("read of bronze.invoices", "The rows of the batch, and no others of bronze.invoices."),
        (
            "of silver.once",
            (
                "The columns InvoiceNo of the slices up to 7 days from those of the batch are read. A batch adds a "
                "file for each day of arrival that it has rows of; upkeep merges them."
            ),
        ),
    ],
    "gold.merged": [
        (
            "a batch",
            (
                "The function is called with the rows of the batch, and its answer merged into the table: n by sum, "
                "lines by count. Groups of rows that were taken away from silver.sales are recomputed instead."
            ),
        ),
        ("its groups", "StockCode"),
        (
            "read of silver.sales",
            f"The rows of the batch. Where rows of silver.sales were taken away: StockCode, n of {FILES}.",
        ),
        ("of gold.merged", OF_GROUPS.format("StockCode")),
    ],
    "gold.newest": [
        ("a batch", RECOMPUTED),
        ("its groups", "StockCode"),
        (
            "read of silver.sales",
            f"StockCode, _batch_id, _row, n of {FILES}.",
        ),
        ("of gold.newest", OF_GROUPS.format("StockCode")),
        (
            "cheaper",
            "Its plan does not prove that StockCode comes once, so it is counted: end with a groupBy of it.",
        ),
        (
            "cheaper",
            (
                "Say keep_inputs=True where silver.sales is large and a batch touches few groups: what the function "
                "uses is then kept beside the table too, in the order of its groups, and a batch reads the files that "
                "may hold one."
            ),
        ),
    ],
    "gold.most": [
        (
            "a batch",
            (
                "What the batch changes of silver.sales is changed in what the table keeps of it beside itself, in a "
                "commit of its own. Then the groups that it touches are recomputed from that, and replace their rows."
            ),
        ),
        ("its groups", "StockCode"),
        (
            "read of silver.sales",
            (
                "The rows of the batch, and of what is kept, in the order of StockCode, the files that may hold a "
                "group that it touches; up to 4 MB all of it. Lost or older, it is built anew from silver.sales."
            ),
        ),
        ("of gold.most", OF_GROUPS.format("StockCode")),
    ],
    "gold.digits": [
        ("a batch", RECOMPUTED),
        ("its groups", "digit = remainder(cast(n), cast('10'))"),
        (
            "read of silver.sales",
            (
                "n of all files of silver.sales, at one version: the function gets all rows, and of its answer the "
                "groups that the batch touches are kept."
            ),
        ),
        (
            "of gold.digits",
            "All of it is written anew with each batch: no bounds of files tell where values of digit (double) are.",
        ),
        (
            "cheaper",
            (
                "Its groups are computed (remainder(cast(n), cast('10'))), so the function reads all of silver.sales "
                "with each batch. Make the group a column of silver.sales, and name that in keys."
            ),
        ),
        (
            "cheaper",
            (
                "Name a group by a text, a whole number, a date or a time, not by digit: then the bounds of files "
                "tell where it is, and a batch replaces few of them."
            ),
        ),
        ("cheaper", EVERY),
    ],
    "gold.whole": [
        (
            "a batch",
            (
                "The function is called with all of silver.sales, with each batch, and what it gives takes the place "
                "of all rows."
            ),
        ),
        ("read of silver.sales", "All of silver.sales, with each batch."),
        ("of gold.whole", OF_ALL),
        ("cheaper", KEYS),
        ("cheaper", EVERY),
    ],
    "gold.seldom": [
        (
            "a batch",
            (
                "The function is called with all of silver.sales, at most once in 600 s, and what it gives takes the "
                "place of all rows."
            ),
        ),
        ("read of silver.sales", "All of silver.sales, at most once in 600 s."),
        ("of gold.seldom", OF_ALL),
        ("cheaper", KEYS),
    ],
}


WHOLE = ("gold.whole", "gold.seldom")


def test_a_table_of_each_kind_is_explained(shop: Kappa, pipeline_file: Callable[[str], str]) -> None:
    where = pipeline_file(_EACH_KIND)
    for table, said in SAID.items():
        rows = shop.rows("explain", table, "--pipeline", where)
        assert [(row["about"], row["what"]) for row in rows] == said


def test_what_is_known_without_a_lake_is_told_without_spark(pipeline_file: Callable[[str], str]) -> None:
    where = pipeline_file(_EACH_KIND)
    for table, said in SAID.items():
        result = CliRunner().invoke(main, ["explain", table, "--pipeline", where])
        assert result.exit_code == 0, result.stderr
        assert said[0][1] in result.stdout
        assert "are not known: nothing has landed, or no lake was named." in result.stderr
        as_json = CliRunner().invoke(main, ["explain", table, "--pipeline", where, "--json"])
        told = {row["about"] for row in json.loads(as_json.stdout)}
        assert ("its groups" in told, "cheaper" in told) == (False, table in WHOLE)


def test_a_table_that_is_refused_is_not_explained(shop: Kappa, pipeline_file: Callable[[str], str]) -> None:
    counted = 'sales.groupBy("StockCode", "InvoiceNo").count()'
    mixed = f'{counted}.withColumn("all", F.sum("count").over(Window.partitionBy("StockCode")))'
    keys = '@gold(keys=["StockCode", "InvoiceNo"])'
    where = pipeline_file(f"{_EACH_KIND}\n{keys}\ndef mixed(sales):\n    return {mixed}\n")
    result = shop.run("explain", "gold.mixed", "--pipeline", where)
    assert result.exit_code == 1
    assert "a window over StockCode, which leaves out 'InvoiceNo'" in result.stderr
    assert shop.run("explain", "bronze.invoices").exit_code == 2
