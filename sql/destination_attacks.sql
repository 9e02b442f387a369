-- what roles with few rights can try with destinations and credentials
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
DROP ROLE IF EXISTS regress_mallory, regress_bob, regress_carol, regress_reader;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
CREATE ROLE regress_mallory;	-- owns a server, may use the wrapper
CREATE ROLE regress_bob;		-- stores a token of his own
CREATE ROLE regress_carol;		-- may use nothing
CREATE ROLE regress_reader IN ROLE pg_read_server_files;
GRANT USAGE ON SCHEMA activate TO regress_mallory, regress_bob, regress_carol, regress_reader;
GRANT USAGE ON FOREIGN DATA WRAPPER activate TO regress_mallory, regress_reader;

CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://crm.example.com');
CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (bearer_token_file 'finance/token');
GRANT USAGE ON FOREIGN SERVER crm TO regress_bob;

-- given USAGE on the wrapper, when a server of one's own names a file of
-- another team, or a proxy, then that is refused, however it is tried
SET ROLE regress_mallory;
CREATE SERVER evil FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://evil.example');
CREATE USER MAPPING FOR CURRENT_USER SERVER evil OPTIONS (bearer_token_file 'finance/token');
CREATE USER MAPPING FOR PUBLIC SERVER evil OPTIONS (signing_secret_file 'finance/token');
CREATE USER MAPPING FOR CURRENT_USER SERVER evil;
ALTER USER MAPPING FOR CURRENT_USER SERVER evil OPTIONS (ADD password_file 'finance/token');
ALTER SERVER evil OPTIONS (ADD ca_file 'server.key');
ALTER SERVER evil OPTIONS (ADD client_cert_file 'server.crt');
ALTER SERVER evil OPTIONS (ADD client_key_file 'server.key');
ALTER SERVER evil OPTIONS (ADD proxy 'http://evil.example:8080');
SET check_function_bodies = off;
CREATE USER MAPPING FOR PUBLIC SERVER evil OPTIONS (bearer_token_file 'finance/token');
ALTER SERVER evil OPTIONS (ADD client_key_file 'server.key');
ALTER SERVER evil OPTIONS (ADD bearer_token 'abc');
RESET check_function_bodies;
RESET ROLE;
SET ROLE regress_bob;
CREATE USER MAPPING FOR CURRENT_USER SERVER crm OPTIONS (bearer_token_file 'finance/stripe.key');
RESET ROLE;

-- given file options set by somebody who may, when the server's owner may
-- not, then they are not used
CREATE USER MAPPING FOR PUBLIC SERVER evil OPTIONS (bearer_token_file 'finance/token');
SET ROLE regress_mallory;
DROP USER MAPPING FOR CURRENT_USER SERVER evil;
SELECT * FROM activate.check_destination('evil');
RESET ROLE;
DROP USER MAPPING FOR PUBLIC SERVER evil;
ALTER SERVER evil OPTIONS (ADD proxy 'http://proxy.example.com:8080');
SET ROLE regress_mallory;
SELECT * FROM activate.check_destination('evil');
ALTER SERVER evil OPTIONS (SET base_url 'https://evil.example/2');
ALTER SERVER evil OPTIONS (DROP proxy);
RESET ROLE;

-- members of pg_read_server_files may (the file is not there, though)
SET ROLE regress_reader;
CREATE SERVER files FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://files.example.com', ca_file 'ca.pem');
CREATE USER MAPPING FOR PUBLIC SERVER files OPTIONS (bearer_token_file 'finance/token');
RESET ROLE;
DROP SERVER files CASCADE;

-- given a role without USAGE on the server, then it gets no further
SET ROLE regress_carol;
SELECT * FROM activate.check_destination('crm');
SELECT count(*) FROM activate.destinations;
SELECT connector FROM activate.connectors WHERE builtin AND connector IN ('chat', 'webhook');
SELECT * FROM activate.credential;
SELECT * FROM activate.connector;
RESET ROLE;

