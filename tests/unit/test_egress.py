"""Destinations that users may send a worker to: addresses, URLs, and names that resolve to something else."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import h11
import idna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.sources.addresses import forbidden_address
from sentinel_worker.sources.egress import Egress, SystemLookUp
from sentinel_worker.sources.egress_policy import EgressPolicy, Target
from tests.matrix import examples

PUBLIC = "93.184.216.34"
DEFAULT = EgressPolicy()

FORBIDDEN = {
    "metadata": "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254",
    "unspecified": "0.0.0.0 0.1.2.3 ::",
    "loopback": "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1",
    "private": "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 fc00::1 fdff::1 fec0::1 ::ffff:10.0.0.1 ::10.0.0.1",
    "shared (carrier-grade NAT)": "100.64.0.1 100.127.255.255",
    "link-local": "169.254.1.1 fe80::1 fe80::1%eth0 febf::1 2001:4860::8888%1",
    "documentation": "192.0.2.1 198.51.100.7 203.0.113.9 2001:db8::1 3fff::1",
    "benchmarking": "198.18.0.1 198.19.255.255 2001:2::1",
    "multicast": "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
    "6to4": "192.88.99.1 2002:7f00:1:: 2002:5db8:d822::1",
    "Teredo": "2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "NAT64": "64:ff9b::7f00:1 64:ff9b::5db8:d822 64:ff9b:1::a00:1",
    "reserved": "192.0.0.8 240.0.0.1 255.255.255.255 2001:20::1 ::5db8:d822 ::ffff:0:7f00:1 100::1 5f00::1 4000::1",
}


@pytest.mark.parametrize(("address", "reason"), [(one, why) for why, all_ in FORBIDDEN.items() for one in all_.split()])
def test_an_address_that_is_not_public_is_forbidden_and_named(address: str, reason: str) -> None:
    expected = "metadata" if address == "::ffff:169.254.169.254" else reason
    assert forbidden_address(ip_address(address)) == expected


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "198.17.0.1",
     "223.255.255.255", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450:4001::200e", "::ffff:93.184.216.34"],
)  # fmt: skip
def test_a_public_address_is_allowed(address: str) -> None:
    assert forbidden_address(ip_address(address)) is None


def refusal(url: str, policy: EgressPolicy = DEFAULT) -> str:
    with pytest.raises(Permanent) as caught:
        policy.check_url(url)
    assert caught.value.code == "url_refused"
    return caught.value.message


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.org/a/film.mp4?x=1#part", Target("https", "example.org", 443, b"/a/film.mp4?x=1")),
        ("HTTPS://Example.ORG", Target("https", "example.org", 443, b"/")),
        ("https://example.org:443?q", Target("https", "example.org", 443, b"/?q")),
        ("https://bücher.example/ü", Target("https", "xn--bcher-kva.example", 443, b"/%C3%BC")),
        (f"https://{PUBLIC}/", Target("https", PUBLIC, 443, b"/")),
        ("https://[2606:4700::1111]/", Target("https", "2606:4700::1111", 443, b"/")),
        ("https://my_bucket.example.org/", Target("https", "my_bucket.example.org", 443, b"/")),
    ],
)
def test_a_plain_url_is_read(url: str, target: Target) -> None:
    assert DEFAULT.check_url(url) == target


NUMBERS = ["2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.0x1", "127.1", "127.0.1", "0177.0.0.1", "017700000001",
           "127.0.0.01", "0127.0.0.1", "1.2.3", "127.0.0.1.0", "256.0.0.1", "a.0x7f", "foo.1"]  # fmt: skip
NAMES = ["127.0.0.1.", "example.org.", "example..org", ".example.org", "-a.org", "a-.org", "exa mple.org", "%31.org",
         "127%2e0%2e0%2e1", "example.org%00.evil", "a" * 64 + ".org", ".".join(["a" * 60] * 5), "exa$mple.org", "*",
         "a,b.org"]  # fmt: skip
UNICODE = ["１２７.0.0.1", "127。0。0。1", "127．0．0．1", "example。org", "①②⑦.0.0.1", "℡.org", "exa\u200bmple.org",
           "exam\u00adple.org", "\u2060example.org", "ⓔxample.org", "example.org\u202e", "٣.org",
           "\ud800.org", "ex\u3000.org"]  # fmt: skip
IPV6 = [
    "[::1%25lo]",
    "[fe80::1%eth0]",
    "[::1",
    "::1",
    "[::1]x",
    "[[::1]]",
    "[127.0.0.1]",
    "[v1.x]",
    "[]",
    "[::ffff:0x7f.1]",
]


@pytest.mark.parametrize("host", NUMBERS + NAMES + UNICODE + IPV6)
def test_a_host_in_another_spelling_is_refused(host: str) -> None:
    assert refusal(f"https://{host}/")
    everything = EgressPolicy(allowed_networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert refusal(f"https://{host}/", everything)


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "//example.org/", "https:example.org", "https:/example.org", "https:///example.org", "https://",
     "https://:443/", "https:\\\\example.org", "https://example.org\\@127.0.0.1/", "https://example.org\t/", "https://exam\nple.org/",
     " https://example.org/", "https://example.org/ a", "https://example.org/\x00", "https://example.org/\r\nHost: x",
     "https://example.org:/", "https://example.org:-1/", "https://example.org:+443/", "https://example.org:4_43/",
     "https://example.org:４４３/", "https://example.org:443:443/", "https://example.org:65536/", "https://example.org:0/",
     "https://example.org/" + "a" * 9000, "https://exa\ufeffmple.org/"],
)  # fmt: skip
def test_what_two_readers_could_read_differently_is_refused(url: str) -> None:
    assert refusal(url)


@pytest.mark.parametrize("user", ["user", "user:secret", ":secret", "", "good.example%40", "a:b@c", "127.0.0.1"])
def test_credentials_are_refused_and_not_repeated(user: str) -> None:
    message = refusal(f"https://{user}@example.org/?token=hidden#hidden")
    assert "password" in message
    assert "secret" not in message
    assert "hidden" not in message


def test_an_at_sign_elsewhere_is_not_a_credential() -> None:
    for url in ("https://example.org/@user", "https://example.org?a@b", "https://example.org/?a@b"):
        assert DEFAULT.check_url(url).host == "example.org"


@pytest.mark.parametrize("scheme", ["http", "ftp", "file", "gopher", "data", "ws", "HTTP"])
def test_another_scheme_is_refused_by_its_name(scheme: str) -> None:
    message = refusal(f"{scheme}://example.org/?token=hidden")
    assert scheme.lower() in message
    assert "https" in message
    assert "hidden" not in message


@pytest.mark.parametrize("port", [1, 22, 80, 8443, 5432, 65535])
def test_another_port_is_refused_by_its_number(port: int) -> None:
    message = refusal(f"https://example.org:{port}/")
    assert str(port) in message
    assert "443" in message


def test_hosts_are_allowed_and_denied_by_name_and_suffix() -> None:
    policy = EgressPolicy(
        allowed_hosts=("media.example", ".cdn.example"), denied_hosts=(".bad.cdn.example", "b.cdn.example")
    )
    for host in ("media.example", "MEDIA.example", "cdn.example", "a.cdn.example", "a.b.cdn.example"):
        assert policy.check_url(f"https://{host}/").host == host.lower()
    for host in ("x.media.example", "notcdn.example", "b.cdn.example", "bad.cdn.example", "x.bad.cdn.example", PUBLIC):
        assert "This worker is not allowed to fetch from the host" in refusal(f"https://{host}/", policy)


def test_networks_open_and_close() -> None:
    policy = EgressPolicy(
        allowed_networks=(ip_network("10.1.0.0/16"),),
        denied_networks=(ip_network("10.1.9.0/24"), ip_network("93.0.0.0/8")),
    )
    assert policy.check_url("https://10.1.0.1/").address == ip_address("10.1.0.1")
    for host in ("10.1.9.1", "10.2.0.1", PUBLIC, f"[::ffff:{PUBLIC}]", "[::ffff:10.1.9.1]"):
        assert refusal(f"https://{host}/", policy)


class Names:
    """A resolver for tests that counts its look-ups."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


