"""Settings: every mistake at once, no secret shown."""

from collections.abc import Mapping

import pytest

from sentinel_worker import settings
from sentinel_worker.errors import Fatal
from sentinel_worker.keys import Keys

GOOD = {"SUPABASE_URL": "http://127.0.0.1:54321/", "SUPABASE_SECRET_KEY": "sb_secret_x"}


def load(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> settings.Settings:
    for field in settings.Settings.model_fields:
        monkeypatch.delenv(settings.variable(field), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings.load()


def key_of(loaded: settings.Settings) -> tuple[str, str | None]:
    key = Keys(loaded).current
    return key.api_key, key.token


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(monkeypatch, GOOD)
    assert loaded.supabase_url == "http://127.0.0.1:54321"
    assert key_of(loaded) == ("sb_secret_x", None)
    assert loaded.detector_keys == ("video-large", "image-vit", "audio-xlsr")
    assert (loaded.lease_seconds, loaded.heartbeat_seconds, loaded.slots) == (60, 20, 8)


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
    }
    assert {line.split(":")[0] for line in lines} == expected


def test_a_mistake_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Fatal) as caught:
        load(monkeypatch, GOOD | {"SUPABASE_SECRET_KEY": "sb_secret_hidden", "SENTINEL_SLOTS": "0"})
    assert "hidden" not in str(caught.value)
    assert "sb_secret_x" not in repr(load(monkeypatch, GOOD))
