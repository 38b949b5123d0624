"""The fitted values: the temperature of a known truth, thresholds by their rule, and cases without a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.verdict import VerdictRule
from sentinel_worker.evaluation.scores import Booleans, Floats
from tests.lazy import lazy

if TYPE_CHECKING:
    from sentinel_worker.evaluation import fitting, splits
else:  # scikit-learn and scipy
    fitting, splits = lazy("sentinel_worker.evaluation.fitting"), lazy("sentinel_worker.evaluation.splits")


def truth(count: int, seed: int = 0) -> tuple[Booleans, Floats]:
    """Return labels, and log-odds that are right."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0, 2, count)
    return rng.random(count) < 1 / (1 + np.exp(-log_odds)), log_odds


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0, 30.0])
def test_the_temperature_of_a_known_truth_is_found(temperature: float) -> None:
    labels, log_odds = truth(20_000)
    assert fitting.fit_temperature(labels, log_odds * temperature) == pytest.approx(temperature, rel=0.05)


def test_classes_that_are_fully_separated_do_not_give_certainty() -> None:
    labels = np.array([True] * 30 + [False] * 30)
    fitted = fitting.fit(labels, np.where(labels, 5.0, -5.0))
    said = 1 / (1 + np.exp(-5 / fitted.temperature))
    assert said == pytest.approx(31 / 32, abs=1e-3)
    assert (fitted.real_below, fitted.fake_from) == (0.33, 0.5)


def test_scores_that_say_nothing_give_the_hottest_temperature() -> None:
    labels = np.array([True, False] * 30)
    assert fitting.fit_temperature(labels, np.full(60, 4.0)) == 100.0
    assert fitting.fit_temperature(labels, np.where(labels, -1.0, 1.0)) == 100.0


def test_thresholds_by_hand() -> None:
    """40 of each, so two may be wrong. The third highest real is 0.7, the next file above it 0.8."""
    reals = [0.95, 0.9, 0.7, *[0.1] * 37]
    fakes = [0.05, 0.15, 0.25, *[0.8] * 37]
    labels = np.array([False] * 40 + [True] * 40)
    real_below, fake_from = fitting.fit_thresholds(labels, np.array(reals + fakes))
    assert fake_from == pytest.approx(0.75)
    # The third lowest fake is 0.25, the next file below it 0.15.
    assert real_below == pytest.approx(0.2)


_P = st.floats(1e-6, 1 - 1e-6)


@given(st.lists(_P, min_size=20, max_size=80), st.lists(_P, min_size=20, max_size=80))
def test_thresholds_obey_their_rule(reals: Sequence[float], fakes: Sequence[float]) -> None:
    # Neighbouring floats have no midpoint.
    probabilities = np.round(np.array([*reals, *fakes]), 6)
    labels = np.array([False] * len(reals) + [True] * len(fakes))
    real_below, fake_from = fitting.fit_thresholds(labels, probabilities)
    VerdictRule("mean", fake_windows=0, real_below=real_below, fake_from=fake_from)
    assert real_below <= 0.33
    assert fake_from >= 0.5
    called_fake = (probabilities[~labels] >= fake_from).sum()
    called_real = (probabilities[labels] < real_below).sum()
    assert fake_from == 0.999 or called_fake <= 0.05 * len(reals)
    assert real_below == 0.001 or called_real <= 0.05 * len(fakes)
    if fake_from > 0.5:  # the smallest: at the next file below, one real too many would be called fake
        assert (probabilities[~labels] >= probabilities[probabilities < fake_from].max()).sum() > 0.05 * len(reals)


@given(st.data())
def test_no_group_is_on_both_sides_of_a_split(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=30))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.array(data.draw(st.lists(st.booleans(), min_size=len(groups), max_size=len(groups))))
    assume(min(len(np.unique(groups[labels == label])) for label in (False, True)) >= 2)
    try:
        pairs = splits.folds(labels, groups, seed=data.draw(st.integers(0, 5)))
    except Fatal:  # nearly all of a class is in one of few groups
        return
    assert 2 <= len(pairs) <= 5
    assert sorted(np.concatenate([held for _, held in pairs])) == list(range(len(groups)))
    for fitted, held in pairs:
        assert not set(groups[fitted]) & set(groups[held])
        assert len(fitted) + len(held) == len(groups)
        assert len(np.unique(labels[fitted])) == 2


@pytest.mark.filterwarnings("error")
def test_a_split_of_few_groups() -> None:
    labels, groups = np.array([True, False] * 2), np.array([0, 0, 1, 1])
    assert len(splits.folds(labels, groups, seed=0)) == 2
    with pytest.raises(Fatal, match="at least two groups") as refused:
        splits.folds(labels, np.zeros(4, dtype=np.int64), seed=0)
    assert refused.value.code == "calibration_impossible"


def test_a_resample_draws_whole_groups_and_both_classes() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    labels = np.array([True] * 5 + [False] * 3)
    drawn = list(splits.resamples(labels, groups, 50, seed=1))
    assert len(drawn) == 50
    for sample in drawn:
        counts = np.bincount(sample, minlength=len(groups))
        assert len(np.unique(labels[sample])) == 2
        assert all(len(set(counts[groups == group])) == 1 for group in range(4))
    again = list(splits.resamples(labels, groups, 50, seed=1))
    assert all((one == other).all() for one, other in zip(drawn, again, strict=True))


def test_too_few_of_a_class() -> None:
    labels = np.array([True] * 19 + [False] * 40)
    with pytest.raises(Fatal, match="19 fakes and 40 reals can be used; a calibration needs 20") as refused:
        fitting.check_scores(labels, np.where(labels, 1.0, -1.0))
    assert refused.value.code == "calibration_impossible"
    with pytest.raises(Fatal, match="0 fakes and 0 reals"):
        fitting.check_scores(np.array([], dtype=np.bool_), np.array([]))


def test_swapped_labels() -> None:
    labels, log_odds = truth(200)
    fitting.check_scores(labels, log_odds)
    with pytest.raises(Fatal, match=r"set the detector's fake_indices") as refused:
        fitting.check_scores(~labels, log_odds)
    assert refused.value.code == "label_polarity_inverted"


def test_scores_in_the_right_order_but_on_the_wrong_side() -> None:
    """All fakes are above all reals, yet most probabilities are on the wrong side: no temperature fixes that."""
    labels = np.array([True] * 20 + [False] * 80)
    with pytest.raises(Fatal) as refused:
        fitting.check_scores(labels, np.where(labels, 4.0, 3.0))
    assert refused.value.code == "label_polarity_inverted"
