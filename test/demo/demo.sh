#!/bin/bash
# The demo: what a user types, and what comes back. Started by make demo with
# a private cluster and a destination, the CRM of this story; ends with an
# error when anything is not as the text says.
set -euo pipefail

FOLDER=$(cd "$(dirname "$0")" && pwd)
STARTED=$(date +%s)
BOLD='' DIM='' PLAIN=''
if [ -t 1 ]; then
	BOLD=$'\e[1m' DIM=$'\e[2m' PLAIN=$'\e[0m'
fi

# ------------------------------------------------------------------- helpers

wrong() { printf '\nThe demo is not as it should be: %s\n' "$*" >&2; exit 1; }

chapter() { printf '\n%s== %s%s\n' "$BOLD" "$*" "$PLAIN"; }
say() { printf '\n%s%s%s\n' "$DIM" "$*" "$PLAIN" | fold -s -w 92 | sed 's/ *$//'; }

# Shows statements as they would stand in psql.
typed()
{
	printf '\n%s' "$BOLD"
	awk '{ print (begun ? "warehouse-# " : "warehouse=# ") $0; begun = !/;$/ }' <<<"$1"
	printf '%s' "$PLAIN"
}

run_psql() { psql -X -d warehouse -v ON_ERROR_STOP=1 -P pager=off -P footer=off -P format=wrapped -P columns=100 2>&1 <<<"$1" | sed '/^$/d'; }

sql()
{
	typed "$1"
	run_psql "$1" || wrong "this statement failed"
}

# sql_fails STATEMENT TEXT: an error that contains the text is what is wanted
sql_fails()
{
	local output
	typed "$1"
	output=$(run_psql "$1") && wrong "this statement should have been refused"
	printf '%s\n' "$output"
	grep -qF "$2" <<<"$output" || wrong "the error should say: $2"
}

value() { psql -XAtq -d warehouse -v ON_ERROR_STOP=1 -c "$1"; }

# is QUERY EXPECTED: checked, not shown
is()
{
	local found
	found=$(value "$1")
	[ "$found" = "$2" ] || wrong "$1 gives '$found' and not '$2'"
}

crm() { "$DESTINATION_ASK" "$@"; }
crm_requests() { crm requests | grep -c '^POST' || true; }
crm_record() { crm get '/_records?object=companies' | sed -n "s/^.*\(\"key\":{\"account_id\":$1},.*\)$/{\1/p" | sed 's/[],]*$//'; }

# crm_shows ACCOUNT: its record, field by field
crm_shows()
{
	local record
	record=$(crm_record "$1")
	[ -n "$record" ] || wrong "the CRM has no record of account $1"
	psql -XAtq -d warehouse -v record="$record" <<-'END'
		SELECT format('    CRM: companies / %s%s', r->>'external_id', CASE WHEN (r->>'archived')::bool THEN '  (archived)' END)
		FROM (SELECT :'record'::jsonb) AS x(r)
		UNION ALL
		SELECT format('      %s %s', rpad(key, 15), value) FROM json_each_text(:'record'::json->'fields');
	END
}

crm_field() { value "SELECT '$(crm_record "$1")'::jsonb->'fields'->>'$2'"; }

# ---------------------------------------------------------------- the stage

psql -Xq -d postgres -c 'CREATE DATABASE warehouse' -c "ALTER SYSTEM SET timezone = 'UTC'"
psql -Xq -d warehouse -v ON_ERROR_STOP=1 -f "$FOLDER/warehouse.sql"

cat <<END
${BOLD}pg_activate: a health score in the warehouse becomes a field in the CRM${PLAIN}

A PostgreSQL with accounts, usage, tickets and invoices, and a view that makes a health
score of them. A CRM at $DESTINATION_URL (a test server that keeps records).
END

sql 'SELECT account_id, name, active_users, open_tickets, overdue, score, tier
FROM analytics.customer_health WHERE account_id IN (12, 30, 77);'
is 'SELECT count(*) FROM analytics.customer_health' 240

chapter '1. A destination is a foreign server'
sql 'CREATE EXTENSION pg_activate;'
sql "CREATE SERVER crm FOREIGN DATA WRAPPER activate
  OPTIONS (connector 'webhook', base_url '$DESTINATION_URL');
CREATE USER MAPPING FOR PUBLIC SERVER crm OPTIONS (bearer_token 's3cret');"
sql "SELECT ok, detail FROM activate.check_destination('crm') \gx"
is "SELECT ok FROM activate.check_destination('crm')" f
say 'Private addresses are closed until a superuser opens them. The answer says what to type.'
sql "LOAD 'pg_activate'; ALTER SYSTEM SET pg_activate.allowed_hosts = '127.0.0.1';
SELECT pg_reload_conf() AS reloaded;"
for _ in $(seq 50); do
	[ "$(value "LOAD 'pg_activate'; SHOW pg_activate.allowed_hosts")" = 127.0.0.1 ] && break
	sleep 0.1
done
sql "SELECT ok, detail FROM activate.check_destination('crm');"
is "SELECT ok FROM activate.check_destination('crm')" t

chapter '2. A sync: which rows go where, and how they are called there'
sql "SELECT activate.create_sync(
    name        => 'customer_health',
    model       => 'analytics.customer_health',
    key         => 'account_id',
    destination => 'crm',
    object      => 'companies',
    mapping     => \$\$ account_id AS account_ref, name, billing_email, score AS health_score,
                       tier AS health_tier, open_tickets, 'warehouse' AS source \$\$,
    mode        => 'mirror',
    on_removed  => 'archive');"

