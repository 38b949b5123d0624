"""`analyze` and `evaluate` as an operator runs them: real files, the demo's detector, some in separate processes."""

from __future__ import annotations

import functools
import itertools
import json
import os
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from examples.demo_checkpoint.manifest import write_set
from sentinel_worker.detectors import calibration
from sentinel_worker.detectors.catalogue import read_detectors
from tests.integration.evaluation.conftest import Command
from tests.matrix import sampled

pytestmark = pytest.mark.timeout(600)

KEYS = {
    "source", "verdict", "fake_probability", "threshold", "verdict_reason", "coverage",
    "longest_gap_seconds", "detector", "timeline", "faces", "frames",
    "audio", "media", "derived", "timings", "notice", "software",
}  # fmt: skip


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing: the tests read the answers."""


@pytest.fixture
def address(clips: dict[str, Path]) -> Iterator[str]:
    """A local server with the demo's clips."""
    folder = next(iter(clips.values())).parent
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def clip(clips: dict[str, Path]) -> Path:
    return next(path for name, path in sorted(clips.items()))


def test_a_table_for_people(command: Command, clips: dict[str, Path], clip: Path, tmp_path: Path) -> None:
    """Names that are not valid text are printed too, without markup or control characters."""
    hostile = tmp_path / "[red]a\x1b[31m\udcff.mp4"
    hostile.write_bytes(clip.read_bytes())
    some = sorted(clips)[:2]
    answer = command(
        "analyze", *(clips[name] for name in some), hostile, tmp_path / "gone\udcff.mp4", "--detector", "demo"
    )
    assert answer.returncode == 1, answer.stderr
    first, *rows = answer.stdout.splitlines()
    assert first.split() == ["file", "kind", "verdict", "P(fake)", "windows", "detector", "seconds"]
    for name, row in zip(some, rows, strict=False):
        assert row.split()[:2] == [name, "video"]
        assert row.split()[2] in {"fake", "real", "uncertain"}
        assert "demo" in row
    assert "A verdict is a statistical judgement, not proof" in answer.stdout
    assert "[red]a\\x1b[31m\\udcff.mp4" in answer.stdout
    assert "gone\\udcff.mp4 cannot be read: No such file or directory." in answer.stdout


