"""The registry as data: what is promised to users about each detector."""

from __future__ import annotations

import re

import pytest

from sentinel_worker.detectors.registry import DEFAULT_VIDEO_DETECTOR, DEMO_DETECTOR, DETECTORS, find_detector
from sentinel_worker.errors import Fatal


@pytest.mark.parametrize("key", DETECTORS)
def test_a_key_is_one_that_the_database_accepts(key: str) -> None:
    assert DETECTORS[key].key == key
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", key)


@pytest.mark.parametrize("spec", DETECTORS.values(), ids=str)
def test_a_revision_is_a_commit(spec: object) -> None:
    revision = getattr(spec, "revision", None)
    assert revision is None or re.fullmatch(r"[0-9a-f]{40}", revision)


def test_the_demo_is_not_the_default_and_says_what_it_is() -> None:
    assert DEFAULT_VIDEO_DETECTOR != DEMO_DETECTOR
    notice = find_detector(DEMO_DETECTOR).notice
    assert notice is not None
    assert "does not detect deepfakes" in notice


def test_the_default_says_that_it_is_not_for_commercial_use() -> None:
    spec = find_detector(DEFAULT_VIDEO_DETECTOR)
    assert spec.notice is not None
    assert "not for commercial use" in spec.notice
    assert spec.fake_indices == (0,)
    assert spec.window_policy.window_seconds(30) == pytest.approx(128 / 30)


def test_an_unknown_key_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(Fatal, match="video-large") as refused:
        find_detector("vide-large")
    assert refused.value.code == "unknown_detector"
