"""Scanner over the text of one parameter: names, fields, quoted texts and brackets, with errors in PostgREST's form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sentinel_local_supabase.rest.query import Field
from sentinel_local_supabase.rest.rest_errors import RestError

LEVELS = 64
"""Largest depth of conditions and embedded resources in a request."""

_BARE_NAME = re.compile(r"[^\s\"(),.:>!-](?:[^\"(),.:>!-]|-(?!>))*")
_SPACES = re.compile(" *")


class Scanner:
    """Reader of a text from left to right; `at` is its position."""

    def __init__(self, text: str, what: str, expects: str) -> None:
        self.text, self.at, self._level = text, 0, 0
        self._what, self._expects = what, expects

    def refuse(self, expects: str | None = None) -> RestError:
        """Return PGRST100 for what is at the position."""
        found = f'"{self.text[self.at]}"' if self.at < len(self.text) else "end of input"
        return RestError(
            400,
            "PGRST100",
            f'"failed to parse {self._what} ({self.text})" (line 1, column {self.at + 1})',
            details=f"unexpected {found} expecting {expects or self._expects}",
        )

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Enter one level of brackets. At most LEVELS are allowed, as each takes a frame of Python's stack."""
        self._level += 1
        if self._level > LEVELS:
            raise self.refuse(f"no more than {LEVELS} levels")
        self.need("(")
        yield
        self.need(")")
        self._level -= 1

    def take(self, piece: str) -> bool:
        """Read `piece` if it is next."""
        if not self.text.startswith(piece, self.at):
            return False
        self.at += len(piece)
        return True

    def need(self, piece: str) -> None:
        """Read `piece`. Raises PGRST100 if something else is next."""
        if not self.take(piece):
            raise self.refuse(f'"{piece}"')

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Read what matches `pattern` at the position, if anything."""
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def quoted(self) -> str:
        """Read the rest of a double-quoted text after its opening quote."""
        pieces = []
        while not self.take('"'):
            self.take("\\")
            if self.at >= len(self.text):
                raise self.refuse('"\\""')
            pieces.append(self.text[self.at])
            self.at += 1
        return "".join(pieces)

    def name(self) -> str:
        """Read a name: quoted, bare, or `*`."""
        self.match(_SPACES)
        if self.take('"'):
            return self.quoted()
        if self.take("*"):
            return "*"
        found = self.match(_BARE_NAME)
        if found is None:
            raise self.refuse()
        return found.group().strip()

    def field(self) -> Field:
        """Read a column and the JSON path into it."""
        name = self.name()
        path: list[tuple[str, str]] = []
        while self.text.startswith("->", self.at):
            arrow = "->>" if self.take("->>") else "->"
            if arrow == "->":
                self.need("->")
            if len(path) == LEVELS:
                raise self.refuse(f"no more than {LEVELS} levels")
            sign = "-" if self.take("-") else ""
            path.append((arrow, sign + self.name()))
        return Field(name, tuple(path))

    def until(self, stops: str, *, braces: bool = True) -> str:
        """Read up to the first of `stops`; `braces` protect them."""
        start, depth = self.at, 0
        while self.at < len(self.text) and (depth or self.text[self.at] not in stops):
            depth += {"{": 1, "}": -1}.get(self.text[self.at], 0) if braces else 0
            self.at += 1
        return self.text[start : self.at]
