"""The words of `dev --misbehave`, valid and invalid."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.fault_parser import HTTP_KEYS, REALTIME_KEYS, read_faults
from sentinel_local_supabase.faults import Faults, HttpFault, RealtimeFaults
from sentinel_worker import cli
from sentinel_worker.commands.exits import EXIT_CONFIGURATION

PAGE = (Path(__file__).parents[2] / "docs" / "local.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "rest:status=503,retry-after=7,times=3",
            HttpFault(service="rest", status=503, retry_after_seconds=7, times=3),
        ),
        ("all:status=502,body=html", HttpFault(status=502, body="html")),
        (
            "storage:drip=1000,method=get,path=object/media",
            HttpFault(service="storage", drip_bytes_per_second=1000, method="get", path="object/media"),
        ),
        ("storage:cut-after=5000", HttpFault(service="storage", cut_after_bytes=5000)),
        ("auth:delay=0.5,lose-answer", HttpFault(service="auth", delay_seconds=0.5, lose_answer=True)),
    ],
)
def test_faults_of_http(text: str, expected: HttpFault) -> None:
    assert read_faults([text]) == Faults(http=(expected,))


def test_faults_add_up_in_their_order() -> None:
    words = ["realtime:lose-changes", "rest:status=503,times=1", "realtime:ready-seconds=10", "rest:delay=1"]
    assert read_faults(words) == Faults(
        http=(HttpFault(service="rest", status=503, times=1), HttpFault(service="rest", delay_seconds=1)),
        realtime=RealtimeFaults(lose_changes=True, ready_seconds=10),
    )
    assert read_faults([]) == Faults()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("db:status=503", "unknown service 'db'; known: all, auth, rest, storage, realtime"),
        ("rest", "give a fault, for example rest:status=503"),
        ("realtime:", "give a fault, for example realtime:lose-changes"),
        ("rest:stats=503", "unknown key 'stats'; known: path, method, status, body"),
        ("realtime:status=503", "unknown key 'status'; known: lose-changes"),
        ("rest:status", "status needs a value"),
        ("rest:status=", "status needs a value"),
        ("rest:status=abc", "status must be a whole number, not 'abc'"),
        ("rest:status=200", "the status must be between 400 and 599"),
        ("rest:status=503,status=502", "status is given twice"),
        ("rest:status=503,body=xml", "body must be one of json, blank, html, empty"),
        ("rest:delay=inf", "delay must be a number of seconds, not 'inf'"),
        ("realtime:ready-seconds=-1", "ready-seconds must be a number of seconds, not '-1'"),
        ("realtime:lose-changes=1", "lose-changes takes no value"),
        ("realtime:close-code=1001", "close_code needs close_sockets_after_seconds"),
        ("realtime:close-code=1001,mute", "close_code needs close_sockets_after_seconds"),
        ("realtime:close-code=1012", "nothing happens"),
        ("realtime:ready-seconds=0", "nothing happens"),
        ("rest:times=3", "nothing happens"),
        ("rest:delay=1,times=0", "times must be at least 1"),
        ("rest:delay=1,retry-after=1", "body and retry-after need a status"),
        ("rest:status=503,lose-answer", "a status replaces the answer, so it cannot also be lost, cut or dripped"),
        ("rest:lose-answer,drip=5", "a lost answer cannot be cut or dripped"),
        ("rest:drip=0", "drip must be at least one byte a second"),
        ("rest:cut-after=-1", "cut-after must be at least 0 bytes"),
        ("rest:status=503,retry-after=-1", "seconds must be finite and not negative"),
    ],
)
def test_a_mistake_is_named_with_what_is_known(text: str, said: str) -> None:
    with pytest.raises(LocalSupabaseError) as caught:
        read_faults([text])
    assert caught.value.message.startswith(f"--misbehave {text}: ")
    assert said in caught.value.message


def test_what_is_said_of_realtime_is_judged_together() -> None:
    words = ["realtime:close-code=1001", "realtime:close-sockets-after-seconds=2"]
    assert read_faults(words).realtime == RealtimeFaults(close_sockets_after_seconds=2, close_code=1001)
    with pytest.raises(LocalSupabaseError) as caught:
        read_faults(["realtime:close-code=1001", "realtime:refuse-status=503"])
    assert caught.value.message.startswith(
        "--misbehave realtime:close-code=1001 --misbehave realtime:refuse-status=503"
    )


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_seconds_of_realtime_are_finite_and_not_negative(seconds: float) -> None:
    for field in fields(RealtimeFaults):
        if field.name.endswith("_seconds"):
            with pytest.raises(ValueError, match=f"{field.name} must be finite and not negative"):
                RealtimeFaults(**{field.name: seconds})  # type: ignore[arg-type]


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(LocalSupabaseError) as caught:
        read_faults(["db:x", "rest:status=503", "rest:y"])
    assert [line.split(":", 1)[0] for line in caught.value.message.splitlines()] == [
        "--misbehave db",
        "--misbehave rest",
    ]


def test_dev_starts_nothing_with_a_mistake_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    result = CliRunner().invoke(cli.app, ["dev", "--data", str(folder), "--misbehave", "db:x:status=503"])
    assert result.exit_code == EXIT_CONFIGURATION
    assert (
        "--misbehave db:x:status=503: unknown service 'db'; known: all, auth, rest, storage, realtime" in result.stderr
    )
    assert not folder.exists()


def test_faults_travel_as_json() -> None:
    faults = read_faults(
        ["rest:status=503,times=3", "storage:cut-after=5", "realtime:close-sockets-after-seconds=1,close-code=1001"]
    )
    assert Faults.from_dict(json.loads(json.dumps(faults.to_dict()))) == faults


def test_every_key_is_documented_and_every_documented_example_is_read() -> None:
    assert not [key for key in [*HTTP_KEYS, *REALTIME_KEYS] if f"`{key}`" not in PAGE and f"`{key}=" not in PAGE]
    examples = re.findall(r"--misbehave ([a-z]\S+)", PAGE)
    assert len(examples) > 5
    read_faults(examples)
