/*
 * Models change under their syncs.  What each of them reads is kept by name,
 * so that it is known of a relation that is gone or not there yet, and by OID,
 * so that it is known under a new name.  A cache: runs and definitions write
 * it again, and a dump has no use for it.
 */
CREATE TABLE activate.sync_relation (
	sync_id		pg_catalog.int8 NOT NULL,
	relation	pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
	relation_oid pg_catalog.oid NOT NULL,
	is_model	pg_catalog.bool NOT NULL,
	PRIMARY KEY (sync_id, relation)
);
COMMENT ON TABLE activate.sync_relation IS 'relations that the models of syncs read, as they were last seen to work';
COMMENT ON COLUMN activate.sync_relation.sync_id IS 'the sync';
COMMENT ON COLUMN activate.sync_relation.relation IS 'qualified name, quoted where needed';
COMMENT ON COLUMN activate.sync_relation.relation_oid IS 'what had that name';
COMMENT ON COLUMN activate.sync_relation.is_model IS 'it is the model itself, not what a view or query reads';
CREATE INDEX sync_relation_name_idx ON activate.sync_relation (relation);
CREATE INDEX sync_relation_oid_idx ON activate.sync_relation (relation_oid);

/*
 * The event triggers run for everybody's DDL, so what they call is in
 * activate_data, which everybody may use, and gives nothing to who calls it by
 * hand.  They only take down whose models a command touches; what became of
 * those is looked at when the transaction commits (src/model_change.c).
 * Whatever goes wrong here costs a warning, never the command.
 */
CREATE FUNCTION activate_data.activate_note_ddl() RETURNS pg_catalog.void
	LANGUAGE C AS 'MODULE_PATHNAME', 'act_note_ddl';
COMMENT ON FUNCTION activate_data.activate_note_ddl() IS 'in an event trigger: takes down which models a command touches';

CREATE FUNCTION activate_data.activate_note_drop(tag pg_catalog.text) RETURNS pg_catalog.void
	LANGUAGE C AS 'MODULE_PATHNAME', 'act_note_drop';
COMMENT ON FUNCTION activate_data.activate_note_drop(pg_catalog.text) IS 'in an event trigger: takes down which models a command drops something of';

CREATE FUNCTION activate.after_relation_ddl() RETURNS pg_catalog.event_trigger
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate_data.activate_note_ddl();
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'pg_activate cannot see what this command does to the models of syncs: %', SQLERRM;
END $$;
COMMENT ON FUNCTION activate.after_relation_ddl() IS 'event trigger: models of syncs that a command touches are looked at when it commits';

CREATE FUNCTION activate.after_relation_drop() RETURNS pg_catalog.event_trigger
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate_data.activate_note_drop(TG_TAG);
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'pg_activate cannot see what this command does to the models of syncs: %', SQLERRM;
END $$;
COMMENT ON FUNCTION activate.after_relation_drop() IS 'event trigger: models of syncs that a command drops something of are looked at when it commits';

CREATE EVENT TRIGGER activate_after_relation_ddl ON ddl_command_end
	WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'CREATE VIEW', 'ALTER VIEW',
		'CREATE MATERIALIZED VIEW', 'ALTER MATERIALIZED VIEW', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE',
		'IMPORT FOREIGN SCHEMA', 'CREATE SCHEMA', 'ALTER SCHEMA', 'GRANT')
	EXECUTE FUNCTION activate.after_relation_ddl();
COMMENT ON EVENT TRIGGER activate_after_relation_ddl IS 'pg_activate: models of syncs that change';

CREATE EVENT TRIGGER activate_after_relation_drop ON sql_drop
	EXECUTE FUNCTION activate.after_relation_drop();
COMMENT ON EVENT TRIGGER activate_after_relation_drop IS 'pg_activate: models of syncs that go';
