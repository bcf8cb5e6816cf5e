"""Writing Delta tables: Spark writes Parquet files, delta-rs commits them with a transaction id, compare-and-set.

Spark's own Delta sink reconstructs the table's whole state in every commit to look the transaction id up, which took
more than half of a small append and grows with the table; here a commit takes a few milliseconds at any size.
"""
