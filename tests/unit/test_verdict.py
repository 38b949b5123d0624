"""From window logits to a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.domain.coverage import Coverage
from sentinel_worker.domain.fusion import fuse
from sentinel_worker.domain.media_facts import Face
from sentinel_worker.domain.verdict import Judgement, Verdict, VerdictRule, WindowScore, judge, sigmoid
from sentinel_worker.domain.windows import CoverageRule, Window

MEAN = VerdictRule("mean", fake_windows=0)
TOP_K = VerdictRule("top_k", fake_windows=2)
LOGITS = st.lists(st.floats(-40, 40), min_size=1, max_size=40)
FACE = Face(0.1, 0.1, 0.5, 0.5, 0.9)
NO_FACE = WindowScore(Window(7, 8), skipped="no_face")
NOT_COVERED: tuple[Verdict, str] = ("uncertain", "not_covered")


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


def sparse(*starts: float, logit: float = -4.0) -> list[WindowScore]:
    return [WindowScore(Window(start, start + 1), (logit,)) for start in starts]


def test_one_damaged_window_leaves_no_real() -> None:
    whole, damaged = sparse(0, 1, 2), WindowScore(Window(3, 4), skipped="damaged")
    assert judge(whole, 3.0, MEAN).verdict == "real"
    answer = judge([*whole, damaged], 4.0, MEAN)
    assert (answer.verdict, answer.reason, answer.is_covered) == ("uncertain", "not_covered", False)
    assert answer.coverage == Coverage(0.75, 1.0)
    assert judge([damaged, *sparse(0, 1, 2, logit=4.0)], 4.0, MEAN).verdict == "fake"


def test_windows_without_a_face_or_sound_were_looked_at() -> None:
    answer = judge([*sparse(0), NO_FACE, WindowScore(Window(1, 7), skipped="silence")], 8.0, MEAN)
    assert (answer.verdict, answer.coverage) == ("real", Coverage(1.0, 0.0))


@pytest.mark.parametrize(("gap", "verdict"), [(180.0, "real"), (180.1, "uncertain")])
def test_a_track_with_a_longer_gap_than_allowed_is_not_real(gap: float, verdict: Verdict) -> None:
    for scores, duration in ((sparse(0, 1 + gap), 2 + gap), (sparse(gap), 1 + gap), (sparse(0), 1 + gap)):
        answer = judge(scores, duration, MEAN)
        assert (answer.verdict, answer.reason) == (verdict, None if verdict == "real" else "not_covered")
        assert answer.coverage.longest_gap_seconds == pytest.approx(gap)
    assert judge(sparse(0, 61), 62, MEAN, CoverageRule(real_max_gap_seconds=60)).verdict == "real"
    assert judge(sparse(0, 61.1), 62.1, MEAN, CoverageRule(real_max_gap_seconds=60)).verdict == "uncertain"


def test_a_part_that_plays_and_cannot_be_decoded_leaves_no_real() -> None:
    assert judge(sparse(0, 1), 2.0, MEAN, unread_seconds=0.5).reason == "not_covered"
    assert judge(sparse(0, 1), 2.0, MEAN, unread_seconds=0.0).verdict == "real"
    assert judge(sparse(0, 1, logit=0.0), 2.0, MEAN, unread_seconds=0.5).reason is None, "uncertain on its own"


DOUBTING = replace(MEAN, suspicious_score=0.975)


@pytest.mark.parametrize(
    ("highest", "verdict", "reason"), [(0.9749, "real", None), (0.9751, "uncertain", "suspicious_window")]
)
@pytest.mark.parametrize("place", [0, 4, 7])
def test_one_window_that_looks_fake_leaves_no_real(
    highest: float, verdict: Verdict, reason: str | None, place: int
) -> None:
    logits = [odds(0.02)] * 8
    logits[place] = odds(highest)
    answer = judged(logits, DOUBTING)
    assert (answer.verdict, answer.reason) == (verdict, reason)
    assert answer.fake_probability == judged(logits, MEAN).fake_probability
    assert (judged(logits, MEAN).verdict, judged(logits, MEAN).reason) == ("real", None), "the rule is not set"


def test_a_window_that_reaches_the_score_exactly_is_suspicious() -> None:
    rule = replace(DOUBTING, suspicious_score=sigmoid(2.0))
    assert judged([2.0, -6.0], rule).reason == "suspicious_window"


def test_a_suspicious_window_makes_no_fake_and_explains_no_uncertain_that_the_others_share() -> None:
    assert (judged([odds(0.99), odds(0.1)], DOUBTING).verdict, judged([8.0, 8.0], DOUBTING).verdict) == ("fake", "fake")
    answer = judged([odds(0.99), odds(0.005)], DOUBTING)
    assert (answer.verdict, answer.reason) == ("uncertain", None)
    assert probability(answer) == pytest.approx(0.414, abs=0.01)


def test_a_calibration_does_not_move_the_suspicious_score() -> None:
    logits = [odds(0.98), *[odds(0.02)] * 7]
    for temperature in (0.2, 1.0, 5.0):
        rule = replace(DOUBTING, temperature=temperature, real_below=0.45)
        assert judged(logits, rule).reason == "suspicious_window"
        assert judged([odds(0.97), *logits[1:]], rule).verdict == "real"


def test_the_only_window_is_judged_by_the_same_thresholds() -> None:
    assert judged([odds(0.32)], DOUBTING).verdict == "real"
    assert judged([odds(0.99)], DOUBTING).verdict == "fake"
    low = replace(DOUBTING, suspicious_score=0.3)
    assert (judged([odds(0.31)], low).verdict, judged([odds(0.29)], low).verdict) == ("uncertain", "real")


def test_the_worst_face_can_be_suspicious_and_skipped_windows_are_not() -> None:
    faces = WindowScore(Window(0, 1), (-4.0, 5.0), (FACE, FACE))
    answer = judge([faces, *sparse(1, 2, 3, 4, 5, 6), NO_FACE], 8.0, DOUBTING)
    assert (answer.verdict, answer.reason) == ("uncertain", "suspicious_window")
    assert judge([*sparse(0), NO_FACE], 8.0, DOUBTING).verdict == "real"


def test_a_suspicious_window_is_the_reason_even_where_too_little_was_looked_at() -> None:
    scores = [*sparse(*range(7)), *sparse(7, logit=5.0)]
    answer = judge(scores, 1000.0, DOUBTING)
    assert (answer.verdict, answer.reason, answer.is_covered) == ("uncertain", "suspicious_window", False)
    assert judge(sparse(*range(8)), 1000.0, DOUBTING).reason == "not_covered"


def test_in_a_long_track_the_suspicious_window_may_be_anywhere() -> None:
    for place in range(0, 40, 13):
        logits = [odds(0.02)] * 40
        logits[place] = odds(0.99)
        answer = judge(sparse_logits(logits), 40, DOUBTING, part_windows=8)
        assert (answer.verdict, answer.reason) == ("uncertain", "suspicious_window")
        assert answer.worst is answer.windows[place]


@given(LOGITS, st.sampled_from([MEAN, TOP_K]), st.floats(0.01, 0.99))
def test_the_suspicious_score_changes_only_real_into_uncertain(
    logits: list[float], rule: VerdictRule, score: float
) -> None:
    plain, doubting = judged(logits, rule), judged(logits, replace(rule, suspicious_score=score))
    assert doubting.fake_probability == plain.fake_probability
    if plain.verdict == "real" and sigmoid(max(logits)) >= score:
        assert (doubting.verdict, doubting.reason) == ("uncertain", "suspicious_window")
    else:
        assert (doubting.verdict, doubting.reason) == (plain.verdict, plain.reason)


def test_more_windows_do_not_thin_out_a_short_manipulation() -> None:
    short = [odds(0.999), odds(0.9), *[odds(0.02)] * 6]
    assert judged(short, TOP_K).verdict == "fake"
    long = [odds(0.02)] * 32
    for place in (0, 16, 32):
        scores = sparse_logits([*long[:place], *short, *long[place:]])
        assert judge(scores, 40, TOP_K).verdict == "real", "all of them together"
        answer = judge(scores, 40, TOP_K, part_windows=8)
        assert (answer.verdict, answer.fake_probability) == ("fake", judged(short, TOP_K).fake_probability)


def test_windows_that_agree_must_be_neighbours() -> None:
    high, low = odds(0.999), odds(0.02)
    apart = sparse_logits([high, *[low] * 20, high])
    assert judge(apart, 22, TOP_K, part_windows=8).verdict == "uncertain"


def test_an_odd_window_elsewhere_does_not_hide_windows_that_agree() -> None:
    odd, low = 30.0, odds(0.02)
    scores = sparse_logits([odd, *[low] * 20, odds(0.9), odds(0.9)])
    answer = judge(scores, 23, TOP_K, part_windows=8)
    assert answer.verdict == "fake"
    assert answer.fake_probability == pytest.approx(sigmoid((odd + low) / 2))


@given(LOGITS, st.integers(1, 16), st.sampled_from([MEAN, TOP_K]))
def test_the_worst_part_decides(logits: list[float], size: int, rule: VerdictRule) -> None:
    answer = judge(sparse_logits(logits), len(logits), rule, part_windows=size)
    parts = [logits[start : start + size] for start in range(max(1, len(logits) - size + 1))]
    each = [judged(part, rule, duration=1e3) for part in parts]
    assert answer.fake_probability == max(map(probability, each))
    if any(part.verdict == "fake" for part in each):
        assert answer.verdict == "fake"


def sparse_logits(logits: Sequence[float]) -> list[WindowScore]:
    return [WindowScore(Window(place, place + 1), (logit,)) for place, logit in enumerate(logits)]


def a_judgement(verdict: Verdict, probability: float | None, threshold: float = 0.5) -> Judgement:
    return Judgement(
        verdict, probability, threshold, (), Coverage(1.0, 0.0), reason="no_face" if probability is None else None
    )


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


def hidden(probability: float = 0.1) -> Judgement:
    """What would be real if all of it had been looked at."""
    judgement = a_judgement("uncertain", probability)
    return replace(judgement, reason="not_covered", is_covered=False, coverage=Coverage(0.1, 200.0))


@pytest.mark.parametrize(
    ("pictures", "sound", "verdict", "reason"),
    [
        (hidden(), None, "uncertain", "not_covered"),
        (hidden(), a_judgement("real", 0.2), "uncertain", "not_covered"),
        (a_judgement("real", 0.2), hidden(), "uncertain", "not_covered"),
        (a_judgement("uncertain", 0.4), hidden(), "uncertain", None),
        (hidden(), a_judgement("uncertain", 0.4), "uncertain", None),
        (a_judgement("uncertain", 0.4), hidden(0.5), "uncertain", None),
        (hidden(0.3), a_judgement("uncertain", 0.25), "uncertain", None),
        (hidden(), a_judgement("fake", 0.9), "fake", None),
        (a_judgement("not_applicable", None), hidden(), "not_applicable", "no_face"),
        (a_judgement("real", 0.2), replace(a_judgement("not_applicable", None), is_covered=False), *NOT_COVERED),
    ],
)
def test_a_file_is_real_only_if_each_of_its_tracks_was_looked_at(
    pictures: Judgement, sound: Judgement | None, verdict: Verdict, reason: str | None
) -> None:
    overall = fuse(pictures, sound)
    assert (overall.verdict, overall.reason) == (verdict, reason)


def suspicious(probability: float = 0.1) -> Judgement:
    """What would be real without one of its windows."""
    return replace(a_judgement("uncertain", probability), reason="suspicious_window")


@pytest.mark.parametrize(
    ("pictures", "sound", "verdict", "reason"),
    [
        (suspicious(), None, "uncertain", "suspicious_window"),
        (None, suspicious(), "uncertain", "suspicious_window"),
        (suspicious(), a_judgement("real", 0.2), "uncertain", "suspicious_window"),
        (a_judgement("real", 0.2), suspicious(), "uncertain", "suspicious_window"),
        (suspicious(0.1), hidden(0.2), "uncertain", "suspicious_window"),
        (hidden(0.2), suspicious(0.1), "uncertain", "suspicious_window"),
        (a_judgement("uncertain", 0.4), suspicious(), "uncertain", None),
        (suspicious(), a_judgement("uncertain", 0.4), "uncertain", None),
        (suspicious(), a_judgement("fake", 0.9), "fake", None),
        (a_judgement("not_applicable", None), suspicious(), "uncertain", "suspicious_window"),
        (suspicious(), a_judgement("not_applicable", None), "uncertain", "suspicious_window"),
    ],
)
def test_a_file_is_real_only_if_no_window_of_its_tracks_is_suspicious(
    pictures: Judgement | None, sound: Judgement | None, verdict: Verdict, reason: str | None
) -> None:
    overall = fuse(pictures, sound)
    assert (overall.verdict, overall.reason) == (verdict, reason)


def test_a_suspicious_window_beside_sound_that_cannot_be_read_is_the_reason() -> None:
    overall = fuse(suspicious(), None, unheard_seconds=3.0)
    assert (overall.verdict, overall.reason) == ("uncertain", "suspicious_window")


def test_sound_that_cannot_be_read_leaves_no_real_and_changes_nothing_else() -> None:
    for judgement in (a_judgement("uncertain", 0.4), a_judgement("fake", 0.9), a_judgement("not_applicable", None)):
        unheard = fuse(judgement, None, unheard_seconds=3.0)
        assert (unheard.verdict, unheard.reason) == (judgement.verdict, judgement.reason)
    overall = fuse(a_judgement("real", 0.1), None, unheard_seconds=3.0)
    assert (overall.verdict, overall.reason, overall.fake_probability) == (*NOT_COVERED, 0.1)
    assert overall.coverage == Coverage(0.0, 3.0)


def test_the_coverage_of_a_file_is_that_of_its_worst_track() -> None:
    one, other = (replace(a_judgement("real", 0.1), coverage=Coverage(*values)) for values in ((0.5, 9.0), (0.7, 20.0)))
    assert fuse(one, other).coverage == Coverage(0.5, 20.0)
    assert fuse(one, None).coverage == one.coverage


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
    for score in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="suspicious_score"):
            replace(MEAN, suspicious_score=score)
