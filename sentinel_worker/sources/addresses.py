"""IP addresses that are not on the public internet, and why.

The tables are IANA's special-purpose registries (RFC 6890 and later additions), plus the metadata addresses at which
clouds serve credentials to their machines. Python's own `is_global` differs from release to release.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The first matching entry gives the reason, so narrow networks precede wide ones.
_FORBIDDEN: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), reason)
    for reason, networks in (
        ("metadata", "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 168.63.129.16 192.0.0.192"),
        ("metadata", "fd00:ec2::254 fd00:ec2::23 fd20:ce::254"),
        ("unspecified", "0.0.0.0/8 ::/128"),
        ("loopback", "127.0.0.0/8 ::1/128"),
        ("private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10"),
        ("shared (carrier-grade NAT)", "100.64.0.0/10"),
        ("link-local", "169.254.0.0/16 fe80::/10"),
        ("documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
        ("benchmarking", "198.18.0.0/15 2001:2::/48"),
        ("multicast", "224.0.0.0/4 ff00::/8"),
        ("6to4", "192.88.99.0/24 2002::/16"),
        ("Teredo", "2001::/32"),
        ("NAT64", "64:ff9b::/96 64:ff9b:1::/48"),
        ("reserved", "192.0.0.0/24 240.0.0.0/4 2001::/23"),
    )
    for network in networks.split()
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_IPV4_COMPATIBLE: Final = IPv6Network("::/96")


def plain(address: Address) -> Address:
    """Unwrap an IPv4-mapped address: a connection would go to the IPv4 address inside."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def forbidden_address(address: Address) -> str | None:
    """Return the reason why `address` is not public (`loopback`, `private`, `metadata`, …), or None if it is public.

    An IPv4-mapped or IPv4-compatible address is judged by the IPv4 address inside. IPv4-compatible addresses are
    unreachable, so they are always refused. So is every IPv6 address outside 2000::/3, including scoped ones.
    """
    address = plain(address)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "link-local"
    for network, reason in _FORBIDDEN:
        if address.version == network.version and address in network:
            return reason
    if isinstance(address, IPv4Address) or address in _GLOBAL_IPV6:
        return None
    if address in _IPV4_COMPATIBLE:
        return forbidden_address(IPv4Address(int(address))) or "reserved"
    return "reserved"
