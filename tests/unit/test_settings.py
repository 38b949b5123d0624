"""Settings: every mistake at once, no secret shown."""

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from sentinel_worker.config import settings
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.windows import CoverageRule
from sentinel_worker.sources.egress_policy import EgressPolicy
from sentinel_worker.sources.url import UrlRules
from sentinel_worker.supabase_client.keys import WorkerKeys

GOOD = {"SUPABASE_URL": "http://127.0.0.1:54321/", "SUPABASE_SECRET_KEY": "sb_secret_x"}


def load(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> settings.Settings:
    for field in settings.Settings.model_fields:
        monkeypatch.delenv(settings.variable(field), raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings.load()


def key_of(loaded: settings.Settings) -> tuple[str, str | None]:
    key = WorkerKeys(loaded).current
    return key.api_key, key.token


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(monkeypatch, GOOD)
    assert loaded.supabase_url == "http://127.0.0.1:54321"
    assert key_of(loaded) == ("sb_secret_x", None)
    assert loaded.detector_keys == ("video-large", "image-vit", "audio-xlsr")
    assert (loaded.lease_seconds, loaded.heartbeat_seconds, loaded.slots) == (60, 20, 16)


def test_a_publishable_key_needs_a_worker_jwt(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {
        "SUPABASE_URL": "https://x.example",
        "SUPABASE_PUBLISHABLE_KEY": "sb_p",
        "SENTINEL_WORKER_JWT": "jwt",
    }
    loaded = load(monkeypatch, both)
    assert key_of(loaded) == ("sb_p", "jwt")
    with pytest.raises(Fatal, match="SUPABASE_SECRET_KEY"):
        load(monkeypatch, {name: value for name, value in both.items() if name != "SENTINEL_WORKER_JWT"})


def test_every_mistake_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {
        "SUPABASE_URL": "ftp://x",
        "SENTINEL_LEASE_SECONDS": "30",
        "SENTINEL_HEARTBEAT_SECONDS": "20",
        "SENTINEL_SLOTS": "none",
        "SENTINEL_LOG_LEVEL": "loud",
        "SENTINEL_DETECTORS": "/does/not/exist",
        "SENTINEL_DETECTOR": "demo,demo",
        "SENTINEL_MAX_GAP_SECONDS": "120",
        "SENTINEL_REAL_MAX_GAP_SECONDS": "100",
        "SENTINEL_MAX_WINDOWS": "0",
    }
    with pytest.raises(Fatal) as caught:
        load(monkeypatch, bad)
    lines = caught.value.message.splitlines()
    expected = {
        "SUPABASE_URL",
        "SENTINEL_WORKER_JWT",
        "SENTINEL_HEARTBEAT_SECONDS",
        "SENTINEL_SLOTS",
        "SENTINEL_LOG_LEVEL",
        "SENTINEL_DETECTORS",
        "SENTINEL_DETECTOR",
        "SENTINEL_REAL_MAX_GAP_SECONDS",
        "SENTINEL_MAX_WINDOWS",
    }
    assert {line.split(":")[0] for line in lines} == expected


def test_a_detectors_file_that_cannot_be_read_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Fatal, match="SENTINEL_DETECTORS: cannot be read: File name too long"):
        load(monkeypatch, GOOD | {"SENTINEL_DETECTORS": "x" * 300})


def test_gaps_are_set_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, GOOD).coverage == CoverageRule(60, 40, 180)
    chosen = {"SENTINEL_MAX_GAP_SECONDS": "30", "SENTINEL_MAX_WINDOWS": "8", "SENTINEL_REAL_MAX_GAP_SECONDS": "30"}
    assert load(monkeypatch, GOOD | chosen).coverage == CoverageRule(30, 8, 30)
    with pytest.raises(
        Fatal, match=r"SENTINEL_REAL_MAX_GAP_SECONDS: must be at least SENTINEL_MAX_GAP_SECONDS \(200\)"
    ):
        load(monkeypatch, GOOD | {"SENTINEL_MAX_GAP_SECONDS": "200"})


def test_a_mistake_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Fatal) as caught:
        load(monkeypatch, GOOD | {"SUPABASE_SECRET_KEY": "sb_secret_hidden", "SENTINEL_SLOTS": "0"})
    assert "hidden" not in str(caught.value)
    assert "sb_secret_x" not in repr(load(monkeypatch, GOOD))


def secret_file(path: Path, text: str = "sb_secret_from_a_file\n") -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


URL = {"SUPABASE_URL": "https://x.example"}


