"""The search for leaks finds what is there, also across blocks, and leaves out what a local Supabase keeps."""

import json
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
    assert capsys.readouterr().out == "3 secrets of 1 local Supabases in 1 files: 0 hits\n"


@pytest.mark.parametrize("value", ["CANARY-secret", "sb_secret_CANARY", "eyJh.eyJi.CANARY-signature"])
def test_a_leak_is_found(run: Path, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "dump").write_bytes(b"x" * (leaks._BLOCK_BYTES - 5) + value.encode() + b"y")
    assert leaks.main([str(run)]) == 1
    said = capsys.readouterr().out
    assert "1 hits" in said
    assert value not in said


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
def test_a_jwt_made_later_is_found_in_a_log(
    run: Path, secret: str, role: str, hits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    token = jwt.encode({"role": role, "aud": "authenticated", "exp": 1}, secret, algorithm="HS256")
    (run / "worker.log").write_text(f'{{"error": "Bearer {token}"}}')
    assert leaks.main([str(run)]) == hits
    said = capsys.readouterr().out
    assert f"{hits} hits" in said
    assert token not in said


def test_no_keys_are_no_success(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_text("nothing")
    assert leaks.main([str(tmp_path)]) == 1
