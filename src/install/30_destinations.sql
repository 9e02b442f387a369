/*
 * Destinations are foreign servers, credentials user mappings.  Without a
 * handler no query can read them; the wrapper is there for its validator.
 */
CREATE FUNCTION activate.option_validator(options pg_catalog.text[], catalog pg_catalog.oid) RETURNS pg_catalog.void
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'act_option_validator';
COMMENT ON FUNCTION activate.option_validator(pg_catalog.text[], pg_catalog.oid) IS 'checks the options of destinations and of their credentials';

CREATE FOREIGN DATA WRAPPER activate VALIDATOR activate.option_validator;
COMMENT ON FOREIGN DATA WRAPPER activate IS 'destinations of pg_activate: CREATE SERVER ... FOREIGN DATA WRAPPER activate OPTIONS (connector ''...'')';

/*
 * Credentials are bound to the host they were stored for (src/credential.c
 * says why).  The event triggers run for everybody's servers and mappings,
 * so what they call is in activate_data, which everybody may use, and gives
 * nothing to who calls it by hand; and a library that cannot be loaded costs
 * a warning, not all DDL.  No other error is caught: one that somebody brings
 * about on purpose must not be a way around a refusal.
 */
CREATE FUNCTION activate_data.activate_bind_credentials() RETURNS pg_catalog.void
	LANGUAGE C AS 'MODULE_PATHNAME', 'act_credential_bind_all';
COMMENT ON FUNCTION activate_data.activate_bind_credentials() IS 'binds credentials of which no host is recorded to the host that their server has now';

CREATE FUNCTION activate_data.activate_follow_credentials() RETURNS pg_catalog.text[]
	LANGUAGE C AS 'MODULE_PATHNAME', 'act_credential_follow';
COMMENT ON FUNCTION activate_data.activate_follow_credentials() IS 'in an event trigger: records the hosts of new credentials; message and hint where a command would move stored ones to another host';

CREATE FUNCTION activate.before_alter_server() RETURNS pg_catalog.event_trigger
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate_data.activate_bind_credentials();
EXCEPTION WHEN undefined_file OR undefined_function OR internal_error THEN
	RAISE WARNING 'pg_activate cannot guard the credentials of destinations: %', SQLERRM;
END $$;
COMMENT ON FUNCTION activate.before_alter_server() IS 'event trigger: before a server changes, each credential is bound to its host';

CREATE FUNCTION activate.after_server_ddl() RETURNS pg_catalog.event_trigger
	LANGUAGE plpgsql AS $$
DECLARE
	refusal pg_catalog.text[];
BEGIN
	BEGIN
		refusal := activate_data.activate_follow_credentials();
	EXCEPTION WHEN undefined_file OR undefined_function OR internal_error THEN
		RAISE WARNING 'pg_activate cannot guard the credentials of destinations: %', SQLERRM;
	END;
	IF refusal IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_authorization_specification',
			MESSAGE = refusal[1],
			DETAIL = 'Its base_url cannot be changed to another host: whoever stored them did so for this one.',
			HINT = refusal[2];
	END IF;
END $$;
COMMENT ON FUNCTION activate.after_server_ddl() IS 'event trigger: records the hosts of new credentials, and refuses to move stored ones';

CREATE FUNCTION activate_data.activate_forget_destinations() RETURNS pg_catalog.void
	LANGUAGE C AS 'MODULE_PATHNAME', 'act_destination_forget_gone';
COMMENT ON FUNCTION activate_data.activate_forget_destinations() IS 'forgets that destinations which are gone were paused, down or limited: another one may get the name';

CREATE FUNCTION activate.after_drop_server() RETURNS pg_catalog.event_trigger
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM activate_data.activate_forget_destinations();
EXCEPTION WHEN undefined_file OR undefined_function OR internal_error THEN
	NULL;	-- housekeeping does it, too
END $$;
COMMENT ON FUNCTION activate.after_drop_server() IS 'event trigger: the state of a destination goes with its server';

CREATE EVENT TRIGGER activate_after_drop_server ON sql_drop
	WHEN TAG IN ('DROP SERVER')
	EXECUTE FUNCTION activate.after_drop_server();
COMMENT ON EVENT TRIGGER activate_after_drop_server IS 'pg_activate: the state of a destination goes with its server';

CREATE EVENT TRIGGER activate_before_alter_server ON ddl_command_start
	WHEN TAG IN ('ALTER SERVER')
	EXECUTE FUNCTION activate.before_alter_server();
COMMENT ON EVENT TRIGGER activate_before_alter_server IS 'pg_activate: credentials stay with the host they were stored for';

CREATE EVENT TRIGGER activate_after_server_ddl ON ddl_command_end
	WHEN TAG IN ('ALTER SERVER', 'CREATE USER MAPPING', 'ALTER USER MAPPING')
	EXECUTE FUNCTION activate.after_server_ddl();
COMMENT ON EVENT TRIGGER activate_after_server_ddl IS 'pg_activate: credentials stay with the host they were stored for';

