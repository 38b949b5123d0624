"""Setup that makes a database on a plain PostgreSQL look like a Supabase project's."""

import hashlib
from importlib.resources import files

import psycopg
from psycopg import sql

LOGIN_ROLES = ("postgres", "authenticator", "supabase_auth_admin", "supabase_storage_admin", "supabase_realtime_admin")


def set_passwords(connection: psycopg.Connection, password: str) -> None:
    """Set `password` for every login role."""
    for role in LOGIN_ROLES:
        statement = sql.SQL("alter role {} password {}")
        connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def bootstrap(connection: psycopg.Connection) -> None:
    """Create the roles, schemas and tables; repeating it with the same scripts does nothing."""
    scripts = sorted(
        (script for script in files(__package__).joinpath("bootstrap").iterdir() if script.name.endswith(".sql")),
        key=lambda script: script.name,
    )
    texts = [script.read_text(encoding="utf-8") for script in scripts]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('sentinel_local_supabase.bootstrap'))")
        row = connection.execute(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
        ).fetchone()
        if row == (f"sentinel_local_supabase {digest}",):
            return
        for text in texts:
            connection.execute(text.encode())
        connection.execute(
            sql.SQL("comment on database {} is {}").format(
                sql.Identifier(connection.info.dbname), sql.Literal(f"sentinel_local_supabase {digest}")
            )
        )
