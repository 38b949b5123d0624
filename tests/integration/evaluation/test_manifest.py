"""The list of labelled files: what it may say, and every mistake with its line."""

from pathlib import Path

import pytest

from sentinel_worker.errors import Fatal
from sentinel_worker.evaluation.manifest import read_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "MANIFEST.csv"
    path.write_text(text)
    return path


def test_labels_groups_and_paths(folder: Path) -> None:
    text = "\ufefflabel, path ,group\nfake,a.mp4,one\n0,b.mp4,\n\nREAL,c.mp4,one\n"
    entries = read_manifest(written(folder, text))
    assert [(entry.name, entry.is_fake, entry.group) for entry in entries] == [
        ("a.mp4", True, "one"),
        ("b.mp4", False, "b.mp4"),
        ("c.mp4", False, "one"),
    ]
    assert entries[0].path == (folder / "a.mp4").resolve()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("path\na.mp4\n", "the column label is missing"),
        ("path,label,mood\na.mp4,fake,x\n", "there is no column 'mood'"),
        ("path,label\n", "lists no file"),
        ("path,label\na.mp4,maybe\n", "line 2: the label is 'maybe'"),
        ("path,label\nz.mp4,fake\n", "line 2: there is no file 'z.mp4'"),
        ("path,label\na.mp4\n", "line 2"),
        ("path,label\na.mp4,fake\na.mp4,fake\n", "line 3: 'a.mp4' is on line 2 already"),
        ("path,label\na.mp4,fake\n./a.mp4,real\n", "line 3: './a.mp4' has the other label on line 2"),
    ],
)
def test_a_mistake_is_named(folder: Path, text: str, said: str) -> None:
    with pytest.raises(Fatal) as refused:
        read_manifest(written(folder, text))
    assert refused.value.code == "manifest_invalid"
    assert said in refused.value.message


def test_all_mistakes_are_named_at_once(folder: Path) -> None:
    with pytest.raises(Fatal) as refused:
        read_manifest(written(folder, "path,label\nz.mp4,maybe\ny.mp4,fake\n"))
    assert all(word in refused.value.message for word in ("z.mp4", "maybe", "y.mp4", "line 2", "line 3"))