TARGET = Target("https", "example.org", 443)


async def test_a_name_is_looked_up_once_and_gives_checked_addresses() -> None:
    names = Names([PUBLIC, PUBLIC, f"::ffff:{PUBLIC}", "2606:4700::1111"], ["127.0.0.1"])
    assert await Egress(DEFAULT, names).resolve(TARGET) == (ip_address(PUBLIC), ip_address("2606:4700::1111"))
    assert names.asked == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "fe80::1%2", "::"])
async def test_one_forbidden_address_refuses_them_all_and_is_not_told(address: str) -> None:
    with pytest.raises(Permanent) as caught:
        await Egress(DEFAULT, Names([PUBLIC, address])).resolve(TARGET)
    assert caught.value.code == "url_refused"
    assert "example.org" in caught.value.message
    assert address not in caught.value.message


async def test_an_address_needs_no_look_up() -> None:
    names = Names()
    assert await Egress(DEFAULT, names).resolve(Target("https", PUBLIC, 443)) == (ip_address(PUBLIC),)
    with pytest.raises(Permanent):
        await Egress(DEFAULT, names).resolve(Target("https", "127.0.0.1", 443))
    assert names.asked == 0


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Permanent, "url_host_unknown"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), Transient, "url_unreachable"),
        (OSError("no network"), Transient, "url_unreachable"),
        ([], Permanent, "url_host_unknown"),
    ],
)
async def test_a_name_that_does_not_resolve(
    answer: Sequence[str] | OSError, error: type[Permanent] | type[Transient], code: str
) -> None:
    with pytest.raises(error) as caught:
        await Egress(DEFAULT, Names(answer)).resolve(TARGET)
    assert caught.value.code == code


