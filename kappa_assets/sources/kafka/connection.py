"""How clients of Kafka reach a cluster: from the environment, each secret as a reference that only they resolve.

A secret is handed to Spark as `${env:NAME}` or `${file:/path:key}`, for which Kafka's clients look themselves. So it
stands in no option, plan, checkpoint or log of Spark, on no driver's command line, and in nothing that is written here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kappa_assets.errors import SetupError

BROKERS = "bootstrap.servers"
_PREFIX = "KAPPA_KAFKA_"
_PROPERTIES = "PROPERTIES"
_OF_A_CLIENT = ("BOOTSTRAP_SERVERS", "SECURITY_PROTOCOL", "SASL_", "SSL_")
"""Which variables are properties of a client; others, such as those of a named connection, are not this one's."""
_SECRET = re.compile(r"password|secret|jaas|token|credential|\.key$", re.IGNORECASE)
_QUOTED = re.compile(r"""(?:password|secret|key)\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
"""The secret within a line of JAAS, which may be quoted without the rest of it."""
_NOT_TAKEN = {
    "auto.offset.reset",
    "config.providers",
    "enable.auto.commit",
    "group.id",
    "interceptor.classes",
    "isolation.level",
    "key.deserializer",
    "value.deserializer",
}
"""What would change which records are read, or what they are."""
_PROVIDERS = {
    "config.providers": "env,file",
    "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
    "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
}


@dataclass(frozen=True)
class Connection:
    """A cluster, as the environment describes it. `name`: which of several; None: the one without a name."""

    name: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def properties(self) -> dict[str, str]:
        """Return the properties of a client. Raises SetupError for none, and for one that no source may have."""
        found = {**self._of_the_file(), **self._of_variables()}
        if wrong := sorted(_NOT_TAKEN & found.keys()):
            raise SetupError(
                f"the properties in {self._variable(_PROPERTIES)} set {wrong[0]}, which is not theirs to set",
                hint="Take it out: which records are read, and as what, is told by the tape.",
            )
        if BROKERS not in found:
            variable = self._variable("BOOTSTRAP_SERVERS")
            raise SetupError(
                f"no brokers of Kafka are named: {variable} is not set",
                hint=f"Set {variable}=host:port, or {self._variable(_PROPERTIES)} to a file of client properties that "
                f"has {BROKERS}.",
            )
        return found | _PROVIDERS

    def of_other_clients(self) -> dict[str, str]:
        """Return the properties with their values in place of references, for a client that is not Java's.

        Whoever asks must let none of them be seen. Raises SetupError.
        """
        self.properties()
        path = self._file()
        return dict([] if path is None else _read(path)) | {key: value for _, key, value in self._given()}

    def without_secrets(self, text: str) -> str:
        """Return a message of a client's with `***` for each secret of this connection that stands in it."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def _variable(self, what: str) -> str:
        return f"{_PREFIX}{'' if self.name is None else f'{self.name.upper()}_'}{what}"

    def _given(self) -> Iterator[tuple[str, str, str]]:
        """Yield variable, property and value of each property that is a variable of its own."""
        mine = self._variable("")
        for variable, value in self.environment.items():
            what = variable.removeprefix(mine)
            if what != variable and what.startswith(_OF_A_CLIENT):
                yield variable, what.lower().replace("_", "."), value

    def _of_variables(self) -> dict[str, str]:
        return {key: f"${{env:{name}}}" if _SECRET.search(key) else value for name, key, value in self._given()}

    def _of_the_file(self) -> dict[str, str]:
        """Return the properties of the file. What refers to elsewhere itself is for the clients to resolve as it is."""
        path = self._file()
        if path is None:
            return {}
        return {
            key: f"${{file:{path}:{key}}}" if _SECRET.search(key) and "${" not in value else value
            for key, value in _read(path)
        }

    def _file(self) -> Path | None:
        given = self.environment.get(self._variable(_PROPERTIES))
        if not given:
            return None
        path = Path(given).expanduser().absolute()
        if set(str(path)) & set(":}"):
            raise SetupError(
                f"{self._variable(_PROPERTIES)} names {str(path)!r}, and Kafka's clients find no path with ':' or '}}'",
                hint="Put the file somewhere else.",
            )
        return path

    def _secrets(self) -> set[str]:
        try:
            path = self._file()
            of_the_file = [] if path is None else list(_read(path))
        except SetupError:
            of_the_file = []
        values = [v for k, v in (*of_the_file, *((k, v) for _, k, v in self._given())) if _SECRET.search(k)]
        return {found for value in values for found in (value, *_QUOTED.findall(value)) if found}


def _read(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the properties of a file as Java reads it: comments, lines that go on, `=`, `:` or a space between."""
    try:
        lines = re.split(r"\r\n|\r|\n", path.read_text(encoding="utf-8"))  # and at nothing else, as Java does
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(
            f"the properties of Kafka's clients cannot be read: {path}: {type(error).__name__}",
            hint="Look at the path, and at who may read the file.",
        ) from None
    whole = ""
    for line in lines:
        whole += line.lstrip()
        if not whole or (whole == line.lstrip() and whole[0] in "#!"):
            whole = ""
        elif whole.endswith("\\"):
            whole = whole[:-1]
        else:
            key, value = re.match(r"([^\s=:]*)\s*[=:]?\s*(.*)", whole).groups()  # type: ignore[union-attr]  # fits all
            yield _unescaped(key), _unescaped(value)
            whole = ""


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
