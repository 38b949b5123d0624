"""`sentinel-worker check`: verify that Supabase is reachable, accepts the key, and grants every right of a worker."""

import uuid

from rich.console import Console

from sentinel_worker.commands.console import plain
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Fatal, Transient
from sentinel_worker.observe.masking import mask
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.supabase_client import connections
from sentinel_worker.supabase_client.expiry import refuse_expired
from sentinel_worker.supabase_client.keys import WorkerKeys

console = Console(highlight=False, emoji=False, soft_wrap=True)


async def check(settings: Settings) -> bool:
    """Print the missing rights; returns True if there are none.

    Raises Fatal if the worker could not start (`access_refused`, `schema_missing`), and Transient if Supabase is
    unavailable.
    """
    keys = WorkerKeys(settings)
    refuse_expired(keys)
    client = connections.connect(settings, keys)
    try:
        missing = await QueueClient(client, uuid.uuid4()).missing_rights()
    except Transient as error:
        raise connections.at_start(error) from error
    finally:
        await connections.close(client)
    for right in missing:
        kind = "[red]missing[/red]" if right.needed else "[yellow]missing, but the worker runs without it[/yellow]"
        console.print(f"{kind} {plain(mask(right.sentence))}")
    if needed := [right for right in missing if right.needed]:
        raise Fatal("access_refused", f"{len(needed)} of the rights that every request needs are missing.")
    if not missing:
        console.print(f"[green]ok[/green] {settings.supabase_url} grants {keys.current.role} every right of a worker")
    return not missing
