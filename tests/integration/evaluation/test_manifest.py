"""The manifest of labelled files: its valid lines, and errors that name the line of every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel_worker.domain.errors import Fatal
from sentinel_worker.evaluation.manifest import Entry, read_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files a.mp4, b.mp4, `c, d.mp4` and sub/e.mp4."""
    (tmp_path / "sub").mkdir()
    for name in ("a.mp4", "b.mp4", "c, d.mp4", "sub/e.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def listed(folder: Path, text: str, encoding: str = "utf-8") -> list[Entry]:
    path = folder / "files.csv"
    path.write_bytes(text.encode(encoding, "surrogateescape"))
    return read_manifest(path)


def mistakes(folder: Path, text: str) -> str:
    with pytest.raises(Fatal) as refused:
        listed(folder, text)
    assert refused.value.code == "manifest_invalid"
    assert str(folder) not in refused.value.message
    assert refused.value.message.startswith("The manifest files.csv cannot be used:")
    return refused.value.message.partition(":")[2].strip()


def test_labels_groups_and_paths_beside_the_manifest(folder: Path) -> None:
    absolute = folder / "sub" / "e.mp4"
    text = f'path,label,group\na.mp4,fake,one\nb.mp4,0,\n"c, d.mp4", Real ,one\n{absolute},1,two\n'
    assert listed(folder, text) == [
        Entry(folder / "a.mp4", "a.mp4", True, "one", 2),
        Entry(folder / "b.mp4", "b.mp4", False, "b.mp4", 3),
        Entry(folder / "c, d.mp4", "c, d.mp4", False, "one", 4),
        Entry(absolute, str(absolute), True, "two", 5),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_manifest_written_by_a_spreadsheet(folder: Path, encoding: str, newline: str) -> None:
    text = newline.join(["Label, PATH ", "fake,a.mp4", "", "real,b.mp4"])
    assert [(entry.name, entry.is_fake, entry.line) for entry in listed(folder, text, encoding)] == [
        ("a.mp4", True, 2),
        ("b.mp4", False, 4),
    ]


def test_every_mistake_is_named_with_its_line(folder: Path) -> None:
    rows = ["a.mp4,fake,x", "gone.mp4,real,x", "b.mp4,maybe,x", ",,", "b.mp4,real", "sub,real,x", "nul\0,2,x"]
    assert mistakes(folder, "path,label,group\n" + "\n".join(rows)).splitlines() == [
        "line 3: the file 'gone.mp4' does not exist",
        "line 4: the label is 'maybe', not fake, real, 1 or 0",
        "line 5: the path is empty",
        "line 5: the label is '', not fake, real, 1 or 0",
        "line 6: it has 2 cells, but the first line names 3 columns",
        "line 7: the file 'sub' does not exist",
        "line 8: the file 'nul\\x00' does not exist",
        "line 8: the label is '2', not fake, real, 1 or 0",
    ]


def test_a_name_that_no_file_can_have(folder: Path) -> None:
    assert mistakes(folder, f"path,label\n{'n' * 300},fake").startswith("line 2: the file 'nnn")


def test_one_file_twice_and_with_two_labels(folder: Path) -> None:
    (folder / "link.mp4").symlink_to("a.mp4")
    text = "path,label\na.mp4,fake\n./a.mp4,fake\nlink.mp4,real\n"
    assert mistakes(folder, text).splitlines() == [
        "line 3: './a.mp4' is already on line 2",
        "line 4: 'link.mp4' has another label on line 2",
    ]


def test_twenty_of_many_mistakes_are_shown(folder: Path) -> None:
    said = mistakes(folder, "path,label\n" + "gone.mp4,fake\n" * 30).splitlines()
    assert (len(said), said[-1]) == (21, "and 10 more")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: it is empty"),
        ("\na.mp4,fake", "line 1: it is empty"),
        ("path,label\n", "it lists no files."),
        (
            "a.mp4,fake\n",
            "line 1: the column path is missing; the column label is missing; the column 'a.mp4' is unknown",
        ),
        ("path,label,notes\n", "line 1: the column 'notes' is unknown"),
        ("path,label,Label\n", "line 1: the column label occurs twice"),
        ('path,label\n"a.mp4,fake\n', "line 2: unexpected end of data"),
        ("path,label\n\udcff,fake\n", "it is not UTF-8."),
    ],
)
def test_an_invalid_manifest_is_refused(folder: Path, text: str, said: str) -> None:
    assert mistakes(folder, text).startswith(said)


def test_a_missing_manifest(folder: Path) -> None:
    with pytest.raises(Fatal, match=r"gone\.csv cannot be used: it cannot be read \(No such file"):
        read_manifest(folder / "gone.csv")
