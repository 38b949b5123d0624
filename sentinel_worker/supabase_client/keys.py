"""As whom the worker calls Supabase: the one place that holds the current key, which may change while it runs."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Self

import httpx

from sentinel_worker.config import secret_files
from sentinel_worker.config.settings import SECRETS, Settings, variable
from sentinel_worker.observe import masking
from sentinel_worker.supabase_client.jwt import jwt_claims

_REFUSED = frozenset({400, 401, 403})
"""Storage wraps its refusals of tokens into 400."""


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """What is sent as `apikey`, and the JWT beside it where that is not the key itself."""

    api_key: str
    token: str | None = None
    api_key_name: str = variable("secret_key")
    token_name: str = variable("worker_jwt")

    @classmethod
    def of(cls, secrets: Mapping[str, str]) -> Self:
        """The strongest of what is there, by the names of `settings.SECRETS`."""
        for name in ("secret_key", "service_role_key"):
            if name in secrets:
                return cls(secrets[name], None, variable(name), variable(name))
        return cls(secrets["publishable_key"], secrets["worker_jwt"], variable("publishable_key"))

    @property
    def headers(self) -> dict[str, str]:
        """What every HTTP request carries."""
        return {"apikey": self.api_key, "Authorization": f"Bearer {self.token or self.api_key}"}

    @property
    def role(self) -> str | None:
        """As which role the database sees it, as far as the key itself tells; a JWT without that claim is anon's."""
        if self.token is None and self.api_key.startswith("sb_"):
            return "service_role" if self.api_key.startswith("sb_secret_") else "anon"
        role = jwt_claims(self.token or self.api_key).get("role")
        return role if isinstance(role, str) else None


class WorkerKeys:
    """`current` may be read from any thread. `refused` is called, from any thread, when the current key was refused."""

    def __init__(self, settings: Settings, *, refused: Callable[[], None] = lambda: None) -> None:
        self.paths = settings.secret_paths
        values = {name: getattr(settings, name) for name in SECRETS}
        self._secrets = {name: value.get_secret_value() for name, value in values.items() if value is not None}
        self.current = Key.of(self._secrets)
        self.refused = refused

    def read(self) -> dict[str, str]:
        """The secrets of those files whose content is not what is in use. Raises ValueError with a sentence."""
        changed = {}
        for name, path in self.paths.items():
            try:
                value = secret_files.read(path)
            except ValueError as error:
                raise ValueError(f"{variable(name)}: {error}") from None
            masking.register(value)
            if value != self._secrets[name]:
                changed[name] = value
        return changed

    def with_changes(self, changed: Mapping[str, str]) -> Key:
        """The key that `changed` would make, not yet in use."""
        return Key.of({**self._secrets, **changed})

    def use(self, changed: Mapping[str, str]) -> None:
        """From now on every request carries it; those under way end as they began."""
        self._secrets |= changed
        self.current = Key.of(self._secrets)


class KeyAuth(httpx.Auth):
    """Signs each request with the current key, and once more when the key changed while the request was under way.

    The body has to be one that can be sent twice.
    """

    def __init__(self, keys: WorkerKeys) -> None:
        self.keys = keys

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """As httpx wants it, for clients of both kinds."""
        yield from self.signed(request)

    def signed(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
        """The flow, which returns the last response."""
        used = self._sign(request)
        response = yield request
        if response.status_code not in _REFUSED:
            return response
        if self.keys.current is not used:
            self._sign(request)
            return (yield request)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self.keys.refused()
        return response

    def _sign(self, request: httpx.Request) -> Key:
        key = self.keys.current
        request.headers.update(key.headers)
        return key
