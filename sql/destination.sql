-- options of destinations and of their credentials: what is right is taken,
-- what is wrong is named with what would be right
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_activate CASCADE;
CREATE EXTENSION pg_activate;
SET client_min_messages = notice;
\set SHOW_CONTEXT never
\getenv url DESTINATION_URL
SET pg_activate.allowed_hosts = '127.0.0.1';

CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://api.example.com/v1/',
	concurrency '8', batch_size '50', timeout '20 seconds', connect_timeout '500ms', headers '{"X-Team": "analytics"}',
	environment 'production', allow_objects 'contacts, "Big Deals"', allow_modes 'upsert,mirror', allow_removed 'ignore');
CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (username 'loader', password 'pass-word-1');

-- given a wrong option, then its name or value is named, and the nearest right one
ALTER SERVER crm OPTIONS (ADD bse_url 'https://api.example.com');
ALTER SERVER crm OPTIONS (ADD nonsense 'x');
ALTER SERVER crm OPTIONS (SET connector 'webhok');
ALTER SERVER crm OPTIONS (SET connector 'telegraph');
ALTER SERVER crm OPTIONS (DROP connector);
CREATE SERVER typo FOREIGN DATA WRAPPER activate OPTIONS (conector 'webhook', base_url 'https://api.example.com');
ALTER SERVER crm OPTIONS (DROP base_url);
ALTER SERVER crm OPTIONS (SET concurrency '0');
ALTER SERVER crm OPTIONS (SET concurrency 'many');
ALTER SERVER crm OPTIONS (SET batch_size '99999999999');
ALTER SERVER crm OPTIONS (SET timeout 'soon');
ALTER SERVER crm OPTIONS (SET timeout '2 hours');
ALTER SERVER crm OPTIONS (SET timeout '');
ALTER SERVER crm OPTIONS (SET environment E'a\nb');
ALTER SERVER crm OPTIONS (SET allow_modes 'upsert, miror');
ALTER SERVER crm OPTIONS (SET allow_removed 'everything');
ALTER SERVER crm OPTIONS (SET headers '["X-Team"]');
ALTER SERVER crm OPTIONS (SET headers '{X-Team: 1}');
ALTER SERVER crm OPTIONS (SET headers '{"X-Team": 1}');
ALTER SERVER crm OPTIONS (SET headers '{"X Team": "a"}');
ALTER SERVER crm OPTIONS (SET headers '{"X-Team": "a\r\nX-Admin: yes"}');
ALTER SERVER crm OPTIONS (SET headers '{"Content-Length": "1"}');
ALTER SERVER crm OPTIONS (SET headers '{"authorization": "Bearer abc"}');

-- given an option of a later version, then it is refused by name
ALTER SERVER crm OPTIONS (ADD account '2512345');
ALTER SERVER crm OPTIONS (ADD max_rows_per_run '100');
ALTER SERVER crm OPTIONS (ADD require_approval 'on');

-- given a URL that two readers could read differently, then it is refused
DO $$
DECLARE
	url text;
	problem text;
BEGIN
	FOREACH url IN ARRAY ARRAY['', 'api.example.com', 'ftp://api.example.com', 'https://', 'https:///x',
		'https://user:pass@api.example.com', 'https://api.example.com@evil.example', 'https://api.example.com\@evil.example',
		'https://api.example.com/x#y', 'https://api.example.com/x?key=1', 'https://api.example.com:99999', 'https://api.example.com:',
		'https://api.example.com:8x', 'https://api example.com', 'https://[::1', 'https://%61pi.example.com', 'https://bücher.example',
		'https://api.example.com/{{secret.password}}']
	LOOP
		BEGIN
			EXECUTE format('ALTER SERVER crm OPTIONS (SET base_url %L)', url);
			RAISE NOTICE '% is taken', url;
		EXCEPTION WHEN fdw_invalid_attribute_value THEN
			GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
			RAISE NOTICE '"%": %', url, problem;
		END;
	END LOOP;
END $$;

-- given a secret, then only a user mapping takes it, by the names of one vocabulary
ALTER SERVER crm OPTIONS (ADD access_token 'abc');
ALTER SERVER crm OPTIONS (ADD password_file 'abc');
ALTER SERVER crm OPTIONS (ADD acces_tokn 'abc');
ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (ADD acess_token 'abc');
ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (ADD pin 'abc');
ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (ADD base_url 'https://evil.example');
ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (ADD password_file 'crm/password');
ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (SET password '');
ALTER USER MAPPING FOR PUBLIC SERVER crm OPTIONS (SET password E'abc\r\nX-Admin: yes');
CREATE FOREIGN TABLE nothing (a int) SERVER crm OPTIONS (object 'x');
ALTER FOREIGN DATA WRAPPER activate OPTIONS (ADD connector 'x');

