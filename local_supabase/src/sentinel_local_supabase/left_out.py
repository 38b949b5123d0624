"""Advice for SQL that asks for a part of Supabase that the local one does not have, or meets a missing grant."""

import re

_HAS = "see “What the database has” in docs/local.md"
_SCHEMAS = "vault|net|cron|graphql|graphql_public|pgmq|pgsodium|supabase_functions"
_ADVICE = (
    (r'extension "([^"]+)" is not available', rf"The local Supabase has no extension \1: {_HAS}."),
    (r'parameter "(pgrst\.[^"]+)"', r"The local Supabase has no \1: of REST's settings it has only pgrst.db_schemas."),
    (
        rf'(?:schema|relation|function) "?({_SCHEMAS})\b.* does not exist',
        rf"The local Supabase has no schema \1: {_HAS}.",
    ),
    (
        r"permission denied for (?:table|view|sequence) (\S+)",
        r"Grant the role what it needs on \1, or start with --default-grants and --fresh.",
    ),
)


def advice(message: str) -> str:
    """Return a sentence, after a space, for PostgreSQL's error `message`; an empty text if there is none."""
    for pattern, sentence in _ADVICE:
        if found := re.search(pattern, message):
            return f" {found.expand(sentence)}"
    return ""
