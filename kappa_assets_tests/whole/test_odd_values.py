"""Values that Spark's types hold and Python's do not, in a lake at an odd path: nothing stops, and each is shown."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from kappa_assets.cli import main

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

PIPELINE = "kappa_assets_tests.whole.odd_shop"
FOREVER, FAR = "9999-12-31 23:59:59.999999", "+20226-01-05T00:00:00+00:00"
ZERO = "0000-01-01T00:00:00+00:00"
FOREVER_SHOWN = "9999-12-31T23:59:59.999999+00:00"
# item, valid_to, day, name, price; and how the last four are shown.
FIRST = [
    (("pen", FOREVER, "20226-01-05", b"Troms\xf8", "1.5"), (FOREVER_SHOWN, "+20226-01-05", "Troms\\xf8", 1.5)),
    (("ink", "9999-12-31T23:59:59-05:00", "-0001-11-30", b"\xff", "NaN"),
     ("+10000-01-01T04:59:59+00:00", "-0001-11-30", "\\xff", "nan")),
    (("", FOREVER, "0000-01-01", b"", "1"), None),
]  # fmt: skip
SECOND = [
    (("pen", "20226-01-05", "0000-01-01", "a\u2028b".encode(), "Infinity"), (FAR, "0000-01-01", "a\u2028b", "inf")),
    (("cap", "0000-01-01", "9999-12-31", b"z" * 40, "-0.0"), (ZERO, "9999-12-31", "z" * 40, -0.0)),
]  # fmt: skip


class OddLake:
    """The command line on a lake whose path needs care, and its landing folder."""

    def __init__(self, root: Path) -> None:
        self.lake = root / "la [prod] ü #1 ^|{a}" / "50%"
        self.landing = root / "landing"
        for name in ("prices", "contracts"):
            (self.landing / name).mkdir(parents=True)

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        places = ["--lake", str(self.lake), "--landing", str(self.landing), "--pipeline", PIPELINE, "--json"]
        result = CliRunner().invoke(main, [*arguments, *places])
        assert result.exit_code == 0, (arguments, result.stderr, result.exception)
        found: list[dict[str, Any]] = json.loads(result.stdout)
        return found

    def land(self, name: str, prices: list[tuple[Any, Any]], contracts: list[int]) -> None:
        lines = [
            ",".join([item, valid_to, day, base64.b64encode(text).decode(), price])
            for (item, valid_to, day, text, price), _ in prices
        ]
        (self.landing / "prices" / f"{name}.csv").write_text("\n".join(["item,valid_to,day,name,price", *lines, ""]))
        micros = pa.array(contracts, pa.int64())
        table = pa.table(
            {
                "item": pa.array([f"c{n}" for n in contracts]),
                "valid_to": micros.cast(pa.timestamp("us", "UTC")),
                "day": pa.array([n // 86_400_000_000 for n in contracts], pa.int32()).cast(pa.date32()),
            }
        )
        pq.write_table(table, self.landing / "contracts" / f"{name}.parquet")


def shown(rows: list[dict[str, Any]], *columns: str) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[column] for column in columns) for row in rows)


def test_odd_values_go_from_the_landing_folder_to_gold_and_back(spark: SparkSession, tmp_path: Path) -> None:
    shop = OddLake(tmp_path)
    forever, far, early = 253_402_300_799_999_999, 575_000_000_000_000_000, -62_135_596_800_000_001
    shop.land("2026-01-05", FIRST, [forever, far])
    shop.rows("drain")
    shop.land("2026-01-06", SECOND, [early])
    shop.rows("drain")
    expected = Counter((item, *told) for (item, *_), told in [*FIRST, *SECOND] if told is not None)

    def verify() -> None:
        assert {r["table"]: r["rows"] for r in shop.rows("status")} == {
            "bronze.prices": 5,
            "bronze.contracts": 3,
            "silver.valid_prices": 4,
            "silver.valid_contracts": 3,
            "gold.latest": 3,
            "gold.by_day": 4,
        }
        assert shown(shop.rows("show", "silver.valid_prices"), "item", "valid_to", "day", "name", "price") == expected
        for table in ("bronze.contracts", "silver.valid_contracts"):
            assert shown(shop.rows("show", table), "valid_to", "day") == Counter(
                {
                    (FOREVER_SHOWN, "9999-12-31"): 1,
                    ("+20191-01-09T14:13:20+00:00", "+20191-01-09"): 1,
                    ("0000-12-31T23:59:59.999999+00:00", "0000-12-31"): 1,
                }
            )
        assert shown(shop.rows("show", "gold.latest"), "item", "valid_to", "day", "prices") == Counter(
            {
                ("pen", FAR, "+20226-01-05", 2): 1,
                ("ink", "+10000-01-01T04:59:59+00:00", "-0001-11-30", 1): 1,
                ("cap", ZERO, "9999-12-31", 1): 1,
            }
        )
        assert shown(shop.rows("show", "gold.by_day"), "day", "name", "price") == Counter(
            {(told[1], told[2], told[3]): 1 for _, told in [*FIRST, *SECOND] if told is not None}
        )

    verify()
    assert [r["rows"] for r in shop.rows("repair", "silver.valid_prices", "--from", "2026-01-05")] == [2]
    shop.rows("drain")
    shop.rows("maintain")
    verify()
    shop.rows("replay", "--tables", "silver.valid_prices", "--from-version", "0", "--promote", "hold")
    assert shop.rows("compare")
    shop.rows("promote")  # fails when the comparison found a fault
    verify()
