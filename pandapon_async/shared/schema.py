"""The schema `pandapon` of the shared database: its tables, its functions and its version.

Each statement names the schema of everything it uses, and each function fixes its search path, so an object
with the same name in another schema is never called. The functions run with the rights of their caller.

The quota is deliberately an UNLOGGED table. After a crash, on a replica that takes over and in a restored
copy, the server empties such tables by itself. A missing row means that the last second is not known, so a
whole window passes before the first slot. A logged table would come back slightly outdated, and slots would
be given twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["MESSAGES", "PAUSES", "SCHEMA", "UPGRADES", "VERSION", "grants"]

VERSION: Final = 2
"""The version of the schema that this client reads and writes."""

PAUSES: Final = "pandapon_pause"
"""The channel for pauses of a quota: its name, a space, seconds since 1970."""

MESSAGES: Final = "pandapon_message"
"""The channel for the arrival of messages."""

_FIRST: Final = f"""
CREATE SCHEMA IF NOT EXISTS pandapon;

CREATE TABLE pandapon.format (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    version integer NOT NULL
);
INSERT INTO pandapon.format (version) VALUES (1);

CREATE UNLOGGED TABLE pandapon.quota (
    name text PRIMARY KEY,
    next_slot double precision NOT NULL,
    paused_until double precision NOT NULL,
    gap double precision NOT NULL,
    gap_until double precision NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE pandapon.quota IS
    'When the next request of each quota may go out. Moments are seconds since 1970 by this server''s clock.';

CREATE FUNCTION pandapon.book_slots(
    quota text, wanted integer, own_gap double precision, span double precision, ahead double precision,
    returning_ boolean, OUT moment double precision, OUT first double precision, OUT booked integer,
    OUT gap double precision, OUT paused_until double precision
) LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    book pandapon.quota%ROWTYPE;
    slower boolean;
BEGIN
    LOOP
        SELECT * INTO book FROM pandapon.quota AS q WHERE q.name = quota FOR UPDATE;
        moment := extract(epoch FROM clock_timestamp());  -- after the row is ours
        EXIT WHEN FOUND;
        INSERT INTO pandapon.quota VALUES (quota, moment + span, '-infinity', own_gap, moment + 60)
            ON CONFLICT DO NOTHING;
    END LOOP;
    paused_until := book.paused_until;
    slower := own_gap > book.gap;
    gap := CASE WHEN book.gap_until < moment THEN own_gap ELSE greatest(own_gap, book.gap) END;
    first := book.next_slot;
    IF first > moment + span + ahead + gap THEN  -- this server's clock was set back
        first := moment + span;
    END IF;
    IF returning_ OR slower THEN  -- what went out in the last window is not in the book, or was too much
        first := greatest(first, moment + span);
    END IF;
    first := greatest(first, moment, paused_until);
    booked := greatest(0, least(wanted, floor((moment + ahead - first) / gap + 1e-6)::integer + 1));
    IF booked > 0 OR returning_ OR slower THEN
        UPDATE pandapon.quota AS q SET
            next_slot = first + booked * book_slots.gap,
            gap = book_slots.gap,
            gap_until = CASE WHEN own_gap >= book_slots.gap THEN moment + 60 ELSE q.gap_until END
            WHERE q.name = quota;
    END IF;
END $$;

CREATE FUNCTION pandapon.pause_quota(
    quota text, seconds double precision, own_gap double precision, span double precision
) RETURNS void LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment double precision := extract(epoch FROM clock_timestamp());
BEGIN
    INSERT INTO pandapon.quota AS q VALUES (quota, moment + span, moment + seconds, own_gap, moment + 60)
        ON CONFLICT (name) DO UPDATE SET paused_until = greatest(q.paused_until, excluded.paused_until);
    PERFORM pg_notify('{PAUSES}', quota || ' ' || (moment + seconds)::text);
END $$;

CREATE TABLE pandapon.identity (
    one integer PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    id text NOT NULL,
    mark bigint NOT NULL,
    checksum bigint
);
CREATE TABLE pandapon.adopted (identity text PRIMARY KEY, checksum bigint);
CREATE TABLE pandapon.pruned (id text PRIMARY KEY);

CREATE TABLE pandapon.intents (
    id text COLLATE "C" PRIMARY KEY,
    scope text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    natural_key text COLLATE "C" NOT NULL,
    digest text NOT NULL,
    facts text NOT NULL,
    state text NOT NULL,
    session text NOT NULL,
    created double precision NOT NULL,
    updated double precision NOT NULL,
    attempts integer NOT NULL,
    request_id text,
    result text,
    resolution text,
    error_kind text,
    remarks text NOT NULL,
    vendor text NOT NULL,
    user_id text NOT NULL,
    account text NOT NULL,
    wrote double precision NOT NULL,
    boot text,
    uptime double precision,
    served double precision,
    resolver text,
    extra integer NOT NULL,
    checksum bigint,
    rowid bigint GENERATED ALWAYS AS IDENTITY
);
-- A key may be longer than a row of an ordered index.
CREATE UNIQUE INDEX one_open_per_key ON pandapon.intents (scope, operation, md5(natural_key))
    WHERE state IN ('intended', 'sent', 'unknown') AND extra = 0;
CREATE INDEX by_key ON pandapon.intents USING hash (natural_key);
CREATE INDEX in_order ON pandapon.intents (rowid);
CREATE INDEX open_by_session ON pandapon.intents (session) WHERE state IN ('intended', 'sent', 'unknown');
CREATE INDEX by_result ON pandapon.intents (operation, result) WHERE result IS NOT NULL;
CREATE TABLE pandapon.subjects (
    subject text COLLATE "C" NOT NULL,
    intent text COLLATE "C" NOT NULL,
    checksum bigint,
    PRIMARY KEY (subject, intent)
);
CREATE TABLE pandapon.history (
    one integer PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    system bigint NOT NULL,
    timeline integer NOT NULL,
    since double precision NOT NULL
);
COMMENT ON TABLE pandapon.history IS
    'Which server and which of its histories the rows are of, and since when: a failover may have lost some.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pandapon FROM PUBLIC;
"""

_SECOND: Final = """
-- When each row was last written, by this server's clock: shows which rows a failover may have lost.
ALTER TABLE pandapon.intents
    ADD COLUMN noted double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    ADD COLUMN doubted boolean NOT NULL DEFAULT false;
CREATE INDEX by_noted ON pandapon.intents (noted);
CREATE FUNCTION pandapon.note_moment() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.noted := extract(epoch FROM clock_timestamp());
    RETURN NEW;
END $$;
CREATE TRIGGER noted BEFORE UPDATE ON pandapon.intents
    FOR EACH ROW EXECUTE FUNCTION pandapon.note_moment();

CREATE TABLE pandapon.messages (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    access_key text NOT NULL,
    platform text NOT NULL,
    type text NOT NULL,
    kind text NOT NULL,
    order_id text,
    refund_id text,
    key text COLLATE "C",
    timed integer NOT NULL,
    moment bigint NOT NULL,
    pushed bigint NOT NULL,
    received double precision NOT NULL,
    due double precision NOT NULL,
    updated double precision NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    copies integer NOT NULL DEFAULT 0,
    finished text NOT NULL DEFAULT '[]',
    note text,
    body bytea NOT NULL,
    unhandled integer NOT NULL DEFAULT 0,
    stamped integer NOT NULL DEFAULT 0,
    session text,
    checksum bigint
);
COMMENT ON COLUMN pandapon.messages.session IS 'Whose handlers are at work on it; it holds a lock.';
CREATE TABLE pandapon.forgotten (id text COLLATE "C" PRIMARY KEY);
CREATE TABLE pandapon.receiving (
    id text COLLATE "C" PRIMARY KEY,
    since double precision NOT NULL,
    until double precision NOT NULL
);
CREATE TABLE pandapon.marks (name text COLLATE "C" PRIMARY KEY, moment double precision NOT NULL);
CREATE INDEX by_due ON pandapon.messages (due, seq) WHERE state = 'pending';
CREATE INDEX by_message_key ON pandapon.messages (key, moment, pushed) WHERE key IS NOT NULL;
CREATE INDEX open_by_key ON pandapon.messages (key, moment, pushed, seq)
    WHERE state IN ('pending', 'handling');
CREATE UNIQUE INDEX one_handled_per_key ON pandapon.messages (key) WHERE state = 'handling';
CREATE INDEX handled_by_session ON pandapon.messages (session) WHERE state = 'handling';
CREATE INDEX by_state ON pandapon.messages (state, updated);

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pandapon FROM PUBLIC;
"""

UPGRADES: Final[Mapping[int, str]] = {1: _SECOND}
"""The statements that upgrade a schema of this version to the next one."""

SCHEMA: Final = "".join((_FIRST, *UPGRADES.values(), f"UPDATE pandapon.format SET version = {VERSION};"))
"""The statements that create the current schema: the first version and all upgrades."""


def grants(role: str) -> str:
    """Return the statements that grant a role the minimum rights of a client.

    >>> grants('a"b').splitlines()[0]
    'GRANT USAGE ON SCHEMA pandapon TO "a""b";'
    """
    name = '"' + role.replace('"', '""') + '"'
    return "\n".join(
        (
            f"GRANT USAGE ON SCHEMA pandapon TO {name};",
            f"GRANT SELECT ON pandapon.format TO {name};",
            f"GRANT SELECT, INSERT, UPDATE ON pandapon.quota, pandapon.identity, pandapon.intents,"
            f" pandapon.subjects, pandapon.history TO {name};",
            f"GRANT SELECT, INSERT ON pandapon.adopted, pandapon.pruned, pandapon.forgotten TO {name};",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON pandapon.messages, pandapon.receiving, pandapon.marks"
            f" TO {name};",
            f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pandapon TO {name};",
        )
    )
