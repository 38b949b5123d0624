"""The three plots of an evaluation: reliability, ROC, and the distribution of probabilities by class."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from scipy.special import logit  # type: ignore[import-untyped]
from sklearn.calibration import calibration_curve  # type: ignore[import-untyped]
from sklearn.metrics import roc_curve  # type: ignore[import-untyped]

from sentinel_worker.evaluation.evaluate import Evaluation
from sentinel_worker.evaluation.metrics import ECE_BINS
from sentinel_worker.evaluation.scores import Booleans, Floats
from sentinel_worker.reports.drawing import Theme, dress, figure, key, png

_SPREAD_BINS = 25


def reliability(evaluation: Evaluation, theme: Theme) -> bytes:
    """Draw a PNG of the share of fakes against P(fake), before and after, with the number of files at each point."""
    drawn = figure(theme, 8.4, 4.4)
    axes = drawn.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 1))
    sides = (("Before", evaluation.before), ("After, on groups the fit did not see", evaluation.after))
    for column, (name, measured) in enumerate(sides):
        title = f"{name}: ECE {measured.metrics.ece:.3f}"
        _reliability(axes[0, column], axes[1, column], evaluation.scores.labels, measured.answers.probabilities, theme)
        dress(axes[0, column], theme, title=title, y="Share of fakes" if column == 0 else "")
        dress(axes[1, column], theme, x="P(fake) said", y="Files" if column == 0 else "")
    key(axes[0, 0], theme, "upper left")
    return png(drawn)


def _reliability(above: Axes, below: Axes, labels: Booleans, probabilities: Floats, theme: Theme) -> None:
    edges = np.linspace(0, 1, ECE_BINS + 1)
    counts, _ = np.histogram(probabilities, edges)
    share, said = calibration_curve(labels, probabilities, n_bins=ECE_BINS)
    above.plot([0, 1], [0, 1], color=theme.ink, linestyle="--", linewidth=1, label="perfect calibration")
    above.plot(said, share, color=theme.real, marker="o", markersize=5, linewidth=1.6, label="files, in 10 bins")
    above.set_xlim(0, 1)
    above.set_ylim(-0.03, 1.03)
    bars = below.bar(edges[:-1], counts, 1 / ECE_BINS, align="edge", color=theme.real, edgecolor=theme.paper)
    below.bar_label(bars, [str(count) if count else "" for count in counts], color=theme.ink, fontsize=7)
    below.margins(y=0.25)


def roc(evaluation: Evaluation, theme: Theme) -> bytes:
    """Draw a PNG of the ROC of the uncalibrated scores, with the fitted thresholds on it."""
    scores, calibration = evaluation.scores, evaluation.calibration
    drawn = figure(theme, 5.2, 4.8)
    axes = drawn.subplots()
    false_rate, true_rate, _ = roc_curve(scores.labels, scores.log_odds, drop_intermediate=False)
    axes.plot([0, 1], [0, 1], color=theme.ink, linestyle="--", linewidth=1, label="chance")
    axes.step(false_rate, true_rate, where="post", color=theme.real, linewidth=1.8, label="detector")
    thresholds = (("fake from", calibration.fake_from, "o"), ("real below", calibration.real_below, "s"))
    for name, threshold, marker in thresholds:
        reached = scores.log_odds >= calibration.temperature * logit(threshold)
        point = float(reached[~scores.labels].mean()), float(reached[scores.labels].mean())
        label = f"{name} {threshold:.2f}: {point[1]:.0%} of fakes, {point[0]:.0%} of reals reach it"
        axes.plot(*point, marker, color=theme.fake, markersize=8, markeredgecolor=theme.ink, label=label)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    title = f"ROC: AUC {evaluation.before.metrics.auc:.3f}"
    dress(axes, theme, title=title, x="Reals above the threshold (FPR)", y="Fakes above the threshold (TPR)")
    key(axes, theme, "lower right")
    return png(drawn)


def spread(evaluation: Evaluation, theme: Theme) -> bytes:
    """Draw a PNG of the histogram of calibrated P(fake), fakes upwards and reals downwards."""
    labels, probabilities = evaluation.scores.labels, evaluation.after.answers.probabilities
    edges = np.linspace(0, 1, _SPREAD_BINS + 1)
    drawn = figure(theme, 8.4, 3.6)
    axes = drawn.subplots()
    classes = (("fakes", labels, 1, theme.fake, "//"), ("reals", ~labels, -1, theme.real, ""))
    for name, chosen, direction, colour, hatch in classes:
        counts, _ = np.histogram(probabilities[chosen], edges)
        label = f"{int(chosen.sum())} {name}"
        axes.bar(edges[:-1], direction * counts, edges[1], align="edge", label=label, color=colour, hatch=hatch)
    for patch in axes.patches:
        patch.set_edgecolor(theme.paper)
    axes.axhline(0, color=theme.ink, linewidth=0.8)
    axes.set_xlim(0, 1)
    axes.margins(y=0.22)
    axes.yaxis.set_major_formatter(lambda count, _: f"{abs(count):g}")
    title = "Calibrated probabilities, on groups the fit did not see"
    dress(axes, theme, title=title, x="P(fake)", y="Files: fakes up, reals down")
    _bands(axes, evaluation.calibration.real_below, evaluation.calibration.fake_from, theme)
    key(axes, theme, "lower center")
    return png(drawn)


def _bands(axes: Axes, real_below: float, fake_from: float, theme: Theme) -> None:
    axes.axvspan(real_below, fake_from, color=theme.faint, alpha=0.55, zorder=0, linewidth=0)
    bands = ((0.0, real_below, "real"), (real_below, fake_from, "uncertain"), (fake_from, 1.0, "fake"))
    for start, end, name in bands:
        axes.text(
            (start + end) / 2,
            0.97,
            name,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            color=theme.ink,
            fontsize=9,
            fontstyle="italic",
        )


PLOTS: Mapping[str, Callable[[Evaluation, Theme], bytes]] = {"reliability": reliability, "roc": roc, "scores": spread}
