"""The host: one Spark driver that keeps the queries of a pipeline going, under its lake's lock."""
