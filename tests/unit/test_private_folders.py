"""Workers' folders: kept while locked, removed when their worker is gone."""

import os
import resource
import shutil
import tempfile
from pathlib import Path

import pytest

from sentinel_worker.confine.private_folders import PREFIX, WorkFolder, private_directory
from sentinel_worker.domain.errors import Fatal
from tests.machines import filled, small_disk, without_descriptors, without_inodes


def age(folder: Path) -> None:
    os.utime(folder, (0, 0))


def test_a_folder_goes_with_its_block_and_abandoned_ones_before(tmp_path: Path) -> None:
    abandoned = tmp_path / f"{PREFIX}abandoned"
    abandoned.mkdir()
    (abandoned / "media").write_bytes(b"somebody's film")
    age(abandoned)
    young = tmp_path / f"{PREFIX}young"
    young.mkdir()
    with WorkFolder.opened(tmp_path) as work:
        own = work.path
        assert own.stat().st_mode & 0o777 == 0o700
        assert not abandoned.exists()
        assert young.exists()
    assert not own.exists()


def test_a_live_workers_folder_stays(tmp_path: Path) -> None:
    with WorkFolder.opened(tmp_path) as first:
        age(first.path)
        with WorkFolder.opened(tmp_path):
            assert first.path.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").touch()
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    with WorkFolder.opened(tmp_path):
        assert (target / "file").exists()


def test_an_endless_chain_of_folders_is_removed_too(tmp_path: Path) -> None:
    """Left by a killed worker: deeper than a path, a stack or a process's descriptors reach."""
    abandoned = tmp_path / f"{PREFIX}abandoned"
    abandoned.mkdir()
    deepest = os.open(abandoned, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("x", dir_fd=deepest)
        deeper = os.open("x", os.O_RDONLY, dir_fd=deepest)
        os.close(deepest)
        deepest = deeper
    os.close(deepest)
    age(abandoned)
    with WorkFolder.opened(tmp_path) as own:
        assert set(tmp_path.iterdir()) == {own.path}


def leave_rubbish(disk: Path) -> Path:
    """What a killed worker leaves: a post's folder in a request's folder."""
    abandoned = disk / f"{PREFIX}abandoned"
    deeper = abandoned / "request-x" / "post"
    deeper.mkdir(parents=True)
    (deeper / "media").write_bytes(b"somebody's film")
    age(abandoned)
    return abandoned


def test_a_disk_full_of_abandoned_folders_is_cleared_before_a_worker_makes_its_own(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        abandoned = leave_rubbish(disk)
        with filled(disk), without_inodes(disk), WorkFolder.opened(disk) as work:
            assert not abandoned.exists()
            assert work.path.exists()


def test_the_usual_folder_is_cleared_though_python_finds_no_room_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with small_disk(tmp_path) as disk:
        abandoned = leave_rubbish(disk)
        with without_inodes(disk), WorkFolder.opened() as work:
            assert not abandoned.exists()
            assert work.path.parent == disk


def test_a_folder_that_was_removed_is_made_again_and_stays_locked(tmp_path: Path) -> None:
    with WorkFolder.opened(tmp_path) as work:
        shutil.rmtree(work.path)
        work.restore()
        age(work.path)
        with WorkFolder.opened(tmp_path):
            assert work.path.stat().st_mode & 0o777 == 0o700
        work.restore()
        work.try_out()
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_belongs_to_others_meanwhile_is_not_used(tmp_path: Path) -> None:
    with WorkFolder.opened(tmp_path) as work:
        shutil.rmtree(work.path)
        work.path.mkdir()
        (work.path / "theirs").touch()
        with pytest.raises(FileExistsError):
            work.restore()
    assert (work.path / "theirs").exists()


def test_a_folder_that_cannot_be_locked_yet_is_made_again_later(tmp_path: Path) -> None:
    with WorkFolder.opened(tmp_path) as work:
        shutil.rmtree(work.path)
        with without_descriptors(0), pytest.raises(OSError, match="Too many open files"):
            work.restore()
        work.restore()
        work.try_out()


async def test_what_could_not_be_removed_for_lack_of_descriptors_goes_later(tmp_path: Path) -> None:
    async with private_directory(tmp_path):
        pass  # starts the thread that removes folders
    with without_descriptors(0):
        async with private_directory(tmp_path) as kept:
            (kept / "folder").mkdir()
    [left] = tmp_path.iterdir()
    assert (left / "folder").exists()
    async with private_directory(tmp_path):
        assert left.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["missing", "file", "file/below", "/proc"])
def test_a_folder_that_cannot_be_used_is_named_with_the_setting(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match="SENTINEL_WORK_DIR") as refused, WorkFolder.opened(tmp_path / where):
        pass
    assert refused.value.code == "work_folder_unusable"
    assert str(tmp_path / where) in refused.value.message


def test_a_temporary_folder_in_which_no_file_can_be_written_is_tried_for_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python tells nobody why it finds no temporary folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(Fatal, match=r"No such file or directory.*TMPDIR"), WorkFolder.opened():
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
