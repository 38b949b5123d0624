"""The calibration file: it reads back as it was written, and errors name every mistake in it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sentinel_worker.detectors import calibration
from sentinel_worker.detectors.calibration import Calibration, FittedOn, Intervals
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.verdict import VerdictRule

KNOWN = Calibration(
    detector="demo",
    weights_sha256="0f" * 32,
    temperature=0.7,
    real_below=0.3,
    fake_from=0.6,
    fitted_on=FittedOn(files=40, groups=20, fakes=18, reals=22, date=datetime.date(2026, 5, 1)),
    intervals=Intervals(temperature=(0.5, 0.9), real_below=(0.2, 0.33), fake_from=(0.5, 0.7)),
    metrics_before={"auc": 0.97, "ece": 0.1},
    metrics_after={"auc": 0.97, "ece": 0.04},
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "demo.json"
    KNOWN.write(path)
    return path


def change(path: Path, change_it: Callable[[dict[str, Any]], object]) -> str:
    """Edit the file, and return the error of reading it."""
    content = json.loads(path.read_text())
    change_it(content)
    path.write_text(json.dumps(content))
    with pytest.raises(Fatal) as refusal:
        calibration.read(path)
    assert refusal.value.code == "calibration_invalid"
    return refusal.value.message


def test_what_is_written_is_read(file: Path) -> None:
    assert calibration.read(file) == KNOWN
    assert [path.name for path in file.parent.iterdir()] == ["demo.json"]


def test_hashes_nobody_took_may_be_missing_from_it(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    unhashed = replace(KNOWN, weights_sha256=None)
    unhashed.write(path)
    assert calibration.read(path) == unhashed


def test_it_sets_temperature_and_thresholds_of_a_rule_and_nothing_else() -> None:
    rule = KNOWN.apply(VerdictRule("top_k", fake_windows=2))
    assert rule == VerdictRule("top_k", fake_windows=2, real_below=0.3, fake_from=0.6, temperature=0.7)


@pytest.mark.parametrize(
    ("change_it", "said"),
    [
        (lambda c: c.update(version=2), "its version is 2, but this worker reads version 1"),
        (lambda c: c.pop("version"), "its version is null"),
        (lambda c: c.update(version=True), "its version is true"),
        (lambda c: c.pop("detector"), "detector is missing"),
        (lambda c: c.update(detector=""), "detector: string should have at least 1 character"),
        (lambda c: c.update(threshold=0.5), "threshold is unknown"),
        (lambda c: c.update(temperature=0), "temperature: input should be greater than 0"),
        (lambda c: c.update(temperature=float("inf")), "temperature: input should be a finite number"),
        (lambda c: c.update(temperature="1"), "temperature: input should be a valid number"),
        (lambda c: c.update(fake_from=1.0), "fake_from: input should be less than 1"),
        (lambda c: c.update(real_below=0.7), "real_below is above fake_from"),
        (lambda c: c.update(weights_sha256="abc"), "weights_sha256: string should match"),
        (lambda c: c["fitted_on"].update(files=1.5), "fitted_on.files: input should be a valid integer"),
        (lambda c: c["fitted_on"].update(date="May"), "fitted_on.date: input should be a valid date"),
        (lambda c: c["intervals"].update(temperature=[0.5]), "intervals.temperature.1 is missing"),
        (lambda c: c["metrics_after"].update(ece=None), "metrics_after.ece: input should be a valid number"),
    ],
)
def test_each_mistake_is_named(file: Path, change_it: Callable[[dict[str, Any]], object], said: str) -> None:
    assert said in change(file, change_it)


def test_several_mistakes_are_named_at_once(file: Path) -> None:
    message = change(file, lambda c: c.update(temperature=-1, fake_from="high"))
    assert "temperature: " in message
    assert "fake_from: " in message


@pytest.mark.parametrize(
    ("content", "said"), [("{", "it is not JSON"), ("[]", "it is not a JSON object"), ("\udcff", "it is not JSON")]
)
def test_other_files_are_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content, errors="surrogateescape")
    with pytest.raises(Fatal, match=said):
        calibration.read(path)


def test_a_missing_file_is_reported_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="No such file") as refusal:
        calibration.read(tmp_path / "gone.json")
    assert str(tmp_path) not in refusal.value.message


def test_a_write_that_fails_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace(KNOWN, temperature=2.0).write(file)
    assert calibration.read(file) == KNOWN
    assert [path.name for path in file.parent.iterdir()] == ["demo.json"]
