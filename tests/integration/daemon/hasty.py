"""`sentinel-worker run` with shorter waits: after a refusal, and for a place to fetch a URL.

python -m tests.integration.daemon.hasty run
"""

from __future__ import annotations

from typing import Final

from sentinel_worker import cli
from sentinel_worker.queue import rights
from sentinel_worker.sources import choosing, storage_errors
from sentinel_worker.supabase_client import connections

REFUSED_RETRY_SECONDS: Final = 1.5
PATIENCE_SECONDS: Final = 2.0

if __name__ == "__main__":
    for module in (connections, rights, storage_errors):
        vars(module)["REFUSED_RETRY_SECONDS"] = REFUSED_RETRY_SECONDS
    vars(choosing)["URL_PATIENCE_SECONDS"] = PATIENCE_SECONDS
    cli.main()