-- given others' tokens on a server, when its owner points it elsewhere, then
-- that is refused
SET ROLE regress_mallory;
CREATE SERVER trap FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://api.example.com/v1');
GRANT USAGE ON FOREIGN SERVER trap TO regress_bob;
SET ROLE regress_bob;
CREATE USER MAPPING FOR CURRENT_USER SERVER trap OPTIONS (bearer_token 'token-of-bob');
SET ROLE regress_mallory;
ALTER SERVER trap OPTIONS (SET base_url 'https://evil.example');
ALTER SERVER trap OPTIONS (SET base_url 'http://api.example.com/v1');
ALTER SERVER trap OPTIONS (SET base_url 'https://api.example.com:8443/v1');
ALTER SERVER trap OPTIONS (SET base_url 'https://api.example.com.evil.example/v1');
-- the same host in other words is the same host
ALTER SERVER trap OPTIONS (SET base_url 'HTTPS://API.Example.COM.:443/v2', ADD timeout '5 s');
-- not by another name, nor under the old one
ALTER SERVER trap RENAME TO renamed;
ALTER SERVER renamed OPTIONS (SET base_url 'https://evil.example');
CREATE SERVER trap FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://evil.example');
GRANT USAGE ON FOREIGN SERVER trap TO regress_bob;
SET ROLE regress_bob;
SELECT destination, base_url, options FROM activate.destinations WHERE destination IN ('trap', 'renamed') ORDER BY 1;
SET ROLE regress_mallory;
DROP SERVER trap;
-- not by altering the mapping, or pretending to make it anew
ALTER USER MAPPING FOR regress_bob SERVER renamed OPTIONS (ADD username 'x');
CREATE USER MAPPING IF NOT EXISTS FOR regress_bob SERVER renamed OPTIONS (bearer_token 'x');
ALTER SERVER renamed OPTIONS (SET base_url 'https://evil.example');
ALTER USER MAPPING FOR regress_bob SERVER renamed OPTIONS (DROP username);
-- not by calling what the event triggers call, nor in one's own trigger
SELECT activate_data.activate_follow_credentials();
SELECT activate_data.activate_bind_credentials();
CREATE FUNCTION pg_temp.again() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER again ON ddl_command_end EXECUTE FUNCTION pg_temp.again();
SET session_replication_role = replica;
-- not with an error brought about on the way: the deepest call that gets as
-- far as the event trigger, say, is none that gets around it
CREATE FUNCTION pg_temp.deeper() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.deeper();
EXCEPTION WHEN statement_too_complex THEN
	ALTER SERVER renamed OPTIONS (SET base_url 'https://evil.example');
END $$;
DO $$
BEGIN
	PERFORM pg_temp.deeper();
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '%: %', SQLSTATE, SQLERRM;
END $$;
-- not as another owner
RESET ROLE;
ALTER SERVER renamed OWNER TO regress_bob;
ALTER SERVER renamed OWNER TO regress_mallory;
GRANT USAGE ON FOREIGN SERVER renamed TO regress_bob;
SET ROLE regress_mallory;
ALTER SERVER renamed OPTIONS (SET base_url 'https://evil.example');
SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'renamed';
RESET ROLE;

-- given event triggers that were off, when the host has changed, then each
-- use refuses
SET session_replication_role = replica;
ALTER SERVER renamed OPTIONS (SET base_url 'https://evil.example');
RESET session_replication_role;
SET ROLE regress_bob;
SELECT * FROM activate.check_destination('renamed');
-- a secret added is no new binding, a mapping made anew is
ALTER USER MAPPING FOR CURRENT_USER SERVER renamed OPTIONS (SET bearer_token 'token-of-bob-2');
SELECT * FROM activate.check_destination('renamed');
DROP USER MAPPING FOR CURRENT_USER SERVER renamed;
CREATE USER MAPPING FOR CURRENT_USER SERVER renamed OPTIONS (bearer_token 'token-of-bob-3');
RESET ROLE;
SELECT host FROM activate.credential c JOIN pg_foreign_server s ON s.oid = c.server_oid WHERE srvname = 'renamed';
-- a mapping without secrets is bound to nothing
ALTER USER MAPPING FOR regress_bob SERVER renamed OPTIONS (DROP bearer_token);
SELECT host FROM activate.credential c JOIN pg_foreign_server s ON s.oid = c.server_oid WHERE srvname = 'renamed';
ALTER SERVER renamed OPTIONS (SET base_url 'https://api.example.com');

