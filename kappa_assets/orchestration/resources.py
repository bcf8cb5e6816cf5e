"""Spark for ops, through dagster-pyspark: no JVM before an op asks for the session."""

from __future__ import annotations

from dagster_pyspark import LazyPySparkResource
from pydantic import Field
from pyspark.sql import SparkSession

from kappa_assets.graph import Pipeline
from kappa_assets.host.session import go_behind, pin_environment, spark_conf
from kappa_assets.kinds.query import Setting
from kappa_assets.orchestration.folders import Folders


class KappaSpark(LazyPySparkResource):
    """dagster-pyspark's lazy session, sized and set up for Delta when it is first used.

    Java is looked for and jars are fetched then, not when definitions load: a machine without Java still shows its
    assets, and the run says what is missing.
    """

    cores: int | None = Field(default=None, description="Threads of the driver; all of the machine's if empty.")
    memory: str | None = Field(default=None, description="Heap of the driver's JVM, such as 2g; 1g if empty.")

    def setting(
        self,
        folders: Folders,
        pipeline: Pipeline,
        *,
        cores: int | None = None,
        live: bool = False,
        background: bool = False,
    ) -> Setting:
        """Return where queries run, with the session started. Raises SetupError, LakeError.

        `cores`: threads for this run alone, instead of the resource's. A session that runs already keeps its own.
        `live`: the run streams until stopped. `background`: let live streams on this machine go first, where the run
        has a process to itself.
        """
        lake = folders.lake()
        if background and self._spark_session is None:
            self.go_behind()
        sized = self if cores is None else self.model_copy(update={"cores": cores})
        session = sized.session(f"kappa_assets {pipeline.name}", live=live, packages=pipeline.packages)
        return Setting(session, lake, folders.landing)

    def go_behind(self) -> None:
        """Lower the priority of the run's process and of the driver it is about to start."""
        go_behind()

    def session(self, name: str, *, live: bool = False, packages: tuple[str, ...] = ()) -> SparkSession:
        """Return the one Spark session of this process, started when it is first asked for."""
        if self._spark_session is None:
            pin_environment()
            conf = spark_conf(cores=self.cores, memory=self.memory, live=live, packages=packages)
            conf["spark.app.name"] = name
            sized = LazyPySparkResource(spark_config=conf | self.spark_config)
            self._spark_session = sized.spark_session
        session: SparkSession = self._spark_session
        return session
