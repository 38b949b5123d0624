"""Wrongly typed and hostile HTTP requests: refused in the service's words, readable by a browser, without effects."""

import base64
from collections.abc import AsyncIterator, Iterator

import httpx
import psycopg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel_local_supabase.stack import Stack
from tests.integration.local.conftest import NOTES
from tests.integration.local.hostile import DEEP, ENDPOINTS, LONG_NUMBER, QUERIES, Endpoint
from tests.matrix import examples
from tests.stacks import stack_at

JSON = {"Content-Type": "application/json"}
ORIGIN = "http://localhost:5173"
SHAPES = {
    "auth": ({"code", "error_code", "msg"}, {"error", "error_description"}),
    "rest": ({"code", "message", "details", "hint"},),
    "storage": ({"statusCode", "error", "message", "code"},),
    "realtime": ({"errors"}, {"error"}, {"message"}),
}
WHOLE_BODY = """
create function public.whole_body(jsonb) returns jsonb language sql immutable as 'select $1';
grant execute on function public.whole_body to service_role;
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def harassed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack only for this module, whose users and buckets no other test counts."""
    async with stack_at(tmp_path_factory.mktemp("harassed"), pace="fast") as running:
        with psycopg.connect(running.superuser_dsn, autocommit=True) as database:
            database.execute((NOTES + WHOLE_BODY).encode())
        yield running


@pytest.fixture(scope="module")
def client(harassed: Stack) -> Iterator[httpx.Client]:
    """A browser-like client with all rights; generated requests change the bucket `ours`, the others use `kept`."""
    key = harassed.service_key
    headers = {"apikey": key, "Authorization": f"Bearer {key}", "Origin": ORIGIN}
    with httpx.Client(base_url=harassed.url, headers=headers, timeout=30) as client:
        for bucket in ("ours", "kept"):
            assert client.post("/storage/v1/bucket", json={"name": bucket}).is_success
            assert client.post(f"/storage/v1/object/{bucket}/a.txt", content=b"x").is_success
        yield client


@pytest.fixture(scope="module")
def user(client: httpx.Client) -> dict[str, str]:
    """Id and access token of a signed-in user."""
    signed = client.post("/auth/v1/signup", json={"email": "user@example.com", "password": "correct horse"}).json()
    return {"id": signed["user"]["id"], "token": signed["access_token"]}


def send(client: httpx.Client, endpoint: Endpoint, body: bytes, user: dict[str, str]) -> httpx.Response:
    """Send a request, as the user if only users may."""
    own = endpoint.path in ("/auth/v1/user", "/auth/v1/logout?scope=others")
    headers = JSON | ({"Authorization": f"Bearer {user['token']}"} if own else {})
    return client.request(endpoint.method, endpoint.path.format(user=user["id"]), content=body, headers=headers)


def check(answer: httpx.Response, service: str) -> None:
    """Assert no server failure, CORS headers, and the service's error shape for a refusal."""
    said = (answer.request.url.raw_path[:200], answer.status_code, answer.text[:300])
    assert answer.status_code < 500, said
    assert answer.headers["access-control-allow-origin"] == "*", said
    if answer.is_error:
        body = answer.json()
        assert any(shape <= body.keys() for shape in SHAPES[service]), said


@pytest.fixture
def afterwards_healthy(client: httpx.Client) -> Iterator[None]:
    """Check after all examples of a test that the services still work."""
    yield
    assert client.get("/rest/v1/notes?select=id&limit=1").status_code == 200
    assert client.post("/storage/v1/object/list/ours", json={"prefix": ""}).status_code == 200
    assert client.get("/auth/v1/admin/users?per_page=1").status_code == 200


@pytest.mark.usefixtures("afterwards_healthy")
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_body_is_answered_as_the_service_answers(
    client: httpx.Client, user: dict[str, str], endpoint: Endpoint, data: st.DataObject
) -> None:
    check(send(client, endpoint, data.draw(endpoint.bodies()), user), endpoint.service)