-- given a credential of which nothing is recorded (pg_upgrade), then the
-- first ALTER SERVER binds it to the host it had before
SET session_replication_role = replica;
ALTER USER MAPPING FOR regress_bob SERVER renamed OPTIONS (ADD bearer_token 'token-of-bob-4');
RESET session_replication_role;
SET ROLE regress_mallory;
ALTER SERVER renamed OPTIONS (SET base_url 'https://evil.example');
RESET ROLE;
-- and rows of another cluster mean nothing
ALTER SERVER renamed OPTIONS (SET base_url 'https://api.example.com/v3');
UPDATE activate.credential SET system_identifier = 1, host = 'https://old.example.com:443' WHERE server_oid = (SELECT oid FROM pg_foreign_server WHERE srvname = 'renamed');
SET ROLE regress_mallory;
ALTER SERVER renamed OPTIONS (SET base_url 'https://evil.example');
RESET ROLE;

-- given a connector that came after the credential, then the host is what it
-- says, and is not changed before that is known
SET check_function_bodies = off;
CREATE SERVER later FOREIGN DATA WRAPPER activate OPTIONS (connector 'later');
CREATE USER MAPPING FOR regress_bob SERVER later OPTIONS (bearer_token 'token-of-bob-5');
ALTER SERVER later OWNER TO regress_mallory;
SET ROLE regress_mallory;
ALTER SERVER later RENAME TO latest;
ALTER SERVER latest OPTIONS (ADD base_url 'https://evil.example');
RESET ROLE;
RESET check_function_bodies;
INSERT INTO activate.connector (name, spec)
	SELECT 'later', replace(replace(spec::text, '"webhook",', '"later", "base_url": "https://later.example.com/{{option.team}}",'),
		'"base_url": {"kind": "url", "required": true}', '"team": {"kind": "text", "default": "all"}')::json
	FROM activate.connector WHERE name = 'webhook';
SET ROLE regress_mallory;
ALTER SERVER latest OPTIONS (ADD base_url 'https://evil.example');
ALTER SERVER latest OPTIONS (ADD team 'evil');
RESET ROLE;
SELECT host FROM activate.credential c JOIN pg_foreign_server s ON s.oid = c.server_oid WHERE srvname = 'latest';

-- given a token, then nobody but who may reads it
SET ROLE regress_bob;
SELECT usename, umoptions FROM pg_user_mappings WHERE srvname IN ('crm', 'renamed') ORDER BY 1;
SELECT options FROM activate.destinations WHERE destination = 'crm';
SELECT options FROM activate.destinations WHERE destination = 'renamed';
SET ROLE regress_mallory;
SELECT usename, umoptions FROM pg_user_mappings WHERE srvname IN ('crm', 'renamed') ORDER BY 1;
SELECT options FROM activate.destinations WHERE destination = 'renamed';
SELECT umoptions FROM pg_user_mapping;
RESET ROLE;
SELECT count(*) FROM activate.destinations WHERE options::text LIKE '%token-of-bob%' OR options::text LIKE '%finance/token%';
\des+ renamed

-- others' wrappers are none of ours, and need no right on ours
CREATE FOREIGN DATA WRAPPER regress_other;
GRANT USAGE ON FOREIGN DATA WRAPPER regress_other TO regress_carol;
REVOKE USAGE ON SCHEMA activate FROM regress_carol, regress_bob;
SET ROLE regress_carol;
CREATE SERVER other FOREIGN DATA WRAPPER regress_other;
CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (password 'x');
ALTER SERVER other OPTIONS (ADD base_url 'x');
DROP SERVER other CASCADE;
SET ROLE regress_bob;
CREATE USER MAPPING FOR CURRENT_USER SERVER crm OPTIONS (bearer_token 'token-of-bob-6');
RESET ROLE;
SELECT host FROM activate.credential c JOIN pg_foreign_server s ON s.oid = c.server_oid
	JOIN pg_user_mapping m ON m.oid = c.mapping_oid AND m.umuser = 'regress_bob'::regrole WHERE srvname = 'crm';

SET client_min_messages = warning;
DROP FOREIGN DATA WRAPPER regress_other CASCADE;
DROP EXTENSION pg_activate CASCADE;
DROP OWNED BY regress_mallory, regress_bob, regress_carol, regress_reader;
DROP ROLE regress_mallory, regress_bob, regress_carol, regress_reader;
