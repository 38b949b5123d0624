"""The registry as data: its promises to users about each detector."""

from __future__ import annotations

import re

import pytest

from sentinel_worker.detectors.registry import DEFAULT_DETECTORS, DEMO_DETECTORS, DETECTORS, DetectorSpec, find_detector
from sentinel_worker.domain.errors import Fatal


@pytest.mark.parametrize("key", DETECTORS)
def test_a_key_is_one_that_the_database_accepts(key: str) -> None:
    assert DETECTORS[key].key == key
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", key)


@pytest.mark.parametrize("spec", DETECTORS.values(), ids=lambda spec: spec.key)
def test_an_entry_is_whole(spec: DetectorSpec) -> None:
    assert spec.revision is None or re.fullmatch(r"[0-9a-f]{40}", spec.revision)
    assert (spec.repository is None) != (spec.folder is None)
    assert (spec.fake_indices is None) == (spec.fake_indices_source is None)
    assert spec.commercial_use or spec.notice, "users are told why commercial use is excluded"
    assert not spec.remote_code, "only an operator may allow a checkpoint's code"
    assert spec.task in {spec.media_kind, "image"}
    assert spec.window_policy.frames == 1 or spec.task != "image"


@pytest.mark.parametrize("keys", [DEFAULT_DETECTORS, DEMO_DETECTORS])
def test_the_defaults_and_the_demo_answer_each_kind(keys: tuple[str, ...]) -> None:
    assert [find_detector(key).media_kind for key in keys] == ["video", "image", "audio"]


@pytest.mark.parametrize("key", DEMO_DETECTORS)
def test_the_demo_is_no_default_and_says_what_it_does_not_detect(key: str) -> None:
    assert key not in DEFAULT_DETECTORS
    notice = find_detector(key).notice
    assert notice is not None
    assert "does not detect deepfakes" in notice


def test_the_default_for_video_is_read_as_its_author_trained_it() -> None:
    spec = find_detector(DEFAULT_DETECTORS[0])
    assert spec.notice is not None
    assert "not for commercial use" in spec.notice
    assert not spec.commercial_use
    assert spec.fake_indices == (0,)
    assert spec.faces is not None
    assert spec.window_policy.window_seconds(30) == pytest.approx(128 / 30)
    assert (spec.window_policy.budget, spec.window_policy.refine) == (8, 2)


def test_the_inverted_labels_of_the_image_model_are_turned_for_pictures_and_for_frames() -> None:
    image, frames = find_detector("image-vit"), find_detector("frames")
    assert image.repository == frames.repository
    assert image.fake_indices == frames.fake_indices == (0,)
    assert "accuracy" in (image.fake_indices_source or "")
    assert (image.media_kind, frames.media_kind) == ("image", "video")
    assert frames.window_policy.budget == 16


def test_a_window_of_sound_has_about_four_seconds() -> None:
    for key in ("audio-xlsr", "audio-arena"):
        spec = find_detector(key)
        assert spec.window_policy.window_seconds(spec.sample_rate) == pytest.approx(4, abs=0.1)


def test_an_unknown_key_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(Fatal, match="video-large") as refused:
        find_detector("vide-large")
    assert refused.value.code == "unknown_detector"
