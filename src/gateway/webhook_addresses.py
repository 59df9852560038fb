"""Which IP addresses are of the open internet: what strangers may have us connect to.

The lists are those of IANA's special-purpose registries. What carries an IPv4 address inside, such
as 6to4 and Teredo, is refused whatever it carries: a translator near us may take it to one of ours.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_IPV4_NEARER = tuple(
    IPv4Network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments, some of which the standard library lets pass
        "192.88.99.0/24",  # relays of 6to4
        "224.0.0.0/3",  # multicast, and what is reserved
    )
)
# Nothing else of IPv6 is handed out; local, mapped, translated and future addresses lie outside.
_IPV6_HANDED_OUT = IPv6Network("2000::/3")
_IPV6_NEARER = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, identifiers
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3ffe::/16",  # a test network of the past
        "3fff::/20",  # documentation
    )
)


def is_public(text: str) -> bool:
    """Tell whether an IP address is one of the open internet, and of nothing nearer.

    Raises:
        ValueError: it is no IP address.
    """
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # This machine connects to it as to the IPv4 address.
        address = address.ipv4_mapped
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _IPV4_NEARER)
    return (
        address.is_global
        and address in _IPV6_HANDED_OUT
        and not any(address in network for network in _IPV6_NEARER)
    )
