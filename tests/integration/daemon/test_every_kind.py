"""Video, pictures and sound through one worker, with detectors from the operator's TOML file."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sentinel_local_supabase.stack import Stack
from sentinel_worker.detectors.registry import Task
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.detectors.conftest import EXTRACTOR, PREPROCESSOR, tiny_model

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOML = """
[detectors.tiny-pictures]
task = "image"
folder = "image"

[detectors.tiny-sound]
task = "audio"
folder = "audio"
window_seconds = 0.5
"""


def checkpoint(folder: Path, task: Task) -> None:
    tiny_model(task, {0: "real", 1: "fake"}).save_pretrained(folder / task)
    described = EXTRACTOR if task == "audio" else PREPROCESSOR | {"image_processor_type": "ViTImageProcessor"}
    (folder / task / "preprocessor_config.json").write_text(json.dumps(described))


def made(path: Path, *arguments: str) -> Path:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments, str(path)], check=True)
    return path


async def evidence(user: User, request_id: str) -> dict[str, Any]:
    row = await user.answer(request_id)
    assert row["status"] == "succeeded", row
    found = await user.client.table("analysis_results").select("*").eq("request_id", request_id).single().execute()
    assert isinstance(found.data, dict)
    assert found.data["verdict"] == row["verdict"]
    return found.data


async def test_each_kind_is_answered_by_its_detector(
    stack: Stack, user: User, start_worker: StartWorker, clips: dict[str, Path], tmp_path: Path
) -> None:
    checkpoint(tmp_path, "image")
    checkpoint(tmp_path, "audio")
    (tmp_path / "detectors.toml").write_text(TOML)
    detectors = {"SENTINEL_DETECTORS": str(tmp_path / "detectors.toml")}
    await start_worker(**detectors, SENTINEL_DETECTOR="demo,tiny-pictures,tiny-sound")
    portrait = tmp_path / "portrait.jpg"
    Image.new("RGB", (120, 80), "navy").save(portrait)
    song = made(tmp_path / "song.mp3", "-f", "lavfi", "-i", "sine=300:d=2")
    film = str(clips["carphone_pristine-tampered.mp4"])
    talkie = made(tmp_path / "talkie.mp4", "-i", film, "-f", "lavfi", "-i", "sine=300:d=3", "-c:v", "copy", "-shortest")

    asked = {
        "image": await user.ask(portrait),
        "audio": await user.ask(song, media_kind="audio"),
        "video": await user.ask(talkie, media_kind="video"),
    }
    answers = {kind: await evidence(user, request_id) for kind, request_id in asked.items()}
    assert {kind: answer["media"]["kind"] for kind, answer in answers.items()} == {kind: kind for kind in asked}
    assert answers["image"]["detector"]["key"] == "tiny-pictures"
    assert set(answers["image"]["derived"]) == {"thumbnail"}
    assert answers["audio"]["detector"]["key"] == "tiny-sound"
    assert answers["audio"]["frames"] is None
    assert answers["audio"]["derived"] == {}
    both = answers["video"]
    assert both["detector"]["key"] == "demo"
    assert both["frames"]["verdict"] == "fake"
    assert both["audio"]["detector"]["key"] == "tiny-sound"
    assert both["fake_probability"] == max(both["frames"]["fake_probability"], both["audio"]["fake_probability"])


async def test_a_detector_whose_known_files_contradict_it_is_refused(
    stack: Stack, start_worker: StartWorker, clips: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "detectors.toml").write_text(
        f"""[detectors.demo]
known_fake = [{json.dumps(str(clips["carphone_pristine.mp4"]))}]
known_real = [{json.dumps(str(clips["carphone_pristine-tampered.mp4"]))}]
"""
    )
    worker = await start_worker(wait=False, SENTINEL_DETECTORS=str(tmp_path / "detectors.toml"))
    assert await worker.process.wait() == 2
    assert "label_polarity_inverted" in worker.log.read_text()
