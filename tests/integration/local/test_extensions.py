"""pgcrypto and uuid-ossp in SQL give what the libraries give."""

import hashlib
import hmac
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.stacks import postgres_at

TEXTS = ("", "abc", "grüße", "x" * 55, "x" * 56, "x" * 63, "x" * 64, "x" * 119, "x" * 120, "y" * 1000)
ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "SHA512")
# Of Openwall's crypt_blowfish: with the secret, its salt and its hash.
BCRYPT = (
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
    (
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored",
        "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
    ),
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    """A session of the owner."""
    with (
        postgres_at(tmp_path_factory.mktemp("server") / "postgres") as server,
        psycopg.connect(server.dsn(), autocommit=True) as connection,
    ):
        yield connection


def value(database: psycopg.Connection, expression: str, *parameters: object) -> object:
    row = database.execute(f"select {expression}".encode(), parameters).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_digests_and_hmacs(database: psycopg.Connection, algorithm: str) -> None:
    for text in TEXTS:
        plain = text.encode()
        wanted = hashlib.new(algorithm, plain).digest()
        assert value(database, "digest(%s::text, %s)", text, algorithm) == wanted
        assert value(database, "digest(%s::bytea, %s)", plain, algorithm) == wanted
        for key in ("k", "k" * 64, "k" * 129):
            signed = hmac.digest(key.encode(), plain, algorithm)
            assert value(database, "hmac(%s::text, %s::text, %s)", text, key, algorithm) == signed


@pytest.mark.parametrize(("secret", "hashed"), BCRYPT)
def test_bcrypt(database: psycopg.Connection, secret: str, hashed: str) -> None:
    assert value(database, "crypt(%s, %s)", secret, hashed) == hashed
    assert value(database, "crypt(%s, %s)", f"-{secret}", hashed) != hashed


def test_salts_and_random_bytes_differ(database: psycopg.Connection) -> None:
    salts = {value(database, "gen_salt('bf', 4)") for _ in range(20)}
    assert len(salts) == 20
    assert all(isinstance(salt, str) and salt.startswith("$2a$04$") and len(salt) == 29 for salt in salts)
    assert value(database, "left(gen_salt('bf'), 7)") == "$2a$06$"
    assert value(database, "crypt('x', salt) = crypt('x', crypt('x', salt)) from gen_salt('bf', 4) as salt") is True
    assert [value(database, f"length(gen_random_bytes({size}))") for size in (1, 14, 15, 1024)] == [1, 14, 15, 1024]
    drawn = b"".join(bytes(value(database, "gen_random_bytes(1000)")) for _ in range(20))  # type: ignore[call-overload]
    assert min(drawn.count(byte) for byte in range(256)) > 20  # no bit is fixed: 78 expected


def test_uuids(database: psycopg.Connection) -> None:
    for name in ("www.example.com", "grüße"):
        assert value(database, "uuid_generate_v3(uuid_ns_url(), %s)", name) == uuid.uuid3(uuid.NAMESPACE_URL, name)
        assert value(database, "uuid_generate_v5(uuid_ns_dns(), %s)", name) == uuid.uuid5(uuid.NAMESPACE_DNS, name)
    assert value(database, "array[uuid_ns_oid(), uuid_ns_x500(), uuid_nil()]") == [
        uuid.NAMESPACE_OID,
        uuid.NAMESPACE_X500,
        uuid.UUID(int=0),
    ]
    for function, version in (("v1", 1), ("v1mc", 1), ("v4", 4)):
        made = {value(database, f"uuid_generate_{function}()") for _ in range(20)}
        assert len(made) == 20
        assert {one.version for one in made if isinstance(one, uuid.UUID)} == {version}
    assert value(database, "abs(extract(epoch from now() - uuid_extract_timestamp(uuid_generate_v1()))) < 60") is True


def test_an_unknown_algorithm_is_a_mistake_and_a_left_out_one_is_named(database: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match='Cannot use "md6": No such hash algorithm'):
        value(database, "digest('x', 'md6')")
    for left_out in ("gen_salt('md5')", "crypt('x', '$1$salt')", "encrypt('x', 'y', 'aes')", "armor('x')"):
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="the local Supabase has no "):
            value(database, left_out)


@pytest.mark.parametrize(
    ("extension", "call"),
    [
        ("moddatetime", "'moddatetime'::regproc::text"),
        ("vector", "('[1,2]'::extensions.vector <-> '[1,2]')::text"),
        ("earthdistance", "earth()::text"),
        ("pg_stat_statements", "to_regclass('extensions.pg_stat_statements')::text"),
    ],
)
def test_the_owner_creates_what_a_hosted_projects_owner_may(
    database: psycopg.Connection, extension: str, call: str
) -> None:
    with database.transaction(force_rollback=True):
        database.execute(f"create extension {extension} with schema extensions cascade".encode())
        assert value(database, call)


def test_they_are_there_from_the_start_and_may_be_asked_for_again(database: psycopg.Connection) -> None:
    for statement in ('create extension if not exists "uuid-ossp"', "create extension if not exists pgcrypto"):
        database.execute(statement.encode())
    there = database.execute("select extname, extnamespace::regnamespace::text from pg_extension order by 1").fetchall()
    assert there == [("pgcrypto", "extensions"), ("plpgsql", "pg_catalog"), ("uuid-ossp", "extensions")]