CREATE FUNCTION activate.check_destination(destination pg_catalog.text)
	RETURNS TABLE (ok pg_catalog.bool, account pg_catalog.text, environment pg_catalog.text,
		scopes pg_catalog.text, missing pg_catalog.text, detail pg_catalog.text)
	LANGUAGE C AS 'MODULE_PATHNAME', 'act_check_destination';
COMMENT ON FUNCTION activate.check_destination(pg_catalog.text) IS 'one harmless authenticated request to the destination: whether it can be reached with these options and credentials';

CREATE FUNCTION activate.set_secret(destination pg_catalog.text, name pg_catalog.text, value pg_catalog.text)
	RETURNS pg_catalog.void
	LANGUAGE C AS 'MODULE_PATHNAME', 'act_set_secret';
COMMENT ON FUNCTION activate.set_secret(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS 'stores a secret of a destination, sealed with the key in pg_activate.key_file; null removes it';

CREATE FUNCTION activate.rotate_key() RETURNS pg_catalog.int8
	LANGUAGE C AS 'MODULE_PATHNAME', 'act_rotate_key';
COMMENT ON FUNCTION activate.rotate_key() IS 'seals all stored secrets with the first key in pg_activate.key_file; returns how many had another one';

CREATE FUNCTION activate.connector_objects(connector pg_catalog.text)
	RETURNS TABLE (object pg_catalog.text, title pg_catalog.text, kind pg_catalog.text,
		match_fields pg_catalog.text[], modes pg_catalog.text[], on_removed pg_catalog.text[])
	LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'act_connector_objects_list';
COMMENT ON FUNCTION activate.connector_objects(pg_catalog.text) IS 'the objects that a connector''s document describes: kind, what records are matched by, modes, what can be done on removal; object is null where any will do';

CREATE VIEW activate.connectors WITH (security_barrier) AS
	SELECT c.name AS connector,
		c.builtin,
		coalesce(c.spec OPERATOR(pg_catalog.->>) 'title', c.name) AS title,
		coalesce(o.objects, '{}') AS objects,
		ARRAY(SELECT m.mode FROM pg_catalog.unnest('{upsert,insert,update,mirror,append,replace}'::pg_catalog.text[])
				WITH ORDINALITY AS m (mode, position)
			WHERE m.mode OPERATOR(pg_catalog.=) ANY (o.modes)
			ORDER BY m.position) AS modes,
		c.spec OPERATOR(pg_catalog.->>) 'documentation' AS documentation
	FROM activate.connector c
		CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(d.object ORDER BY d.position) FILTER (WHERE d.object IS NOT NULL) AS objects,
				pg_catalog.string_to_array(pg_catalog.string_agg(pg_catalog.array_to_string(d.modes, ','), ','), ',') AS modes
			FROM activate.connector_objects(c.name) WITH ORDINALITY
				AS d (object, title, kind, match_fields, modes, on_removed, position)) AS o;
COMMENT ON VIEW activate.connectors IS 'the kinds of destinations there are';
COMMENT ON COLUMN activate.connectors.connector IS 'name, as in CREATE SERVER ... OPTIONS (connector ''...'')';
COMMENT ON COLUMN activate.connectors.builtin IS 'came with the extension';
COMMENT ON COLUMN activate.connectors.title IS 'name of the product';
COMMENT ON COLUMN activate.connectors.objects IS 'objects its document describes, see connector_objects(); empty: any';
COMMENT ON COLUMN activate.connectors.modes IS 'modes of syncs it can serve';
COMMENT ON COLUMN activate.connectors.documentation IS 'address of its documentation; null: its document names none';

/*
 * Who may use a destination sees it.  Options of servers are public in
 * PostgreSQL anyway; of a credential only the names of what is set are shown.
 */
CREATE FUNCTION activate.destination_limits(server pg_catalog.oid)
	RETURNS TABLE (breaker pg_catalog.text, throttled_until pg_catalog.timestamptz, in_flight pg_catalog.int4,
		requests pg_catalog.int8, retries pg_catalog.int8, throttled pg_catalog.int8, failed pg_catalog.int8,
		p95 pg_catalog.interval, used_today pg_catalog.int8)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'act_destination_limits';
COMMENT ON FUNCTION activate.destination_limits(pg_catalog.oid) IS 'what is known of a destination since the server started: behind the view destinations';

