"""Looks for secrets in everything that a test run wrote: `python -m tests.leaks FOLDER_OR_FILE…`.

The secrets are those of every local Supabase whose folder is below the given ones (`keys.json`); these folders
themselves, where keys belong, are left out. A JWT is found by its signature, which is unique to it. All secrets are
also searched for in base64. In text files, every JWT signed by one of these secrets counts, so workers' and users'
tokens do too. Exceptions: the JWT of `anon`, which is public; a file with nothing but a JWT, which is a worker's key;
and the first output of `sentinel-worker dev`, meant for the user who started it. Exits with 1 if anything was found,
or if there were no keys to look for.

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
"""All other keys are public."""
_BLOCK_BYTES: Final = 1024**2
_MAX_TEXT_BYTES: Final = 64 * 1024**2
_SHOWN: Final = re.compile(rb"\ALocal Supabase is running[^\n]*\n(?: *[\w ]+ {2}\S+\n){7}")
"""Beginning of a file with the output of `sentinel-worker dev`: its addresses and keys."""
_JWT: Final = re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def needles(keys: Iterable[Path]) -> list[bytes]:
    """Return the byte strings to look for: each value, or a JWT's last part; plain and in base64."""
    values = {json.loads(path.read_text())[name].rpartition(".")[2] for path in keys for name in SECRET}
    return sorted({form.encode() for value in values for form in (value, *within_base64(value.encode()))})


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """All plain files at or below `paths`, except those of local Supabases."""
    for path in paths:
        if path.is_symlink():
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and not (path / KEYS).is_file():
            yield from files_of(path.iterdir())


def found(paths: Iterable[Path], wanted: Iterable[bytes]) -> Iterator[tuple[Path, bytes]]:
    """Yield each file that contains one of `wanted`, with that one.

    They are thousands, so only runs of characters that could contain one are searched: few in each file.
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
    """Yield each text file that contains a JWT signed by a local Supabase, except for anon, with the JWT."""
    secrets = [json.loads(path.read_text())["jwt_secret"] for path in keys]
    for path in files_of(paths):
        text = _text(path)
        for token in sorted(set(_JWT.findall(text))):
            alone = token == text.strip() and path.suffix != ".log"
            if not alone and any(_is_of(token, secret) for secret in secrets):
                yield path, token


def _text(path: Path) -> bytes:
    """The content of a text file; nothing of media and databases, which have zero bytes near their beginning."""
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
    """Print what was searched for and where it was found."""
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
