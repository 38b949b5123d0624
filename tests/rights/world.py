"""The world for questions about rights: two users with rows, and the identities that ask."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from sentinel_local_supabase.keys import ProjectKeys

# The ids contain letters, because a path may name a user in another case.
USER_A: Final = "aaaaaaaa-bbbb-4ccc-8ddd-aaaaaaaaaaaa"
USER_B: Final = "bbbbbbbb-cccc-4ddd-8eee-bbbbbbbbbbbb"
USER_GONE: Final = "ffffffff-0000-4000-8000-000000000001"
REQUEST_A: Final = "aaaaaaaa-0000-4000-8000-000000000001"
REQUESTS_B: Final = ("bbbbbbbb-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002")
WORKER: Final = "cccccccc-0000-4000-8000-000000000001"
MESSAGES: Final = {
    "broadcast": "eeeeeeee-0000-4000-8000-000000000001",
    "presence": "eeeeeeee-0000-4000-8000-000000000002",
    "another": "eeeeeeee-0000-4000-8000-000000000003",
}
BYSTANDER_BUCKET: Final = "other"
# Bucket and folder of each place that allowed.py names. <gone> is a deleted user.
_FOLDERS: Final = {"<A>/": f"{USER_A}/", "<B>/": f"{USER_B}/", "": "", "<gone>/": f"{USER_GONE}/"}
PLACES: Final = {
    **{f"{bucket}/{name}": (bucket, folder) for bucket in ("media", "derived") for name, folder in _FOLDERS.items()},
    f"{BYSTANDER_BUCKET}/<A>/": (BYSTANDER_BUCKET, f"{USER_A}/"),
}
_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity that asks: the SQL role, and the user id if signed in."""

    name: str
    role: str
    user: str | None = None

    @property
    def claims(self) -> dict[str, Any]:
        """The claims of this identity's JWT."""
        return {"role": self.role} | ({"sub": self.user, "aud": "authenticated"} if self.user else {})

    def token(self, keys: ProjectKeys, *, seconds: int = 3600) -> str:
        """Return a JWT of this identity that expires in `seconds`."""
        now = int(time.time())
        return keys.sign({**self.claims, "iat": now, "exp": now + seconds})

    def headers(self, keys: ProjectKeys) -> dict[str, str]:
        """Return a client's headers: only a key, or the publishable key with a JWT."""
        if self is SERVICE:
            return {"apikey": keys.secret_key}
        if self is ANON:
            return {"apikey": keys.publishable_key}
        return {"apikey": keys.publishable_key, "Authorization": f"Bearer {self.token(keys)}"}


ANON: Final = Identity("anon", "anon")
A: Final = Identity("user A", "authenticated", USER_A)
B: Final = Identity("user B", "authenticated", USER_B)
WORKER_ROLE: Final = Identity("sentinel_worker", "sentinel_worker")
SERVICE: Final = Identity("service_role", "service_role")
ADMIN: Final = Identity("admin", "postgres")
CALLERS: Final = (ANON, A, B, WORKER_ROLE, SERVICE)
IDENTITIES: Final = (*CALLERS, ADMIN)


def prepare(superuser: psycopg.Connection) -> None:
    """Prepare a migrated database for the questions; may be repeated."""
    superuser.execute((_HERE / "prepare.sql").read_bytes())
    seed(superuser)


def seed(superuser: psycopg.Connection) -> None:
    """Restore all our rows; objects are not changed."""
    superuser.execute((_HERE / "seed.sql").read_bytes())


def sample(column: Mapping[str, Any], owner: str) -> Any:
    """Return a value, in JSON form, that may be written into `column` of a row of `owner`."""
    chosen = {"storage_path": f"{owner}/q.mp4", "user_id": owner, **_SAMPLES}
    for name in (f"{column['table']}.{column['name']}", column["name"]):
        if name in chosen:
            return chosen[name]
    return None if column["nullable"] else _BY_TYPE[column["type"]]


# Samples for columns whose type's sample would break a rule of the table. Others get null or the type's sample.
_SAMPLES: Final[dict[str, Any]] = {
    "public.analysis_requests.source_url": "https://example.org/q.mp4",
    "public.analysis_requests.detector": "demo",
    "public.analysis_requests.dedupe_key": "q",
    "public.analysis_requests.batch_id": "dddddddd-0000-4000-8000-000000000001",
    "public.analysis_requests.media_kind": "video",
    # Values that differ from the default: a user may name a default.
    "public.analysis_requests.status": "failed",
    "public.analysis_requests.stage": "probing",
    "public.analysis_requests.progress": 1,
    "public.analysis_requests.verdict": "fake",
    "public.analysis_requests.fake_probability": 0.5,
    "public.analysis_requests.coverage": 0.5,
    "public.analysis_requests.longest_gap_seconds": 0.5,
    "public.analysis_requests.error_code": "x",
    "public.analysis_requests.error_message": "x",
    "public.analysis_requests.error_params": {},
    "public.analysis_requests.started_at": "2100-01-01T00:00:00Z",
    "public.analysis_requests.finished_at": "2100-01-01T00:00:00Z",
    "public.analysis_results.verdict": "fake",
    "public.analysis_results.timeline": [],
    "sentinel.attempts.outcome": "retry",
    "sentinel.usage.kind": "request",
}
_BY_TYPE: Final[dict[str, Any]] = {
    "uuid": "dddddddd-0000-4000-8000-000000000002",
    "text": "x",
    "jsonb": {},
    "boolean": True,
    "smallint": 1,
    "integer": 1,
    "bigint": 1,
    "double precision": 0.5,
    "timestamp with time zone": "2100-01-01T00:00:00Z",
    "text[]": ["x"],
}


def sql_value(value: Any, type_name: str) -> Any:
    """Convert a JSON value for psycopg and a column of that type."""
    return json.dumps(value) if type_name in ("json", "jsonb") and value is not None else value
