"""The bill of materials is valid CycloneDX and contains the whole lock."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion

from deploy import lock, sbom


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    # It compiles the grammars of 38 formats when it is imported: 3 s, which would slow the collection of all tests.
    from cyclonedx.validation.json import JsonStrictValidator

    path = tmp_path_factory.mktemp("dist") / "new" / "sbom.cdx.json"
    sbom.write(path)
    text = path.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    content: dict[str, Any] = json.loads(text)
    return content


def test_every_locked_package_is_in_it_with_its_hashes(bill: dict[str, Any]) -> None:
    found = {part["bom-ref"]: {each["content"] for each in part.get("hashes", [])} for part in bill["components"]}
    for entry in [*lock.read(lock.DAEMON), *lock.read(lock.CUDA)]:
        if any(entry.is_for(target) for target in lock.TARGETS):
            assert found.get(f"{entry.name}@{entry.version}") == set(entry.hashes), entry.name
        else:
            assert f"{entry.name}@{entry.version}" not in found, "not for Linux"


def test_models_and_ffmpeg_are_in_it(bill: dict[str, Any]) -> None:
    found = {part["name"]: part for part in bill["components"]}
    face = found["sentinel_worker/media/face_model/centerface.onnx"]
    page = Path(sbom.__file__).parents[1] / "sentinel_worker/media/face_model/README.md"
    [digest] = [each["content"] for each in face["hashes"]]
    assert digest in re.findall(r"here: `([0-9a-f]{64})`", page.read_text(encoding="utf-8"))
    for name in ("demo_checkpoint", "demo_image_checkpoint", "demo_audio_checkpoint"):
        weights = found[f"sentinel_worker/detectors/{name}/model.safetensors"]
        assert weights["type"] == "machine-learning-model"
    assert found["ffmpeg"]["purl"].startswith("pkg:deb/debian/ffmpeg")


def test_every_part_is_there_for_a_reason(bill: dict[str, Any]) -> None:
    needs = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    reached, ahead = set[str](), ["sentinel-worker"]
    while ahead:
        ref = ahead.pop()
        if ref not in reached:
            reached.add(ref)
            ahead += needs[ref]
    assert reached == {part["bom-ref"] for part in bill["components"]} | {"sentinel-worker"}