async def test_a_name_whose_servers_never_answer() -> None:
    async def silence(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return [PUBLIC]

    with pytest.raises(Transient) as caught:
        await asyncio.wait_for(Egress(DEFAULT, silence, resolve_seconds=0.05).resolve(TARGET), 5)
    assert caught.value.code == "url_unreachable"


async def test_look_ups_that_nobody_waits_for_any_more_are_bounded() -> None:
    """Their threads continue in the C library, which cannot be interrupted."""
    answered = threading.Event()

    def silence(host: str, port: int) -> Sequence[str]:
        assert answered.wait(60)
        return [PUBLIC]

    egress = Egress(DEFAULT, SystemLookUp(silence, in_flight=2), resolve_seconds=0.05)
    before = threading.active_count()
    for code in ("url_unreachable", "url_unreachable", "worker_busy", "worker_busy"):
        with pytest.raises(Transient, match=code):
            await egress.resolve(TARGET)
    assert threading.active_count() == before + 2
    threads = [thread for thread in threading.enumerate() if thread.name == "look-up"]
    answered.set()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert await Egress(DEFAULT, egress.look_up).resolve(TARGET) == (ip_address(PUBLIC),)


def test_a_look_up_does_not_keep_a_worker_from_stopping() -> None:
    program = (
        "import asyncio, threading; from sentinel_worker.sources.egress import SystemLookUp; "
        "ask = SystemLookUp(lambda host, port: threading.Event().wait()); "
        "waited = lambda: asyncio.wait_for(ask('example.org', 443), 0.1)\n"
        "try: asyncio.run(waited())\nexcept TimeoutError: print('given up')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == ("given up\n", "")


async def test_the_systems_own_look_up_is_checked() -> None:
    with pytest.raises(Permanent, match="loopback"):
        await Egress(DEFAULT).resolve(Target("https", "localhost", 443))


HOSTILE = st.text(st.sampled_from("abz019.-_:/@\\?#%[]x١。．①\u200b\u00ad \t\n&;=+~é"), max_size=40)
PLAUSIBLE = st.text(st.sampled_from("abx0179.-_"), min_size=1, max_size=20)


@given(
    st.one_of(
        PLAUSIBLE.map("https://{}/a?b".format),
        HOSTILE,
        HOSTILE.map("https://{}".format),
        HOSTILE.map("https://a{}/film.mp4".format),
    )
)
@settings(max_examples=examples(2000, thin=200), deadline=None)
def test_what_is_accepted_is_read_alike_by_every_reader(url: str) -> None:
    """An accepted URL means the same to urllib, has no numeric host to the C library, and can be sent unchanged."""
    with suppress(Permanent):  # no other error
        target = DEFAULT.check_url(url)
        other = urlsplit(url)
        assert (other.username, other.password) == (None, None)
        assert other.port in (None, target.port)
        if target.address is None:
            name = other.hostname or ""
            assert target.host == (name if name.isascii() else idna.encode(name).decode())
            with pytest.raises(OSError, match="illegal IP address"):
                socket.inet_aton(target.host)
        h11.Request(method="GET", target=target.resource, headers=[("host", target.authority)])
