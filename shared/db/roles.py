"""What each of our processes may do in the database: one table, from which every grant comes.

A role is a group without a login; whoever runs a process makes its login a member of one. Roles
belong to the whole server and grants to one database, so a migration makes the roles where it may,
and every upgrade to the newest revision brings the grants in line with ``GRANTS``: what was granted
beside it is taken back. A table of a later revision stands here, or in ``UNGRANTED``, or a test
fails.

Columns are named one by one wherever something is written. So the scheduler cannot open an invoice
that counts as paid, nobody rewrites an amount, a ``merchant_uid`` or what was written down of a
person's deed, and nobody but the owner truncates, drops or grants anything.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, text

from shared.db.tables import metadata

EVERY = "*"


class Role(enum.StrEnum):
    """A group that the logins of processes, or of people, are members of."""

    SCHEDULER = "dalmada_scheduler"
    WORKER = "dalmada_worker"
    CONSOLE = "dalmada_console"
    READONLY = "dalmada_readonly"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role may do with the rows of one table: columns with spaces between, or ``EVERY``.

    Who may update any column may also lock rows, and who locks them needs one to update.
    """

    select: str = ""
    insert: str = ""
    update: str = ""
    delete: bool = False


_TELL = "subscription_id name data"
_ASK_WINDOW = """
    id kind status merchant_uid billing_key_id amount tax_free order_name parameters expires_at
    next_step_at command_id
"""
_ASK_REFUND = "payment_id amount tax_free reason requester cause command_id next_send_at"
_ASK_END = """
    cancel_at cancel_reason cancel_requester cancel_refund cancel_late_payment dispatched_at
"""
_ASK_REMOVAL = "status delete_reason delete_requester delete_asked_at dispatched_at"
_KEY = "customer_uid status buyer_name buyer_email buyer_tel"
_BUYER = "buyer_name buyer_email buyer_tel"

# Sees what is due and notes that it was sent; opens invoices, and moves no money.
_SCHEDULER = {
    "billing_keys": Grant(
        select="id status delete_asked_at dispatched_at created_at", update="dispatched_at"
    ),
    "subscriptions": Grant(
        select="""
            id billing_key_id amount tax_free order_name interval_unit interval_count anchor_at
            time_zone status next_period_index next_renewal_at cancel_at closed_at dispatched_at
            created_at
        """,
        update="next_period_index next_renewal_at dispatched_at",
    ),
    "invoices": Grant(
        select="""
            id subscription_id period_index amount tax_free status next_attempt_at dispatched_at
        """,
        insert="""
            subscription_id period_index period_start_at period_end_at amount tax_free order_name
            next_attempt_at
        """,
        update="dispatched_at",
    ),
    "payment_attempts": Grant(select="id status inquire_at dispatched_at", update="dispatched_at"),
    "refunds": Grant(
        select="id payment_id status checksum next_send_at inquire_at dispatched_at",
        update="dispatched_at",
    ),
    "windows": Grant(
        select="id status expires_at next_step_at dispatched_at", update="dispatched_at"
    ),
    "hints": Grant(
        select="id known next_read_at dispatched_at finding created_at",
        update="dispatched_at",
        delete=True,
    ),
    "events": Grant(select="relayed_at", insert=_TELL),
    "gateway_holds": Grant(select="held_until"),
}

# Works commands and hints, claims, and settles what the gateway says.
_WORKER = {
    "billing_keys": Grant(select=EVERY, insert=_KEY, update=f"{_ASK_REMOVAL} generation {_BUYER}"),
    "subscriptions": Grant(
        select=EVERY, update=f"{_ASK_END} status next_renewal_at canceled_at closed_at"
    ),
    "invoices": Grant(
        select=EVERY,
        update="""
            status attempts declines next_attempt_at dispatched_at paid_at collection_stopped
            message
        """,
    ),
    "payment_attempts": Grant(
        select=EVERY,
        insert="""
            invoice_id number send_number merchant_uid billing_key_id key_generation amount tax_free
            status claimed_at lease_until inquire_at
        """,
        update="""
            send_number billing_key_id key_generation status claimed_at lease_until unknown_since
            inquire_at dispatched_at inquiries no_records held_by_gateway imp_uid receipt_url
            message settled_at
        """,
    ),
    "payments": Grant(
        select=EVERY,
        insert="imp_uid merchant_uid attempt_id window_id amount tax_free paid_at",
        update="cancelled_amount cancelled_tax_free",
    ),
    "refunds": Grant(
        select=EVERY,
        insert=_ASK_REFUND,
        update="""
            status checksum send_number next_send_at claimed_at lease_until unknown_since inquire_at
            dispatched_at inquiries refusal message cancellation_id settled_at
        """,
    ),
    "windows": Grant(
        select=EVERY,
        insert=_ASK_WINDOW,
        update="status next_step_at dispatched_at imp_uid paid_at message settled_at",
    ),
    "hints": Grant(
        select=EVERY,
        insert="""
            imp_uid merchant_uid said_status cancellation_id command_id known next_read_at
            created_at
        """,
        update="""
            merchant_uid command_id known next_read_at dispatched_at reads repeats finding read_at
        """,
    ),
    "commands": Grant(select=EVERY, insert="command_id task digest result", update="result"),
    "dead_letters": Grant(select=EVERY, insert="kind attempt_id refund_id cause payload"),
    "events": Grant(select=EVERY, insert=_TELL, update="relayed_at"),
    "gateway_holds": Grant(
        select=EVERY,
        insert="id cause held_until raised_at",
        update="cause held_until raised_at",
    ),
}

