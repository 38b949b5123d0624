"""SQL files: their statements, split exactly as the Supabase CLI splits them, and their bare text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(
    r"""
    --[^\n]*                                 # comments
  | /\*.*?\*/
  | [eE]'(?:[^'\\]|\\.|'')*'                 # strings and names
  | '(?:[^']|'')*'
  | "(?:[^"]|"")*"
  | (\$(?:[A-Za-z_]\w*)?\$).*?\1             # dollar quotes
  | ;
  | [A-Za-z_]\w*                             # a word, so that its last letter is not taken for a prefix
  | .
    """,
    re.VERBOSE | re.DOTALL,
)
_TEXT = re.compile(
    r"""
    --[^\n]*
  | /\*.*?\*/
  | (?P<quoted> (?<!\w)[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*")
  | (?P<dollars>\$(?:[A-Za-z_]\w*)?\$)(?P<body>.*?)(?P=dollars)
  | [\s;]+
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with the comments before it, without its semicolon.

    `line` is the file's line (1-based) on which `text` begins; the SQL itself begins at `text[code:]`.
    """

    line: int
    text: str
    code: int

    def line_of(self, position: int | None) -> int:
        """Return the file's line of the character at `position` (1-based, like PostgreSQL), or of the SQL's start."""
        return self.line + self.text.count("\n", 0, self.code if position is None else position - 1)


def split(text: str) -> Iterator[Statement]:
    """Split SQL at semicolons outside strings, names, dollar quotes and comments."""
    start = 0
    for token in TOKEN.finditer(text):
        if token[0] == ";":
            yield from _statement(text, start, token.start())
            start = token.end()
    yield from _statement(text, start, len(text))


def _statement(text: str, start: int, end: int) -> Iterator[Statement]:
    for token in TOKEN.finditer(text, start, end):
        if not token[0].isspace() and not token[0].startswith(("--", "/*")):
            piece = text[start:end]
            begin = start + len(piece) - len(piece.lstrip())
            yield Statement(text.count("\n", 0, begin) + 1, piece.strip(), token.start() - begin)
            return


def bare(text: str) -> str:
    """Return SQL for comparison: without comments and semicolons, with one space for each run of white space.

    How a file was split, and the ends of its lines, make no difference.
    """
    return " ".join(_TEXT.sub(_bare_piece, text).split())


def _bare_piece(piece: re.Match[str]) -> str:
    if piece["quoted"] is not None:
        return piece["quoted"]
    if piece["dollars"] is not None:
        return f"{piece['dollars']} {bare(piece['body'])} {piece['dollars']}"
    return " "
