"""Turn a table `[detectors.KEY]` into a DetectorSpec, and report every contradiction."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sentinel_worker.detectors import calibration
from sentinel_worker.detectors.catalogue_entry import Entry, FacesTable
from sentinel_worker.detectors.registry import (
    DETECTORS,
    ONE_PICTURE,
    SAMPLE_RATE,
    STILL_STEP,
    TOP_K,
    TRAINED_STEP,
    DetectorSpec,
    Task,
)
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.domain.media_facts import FaceSearch
from sentinel_worker.domain.verdict import VerdictRule
from sentinel_worker.domain.windows import FrameStep, WindowPolicy

_SOUND_SECONDS = 4.0
_MANY_WINDOWS = 16
_PICTURE_FIELDS = ("faces", "resize_mode")
_VIDEO_FIELDS = ("frames", "step_frames", "step_seconds")
_SOUND_FIELDS = ("window_seconds", "sample_rate")
_FITTED = ("real_below", "fake_from", "temperature")
_COPIED = ("title", "licence", "commercial_use", "notice", "revision", "weights_sha256", "resize_mode", "sample_rate")


@dataclass
class Mistakes:
    """Mistakes in one table: pairs of a field ('' for the table) and a sentence."""

    _found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, said: str) -> None:
        self._found.append((name, said))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._found)

    def __bool__(self) -> bool:
        return bool(self._found)


def make_spec(key: str, entry: Entry, folder: Path, mistakes: Mistakes) -> DetectorSpec | None:
    """Return the built-in detector `key` changed by `entry`, or a new one; None if there are mistakes.

    Relative paths start at `folder`.
    """
    base = DETECTORS.get(key)
    if base is None:
        base = _new(key, entry, folder, mistakes)
    else:
        for name in ("task", "media_kind", "repository"):
            if getattr(entry, name) is not None:
                mistakes.add(name, "cannot be changed for a built-in detector; give another checkpoint another key")
    if base is None:
        return None
    _refuse_fields_of_other_tasks(base.task, entry, mistakes)
    changes: dict[str, Any] = {name: getattr(entry, name) for name in _COPIED if getattr(entry, name) is not None}
    changes |= _labels(entry, folder, mistakes)
    if entry.folder is not None:
        changes["folder"] = _existing(folder, entry.folder, "folder", mistakes, is_folder=True)
    if entry.faces is not None:
        changes["faces"] = _faces(entry.faces)
    changes |= _calibrated(key, entry, folder, base.rule, mistakes)
    policy = _policy(entry, replace(base, **changes), mistakes)
    return None if mistakes or policy is None else replace(base, **changes, window_policy=policy)


def _new(key: str, entry: Entry, folder: Path, mistakes: Mistakes) -> DetectorSpec | None:
    """Return a new detector with the defaults of its task."""
    if entry.task is None:
        mistakes.add("task", "is missing: video, image or audio")
        return None
    kind = entry.media_kind or entry.task
    if kind != entry.task and (entry.task, kind) != ("image", "video"):
        mistakes.add("media_kind", f"a model of task {entry.task} does not answer requests for {kind}")
    if (entry.repository is None) == (entry.folder is None):
        mistakes.add("", "needs either a repository or a folder")
    if entry.repository is not None and entry.revision is None:
        mistakes.add("revision", "is missing: the commit, 40 hexadecimal digits")
    policy = _default_policy(entry, entry.task, kind, folder, mistakes)
    if mistakes:
        return None
    return DetectorSpec(
        key=key,
        title="Operator's checkpoint",
        task=entry.task,
        media_kind=kind,
        repository=entry.repository,
        window_policy=policy,
        rule=ONE_PICTURE if kind == "image" else TOP_K,
        licence="not stated",
        commercial_use=entry.folder is not None,
    )


def _default_policy(entry: Entry, task: Task, kind: Task, folder: Path, mistakes: Mistakes) -> WindowPolicy:
    if task == "audio":
        return WindowPolicy(round(_SOUND_SECONDS * SAMPLE_RATE), STILL_STEP, _MANY_WINDOWS)
    if task == "image":
        return WindowPolicy(1, STILL_STEP, 1 if kind == "image" else _MANY_WINDOWS)
    frames = entry.frames or _frames_of(entry, folder)
    if frames is None:
        mistakes.add("frames", "is missing: how many frames the model takes")
    return WindowPolicy(frames or 1, TRAINED_STEP)


def _frames_of(entry: Entry, folder: Path) -> int | None:
    """Return num_frames from the checkpoint's config.json if it is in a folder."""
    if entry.folder is None:
        return None
    try:
        frames = json.loads((folder / entry.folder / "config.json").read_text(encoding="utf-8"))["num_frames"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return frames if isinstance(frames, int) and frames > 0 else None


def _refuse_fields_of_other_tasks(task: Task, entry: Entry, mistakes: Mistakes) -> None:
    refused: tuple[str, ...] = ()
    if task != "video":
        refused += _VIDEO_FIELDS
    if task != "audio":
        refused += _SOUND_FIELDS
    if task == "audio":
        refused += _PICTURE_FIELDS
    if task == "video":
        refused += ("allow_remote_code",)
    for name in refused:
        if getattr(entry, name) is not None:
            mistakes.add(name, f"means nothing for a model of task {task}")


def _labels(entry: Entry, folder: Path, mistakes: Mistakes) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if entry.fake_indices is not None:
        changes["fake_indices"] = tuple(entry.fake_indices)
        changes["fake_indices_source"] = entry.fake_indices_source or "the operator's detectors file"
    elif entry.fake_indices_source is not None:
        mistakes.add("fake_indices_source", "is only valid together with fake_indices")
    if (entry.known_fake is None) != (entry.known_real is None):
        mistakes.add(
            "known_fake" if entry.known_fake is None else "known_real",
            "is missing: the polarity check needs both known_fake and known_real",
        )
    for name in ("known_fake", "known_real"):
        paths = getattr(entry, name) or ()
        found = [_existing(folder, path, name, mistakes, is_folder=False) for path in paths]
        if found:
            changes[name] = tuple(found)
    if entry.allow_remote_code is not None:
        changes["remote_code"] = entry.allow_remote_code
    return changes


def _existing(folder: Path, path: str, name: str, mistakes: Mistakes, *, is_folder: bool) -> Path:
    found = folder / path
    try:
        if not (found.is_dir() if is_folder else found.is_file()):
            mistakes.add(name, f"the {'folder' if is_folder else 'file'} {path} does not exist")
    except OSError as error:
        mistakes.add(name, f"{path} cannot be read: {error.strerror}")
    return found


def _faces(value: bool | FacesTable) -> FaceSearch | None:
    if isinstance(value, bool):
        return FaceSearch() if value else None
    return FaceSearch(**value.model_dump())


def _calibrated(key: str, entry: Entry, folder: Path, rule: VerdictRule, mistakes: Mistakes) -> dict[str, Any]:
    """Return the verdict rule from the table or from a calibration file; both together are a mistake."""
    stated = {
        name: getattr(entry, name)
        for name in ("aggregation", "fake_windows", "suspicious_score", *_FITTED)
        if getattr(entry, name) is not None
    }
    try:
        rule = replace(rule, **stated)
    except ValueError as error:
        mistakes.add("fake_from", str(error))
    if entry.calibration is None:
        return {"rule": rule}
    for name in _FITTED:
        if name in stated:
            mistakes.add(name, "is set by the calibration file; remove one of the two")
    path = folder / entry.calibration
    try:
        read = calibration.read(path)
    except Fatal as error:
        mistakes.add("calibration", error.message)
        return {}
    if read.detector != key:
        mistakes.add("calibration", f"was fitted for detector {read.detector}")
    return {"rule": read.apply(rule), "calibration": path, "calibrated_weights": read.weights_sha256}


def _policy(entry: Entry, spec: DetectorSpec, mistakes: Mistakes) -> WindowPolicy | None:
    policy = spec.window_policy
    if entry.step_frames is not None and entry.step_seconds is not None:
        mistakes.add("step_seconds", "contradicts step_frames; give only one of them")
        return None
    step = policy.step
    if entry.step_frames is not None or entry.step_seconds is not None:
        step = FrameStep(source_frames=entry.step_frames, seconds=entry.step_seconds)
    frames = entry.frames or policy.frames
    if spec.task == "audio" and (entry.window_seconds or entry.sample_rate):
        seconds = entry.window_seconds or policy.frames / SAMPLE_RATE
        frames = round(seconds * spec.sample_rate)
    budget = entry.budget or policy.budget
    # If the budget is smaller than the built-in one, less of it is reserved for refinement.
    refine = entry.refine if entry.refine is not None else min(policy.refine, budget - 1)
    try:
        return WindowPolicy(frames, step, budget, refine)
    except ValueError as error:
        mistakes.add("refine", str(error))
        return None