def test_a_key_comes_from_a_file_or_from_a_credential(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded = load(monkeypatch, URL | {"SUPABASE_SECRET_KEY_FILE": secret_file(tmp_path / "key")})
    assert key_of(loaded) == ("sb_secret_from_a_file", None)
    assert loaded.secret_paths == {"secret_key": tmp_path / "key"}
    assert "sb_secret_from" not in repr(loaded)

    secret_file(tmp_path / "SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x")
    secret_file(tmp_path / "SENTINEL_WORKER_JWT", "a.b.c")
    loaded = load(monkeypatch, URL | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert key_of(loaded) == ("sb_publishable_x", "a.b.c")
    assert loaded.secret_paths["worker_jwt"] == tmp_path / "SENTINEL_WORKER_JWT"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SUPABASE_SECRET_KEY": "x", "SUPABASE_SECRET_KEY_FILE": "KEY"}, "SUPABASE_SECRET_KEY: is set, and so is"),
        ({"SENTINEL_WORKER_JWT": "x", "CREDENTIALS_DIRECTORY": "."}, "SENTINEL_WORKER_JWT: is set, and so is"),
        ({"SENTINEL_WORKER_JWT_FILE": "KEY", "CREDENTIALS_DIRECTORY": "."}, "SENTINEL_WORKER_JWT_FILE: is set, and"),
        ({"SUPABASE_SECRET_KEY_FILE": "missing"}, "cannot be read: No such file or directory"),
        ({"SUPABASE_SECRET_KEY_FILE": "empty"}, "is empty"),
        ({"SUPABASE_SECRET_KEY_FILE": "two"}, "contains more than a key: write only the key, on one line"),
        ({"SUPABASE_SECRET_KEY_FILE": "."}, "cannot be read: Is a directory"),
    ],
)
def test_a_key_that_is_given_twice_or_not_at_all_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"KEY": "file-secret-1", "SENTINEL_WORKER_JWT": "a.b.c", "empty": "\n", "two": "a\nb"}.items():
        secret_file(tmp_path / name, text)
    with pytest.raises(Fatal, match=said) as caught:
        load(monkeypatch, URL | environment)
    assert "file-secret" not in caught.value.message


@pytest.mark.parametrize("url", ["http://10.0.0.1", "http://kong:8000", "http://supabase.example"])
def test_plain_http_leaves_this_machine_only_when_it_is_allowed(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(Fatal, match="SUPABASE_URL: http:// would send the key unencrypted"):
        load(monkeypatch, GOOD | {"SUPABASE_URL": url})
    assert load(monkeypatch, GOOD | {"SUPABASE_URL": url, "SENTINEL_ALLOW_PLAIN_HTTP": "true"}).supabase_url == url


@pytest.mark.parametrize(
    "url", ["http://localhost:54321", "http://127.0.0.2", "http://[::1]:54321", "https://x.example"]
)
def test_addresses_that_need_no_permission(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert load(monkeypatch, GOOD | {"SUPABASE_URL": url}).supabase_url == url


@pytest.mark.parametrize(
    "url", ["https://", "https://:443", "https://x:0", "https://x:65536", "https://x:443a", "https://[::1"]
)
def test_an_address_that_nobody_can_have_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(Fatal, match="SUPABASE_URL: "):
        load(monkeypatch, GOOD | {"SUPABASE_URL": url})


@pytest.mark.parametrize("url", ["https://user:hidden-pw@x.example", "https://x.example?token=hidden-pw"])
def test_an_address_with_a_secret_is_refused_without_it(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(Fatal, match="SUPABASE_URL: must be a bare address") as caught:
        load(monkeypatch, GOOD | {"SUPABASE_URL": url})
    assert "hidden" not in caught.value.message


def test_the_environment_forgets_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, GOOD | {"SENTINEL_WORKER_JWT": "a.b.c", "SENTINEL_DB_URL": "postgresql://u:p@h/d"})
    settings.forget_environment()
    assert not {"SUPABASE_SECRET_KEY", "SENTINEL_WORKER_JWT", "SENTINEL_DB_URL"} & set(os.environ)


def test_lists_of_urls_are_read_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(monkeypatch, GOOD)
    assert EgressPolicy.from_settings(loaded) == EgressPolicy()
    lists = {
        "SENTINEL_URL_SCHEMES": "http, https",
        "SENTINEL_URL_ALLOWED_HOSTS": "Media.example,.cdn.example",
        "SENTINEL_URL_DENIED_HOSTS": "192.0.2.1",
        "SENTINEL_URL_ALLOWED_NETWORKS": "10.1.0.0/16, ::1",
        "SENTINEL_URL_MIN_BYTES_PER_SECOND": "1000",
        "SENTINEL_URL_SOURCES": "none",
    }
    loaded = load(monkeypatch, GOOD | lists)
    policy = EgressPolicy.from_settings(loaded)
    assert policy.schemes == {"http", "https"}
    assert set(policy.ports) == {80, 443}
    assert policy.allowed_hosts == ("media.example", ".cdn.example")
    assert policy.denied_hosts == ("192.0.2.1",)
    assert policy.allowed_networks == (ip_network("10.1.0.0/16"), ip_network("::1"))
    assert UrlRules.from_settings(loaded).minimum_speed.floor_bytes == 30_000
    assert loaded.url_sources == ()
    assert EgressPolicy.from_settings(load(monkeypatch, GOOD | {"SENTINEL_URL_PORTS": "8443"})).ports == frozenset(
        {8443}
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCHEMES", "https,ftp"),
        ("SCHEMES", "https,"),
        ("SOURCES", "direct,none"),
        ("PORTS", "443,0"),
        ("PORTS", "65536"),
        ("PORTS", "https"),
        ("ALLOWED_HOSTS", "https://example.org"),
        ("ALLOWED_HOSTS", "*.example.org"),
        ("DENIED_HOSTS", "example.org."),
        ("ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("DENIED_NETWORKS", "example.org"),
    ],
)
def test_a_list_with_a_mistake_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(Fatal) as caught:
        load(monkeypatch, GOOD | {f"SENTINEL_URL_{name}": value})
    (line,) = caught.value.message.splitlines()
    assert line.startswith(f"SENTINEL_URL_{name}: ")


@pytest.mark.parametrize("value", ["generic", "youtube,Generic", "all", "default", "youtube,", ".*", "youtube:(x)"])
def test_sites_are_named_one_by_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(Fatal, match="SENTINEL_SOCIAL_EXTRACTORS: "):
        load(monkeypatch, GOOD | {"SENTINEL_SOCIAL_EXTRACTORS": value})
