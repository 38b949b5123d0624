"""Both pages: complete, with file names as plain text, and without external resources."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.integration.evaluation import pages
from tests.integration.evaluation.pages import DETECTOR, HOSTILE, result, sound
from tests.lazy import lazy

if TYPE_CHECKING:
    from sentinel_worker.evaluation.evaluate import Evaluation
    from sentinel_worker.reports import analysis_page, evaluation_page, html, timeline_plot
else:  # matplotlib
    names = ("analysis_page", "evaluation_page", "html", "timeline_plot")
    analysis_page, evaluation_page, html, timeline_plot = (lazy(f"sentinel_worker.reports.{name}") for name in names)

SHOWN = HOSTILE.replace("\udcff", r"\udcff")


class Parsed(HTMLParser):
    """A page as a browser would see it: tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def attributes(self, *names: str) -> list[str]:
        return [value for _, attrs in self.tags for name, value in attrs.items() if name in names]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return pages.evaluation()


@pytest.fixture(scope="module")
def evaluated(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of an evaluation."""
    return evaluation_page.write(evaluation, DETECTOR, tmp_path_factory.mktemp("evaluation") / "new" / "out").parent


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of one file of each kind."""
    folder = tmp_path_factory.mktemp("analysis")
    analysis_page.write(folder / "page.html", pages.found(folder))
    return (folder / "page.html").read_text(encoding="utf-8")


@pytest.fixture(params=["analysis", "evaluation"])
def page(request: pytest.FixtureRequest) -> Any:
    if request.param == "analysis":
        return request.getfixturevalue("analysed")
    return (request.getfixturevalue("evaluated") / "report.html").read_text(encoding="utf-8")


def sections(page: str) -> dict[str, str]:
    """Return the text of each file's section, by file name."""
    return {
        Parsed(part).text.split(" ", 1)[0]: Parsed(part).text
        for part in re.findall(r'<section class="file"[^>]*>(.*?)</section>', page, re.DOTALL)
    }


def test_names_are_text_and_no_markup(page: str) -> None:
    parsed = Parsed(page)
    assert not {tag for tag, _ in parsed.tags} & {"script", "u", "i", "em", "iframe", "link", "object", "form"}
    assert not [name for _, attrs in parsed.tags for name in attrs if name.startswith("on")]
    assert all(attrs["src"].startswith("data:image/") for tag, attrs in parsed.tags if tag == "img")
    assert SHOWN in parsed.text
    assert "our-company/<b>clips</b>" in parsed.text
    assert "0 = <i>REAL</i>, 1 = FAKE" in parsed.text


def test_nothing_comes_from_elsewhere(page: str) -> None:
    parsed = Parsed(page)
    assert all(value.startswith(("data:image/", "#file-")) for value in parsed.attributes("src", "srcset", "href"))
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = [attrs["content"] for _, attrs in parsed.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def colours(content: bytes) -> int:
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        assert picture.width > 600
        found = picture.convert("RGB").getcolors(picture.width * picture.height)
    return len(found or ())


def test_plots_are_pictures_in_both_colour_schemes(page: str) -> None:
    parsed = Parsed(page)
    plots = [value for value in parsed.attributes("src", "srcset") if value.startswith("data:image/png;base64,")]
    assert len(plots) >= 6
    for plot in plots:
        assert colours(base64.b64decode(plot.partition(",")[2])) > 20
    assert len([tag for tag, _ in parsed.tags if tag == "source"]) == len(plots) // 2
    assert all(attrs["alt"] for tag, attrs in parsed.tags if tag == "img")


def test_an_evaluation_leaves_page_pictures_and_calibration(evaluated: Path) -> None:
    names = ["calibration.json", "reliability.png", "report.html", "roc.png", "scores.png"]
    assert sorted(path.name for path in evaluated.iterdir()) == names
    assert all(colours(path.read_bytes()) > 20 for path in evaluated.glob("*.png"))


def test_every_number_of_an_evaluation_is_on_its_page(evaluation: Evaluation, evaluated: Path) -> None:
    text = Parsed((evaluated / "report.html").read_text(encoding="utf-8")).text
    for measured in (evaluation.before, evaluation.after):
        values = measured.metrics.as_dict()
        assert set(values) == set(evaluation_page._MEASURES)
        for name, value in values.items():
            lower, upper = measured.intervals[name]
            assert f"{value:.3f} [{lower:.3f}, {upper:.3f}]" in text, name
    fitted = evaluation.calibration
    for name in ("temperature", "real_below", "fake_from"):
        lower, upper = getattr(fitted.intervals, name)
        assert f"{getattr(fitted, name):.3f} [{lower:.3f}, {upper:.3f}]" in text
    counts = f"201 with a probability {fitted.fitted_on.fakes} {fitted.fitted_on.reals} 51 1 1"
    assert counts in text
    assert "2026-05-01, on 201 files of 51 groups" in text
    assert "requires that 2 single windows reach the threshold" in text
    assert f"come from {evaluation.fold_count}-fold cross-validation" in text


def test_errors_and_files_without_a_probability_are_listed(evaluated: Path) -> None:
    text = Parsed((evaluated / "report.html").read_text(encoding="utf-8")).text
    assert f"{SHOWN} fake <em>group</em> < 0.001 real" in text
    assert "silent<b>.mp3 fake silence" in text
    assert "broken<b>.mp4 real The file <b> is damaged." in text


def test_a_key_with_a_dot_is_quoted_for_toml(evaluated: Path) -> None:
    assert (
        '[detectors."our.clips"] calibration = "calibration.json"'
        in Parsed((evaluated / "report.html").read_text(encoding="utf-8")).text
    )


def test_a_measure_without_a_value_is_shown_as_none(evaluation: Evaluation) -> None:
    """All are uncertain: none is right or wrong."""
    undecided = replace(evaluation.after.metrics, accuracy=float("nan"))
    page = evaluation_page.page(replace(evaluation, after=replace(evaluation.after, metrics=undecided)), DETECTOR)
    before, interval = evaluation.before.metrics.accuracy, evaluation.before.intervals["accuracy"]
    row = f"Correct, of the verdicts fake and real {before:.3f} [{interval[0]:.3f}, {interval[1]:.3f}] none"
    assert row in Parsed(page).text


def test_the_table_has_every_file(analysed: str) -> None:
    text = Parsed(analysed).text.partition("What a verdict means")[0]
    for row in (
        f"{SHOWN} fake 0.961 our-clips",
        "unsure.mp4 uncertain 0.412 our-clips",
        "plain.mp4 uncertain < 0.001 our-clips",
        "mute.mp4 real < 0.001 our-clips",
        "faceless.mp4 not applicable none our-clips",
        "portrait.png fake > 0.999 our-clips",
        "speech.mp3 fake 0.876 our-sound",
        "broken<b>.mp4 failed The file <b> cannot be decoded.",
    ):
        assert row in text


def test_verdicts_are_shown_as_sentences(analysed: str) -> None:
    said = sections(analysed)
    assert "Fake , P(fake) 0.961: at or above the threshold of 0.50." in Parsed(analysed).text
    assert "below the threshold of 0.50, and not low enough to be called real." in said["unsure.mp4"]
    assert "0.777: at or above the threshold of 0.50, but too few single windows reach it" in said["few.mp4"]
    assert "Real , P(fake) < 0.001: below 0.33, from where it would be uncertain." in said["mute.mp4"]
    assert "no face was found, and this detector judges only faces; only the sound was judged" in said["faceless.mp4"]
    assert "Failed: The file <b> cannot be decoded. media_unreadable" in said["broken<b>.mp4"]


def test_sound_with_and_without_pictures(analysed: str) -> None:
    said = sections(analysed)
    assert "The sound could not be judged: media_unreadable" in said["plain.mp4"]
    assert "Real , P(fake) 0.101 by our-sound. File" in said["faceless.mp4"]  # no higher one of two
    assert "Pictures over time" in said["unsure.mp4"]
    alone = said["speech.mp3"]
    assert alone.count("Sound over time") == 1
    assert "Pictures" not in alone
    assert "higher one" not in alone
    assert "Sound mp3, 16 kHz, 1 channels" in alone


def test_the_share_that_was_looked_at_is_said_and_what_was_not(analysed: str) -> None:
    said = sections(analysed)
    assert "Looked at 4.12 % of the pictures, longest gap 0:15 Size" in said["unsure.mp4"]
    assert "Looked at 15.1 % of the sound, longest gap 0:35.7" in said["speech.mp3"]
    assert "Looked at" not in said["portrait.png"]
    assert "the sound could not be read: the file cannot be called real." in said["plain.mp4"]
    assert (
        "too much was not looked at (the longest part is 3:20): the file cannot be called real." in said["sparse.mp4"]
    )
    assert "The sound was not looked at" in said["mute.mp4"]
    assert "4.12 % of the pictures, longest gap 0:15; 0 % of the sound, longest gap 1:15.5" in said["mute.mp4"]
    damaged = result("d.mp4", "uncertain", 0.1, verdict_reason="not_covered")
    damaged["timeline"].append(pages.window(60.0, None, skipped="damaged"))
    assert "low, but a damaged part could not be read" in Parsed(analysis_page.page([(damaged, {})])).text


def test_the_window_that_leaves_no_real_is_named() -> None:
    def said(found: pages.Result) -> str:
        return Parsed(analysis_page.page([(found, {})])).text

    frames = result("s.mp4", "uncertain", 0.1)["frames"]
    seen = result("s.mp4", "uncertain", 0.1, verdict_reason="suspicious_window")
    seen["frames"] = frames | {"reason": "suspicious_window"}
    assert "low as a whole, but one window of the pictures (1:00 to 1:04.3) looks fake: the file cannot" in said(seen)
    heard = result("s.mp4", "uncertain", 0.1, verdict_reason="suspicious_window")
    heard |= {"frames": frames | {"verdict": "real"}, "audio": sound("uncertain", 0.1, reason="suspicious_window")}
    assert "low as a whole, but one window of the sound (0:40 to 0:44.3) looks fake" in said(heard)
    speech = heard | {"frames": None, "timeline": heard["audio"]["timeline"], "media": pages.media("audio")}
    assert "low as a whole, but one window of the sound (0:40 to 0:44.3) looks fake" in said(speech)


def test_faces_have_boxes_and_numbers(analysed: str) -> None:
    boxes = [attrs for _, attrs in Parsed(analysed).tags if attrs.get("class", "").startswith("box")]
    assert [box["style"] for box in boxes] == [
        "left:55.00%;top:10.00%;width:15.00%;height:50.00%",
        "left:93.00%;top:0.00%;width:7.00%;height:12.00%",
        "left:50.00%;top:10.00%;width:25.00%;height:50.00%",
    ]
    # The label of a face at the right edge stays within the picture.
    assert [box["class"] for box in boxes] == ["box", "box at-right", "box"]
    text = Parsed(analysed).text
    assert "0:00 to 0:04.3 0.961, 0.302" in text
    assert "1:00 to 1:04.3 0.040" in text
    assert "Faces were found in 2 of 3 windows." in text


def test_the_pictures_of_a_file_are_inside(analysed: str) -> None:
    photographs = [value for value in Parsed(analysed).attributes("src") if value.startswith("data:image/webp")]
    assert len(photographs) == 4
    with Image.open(io.BytesIO(base64.b64decode(photographs[0].partition(",")[2]))) as picture:
        assert picture.format == "WEBP"


def plots(page: str) -> int:
    return len([tag for tag, _ in Parsed(page).tags if tag == "source"])


def test_a_still_picture_has_no_timeline(tmp_path: Path) -> None:
    (still,) = [one for one in pages.found(tmp_path) if one[0]["source"] == "portrait.png"]
    page = analysis_page.page([still])
    assert plots(page) == 0
    assert "over time" not in page
    assert "360 × 480" in page
    assert "Analysis of 1 file<" in page


def test_nothing_was_judged_at_all() -> None:
    silent = sound("not_applicable", None, reason="silence", timeline=[pages.window(0.0, None, skipped="silence")])
    answer = result("s.mp3", "not_applicable", None, frames=None, verdict_reason="silence", audio=silent)
    page = analysis_page.page([(answer | {"timeline": silent["timeline"], "media": pages.media("audio")}, {})])
    assert "the sound is silent throughout; nothing was judged." in Parsed(page).text
    assert plots(page) == 1


def test_the_timeline_shows_the_threshold_of_its_own_track(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's threshold is the sound's where the sound decides."""
    drawn: list[float] = []

    def noticed(windows: Any, threshold: float, *rest: Any) -> bytes:
        drawn.append(threshold)
        return timeline_plot.timeline(windows, threshold, *rest)

    monkeypatch.setattr("sentinel_worker.reports.analysis_page.timeline", noticed)
    decided = result("s.mp4", "fake", 0.9, threshold=0.6, audio=sound("fake", 0.9))
    analysis_page.page([(decided, {})])
    assert drawn == [0.5, 0.5, 0.6, 0.6]


def test_a_threshold_belongs_to_the_track_that_decides() -> None:
    both = result("b.mp4", "real", 0.3, audio=sound("real", 0.3, detector=pages.SOUND_DETECTOR | {"real_below": 0.4}))
    assert "below 0.40, from where it would be uncertain" in Parsed(analysis_page.page([(both, {})])).text
    unsure = result("u.mp4", "uncertain", 0.55, audio=sound("uncertain", 0.55))
    said = Parsed(analysis_page.page([(unsure, {})])).text
    assert "0.550: the higher one of pictures and sound; neither is called fake." in said


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (3.54, "0:03.5"), (59.96, "1:00"), (123, "2:03"), (3723.4, "1:02:03"), (86399.99, "24:00:00")],
)
def test_clock(seconds: float, shown: str) -> None:
    assert timeline_plot.clock(seconds) == shown


def test_a_probability_is_never_certain() -> None:
    assert [html._probability(value) for value in (None, 0.0, 0.0004, 0.0005, 0.9995, 0.9996, 1.0)] == [
        "none", "< 0.001", "< 0.001", "0.001", "> 0.999", "> 0.999", "> 0.999",
    ]  # fmt: skip
