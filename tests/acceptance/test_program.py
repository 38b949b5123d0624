"""`python -m tests.acceptance`: which names it takes, and that a column that was not played is no success."""

import shutil
from pathlib import Path

import pytest

from tests.acceptance import __main__ as program
from tests.acceptance.scenarios import SCENARIOS

NOT_PLAYED = "The column of the browser was not played. Chromium is missing"


@pytest.fixture
def no_chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with FFmpeg, which makes the films, and nothing else."""
    for name in ("ffmpeg", "ffprobe"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_chromium")
async def test_a_browser_that_is_missing_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert await program.main(["privacy", "browser", "supabase-py"]) == 1
    said = capsys.readouterr().out
    assert "1 of 1 as they should be" in said
    assert NOT_PLAYED in said
    assert await program.main(["browser"]) == 1
    assert NOT_PLAYED in capsys.readouterr().out


@pytest.mark.usefixtures("no_chromium")
async def test_a_browser_that_nobody_asked_for_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert await program.main(["privacy", "supabase-py"]) == 0
    assert NOT_PLAYED not in capsys.readouterr().out
    clients, scenarios = program.chosen(["--without-browser"])
    assert list(clients) == ["node", "supabase-py"]
    assert scenarios == list(SCENARIOS)


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
