"""From window logits to a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_worker.media.windows import Window
from sentinel_worker.verdict import Judgement, VerdictRule, judge, sigmoid

MEAN = VerdictRule("mean", fake_windows=0)
TOP_K = VerdictRule("top_k", fake_windows=2)
LOGITS = st.lists(st.floats(-40, 40), min_size=1, max_size=40)


def odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def judged(logits: Sequence[float], rule: VerdictRule, duration: float | None = None) -> Judgement:
    windows = [Window(i, i + 1) for i in range(len(logits))]
    return judge(windows, logits, len(logits) if duration is None else duration, rule)


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [(0.01, "real"), (0.3299, "real"), (0.3301, "uncertain"), (0.4999, "uncertain"), (0.5001, "fake"), (0.99, "fake")],
)
def test_bands(probability: float, verdict: str) -> None:
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
    assert answer.fake_probability > 0.5
    assert answer.verdict == "uncertain"
    assert judged([odds(0.999), odds(0.6), *[odds(0.02)] * 6], TOP_K).verdict == "fake"


def test_one_window_decides_when_it_is_the_whole_video() -> None:
    assert judged([odds(0.9)], TOP_K, duration=1.0).verdict == "fake"
    assert judged([odds(0.9)], TOP_K, duration=60.0).verdict == "uncertain"


def test_temperature_softens_before_anything_is_compared() -> None:
    rule = VerdictRule("mean", fake_windows=0, temperature=2.0)
    assert judged([4.0], rule).fake_probability == pytest.approx(sigmoid(2.0))


def test_the_worst_window_is_the_one_with_the_highest_probability() -> None:
    answer = judged([-1.0, 2.0, 0.5], MEAN)
    assert answer.worst_window == 1
    assert answer.window_probabilities[1] == max(answer.window_probabilities)


@given(LOGITS, st.sampled_from([MEAN, TOP_K]))
def test_probabilities_are_probabilities_between_the_lowest_and_the_highest(
    logits: list[float], rule: VerdictRule
) -> None:
    answer = judged(logits, rule)
    assert len(answer.window_probabilities) == len(logits)
    low, high = min(answer.window_probabilities), max(answer.window_probabilities)
    assert 0 <= low <= high <= 1
    assert low - 1e-12 <= answer.fake_probability <= high + 1e-12


@given(LOGITS, st.sampled_from([MEAN, TOP_K]))
def test_order_does_not_matter(logits: list[float], rule: VerdictRule) -> None:
    answer, reversed_answer = judged(logits, rule), judged(logits[::-1], rule)
    assert answer.verdict == reversed_answer.verdict
    assert answer.fake_probability == pytest.approx(reversed_answer.fake_probability, abs=1e-9)


@given(st.floats(-800, 800))
def test_sigmoid_does_not_overflow(logit: float) -> None:
    assert 0 <= sigmoid(logit) <= 1
    assert sigmoid(logit) + sigmoid(-logit) == pytest.approx(1)


@pytest.mark.parametrize("logits", [[], [1.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_missing_and_infinite_logits_are_refused(logits: list[float]) -> None:
    with pytest.raises(ValueError, match="logit"):
        judge([Window(0, 1), Window(1, 2)], logits, 2, MEAN)


def test_impossible_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="real_below"):
        VerdictRule("mean", fake_windows=0, real_below=0.6)
    with pytest.raises(ValueError, match="temperature"):
        VerdictRule("mean", fake_windows=0, temperature=0)
