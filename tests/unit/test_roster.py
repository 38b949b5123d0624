"""Choice of detectors for each file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from sentinel_worker.detectors.registry import DETECTORS
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.request import MediaKind
from sentinel_worker.inference.roster import Roster
from sentinel_worker.inference.scorer import Scorer
from sentinel_worker.inference.scoring_thread import Detector
from sentinel_worker.media.protocol import ProbedFacts

FILM = ProbedFacts("video", "mp4", 10.0, 1000, True, False, frames_per_second=30.0, frame_count=300)
TALKIE = replace(FILM, has_audio=True, audio_seconds=10.0)
PICTURE = ProbedFacts("image", "jpeg", 0.0, 1000, True, False, frame_count=1)
ANIMATION = replace(FILM, container="gif")
SONG = ProbedFacts("audio", "mp3", 10.0, 1000, False, True, audio_seconds=10.0)


@dataclass
class Named:
    """A detector that consists of only its spec."""

    spec: Any


def roster(*keys: str) -> Roster:
    return Roster({key: Scorer(cast(Detector, Named(DETECTORS[key]))) for key in keys})


def chosen(some: Roster, kind: MediaKind, facts: ProbedFacts, key: str | None = None) -> tuple[str | None, str | None]:
    """Keys of the detectors for pictures and for sound."""
    choice = some.choose(kind, key, facts)
    return (
        choice.pictures.spec.key if choice.pictures else None,
        choice.sound.spec.key if choice.sound else None,
    )


ALL = ("video-large", "frames", "image-vit", "audio-xlsr", "demo")


@pytest.mark.parametrize(
    ("kind", "facts", "key", "expected"),
    [
        ("auto", FILM, None, ("video-large", None)),
        ("auto", TALKIE, None, ("video-large", "audio-xlsr")),
        ("video", TALKIE, None, ("video-large", "audio-xlsr")),
        ("audio", TALKIE, None, (None, "audio-xlsr")),
        ("auto", SONG, None, (None, "audio-xlsr")),
        ("auto", PICTURE, None, ("image-vit", None)),
        ("image", PICTURE, None, ("image-vit", None)),
        ("auto", ANIMATION, None, ("video-large", None)),
        ("image", ANIMATION, None, ("image-vit", None)),
        ("video", TALKIE, "demo", ("demo", None)),
        ("auto", TALKIE, "frames", ("frames", None)),
        ("auto", TALKIE, "audio-xlsr", (None, "audio-xlsr")),
        ("image", ANIMATION, "image-vit", ("image-vit", None)),
    ],
)
def test_the_first_detector_of_a_kind_answers_unless_one_is_named(
    kind: MediaKind, facts: ProbedFacts, key: str | None, expected: tuple[str | None, str | None]
) -> None:
    assert chosen(roster(*ALL), kind, facts, key) == expected


@pytest.mark.parametrize(
    ("kind", "facts", "key", "code"),
    [
        ("video", PICTURE, None, "media_kind_mismatch"),
        ("video", SONG, None, "media_kind_mismatch"),
        ("image", FILM, None, "media_kind_mismatch"),
        ("image", SONG, None, "media_kind_mismatch"),
        ("audio", FILM, None, "no_sound"),
        ("audio", PICTURE, None, "no_sound"),
        ("auto", FILM, "audio-xlsr", "no_sound"),
        ("auto", FILM, "image-vit", "media_kind_mismatch"),
        ("auto", PICTURE, "frames", "media_kind_mismatch"),
        ("auto", FILM, "no-such", "detector_unavailable"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(
    kind: MediaKind, facts: ProbedFacts, key: str | None, code: str
) -> None:
    with pytest.raises(Permanent) as refused:
        roster(*ALL).choose(kind, key, facts)
    assert refused.value.code == code
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize(
    ("keys", "kind", "facts"),
    [
        (("demo",), "auto", PICTURE),
        (("demo",), "auto", SONG),
        (("demo",), "image", PICTURE),
        (("image-vit",), "auto", FILM),
        (("image-vit",), "auto", TALKIE),
        (("audio-xlsr",), "auto", TALKIE),
    ],
)
def test_a_kind_that_nobody_serves_is_unavailable(keys: tuple[str, ...], kind: MediaKind, facts: ProbedFacts) -> None:
    with pytest.raises(Permanent) as refused:
        roster(*keys).choose(kind, None, facts)
    assert refused.value.code == "detector_unavailable"


def test_an_image_detector_takes_animations_where_there_is_none_for_video() -> None:
    assert chosen(roster("image-vit"), "auto", ANIMATION) == ("image-vit", None)


@pytest.mark.parametrize("poor", [replace(FILM, frame_count=1), replace(FILM, frames_per_second=2.0, frame_count=20)])
def test_frames_stand_in_where_a_clip_would_repeat_a_few_pictures(poor: ProbedFacts) -> None:
    choice = roster("video-large", "frames").choose("auto", None, poor)
    assert choice.pictures is not None
    assert (choice.pictures.spec.key, choice.instead_of) == ("frames", "video-large")
    assert chosen(roster("video-large"), "auto", poor) == ("video-large", None)
    assert chosen(roster("video-large", "image-vit"), "auto", poor) == ("image-vit", None)
    assert chosen(roster("video-large", "image-vit", "frames"), "auto", poor) == ("frames", None)
    assert chosen(roster("video-large", "frames"), "auto", poor, "video-large") == ("video-large", None)


def test_lanes_are_the_defaults_and_every_key_with_its_kind() -> None:
    assert set(roster("video-large", "audio-xlsr").lanes) == {
        "video/default",
        "audio/default",
        "auto/default",
        "video/video-large",
        "auto/video-large",
        "audio/audio-xlsr",
        "auto/audio-xlsr",
    }
    assert "image/default" not in roster("demo").lanes
