"""Which URLs and addresses a worker may connect to for its users: one strict reading, no network."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Self

import httpx

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.sources.addresses import Address, Network, forbidden_address, plain

MAX_URL_CHARACTERS: Final = 8192
"""A row holds 2,048; redirects to signed addresses are longer."""
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# Whatever two readers of URLs could read differently is refused: user names, backslashes, empty ports, zones, signs.
_FORM: Final = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^][/?#:@%]+)(:[0-9]{1,5})?([/?#].*)?", re.IGNORECASE)
_UNREADABLE: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ufeff\ud800-\udfff]")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# A last label that begins with a digit is an IPv4 address in some spelling: 2130706433, 0x7f.1, 127.1.
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*[a-z](?:[a-z0-9_-]{{0,61}}[a-z0-9_])?")
_MAX_NAME_CHARACTERS: Final = 253
_SHOWN_CHARACTERS: Final = 80
_FOREIGN_DOTS: Final = re.compile("[\u3002\uff0e\uff61]")


@dataclass(frozen=True, slots=True)
class Target:
    """What a checked URL leads to. `resource` is path and query, which may hold secrets."""

    scheme: str
    host: str
    """A name in lower-case ASCII, or an address without brackets."""
    port: int
    resource: bytes = field(default=b"/", repr=False)

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL without its query."""
        return f"{self.scheme}://{self.authority}{self.resource.partition(b'?')[0].decode('ascii')}"

    @property
    def address(self) -> Address | None:
        """The host where it is an address."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What may be asked for. Hosts are names, or `.name` for it and all below it; what is denied wins."""

    schemes: frozenset[str] = frozenset({"https"})
    ports: Collection[int] = frozenset({443})
    allowed_hosts: tuple[str, ...] = ()
    """Empty: all that are not denied."""
    denied_hosts: tuple[str, ...] = ()
    allowed_networks: tuple[Network, ...] = ()
    """Allowed although not public: an intranet, or the loopback of tests."""
    denied_networks: tuple[Network, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """What the operator set."""
        return cls(
            schemes=frozenset(settings.url_schemes),
            ports=frozenset(settings.url_ports or (DEFAULT_PORTS[scheme] for scheme in settings.url_schemes)),
            allowed_hosts=settings.url_allowed_hosts,
            denied_hosts=settings.url_denied_hosts,
            allowed_networks=settings.url_allowed_networks,
            denied_networks=settings.url_denied_networks,
        )

    def check_url(self, url: str) -> Target:
        """Read `url` once and strictly; raises `Permanent('url_refused')` with a sentence that holds no secret."""
        if len(url) > MAX_URL_CHARACTERS:
            raise _refused(f"The URL is longer than {MAX_URL_CHARACTERS} characters.")
        if _UNREADABLE.search(url):
            raise _refused(
                "The URL holds a space, a backslash or a control character: write those as %20 and the like."
            )
        authority = url.partition("://")[2].partition("/")[0]
        if "@" in authority.partition("?")[0].partition("#")[0]:
            raise _refused("The URL holds a user name or a password: only URLs without one are allowed.")
        form = _FORM.fullmatch(url)
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            form = None
        if form is None or _FOREIGN_DOTS.search(form[1]):
            raise _refused(
                "The URL cannot be read: write it as https://host/path, with a name or a plain IP address as the host."
            )
        scheme, port = parsed.scheme, parsed.port
        if port is None:
            port = DEFAULT_PORTS.get(scheme, 0)
        return self.check_target(scheme, parsed.raw_host.decode("ascii"), port, parsed.raw_path)

    def check_target(self, scheme: str, host: str, port: int, resource: bytes = b"/") -> Target:
        """Check what was read already: of a CONNECT, or of a URL in parts. Raises as `check_url` does.

        An address as the host is checked too; a name's addresses are `Egress.resolve`'s to check.
        """
        if scheme not in self.schemes:
            raise _refused(
                f"The URL's scheme is {shown_host(scheme)}; allowed: {_listed(self.schemes)}.", scheme=scheme
            )
        target = Target(scheme, host.lower(), port, resource)
        address = target.address
        if address is None and not (_NAME.fullmatch(target.host) and len(target.host) <= _MAX_NAME_CHARACTERS):
            raise _refused(
                f"The URL's host, {shown_host(host)}, is neither a plain name nor a plain IP address.",
                host=shown_host(host),
            )
        if port not in self.ports:
            raise _refused(f"The URL's port is {port}; allowed: {_listed(map(str, self.ports))}.", port=port)
        if _among(target.host, self.denied_hosts) or (
            self.allowed_hosts and not _among(target.host, self.allowed_hosts)
        ):
            raise _refused(
                f"The host {shown_host(host)} is not one that this worker may fetch from.", host=shown_host(host)
            )
        if address is not None:
            self.check_address(address, target.host)
        return target

    def check_address(self, address: Address, host: str) -> Address:
        """The address to connect to for `host`, an IPv4-mapped one unwrapped; raises `Permanent('url_refused')`.

        The sentence does not hold the address of a name: it would tell of the network that the worker lives in.
        """
        address = plain(address)
        if _within(address, self.denied_networks):
            raise _refused(
                f"The host {shown_host(host)} has an address that this worker may not fetch from.",
                host=shown_host(host),
            )
        reason = forbidden_address(address)
        if reason is not None and not _within(address, self.allowed_networks):
            raise _refused(
                f"The host {shown_host(host)} leads to an address that is not public ({reason}); only public ones are "
                "allowed.",
                host=shown_host(host),
                reason=reason,
            )
        return address


def shown_host(host: str) -> str:
    """A user's host as it may stand in a sentence."""
    return host if len(host) <= _SHOWN_CHARACTERS else f"{host[:_SHOWN_CHARACTERS]}…"


def _refused(message: str, **params: object) -> Permanent:
    return Permanent("url_refused", message, params=params)


def _among(host: str, patterns: Sequence[str]) -> bool:
    return any(f".{host}".endswith(pattern) if pattern[0] == "." else host == pattern for pattern in patterns)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
