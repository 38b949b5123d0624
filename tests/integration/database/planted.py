"""Faults planted in the queue's functions, to show that the state machine finds them.

`python -m tests.integration.database.planted` prints which check found each, and after how many examples.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.database import migrate
from tests.integration.database.machine import QueueMachine
from tests.integration.database.sessions import Sessions

EXAMPLES: Final = 400
STEPS: Final = 40
LEASES_FIRST: Final = (
    "array(select request_id from sentinel.leases join unnest(p_endings) using (fence) for update of leases);"
)


@dataclass(frozen=True)
class Fault:
    """Text replacements in one function."""

    function: str
    replacements: tuple[tuple[str, str], ...]


FAULTS: Final = {
    "the fence is not checked": Fault(
        "sentinel.end_attempts",
        ((" and q.fence = i.fence", ""), (" and l.fence = i.fence", ""), (" and l.worker = p_worker", "")),
    ),
    "the lease is locked before the request": Fault(
        "sentinel.end_attempts",
        (
            ("order by q.id for no key update of q skip locked", "order by q.id for no key update of q"),
            (
                "array(select i.id from unnest(p_endings) i);",
                LEASES_FIRST,
            ),
        ),
    ),
    "a refund is forgotten": Fault(
        "sentinel.end_attempts", (("e.outcome in ('snoozed', 'released')", "e.outcome = 'snoozed'"),)
    ),
    "a repeated finish is lost": Fault("sentinel.explain", (("and a.worker = p_worker", "and false"),)),
    "a heartbeat moves the lease of another fence": Fault(
        "public.sentinel_heartbeat",
        (("on l.request_id = i.id and l.fence = i.fence\n     where", "on l.request_id = i.id\n     where"),),
    ),
    "a heartbeat says of a locked lease that it was extended": Fault(
        "public.sentinel_heartbeat", (("then 'busy'", "then 'ok'"),)
    ),
    "the limit on what runs is ignored": Fault("sentinel.choose", (("'max_running_requests'", "'no limit'"),)),
    "a user's share of the slots is ignored": Fault(
        "sentinel.parts", (("if p_caps.slots is null then", "if true then"),)
    ),
    "a wish to cancel is ignored": Fault(
        "sentinel.end_attempts", (("i.outcome = 'cancelled' or q.cancel_requested", "i.outcome = 'cancelled'"),)
    ),
}


def plant(superuser_dsn: str, fault: Fault) -> None:
    """Change the function in one database. A text that is not there is an error in this list."""
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        row = connection.execute("select pg_get_functiondef(%s::regproc)", (fault.function,)).fetchone()
        assert row is not None
        text = str(row[0])
        for old, new in fault.replacements:
            assert old in text, f"{fault.function} has no {old!r}"
            text = text.replace(old, new)
        connection.execute(text.encode())


def drive(dsn: str, superuser_dsn: str, examples: int, *, fixed: bool, shrink: bool = True) -> None:
    """Run the machine on one database; raises what it finds. `fixed` draws the same sequences each time."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        derandomize=fixed,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    QueueMachine.world = Sessions(dsn, superuser_dsn)
    try:
        run_state_machine_as_test(QueueMachine, settings=chosen)
    finally:
        QueueMachine.world.close()


def main() -> None:
    """Print one line for each fault."""
    missed = 0
    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder) / "server", durable=False) as server:
        server.create_database("migrated")
        migrate.apply(server.dsn("postgres", "migrated"))
        for number, (name, fault) in enumerate(FAULTS.items()):
            superuser_dsn = server.create_database(f"planted_{number}", template="migrated")
            plant(superuser_dsn, fault)
            begin = time.monotonic()
            try:
                drive(server.dsn("postgres", f"planted_{number}"), superuser_dsn, EXAMPLES, fixed=True, shrink=False)
                found = "NOT FOUND"
                missed += 1
            except AssertionError as error:
                found = str(error).partition("\n")[0]
            sys.stdout.write(f"{name}: {found} ({time.monotonic() - begin:.1f} s)\n")
            sys.stdout.flush()
    sys.exit(missed)


if __name__ == "__main__":
    main()
