"""What is not documented fails: settings, commands, log events, error codes, states, functions, links."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from sentinel_worker import cli, logs, settings
from sentinel_worker.request import STAGES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CODES = re.compile(r'(?:Permanent|Transient|Fatal)\(\s*"([a-z0-9_]+)"')
SQL_CODES = re.compile(r"(?:error_code = |error_code, |then null else )'([a-z]+_[a-z_]+)'")

FUNCTIONS = re.compile(r"create function public\.(sentinel_\w+|\w+_analysis|analysis_\w+)")


def text(*names: str) -> str:
    return "\n".join((DOCS / name).read_text(encoding="utf-8") for name in names)


def missing(wanted: Iterable[str], documented: str) -> list[str]:
    return sorted(word for word in set(wanted) if f"`{word}`" not in documented)


def test_every_setting_is_in_the_table_with_its_default() -> None:
    documented = text("settings.md")
    for name, field in settings.Settings.model_fields.items():
        line = next((line for line in documented.splitlines() if f"`{settings.variable(name)}`" in line), None)
        assert line, f"{settings.variable(name)} is not in docs/settings.md"
        assert field.description, name
        assert field.description in line, f"docs/settings.md says something else of {name}"
        if isinstance(field.default, str | float) and not isinstance(field.default, bool):
            shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            assert f"`{shown}`" in line, f"docs/settings.md has another default for {name}"


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {settings.variable(name) for name in settings.Settings.model_fields}
    pages = "\n".join(path.read_text(encoding="utf-8") for path in [*DOCS.rglob("*.md"), ROOT / "README.md"])
    assert set(re.findall(r"SENTINEL_[A-Z_]+", pages)) <= known | {"SENTINEL_DB_URL"}


def test_every_command_is_in_the_readme() -> None:
    commands = [
        command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback
    ]
    readme = (ROOT / "README.md").read_text(encoding="utf-8") + text("operations.md")
    assert not [name for name in commands if f"sentinel-worker {name}" not in readme]


def test_every_log_event_is_documented() -> None:
    events = [
        value for value in vars(logs).values() if isinstance(value, str) and re.fullmatch(r"[a-z]+\.[a-z_]+", value)
    ]
    assert len(events) > 15
    assert not missing(events, text("operations.md"))


def test_every_error_code_of_a_request_is_documented() -> None:
    daemon = [path for path in (ROOT / "sentinel_worker").rglob("*.py") if "local" not in path.parts]
    found = {code for path in daemon for code in CODES.findall(path.read_text(encoding="utf-8"))}
    found |= {
        code
        for path in (ROOT / "migrations").glob("*.sql")
        for code in SQL_CODES.findall(path.read_text(encoding="utf-8"))
    }
    assert {"media_empty", "worker_lost", "detector_unavailable"} <= found
    assert not missing(found, text("operations.md"))


def test_every_state_stage_and_function_is_documented() -> None:
    assert not missing(STAGES, text("frontend.md"))
    states = ["queued", "scheduled", "running", "succeeded", "failed", "cancelled"]
    assert not missing(states, text("frontend.md"))
    functions = {
        name
        for path in (ROOT / "migrations").glob("*.sql")
        for name in re.findall(
            r"create function public\.(sentinel_\w+|\w+_analysis|analysis_\w+)", path.read_text(encoding="utf-8")
        )
    }
    assert len(functions) >= 10
    assert not [name for name in functions if name not in text("database.md")]


def test_every_setting_of_the_queue_and_every_quota_is_documented() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "migrations").glob("*.sql"))
    names = re.findall(r"^  \('([a-z_]+)', '(?:null|\d+)', '", sources, re.MULTILINE)
    assert len(names) >= 7
    assert not missing(names, text("settings.md"))
    quotas = {name.removeprefix("max_") for name in names if name.startswith("max_")} - {"crashes", "running_requests"}
    assert not missing(quotas, text("frontend.md"))


@pytest.mark.parametrize(
    "page", sorted(str(path.relative_to(ROOT)) for path in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
)
def test_links_lead_somewhere(page: str) -> None:
    source = ROOT / page
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", source.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (source.parent / target).exists()]
