"""Setup that makes a database on a plain PostgreSQL look like a Supabase project's."""

import hashlib
from pathlib import Path

import psycopg
from psycopg import sql

BOOTSTRAP = Path(__file__).with_name("bootstrap")
"""Scripts that `bootstrap` runs, and beside them the folder `extension`, for PostgreSQL's extension_control_path."""
LOGIN_ROLES = ("postgres", "authenticator", "supabase_auth_admin", "supabase_storage_admin", "supabase_realtime_admin")


def set_passwords(connection: psycopg.Connection, password: str) -> None:
    """Set `password` for every login role."""
    for role in LOGIN_ROLES:
        statement = sql.SQL("alter role {} password {}")
        connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def bootstrap(connection: psycopg.Connection) -> None:
    """Create the roles, schemas and tables; repeating it with the same scripts does nothing."""
    texts = [script.read_text(encoding="utf-8") for script in sorted(BOOTSTRAP.glob("*.sql"))]
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


def set_default_grants(connection: psycopg.Connection, *, wanted: bool) -> None:
    """Grant what is created in `public` from now on to the roles of clients, as hosted projects did; or end that.

    Existing objects keep their grants. Default grants that the owner made are left alone unless ours are in force.
    """
    # Only a superuser can make these for supabase_admin, so they tell ours from the owner's.
    row = connection.execute(
        "select from pg_default_acl"
        " where defaclrole = 'supabase_admin'::regrole and defaclnamespace = 'public'::regnamespace"
    ).fetchone()
    if (row is not None) == wanted:
        return
    change = ("grant", "to") if wanted else ("revoke", "from")
    with connection.transaction():
        for kind in ("tables", "sequences", "routines"):
            connection.execute(
                "alter default privileges for role postgres, supabase_admin in schema public"
                f" {change[0]} all on {kind} {change[1]} anon, authenticated, service_role".encode()
            )
