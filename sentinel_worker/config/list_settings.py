"""List settings: items separated by commas, with optional spaces, each validated when it is read."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

_HOST = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*")
_PORTS = range(1, 2**16)
_SITE = re.compile(r"[a-z0-9][a-z0-9._:-]*")
_NO_SITES = frozenset({"generic", "all", "default", "end"})


def _items(value: object) -> object:
    return tuple(item.strip() for item in value.split(",")) if isinstance(value, str) else value


def _unless_none(value: object) -> object:
    return () if value == "none" else _items(value)


def _host(value: str) -> str:
    host = value.lower()
    if not _HOST.fullmatch(host):
        raise ValueError(
            f"{value!r} is not a valid host: write example.org, .example.org (with all its subdomains) or an address"
        )
    return host


def _port(value: str | int) -> int:
    if not str(value).isdecimal() or int(value) not in _PORTS:
        raise ValueError(f"{value!r} is not a valid port: write numbers from 1 to 65535")
    return int(value)


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not a valid network: write 10.1.0.0/16, 2001:db8::/32 or an address") from error


def _site(value: str) -> str:
    site = value.lower()
    if site in _NO_SITES or not _SITE.fullmatch(site):
        raise ValueError(
            f"{value!r} is not a valid site: write names of yt-dlp extractors such as youtube, never generic"
        )
    return site


_Split = BeforeValidator(_items)

UrlSources = Annotated[tuple[Literal["direct", "social"], ...], NoDecode, BeforeValidator(_unless_none)]
Schemes = Annotated[tuple[Literal["https", "http"], ...], NoDecode, _Split]
Ports = Annotated[tuple[Annotated[int, BeforeValidator(_port)], ...], NoDecode, _Split]
Hosts = Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], NoDecode, _Split]
Networks = Annotated[tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...], NoDecode, _Split]
Sites = Annotated[tuple[Annotated[str, AfterValidator(_site)], ...], NoDecode, _Split]