@pytest.mark.usefixtures("afterwards_healthy")
@settings(max_examples=examples(400, thin=60), suppress_health_check=list(HealthCheck))
@given(query=QUERIES, path=st.sampled_from(["notes", "rpc/count_notes"]))
def test_any_query_is_answered_as_rest_answers(client: httpx.Client, query: str, path: str) -> None:
    check(client.get(f"/rest/v1/{path}?{query}", headers={"Range-Unit": "items"}), "rest")


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "object/list/ours", {"prefix": "", "limit": "abc"}, "body/limit must be integer"),
        ("POST", "object/list/ours", {"prefix": "", "limit": 0}, "body/limit must be >= 1"),
        ("POST", "object/list/ours", {"prefix": "", "offset": -1}, "body/offset must be >= 0"),
        ("POST", "object/list/ours", {"prefix": "", "sortBy": "name"}, "body/sortBy must be object"),
        ("POST", "object/list/ours", {"prefix": {}}, "body/prefix must be string"),
        ("POST", "object/list/ours", {}, "body must have required property 'prefix'"),
        ("POST", "object/list/ours", [], "body must be object"),
        ("POST", "object/list-v2/ours", {"with_delimiter": "x"}, "body/with_delimiter must be boolean"),
        ("POST", "bucket", {"name": "x", "public": "perhaps"}, "body/public must be boolean"),
        ("POST", "bucket", {"name": {}}, "body/name must be string"),
        ("PUT", "bucket/ours", {"allowed_mime_types": {}}, "body/allowed_mime_types must be array"),
        ("PUT", "bucket/ours", {"allowed_mime_types": [{}]}, "body/allowed_mime_types/0 must be string"),
        ("PUT", "bucket/ours", {"file_size_limit": LONG_NUMBER}, "body/file_size_limit must be a size"),
        ("DELETE", "object/ours", {"prefixes": {}}, "body/prefixes must be array"),
        ("POST", "object/sign/ours/a.txt", {"expiresIn": "x"}, "body/expiresIn must be integer"),
        ("POST", "object/sign/ours", {"expiresIn": 60, "paths": [[]]}, "body/paths/0 must be string"),
        ("POST", "object/copy", {"bucketId": {}, "sourceKey": "a", "destinationKey": "b"}, "body/sourceKey"),
        ("POST", "object/move", {"bucketId": "ours", "sourceKey": [], "destinationKey": "b"}, "body/sourceKey"),
    ],
)  # fmt: skip
def test_storage_says_which_value_is_wrong(
    client: httpx.Client, method: str, path: str, body: object, message: str
) -> None:
    answer = client.request(method, f"/storage/v1/{path}", json=body)
    refusal = {"statusCode": "400", "error": "Error", "message": message, "code": "InvalidRequest"}
    if message == "body/sourceKey":
        refusal["message"] = (
            "body/bucketId must be string" if path == "object/copy" else "body/sourceKey must be string"
        )
    assert (answer.status_code, answer.json()) == (400, refusal)


def test_storage_converts_as_the_real_server_does(client: httpx.Client) -> None:
    asked = {"prefix": None, "limit": "1", "offset": None, "sortBy": {"column": ["name"]}}
    assert [one["name"] for one in client.post("/storage/v1/object/list/kept", json=asked).json()] == ["a.txt"]
    assert client.request("DELETE", "/storage/v1/object/kept", json={"prefixes": "absent"}).json() == []
    signed = client.post("/storage/v1/object/sign/kept/a.txt", json={"expiresIn": 10**30}).json()["signedURL"]
    assert client.get(f"/storage/v1{signed}").content == b"x"


@pytest.mark.parametrize("digits", [LONG_NUMBER, "²"])
def test_a_number_in_a_header_may_be_anything(client: httpx.Client, digits: str) -> None:
    wild = digits.encode("latin-1")
    for headers in ({b"Range": b"bytes=0-" + wild}, {b"Range": b"bytes=" + wild + b"-"}):
        check(client.get("/storage/v1/object/kept/a.txt", headers=headers), "storage")
    for headers in (
        {b"Range": b"0-" + wild},
        {b"Range": wild + b"-"},
        {b"Prefer": b"handling=strict, max-affected=" + wild},
    ):
        check(client.get("/rest/v1/rpc/count_notes", headers=headers), "rest")
    upload = {
        b"Tus-Resumable": b"1.0.0",
        b"Upload-Length": wild,
        b"Upload-Metadata": b"bucketName a2VwdA==,objectName eA==",
    }
    refused = client.post("/storage/v1/upload/resumable", headers=upload)
    assert refused.status_code in (400, 413)


@pytest.mark.parametrize("kind", ["text/€", "a/b\r\nX-Evil: 1", "a/b\x00"])
def test_a_form_cannot_give_an_object_an_unsendable_type(client: httpx.Client, kind: str) -> None:
    files = {"contentType": (None, kind.encode()), "": ("w.txt", b"x")}
    check(client.post("/storage/v1/object/kept/w.txt", files=files), "storage")
    absent = client.get("/storage/v1/object/kept/w.txt")
    assert (absent.status_code, absent.json()["code"]) == (400, "NoSuchKey")


