"""What Delta itself may clean from the log of a table: nothing. What goes is the gate's decision alone.

Delta in Spark removes entries of a log that are over 30 days old whenever it writes a checkpoint, which it does for
somebody who deletes rows by hand. A reader that is farther behind could then never go on.

How long removed files are remembered (`delta.deletedFileRetentionDuration`) stays Delta's week. Each checkpoint holds
a line for each of them, and one is written every 20 commits: 400,000 lines are 33 MB and 1.5 CPU seconds each time, and
a table that takes a batch a second has as many after 5 days. Reads of older versions do without Delta: `pinned.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties

from kappa_assets.place.local.delta_write.delta_failure import WRITE_FAILED
from kappa_assets.place.local.leases.lock import table_turn

LOG_STAYS = {"delta.logRetentionDuration": "interval 36500 days"}
"""Properties of every table that we make."""
CHANGE_FEED = {"delta.enableChangeDataFeed": "true"}
"""The property of a table whose commits tell what changed in each row."""
_OURS = "kappa."
_NOTE = {"userMetadata": json.dumps({"maintenance": "properties"})}


def add_properties(table: DeltaTable | None, folder: Path, properties: Mapping[str, str]) -> None:
    """Give a table that an earlier version made these properties, and what we say of it, by a commit of its own.

    `properties`: of the table if it were made now. Where that fails, the next start tries again: nothing depends on it
    today, but for the change feed, which readers are refused without it. Raises what delta-rs does for that.
    """
    ours = {name: value for name, value in properties.items() if name.startswith(_OURS) or name in CHANGE_FEED}
    wanted = LOG_STAYS | ours
    if table is None or not _lacks(table, wanted):
        return
    feed = {name: value for name, value in ours.items() if name in CHANGE_FEED}
    may_fail = () if _lacks(table, feed) else WRITE_FAILED
    with table_turn(folder), suppress(*may_fail):
        table.update_incremental()
        if _lacks(table, wanted):
            table.alter.set_table_properties(
                wanted,
                raise_if_not_exists=False,  # delta-rs does not know ours
                commit_properties=CommitProperties(custom_metadata=_NOTE, max_commit_retries=0),
                post_commithook_properties=PostCommitHookProperties(
                    create_checkpoint=False, cleanup_expired_logs=False
                ),
            )


def _lacks(table: DeltaTable, wanted: Mapping[str, str]) -> bool:
    return not wanted.items() <= table.metadata().configuration.items()
