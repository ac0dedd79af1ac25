"""Which networks a document behind a URL may come from: one policy for senders who are not trusted, one for those who are.

An IPv4 address inside an IPv6 address (mapped, compatible, NAT64, 6to4, Teredo) counts as itself. The most specific line of a
table decides.
"""

import dataclasses
from ipaddress import ip_network
from typing import Final

from ssrfguard import DEFAULT_DENIED, AddressTable, Block, Policy, Reach

#: Networks that MINERU_SOURCE_ALLOW_PRIVATE opens: loopback, private use (RFC 1918, RFC 4193) and shared address space
#: (RFC 6598). Link-local addresses stay closed even then: cloud metadata lives there, documents do not.
PRIVATE_NETWORKS: Final = tuple(
    map(ip_network, ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)

#: What ssrfguard's table, made from IANA's registries, does not know: what clouds offer their own machines, at public or private
#: addresses that each cloud documents, and a form of IPv4 addresses in IPv6 that only translators on the way use (RFC 7915).
CLOUD_SERVICES: Final = {
    "168.63.129.16/32": "Azure's WireServer",
    "fd00:ec2::/32": "AWS's services for its machines, metadata and keys among them",
    "fd20:ce::254/128": "Google Cloud's metadata",
    "fd00:c1::a9fe:a9fe/128": "Oracle Cloud's metadata",
    "fd00:a9fe:a9fe::1/128": "Linode's metadata",
    "fd00:42::42/128": "Scaleway's metadata",
    "fd00:100::100:200/128": "Alibaba Cloud's metadata",
}
IPV4_TRANSLATED: Final = Block(ip_network("::ffff:0:0:0/96"), "IPv4-translated addresses", "RFC 7915", Reach.DENIED)

DENIED: Final = AddressTable(
    (
        *DEFAULT_DENIED.blocks,
        IPV4_TRANSLATED,
        *(Block(ip_network(network), name, "the cloud's manual", Reach.DENIED) for network, name in CLOUD_SERVICES.items()),
    )
)
#: With the private networks open; what has a line of its own within them, such as a cloud's metadata, stays denied.
DENIED_TO_TRUSTED: Final = AddressTable(
    tuple(
        dataclasses.replace(block, reach=Reach.PERMITTED) if block.network in PRIVATE_NETWORKS else block for block in DENIED.blocks
    )
)

#: Any port, since object stores listen on many (9000, 8333): it is the address that is checked. Credentials in a URL are
#: accepted, and go to that URL's own origin alone.
PUBLIC: Final = Policy(denied_networks=DENIED, allowed_ports=frozenset(range(1, 65536)), allow_userinfo=True)
TRUSTED: Final = dataclasses.replace(PUBLIC, denied_networks=DENIED_TO_TRUSTED)
