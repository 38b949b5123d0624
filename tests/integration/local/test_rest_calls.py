"""Function calls whose only argument has no name, and counts of what functions return."""

import httpx
import pytest

JSON, TEXT, BYTES, XML = "application/json", "text/plain", "application/octet-stream", "text/xml"


@pytest.mark.parametrize(
    ("name", "media_type", "body", "expected"),
    [
        ("hook", TEXT, b"a \xc3\xa4 %s $1 '", "text:a ä %s $1 '"),
        ("hook", "text/plain; charset=utf-8", b"", "text:"),
        ("hook", TEXT, b'{"a": 1}', 'text:{"a": 1}'),
        ("hook", JSON, b'{"": "x"}', 'text:{"": "x"}'),
        ("whole", JSON, b'{"a": 1, "b": [2]}', [{"a": 1, "b": [2]}]),
        ("whole", JSON, b'{"": "x"}', [{"": "x"}]),
        ("whole", JSON, b"[1, 2]", [[1, 2]]),
        ("size_of", BYTES, b"\x00\xff\\x", 4),
        ("overloaded", JSON, b'{"other": "x"}', "unnamed"),
        ("overloaded", JSON, b'{"word": "x"}', "named"),
    ],
)
def test_the_body_is_the_only_unnamed_argument(
    library: httpx.Client, name: str, media_type: str, body: bytes, expected: object
) -> None:
    answer = library.post(f"/rpc/{name}", content=body, headers={"content-type": media_type})
    assert answer.status_code == 200, answer.text
    assert answer.json() == expected


@pytest.mark.parametrize(
    ("name", "media_type", "searched"),
    [
        ("hook", XML, "with a single unnamed xml parameter"),
        ("hook", BYTES, "with a single unnamed bytea parameter"),
        ("whole", TEXT, "with a single unnamed text parameter"),
        ("nothing", TEXT, "with a single unnamed text parameter"),
        ("both", JSON, "with parameter  or with a single unnamed json/jsonb parameter"),
        ("hook", JSON, "with parameter other or with a single unnamed json/jsonb parameter"),
    ],
)
def test_no_function_takes_the_body(library: httpx.Client, name: str, media_type: str, searched: str) -> None:
    body = {"both": '{"": "x"}', "hook": '{"other": "x"}'}.get(name, "x")
    answer = library.post(f"/rpc/{name}", content=body, headers={"content-type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (404, "PGRST202")
    assert answer.json()["details"] == (
        f"Searched for the function public.{name} {searched}, but no matches were found in the schema cache."
    )


def test_a_table_takes_no_text(library: httpx.Client) -> None:
    answer = library.post("/books", content="x", headers={"content-type": TEXT})
    assert (answer.status_code, answer.json()["message"]) == (400, "Content-Type not acceptable: text/plain")


@pytest.mark.parametrize("body", [b"\xff", b"a\0b"])
def test_text_that_postgresql_cannot_store(library: httpx.Client, body: bytes) -> None:
    answer = library.post("/rpc/hook", content=body, headers={"content-type": TEXT})
    assert (answer.status_code, answer.json()["code"]) == (400, "22021")


@pytest.mark.parametrize(
    ("name", "arguments", "status", "span"),
    [
        ("nothing", {}, 200, "0-0/1"),
        ("books_since?select=title", {"since": 1990}, 200, "0-1/2"),
        ("books_since?select=title&limit=1", {"since": 1990}, 206, "0-0/2"),
        ("books_since?select=title&year=gt.2000", {"since": 1990}, 200, "0-0/1"),
        ("books_since?select=title", {"since": 3000}, 200, "*/0"),
    ],
)
def test_counts_of_calls(library: httpx.Client, name: str, arguments: object, status: int, span: str) -> None:
    answer = library.post(f"/rpc/{name}", json=arguments, headers={"prefer": "count=exact"})
    assert (answer.status_code, answer.headers["content-range"]) == (status, span)
