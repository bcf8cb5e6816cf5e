"""The rules that a table's function keeps, judged on Spark's analysed plan before any data flows."""
