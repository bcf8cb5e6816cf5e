"""A topic as its brokers describe it: its id, its partitions, and what they hold of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from py4j.java_gateway import JavaPackage  # type: ignore[import-untyped]  # py4j ships no types
from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]  # py4j ships no types

from kappa_assets.errors import SetupError, SourceError
from kappa_assets.sources.kafka.connection import Connection
from kappa_assets.sources.source import Range

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_PATIENCE_MS = 10_000
"""How long a question may take, with all that is tried again; the host asks it while it has other tables to tend."""
_WHY = {
    "UnknownTopicOrPartitionException": ("there is no such topic", "Make it, or mend its name; it is waited for."),
    "TopicAuthorizationException": ("nobody has given this user the right to read it", "Have DESCRIBE and READ given."),
    "ClusterAuthorizationException": ("nobody has given this user the right to ask", "Have DESCRIBE and READ given."),
    "SaslAuthenticationException": ("the brokers refuse the user or the password", "Mend it in the environment."),
    "LoginException": ("nobody can log in with these properties", "Mend them in the environment."),
    "SslAuthenticationException": ("TLS cannot be agreed on", "Look at the certificates that the environment names."),
    "TimeoutException": ("no broker answers", "Look whether they run, and are reached from here."),
    "ConfigException": ("the connection's properties are wrong", "Mend them in the environment."),
}
"""By the class of a client's error: what it is in plain words, and what to do."""
_OF_A_CLIENT = re.compile(r"org\.apache\.kafka\.common\.(?:errors|config)\.(\w+)")


@dataclass(frozen=True)
class Topic:
    """A topic at one moment. `id` is another one for a topic of the same name that was deleted and made anew."""

    id: str
    holds: Mapping[str, Range]
    """By partition: from which offset on the brokers have it, and where it ends."""


class Brokers:
    """Asks the brokers of a connection, by the client that Spark reads with: what it reaches, Spark reaches."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._connection, self._topic = connection, topic
        self._client: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open client out, which stays in its process."""
        return vars(self) | {"_client": None}

    def topic(self, spark: SparkSession) -> Topic:
        """Return the topic as it is now. Raises SourceError, SetupError."""
        described = self._ask(spark, self._describe)
        partitions = [one.partition() for one in described.partitions()]
        first = self._ask(spark, lambda jvm, client: self._offsets(jvm, client, partitions, "earliest"))
        end = self._ask(spark, lambda jvm, client: self._offsets(jvm, client, partitions, "latest"))
        return Topic(described.topicId().toString(), {str(p): Range(first[p], end[p]) for p in sorted(partitions)})

    def topic_id(self, spark: SparkSession) -> str:
        """Return the topic's id now: one question, of a few milliseconds. Raises SourceError, SetupError."""
        return str(self._ask(spark, self._describe).topicId().toString())

    def explained(self, error: Exception) -> SourceError | None:
        """Return in plain words why records could not be read; None where that is no answer of the brokers'."""
        found = _OF_A_CLIENT.findall(str(error))
        kind = next((name for name in found if name in _WHY), None)
        if kind is None:
            return None
        why, hint = _WHY[kind]
        return SourceError(f"topic {self._topic!r} of Kafka: {why} ({kind})", hint=hint)

    def close(self) -> None:
        """Let the connections go."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Py4JError):
                client.close()

    def _ask(self, spark: SparkSession, question: Callable[[Any, Any], Any]) -> Any:
        jvm = spark._jvm  # noqa: SLF001 -- pyspark has no other way to the client
        try:
            if self._client is None:
                self._client = self._connect(jvm)
            return question(jvm, self._client)
        except Py4JJavaError as error:
            self.close()
            raise self._explained(error) from None

    def _connect(self, jvm: Any) -> Any:
        admin = jvm.org.apache.kafka.clients.admin.AdminClient
        if isinstance(admin, JavaPackage):
            raise SetupError(
                "Spark was started without what it needs to read Kafka",
                hint="A session of your own needs the pipeline's packages: build_session(packages=pipeline.packages).",
            )
        given = jvm.java.util.HashMap()
        patience = {"default.api.timeout.ms": str(_PATIENCE_MS), "request.timeout.ms": str(_PATIENCE_MS // 2)}
        for key, value in (patience | self._connection.properties()).items():
            given.put(key, value)
        return admin.create(given)

    def _describe(self, jvm: Any, client: Any) -> Any:
        asked = jvm.java.util.Collections.singletonList(self._topic)
        return client.describeTopics(asked).allTopicNames().get().get(self._topic)

    def _offsets(self, jvm: Any, client: Any, partitions: list[int], which: str) -> dict[int, int]:
        asked = jvm.java.util.HashMap()
        for number in partitions:
            at = getattr(jvm.org.apache.kafka.clients.admin.OffsetSpec, which)()
            asked.put(jvm.org.apache.kafka.common.TopicPartition(self._topic, number), at)
        answer = client.listOffsets(asked).all().get()
        return {at.partition(): answer.get(at).offset() for at in answer}

    def _explained(self, error: Py4JJavaError) -> SourceError:
        cause = error.java_exception
        while cause.getCause() is not None and cause.getClass().getSimpleName() not in _WHY:
            cause = cause.getCause()
        kind = cause.getClass().getSimpleName()
        said = self._connection.without_secrets(str(cause.getMessage() or "").strip())
        why, hint = _WHY.get(kind, ("the brokers' answer is an error", "Look at it; it is asked again."))
        return SourceError(f"topic {self._topic!r} of Kafka: {why} ({kind}: {said})", hint=hint)
