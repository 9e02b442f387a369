CREATE FUNCTION activate.confirm_cluster(how pg_catalog.text)
RETURNS pg_catalog.int8 LANGUAGE C
AS 'MODULE_PATHNAME', 'act_confirm_cluster';
COMMENT ON FUNCTION activate.confirm_cluster(pg_catalog.text)
	IS 'after a restore, an upgrade or a clone: ''move'' lets the caller''s syncs send from this server, ''sandbox'' too but keeps destinations closed until their credentials are set here, ''recovered'' too but with every row in doubt and each next run held; returns how many syncs it was about';

CREATE FUNCTION activate.sync_home_problem(system_identifier pg_catalog.int8, database_oid pg_catalog.oid,
	host pg_catalog.text)
RETURNS pg_catalog.text LANGUAGE C STABLE
AS 'MODULE_PATHNAME', 'act_home_problem';
COMMENT ON FUNCTION activate.sync_home_problem(pg_catalog.int8, pg_catalog.oid, pg_catalog.text)
	IS 'why a sync that may run there may not run here; null: it may';
