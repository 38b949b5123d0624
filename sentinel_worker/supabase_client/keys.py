"""The worker's current Supabase key, held in one place because it may change while the worker runs."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Self

import httpx

from sentinel_worker.config import secret_files
from sentinel_worker.config.settings import SECRETS, Settings, variable
from sentinel_worker.observe import masking
from sentinel_worker.supabase_client.jwt import jwt_claims, seconds_to_live

_REFUSED = frozenset({400, 401, 403})
"""Statuses of refused keys; Storage wraps its refusals of tokens in a 400."""


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """The `apikey` header's value, and the JWT to send with it unless the key itself is the JWT."""

    api_key: str
    token: str | None = None
    api_key_name: str = variable("secret_key")
    token_name: str = variable("worker_jwt")

    @classmethod
    def of(cls, secrets: Mapping[str, str]) -> Self:
        """Return the strongest of the given secrets, named as in `settings.SECRETS`."""
        for name in ("secret_key", "service_role_key"):
            if name in secrets:
                return cls(secrets[name], None, variable(name), variable(name))
        return cls(secrets["publishable_key"], secrets["worker_jwt"], variable("publishable_key"))

    @property
    def jwt(self) -> str:
        """What stands for a JWT in every request: the token, or else the key, which may be none."""
        return self.token or self.api_key

    @property
    def expires_at(self) -> float:
        """Unix time at which the JWT expires; infinite for a key that does not."""
        return seconds_to_live(self.jwt, now=0.0)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every HTTP request."""
        return {"apikey": self.api_key, "Authorization": f"Bearer {self.jwt}"}

    @property
    def role(self) -> str | None:
        """Database role according to the key itself; None for a JWT without the claim, which acts as anon."""
        if self.token is None and self.api_key.startswith("sb_"):
            return "service_role" if self.api_key.startswith("sb_secret_") else "anon"
        role = jwt_claims(self.jwt).get("role")
        return role if isinstance(role, str) else None


class WorkerKeys:
    """Holder of the current key, which any thread may read.

    `refused` is called, from any thread, when the current key was refused.
    """

    def __init__(self, settings: Settings, *, refused: Callable[[], None] = lambda: None) -> None:
        self.paths = settings.secret_paths
        values = {name: getattr(settings, name) for name in SECRETS}
        self._secrets = {name: value.get_secret_value() for name, value in values.items() if value is not None}
        self.current = Key.of(self._secrets)
        self.refused = refused

    def read(self) -> dict[str, str]:
        """Return the secrets whose files differ from those in use. Raises ValueError with a sentence."""
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
        """Return the key with `changed` applied, without using it."""
        return Key.of({**self._secrets, **changed})

    def use(self, changed: Mapping[str, str]) -> None:
        """Use `changed` for every new request; requests in flight keep the old key."""
        self._secrets |= changed
        self.current = Key.of(self._secrets)


class KeyAuth(httpx.Auth):
    """Signs each request with the current key, and retries once if the key changed while the request was in flight.

    The body must be repeatable.
    """

    def __init__(self, keys: WorkerKeys) -> None:
        self.keys = keys

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Implement httpx's interface, for both sync and async clients."""
        yield from self.signed(request)

    def signed(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, httpx.Response]:
        """Run the flow and return the last response."""
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
