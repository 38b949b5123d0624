"""Where the kernel grants less: `auto` takes what there is, `require` says what is missing and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel_worker.media.sandbox import REQUIRED
from tests.integration.media.films import Make

NAMESPACES = {"user_namespace", "network_namespace"}
DECODE = """
import asyncio, json, sys
from pathlib import Path
from sentinel_worker.errors import Fatal
from sentinel_worker.media.facts import MediaLimits
from sentinel_worker.media.zygote import Zygote

async def main():
    media, zygote = Path(sys.argv[2]), Zygote(sandbox=sys.argv[1])
    try:
        await zygote.start()
    except Fatal as error:
        return {"code": error.code, "message": error.message}
    async with zygote.open(media, media.parent, MediaLimits()) as child:
        facts = await child.probe()
        layers = child.layers
    await zygote.stop()
    assert layers == zygote.layers
    return {"in_force": layers.in_force, "missing": dict(layers.missing), "frames": facts.frame_count}

print(json.dumps(asyncio.run(main())))
"""


def decode(refused: str, mode: str, media: Path) -> dict[str, object]:
    """What a worker finds that runs without these."""
    command = [sys.executable, "-m", "tests.integration.media.poor_kernel", refused]
    ran = subprocess.run(
        [*command, sys.executable, "-c", DECODE, mode, str(media)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, object] = json.loads(ran.stdout)
    return answer


@pytest.mark.parametrize(
    ("refused", "missing"),
    [
        ("namespaces", NAMESPACES),
        ("landlock", {"landlock", "landlock_tcp", "landlock_scopes"}),
        ("namespaces,landlock", {*NAMESPACES, "landlock", "landlock_tcp", "landlock_scopes"}),
    ],
)
def test_auto_takes_what_there_is(ramp: Make, refused: str, missing: set[str]) -> None:
    found = decode(refused, "auto", ramp("stride.mp4"))
    assert found["frames"] == 50
    assert set(dict(found["missing"])) >= missing  # type: ignore[call-overload]
    assert set(found["in_force"]) >= set(REQUIRED) - missing  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        ("namespaces", ["user_namespace, network_namespace (", "Operation not permitted", "Docker", "Restrict"]),
        ("landlock", ["landlock (Function not implemented", "Linux 5.13", "lsm="]),
    ],
)
def test_require_says_what_is_missing(ramp: Make, refused: str, said: list[str]) -> None:
    found = decode(refused, "require", ramp("stride.mp4"))
    assert found["code"] == "sandbox_unavailable"
    assert not [part for part in ("SENTINEL_SANDBOX=require", *said) if part not in str(found["message"])]
    assert str(found["message"]).endswith(").")


def test_the_daemon_does_not_start_without_a_required_layer(tmp_path: Path) -> None:
    settings = {
        # Nobody listens there, and nobody is asked: the layers come first.
        "SUPABASE_URL": "http://127.0.0.1:1",
        "SUPABASE_SECRET_KEY": "sb_secret_x",
        "SENTINEL_DETECTOR": "demo",
        "SENTINEL_DEVICE": "cpu",
        "SENTINEL_SANDBOX": "require",
        "SENTINEL_WORK_DIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "tests.integration.media.poor_kernel", "namespaces,landlock"]
    ran = subprocess.run(
        [*command, sys.executable, "-m", "sentinel_worker", "run"],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    last = json.loads(ran.stderr.splitlines()[-1])
    assert (ran.returncode, last["event"], last["error_code"]) == (2, "worker.broken", "sandbox_unavailable")
    for layer in ("user_namespace", "network_namespace", "landlock"):
        assert layer in last["error"]
    assert last["error"].endswith(").")
    assert not list(tmp_path.iterdir())
