"""What PostgreSQL itself holds to: events are immutable, positions are drawn under a lock.

A writer of events holds a shared advisory lock from before it draws a position until it commits.
Whoever takes that lock alone for a moment knows that every position drawn before is either
visible or will never be: that is the barrier of `barrier.py`. The key names the table, so that
two logs in one database do not wait for each other.

`change` counts statements that touched a stream. It is a sequence: it moves before the commit,
and may move without one.
"""

LOCK_KEY = "(1346913604::bigint << 32) | {oid}::bigint"  # the letters PHLD, then the table

_KEY_HERE = LOCK_KEY.format(oid="TG_RELID")

GUARDS = (
    "ALTER TABLE @stream SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02)",
    "ALTER TABLE @worker SET (fillfactor = 50)",
    # SQLite has its row's number at the end of each index by itself.
    """CREATE INDEX stream_ready ON @stream(kind, priority, due, number)
    WHERE owner IS NULL AND due IS NOT NULL""",
    "CREATE SEQUENCE @change",
    """CREATE FUNCTION @event_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'events are immutable: no %', TG_OP USING ERRCODE = 'restrict_violation';
    END $$""",
    """CREATE FUNCTION @event_is_permitted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NOT EXISTS (SELECT 1 FROM @purge_permit AS permit WHERE permit.stream = OLD.stream) THEN
        RAISE EXCEPTION 'events are immutable: no DELETE without a purge_permit'
          USING ERRCODE = 'restrict_violation';
      END IF;
      RETURN OLD;
    END $$""",
    f"""CREATE FUNCTION @event_takes_its_turn() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_advisory_xact_lock_shared({_KEY_HERE});
      RETURN NULL;
    END $$""",
    """CREATE FUNCTION @stream_changes() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM nextval('@change');
      RETURN NULL;
    END $$""",
    """CREATE FUNCTION @stream_waits() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        DELETE FROM @wait AS wait WHERE wait.stream = NEW.id
          AND wait.name <> ALL(ARRAY(SELECT json_array_elements_text(NEW.waits_on::json)));
      END IF;
      INSERT INTO @wait(name, stream)
        SELECT DISTINCT ON (name) name, NEW.id FROM json_array_elements_text(NEW.waits_on::json)
          WITH ORDINALITY AS given(name, place) ORDER BY name, place
        ON CONFLICT DO NOTHING;
      RETURN NULL;
    END $$""",
    """CREATE TRIGGER event_is_not_updated BEFORE UPDATE ON @event
    FOR EACH STATEMENT EXECUTE FUNCTION @event_is_immutable()""",
    """CREATE TRIGGER event_is_not_truncated BEFORE TRUNCATE ON @event
    FOR EACH STATEMENT EXECUTE FUNCTION @event_is_immutable()""",
    """CREATE TRIGGER event_is_not_deleted BEFORE DELETE ON @event
    FOR EACH ROW EXECUTE FUNCTION @event_is_permitted()""",
    """CREATE TRIGGER event_takes_its_turn BEFORE INSERT ON @event
    FOR EACH STATEMENT EXECUTE FUNCTION @event_takes_its_turn()""",
    """CREATE TRIGGER stream_changes AFTER INSERT OR UPDATE ON @stream
    FOR EACH STATEMENT EXECUTE FUNCTION @stream_changes()""",
    """CREATE TRIGGER stream_begins_to_wait AFTER INSERT ON @stream FOR EACH ROW
    WHEN (NEW.waits_on <> '[]') EXECUTE FUNCTION @stream_waits()""",
    """CREATE TRIGGER stream_waits_anew AFTER UPDATE OF waits_on ON @stream FOR EACH ROW
    WHEN (NEW.waits_on <> OLD.waits_on) EXECUTE FUNCTION @stream_waits()""",
)
