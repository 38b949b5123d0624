"""Settings of the gateway process, passed as one line of JSON on its standard input."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.realtime.settings import EVENTS_PER_SECOND, RealtimePace
from sentinel_local_supabase.storage.service import DEFAULT_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Port to listen on, database roles to log in as, and limits of the services.

    `port` 0 takes a free one. REST serves `exposed_schemas`, the first by default. Tokens of signed-in users are valid
    for `access_token_seconds`; an object has at most `object_limit_bytes`. Realtime runs at `pace` and drops row
    changes, and broadcasts from the database, above `events_per_second` (None: never).
    """

    keys: ProjectKeys
    object_folder: Path
    authenticator_dsn: str
    auth_dsn: str
    storage_dsn: str
    superuser_dsn: str
    host: str = "127.0.0.1"
    port: int = 54321
    exposed_schemas: tuple[str, ...] = ("public",)
    access_token_seconds: int = 3600
    object_limit_bytes: int = DEFAULT_LIMIT_BYTES
    pace: RealtimePace = "real"
    events_per_second: int | None = EVENTS_PER_SECOND

    def to_json(self) -> str:
        """Serialize to one line that contains secrets: for a pipe, never for a log."""
        return json.dumps({**asdict(self), "object_folder": str(self.object_folder)})

    @staticmethod
    def from_json(text: str) -> GatewaySettings:
        """Parse the form of `to_json`."""
        values = json.loads(text)
        values["keys"] = ProjectKeys(**values["keys"])
        values["object_folder"] = Path(values["object_folder"])
        values["exposed_schemas"] = tuple(values["exposed_schemas"])
        return GatewaySettings(**values)
