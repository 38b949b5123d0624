"""The page of `analyze --report`: the findings in each file and their meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sentinel_worker.reports import html
from sentinel_worker.reports.drawing import Theme
from sentinel_worker.reports.html import Picture
from sentinel_worker.reports.timeline_plot import clock, timeline

Result = Mapping[str, Any]

_REASONS = {
    "no_face": "no face was found, and this detector judges only faces",
    "silence": "the sound is silent throughout",
}
_LISTED_WINDOWS = 24
_WORST_FRAMES = ("worst_frame", "worst_frame_2", "worst_frame_3")
_RIGHT = 0.8


@dataclass(frozen=True, slots=True)
class Box:
    """A face in the picture: CSS lengths, and its P(fake). `at_right`: a label at its left side would overflow."""

    left: str
    top: str
    width: str
    height: str
    probability: float
    at_right: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as a data URI, with the faces that were judged on it."""

    uri: str
    caption: str
    boxes: Sequence[Box] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """One file, ready for the template. `about` is the track that the verdict is mainly about ("pictures" or "sound"),
    and `timeline` is its plot. `sound` is the answer about the sound of a video whose pictures were judged, too."""

    result: Result
    sentence: str
    about: str
    sound: Result
    pictures: Sequence[Shown]
    timeline: Picture | None
    sound_timeline: Picture | None
    faces: Sequence[tuple[str, Sequence[float]]]
    facts: Sequence[tuple[str, str]]
    detectors: Sequence[Sequence[tuple[str, str]]]


def write(path: Path, results: Sequence[tuple[Result, Mapping[str, Path]]]) -> None:
    """Write the page to `path`; raises OSError. `page` describes `results`."""
    html.write(path, page(results))


def page(results: Sequence[tuple[Result, Mapping[str, Path]]]) -> str:
    """Render `results` as HTML: documents as in `analysis_results`, with `source` (the file's name or URL), each with
    its derived pictures by name.

    A file that failed has `source`, `error_code` and `error_message` instead.
    """
    sections = [_section(result, pictures) for result, pictures in results]
    return html.render("analysis.html.j2", {"sections": sections})


def _section(result: Result, pictures: Mapping[str, Path]) -> Section:
    if "error_code" in result:
        return Section(result, f"{result['error_message']}", "", {}, (), None, None, (), (), ())
    about = "pictures" if result["frames"] else "sound"
    sound = result["audio"] if result["frames"] and "coverage" in result["audio"] else {}
    detectors = [result["detector"], *([sound["detector"]] if "detector" in sound else [])]
    return Section(
        result=result,
        sentence=_sentence(result, sound),
        about=about,
        sound=sound,
        pictures=_all_shown(pictures, result),
        timeline=_timeline(result, about),
        sound_timeline=_timeline(sound, "sound"),
        faces=_faces(result["timeline"]),
        facts=_facts(result),
        detectors=[_detector(one) for one in {one["key"]: one for one in detectors}.values()],
    )


def _sentence(result: Result, sound: Result) -> str:
    probability, threshold = result["fake_probability"], result["threshold"]
    if probability is None:
        reason = result["verdict_reason"]
        rest = "only the sound was judged, see below" if sound.get("fake_probability") else "nothing was judged"
        return f"{_REASONS.get(str(reason), str(reason).replace('_', ' '))}; {rest}."
    if result["verdict_reason"] is not None:
        return _doubt(result, sound)
    decider = sound if sound.get("fake_probability") == probability else result
    real_below = decider["detector"].get("real_below")
    match result["verdict"]:
        case "fake":
            return f"at or above the threshold of {threshold:.2f}."
        case "real":
            return f"below {real_below:.2f}, from where it would be uncertain." if real_below else "low enough."
    if probability >= threshold:
        few = f"at or above the threshold of {threshold:.2f}, but too few single windows reach it."
        return few if decider is result else "the higher one of pictures and sound; neither is called fake."
    return f"below the threshold of {threshold:.2f}, and not low enough to be called real."


def _doubt(result: Result, sound: Result) -> str:
    """Say why the file is not called real although its probability is low."""
    if result["verdict_reason"] == "suspicious_window":
        return f"low as a whole, but {_suspicious(result, sound)} looks fake: the file cannot be called real."
    if "error_code" in sound:
        what = "the sound could not be read"
    elif any(window.get("skipped") == "damaged" for one in (result, sound) for window in one.get("timeline", ())):
        what = "a damaged part could not be read"
    else:
        what = f"too much was not looked at (the longest part is {clock(result['longest_gap_seconds'])})"
    return f"low, but {what}: the file cannot be called real."


def _suspicious(result: Result, sound: Result) -> str:
    """Name the window that looks fake, of the track that has one."""
    heard = sound.get("reason") == "suspicious_window" and (result["frames"] or {}).get("reason") != "suspicious_window"
    span = _span(_worst((sound if heard else result)["timeline"]))
    track = "sound" if heard or result["frames"] is None else "pictures"
    return f"one window of the {track} ({span})"


