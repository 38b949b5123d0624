"""Descriptions of detectors that are not loaded, as JSON values. Does not import torch."""

from __future__ import annotations

from typing import Any

from sentinel_worker.detectors import lock
from sentinel_worker.detectors.files import CONFIG, NOT_HERE, Located, locate, read_json
from sentinel_worker.detectors.labels import map_labels
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.errors import Fatal


def brief(spec: DetectorSpec) -> dict[str, Any]:
    """Return a line of `models list`. `state` is pulled, cached (not by `models pull`), folder, missing or damaged."""
    state, located = _state(spec)
    return {
        "key": spec.key,
        "task": spec.task,
        "media_kind": spec.media_kind,
        "state": state,
        "repository": spec.repository if spec.folder is None else None,
        "revision": located.revision if located is not None else spec.revision,
        "folder": str(spec.folder) if spec.folder is not None else None,
        "licence": spec.licence,
        "commercial_use": spec.commercial_use,
        "title": spec.title,
    }


def full(spec: DetectorSpec) -> dict[str, Any]:
    """Return the whole output of `models show`."""
    policy, rule = spec.window_policy, spec.rule
    unit = "samples" if spec.task == "audio" else "frames"
    return brief(spec) | {
        "notice": spec.notice,
        "window": {
            unit: policy.frames,
            "step_frames": policy.step.source_frames,
            "step_seconds": policy.step.seconds,
            "sample_rate": spec.sample_rate if spec.task == "audio" else None,
            "budget": policy.budget,
            "refine": policy.refine,
        },
        "faces": spec.faces is not None,
        "resize_mode": spec.resize_mode,
        "rule": {
            "aggregation": rule.aggregation,
            "fake_windows": rule.fake_windows,
            "real_below": rule.real_below,
            "fake_from": rule.fake_from,
            "temperature": rule.temperature,
            "suspicious_score": rule.suspicious_score,
        },
        "calibration": str(spec.calibration) if spec.calibration is not None else None,
        "remote_code_allowed": spec.remote_code,
        "labels": _labels(spec),
        "files": _files(spec),
    }


def _state(spec: DetectorSpec) -> tuple[str, Located | None]:
    try:
        located = locate(spec)
    except Fatal as error:
        return "missing" if error.code in NOT_HERE else "damaged", None
    if spec.folder is not None:
        return "folder", located
    return "pulled" if located.pull is not None else "cached", located


def _labels(spec: DetectorSpec) -> dict[str, Any]:
    """Return the names and meanings of the checkpoint's outputs, or the reason why they are unknown."""
    try:
        content = read_json(locate(spec), CONFIG, spec)
        # Falls back to the library's names if the file gives none.
        given = content.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
        names = {int(index): str(name) for index, name in given.items()}
        labels = map_labels(names, spec.fake_indices)
    except (Fatal, ValueError, AttributeError) as error:
        said = error.message if isinstance(error, Fatal) else "The checkpoint's labels cannot be read."
        return {"unknown": said, "fake_indices": list(spec.fake_indices or ()), "source": spec.fake_indices_source}
    return {
        "names": {str(index): name for index, name in names.items()},
        "fake_indices": list(labels.fake_indices),
        "source": spec.fake_indices_source or labels.source,
    }


def _files(spec: DetectorSpec) -> dict[str, Any]:
    pull = lock.find(spec.repository, spec.revision) if spec.repository and spec.folder is None else None
    return {name: {"sha256": file.sha256, "size": file.size} for name, file in pull.files.items()} if pull else {}
