"""From window logits to a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.domain.media_facts import Face
from sentinel_worker.domain.verdict import Judgement, Verdict, VerdictRule, WindowScore, fuse, judge, sigmoid
from sentinel_worker.domain.windows import Window

MEAN = VerdictRule("mean", fake_windows=0)
TOP_K = VerdictRule("top_k", fake_windows=2)
LOGITS = st.lists(st.floats(-40, 40), min_size=1, max_size=40)
FACE = Face(0.1, 0.1, 0.5, 0.5, 0.9)
NO_FACE = WindowScore(Window(7, 8), skipped="no_face")


def odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def judged(logits: Sequence[float], rule: VerdictRule, duration: float | None = None) -> Judgement:
    scores = [WindowScore(Window(i, i + 1), (logit,)) for i, logit in enumerate(logits)]
    return judge(scores, len(logits) if duration is None else duration, rule)


def probability(judgement: Judgement) -> float:
    assert judgement.fake_probability is not None
    return judgement.fake_probability


def window_probabilities(judgement: Judgement) -> list[float]:
    return [answer.fake_probability for answer in judgement.windows if answer.fake_probability is not None]


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [(0.01, "real"), (0.3299, "real"), (0.3301, "uncertain"), (0.4999, "uncertain"), (0.5001, "fake"), (0.99, "fake")],
)
def test_probabilities_become_verdicts(probability: float, verdict: str) -> None:
    answer = judged([odds(probability)] * 3, MEAN)
    assert answer.verdict == verdict
    assert answer.fake_probability == pytest.approx(probability)
    assert answer.threshold == 0.5


def test_the_mean_is_taken_of_logits_not_of_probabilities() -> None:
    assert judged([odds(0.999), odds(0.2), odds(0.2)], MEAN).fake_probability == pytest.approx(
        sigmoid((odds(0.999) + 2 * odds(0.2)) / 3)
    )


@pytest.mark.parametrize(("count", "k"), [(1, 1), (2, 2), (3, 2), (8, 2), (9, 3), (12, 3), (13, 4), (32, 8)])
def test_top_k_takes_a_quarter_but_at_least_two(count: int, k: int) -> None:
    logits = [float(i) for i in range(count)]
    expected = sum(logits[-k:]) / k
    assert judged(logits, TOP_K).fake_probability == pytest.approx(sigmoid(expected))


def test_one_high_window_of_many_is_not_a_fake() -> None:
    answer = judged([odds(0.999), *[odds(0.02)] * 7], TOP_K)
    assert probability(answer) > 0.5
    assert answer.verdict == "uncertain"
    assert judged([odds(0.999), odds(0.6), *[odds(0.02)] * 6], TOP_K).verdict == "fake"


def test_one_window_decides_when_it_is_the_whole_video() -> None:
    assert judged([odds(0.9)], TOP_K, duration=1.0).verdict == "fake"
    assert judged([odds(0.9)], TOP_K, duration=60.0).verdict == "uncertain"


def test_temperature_softens_before_anything_is_compared() -> None:
    rule = VerdictRule("mean", fake_windows=0, temperature=2.0)
    answer = judged([4.0], rule)
    assert answer.fake_probability == pytest.approx(sigmoid(2.0))
    assert answer.log_odds == pytest.approx(4.0)


def test_the_worst_window_is_the_one_with_the_highest_probability() -> None:
    answer = judged([-1.0, 2.0, 0.5], MEAN)
    assert answer.worst is answer.windows[1]
    assert answer.worst.fake_probability == max(window_probabilities(answer))


@given(LOGITS, st.sampled_from([MEAN, TOP_K]))
def test_probabilities_are_probabilities_between_the_lowest_and_the_highest(
    logits: list[float], rule: VerdictRule
) -> None:
    answer = judged(logits, rule)
    found = window_probabilities(answer)
    assert len(found) == len(logits)
    assert 0 <= min(found) <= max(found) <= 1
    assert min(found) - 1e-12 <= probability(answer) <= max(found) + 1e-12


@given(LOGITS, st.sampled_from([MEAN, TOP_K]))
def test_order_does_not_matter(logits: list[float], rule: VerdictRule) -> None:
    answer, reversed_answer = judged(logits, rule), judged(logits[::-1], rule)
    assert answer.verdict == reversed_answer.verdict
    assert answer.fake_probability == pytest.approx(reversed_answer.fake_probability, abs=1e-9)


@given(st.floats(-800, 800))
def test_sigmoid_does_not_overflow(logit: float) -> None:
    assert 0 <= sigmoid(logit) <= 1
    assert sigmoid(logit) + sigmoid(-logit) == pytest.approx(1)


def test_a_window_counts_with_its_worst_face() -> None:
    faces = WindowScore(Window(0, 1), (-3.0, 2.0), (FACE, FACE))
    answer = judge([faces], 1.0, MEAN)
    assert answer.fake_probability == pytest.approx(sigmoid(2.0))
    assert answer.windows[0].face_probabilities == pytest.approx((sigmoid(-3.0), sigmoid(2.0)))


def test_skipped_windows_are_listed_and_not_counted() -> None:
    answer = judge([NO_FACE, WindowScore(Window(0, 1), (-2.0,), (FACE,))], 8.0, MEAN)
    assert answer.fake_probability == pytest.approx(sigmoid(-2.0))
    assert [window.score.skipped for window in answer.windows] == [None, "no_face"]
    assert answer.windows[1].fake_probability is None


def test_without_anything_to_score_the_verdict_is_not_applicable_and_never_real() -> None:
    answer = judge([NO_FACE], 8.0, TOP_K)
    assert (answer.verdict, answer.fake_probability, answer.reason) == ("not_applicable", None, "no_face")
    assert (answer.worst, answer.log_odds) == (None, None)


def test_what_is_left_of_a_mostly_damaged_track_is_not_real() -> None:
    whole = [WindowScore(Window(i, i + 1), (-4.0,)) for i in range(2)]
    damaged = [WindowScore(Window(i, i + 1), skipped="damaged") for i in range(2, 5)]
    assert judge([*whole, *damaged], 5.0, MEAN).verdict == "uncertain"
    assert judge([*whole, *damaged[:2]], 4.0, MEAN).verdict == "real"


def a_judgement(verdict: Verdict, probability: float | None, threshold: float = 0.5) -> Judgement:
    return Judgement(verdict, probability, threshold, (), "no_face" if probability is None else None)


@pytest.mark.parametrize(
    ("pictures", "sound", "verdict", "probability", "reason"),
    [
        (("real", 0.1), None, "real", 0.1, None),
        (None, ("fake", 0.9), "fake", 0.9, None),
        (("real", 0.1), ("real", 0.2), "real", 0.2, None),
        (("real", 0.1), ("fake", 0.9), "fake", 0.9, None),
        (("fake", 0.9), ("real", 0.1), "fake", 0.9, None),
        (("uncertain", 0.4), ("real", 0.1), "uncertain", 0.4, None),
        (("real", 0.1), ("not_applicable", None), "real", 0.1, None),
        (("not_applicable", None), ("real", 0.1), "not_applicable", None, "no_face"),
        (("not_applicable", None), ("fake", 0.9), "fake", 0.9, None),
        (("not_applicable", None), ("not_applicable", None), "not_applicable", None, "no_face"),
    ],
)
def test_sound_raises_the_answer_about_the_pictures_and_never_makes_it_real(
    pictures: tuple[Verdict, float | None] | None,
    sound: tuple[Verdict, float | None] | None,
    verdict: str,
    probability: float | None,
    reason: str | None,
) -> None:
    overall = fuse(a_judgement(*pictures) if pictures else None, a_judgement(*sound) if sound else None)
    assert (overall.verdict, overall.fake_probability, overall.reason) == (verdict, probability, reason)


def test_the_threshold_is_that_of_the_track_that_decided() -> None:
    assert fuse(a_judgement("real", 0.1, 0.5), a_judgement("fake", 0.9, 0.8)).threshold == 0.8
    assert fuse(a_judgement("fake", 0.9, 0.5), a_judgement("real", 0.1, 0.8)).threshold == 0.5
    assert fuse(a_judgement("real", 0.1, 0.3), a_judgement("real", 0.7, 0.9)).threshold == 0.9
    assert fuse(a_judgement("fake", 0.55, 0.5), a_judgement("real", 0.6, 0.7)).threshold == 0.5
    with pytest.raises(ValueError, match="nothing"):
        fuse(None, None)


@pytest.mark.parametrize("logits", [(), (math.nan,), (1.0, math.inf)])
def test_missing_and_infinite_logits_are_refused(logits: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"logit|scored"):
        WindowScore(Window(0, 1), logits)


def test_faces_without_logits_and_tracks_without_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="faces"):
        WindowScore(Window(0, 1), (1.0,), (FACE, FACE))
    with pytest.raises(ValueError, match="without windows"):
        judge([], 1.0, MEAN)


def test_impossible_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="real_below"):
        VerdictRule("mean", fake_windows=0, real_below=0.6)
    with pytest.raises(ValueError, match="temperature"):
        VerdictRule("mean", fake_windows=0, temperature=0)
