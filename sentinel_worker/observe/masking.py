"""Masking of secrets in text that is about to be written: the safety net under code that writes none.

Two layers. Values that this process was given (`register`) are removed wherever they stand, also URL-quoted and in
base64. Text that only looks like a secret is recognised by its form: JWTs, `sb_secret_…` keys, the password in a URL,
the values of `token=`, `signature=`, `Authorization:`, cookies and the like.

The text may come from a stranger, and no other thread runs while `re` works: each pattern takes time in proportion to
the text, and at most `LONGEST` characters of it are searched.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
MIN_LENGTH: Final = 8
"""Shorter values are not secrets, and masking them would remove half of the text."""
LONGEST: Final = 64 * 1024
"""Characters; longer text is cut here."""
_BEYOND: Final = 4096
"""Characters read beyond a cut, which may split a secret; no secret is longer."""

_QUOTE: Final = r"\\*[\"']"  # JSON inside JSON escapes its quotes
_REST: Final = r"[^\s\"'\\&,;<>{}()]+"
_HEADERS: Final = "(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api-?key"
_PARAMETERS: Final = "token|signature|sig|api_?key|access_key|secret|(?:pg|ssl)?password|passwd|pwd|credential"
_BEFORE_EQUALS: Final = "authorization|hdn(?:ea|tl|ts)|hmac|jwt"
_IN_QUERIES: Final = "auth|key|oh|policy|sid"
_FORMS: Final = (
    # A JWT, or the part of one that a length limit left.
    re.compile(r"()\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,2}"),
    re.compile(r"()\bsb_(?:secret|publishable)_[A-Za-z0-9_-]+"),
    # The user and the password of a URL. The scheme is not matched: the search would restart at each of its letters.
    re.compile(r"(://)[^\s/\"'\\<>@]++(?=@)"),
    # Headers, as lines and in dicts or pairs: the whole value.
    re.compile(
        rf"(\b(?:{_HEADERS})(?:\s*:\s*|{_QUOTE}\s*[:,]\s*b?{_QUOTE}))[^\"'\\\r\n\s][^\"'\\\r\n]*",
        re.IGNORECASE,
    ),
    re.compile(rf"(\bbearer\s+){_REST}", re.IGNORECASE),
    # Parameters of signed URLs and of connection strings, and members of JSON.
    re.compile(
        rf"((?<![a-z])(?:{_PARAMETERS})(?:\s*=\s*(?:{_QUOTE})?|%3D|{_QUOTE}\s*[:,]\s*b?{_QUOTE})){_REST}",
        re.IGNORECASE,
    ),
    # Names that end other words of a log, as in `"names": "SENTINEL_WORKER_JWT", "event"`.
    re.compile(rf"((?<![a-z])(?:{_BEFORE_EQUALS})(?:\s*=\s*|%3D)){_REST}", re.IGNORECASE),
    # Names that are too common elsewhere; `~` separates the parts of some signatures.
    re.compile(rf"((?:[?&;~]|%3F|%26|%7E)(?:{_IN_QUERIES})(?:=|%3D)){_REST}", re.IGNORECASE),
)
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)")

_known: dict[str, None] = {}
_values: re.Pattern[str] | None = None


def register(*values: str | None) -> None:
    """Hide these values from now on, in every form in which they may be written; they are never forgotten."""
    global _values  # noqa: PLW0603 - one net for the whole process
    for value in values:
        if value is not None and len(value) >= MIN_LENGTH:
            _known.update(dict.fromkeys(_written(value)))
    if _known:
        _values = re.compile("|".join(re.escape(value) for value in sorted(_known, key=len, reverse=True)))


def _written(value: str) -> Iterator[str]:
    """Forms of a secret. The last part of a JWT is one too: the other parts say who it is for, and only this part
    proves it."""
    yield from (value, quote(value, safe=""), quote_plus(value), *within_base64(value.encode()))
    token = _JWT.fullmatch(value)
    if token is not None and len(token[1]) >= MIN_LENGTH:
        yield token[1]


def within_base64(value: bytes) -> Iterator[str]:
    """Text that appears in the base64 of anything containing `value`.

    Three bytes become four characters, so `value` can start in three ways; characters that also depend on its
    neighbours are left out.
    """
    for before in range(3):
        encoded = b64encode(bytes(before) + value).decode()
        own = encoded[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
        yield own
        yield own.translate({ord("+"): "-", ord("/"): "_"})


def mask(text: str, limit: int = LONGEST) -> str:
    """Return `text` without secrets, cut to `limit` characters.

    It is cut after the masking, because half of a secret cannot be recognised.
    """
    piece = _without_secrets(text[: limit + _BEYOND])
    if len(text) > limit + _BEYOND:
        piece = piece[: max(0, len(piece) - _BEYOND)]  # the slice may have cut a secret in this part
    elif len(piece) <= limit:
        return piece
    return f"{piece[:limit]}… (of {len(text)} characters)"


def _without_secrets(text: str) -> str:
    if _values is not None:
        text = _values.sub(MASK, text)
    for form in _FORMS:
        text = form.sub(rf"\1{MASK}", text)
    return text


def masked(value: Any, change: Callable[[str], str] = mask) -> Any:
    """Return `value`, made of JSON types, with every text in it masked, or changed by `change`."""
    match value:
        case str():
            return change(value)
        case Mapping():
            return {name: masked(item, change) for name, item in value.items()}
        case list() | tuple():
            return [masked(item, change) for item in value]
        case _:
            return value