def test_base64_may_be_invalid(client: httpx.Client) -> None:
    for cursor in ("é", "=", "////", "YTpiCg=="):
        answer = client.post("/storage/v1/object/list-v2/kept", json={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")
    for metadata in (b"\xe9", b"=", b"////", base64.b64encode(DEEP), base64.b64encode(b'{"a": NaN}')):
        headers = {b"x-metadata": metadata, b"x-upsert": b"true"}
        assert client.post("/storage/v1/object/kept/m.txt", content=b"x", headers=headers).is_success
        assert client.get("/storage/v1/object/info/kept/m.txt").json()["metadata"] == {}


def test_a_token_may_be_anything(client: httpx.Client) -> None:
    nested = base64.urlsafe_b64encode(DEEP).decode().rstrip("=")
    for token in (f"{nested}.e30.x", "e30.e30.x", "..", "é.é.é"):
        for path in ("/rest/v1/notes", "/auth/v1/user", "/storage/v1/bucket"):
            answer = client.get(path, headers={b"Authorization": f"Bearer {token}".encode()})
            check(answer, path.split("/")[1])
            assert answer.status_code in (400, 401, 403)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"email": "a\x00@b.de", "password": "correct horse"}, "validation_failed"),
        ({"email": "n@b.de", "password": "correct horse", "data": {"a": "\x00"}}, "validation_failed"),
        ({"email": 5, "password": "correct horse"}, "bad_json"),
        ({"email": "n@b.de", "password": ["x"]}, "bad_json"),
        ({"email": "n@b.de", "password": "correct horse", "data": []}, "bad_json"),
        ([], "bad_json"),
    ],
)
def test_auth_refuses_what_it_cannot_keep(client: httpx.Client, body: object, code: str) -> None:
    answer = client.post("/auth/v1/signup", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["error_code"]) == (400, 400, code)
    assert client.post("/auth/v1/token?grant_type=refresh_token", json={"refresh_token": "\x00"}).status_code == 400
    assert client.post("/auth/v1/token?grant_type=password", json={"email": "a\x00"}).status_code == 400


def test_a_half_of_a_surrogate_pair_is_kept_as_a_replacement_character(client: httpx.Client) -> None:
    body = b'{"email": "half@b.de", "password": "correct horse", "data": {"a": "x\\ud800", "b": "\\ud83d\\ude00"}}'
    made = client.post("/auth/v1/signup", content=body, headers=JSON).json()["user"]
    assert (made["user_metadata"]["a"], made["user_metadata"]["b"]) == ("x\ufffd", "😀")


@pytest.mark.parametrize("page", [LONG_NUMBER, "²", "-1", str(2**64)])
def test_pages_of_users_are_numbers(client: httpx.Client, page: str) -> None:
    check(client.get("/auth/v1/admin/users", params={"page": page}), "auth")
    check(client.get("/auth/v1/admin/users", params={"per_page": page}), "auth")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("and=" + "(and" * 5000 + "(id.eq.1)" + ")" * 5000, "PGRST100"),
        ("or=" + "(not.or" * 65 + "(id.eq.1)" + ")" * 65, "PGRST100"),
        ("select=" + "replies(" * 5000 + "id" + ")" * 5000, "PGRST100"),
        ("select=" + "text->" * 5000 + "a", "PGRST100"),
        ("replies." * 5000 + "id=eq.1", "PGRST108"),
        ("limit=²", "PGRST100"),
        ("text=eq.%00", "PGRST100"),
        ("%00=eq.1", "PGRST100"),
        (f"stars=eq.{LONG_NUMBER}", "22003"),
        ('select=text->"--5"', None),
        (f"limit={LONG_NUMBER}&offset={LONG_NUMBER}", None),
        ("and=" + "(and" * 60 + "(id.eq.1)" + ")" * 60, None),
        ("text=eq.%ff%fe", None),
    ],
    ids=lambda one: str(one)[:24],
)
def test_rest_reads_deep_and_long_queries(client: httpx.Client, query: str, code: str | None) -> None:
    answer = client.get(f"/rest/v1/notes?{query}")
    check(answer, "rest")
    assert (answer.json()["code"] if answer.is_error else None) == code, answer.text[:300]


def test_rest_keeps_a_number_that_python_cannot_read(client: httpx.Client) -> None:
    answer = client.post("/rest/v1/rpc/whole_body", content=f'{{"n": {"9" * 5000}}}', headers=JSON)
    assert answer.text == f'{{"n": {"9" * 5000}}}'
