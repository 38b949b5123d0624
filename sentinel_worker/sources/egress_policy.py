"""URLs and addresses that a worker may connect to for its users: parsed once and strictly, without any traffic."""

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
"""A row holds 2,048; redirects to signed URLs are longer."""
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# Refuse everything that two URL parsers could read differently: user names, backslashes, empty ports, zones, signs.
_FORM: Final = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^][/?#:@%]+)(:[0-9]{1,5})?([/?#].*)?", re.IGNORECASE)
_UNREADABLE: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ufeff\ud800-\udfff]")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# A last label that begins with a digit is a way to spell an IPv4 address: 2130706433, 0x7f.1, 127.1.
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*[a-z](?:[a-z0-9_-]{{0,61}}[a-z0-9_])?")
_MAX_NAME_CHARACTERS: Final = 253
_SHOWN_CHARACTERS: Final = 80
_FOREIGN_DOTS: Final = re.compile("[\u3002\uff0e\uff61]")


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a checked URL. `resource` is path and query, which may contain secrets."""

    scheme: str
    host: str
    """A name in lower-case ASCII, or an address without brackets."""
    port: int
    resource: bytes = field(default=b"/", repr=False)

    @property
    def authority(self) -> str:
        """Host and port as in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL without its query."""
        return f"{self.scheme}://{self.authority}{self.resource.partition(b'?')[0].decode('ascii')}"

    @property
    def address(self) -> Address | None:
        """The host as an address, or None if it is a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Rules for URLs. A host is a name, or `.name` for that name and its subdomains; denials win."""

    schemes: frozenset[str] = frozenset({"https"})
    ports: Collection[int] = frozenset({443})
    allowed_hosts: tuple[str, ...] = ()
    """Empty: all hosts that are not denied."""
    denied_hosts: tuple[str, ...] = ()
    allowed_networks: tuple[Network, ...] = ()
    """Networks allowed although not public: an intranet, or the loopback interface in tests."""
    denied_networks: tuple[Network, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the operator's policy."""
        return cls(
            schemes=frozenset(settings.url_schemes),
            ports=frozenset(settings.url_ports or (DEFAULT_PORTS[scheme] for scheme in settings.url_schemes)),
            allowed_hosts=settings.url_allowed_hosts,
            denied_hosts=settings.url_denied_hosts,
            allowed_networks=settings.url_allowed_networks,
            denied_networks=settings.url_denied_networks,
        )

    def check_url(self, url: str) -> Target:
        """Parse `url` once and strictly. Raises `Permanent('url_refused')`, whose sentence contains no secret."""
        if len(url) > MAX_URL_CHARACTERS:
            raise _refused(f"The URL is longer than {MAX_URL_CHARACTERS} characters.")
        if _UNREADABLE.search(url):
            raise _refused(
                "The URL contains a space, a backslash or a control character: percent-encode it (a space is %20)."
            )
        authority = url.partition("://")[2].partition("/")[0]
        if "@" in authority.partition("?")[0].partition("#")[0]:
            raise _refused("The URL contains a user name or a password: remove it.")
        form = _FORM.fullmatch(url)
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            form = None
        if form is None or _FOREIGN_DOTS.search(form[1]):
            raise _refused(
                "The URL is invalid: write it as https://host/path, where host is a name or a plain IP address."
            )
        scheme, port = parsed.scheme, parsed.port
        if port is None:
            port = DEFAULT_PORTS.get(scheme, 0)
        return self.check_target(scheme, parsed.raw_host.decode("ascii"), port, parsed.raw_path)

    def check_target(self, scheme: str, host: str, port: int, resource: bytes = b"/") -> Target:
        """Check a target that is already parsed: from a CONNECT, or from a URL's parts. Raises like `check_url`.

        If the host is an address, it is checked too. `Egress.resolve` checks the addresses of a name.
        """
        if scheme not in self.schemes:
            raise _refused(
                f"The URL's scheme is {shown_host(scheme)}; allowed: {_listed(self.schemes)}.", scheme=scheme
            )
        target = Target(scheme, host.lower(), port, resource)
        address = target.address
        if address is None and not (_NAME.fullmatch(target.host) and len(target.host) <= _MAX_NAME_CHARACTERS):
            raise _refused(
                f"The URL's host, {shown_host(host)}, is not a valid host name or plain IP address.",
                host=shown_host(host),
            )
        if port not in self.ports:
            raise _refused(f"The URL's port is {port}; allowed: {_listed(map(str, self.ports))}.", port=port)
        if _among(target.host, self.denied_hosts) or (
            self.allowed_hosts and not _among(target.host, self.allowed_hosts)
        ):
            raise _refused(
                f"This worker is not allowed to fetch from the host {shown_host(host)}.", host=shown_host(host)
            )
        if address is not None:
            self.check_address(address, target.host)
        return target

    def check_address(self, address: Address, host: str) -> Address:
        """Return the address to connect to for `host`, unwrapped if IPv4-mapped. Raises `Permanent('url_refused')`.

        The sentence does not contain the address of a name, which would reveal the worker's network.
        """
        address = plain(address)
        if _within(address, self.denied_networks):
            raise _refused(
                f"The host {shown_host(host)} has an address that this worker is not allowed to fetch from.",
                host=shown_host(host),
            )
        reason = forbidden_address(address)
        if reason is not None and not _within(address, self.allowed_networks):
            raise _refused(
                f"The host {shown_host(host)} has an address that is not public ({reason}): only public addresses are "
                "allowed.",
                host=shown_host(host),
                reason=reason,
            )
        return address


def shown_host(host: str) -> str:
    """Shorten a user's host for a sentence."""
    return host if len(host) <= _SHOWN_CHARACTERS else f"{host[:_SHOWN_CHARACTERS]}…"


def _refused(message: str, **params: object) -> Permanent:
    return Permanent("url_refused", message, params=params)


def _among(host: str, patterns: Sequence[str]) -> bool:
    return any(f".{host}".endswith(pattern) if pattern[0] == "." else host == pattern for pattern in patterns)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
