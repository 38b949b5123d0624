"""The search for leaks finds secrets, also across blocks, and leaves out the files of a local Supabase."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from tests import leaks

KEYS = {
    "publishable_key": "sb_publishable_x",
    "jwt_secret": "jwt-secret-of-test-leaks",
    "service_key": "eyJh.eyJi.signature-of-test-leaks",
    "secret_key": "sb_secret_of-test-leaks",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Output of a test run. A search of the real run's files takes these secrets for a local Supabase's own."""
    (tmp_path / leaks.KEYS).write_text(json.dumps(KEYS))
    run = tmp_path / "run"
    own = run / "test_x0" / "supabase"
    own.mkdir(parents=True)
    (own / leaks.KEYS).write_text(json.dumps(KEYS))
    (run / "worker.log").write_text("nothing")
    return run


def test_a_clean_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaks.main([str(run)]) == 0
    assert capsys.readouterr().out.endswith(" of 1 local Supabases in 1 files: 0 hits\n")


@pytest.mark.parametrize("name", leaks.SECRET)
def test_a_leak_is_found(run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = KEYS[name]
    (run / "dump").write_bytes(b"x" * (leaks._BLOCK_BYTES - 5) + value.encode() + b"y")
    assert leaks.main([str(run)]) == 1
    said = capsys.readouterr().out
    assert "1 hits" in said
    assert value not in said


@pytest.mark.parametrize("name", leaks.SECRET)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", [b"", b"u:", b"user:"])
def test_a_leak_in_base64_is_found(run: Path, name: str, encode: Callable[[bytes], bytes], before: bytes) -> None:
    (run / "dump").write_bytes(b"Basic " + encode(before + KEYS[name].encode() + b":and more"))
    assert leaks.main([str(run)]) == 1


@pytest.mark.parametrize(
    ("secret", "role", "hits"),
    [
        (KEYS["jwt_secret"], "sentinel_worker", 1),
        (KEYS["jwt_secret"], "authenticated", 1),
        (KEYS["jwt_secret"], "anon", 0),
        ("of some other project", "authenticated", 0),
    ],
    ids=["worker", "user", "anon", "other-project"],
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


@pytest.fixture
def shown() -> str:
    """The first output of `sentinel-worker dev`."""
    return "Local Supabase is running after 5.2 s. For development only; Ctrl-C stops it.\n" + "".join(
        f"{name:>17}  {value}\n"
        for name, value in {
            "API URL": "http://127.0.0.1:54321",
            "DB URL": "postgresql://postgres:postgres@127.0.0.1/postgres",
            "publishable key": KEYS["publishable_key"],
            "secret key": KEYS["secret_key"],
            "anon key": "eyJ.eyJ.x",
            "service_role key": KEYS["service_key"],
            "JWT secret": KEYS["jwt_secret"],
        }.items()
    )


def test_what_dev_shows_on_purpose_is_no_leak(run: Path, shown: str) -> None:
    (run / "data.log").write_text(shown)
    assert leaks.main([str(run)]) == 0


@pytest.mark.parametrize("line", ["secret key  ", "error: ", "       secret key  "])
def test_all_else_that_dev_prints_is_searched(run: Path, shown: str, line: str) -> None:
    (run / "data.log").write_text(f"{shown}{line}{KEYS['secret_key']}\n")
    assert leaks.main([str(run)]) == 1


def test_nothing_else_may_show_what_dev_does(run: Path, shown: str) -> None:
    (run / "worker.log").write_text(f"ready\n{shown}")
    assert leaks.main([str(run)]) == 1


def test_no_keys_are_no_success(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_text("nothing")
    assert leaks.main([str(tmp_path)]) == 1
