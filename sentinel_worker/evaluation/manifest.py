"""The manifest of labelled files: a CSV file with the columns path, label and, optionally, group."""

from __future__ import annotations

import csv
import io
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sentinel_worker.domain.errors import Fatal

_LABELS = {"fake": True, "1": True, "real": False, "0": False}
_NEEDED, _OPTIONAL = ("path", "label"), ("group",)
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One labelled file. `name` is its path as written in the manifest, `line` its line there, from 1."""

    path: Path
    name: str
    is_fake: bool
    group: str
    line: int


def read_manifest(path: Path) -> list[Entry]:
    """Read the manifest at `path`; raises Fatal('manifest_invalid'), which names the first 20 mistakes.

    The first line names the columns, in any order. Paths are relative to the manifest's folder. A label is
    `fake` or `1`, `real` or `0`. Files from one source (the same footage, person or speaker) share a group; a file
    without one gets a separate group.
    """
    mistakes: list[str] = []
    entries: list[Entry] = []
    header, rows = _read(path)
    for line, cells in rows:
        found = _entry(path.parent, line, header, cells)
        if isinstance(found, Entry):
            entries.append(found)
        else:
            mistakes += [f"line {line}: {mistake}" for mistake in found]
    mistakes += _repeated(entries)
    if not entries and not mistakes:
        mistakes.append("it lists no files")
    if mistakes:
        raise _invalid(path, mistakes)
    return entries


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the column names, and the cells of each line that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _invalid(path, [f"it cannot be read ({error.strerror})"]) from error
    except UnicodeDecodeError as error:
        raise _invalid(path, ["it is not UTF-8"]) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
        rows = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise _invalid(path, [f"line {reader.line_num}: {error}"]) from error
    _check_header(path, header)
    return header, rows


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not header:
        raise _invalid(path, ["line 1: it is empty; it must name the columns path,label and, optionally, group"])
    wrong = [f"the column {name} is missing" for name in _NEEDED if name not in header]
    wrong += [f"the column {name!r} is unknown" for name in header if name not in _NEEDED + _OPTIONAL]
    wrong += [f"the column {name} occurs twice" for name in sorted(set(header)) if header.count(name) > 1]
    if wrong:
        raise _invalid(path, [f"line 1: {'; '.join(wrong)}; the columns are path,label and, optionally, group"])


def _entry(folder: Path, line: int, header: Sequence[str], cells: Sequence[str]) -> Entry | list[str]:
    if len(cells) != len(header):
        return [f"it has {len(cells)} cells, but the first line names {len(header)} columns"]
    row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    name, label = row["path"], row["label"].casefold()
    mistakes = []
    if not name:
        mistakes.append("the path is empty")
    elif not _is_file(folder / name):
        mistakes.append(f"the file {name!r} does not exist")
    if label not in _LABELS:
        mistakes.append(f"the label is {row['label']!r}, not fake, real, 1 or 0")
    if mistakes:
        return mistakes
    return Entry((folder / name).resolve(), name, _LABELS[label], row.get("group") or name, line)


def _is_file(path: Path) -> bool:
    """Return True for an existing file. `Path.is_file` raises for a name that is too long."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # ValueError: a NUL
        return False


def _repeated(entries: Sequence[Entry]) -> list[str]:
    first: dict[Path, Entry] = {}
    mistakes = []
    for entry in entries:
        earlier = first.setdefault(entry.path, entry)
        if earlier.is_fake != entry.is_fake:
            mistakes.append(f"line {entry.line}: {entry.name!r} has another label on line {earlier.line}")
        elif earlier is not entry:
            mistakes.append(f"line {entry.line}: {entry.name!r} is already on line {earlier.line}")
    return mistakes


def _invalid(path: Path, mistakes: Sequence[str]) -> Fatal:
    shown = [*mistakes[:_SHOWN], *([f"and {len(mistakes) - _SHOWN} more"] if len(mistakes) > _SHOWN else [])]
    if len(shown) == 1:
        return Fatal("manifest_invalid", f"The manifest {path.name} cannot be used: {shown[0]}.")
    return Fatal("manifest_invalid", "\n".join([f"The manifest {path.name} cannot be used:", *shown]))
