"""The demo's pictures and sounds, asked as `make demo` asks, of a worker as `sentinel-worker dev` starts it."""

from pathlib import Path

import pytest

from examples import demo, samples
from tests.acceptance.world import World


@pytest.mark.asyncio(loop_scope="session")
async def test_a_picture_and_a_sound_are_answered_by_the_detectors_of_the_demo(world: World, tmp_path: Path) -> None:
    made = [*samples.make_pictures(tmp_path), *samples.make_sounds(tmp_path)]
    files = [demo.Watched(*each) for each in made]
    async with demo.signed_in(world.stack) as client:
        await demo.ask(client, files)
    found = {file.path.name: (file.row["verdict"], file.result["detector"]["key"]) for file in files}
    keys = {".jpg": "demo-image", ".wav": "demo-audio"}
    assert found == {path.name: (expected, keys[path.suffix]) for path, expected in made}
    assert [file.right for file in files] == [True] * 4
    assert "does not detect deepfakes" in str(files[0].result)
