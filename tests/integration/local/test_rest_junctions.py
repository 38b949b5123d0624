"""Embedding of many-to-many relationships, which frontends use for tags, members and the like."""

import httpx
import pytest

ADA, BO, CY = ({"name": name} for name in ("Ada", "Bo", "Cy"))
ENGINES, RIVERS, STONES = ({"title": title} for title in ("Engines", "Rivers", "Stones"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "/books?select=title,authors!authorships(name)&order=id&authors.order=id",
            [ENGINES | {"authors": [ADA, BO]}, RIVERS | {"authors": [BO]}, STONES | {"authors": [BO]}],
        ),
        (
            "/publishers?select=name,books(title,writers:authors!authorships(name))&books.order=id&books.writers.order=id",
            [
                {
                    "name": "Oak Press",
                    "books": [ENGINES | {"writers": [ADA, BO]}, STONES | {"writers": [BO]}],
                }
            ],
        ),
        (
            "/authors?select=name,books!authorships(title)&books.order=year.desc&books.limit=1&books.offset=1&id=eq.2",
            [BO | {"books": [RIVERS]}],
        ),
        (
            "/authors?select=name,books!authorships(title)&books.year=gt.1900&books.or=(id.eq.2,id.eq.1)&order=id",
            [ADA | {"books": []}, BO | {"books": [RIVERS]}, CY | {"books": []}],
        ),
        ("/authors?select=name,books!authorships!inner(title)&books.title=eq.Stones", [BO | {"books": [STONES]}]),
        ("/authors?select=name,books!authorships!inner()&order=id", [ADA, BO]),
        ("/authors?select=name,books!authorships()&books=is.null", [CY]),
        (
            "/authors?select=name,books!authorships(title,publishers!inner(name))&id=eq.2&books.order=id",
            [BO | {"books": [title | {"publishers": {"name": "Oak Press"}} for title in (ENGINES, STONES)]}],
        ),
        ("/books?select=title,tags!subjects(label)&id=eq.1", [ENGINES | {"tags": [{"label": "wet"}]}]),
        ("/books?select=title,tags!shelf_marks(label)&id=eq.1", [ENGINES | {"tags": [{"label": "old"}]}]),
        ("/books?select=title,authors!edited(name)&id=eq.1", [ENGINES | {"authors": CY}]),
        ("/books?select=title,authors!edited_by(name)&id=eq.1", [ENGINES | {"authors": CY}]),
        ("/books?select=title,authorships(share,authors(name))&id=eq.2",
         [RIVERS | {"authorships": [{"share": 100, "authors": BO}]}]),
        (
            "/rpc/books_since?select=title,authors!authorships(name)&since=2000",
            [STONES | {"authors": [BO]}],
        ),
    ],
)  # fmt: skip
def test_rows_through_a_junction(library: httpx.Client, query: str, expected: object) -> None:
    answer = library.get(query)
    assert answer.status_code == 200, answer.text
    assert answer.json() == expected


def test_a_change_returns_rows_through_a_junction(library: httpx.Client) -> None:
    query = "/books?id=eq.2&select=title,authors!authorships(name)"
    answer = library.patch(query, json={"year": 1999}, headers={"prefer": "return=representation"})
    assert answer.json() == [RIVERS | {"authors": [BO]}]


def test_counts_of_an_inner_join_through_a_junction(library: httpx.Client) -> None:
    query = "/authors?select=name,books!authorships!inner(title)&books.year=gt.1900"
    assert library.get(query, headers={"prefer": "count=exact"}).headers["content-range"] == "0-0/1"


def test_several_relationships_are_listed_with_their_hints(library: httpx.Client) -> None:
    two_junctions = library.get("/books?select=title,tags(label)")
    assert (two_junctions.status_code, two_junctions.json()["code"]) == (300, "PGRST201")
    assert two_junctions.json()["details"] == [
        {
            "cardinality": "many-to-many",
            "embedding": "books with tags",
            "relationship": f"{table} using {table}_book_id_fkey(book_id) and {table}_tag_id_fkey(tag_id)",
        }
        for table in ("shelf_marks", "subjects")
    ]
    assert two_junctions.json()["hint"] == (
        "Try changing 'tags' to one of the following: 'tags!shelf_marks', 'tags!subjects'. "
        "Find the desired relationship in the 'details' key."
    )
    key_and_junction = library.get("/books?select=title,authors(name)").json()
    assert [one["cardinality"] for one in key_and_junction["details"]] == ["many-to-one", "many-to-many"]


@pytest.mark.parametrize(
    "query",
    [
        "/authors?select=name,publishers(name)",
        "/books?select=title,authors!authorships_book_id_fkey(name)",
        "/books?select=title,authors!reviews(name)",
        "/authors?select=name,authors!friends(name)",
    ],
)
def test_what_is_no_junction(library: httpx.Client, query: str) -> None:
    answer = library.get(query)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST200")


@pytest.mark.parametrize(
    ("request_line", "missing"),
    [
        ("GET /books?select=title,...publishers(name)", "spread embedding ('...publishers')"),
        ("GET /books?select=title,%20...publishers(name)", "spread embedding ('...publishers')"),
        ("GET /books?select=title,publishers(name,...authors(name))", "spread embedding ('...authors')"),
        ("GET /new_books?select=title,publishers(name)", "embedding of or into views ('new_books')"),
        ("GET /publishers?select=name,new_books(title)", "embedding of or into views ('new_books')"),
        ("GET /books?select=title,first_author(name)", "computed relationships ('first_author')"),
        ("PUT /books?id=eq.1", "PUT"),
    ],
)
def test_what_is_left_out_says_so(library: httpx.Client, request_line: str, missing: str) -> None:
    method, _, path = request_line.partition(" ")
    answer = library.request(method, path, json={"id": 1} if method == "PUT" else None)
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST127")
    assert answer.json()["message"].startswith(f"The local Supabase has no {missing}: ")
    assert answer.headers["proxy-status"] == "PostgREST; error=PGRST127"


def test_answers_that_are_left_out(library: httpx.Client) -> None:
    answer = library.get("/books", headers={"accept": "application/geo+json"})
    assert (answer.status_code, answer.json()["message"]) == (400, "The local Supabase has no GeoJSON")


@pytest.mark.parametrize("media_type", ["text/csv", "application/x-www-form-urlencoded"])
def test_bodies_that_are_left_out(library: httpx.Client, media_type: str) -> None:
    for path in ("/books", "/rpc/hook"):
        answer = library.post(path, content="id=9", headers={"content-type": media_type})
        assert (answer.status_code, answer.json()["code"]) == (400, "PGRST127")
        assert answer.json()["message"].startswith(f"The local Supabase has no bodies of the type {media_type}: ")