chapter '3. Look before anything is sent'
sql "SELECT added, changed, removed, invalid, requests, bytes, guard
FROM activate.plan_sync('customer_health');"
is "SELECT added, requests, guard FROM activate.plan_sync('customer_health')" '240|3|ok'
sql "SELECT op, key, payload FROM activate.preview_sync('customer_health', 1) \gx"
say 'Each request as it would go out, secrets masked, also as a command to try by hand (cut off here):'
sql "SELECT left(curl, 430) || ' ...' AS curl FROM activate.preview_requests('customer_health');"
value "SELECT curl FROM activate.preview_requests('customer_health')" | grep -q 's3cret' && wrong 'a preview shows a secret'
[ "$(crm_requests)" = 0 ] || wrong 'something was sent by a preview'

chapter '4. The first run'
sql "CALL activate.run_sync('customer_health');"
sql "SELECT run_id, status, rows_in_model, added, changed, removed, accepted, requests
FROM activate.runs;"
is 'SELECT status, added, accepted, requests FROM activate.runs ORDER BY run_id DESC LIMIT 1' 'succeeded|240|240|3'
echo; crm_shows 30
[ "$(crm_field 30 health_score)" = 100 ] || wrong 'the CRM should have a score of 100'

chapter '5. The business goes on, and only what changed is sent'
say 'Northwind Textiles opens two urgent tickets, Harbour Health pays, Lumen Media leaves.'
sql "INSERT INTO warehouse.tickets (account_id, severity, opened_on)
VALUES (30, 'urgent', '2026-11-16'), (30, 'urgent', '2026-11-16');
UPDATE warehouse.invoices SET paid_on = '2026-11-16' WHERE account_id = 8 AND paid_on IS NULL;
DELETE FROM warehouse.accounts WHERE account_id = 12;"
sql "CALL activate.run_sync('customer_health');"
sql "SELECT run_id, status, rows_in_model, added, changed, removed, accepted, requests
FROM activate.runs ORDER BY run_id;"
is 'SELECT status, added, changed, removed, accepted, requests FROM activate.runs ORDER BY run_id DESC LIMIT 1' 'succeeded|0|2|1|3|1'
say 'Three rows of 240 went out, in one request (some fields left out here):'
crm rows companies | tail -3 | sed -E 's/"name".*("health_score")/.. \1/; s/,"source.*/ ..}/'
echo; crm_shows 30
[ "$(crm_field 30 health_score)" = 70 ] || wrong 'the CRM should have a score of 70'
crm_shows 12 | sed 1q
crm_shows 12 | grep -q archived || wrong 'account 12 should be archived'

chapter '6. A row that the CRM refuses'
crm script '[{"times": -1, "reject_rows": {"where": "(at)", "error": "billing_email is not an e-mail address"}}]' >/dev/null
sql "UPDATE warehouse.accounts SET billing_email = 'ap(at)meridian.example' WHERE account_id = 77;
UPDATE warehouse.tickets SET closed_on = '2026-11-17' WHERE account_id = 30;
CALL activate.run_sync('customer_health');"
is 'SELECT status, changed, accepted, rejected FROM activate.runs ORDER BY run_id DESC LIMIT 1' 'partial|2|1|1'
sql "SELECT key, op, state, http_status, message FROM activate.rejections;"
is "SELECT key->>'account_id' FROM activate.rejections" 77
sql "SELECT explanation FROM activate.explain_row('customer_health', '77');"
say 'The other row went through. Once this one is right in the warehouse it goes by itself.'
sql "UPDATE warehouse.accounts SET billing_email = 'ap@meridian.example' WHERE account_id = 77;
CALL activate.run_sync('customer_health');
SELECT count(*) AS rejections FROM activate.rejections;"
is 'SELECT status, accepted FROM activate.runs ORDER BY run_id DESC LIMIT 1' 'succeeded|1'
is 'SELECT count(*) FROM activate.rejections' 0

chapter '7. An accident: somebody empties a table'
psql -Xq -d warehouse -c 'CREATE TABLE warehouse.last_night AS TABLE warehouse.accounts'
before=$(crm_requests)
sql 'TRUNCATE warehouse.accounts;'
sql_fails "CALL activate.run_sync('customer_health');" 'is held'
[ "$(crm_requests)" = "$before" ] || wrong 'a held run sent something'
is 'SELECT health FROM activate.status' held
say 'The CRM still has its companies. With the table put back there is nothing to decide.'
sql 'INSERT INTO warehouse.accounts TABLE warehouse.last_night;'
sql "CALL activate.run_sync('customer_health');"
sql 'SELECT run_id, status, added, changed, removed, accepted, requests
FROM activate.runs ORDER BY run_id;'
is "SELECT string_agg(status, ' ' ORDER BY run_id) FROM activate.runs" 'succeeded succeeded partial succeeded superseded succeeded'
[ "$(crm_requests)" = "$before" ] || wrong 'rows that did not change were sent again'

chapter '8. What is there now'
sql 'SELECT sync, health, last_status, rows_synced, rows_rejected, backlog FROM activate.status;'
is 'SELECT health, rows_synced, rows_rejected, backlog FROM activate.status' 'ok|239|0|0'
sql 'SELECT account_id, activate_state, activate_external_id FROM activate_data.customer_health
WHERE account_id IN (12, 30) ORDER BY 1;'
difference=$(
	diff <(crm get '/_records?object=companies' | grep '"archived":false' | grep -o '"health_score":[0-9]*' | sort) \
		<(value "SELECT '\"health_score\":' || score FROM analytics.customer_health" | sort)
) || wrong "the scores differ: $difference"
say "The scores of the CRM's 239 companies equal the view's: compared just now. $(crm_requests) requests in all," \
	"$(($(date +%s) - STARTED)) s. Cluster and CRM of this demo are gone with it. README.md says how to go on in your own PostgreSQL: make install, CREATE EXTENSION pg_activate."