-- given a file, then its name stays under pg_activate.secrets_directory
CREATE USER MAPPING FOR CURRENT_USER SERVER crm OPTIONS (bearer_token_file '/etc/passwd');
CREATE USER MAPPING FOR CURRENT_USER SERVER crm OPTIONS (bearer_token_file '../pg_hba.conf');
CREATE USER MAPPING FOR CURRENT_USER SERVER crm OPTIONS (bearer_token_file 'crm/../../pg_hba.conf');
ALTER SERVER crm OPTIONS (ADD ca_file 'crm/..');

-- what is left of all this is what was right
SELECT destination, connector, base_url, jsonb_pretty(options) AS options, requests, retries FROM activate.destinations;
SELECT host FROM activate.credential;
SELECT connector, builtin, title, objects, modes FROM activate.connectors WHERE connector = 'webhook';

-- given check_function_bodies = off, as in a restore, then only what needs a
-- connector's document is left for later
SET check_function_bodies = off;
CREATE SERVER restored FOREIGN DATA WRAPPER activate OPTIONS (connector 'of_our_own', its_option 'x', base_url 'https://api.example.com');
CREATE USER MAPPING FOR PUBLIC SERVER restored OPTIONS (api_key 'restored-key');
ALTER SERVER restored OPTIONS (ADD access_token 'abc');
ALTER SERVER restored OPTIONS (ADD timeout 'soon');
ALTER SERVER restored OPTIONS (ADD rate_limit 'slowly');
ALTER USER MAPPING FOR PUBLIC SERVER restored OPTIONS (ADD pin 'abc');
RESET check_function_bodies;
SELECT * FROM activate.check_destination('restored');
ALTER SERVER restored OPTIONS (SET connector 'webhook');
SET check_function_bodies = off;
ALTER SERVER restored OPTIONS (SET connector 'webhook');
RESET check_function_bodies;
SELECT * FROM activate.check_destination('restored');
ALTER SERVER restored OPTIONS (DROP its_option);
SELECT * FROM activate.check_destination('restored');
DROP SERVER restored CASCADE;

-- check_destination: what cannot be asked is an error, what was asked a row
SELECT * FROM activate.check_destination(NULL);
SELECT * FROM activate.check_destination('nowhere');
CREATE FOREIGN DATA WRAPPER regress_other;
CREATE SERVER other FOREIGN DATA WRAPPER regress_other;
SELECT * FROM activate.check_destination('other');
DROP FOREIGN DATA WRAPPER regress_other CASCADE;

\! $DESTINATION_ASK reset
CREATE SERVER here FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url :'url', environment 'test', headers '{"X-Team": "analytics"}');
CREATE USER MAPPING FOR PUBLIC SERVER here OPTIONS (bearer_token 'check-token-1');
SELECT * FROM activate.check_destination('here');
\! $DESTINATION_ASK script '[{"status": 401, "body": "{\"error\": \"token check-token-1 (check%2Dtoken-1, Y2hlY2stdG9rZW4tMQ==) is not known\"}"}]' >/dev/null
SELECT ok, strpos(detail, 'check-token') AS token, strpos(detail, 'Y2hlY2stdG9rZW4tM') AS base64, detail LIKE '401 | GET %' AS says FROM activate.check_destination('here');
ALTER USER MAPPING FOR PUBLIC SERVER here OPTIONS (ADD api_key 'abc');
SELECT * FROM activate.check_destination('here');
SET pg_activate.allowed_hosts = '';
ALTER USER MAPPING FOR PUBLIC SERVER here OPTIONS (DROP api_key);
SELECT ok, detail FROM activate.check_destination('here');

DROP SERVER crm, here CASCADE;
-- rows of dropped mappings go when another one is made
CREATE SERVER crm FOREIGN DATA WRAPPER activate OPTIONS (connector 'webhook', base_url 'https://api.example.com:443/');
CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (bearer_token 'abcdef');
SELECT host FROM activate.credential;
DROP SERVER crm CASCADE;

-- everything is described
SELECT o FROM (
	SELECT pg_describe_object(classid, objid, objsubid) AS o, classid, objid
	FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_activate')) AS members
WHERE obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)) IS NULL
	AND classid IN ('pg_foreign_data_wrapper'::regclass, 'pg_event_trigger'::regclass)
ORDER BY 1;
SET client_min_messages = warning;
DROP EXTENSION pg_activate CASCADE;
