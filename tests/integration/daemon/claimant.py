"""A worker without a process: a test makes its calls one by one through the API, and can stop between any two."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from sentinel_local_supabase.stack import Stack

RESULT = {"verdict": "real", "fake_probability": 0.1, "threshold": 0.5}


@dataclass
class Claimant:
    """Calls the queue's functions and Storage as a worker with the secret key does; use it in a `with` block."""

    stack: Stack
    id: str = field(default_factory=lambda: str(uuid4()))

    def __enter__(self) -> Self:
        self.http = httpx.Client(base_url=self.stack.url, headers={"apikey": self.stack.secret_key})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def call(self, function: str, **args: Any) -> list[dict[str, Any]]:
        """Call a function of the queue; return its rows."""
        answer = self.http.post(f"/rest/v1/rpc/{function}", json={"args": {"worker": self.id} | args})
        rows: list[dict[str, Any]] = answer.raise_for_status().json()
        return rows

    def claim(self, request: str, *, held: list[str] | None = None) -> dict[str, Any]:
        """Claim the only waiting request, which is `request`."""
        (claim,) = self.call("sentinel_claim", lanes=["auto/default"], limit=1, lease_seconds=60, held=held or [])
        assert claim["id"] == request
        return claim

    def upload(self, claim: dict[str, Any], name: str) -> str:
        """Store a derived file; return its path."""
        path = f"{claim['user_id']}/{claim['id']}/{claim['fence']}/{name}"
        self.put("derived", path)
        return path

    def put(self, bucket: str, path: str) -> None:
        """Store an object, replacing an older one."""
        headers = {"x-upsert": "true", "content-type": "image/jpeg"}
        self.http.post(f"/storage/v1/object/{bucket}/{path}", content=b"bytes", headers=headers).raise_for_status()

    def succeed(self, claim: dict[str, Any], *derived: str) -> None:
        """Finish with a result that names these files."""
        result = RESULT | {"derived": {path.rpartition("/")[2]: path for path in derived}}
        outcome = {"id": claim["id"], "fence": claim["fence"], "outcome": "succeeded", "result": result}
        (answer,) = self.call("sentinel_finish", outcomes=[outcome])
        assert answer["answer"] == "succeeded"

    def empty_outbox(self) -> None:
        """Remove what the outbox names now."""
        for row in self.call("sentinel_deletions", limit=1000):
            url = f"/storage/v1/object/{row['bucket_id']}"
            self.http.request("DELETE", url, json={"prefixes": [row["name"]]}).raise_for_status()

    def read(self, bucket: str, path: str) -> httpx.Response:
        """Download an object."""
        return self.http.get(f"/storage/v1/object/authenticated/{bucket}/{path}")