CREATE VIEW activate.destinations WITH (security_barrier) AS
	SELECT s.srvname::pg_catalog.text AS destination,
		o.options OPERATOR(pg_catalog.->>) 'connector' AS connector,
		coalesce(o.options OPERATOR(pg_catalog.->>) 'base_url',
			(WITH RECURSIVE b (spec, depth) AS (	-- its document, and those that it extends
					SELECT c.spec, 0
					UNION ALL
					SELECT n.spec, b.depth OPERATOR(pg_catalog.+) 1
					FROM b JOIN activate.connector n ON n.name OPERATOR(pg_catalog.=) (b.spec OPERATOR(pg_catalog.->>) 'extends')
					WHERE b.depth OPERATOR(pg_catalog.<) 5)
				SELECT u.base_url
				FROM b CROSS JOIN LATERAL (SELECT coalesce(b.spec OPERATOR(pg_catalog.->>) 'base_url',
					b.spec OPERATOR(pg_catalog.#>>) '{options,base_url,default}') AS base_url) AS u
				WHERE u.base_url IS NOT NULL
				ORDER BY b.depth LIMIT 1)) AS base_url,
		o.options OPERATOR(pg_catalog.||) coalesce(m.secrets, '{}') AS options,
		o.options OPERATOR(pg_catalog.->>) 'rate_limit' AS rate_limit,
		GREATEST(l.throttled_until, CASE WHEN d.throttled_until OPERATOR(pg_catalog.>) pg_catalog.now() THEN d.throttled_until END)
			AS throttled_until,
		l.breaker,
		r.requests,
		r.retries,
		l.throttled,
		l.p95,
		l.in_flight,
		l.failed,
		l.used_today,
		coalesce(d.paused_at IS NOT NULL, false) AS paused,
		d.down_since
	FROM pg_catalog.pg_foreign_server s
		JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid OPERATOR(pg_catalog.=) s.srvfdw
		CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.jsonb_object_agg(p.option_name, p.option_value), '{}') AS options
			FROM pg_catalog.pg_options_to_table(s.srvoptions) AS p) AS o
		LEFT JOIN LATERAL (SELECT (SELECT pg_catalog.jsonb_object_agg(p.option_name, '********')
				FROM pg_catalog.pg_options_to_table(u.umoptions) AS p) AS secrets
			FROM pg_catalog.pg_user_mapping u
				LEFT JOIN pg_catalog.pg_roles a ON a.oid OPERATOR(pg_catalog.=) u.umuser
			WHERE u.umserver OPERATOR(pg_catalog.=) s.oid
				AND (u.umuser OPERATOR(pg_catalog.=) 0 OR a.rolname OPERATOR(pg_catalog.=) CURRENT_USER)
			ORDER BY u.umuser DESC LIMIT 1) AS m ON true
		LEFT JOIN activate.destination_state d ON d.destination OPERATOR(pg_catalog.=) s.srvname::pg_catalog.text
		LEFT JOIN LATERAL activate.destination_limits(s.oid) AS l ON true
		LEFT JOIN activate.connector c ON c.name OPERATOR(pg_catalog.=) (o.options OPERATOR(pg_catalog.->>) 'connector')
		CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.sum(n.requests), 0)::pg_catalog.int8 AS requests,
				coalesce(pg_catalog.sum(n.retries), 0)::pg_catalog.int8 AS retries
			FROM activate.run n JOIN activate.sync y USING (sync_id)
			WHERE y.destination OPERATOR(pg_catalog.=) s.srvname::pg_catalog.text) AS r
	WHERE w.fdwname OPERATOR(pg_catalog.=) 'activate'
		AND (pg_catalog.pg_has_role(s.srvowner, 'USAGE') OR pg_catalog.has_server_privilege(s.oid, 'USAGE')
			OR pg_catalog.pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW activate.destinations IS 'the destinations that the current user owns or may use; for members of pg_monitor all';
COMMENT ON COLUMN activate.destinations.destination IS 'name of the foreign server';
COMMENT ON COLUMN activate.destinations.connector IS 'what kind of destination it is';
COMMENT ON COLUMN activate.destinations.base_url IS 'where requests go: the server''s option, else the connector''s own; null: neither is set';
COMMENT ON COLUMN activate.destinations.options IS 'options of the server, and as asterisks the secrets that are set for the current user';
COMMENT ON COLUMN activate.destinations.rate_limit IS 'the server''s option rate_limit; null: not set, and what its connector says holds';
COMMENT ON COLUMN activate.destinations.throttled_until IS 'until when nothing is sent because it asked for that; null: it did not';
COMMENT ON COLUMN activate.destinations.breaker IS 'closed: it is sent to; open: it was found down, and runs end at once; half-open: one request is finding out whether it is back; null: nothing was sent since the server started, or the library is not preloaded';
COMMENT ON COLUMN activate.destinations.requests IS 'requests of all recorded runs';
COMMENT ON COLUMN activate.destinations.retries IS 'requests of all recorded runs that were made again';
COMMENT ON COLUMN activate.destinations.throttled IS 'answers since the server started that asked to wait; null: as for breaker';
COMMENT ON COLUMN activate.destinations.p95 IS 'duration that 95 % of the last requests, some thousands, stayed under, up to 19 % too long; null: as for breaker';
COMMENT ON COLUMN activate.destinations.in_flight IS 'requests under way, of all runs and sessions; null: as for breaker';
COMMENT ON COLUMN activate.destinations.failed IS 'requests since the server started that got no proper answer; null: as for breaker';
COMMENT ON COLUMN activate.destinations.used_today IS 'requests that count towards the quota of the day; null: it has none, or as for breaker';
COMMENT ON COLUMN activate.destinations.paused IS 'pause_destination() keeps everything from it';
COMMENT ON COLUMN activate.destinations.down_since IS 'when runs first found that it does not answer; null: it is not down';

GRANT SELECT ON activate.connectors, activate.destinations TO PUBLIC;
