"""The search for leaks finds what is there, also across blocks, and leaves out what a local Supabase keeps."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from tests import leaks

KEYS = {
    "publishable_key": "sb_publishable_x",
    "jwt_secret": "CANARY-secret",
    "service_key": "eyJh.eyJi.CANARY-signature",
    "secret_key": "sb_secret_CANARY",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    own = tmp_path / "test_x0" / "supabase"
    own.mkdir(parents=True)
    (own / leaks.KEYS).write_text(json.dumps(KEYS))
    (tmp_path / "worker.log").write_text("nothing")
    return tmp_path


def test_a_clean_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaks.main([str(run)]) == 0
    assert capsys.readouterr().out.endswith(" of 1 local Supabases in 1 files: 0 hits\n")


@pytest.mark.parametrize("value", ["CANARY-secret", "sb_secret_CANARY", "eyJh.eyJi.CANARY-signature"])
def test_a_leak_is_found(run: Path, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "dump").write_bytes(b"x" * (leaks._BLOCK_BYTES - 5) + value.encode() + b"y")
    assert leaks.main([str(run)]) == 1
    said = capsys.readouterr().out
    assert "1 hits" in said
    assert value not in said


@pytest.mark.parametrize("value", [KEYS["jwt_secret"], KEYS["secret_key"], KEYS["service_key"]])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", [b"", b"u:", b"user:"])
def test_a_leak_in_base64_is_found(run: Path, value: str, encode: Callable[[bytes], bytes], before: bytes) -> None:
    (run / "dump").write_bytes(b"Basic " + encode(before + value.encode() + b":and more"))
    assert leaks.main([str(run)]) == 1


@pytest.mark.parametrize(
    ("secret", "role", "hits"),
    [
        (KEYS["jwt_secret"], "sentinel_worker", 1),
        (KEYS["jwt_secret"], "authenticated", 1),
        (KEYS["jwt_secret"], "anon", 0),
        ("of some other project", "authenticated", 0),
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize("name", ["worker.log", "rows.json", "page.html", "stdout"])
def test_a_jwt_made_later_is_found_in_a_text(
    run: Path, name: str, secret: str, role: str, hits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    token = jwt.encode({"role": role, "aud": "authenticated", "exp": 1}, secret, algorithm="HS256")
    (run / name).write_text(f'{{"error": "Bearer {token}"}}')
    assert leaks.main([str(run)]) == hits
    said = capsys.readouterr().out
    assert f"{hits} hits" in said
    assert token not in said


@pytest.mark.parametrize(("name", "hits"), [("jwt", 0), ("jwt.new", 0), ("worker.log", 1)])
@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_a_file_with_nothing_but_a_jwt_is_a_key(run: Path, name: str, hits: int) -> None:
    token = jwt.encode({"role": "sentinel_worker"}, KEYS["jwt_secret"], algorithm="HS256")
    (run / name).write_text(f"{token}\n")
    assert leaks.main([str(run)]) == hits


def test_no_keys_are_no_success(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_text("nothing")
    assert leaks.main([str(tmp_path)]) == 1
