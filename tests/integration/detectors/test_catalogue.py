"""The operator's detectors file: its valid entries, and errors that name every mistake at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sentinel_worker.detectors.catalogue import read_detectors
from sentinel_worker.detectors.catalogue_entry import Entry, FacesTable
from sentinel_worker.detectors.loading import load_detector
from sentinel_worker.detectors.registry import DETECTORS, DetectorSpec
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.media_facts import FaceSearch
from sentinel_worker.domain.windows import FrameStep, WindowPolicy
from tests.integration.detectors.conftest import MakeCheckpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def read(folder: Path, text: str) -> dict[str, DetectorSpec]:
    path = folder / "detectors.toml"
    path.write_text(text)
    return dict(read_detectors(path))


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(Fatal) as refused:
        read(folder, text)
    assert refused.value.code == "bad_detectors"
    return refused.value.message.splitlines()


def test_without_a_file_there_are_the_built_in_ones(tmp_path: Path) -> None:
    assert read_detectors(None) == DETECTORS
    assert read(tmp_path, "") == DETECTORS


def test_built_in_detectors_are_changed_field_by_field(tmp_path: Path) -> None:
    specs = read(
        tmp_path,
        f"""
        [detectors.video-large]
        faces = false
        budget = 4
        fake_from = 0.7
        suspicious_score = 0.9
        [detectors.video-base]
        revision = "{COMMIT}"
        weights_sha256 = "{"a" * 64}"
        faces = {{ margin = 0.5, max_faces = 2 }}
        fake_indices = [1]
        """,
    )
    large, base = specs["video-large"], specs["video-base"]
    assert large.faces is None
    assert (large.window_policy.budget, large.window_policy.refine, large.window_policy.frames) == (4, 2, 32)
    assert (large.rule.fake_from, large.rule.real_below, large.rule.fake_windows) == (0.7, 0.33, 2)
    assert (large.rule.suspicious_score, base.rule.suspicious_score) == (0.9, None)
    assert large.fake_indices == (0,)
    assert base.faces == FaceSearch(margin=0.5, max_faces=2)
    assert (base.revision, base.fake_indices) == (COMMIT, (1,))
    assert (base.weights_sha256, large.weights_sha256) == ("a" * 64, None)
    assert base.fake_indices_source == "the operator's detectors file"
    assert specs["image-vit"] == DETECTORS["image-vit"]


def test_new_detectors_of_every_task(tmp_path: Path) -> None:
    specs = read(
        tmp_path,
        f"""
        [detectors.ours]
        task = "image"
        repository = "someone/siglip"
        revision = "{COMMIT}"
        licence = "MIT"
        commercial_use = true
        [detectors.ours-frames]
        task = "image"
        media_kind = "video"
        repository = "someone/siglip"
        revision = "{COMMIT}"
        [detectors.voices]
        task = "audio"
        repository = "someone/wav2vec2"
        revision = "{COMMIT}"
        window_seconds = 5
        sample_rate = 8000
        allow_remote_code = true
        [detectors.clips]
        task = "video"
        repository = "someone/videomae"
        revision = "{COMMIT}"
        frames = 16
        step_frames = 2
        """,
    )
    assert (specs["ours"].media_kind, specs["ours"].commercial_use, specs["ours"].licence) == ("image", True, "MIT")
    assert specs["ours"].window_policy == WindowPolicy(1, FrameStep(source_frames=1), 1)
    assert (specs["ours-frames"].task, specs["ours-frames"].media_kind) == ("image", "video")
    assert not specs["ours-frames"].commercial_use, "commercial use is not the default"
    assert specs["voices"].window_policy.frames == 40_000
    assert specs["voices"].remote_code
    assert specs["clips"].window_policy == WindowPolicy(16, FrameStep(source_frames=2))


def test_a_folder_is_relative_to_the_file_and_says_its_frames(tmp_path: Path, make_checkpoint: MakeCheckpoint) -> None:
    assert make_checkpoint().folder == tmp_path / "checkpoint"
    (tmp_path / "real.mp4").touch()
    spec = read(
        tmp_path,
        """
        [detectors.ours]
        task = "video"
        folder = "checkpoint"
        known_fake = ["real.mp4"]
        known_real = ["real.mp4"]
        """,
    )["ours"]
    assert spec.window_policy.frames == 4
    assert spec.known_fake == (tmp_path / "real.mp4",)
    assert load_detector(spec, "cpu").describe()["fake_indices"] == [1]


def test_a_calibration_file_sets_temperature_and_thresholds(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(json.dumps(calibration("demo")))
    spec = read(tmp_path, '[detectors.demo]\ncalibration = "demo.json"')["demo"]
    assert (spec.rule.temperature, spec.rule.real_below, spec.rule.fake_from) == (1.7, 0.2, 0.6)
    assert (spec.rule.aggregation, spec.rule.suspicious_score) == ("mean", 0.975)
    assert spec.calibration == tmp_path / "demo.json"
    with pytest.raises(Fatal) as refused:
        load_detector(spec, "cpu")
    assert refused.value.code == "calibration_mismatch"


def calibration(detector: str) -> dict[str, object]:
    return {
        "version": 1,
        "detector": detector,
        "weights_sha256": "0" * 64,
        "temperature": 1.7,
        "real_below": 0.2,
        "fake_from": 0.6,
        "fitted_on": {"files": 40, "groups": 10, "fakes": 20, "reals": 20, "date": "2026-11-24"},
        "intervals": {"temperature": [1.5, 1.9], "real_below": [0.1, 0.3], "fake_from": [0.5, 0.7]},
        "metrics_before": {},
        "metrics_after": {},
    }


@pytest.mark.parametrize("name", ["someone/fake--det", "someone/..", "someone/videomae.git"])
def test_a_name_that_no_hub_has(tmp_path: Path, name: str) -> None:
    (mistake,) = mistakes(tmp_path, f"[detectors.video-base]\nrepository = '{name}'")
    assert mistake.startswith("detectors.video-base.repository: ")


def test_what_cannot_be_looked_at_is_a_mistake(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, f"[detectors.image-vit]\nfolder = '{'x' * 300}'")
    assert mistake.startswith("detectors.image-vit.folder: xxx")
    assert mistake.endswith("cannot be read: File name too long")


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps(calibration("video-base")))
    (tmp_path / "broken.json").write_text("{}")
    found = mistakes(
        tmp_path,
        """
        detectors.flat = 3
        [detectors.UPPER]
        task = "image"
        folder = "."
        [detectors.video-large]
        repository = "someone/else"
        thresold = 0.4
        fake_from = "high"
        [detectors.video-base]
        task = "image"
        calibration = "other.json"
        temperature = 2.0
        window_seconds = 2
        allow_remote_code = true
        [detectors.frames]
        real_below = 0.9
        known_fake = ["nowhere.png"]
        step_seconds = 1
        [detectors.image-vit]
        calibration = "other.json"
        refine = 9
        [detectors.audio-xlsr]
        faces = true
        calibration = "broken.json"
        fake_indices_source = "a guess"
        [detectors.new]
        [detectors.newer]
        task = "video"
        media_kind = "audio"
        repository = "someone/videomae"
        [detectors.newest]
        task = "video"
        folder = "nowhere"
        frames = 16
        step_frames = 2
        step_seconds = 1
        """,
    )
    expected = [
        "detectors.flat: is not a table",
        "detectors.UPPER: a key has at most",
        "detectors.video-large.thresold: is not a known field",
        "detectors.video-large.fake_from: should be a valid number",
        "detectors.video-base.task: cannot be changed for a built-in detector",
        "detectors.video-base.window_seconds: means nothing for a model of task video",
        "detectors.video-base.allow_remote_code: means nothing",
        "detectors.video-base.temperature: is set by the calibration file",
        "detectors.frames.fake_from: a verdict rule needs",
        "detectors.frames.known_real: is missing",
        "detectors.frames.known_fake: the file nowhere.png does not exist",
        "detectors.frames.step_seconds: means nothing",
        "detectors.image-vit.calibration: was fitted for detector video-base",
        "detectors.image-vit.refine: a window policy must hold back fewer",
        "detectors.audio-xlsr.faces: means nothing",
        "detectors.audio-xlsr.calibration: The calibration file broken.json cannot be used",
        "detectors.audio-xlsr.fake_indices_source: is only valid together with fake_indices",
        "detectors.new.task: is missing",
        "detectors.newer.media_kind: a model of task video does not answer requests for audio",
        "detectors.newer.revision: is missing",
        "detectors.newer.frames: is missing",
        "detectors.newest.folder: the folder nowhere does not exist",
        "detectors.newest.step_seconds: contradicts step_frames",
    ]
    unmet = [line for line in expected if not any(said.startswith(line) for said in found)]
    assert unmet == [], "\n".join(found)
    assert len(found) == len(expected), "\n".join(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[detectors", "is not TOML"),
        ("[detector.mine]\ntask = 'image'", "detector: the file may hold only tables"),
        ("detectors = 3", "the file may hold only tables"),
    ],
)
def test_a_file_that_is_not_a_detectors_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in mistakes(tmp_path, text)[0]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"nowhere\.toml cannot be read"):
        read_detectors(tmp_path / "nowhere.toml")


def test_the_example_of_the_docs_is_read_and_every_field_is_in_them(
    tmp_path: Path, make_checkpoint: MakeCheckpoint
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "detectors.md").read_text()
    example = page.split("```toml\n")[1].split("```")[0]
    folder = make_checkpoint().folder
    assert folder is not None
    (tmp_path / "checkpoints").mkdir()
    folder.rename(tmp_path / "checkpoints" / "videomae")
    (tmp_path / "clips").mkdir()
    for name in ("fake-1.png", "real-1.png"):
        (tmp_path / "clips" / name).touch()
    (tmp_path / "video-large.json").write_text(json.dumps(calibration("video-large")))
    specs = read(tmp_path, example)
    assert specs["our-images"].faces == FaceSearch(margin=0.3, max_faces=4)
    assert load_detector(specs["our-clips"], "cpu").describe()["fake_indices_source"] == "README of the training run"
    fields = {*Entry.model_fields, *FacesTable.model_fields, *DETECTORS}
    assert sorted(name for name in fields if f"`{name}`" not in page) == []
