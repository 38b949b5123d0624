"""`python -m tests.acceptance`: the names it accepts, and a failure if a column was not played."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.acceptance import __main__ as program
from tests.acceptance.scenarios import SCENARIOS
from tests.acceptance.world import World

NOT_PLAYED = "The browser's column was not played. Chromium is missing"


@pytest.fixture
def no_chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with only FFmpeg, which makes the films."""
    for name in ("ffmpeg", "ffprobe"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def open_world(world: World) -> program.OpenWorld:
    """The world of the other tests."""
    return lambda: nullcontext(world)


@pytest.mark.usefixtures("no_chromium")
@pytest.mark.asyncio(loop_scope="session")
async def test_a_browser_that_is_missing_is_a_failure(
    open_world: program.OpenWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await program.main(["privacy", "browser", "supabase-py"], open_world) == 1
    said = capsys.readouterr().out
    assert "1 of 1 as they should be" in said
    assert NOT_PLAYED in said
    assert await program.main(["browser"], open_world) == 1
    assert NOT_PLAYED in capsys.readouterr().out


@pytest.mark.usefixtures("no_chromium")
@pytest.mark.asyncio(loop_scope="session")
async def test_a_browser_that_nobody_asked_for_may_be_missing(
    open_world: program.OpenWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await program.main(["privacy", "supabase-py"], open_world) == 0
    assert NOT_PLAYED not in capsys.readouterr().out
    clients, scenarios = program.chosen(["--without-browser"])
    assert list(clients) == ["node", "supabase-py"]
    assert scenarios == list(SCENARIOS)


@pytest.mark.matrix("clients")
@pytest.mark.usefixtures("no_chromium")
async def test_a_world_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert await program.main(["privacy", "supabase-py"]) == 0
    assert "1 of 1 as they should be" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["privcy", "node"], "no client or scenario is named privcy"),
        (["browser", "administration"], "nothing is left to play"),
        (["browser", "--without-browser"], "nothing is left to play"),
    ],
)
async def test_a_name_that_is_not_known_plays_nothing(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        await program.main(argv)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert all(scenario.name in error for scenario in SCENARIOS) or "nothing" in said
