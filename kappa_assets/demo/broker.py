"""A broker of Kafka on this machine: one process in KRaft mode, its jars by Maven coordinates.

`python -m kappa_assets.demo.broker [folder] [port]` runs one until Ctrl-C, on 127.0.0.1 and port 9092 by default. What
it was sent stays in the folder. For the demo and for tests: one node, no copies, nobody asked for a password.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from kappa_assets.errors import SetupError
from kappa_assets.host.session import fetched_jars, jars_of, require_java

PACKAGES = ("org.apache.kafka:kafka_2.13:3.9.2", "org.slf4j:slf4j-simple:1.7.36")
PORT = 9092
_JAVA = ("-Xmx512m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/logs
auto.create.topics.enable=false
log.retention.ms=-1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
num.network.threads=1
num.io.threads=2
"""
_PATIENCE_S = 120


class Broker:
    """One broker. `start` returns when it answers; after `stop`, or `kill`, and `start` it has what it had."""

    protocols: tuple[tuple[str, str], ...] = ()
    """Listeners beside the plain one, and what they speak."""
    more = ""
    """Properties beside those of every broker."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        """`port`: of the plain listener; None: one that is free. Raises SetupError when the jars cannot be fetched."""
        require_java()
        self.folder = folder
        self.port, controller, *self.others = _free_ports([port or 0, 0, *[0] * len(self.protocols)])
        self._properties = folder / "server.properties"
        folder.mkdir(parents=True, exist_ok=True)
        names = ["PLAINTEXT", *(name for name, _ in self.protocols)]
        ports = (self.port, *self.others)
        listeners = ",".join(f"{name}://127.0.0.1:{at}" for name, at in zip(names, ports, strict=True))
        spoken = "".join(f",{name}:{protocol}" for name, protocol in self.protocols)
        told = _PROPERTIES.format(folder=folder, controller=controller, listeners=listeners, protocols=spoken)
        self._properties.write_text(told + self.more)
        self._java = ["java", *_JAVA, "-cp", os.pathsep.join(map(str, _jars()))]
        self._process: subprocess.Popen[bytes] | None = None
        if not (folder / "logs" / "meta.properties").exists():
            self._format()

    @property
    def address(self) -> str:
        """Where clients reach it: what `KAPPA_KAFKA_BOOTSTRAP_SERVERS` is set to."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it answers. Raises SetupError, with the end of its log, when it does not."""
        with (self.folder / "log.txt").open("ab") as log:
            quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
            command = [self._java[0], quiet, *self._java[1:], "kafka.Kafka", str(self._properties)]
            # A group of its own: Ctrl-C on the terminal reaches who started it, who ends it last.
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, process_group=0)
        deadline = time.monotonic() + _PATIENCE_S
        while not _is_open(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "log.txt").read_text()[-3000:]
                self.kill()
                raise SetupError(
                    f"the broker does not start: {said}",
                    hint="One that a killed `make run` has left behind has its folder: end that process.",
                )
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask it to end, and wait for it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End it at once, in the midst of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cluster(self) -> str:
        """The id of a new cluster: 16 bytes in the letters of base64 for addresses."""
        return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    def _format(self) -> None:
        # With the sign, for one in 64 begins with a dash, which would be read as an option.
        told = ["kafka.tools.StorageTool", "format", f"--cluster-id={self.cluster()}", f"--config={self._properties}"]
        done = subprocess.run([*self._java, *told], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupError(
                f"the folder of a broker cannot be made: {(done.stderr or done.stdout)[-1000:]}",
                hint=f"Look at {self.folder}, or name another folder.",
            )


def _jars() -> list[Path]:
    """Return the broker's jars. Spark's resolver leaves Scala's own library out of whatever it fetches."""
    if os.environ.get("KAPPA_JARS"):
        return [*jars_of(*PACKAGES), *_scala()]
    return [*(jar for package in PACKAGES for jar in fetched_jars(package)), *_scala()]


def _scala() -> list[Path]:
    import pyspark

    return list((Path(pyspark.__file__).parent / "jars").glob("scala-library-*.jar"))


def _free_ports(wanted: Sequence[int]) -> list[int]:
    """Return these ports, and for each 0 one that is free. Raises SetupError for one that is not."""
    found = [socket.socket() for _ in wanted]
    try:
        for one, port in zip(found, wanted, strict=True):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError as error:
                raise SetupError(
                    f"port {port} is not free for a broker ({error.strerror})",
                    hint="End what uses it, or choose another.",
                ) from None
        return [one.getsockname()[1] for one in found]
    finally:
        for one in found:
            one.close()


def _is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def main(arguments: Sequence[str]) -> int:
    """Run a broker until Ctrl-C."""
    folder, port = (*arguments, *(".kappa/kafka", str(PORT))[len(arguments) :])
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    try:
        broker = Broker(Path(folder).absolute(), int(port))
        broker.start()
    except (SetupError, ValueError) as error:
        sys.stderr.write(f"kappa_assets: {error}\n")
        return 1
    sys.stderr.write(f"a broker runs until Ctrl-C: export KAPPA_KAFKA_BOOTSTRAP_SERVERS={broker.address}\n")
    ended.wait()
    broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
