"""Looks for secrets in everything that a run has written: `python -m tests.leaks FOLDER_OR_FILE…`.

The secrets are those of every local Supabase whose folder lies below the given ones (`keys.json`); their own folders,
where they keep keys on purpose, are left out. A JWT is looked for by its signature, which nothing else has in common
with it; all of them are looked for in base64 too. In texts every JWT is looked at that one of them signed, so those of
workers and users too; that of `anon` is made to be public, and a file with nothing but a JWT in it is a worker's key.
What `sentinel-worker dev` prints first, for the one who started it, is left out too. Ends with 1 where something was
found, or where there were no keys to look for.

    pytest --basetemp .sentinel/run … >.sentinel/run.log 2>&1; python -m tests.leaks .sentinel/run .sentinel/run.log
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import jwt

from sentinel_worker.observe.masking import within_base64

KEYS: Final = "keys.json"
SECRET: Final = ("jwt_secret", "service_key", "secret_key")
"""The others are made to be public."""
_BLOCK_BYTES: Final = 1024**2
_MAX_TEXT_BYTES: Final = 64 * 1024**2
_SHOWN: Final = re.compile(rb"\ALocal Supabase is running[^\n]*\n(?: *[\w ]+ {2}\S+\n){7}")
"""The beginning of a file with what `sentinel-worker dev` prints: its addresses and keys."""
_JWT: Final = re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def needles(keys: Iterable[Path]) -> list[bytes]:
    """What to look for: each value, and of each JWT its last part; as it is, and as it stands in base64."""
    values = {json.loads(path.read_text())[name].rpartition(".")[2] for path in keys for name in SECRET}
    return sorted({form.encode() for value in values for form in (value, *within_base64(value.encode()))})


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """All plain files at or below `paths`, but for what local Supabases keep."""
    for path in paths:
        if path.is_symlink():
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and not (path / KEYS).is_file():
            yield from files_of(path.iterdir())


def found(paths: Iterable[Path], wanted: Iterable[bytes]) -> Iterator[tuple[Path, bytes]]:
    """Each file in which one of `wanted` stands, and which.

    Thousands of them are looked for only in runs of characters that are like theirs and long enough: few of each file.
    """
    wanted = list(wanted)
    if not wanted:
        return
    overlap = max(map(len, wanted))
    letters = b"".join(re.escape(bytes([letter])) for letter in sorted(set(b"".join(wanted))))
    runs = re.compile(b"[%s]{%d,}" % (letters, min(map(len, wanted))))
    for path in files_of(paths):
        seen, tail = set(), b""
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                window = _SHOWN.sub(b"", tail + block)
                like = b"\0".join(runs.findall(window))
                seen |= {needle for needle in wanted if needle in like}
                tail = window[-overlap:]
        yield from ((path, needle) for needle in sorted(seen))


def signed(paths: Iterable[Path], keys: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """Each text in which a JWT stands that a local Supabase signed, for whomever but anon, and the JWT."""
    secrets = [json.loads(path.read_text())["jwt_secret"] for path in keys]
    for path in files_of(paths):
        text = _text(path)
        for token in sorted(set(_JWT.findall(text))):
            alone = token == text.strip() and path.suffix != ".log"
            if not alone and any(_is_of(token, secret) for secret in secrets):
                yield path, token


def _text(path: Path) -> bytes:
    """The content of a text, nothing of media and databases: those have zeros at their beginnings."""
    with path.open("rb") as file:
        start = file.read(1024)
        return b"" if b"\0" in start else _SHOWN.sub(b"", start + file.read(_MAX_TEXT_BYTES))


def _is_of(token: bytes, secret: str) -> bool:
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
        )
    except jwt.InvalidTokenError:
        return False
    return claims.get("role") != "anon"


def main(arguments: list[str]) -> int:
    """Print what was looked for and where it was found."""
    paths = [Path(argument) for argument in arguments]
    keys = {file for path in paths if path.is_dir() for file in path.rglob(KEYS)}
    wanted = needles(keys)
    hits = [*found(paths, wanted), *signed(paths, keys)]
    count = sum(1 for _ in files_of(paths))
    for path, needle in hits:
        sys.stdout.write(f"{path}: {needle[:4].decode(errors='replace')}…\n")
    sys.stdout.write(
        f"{len(wanted)} forms of secrets of {len(keys)} local Supabases in {count} files: {len(hits)} hits\n"
    )
    return 1 if hits or not wanted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
