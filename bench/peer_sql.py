"""Print the SQL statements of procrastinate and pgqueuer as JSON; runs in a virtual environment that has them."""

import importlib.util
import json
import re
from datetime import timedelta
from pathlib import Path
from uuid import uuid4


def main() -> None:
    """Print schema, claim and finish of each, with $1, $2 … for the values."""
    print(json.dumps({"procrastinate": procrastinate(), "pgqueuer": pgqueuer()}))


def procrastinate() -> dict[str, str]:
    """Read the statements from its SQL files."""
    found = importlib.util.find_spec("procrastinate")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "sql"
    queries = dict(re.findall(r"-- (\w+) --\n((?:(?!-- \w+ --).)*)", (folder / "queries.sql").read_text(), re.DOTALL))
    claim = queries["fetch_job"].replace("%(queues)s", "$1").replace("%(worker_id)s", "$2")
    finish = queries["finish_job"].replace("%(job_id)s", "$1").replace("%(status)s", "$2")
    return {
        "schema": (folder / "schema.sql").read_text(),
        "claim": claim.strip().rstrip(";"),
        "finish": finish.replace("%(delete_job)s", "$3").strip().rstrip(";"),
    }


def pgqueuer() -> dict[str, str]:
    """Get the statements from its query builders."""
    from pgqueuer.adapters.persistence import qb  # type: ignore[import-not-found]

    builder = qb.QueryQueueBuilder()
    claim = builder.build_dequeue_query(
        batch_size=1,
        entrypoints=["bench"],
        concurrency_limits=[0],
        queue_manager_id=uuid4(),
        global_concurrency_limit=None,
        heartbeat_timeout=timedelta(seconds=30),
    )
    environment = qb.QueryBuilderEnvironment()
    return {
        "schema": environment.build_install_query() + "\n;\n" + environment.build_optimize_autovacuum_query(),
        "claim": claim.sql.rstrip().rstrip(";"),
        "finish": builder.build_log_job_query(),
    }


if __name__ == "__main__":
    main()
