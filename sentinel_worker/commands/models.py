"""`sentinel-worker models`: the detectors, their weights and licences."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sentinel_worker.commands.exits import errors, fail
from sentinel_worker.detectors import catalogue
from sentinel_worker.detectors.registry import DEFAULT_DETECTORS, DetectorSpec, find_detector, split_keys
from sentinel_worker.domain.errors import CodedError, Fatal

EXIT_DIFFERENT = 1
_SHORT = 12

app = typer.Typer(no_args_is_help=True, help="Detectors, their weights and licences.")
console = Console(highlight=False, emoji=False)

DetectorsFile = Annotated[
    Path | None,
    typer.Option("--detectors", envvar="SENTINEL_DETECTORS", help="The operator's TOML file of detectors."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DetectorKeys = Annotated[list[str] | None, typer.Argument(metavar="[KEY]…", show_default=False)]


@app.command(name="list")
def list_command(detectors: DetectorsFile = None, as_json: AsJson = False) -> None:
    """List the detectors, and where their weights are."""
    from sentinel_worker.detectors import overview

    with _said():
        defaults = _default_keys()
        specs = catalogue.read_detectors(detectors).values()
        rows = [overview.brief(spec) | {"default": spec.key in defaults} for spec in specs]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("detector", "answers", "weights", "revision", "licence", "default", box=None, pad_edge=False)
    for row in rows:
        licence = row["licence"] + ("" if row["commercial_use"] else " (not for commercial use)")
        revision = (row["revision"] or "")[:_SHORT]
        cells = (row["key"], row["media_kind"], row["state"], revision, licence, "yes" if row["default"] else "")
        table.add_row(*map(escape, cells))
    console.print(table)


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="The detector.")], detectors: DetectorsFile = None, as_json: AsJson = False
) -> None:
    """Show everything about one detector: windows, labels, thresholds, licence, files."""
    from sentinel_worker.detectors import overview

    with _said():
        shown = overview.full(find_detector(key, catalogue.read_detectors(detectors)))
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    table = Table.grid(padding=(0, 2))
    for name, value in _lines(shown):
        table.add_row(name, escape(value))
    console.print(table)


@app.command()
def pull(
    keys: DetectorKeys = None,
    detectors: DetectorsFile = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept licences that forbid commercial use or are not stated.")
    ] = False,
    newest: Annotated[
        bool, typer.Option("--newest", help="Fetch the hub's current revision if none is pinned.")
    ] = False,
) -> None:
    """Fetch weights from the Hugging Face hub into its cache; without keys, those of the default detectors."""
    # huggingface_hub reads this once, on import. Only this command may use the network.
    os.environ["HF_HUB_OFFLINE"] = "0"
    from sentinel_worker.detectors import store

    with _said():
        specs = catalogue.read_detectors(detectors)
        chosen = [find_detector(key, specs) for key in keys or _default_keys()]
        for spec in chosen:
            _accept(spec, accepted=accept_licence)
        for spec in chosen:
            if spec.folder is not None:
                typer.echo(f"{spec.key}: its weights are in a folder; nothing to fetch")
                continue
            pulled = store.pull(spec, typer.echo, newest=newest)
            size = sum(file.size for file in pulled.files.values())
            typer.echo(f"{spec.key}: {spec.repository} at {pulled.revision}, {size / 1e6:,.1f} MB")


@app.command()
def verify(keys: DetectorKeys = None, detectors: DetectorsFile = None) -> None:
    """Hash pulled weights again and compare them; exit code 1, and the file's name, on a difference."""
    from sentinel_worker.detectors import store

    with _said():
        specs = catalogue.read_detectors(detectors)
        pulled = [spec for spec in specs.values() if store.was_pulled(spec)]
        chosen = [find_detector(key, specs) for key in keys] if keys else pulled
        verified = [store.verify(spec) for spec in chosen]
    for one in verified:
        typer.echo(f"{one.key}: {'; '.join(one.wrong) or 'as pulled'} ({one.revision})")
    if not verified:
        typer.echo("nothing was pulled")
    if any(one.wrong for one in verified):
        raise typer.Exit(EXIT_DIFFERENT)


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except CodedError as error:
        fail(error)


def _default_keys() -> list[str]:
    """Return the keys that this machine's worker would load."""
    named = os.environ.get("SENTINEL_DETECTOR", "")
    return split_keys(named) or list(DEFAULT_DETECTORS)


def _accept(spec: DetectorSpec, *, accepted: bool) -> None:
    """Ask the operator to accept a licence that may forbid their use."""
    if spec.commercial_use or spec.folder is not None:
        return
    errors.print(
        f"{escape(spec.key)}: licence of {escape(str(spec.repository))}: {escape(spec.licence)}. "
        f"{escape(spec.notice or 'It may not be for commercial use.')}",
        soft_wrap=True,
    )
    if accepted or (sys.stdin.isatty() and typer.confirm("Accept?", err=True)):
        return
    raise Fatal(
        "licence_not_accepted", f"The licence of detector '{spec.key}' was not accepted; --accept-licence accepts it."
    )


def _lines(shown: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return one pair per value; nested tables become dotted names."""
    lines: list[tuple[str, str]] = []
    for name, value in shown.items():
        if isinstance(value, Mapping):
            lines += _lines(value, f"{prefix}{name}.")
        elif value is not None:
            lines.append((f"{prefix}{name}", _word(value)))
    return lines


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
