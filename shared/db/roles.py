"""The database roles of our processes, and how their grants are kept in line with ``GRANTS``.

A role is a group without a login; whoever runs a process makes its login a member of one. Roles
belong to the whole server and grants to one database, so a migration makes the roles where it may,
and every upgrade to the newest revision brings the grants in line: what was granted beside them is
taken back. A table of a later revision stands in ``GRANTS``, or in ``UNGRANTED``, or a test fails.
"""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, text

from shared.db.grants import EVERY, GRANTS, Grant, Role
from shared.db.tables import metadata


class Privilege(NamedTuple):
    """One thing that a role may do, with one column or, where that is empty, with a whole table."""

    role: str
    table: str
    column: str
    kind: str


def wanted(role: Role) -> frozenset[Privilege]:
    """Return what a role is to have."""
    return frozenset(
        Privilege(role, table, "" if column == EVERY else column, kind)
        for table, grant in GRANTS[role].items()
        for kind, columns in _kinds(grant)
        for column in columns
    )


def existing(connection: Connection) -> tuple[Role, ...]:
    """Return those of the roles that the server has."""
    found = connection.scalars(
        text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names)"),
        {"names": [str(role) for role in Role]},
    ).all()
    return tuple(role for role in Role if role in found)


def held(connection: Connection) -> frozenset[Privilege]:
    """Return what the roles have been granted on the tables of ours that are there."""
    rows = connection.execute(_HELD, {"tables": _tables(), "roles": [str(role) for role in Role]})
    return frozenset(Privilege(*row) for row in rows)


_HELD = text(
    """
    WITH tables AS (
        SELECT oid, relname, relacl FROM pg_class
        WHERE relnamespace = CAST(CAST(current_schema() AS text) AS regnamespace)
          AND relname = ANY(:tables)
    ), acls AS (
        SELECT relname, '' AS attname, relacl AS acl FROM tables
        UNION ALL
        SELECT t.relname, a.attname, a.attacl
        FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND NOT a.attisdropped
    )
    SELECT r.rolname, l.relname, l.attname, x.privilege_type
    FROM acls l CROSS JOIN LATERAL aclexplode(l.acl) x JOIN pg_roles r ON r.oid = x.grantee
    WHERE r.rolname = ANY(:roles)
    """
)


def settle(connection: Connection) -> tuple[Role, ...]:
    """Bring the grants of a database of the newest revision in line; return the missing roles.

    What is in line already is not written again. Part of the caller's transaction.
    """
    roles = existing(connection)
    if held(connection) != frozenset[Privilege]().union(*map(wanted, roles)):
        for role in roles:
            for statement in statements(role):
                connection.exec_driver_sql(statement)
    for role in roles:
        # As a rule everybody may use the schema; where that was taken back, these may.
        use = connection.scalar(_USE_SCHEMA, {"role": str(role)})
        if use is not None:
            connection.exec_driver_sql(use)
    return tuple(role for role in Role if role not in roles)


_USE_SCHEMA = text(
    """
    SELECT format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), CAST(:role AS text))
    WHERE NOT has_schema_privilege(CAST(:role AS text), current_schema(), 'USAGE')
    """
)


def statements(role: Role) -> Iterator[str]:
    """Yield what gives a role exactly its grants, whatever it had on our tables before."""
    yield f"REVOKE ALL ON {', '.join(_tables())} FROM {role}"
    for table, grant in sorted(GRANTS[role].items()):
        kinds = [
            kind if EVERY in columns else f"{kind} ({', '.join(columns)})"
            for kind, columns in _kinds(grant)
        ]
        yield f"GRANT {', '.join(kinds)} ON {table} TO {role}"


def script() -> str:
    """Return what an administrator of the server runs where the owner may make no role."""
    made = "\n".join(
        f"    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN\n"
        f"        CREATE ROLE {role} NOLOGIN;\n"
        "    END IF;"
        for role in Role
    )
    return f"""\
-- The roles of Dalmada's processes, for an administrator of the server; it may be run again.
DO $$
BEGIN
{made}
END
$$;
-- Afterwards the owner of the tables has them granted: python -m shared.db.migrate upgrade
-- And each process is given a login of its own, which is a member of its role:
--   CREATE ROLE billing_worker LOGIN PASSWORD '...' IN ROLE {Role.WORKER};
"""


def _kinds(grant: Grant) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each kind of statement that is granted, with its columns."""
    for kind, columns in (
        ("SELECT", grant.select),
        ("INSERT", grant.insert),
        ("UPDATE", grant.update),
        ("DELETE", EVERY if grant.delete else ""),
    ):
        if columns:
            yield kind, tuple(columns.split())


def _tables() -> list[str]:
    return sorted(metadata.tables)
