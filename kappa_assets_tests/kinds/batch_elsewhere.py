"""A process that does a batch which another one has pickled. It knows nothing else of that one.

python -m kappa_assets_tests.kinds.batch_elsewhere <file with the pickled work>
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark import cloudpickle

from kappa_assets.host.session import build_session

if TYPE_CHECKING:
    from kappa_assets.host.batch_work import BatchWork

if __name__ == "__main__":
    work: BatchWork = cloudpickle.loads(Path(sys.argv[1]).read_bytes())
    (upstream,) = work.query.upstreams
    rows = upstream.read(build_session("elsewhere", cores=1, memory="512m"), upstream.newest() or 0)
    work(rows, 0)