def test_lines_for_machines_a_report_and_what_failed(
    command: Command, clip: Path, address: str, tmp_path: Path
) -> None:
    """Files, addresses and invalid arguments in one call: each has its line, in the order of the arguments."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text.mp4").write_text("no film")
    Image.new("RGB", (64, 64)).save(tmp_path / "still.png")
    hostile = tmp_path / "[red]a\x1b[31m\udcff.mp4"
    hostile.write_bytes(clip.read_bytes())
    secret = address.replace("http://", "HTTP://user:secret@")
    sources: list[tuple[str | Path, str | None]] = [
        (clip, None),
        (f"{address.replace('http', 'HTTP', 1)}/{clip.name}?token=secret", None),
        (hostile, None),
        (f"{secret}/gone.mp4?token=secret", "url_refused"),
        ("http://127.0.0.1:9/film.mp4", "url_unreachable"),
        (tmp_path / "folder", "file_unreadable"),
        (tmp_path / "pipe", "file_unreadable"),
        (tmp_path / "gone.mp4", "file_unreadable"),
        (tmp_path / "text.mp4", "media_not_supported"),
        (tmp_path / "still.png", "detector_wrong_kind"),
    ]
    words = [os.fsdecode(os.fspath(source)) for source, _ in sources]
    answer = command("analyze", *words, "--detector", "demo", "--json", "--report", "page.html")
    assert answer.returncode == 1, answer.stderr
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    codes = [line.get("error_code") for line in lines]
    assert codes[:-2] == [code for _, code in sources][:-2]
    assert None not in codes[3:]
    for line in lines[:3]:
        assert set(line) == KEYS
        assert line["detector"]["key"] == "demo"
        assert line["media"]["sha256"] == lines[0]["media"]["sha256"]
    assert all(set(line) == {"source", "error_code", "error_message"} for line in lines[3:])
    assert lines[1]["source"] == f"{address}/{clip.name}"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Analysis of 10 files" in page
    assert page.count("data:image/webp") == 3 * 5, "of each the middle, the three worst windows and the filmstrip"
    for text in (answer.stdout, answer.stderr, page):
        assert "secret" not in text
    assert "report written to page.html" in answer.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--detector", "nobody"), "nobody"),
        (("--detector", "video-large"), "sentinel-worker models pull video-large"),
        (
            (),
            "No detector has its weights on this machine: sentinel-worker models pull video-large image-vit audio-xlsr",
        ),
    ],
)
def test_what_is_said_before_seconds_of_imports(
    process: Command, clip: Path, words: tuple[str, ...], said: str
) -> None:
    answer = process("analyze", clip, *words, without=["torch", "transformers"])
    assert (answer.returncode, answer.stdout) == (2, "")
    assert said in answer.stderr


@pytest.mark.parametrize(
    ("keys", "code", "said"),
    [
        ("video-large,no-such", "unknown_detector", "Unknown detector 'no-such';"),
        ("no-such,demo,nor-this", "unknown_detector", "Unknown detector 'no-such' or 'nor-this'"),
        ("image-vit", "checkpoint_unpinned", "run `sentinel-worker models pull image-vit`"),
        (
            "video-large,demo,image-vit",
            "checkpoint_missing",
            "machine: sentinel-worker models pull video-large image-vit",
        ),
    ],
)
def test_a_worker_says_at_once_which_detectors_it_lacks(process: Command, keys: str, code: str, said: str) -> None:
    supabase = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_SECRET_KEY": "sb_secret_none"}
    answer = process("run", without=["torch", "transformers"], SENTINEL_DETECTOR=keys, **supabase)
    assert answer.returncode == 2, answer.stderr
    line = json.loads(answer.stderr)
    assert (line["event"], line["error_code"]) == ("worker.broken", code)
    assert said in line["error"]


def test_defaults_that_name_nothing(process: Command, clip: Path) -> None:
    answer = process("analyze", clip, "--defaults", " , ", without=["torch", "transformers"])
    assert answer.returncode == 2
    assert "No detector is named" in answer.stderr


def test_a_missing_folder_is_reported_before_the_work(command: Command, clip: Path) -> None:
    answer = command("analyze", clip, "--detector", "demo", "--report", "no/such/folder.html")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "the folder no/such does not exist" in answer.stderr


def test_defaults_that_are_not_here_are_named(command: Command, clip: Path) -> None:
    answer = command("analyze", clip, "--defaults", "demo, audio-xlsr")
    assert answer.returncode == 0, answer.stderr
    assert "does not detect deepfakes" in answer.stdout
    assert (
        "skipping audio-xlsr, whose weights are not on this machine: sentinel-worker models pull audio-xlsr"
        in answer.stderr
    )


def test_a_report_that_cannot_be_written_costs_no_answer(command: Command, clip: Path) -> None:
    answer = command("analyze", clip, "--detector", "demo", "--json", "--report", "/proc/page.html")
    assert answer.returncode == 2
    assert set(json.loads(answer.stdout)) == KEYS
    assert "/proc/page.html cannot be written" in answer.stderr


WITHOUT_EXTRA = """
from sentinel_worker.cli import main
program, clip = sys.argv
for words, missing in (
    (["analyze", clip, "--json"], ["matplotlib", "sklearn", "torchmetrics"]),
    (["analyze", clip, "--report", "r.html"], ["matplotlib"]),
    (["evaluate", "gone.csv"], ["matplotlib"]),
):
    for name in ("matplotlib", "sklearn", "torchmetrics"):
        sys.modules.pop(name, None)
    sys.modules.update(dict.fromkeys(missing))
    sys.argv = [program, *words, "--detector", "demo"]
    try:
        main()
    except SystemExit as end:
        print(words[0], "exits with", end.code, file=sys.stderr)
