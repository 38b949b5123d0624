"""Input of attackers and broken clients, with the expected SQLSTATE. {A} and {B} are the users' ids."""

from typing import Any

from tests.rights.world import USER_A, USER_B

CHECK = "23514"
DENIED = "42501"
GENERATED = "428C9"
UNTRANSLATABLE = "22P05"

_IDS = {
    "A": USER_A,
    "B": USER_B,
    "A_CAPITALS": USER_A.upper(),
    "B_CAPITALS": USER_B.upper(),
    "A_LOOKALIKE": USER_A.replace("a", "\u0430", 1),
}


def spelled(text: str) -> str:
    """Return `text` with the users' ids filled in."""
    for name, user in _IDS.items():
        text = text.replace(f"{{{name}}}", user)
    return text


# Values of storage_path that user A may not insert: the rule own_path, or an earlier check, refuses each.
PATHS: dict[str, str] = {
    "another user's folder": "{B}/b.mp4",
    "up and into another's folder": "{A}/../{B}/b.mp4",
    "up, with the dots encoded": "{A}/%2e%2e/{B}/b.mp4",
    "up, encoded in capitals": "{A}/%2E%2E/{B}/b.mp4",
    "up, encoded twice": "{A}/%252e%252e/{B}/b.mp4",
    "up, with the slash encoded": "{A}/..%2f{B}/b.mp4",
    "up, with a backslash": "{A}\\..\\{B}\\b.mp4",
    "up, with a slash and a backslash": "{A}/..\\{B}/b.mp4",
    "up, at the end": "{A}/a/..",
    "only up": "..",
    "up, before the folder": "../{A}/b.mp4",
    "this folder, spelled out": "{A}/./b.mp4",
    "this folder, at the end": "{A}/.",
    "an empty segment": "{A}//b.mp4",
    "two slashes before another's folder": "{A}//{B}/b.mp4",
    "a trailing slash": "{A}/b/",
    "the folder itself": "{A}/",
    "the folder without its slash": "{A}",
    "nothing": "",
    "only a file name": "b.mp4",
    "an absolute path": "/{A}/b.mp4",
    "an absolute path of the system": "/etc/passwd",
    "the bucket's name before it": "media/{A}/b.mp4",
    "a URL": "file:///{A}/b.mp4",
    "a space before it": " {A}/b.mp4",
    "own id in capitals": "{A_CAPITALS}/b.mp4",
    "another's id in capitals": "{B_CAPITALS}/b.mp4",
    "an id that only begins like it": "{A}x/b.mp4",
    "a letter of the id from another alphabet": "{A_LOOKALIKE}/b.mp4",
    "full-width dots": "{A}/．．/{B}/b.mp4",
    "one-dot leaders": "{A}/․․/{B}/b.mp4",
    "a two-dot leader": "{A}/‥/{B}/b.mp4",
    "a full-width slash": "{A}／../{B}/b.mp4",
    "a division slash": "{A}/..∕{B}/b.mp4",
    "a zero-width space in a pair of dots": "{A}/.\u200b./{B}/b.mp4",
    "a right-to-left override": "{A}/\u202e4pm.b",
    "a letter outside ASCII": "{A}/ü.mp4",
    "a line break": "{A}/b.mp4\n",
    "a line break in front of a lawful path": "{B}/b.mp4\n{A}/b.mp4",
    "a tab": "{A}/b\t.mp4",
    "an escape": "{A}/b\x1b[2J.mp4",
    "a NUL, encoded": "{A}/b.mp4%00.txt",
    "a percent sign": "{A}/100%.mp4",
    "a question mark": "{A}/b.mp4?token=x",
    "a number sign": "{A}/b.mp4#x",
    "a quotation mark": '{A}/b".mp4',
    "angle brackets": "{A}/<img src=x>.mp4",
    "1,025 characters": "{A}/" + "x" * (1025 - 37),
    "a million characters": "{A}/" + "x" * 1_000_000,
}
LAWFUL_PATHS: dict[str, str] = {
    "a file": "{A}/b.mp4",
    "a folder's file": "{A}/2026/11/b.mp4",
    "dots that are not a segment": "{A}/..b/...c/d..mp4",
    "1,024 characters": "{A}/" + "x" * (1024 - 37),
}
URLS: dict[str, str] = {
    "no URL": "b.mp4",
    "a script": "javascript:alert(1)",
    "a file": "file:///etc/passwd",
    "another protocol": "ftp://example.org/b.mp4",
    "no host": "https://",
    "a space": "https://example.org/a b.mp4",
    "a line break": "https://example.org/\nHost: internal",
    "a line before it": "x\nhttps://example.org/",
    "an escape": "https://example.org/\x1b[2J",
    "2,049 characters": "https://example.org/" + "x" * (2049 - 20),
}
# Columns that a user may not write, with an attacker's value.
FORGED: dict[str, Any] = {
    "user_id": "{B}",
    "status": "succeeded",
    "verdict": "real",
    "fake_probability": 0.0,
    "coverage": 1.0,
    "longest_gap_seconds": 0.0,
    "priority": 100,
    "attempt": 1,
    "max_attempts": 20,
    "crashes": 1,
    "fence": "dddddddd-0000-4000-8000-000000000003",
    "lane": "video/mine",
    "stage": "finishing",
    "progress": 100,
    "error_code": "x",
    "error_message": "x",
    "error_params": {},
    "cancel_requested": True,
    "created_at": "1970-01-01T00:00:00Z",
    "started_at": "1970-01-01T00:00:00Z",
    "finished_at": "1970-01-01T00:00:00Z",
}