# Shows everything to an operator, works their commands and decides dead letters.
_CONSOLE = {
    "billing_keys": Grant(select=EVERY, insert=_KEY, update=f"{_ASK_REMOVAL} {_BUYER}"),
    "subscriptions": Grant(
        select=EVERY,
        insert="""
            id billing_key_id amount tax_free order_name interval_unit interval_count anchor_at
            time_zone next_period_index next_renewal_at
        """,
        update=_ASK_END,
    ),
    "invoices": Grant(select=EVERY, update="status next_attempt_at dispatched_at message"),
    "payment_attempts": Grant(
        select=EVERY,
        update="status unknown_since inquire_at dispatched_at inquiries no_records message",
    ),
    # Whoever asks for a refund locks the payment, which takes a column to update: one without use.
    "payments": Grant(select=EVERY, update="created_at"),
    "refunds": Grant(
        select=EVERY,
        insert=_ASK_REFUND,
        update="""
            status unknown_since inquire_at dispatched_at inquiries refusal message settled_at
        """,
    ),
    "windows": Grant(
        select=EVERY,
        insert=_ASK_WINDOW,
        update="status next_step_at dispatched_at message settled_at",
    ),
    "hints": Grant(select=EVERY, update="next_read_at dispatched_at reads finding"),
    "commands": Grant(select=EVERY, insert="command_id task digest result", update="result"),
    "dead_letters": Grant(
        select=EVERY, insert="kind cause payload", update="resolution resolved_at"
    ),
    "audit_log": Grant(select=EVERY, insert="actor action subject reason details"),
    "events": Grant(select=EVERY, insert=_TELL),
    "gateway_holds": Grant(select=EVERY),
}

# What of a table is shown to nobody who only looks: billing keys, people, and what may speak of
# them, which is every text that a person or a merchant's command has written.
HIDDEN: Mapping[str, str] = {
    "billing_keys": "customer_uid buyer_name buyer_email buyer_tel delete_reason",
    "subscriptions": "cancel_reason",
    "payment_attempts": "receipt_url",
    "windows": "parameters",
    "refunds": "reason",
    "commands": "digest result",
    "dead_letters": "cause payload",
    "events": "data",
    "audit_log": "reason details",
}

# Looks at figures; a new column is hidden until it is named here.
_READONLY = {
    "billing_keys": Grant(
        select="""
            id status generation delete_requester delete_asked_at dispatched_at created_at
        """
    ),
    "subscriptions": Grant(
        select="""
            id billing_key_id amount tax_free order_name interval_unit interval_count anchor_at
            time_zone status next_period_index next_renewal_at cancel_at canceled_at closed_at
            cancel_requester cancel_refund cancel_late_payment dispatched_at created_at
        """
    ),
    "invoices": Grant(select=EVERY),
    "payment_attempts": Grant(
        select="""
            id invoice_id number send_number merchant_uid billing_key_id key_generation amount
            tax_free status claimed_at lease_until unknown_since inquire_at dispatched_at inquiries
            no_records held_by_gateway imp_uid message settled_at created_at
        """
    ),
    "payments": Grant(select=EVERY),
    "refunds": Grant(
        select="""
            id payment_id amount tax_free requester cause command_id status checksum send_number
            next_send_at claimed_at lease_until unknown_since inquire_at dispatched_at inquiries
            refusal message cancellation_id settled_at created_at
        """
    ),
    "windows": Grant(
        select="""
            id kind status merchant_uid billing_key_id amount tax_free order_name expires_at
            next_step_at dispatched_at imp_uid paid_at message command_id settled_at created_at
        """
    ),
    "hints": Grant(select=EVERY),
    "commands": Grant(select="command_id task created_at"),
    "dead_letters": Grant(select="id kind attempt_id refund_id resolution resolved_at created_at"),
    "events": Grant(select="id subscription_id name created_at relayed_at"),
    "audit_log": Grant(select="id actor action subject created_at"),
    "gateway_holds": Grant(select=EVERY),
}

GRANTS: Mapping[Role, Mapping[str, Grant]] = {
    Role.SCHEDULER: _SCHEDULER,
    Role.WORKER: _WORKER,
    Role.CONSOLE: _CONSOLE,
    Role.READONLY: _READONLY,
}
# Tables of which no role is granted anything, each with its reason.
UNGRANTED: Mapping[str, str] = {"alembic_version": "only who migrates reads and writes it"}


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
