"""Licences that a person accepts, and output for a person."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.detectors.models.conftest import MODELS, Run, environment_of
from tests.integration.detectors.models.hub import Hub


def test_a_licence_has_to_be_accepted(hub: Hub, command: Run) -> None:
    refused = command("pull", "video-large")
    assert refused.returncode == 2
    assert "CC BY-NC 4.0: not for commercial use" in refused.stderr
    assert "--accept-licence" in refused.stderr
    assert hub.requests == []
    accepted = command("pull", "video-large", "--accept-licence")
    assert "The hub has no repository" in accepted.stderr


@pytest.mark.parametrize(("answer", "said"), [("y", "The hub has no repository"), ("n", "was not accepted")])
def test_on_a_terminal_the_licence_is_asked_about(hub: Hub, home: Path, answer: str, said: str) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [sys.executable, "-c", MODELS, "pull", "video-large"]
    asked = subprocess.run(
        command,
        env=environment_of(hub, home),
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert "Accept?" in asked.stderr
    assert said in " ".join(asked.stderr.split())


def test_list_and_show_are_for_people_too(command: Run) -> None:
    listed = command("list")
    assert listed.returncode == 0
    assert "CC-BY-NC-4.0 (not for commercial use)" in listed.stdout
    shown = command("show", "video-large")
    assert "run `sentinel-worker models pull video-large`" in shown.stdout
    assert "2cbeca77c171af587f215a7d262ab6c47cbcea17" in shown.stdout
    assert command("show", "no-such").returncode == 2


def test_the_commands_do_not_wait_for_torch(run: Run) -> None:
    program = MODELS.replace("app(prog", "import sys\ntry: app(prog") + "\nfinally: print('torch' in sys.modules)"
    assert run("list", program=program).stdout.splitlines()[-1] == "False"
