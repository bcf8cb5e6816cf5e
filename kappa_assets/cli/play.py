"""Commands that play the tape: stream and drain. They start Spark."""

from __future__ import annotations

from kappa_assets.cli.answer import Answer
from kappa_assets.cli.command import Where, command, setting_of, status_answer
from kappa_assets.cli.progress import progress, stop_request
from kappa_assets.errors import LogicChanged


@command
def stream(where: Where) -> Answer:
    """Keep every table up to date until stopped.

    Ctrl-C, SIGTERM and SIGHUP let the current batch finish and end with exit code 0: stopping is how a stream ends.
    A second Ctrl-C stops at once; nothing is lost or doubled by it.
    """
    from kappa_assets.host.host import Host

    pipeline = where.pipeline()
    with stop_request() as stop, progress() as shown:
        setting = setting_of(where, shown, live=True, packages=pipeline.packages)
        stop.listen()
        host: Host = Host(setting, pipeline, wanted=shown.watching(stop, lambda: host.status))
        ended = host.stream()
    if ended.restart:
        raise LogicChanged(ended.reason, hint="Start kappa stream again, with the code that is deployed now.")
    return status_answer(setting.lake, pipeline)


@command
def drain(where: Where) -> Answer:
    """Bring every table up to date with what has landed, then end.

    Stopped before that (Ctrl-C, SIGTERM), or with a table held because its logic changed, it ends with exit code 1;
    the next one goes on where it was.
    """
    from kappa_assets.host.host import Host

    pipeline = where.pipeline()
    with stop_request() as stop, progress() as shown:
        setting = setting_of(where, shown, packages=pipeline.packages)
        stop.listen()
        host: Host = Host(setting, pipeline, wanted=shown.watching(stop, lambda: host.status))
        host.drain()
        held = [q for q in host.status if q.state == "held"]
    answer = status_answer(setting.lake, pipeline)
    if stop.reason is not None:
        failure = f"{stop.reason} before everything was caught up\nHint: Run kappa drain again."
    elif held:
        failure = "\n".join(f"{q.table} is held: {q.error}" for q in held)
    else:
        return answer
    return Answer(answer.rows, answer.columns, answer.title, failure=failure)
