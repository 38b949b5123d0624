"""Outputs of a checkpoint that mean fake."""

from __future__ import annotations

import pytest

from sentinel_worker.detectors.labels import LabelMap, check_polarity, label_meaning, map_labels
from sentinel_worker.domain.errors import Fatal


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("fake", "fake"),
        ("deepfake", "fake"),
        ("FAKE", "fake"),
        ("spoof", "fake"),
        ("artificial", "fake"),
        ("AI", "fake"),
        ("synthetic", "fake"),
        ("manipulated", "fake"),
        ("generated", "fake"),
        ("AI-generated", "fake"),
        ("Deep Fake", "fake"),
        ("audio_fake", "fake"),
        ("both_fake", "fake"),
        ("video_fake", "fake"),
        ("real", "real"),
        ("REAL", "real"),
        ("Real one", "real"),
        ("Realism", "real"),
        ("bonafide", "real"),
        ("bona-fide", "real"),
        ("human", "real"),
        ("live", "real"),
        ("LABEL_0", None),
        ("LABEL_1", None),
        ("not real", None),
        ("not_fake", None),
        ("non-fake", None),
        ("real/fake", None),
        ("realistic", None),
        ("unreal", None),
        ("faked?no", None),
        ("", None),
    ],
)
def test_the_meaning_of_a_name(name: str, meaning: str | None) -> None:
    assert label_meaning(name) == meaning


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({0: "fake", 1: "real"}, LabelMap((0,), (1,), "names")),
        ({0: "real", 1: "fake"}, LabelMap((1,), (0,), "names")),
        ({0: "FAKE", 1: "REAL"}, LabelMap((0,), (1,), "names")),
        ({0: "REAL", 1: "FAKE"}, LabelMap((1,), (0,), "names")),
        ({0: "deepfake", 1: "real"}, LabelMap((0,), (1,), "names")),
        ({0: "artificial", 1: "human"}, LabelMap((0,), (1,), "names")),
        ({0: "Real one", 1: "synthetic"}, LabelMap((1,), (0,), "names")),
        ({0: "live", 1: "spoof"}, LabelMap((1,), (0,), "names")),
        ({0: "manipulated", 1: "LABEL_1"}, LabelMap((0,), (1,), "complement")),
        ({0: "generated", 1: "real"}, LabelMap((0,), (1,), "names")),
        ({0: "Realism", 1: "Deepfake"}, LabelMap((1,), (0,), "names")),
        ({0: "spoof", 1: "bonafide"}, LabelMap((0,), (1,), "names")),
        ({0: "human", 1: "AI"}, LabelMap((1,), (0,), "names")),
        ({0: "Artificial", 1: "Deepfake", 2: "Real"}, LabelMap((0, 1), (2,), "names")),
        ({0: "audio_fake", 1: "both_fake", 2: "real", 3: "video_fake"}, LabelMap((0, 1, 3), (2,), "names")),
        ({0: "fake", 1: "LABEL_1"}, LabelMap((0,), (1,), "complement")),
        ({0: "original", 1: "deepfake"}, LabelMap((1,), (0,), "complement")),
        ({0: "not real", 1: "real"}, LabelMap((0,), (1,), "complement")),
        ({0: "fake", 1: "non-fake"}, LabelMap((0,), (1,), "complement")),
    ],
)
def test_names_decide(names: dict[int, str], expected: LabelMap) -> None:
    assert map_labels(names) == expected


@pytest.mark.parametrize(
    "names",
    [
        {0: "LABEL_0", 1: "LABEL_1"},
        {0: "fake", 1: "deepfake"},
        {0: "real", 1: "live"},
        {0: "not real", 1: "not fake"},
        {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"},
        {0: "audio_fake", 1: "both_fake", 2: "video_fake"},
        {0: "real", 1: "not real", 2: "fake"},
        {0: "real", 1: "fake", 2: "LABEL_2"},
        {0: "Artificial", 1: "Deepfake", 2: "spoof"},
        {0: "fake"},
        {},
        {1: "fake", 2: "real"},
    ],
)
def test_anything_else_is_refused(names: dict[int, str]) -> None:
    with pytest.raises(Fatal) as refused:
        map_labels(names)
    assert refused.value.code == "label_polarity_unknown"


def test_an_override_wins_over_names() -> None:
    assert map_labels({0: "Realism", 1: "Deepfake"}, (0,)) == LabelMap((0,), (1,), "override")
    assert map_labels({0: "LABEL_0", 1: "LABEL_1"}, (1,)) == LabelMap((1,), (0,), "override")
    assert map_labels({0: "a", 1: "b", 2: "c"}, (2, 0)) == LabelMap((0, 2), (1,), "override")


@pytest.mark.parametrize("indices", [(), (2,), (-1,), (0, 1)])
def test_an_override_that_does_not_fit_is_refused(indices: tuple[int, ...]) -> None:
    with pytest.raises(Fatal) as refused:
        map_labels({0: "real", 1: "fake"}, indices)
    assert refused.value.code == "label_polarity_unknown"


def test_known_fakes_must_score_above_known_reals() -> None:
    check_polarity([2.0, 3.0], [-1.0, 2.5])
    with pytest.raises(Fatal) as refused:
        check_polarity([-2.0, 0.0], [1.0])
    assert refused.value.code == "label_polarity_inverted"
    with pytest.raises(Fatal):
        check_polarity([1.0], [1.0])
    with pytest.raises(ValueError, match="needs fakes and reals"):
        check_polarity([], [1.0])
