"""roles."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# In one order everywhere: roles belong to the server, whose other databases migrate as well.
ROLES = ("dalmada_scheduler", "dalmada_worker", "dalmada_console", "dalmada_readonly")


def upgrade() -> None:
    """Make the roles where that is allowed; what they may do is granted after the last revision."""
    for role in ROLES:
        op.execute(
            f"""
            DO $$
            BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                    CREATE ROLE {role} NOLOGIN;
                END IF;
            EXCEPTION
                -- Another database of the server came first, or an administrator must make it.
                WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
            END
            $$
            """
        )


def downgrade() -> None:
    """Take the grants back, and the roles where neither a login nor another database uses them."""
    for role in ROLES:
        op.execute(
            f"""
            DO $$
            DECLARE
                granted text;
            BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                    RETURN;
                END IF;
                FOR granted IN
                    SELECT c.oid::regclass::text FROM pg_class c
                    WHERE c.relnamespace = current_schema()::text::regnamespace AND EXISTS (
                        SELECT FROM aclexplode(c.relacl) x WHERE x.grantee = '{role}'::regrole
                        UNION ALL
                        SELECT FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) x
                        WHERE a.attrelid = c.oid AND x.grantee = '{role}'::regrole
                    )
                LOOP
                    EXECUTE format('REVOKE ALL ON %s FROM {role}', granted);
                END LOOP;
                EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM {role}', current_schema());
                -- Whoever is a member would lose its rights here, and elsewhere, without a word.
                IF EXISTS (
                    SELECT FROM pg_auth_members
                    WHERE roleid = '{role}'::regrole AND member <> current_user::regrole
                ) THEN
                    RETURN;
                END IF;
                BEGIN
                    DROP ROLE {role};
                EXCEPTION
                    -- Another database uses it, dropped it first, or an administrator must.
                    WHEN dependent_objects_still_exist OR undefined_object OR internal_error
                        OR insufficient_privilege THEN NULL;
                END;
            END
            $$
            """  # noqa: S608 - made of constants only
        )