STRINGS: dict[str, str] = {
    "empty": "",
    "NUL": "a\x00b",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f",
    "bidirectional controls": "\u202eevil\u202c \u2066x\u2069 \u200f",
    "invisible": "a\u200b\u2060\ufeffb",
    "half a surrogate pair": "\ud800",
    "not a character": "\uffff\U0010ffff",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈",
    "combining": "Z̸̢̛͉a̵l̶g̷o̸",
    "SQL": "'); delete from public.analysis_requests; --",
    "SQL that ends a dollar quote": "$$; drop table public.analysis_requests; $$",
    "SQL as a default": "gen_random_uuid()",
    "HTML": "<script>alert(document.cookie)</script><img src=x onerror=alert(1)>",
    "template": "{{7*7}} ${7*7} %(x)s %s {0}",
    "shell": "$(touch /tmp/x); `touch /tmp/x` | cat",
    "JSON": '{"a": [1, "\\u0000"]}',
    "backslashes": "\\\\\\'\\n\\x00",
    "null in words": "null",
    "a number": "1e400",
    "200 characters": "x" * 200,
    "100,000 characters": "x" * 100_000,
    "100,000 wide characters": "👁" * 100_000,
}
TEXT_INPUTS = (
    "storage_path",
    "source_url",
    "detector",
    "dedupe_key",
    "media_kind",
    "run_at",
    "batch_id",
    "answer_by",
    "id",
)

# Values of `options`; stored ones come back unchanged. Python cannot parse a whole number of 4,301 digits.
OPTIONS: dict[str, Any] = {
    "8 KiB": {"x": "y" * (8192 - 9)},
    "8 KiB and one": {"x": "y" * (8192 - 8)},
    "a megabyte": {"x": "y" * 1_000_000},
    "many keys": {f"k{number}": number for number in range(2000)},
    "no object": ["x"],
    "a string": "x",
    "a hostile key": {"__proto__": {"a": 1}, "constructor": "x", "'; drop table x; --": "<b>"},
    "a long key": {"k" * 9000: 1},
    "big numbers": {"n": 10**300, "small": 5e-324, "exact": 9007199254740993},
    "digits in a string": {"n": "9" * 4301},
    "a number beyond JavaScript's": {"n": 10**309},
    "the same below zero, inside": {"n": [{"n": -(10**309)}]},
    "the most digits that Python reads": {"n": 10**4299},
}
STORED_OPTIONS = {"8 KiB", "a hostile key", "big numbers", "digits in a string"}
# Depth of nested arrays in `options`, and the SQLSTATE of its refusal. The object around them is also a level.
DEPTHS: dict[int, str | None] = {31: None, 32: CHECK, 950: CHECK, 4000: CHECK, 4096: CHECK}
