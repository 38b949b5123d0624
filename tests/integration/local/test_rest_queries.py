"""Every filter, order, range, embedding and preference of a client, on a table of four rows."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from sentinel_local_supabase.stack import Stack


@pytest.fixture(scope="module")
def rest(stack: Stack) -> Iterator[httpx.Client]:
    """An HTTP client with the service role; the tables and functions of shelf.sql are served."""
    with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
        database.execute((Path(__file__).parent / "shelf.sql").read_bytes())
    with httpx.Client(base_url=f"{stack.url}/rest/v1", headers={"apikey": stack.secret_key}) as client:
        deadline = time.monotonic() + 10
        while client.get("/marks").is_error and client.get("/rpc/shelved").is_error:
            assert time.monotonic() < deadline
        yield client


def ids(rest: httpx.Client, query: str) -> list[int]:
    answer = rest.get(f"/shelf?select=id&{query}")
    assert answer.is_success, answer.text
    return [row["id"] for row in answer.json()]


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("stars=eq.5", [1]),
        ("stars=neq.5", [2, 4]),
        ("stars=gt.3", [1]),
        ("stars=gte.3", [1, 2]),
        ("stars=lt.3", [4]),
        ("stars=lte.3", [2, 4]),
        ("stars=not.eq.5", [2, 4]),
        ("stars=isdistinct.5", [2, 3, 4]),
        ("stars=not.isdistinct.5", [1]),
        ("stars=eq(any).{0,3}", [2, 4]),
        ("stars=gte(all).{1,5}", [1]),
        ("stars=in.(0,3)", [2, 4]),
        ("stars=not.in.(0,3)", [1]),
        ('name=in.("we,\\"ird (one)","red cup")', [1, 3]),
        ("stars=is.null", [3]),
        ("stars=not.is.null", [1, 2, 4]),
        ("stars=is.not_null", [1, 2, 4]),
        ("fragile=is.true", [1, 4]),
        ("fragile=is.false", [2]),
        ("fragile=is.unknown", [3]),
        ("name=like.*cup", [1, 2]),
        ("name=like.%25cup", [1, 2]),
        ("name=like.blue*", []),
        ("name=ilike.blue*", [2]),
        ("name=like(any).{red*,*ird*}", [1, 3]),
        ("name=like(all).{red*,*cup}", [1]),
        ("name=ilike(any).{RED*,BLUE*}", [1, 2]),
        ("name=match.^(red|Blue)", [1, 2]),
        ("name=imatch.^BLUE", [2]),
        ("tags=cs.{a,b}", [1]),
        ("tags=cd.{b,c}", [2, 3, 4]),
        ("tags=ov.{a,c}", [1, 4]),
        ("tags=eq.{}", [3]),
        ('facts=cs.{"k":"x"}', [1]),
        ("span=cs.[6,8)", [2]),
        ("span=ov.[4,6)", [1, 2]),
        ("span=sl.[5,9)", [1]),
        ("span=sr.[1,5)", [2, 3]),
        ("span=nxr.[5,9)", [1, 2]),
        ("span=nxl.[5,9)", [2, 3]),
        ("span=adj.[5,9)", [1]),
        ("words=fts.cat", [1, 2]),
        ("words=fts(english).cat%26rat", [2]),
        ("words=plfts(english).fat cats", [1]),
        ("words=phfts(english).cat sat", [1]),
        ('words=wfts(english).cat -"fat cat"', [2]),
        ("words=not.fts.cat", [3, 4]),
        ("name=fts(simple).cup", [1, 2]),
        ("facts->>k=eq.y", [2]),
        ("facts->size->>cm=eq.9", [1]),
        ("facts->size->cm=gt.8", [1]),
        ("or=(stars.eq.5,stars.is.null)", [1, 3]),
        ("or=(stars.eq.5,and(stars.gte.0,stars.lte.1))", [1, 4]),
        ("or=(stars.eq.5,not.and(stars.gte.0,stars.lte.9))", [1]),
        ("not.or=(stars.eq.5,stars.eq.3)", [4]),
        ("and=(stars.gte.0,or(stars.eq.5,name.like.*b_c))", [1, 4]),
        ("not.and=(stars.gte.3,fragile.is.true)", [2, 3, 4]),
        ('or=(name.eq."we,\\"ird (one)",tags.cs.{a,b})', [1, 3]),
        ("or=(stars.in.(0,3),stars.is.null)", [2, 3, 4]),
        ("or=(facts->>k.eq.y,facts->size->cm.gt.8)", [1, 2]),
        ("stars=not.eq(any).{5,3}", [4]),
        ("stars=gte.0&stars=lt.5", [2, 4]),
    ],
)
def test_filters(rest: httpx.Client, query: str, expected: list[int]) -> None:
    assert ids(rest, f"{query}&order=id") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("order=id.desc", [4, 3, 2, 1]),
        ("order=stars", [4, 2, 1, 3]),
        ("order=stars.desc", [3, 1, 2, 4]),
        ("order=stars.nullsfirst", [3, 4, 2, 1]),
        ("order=stars.desc.nullslast", [1, 2, 4, 3]),
        ("order=fragile.desc.nullslast,id.desc", [4, 1, 2, 3]),
        ("order=facts->>k.desc.nullslast,id", [2, 1, 3, 4]),
        ("select=id,boxes!box_id(label)&order=boxes(label).desc.nullslast,id", [2, 1, 4, 3]),
        ("order=id&limit=2&offset=1", [2, 3]),
        ("order=id&limit=0", []),
        ("order=id&offset=9", []),
    ],
)
def test_orders_and_ranges(rest: httpx.Client, query: str, expected: list[int]) -> None:
    assert ids(rest, query) == expected


@pytest.mark.parametrize(
    ("span", "query", "expected", "content_range"),
    [
        ("1-2", "order=id", [2, 3], "1-2/*"),
        ("2-", "order=id", [3, 4], "2-3/*"),
        ("0-2", "order=id&offset=1&limit=9", [2, 3], "1-2/*"),
    ],
)
def test_a_range_header(rest: httpx.Client, span: str, query: str, expected: list[int], content_range: str) -> None:
    answer = rest.get(f"/shelf?select=id&{query}", headers={"range-unit": "items", "range": span})
    assert ([row["id"] for row in answer.json()], answer.headers["content-range"]) == (expected, content_range)
    assert error(rest.get("/shelf", headers={"range": "3-1"})) == (416, "PGRST103")


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("name,n:stars,text:stars::text", {"name": "red cup", "n": 5, "text": "5"}),
        ("facts->size->>cm,k:facts->>k,first:tags->0", {"cm": "9", "k": "x", "first": "a"}),
        ('"name",  stars', {"name": "red cup", "stars": 5}),
        ("odd:facts->size,span", {"odd": {"cm": 9}, "span": "[1,5)"}),
    ],
)
def test_select_lists(rest: httpx.Client, select: str, expected: object) -> None:
    assert rest.get("/shelf", params={"select": select, "id": "eq.1"}).json() == [expected]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("/shelf?select=name,box:boxes!box_id(label)&id=eq.1", [{"name": "red cup", "box": {"label": "oak"}}]),
        (
            "/shelf?select=id,box_id(label),spare:shelf_spare(id)&id=lt.3&order=id",
            [
                {"id": 1, "box_id": {"label": "oak"}, "spare": {"id": 2}},
                {"id": 2, "box_id": {"label": "pine"}, "spare": None},
            ],
        ),
        (
            "/boxes?select=label,shelf!box_id(id)&order=id&shelf.order=id.desc",
            [{"label": "oak", "shelf": [{"id": 4}, {"id": 1}]}, {"label": "pine", "shelf": [{"id": 2}]}],
        ),
        (
            "/shelf?select=id,marks(note)&marks.weight=gte.2&marks.order=weight.desc&marks.limit=1&id=lt.3&order=id",
            [{"id": 1, "marks": [{"note": "three"}]}, {"id": 2, "marks": [{"note": "four"}]}],
        ),
        (
            "/shelf?select=id,marks(note)&marks.or=(note.eq.one,weight.eq.2)&marks.order=weight&marks.offset=1&id=eq.1",
            [{"id": 1, "marks": [{"note": "two"}]}],
        ),
        ("/shelf?select=id,m:marks!inner(note)&m.note=eq.four", [{"id": 2, "m": [{"note": "four"}]}]),
        ("/shelf?select=id,marks!inner()&order=id", [{"id": 1}, {"id": 2}]),
        ("/shelf?select=id,marks()&marks=is.null&order=id", [{"id": 3}, {"id": 4}]),
        ("/shelf?select=id,marks()&marks=not.is.null&order=id", [{"id": 1}, {"id": 2}]),
        ("/shelf?select=id,marks()&or=(marks.is.null,stars.eq.3)&order=id", [{"id": 2}, {"id": 3}, {"id": 4}]),
        (
            "/parts?select=id,parts(id)&id=lt.3&order=id&parts.order=id",
            [{"id": 1, "parts": [{"id": 2}, {"id": 3}]}, {"id": 2, "parts": []}],
        ),
        ("/parts?select=of:parts!part_of(id)&id=eq.1&of.order=id", [{"of": [{"id": 2}, {"id": 3}]}]),
        (
            "/parts?select=id,part_of(id)&id=lt.3&order=id",
            [{"id": 1, "part_of": None}, {"id": 2, "part_of": {"id": 1}}],
        ),
        ("/shelf?select=marks(count)&id=lt.3&order=id", [{"marks": [{"count": 3}]}, {"marks": [{"count": 1}]}]),
        (
            "/rpc/shelved?select=id,marks(note)&at_least=3&marks.order=id.desc&marks.limit=1&order=id",
            [{"id": 1, "marks": [{"note": "three"}]}, {"id": 2, "marks": [{"note": "four"}]}],
        ),
    ],
)
def test_embedding(rest: httpx.Client, query: str, expected: object) -> None:
    answer = rest.get(query)
    assert answer.status_code == 200, answer.text
    assert answer.json() == expected


def test_invalid_embeddings_are_refused(rest: httpx.Client) -> None:
    two_ways = rest.get("/shelf?select=id,boxes(label)")
    assert error(two_ways) == (300, "PGRST201")
    assert two_ways.json()["details"] == [
        {"cardinality": "many-to-one", "embedding": "shelf with boxes", "relationship": relationship}
        for relationship in (
            "shelf_box_id_fkey using shelf(box_id) and boxes(id)",
            "shelf_spare using shelf(spare_id) and boxes(id)",
        )
    ]
    both_ways = rest.get("/agents?select=id,teams(id)").json()
    assert [one["cardinality"] for one in both_ways["details"]] == ["one-to-many", "many-to-one"]
    assert error(rest.get("/parts?select=id,parts!id(id)")) == (400, "PGRST200")
    misspelt = rest.get("/shelf?select=id,mark(note)")
    assert error(misspelt) == (400, "PGRST200")
    assert misspelt.json()["hint"] == "Perhaps you meant 'marks' instead of 'mark'."
    assert error(rest.get("/shelf?select=id&marks.note=eq.one")) == (400, "PGRST108")
    assert error(rest.get("/shelf?select=id&order=boxes(label)")) == (400, "PGRST108")
    assert error(rest.get("/shelf?select=id,marks(note)&order=marks(note)")) == (400, "PGRST118")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("stars=cs(any).{1}", "PGRST100"),
        ("stars=eq(some).{1}", "PGRST100"),
        ("stars=is.five", "PGRST100"),
        ("order=stars.up", "PGRST100"),
        ("or=(stars.eq.5", "PGRST100"),
        ("select=stars.sum()", "PGRST123"),
        ("select=id,total:count()", "PGRST123"),
        ("name=match.(", "2201B"),
        ("words=fts(klingon).cat", "42704"),
    ],
)
def test_invalid_queries_are_refused(rest: httpx.Client, query: str, code: str) -> None:
    answer = rest.get(f"/shelf?{query}")
    assert error(answer) == (400, code)
    assert answer.headers["proxy-status"] == f"PostgREST; error={code}"
    assert sorted(answer.json()) == ["code", "details", "hint", "message"]


def test_counts(rest: httpx.Client) -> None:
    for kind, total in (("exact", "4"), ("estimated", "4")):
        answer = rest.head("/shelf?limit=2&order=id", headers={"prefer": f"count={kind}"})
        assert (answer.status_code, answer.headers["content-range"]) == (206, f"0-1/{total}")
    planned = rest.get("/shelf?limit=2", headers={"prefer": "count=planned"})
    assert planned.headers["content-range"].partition("/")[2].isdigit()
    inner = rest.get("/shelf?select=id,marks!inner(note)&marks.weight=gt.2", headers={"prefer": "count=exact"})
    assert inner.headers["content-range"] == "0-1/2"


def test_csv(rest: httpx.Client) -> None:
    answer = rest.get("/shelf?select=id,name,tags&order=id", headers={"accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = answer.text.split("\n")
    assert lines[:2] == ["id,name,tags", '1,"red cup","{a,b}"']
    assert lines[3] == '3,"we,""ird (one)",{}'
    assert rest.get("/shelf?id=eq.9", headers={"accept": "text/csv"}).text == "\n"
    assert rest.get("/rpc/added?numbers={1,2}", headers={"accept": "text/csv"}).text == "pgrst_scalar\n3"


def test_filters_of_what_a_function_answers(rest: httpx.Client) -> None:
    posted = rest.post("/rpc/shelved?select=id&name=like.*cup&order=id.desc&limit=1", json={"at_least": 0})
    assert posted.json() == [{"id": 2}]
    got = rest.get("/rpc/shelved?select=id&at_least=0&stars=gte.5")
    assert got.json() == [{"id": 1}]
    assert rest.get("/rpc/added?numbers={1,2,3}").json() == 6


def test_the_key_may_be_a_parameter(rest: httpx.Client, stack: Stack) -> None:
    key = {"apikey": stack.secret_key}
    assert httpx.get(f"{rest.base_url}shelf", params={**key, "select": "id", "id": "eq.2"}).json() == [{"id": 2}]
    assert httpx.post(f"{rest.base_url}rpc/added", params=key, json={"numbers": [1, 2]}).json() == 3


def test_preferences(rest: httpx.Client) -> None:
    strict = "handling=strict,max-affected=2"
    refused = rest.patch("/marks?shelf_id=eq.1", json={"note": "x"}, headers={"prefer": strict})
    assert error(refused) == (400, "PGRST124")
    assert {row["note"] for row in rest.get("/marks?shelf_id=eq.1").json()} == {"one", "two", "three"}
    called = rest.post("/rpc/emptied", json={}, headers={"prefer": strict})
    assert (called.json(), called.headers["preference-applied"]) == ([], "handling=strict, max-affected=2")
    assert error(rest.post("/rpc/added", json={"numbers": [1]}, headers={"prefer": strict})) == (400, "PGRST128")


def test_a_time_zone_that_exists_and_one_that_does_not(rest: httpx.Client) -> None:
    def shown(prefer: str) -> httpx.Response:
        return rest.post("/rpc/local_hour", json={}, headers={"prefer": prefer})

    assert shown("timezone=Asia/Tokyo").json().endswith("+09:00")
    lenient = shown("timezone=Asia/Atlantis")
    assert lenient.json().endswith("+00:00")
    assert "preference-applied" not in lenient.headers
    refused = shown("timezone=Asia/Atlantis,handling=strict")
    assert error(refused) == (400, "PGRST122")
    assert refused.json()["details"] == "Invalid preferences: timezone=Asia/Atlantis"


def test_upserts(rest: httpx.Client) -> None:
    def put(row: dict[str, object], *, on: str, prefer: str) -> httpx.Response:
        headers = {"prefer": f"return=representation,{prefer}"}
        return rest.post(f"/boxes?on_conflict={on}&select=label", json=row, headers=headers)

    kept = put({"id": 1, "label": "elm"}, on="id", prefer="resolution=ignore-duplicates")
    assert (kept.status_code, kept.json()) == (201, [])
    merged = put({"id": 1, "label": "elm"}, on="id", prefer="resolution=merge-duplicates")
    assert (merged.status_code, merged.json()) == (200, [{"label": "elm"}])
    assert put({"id": 1, "label": "oak"}, on="", prefer="resolution=merge-duplicates").status_code == 200
    assert error(put({"id": 1, "label": "x"}, on="label", prefer="resolution=merge-duplicates")) == (400, "42P10")


def test_a_restricting_foreign_key_answers_as_on_supabase(rest: httpx.Client) -> None:
    refused = rest.delete("/boxes?id=eq.1")
    assert error(refused) == (409, "23503")
    assert refused.json()["message"].startswith('update or delete on table "boxes" violates foreign key constraint')
    assert refused.json()["details"] == 'Key (id)=(1) is still referenced from table "shelf".'
