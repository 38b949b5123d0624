"""The TypeScript of examples/web, which docs/frontend.md shows, has every key of the evidence that frontends read."""

import json
from pathlib import Path
from typing import Any

import pytest

from examples.samples import film_path
from sentinel_worker.detectors.loading import load_detector
from sentinel_worker.detectors.registry import DEMO_DETECTOR, DETECTORS
from tests.integration.inference.conftest import Examine
from tests.integration.inference.test_examine import BLACK, LOW, SILENT, WHITE, film, picture, tone
from tests.web.node import installed, run_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

INVERTED = "aevalsrc='0.5*sin(8000*PI*t)|-0.5*sin(8000*PI*t)':s=44100:d=2.1"
COLUMNS = "'id' | 'request_id' | 'user_id' | 'is_current' | 'superseded_at' | 'fence' | 'attempt' | 'created_at'"
"""What the database adds to a document."""
OPTIONS = (
    *("--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck"),
    *("--target", "es2023", "--module", "esnext", "--moduleResolution", "bundler", "--types", "node"),
    "--ignoreConfig",
)


async def documents(examine: Examine, folder: Path) -> list[dict[str, Any]]:
    """Return evidence of every kind of file, with what a loaded detector says about itself."""
    spoken, mute = film(folder / "spoken.mp4", BLACK, LOW), film(folder / "mute.mp4", BLACK)
    found = [
        await examine(spoken, "clips", "sound", keep=folder),
        await examine(spoken, "clips"),
        await examine(spoken, "clips", "sound", key="clips"),
        await examine(spoken, "clips", "sound", kind="audio"),
        await examine(film(folder / "silent.mp4", WHITE, SILENT), "clips", "sound"),
        await examine(film(folder / "inverted.mp4", BLACK, INVERTED), "clips", "sound"),
        await examine(tone(folder / "short.wav", LOW, 0.4), "sound"),
        await examine(mute, "clips"),
        await examine(film(folder / "one.mp4", WHITE, None, 2, "-frames:v", "1"), "clips", "frames"),
        await examine(picture(folder / "white.png", "white"), "stills"),
        await examine(film_path("carphone_pristine.mp4"), "faces"),
        await examine(film(folder / "m.mp4", "mandelbrot=s=320x240:r=25"), "faces"),
    ]
    described = load_detector(DETECTORS[DEMO_DETECTOR], "cpu").describe()
    for one in found:
        for track in (one.document, one.document["audio"]):
            if "detector" in track:
                track["detector"] = described | {
                    name: value for name, value in track["detector"].items() if name != "key"
                }
    return [one.document for one in found]


async def test_every_key_has_a_type_and_no_other_is_needed(examine: Examine, tmp_path: Path) -> None:
    found = await documents(examine, tmp_path)
    module = installed() / "src" / "sentinel" / "schema"
    head = (
        f"import type {{ Database }} from '{module}'\n"
        f"type Document = Omit<Database['public']['Tables']['analysis_results']['Row'], {COLUMNS}>\n"
    )
    for name, written in (("evidence", found), ("unknown", [with_one_more(found[0])])):
        text = "".join(f"export const _{n}: Document = {json.dumps(one)}\n" for n, one in enumerate(written))
        (tmp_path / f"{name}.ts").write_text(head + text)
    tsc = installed() / "node_modules/typescript/bin/tsc"
    run_node(tsc, *OPTIONS, tmp_path / "evidence.ts")
    with pytest.raises(AssertionError, match=r"unknown\.ts.*shape.* does not exist in type 'MediaFacts'"):
        run_node(tsc, *OPTIONS, tmp_path / "unknown.ts")


def with_one_more(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with a key that no type has."""
    return document | {"media": document["media"] | {"shape": "round"}}