def _looked_at(result: Result) -> str:
    """Say how much of each track lies in windows, and how long the longest gap between them is."""
    tracks = (("pictures", result["frames"]), ("sound", result["audio"]))
    known = [(name, track) for name, track in tracks if track and "coverage" in track]
    return "; ".join(
        f"{100 * track['coverage']:.3g} % of the {name}, longest gap {clock(track['longest_gap_seconds'])}"
        for name, track in known
    )


def _all_shown(pictures: Mapping[str, Path], result: Result) -> list[Shown]:
    """The pictures that show something of their own: the page draws boxes itself, so `worst_faces` is left out."""
    shown = [_whole(name, pictures[name], result) for name in ("thumbnail", "filmstrip") if name in pictures]
    worst = sorted(result["timeline"], key=lambda window: -(window["fake_probability"] or 0.0))
    for name, window, which in zip(_WORST_FRAMES, worst, ("highest", "second highest", "third highest"), strict=False):
        if name in pictures:
            caption = f"The window with the {which} probability, {_span(window)}"
            shown.append(Shown(_uri(pictures[name]), caption, _boxes(window.get("faces", ()))))
    return shown


def _whole(name: str, path: Path, result: Result) -> Shown:
    if name == "filmstrip":
        return Shown(_uri(path), "The windows")
    if result["media"]["kind"] == "image":
        return Shown(_uri(path), "The picture", _boxes(result["timeline"][0].get("faces", ())))
    return Shown(_uri(path), "The middle")


def _uri(path: Path) -> str:
    return html.data_uri(path.read_bytes(), "image/webp")


def _worst(timeline: Sequence[Result]) -> Result:
    return max(timeline, key=lambda window: window["fake_probability"] or 0.0)


def _span(window: Result) -> str:
    return f"{clock(window['start_seconds'])} to {clock(window['end_seconds'])}"


def _boxes(faces: Sequence[Mapping[str, Any]]) -> list[Box]:
    boxes = []
    for face in faces:
        left, top, right, bottom = face["box"]
        size = _part(right - left), _part(bottom - top)
        boxes.append(Box(_part(left), _part(top), *size, face["fake_probability"], left > _RIGHT))
    return boxes


def _part(fraction: float) -> str:
    return f"{100 * fraction:.2f}%"


def _timeline(track: Result, what: str) -> Picture | None:
    """Plot the windows; None for a still picture, which has no duration."""
    windows = track.get("timeline") or ()
    if not any(window["end_seconds"] > window["start_seconds"] for window in windows):
        return None
    threshold = (track.get("frames") or track)["threshold"]  # the file's threshold may be the sound's
    draw = partial(_draw, windows, threshold, track["detector"].get("real_below"))
    return html.picture(draw, f"The probability of each window of the {what} over time.")


def _draw(windows: Sequence[Result], threshold: float, real_below: float | None, theme: Theme) -> bytes:
    return timeline(windows, threshold, real_below, theme)


def _faces(windows: Sequence[Result]) -> list[tuple[str, list[float]]]:
    """Return the time span and the faces' probabilities of windows with faces, the highest first."""
    found = [
        (window, [face["fake_probability"] for face in window["faces"]]) for window in windows if "faces" in window
    ]
    found.sort(key=lambda pair: -max(pair[1]))
    return [
        (f"{clock(window['start_seconds'])} to {clock(window['end_seconds'])}", probabilities)
        for window, probabilities in found[:_LISTED_WINDOWS]
    ]


def _facts(result: Result) -> list[tuple[str, str]]:
    media, timings = result["media"], result.get("timings", {})
    size = f"{media['width']} × {media['height']}" if media.get("width") else None
    rate = f"{media['frames_per_second']:.3g} a second" if media.get("frames_per_second") else None
    sound = f"{media.get('audio_codec')}, {media.get('sample_rate', 0) / 1000:g} kHz, {media.get('channels')} channels"
    rows = [
        ("Kind", media["kind"]),
        ("Container", media.get("container")),
        ("Pictures", ", ".join(part for part in (media.get("video_codec"), size, rate) if part)),
        ("Sound", sound if media.get("has_audio") else None),
        ("Duration", clock(media["duration_seconds"]) if media.get("duration_seconds") else None),
        ("Looked at", _looked_at(result) if media["kind"] != "image" else None),
        ("Size", f"{media['size_bytes']:,} bytes".replace(",", " ")),
        ("SHA-256", media["sha256"]),
        ("Times", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in timings.items())),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _detector(detector: Result) -> list[tuple[str, str]]:
    labels = ", ".join(f"{index} = {name}" for index, name in detector.get("labels", {}).items())
    fake = ", ".join(str(index) for index in detector.get("fake_indices", ()))
    calibrated = {True: "yes", False: "no: its probabilities are raw"}.get(detector.get("calibrated"))  # type: ignore[arg-type]
    rows = [
        ("Detector", detector["key"]),
        ("Instead of", detector.get("instead_of")),
        ("Repository", detector.get("repository") or "a folder"),
        ("Revision", detector.get("revision")),
        ("Licence of the weights", detector.get("licence")),
        ("Labels", labels),
        ("Outputs that mean fake", f"{fake} (by {detector.get('fake_indices_source')})" if fake else None),
        ("Calibrated", calibrated),
        ("Run on", ", ".join(str(detector[name]) for name in ("device", "dtype") if name in detector)),
    ]
    return [(name, str(value)) for name, value in rows if value]
