"""Empty upstreams, for plans that are analysed and never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kappa_assets_tests.logic import joined_logic
from kappa_assets_tests.logic.declared_logic import SALES, TAPE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture(scope="module")
def tape(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], TAPE)


@pytest.fixture(scope="module")
def sales(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([], SALES)


@pytest.fixture(scope="module")
def upstreams(spark: SparkSession) -> tuple[DataFrame, DataFrame]:
    return spark.createDataFrame([], joined_logic.SALES), spark.createDataFrame([], joined_logic.CUSTOMERS)
