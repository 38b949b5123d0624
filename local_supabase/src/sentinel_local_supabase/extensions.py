"""Where PostgreSQL looks for extensions: those that its owner may not create, its own, and ours in SQL."""

from pathlib import Path

from sentinel_local_supabase.project import BOOTSTRAP

_OWNERS = ("earthdistance", "moddatetime", "pg_stat_statements", "vector")
"""Extensions that the owner of a hosted project may create, though PostgreSQL lets only superusers do so."""


def extension_control_path(bin_dir: Path, folder: Path) -> str:
    """Mark those extensions as trusted, by control files in `folder`; return the setting with this name."""
    theirs, marked = bin_dir.parent / "share" / "extension", folder / "extension"
    marked.mkdir(exist_ok=True)
    for name in _OWNERS:
        control = theirs / f"{name}.control"
        if control.exists():
            text = f"{control.read_text()}\ntrusted = true\ndirectory = '{theirs}'\n"
            (marked / control.name).write_text(text)
    return f"{folder}:$system:{BOOTSTRAP}"
