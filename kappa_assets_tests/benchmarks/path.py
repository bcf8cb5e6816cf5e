"""The tables that one landed file passes on its way to Gold: what most benchmarks run, and `kappa` in them."""

from __future__ import annotations

from kappa_assets import Pipeline
from kappa_assets.pipelines.retail.bronze import invoices
from kappa_assets.pipelines.retail.gold import daily_revenue
from kappa_assets.pipelines.retail.silver import sales

PATH = Pipeline.from_tables("path", [invoices, sales, daily_revenue])
