"""URLs by which a caller might try to have the server connect to what only the server reaches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hostile:
    """A URL, and what its host resolves to where that is a name."""

    url: str
    resolves_to: tuple[str, ...] = ()


_NAMES: dict[str, tuple[str, ...]] = {
    "localhost": ("127.0.0.1", "::1"),
    "LocalHost.": ("127.0.0.1",),
    "app.localhost": ("127.0.0.1",),
    "localhost.localdomain": ("127.0.0.1",),
    "ip6-localhost": ("::1",),
    "127.0.0.1.names.example": ("127.0.0.1",),
    "metadata.google.internal": ("169.254.169.254",),
    "printer": ("192.168.1.9",),
    "db.svc.cluster.local": ("10.96.0.10",),
    "many.example": ("10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "fd00::1"),
    "mapped.example": ("::ffff:127.0.0.1",),
    "compatible.example": ("::7f00:1",),
    "nat64.example": ("64:ff9b::7f00:1", "64:ff9b:1::a00:1"),
    "6to4.example": ("2002:7f00:1::1",),
    "teredo.example": ("2001:0:7f00:1::",),
    "scoped.example": ("fe80::1%2",),
    "broadcast.example": ("255.255.255.255",),
    # Names that are written so that a check and a resolver may read them differently.
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3": ("127.0.0.1",),  # localhost in circles
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54": ("127.0.0.1",),  # localhost in full width
    "127\u30020\u30020\u30021": ("127.0.0.1",),  # ideographic full stops
    "127\uff0e0\uff0e0\uff0e1": ("127.0.0.1",),
    "\uff11\uff12\uff17.0.0.1": ("127.0.0.1",),
    "loc\u00adalhost": ("127.0.0.1",),  # a soft hyphen, which nobody sees
    "localhost\u200b": ("127.0.0.1",),
    "xn--kgbechtv": ("127.0.0.1",),
}

_LITERALS = (
    *("127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.255.255.254", "0.0.0.0", "0", "0.1.2.3"),
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "0x7F.1", "0177.0.0.1", "017700000001", "127.0x0.0.1"),
    *("0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518", "0300.0250.1.1"),
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.100.100.200"),
    *("169.254.169.254", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1"),
    *("192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[::ffff:a9fe:a9fe]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]"),
    *("[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001::1]", "[2001:0:7f00:1::]"),
    *("[fe80::1]", "[fe80::1%25eth0]", "[fe80::1%252]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]"),
    *("[ff02::1]", "[ff0e::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]"),
)

_WHOLE = (
    "http://user:password@127.0.0.1/",
    "http://public.example:80@127.0.0.1/",
    "http://127.0.0.1:80\\@public.example/",
    "http://public.example\\@127.0.0.1/",
    "http://127.0.0.1#@public.example/",
    "http://127.0.0.1?@public.example/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1%00.public.example/",
    "http://127.0.0.1%2f.public.example/",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "http:///127.0.0.1/",
    " http://127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1\r\nhost: public.example/",
    "//127.0.0.1/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "unix:///var/run/docker.sock",
    "http+unix://%2fvar%2frun%2fdocker.sock/",
    "ws://127.0.0.1/",
    *(f"http://8.8.8.8:{port}/" for port in (0, 1, 22, 23, 25, 111, 445, 1023)),
    "http://8.8.8.8:65536/",
    "http://8.8.8.8:-80/",
    "https://8.8.8.8:0x16/",
    "http://[::1/",
    "http://[v1.127.0.0.1]/",
    "http:// /",
    "",
)

TABLE = (
    *(Hostile(f"{scheme}://{name}:8080/a", told) for name, told in _NAMES.items() for scheme in ("http", "https")),
    *(Hostile(f"http://{literal}/a") for literal in _LITERALS),
    *(Hostile(f"https://{literal}:8443/a") for literal in _LITERALS),
    *(Hostile(url, ("127.0.0.1",)) for url in _WHOLE),
)