"""


def test_without_the_extra_for_reports(process: Command, clip: Path) -> None:
    """The commands run one after the other in one process, which imports torch once."""
    answer = process(clip, program=WITHOUT_EXTRA)
    assert answer.returncode == 0, answer.stderr
    assert set(json.loads(answer.stdout)) == KEYS
    missing = "error matplotlib is not installed: pip install 'sentinel-worker[reports]'"
    expected = ["analyze exits with 0", missing, "analyze exits with 2", missing, "evaluate exits with 2"]
    assert answer.stderr.splitlines()[-5:] == expected


PAIRS, FEWEST = 20, 2
"""Pairs of a clean and a tampered clip: enough for a calibration, or so few that each pair is taken four times."""


def multiply(manifest: Path, times: int) -> None:
    """Add copies of each file to its group. An empty box at the end makes each copy's content differ."""
    _, *lines = manifest.read_text().splitlines()
    with manifest.open("a") as file:
        for line, copy in itertools.product(lines, range(1, times)):
            name, _, rest = line.partition(",")
            box = (8 + copy).to_bytes(4, "big") + b"free" + bytes(copy)
            (manifest.parent / f"{copy}-{name}").write_bytes((manifest.parent / name).read_bytes() + box)
            file.write(f"{copy}-{name},{rest}\n")


@pytest.fixture
def forty(tmp_path: Path) -> str:
    """A manifest of twenty files of each label, none of which is a film."""
    (tmp_path / "files").mkdir()
    for number in range(40):
        (tmp_path / "files" / f"{number}.mp4").write_text(str(number))
    return "path,label\n" + "".join(f"files/{number}.mp4,{number % 2}\n" for number in range(40))


@pytest.mark.parametrize(
    ("manifest", "words", "said"),
    [
        ("path,label\ngone.mp4,fake\na.mp4,x\n", ("--detector", "demo"), "line 2: the file 'gone.mp4' does not exist"),
        ("path,label\nm.csv,fake\n", ("--detector", "demo"), "Only 1 fakes and 0 reals can be used"),
        ("forty", ("--detector", "demo", "--out", "m.csv/out"), "m.csv/out cannot be written"),
        ("forty", ("--detector", "demo"), "Only 0 fakes and 0 reals can be used"),
    ],
)
def test_an_impossible_evaluation_is_refused(
    command: Command, tmp_path: Path, forty: str, manifest: str, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "m.csv").write_text(forty if manifest == "forty" else manifest)
    answer = command("evaluate", "m.csv", *words)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert said in answer.stderr


def test_an_evaluation_without_weights(process: Command) -> None:
    answer = process("evaluate", "gone.csv", "--detector", "video-large", without=["torch", "transformers"])
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "sentinel-worker models pull video-large" in answer.stderr


@pytest.mark.parametrize("pairs", sampled("detectors", [FEWEST, PAIRS], [FEWEST]))
def test_an_evaluation_and_the_use_of_its_calibration(
    command: Command, clip: Path, tmp_path: Path, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thin case has few footages and few resamples, which otherwise take a third of the time."""
    if pairs == FEWEST:
        monkeypatch.setattr("sentinel_worker.commands.evaluate.REPLICATES", 30)
    manifest = write_set(tmp_path / "set", pairs, 1, processes=1)
    multiply(manifest, PAIRS // pairs)
    with manifest.open("a") as file:
        file.write("MANIFEST.csv,fake,none\n")  # a file that fails
    answer = command("evaluate", manifest, "--detector", "demo", "--out", "new/out")
    assert answer.returncode == 0, answer.stderr
    assert f"40 files in {pairs} groups; 0 not applicable, 1 failed" in answer.stdout
    out = tmp_path / "new" / "out"
    names = ["calibration.json", "reliability.png", "report.html", "roc.png", "scores.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert "MANIFEST.csv" in (out / "report.html").read_text()
    fitted = calibration.read(out / "calibration.json")
    assert (fitted.detector, fitted.fitted_on.fakes, fitted.fitted_on.reals) == ("demo", 20, 20)
    assert fitted.weights_sha256 is not None
    assert f"temperature {fitted.temperature:.3f}" in answer.stdout
    detectors = out / "detectors.toml"
    detectors.write_text('[detectors.demo]\ncalibration = "calibration.json"\n')
    rule = read_detectors(detectors)["demo"].rule
    assert (rule.temperature, rule.fake_from) == (fitted.temperature, fitted.fake_from)
    answer = command("analyze", clip, "--detector", "demo", "--json", "--detectors", detectors)
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["threshold"] == fitted.fake_from
    assert document["detector"]["calibrated"] is True
    other = json.loads((out / "calibration.json").read_text()) | {"weights_sha256": "ab" * 32}
    (out / "calibration.json").write_text(json.dumps(other))
    answer = command("analyze", clip, "--detector", "demo", "--json", "--detectors", detectors)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "other weights" in answer.stderr
