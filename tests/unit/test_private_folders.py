"""Workers' folders: kept while locked, removed when their worker is gone."""

import os
import resource
import tempfile
from pathlib import Path

import pytest

from sentinel_worker.confine.private_folders import PREFIX, work_directory
from sentinel_worker.domain.errors import Fatal


def age(folder: Path) -> None:
    os.utime(folder, (0, 0))


def test_a_folder_goes_with_its_block_and_abandoned_ones_before(tmp_path: Path) -> None:
    abandoned = tmp_path / f"{PREFIX}abandoned"
    abandoned.mkdir()
    (abandoned / "media").write_bytes(b"somebody's film")
    age(abandoned)
    young = tmp_path / f"{PREFIX}young"
    young.mkdir()
    with work_directory(tmp_path) as own:
        assert own.stat().st_mode & 0o777 == 0o700
        assert not abandoned.exists()
        assert young.exists()
    assert not own.exists()


def test_a_live_workers_folder_stays(tmp_path: Path) -> None:
    with work_directory(tmp_path) as first:
        age(first)
        with work_directory(tmp_path):
            assert first.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").touch()
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    with work_directory(tmp_path):
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
    with work_directory(tmp_path) as own:
        assert set(tmp_path.iterdir()) == {own}


@pytest.mark.parametrize("where", ["missing", "file", "file/below", "/proc"])
def test_a_folder_that_cannot_be_used_is_named_with_the_setting(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match="SENTINEL_WORK_DIR") as refused, work_directory(tmp_path / where):
        pass
    assert refused.value.code == "work_dir_unusable"
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
        with pytest.raises(Fatal, match=r"No such file or directory.*TMPDIR"), work_directory():
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
