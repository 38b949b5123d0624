"""Docs must be complete: settings, commands, log events, error codes, states, functions, links."""

import ast
import importlib.metadata
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from sentinel_worker import cli
from sentinel_worker.commands import exits, models
from sentinel_worker.commands.dev_options import dev
from sentinel_worker.config import settings
from sentinel_worker.domain import error_codes, errors
from sentinel_worker.domain.request import Stage
from sentinel_worker.domain.verdict import Verdict, VerdictReason
from sentinel_worker.media.containers.allowed import CONTAINERS
from sentinel_worker.observe import logs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SQL_CODES = re.compile(r"(?:error_code :?= |error_code, |then null else |is not null then )'([a-z]+_[a-z_]+)'")
CODES_BY_SECTION = {
    "Error codes": error_codes.OF_REQUESTS,
    "Errors of the worker": error_codes.OF_WORKER,
    "Errors of the commands": error_codes.OF_COMMANDS,
}

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


def test_every_option_of_dev_is_in_the_table_of_the_local_supabase() -> None:
    documented = text("local.md").partition("\n## ")[0]
    options = {name.replace("_", "-") for name in dev.__annotations__} - {"return"}
    names = {{"worker": "no-worker", "rate-limit": "no-rate-limit"}.get(option, option) for option in options}
    assert set(re.findall(r"^\| `--([a-z-]+)", documented, re.MULTILINE)) == names


def test_every_log_event_is_documented() -> None:
    events = [
        value for value in vars(logs).values() if isinstance(value, str) and re.fullmatch(r"[a-z]+\.[a-z_]+", value)
    ]
    assert len(events) > 15
    assert not missing(events, text("operations.md"))


def test_every_error_code_is_documented_as_it_is_declared() -> None:
    """Each code has a row in its table's section, with its kinds and sentence, and no other row exists."""
    page = text("operations.md")
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", page, re.MULTILINE))
    for heading, declared in CODES_BY_SECTION.items():
        plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", sections[heading])
        found = re.findall(r"^\| `([a-z_]+)` \| ([a-z, ]+) \| (.+) \|$", plain, re.MULTILINE)
        assert sorted(found) == sorted((code, ", ".join(one.kinds), one.meaning) for code, one in declared.items())
        assert plain.count("\n| ") == len(found) + 2, "something else than a row of a code"


def test_every_exit_code_is_documented_and_no_other_is() -> None:
    documented = re.findall(r"^\| (\d+) \|", text("operations.md"), re.MULTILINE)
    chosen = {value for module in (exits, models) for name, value in vars(module).items() if name.startswith("EXIT_")}
    assert set(map(int, documented)) == chosen | {0, 130, 143}, "a shell's numbers of SIGINT and SIGTERM"


def test_an_error_code_is_declared_once() -> None:
    assert len(error_codes.CODES) == sum(map(len, CODES_BY_SECTION.values()))
    assert not [code for code in error_codes.CODES if not re.fullmatch(r"[a-z][a-z0-9_]*", code)]


def test_every_error_code_that_is_raised_is_declared_for_its_class_and_no_other_is() -> None:
    raised = set(raised_codes(ROOT / "sentinel_worker"))
    declared = {(code, kind) for code, one in error_codes.CODES.items() for kind in one.kinds if kind != "database"}
    assert raised <= declared
    assert not {code for code, _ in declared} - {code for code, _ in raised}
    assert set(raised_codes(ROOT / "bench")) | set(raised_codes(ROOT / "tests")) <= declared


def test_the_codes_that_the_database_writes_are_declared() -> None:
    migrations = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "migrations").glob("*.sql"))
    declared = {code for code, one in error_codes.CODES.items() if "database" in one.kinds}
    assert {code for code in SQL_CODES.findall(migrations) if code} == declared


@pytest.mark.parametrize("error", [errors.Transient, errors.Permanent, errors.Fatal])
def test_an_undeclared_code_cannot_be_raised(error: type[errors.CodedError]) -> None:
    other = next(code for code, one in error_codes.CODES.items() if error.kind not in one.kinds)
    for code in ("never_heard_of", other):
        with pytest.raises(LookupError, match=code):
            error(code, "Because.")


def raised_codes(folder: Path) -> Iterator[tuple[str, str]]:
    """Every error code written in files below `folder`, with the kind of the error made from it."""
    kinds = {"Transient": "transient", "Permanent": "permanent", "Fatal": "fatal", "Finish": "permanent"}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
                given = [word.value for word in node.keywords if word.arg == "error_code"]
                code = given[0] if given else node.args[0] if node.args else None
                if isinstance(code, ast.Constant) and (given or node.func.id != "Finish"):
                    yield str(code.value), kinds[node.func.id]


def test_every_container_has_a_row_in_the_formats_and_nothing_else_has() -> None:
    page = text("formats.md")
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| ([a-z ]+) \|", page, re.MULTILINE))
    assert list(rows) == list(CONTAINERS)
    words = {"film": ("film",), "sound": ("sound",), "animation": ("picture or animation",), "picture": ("picture",)}
    assert not [name for name, one in CONTAINERS.items() if not rows[name].startswith(words[one.kind])]


def test_every_state_stage_and_function_is_documented() -> None:
    assert not missing(get_args(Stage), text("frontend.md"))
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


def test_every_verdict_and_its_reasons_are_documented_and_are_those_that_the_database_takes() -> None:
    assert not missing([*get_args(Verdict), *get_args(VerdictReason)], text("frontend.md"))
    tables = (ROOT / "migrations" / "20261130000200_tables.sql").read_text(encoding="utf-8")
    (check,) = re.findall(r"constraint verdict_reason_is_of_its_verdict check \((.+?) end\)", tables, re.DOTALL)
    assert set(re.findall(r"'([a-z_]+)'", check)) == {*get_args(VerdictReason), "not_applicable", "uncertain"}


def test_every_setting_of_the_queue_and_every_quota_is_documented() -> None:
    source = (ROOT / "migrations" / "20261130000250_settings.sql").read_text(encoding="utf-8")
    names = re.findall(r"^    \('([a-z_]+)', '(?:null|\d+|true|false)'(?:::jsonb)?, '", source, re.MULTILINE)
    assert len(names) >= 12
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


def test_the_local_supabase_names_the_clients_that_the_tests_use() -> None:
    package = json.loads((ROOT / "tests/acceptance/supabase_js/package.json").read_text(encoding="utf-8"))
    readme = (ROOT / "local_supabase/README.md").read_text(encoding="utf-8")
    assert f"supabase-js {package['dependencies']['@supabase/supabase-js']} and" in readme
    assert f"supabase-py {importlib.metadata.version('supabase')} work" in readme
