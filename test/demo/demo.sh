#!/bin/bash
# The demo: what a user types, and what comes back. Started by make demo with
# a private cluster and a destination, the CRM of this story; ends with an
# error when anything is not as the text says. Part one calls each run, part
# two leaves it to the workers, part three is about definitions.
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
	awk '{ print (begun ? "warehouse-# " : "warehouse=# ") $0; begun = !/;$|gset$/ }' <<<"$1"
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

# soon SECONDS QUERY EXPECTED: waits for what comes by itself; how long it
# took is in TOOK then
soon()
{
	local began found
	began=$(date +%s%N)
	until found=$(value "$2"); [ "$found" = "$3" ]; do
		[ $((($(date +%s%N) - began) / 1000000000)) -lt "$1" ] || wrong "$2 gives '$found' and not '$3', after $1 s"
		sleep 0.1
	done
	TOOK=$(tenths "$began")
}

# Seconds since a time of date +%s%N, with one decimal.
tenths() { awk -v ns=$(($(date +%s%N) - $1)) 'BEGIN { printf "%.1f", ns / 1e9 }'; }

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

# crm_soon SECONDS ACCOUNT FIELD VALUE: waits for it as soon() does
crm_soon()
{
	local began found
	began=$(date +%s%N)
	until found=$(crm_field "$2" "$3"); [ "$found" = "$4" ]; do
		[ $((($(date +%s%N) - began) / 1000000000)) -lt "$1" ] ||
			wrong "$3 of account $2 in the CRM is '$found' and not '$4', after $1 s"
		sleep 0.1
	done
	TOOK=$(tenths "$began")
}

# Until what runs after customer_health has done so.
followed()
{
	soon 20 "SELECT max(run_id) FILTER (WHERE sync = 'at_risk' AND status = 'succeeded') >
		max(run_id) FILTER (WHERE sync = 'customer_health') FROM activate.runs" t
}

scores_are_equal()
{
	local difference
	difference=$(
		diff <(crm get '/_records?object=companies' | grep '"archived":false' | grep -o '"health_score":[0-9]*' | sort) \
			<(value "SELECT '\"health_score\":' || score FROM analytics.customer_health" | sort)
	) || wrong "the scores differ: $difference"
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
scores_are_equal
say "The scores of the CRM's 239 companies equal the view's: compared just now. $(crm_requests) requests in all."

# ------------------------------------------------------------------- part two

cat <<END


${BOLD}Part two: it runs by itself${PLAIN}

Until here somebody typed each CALL. Now the server does it.
END

chapter '9. Preloaded, the library brings a worker along'
sql "ALTER SYSTEM SET shared_preload_libraries = 'pg_activate';"
say 'This setting needs a restart: the one line outside SQL.'
printf '\n%s$ pg_ctl restart%s\n' "$BOLD" "$PLAIN"
pg_ctl -D "$(value 'SHOW data_directory')" -l "$PWD/build/logs/postgres.log" -w -m fast restart >/dev/null ||
	wrong 'the server does not start with the library preloaded'
soon 10 "SELECT count(*) FROM activate.workers WHERE kind = 'launcher'" 1
sql "SELECT kind, state FROM activate.workers WHERE kind = 'launcher';"
say "Idle, that is all there is: one process, connected to no database. Now a schedule; seconds, so that the demo need not wait a quarter of an hour."
sql "SELECT activate.alter_sync('customer_health', schedule => '5 seconds');"
is "SELECT count(*) FROM activate.next_runs('customer_health', 3)" 3
say 'And a second sync that follows the first: accounts at risk, as alerts.'
sql "SELECT activate.create_sync('at_risk',
    model       => \$\$ SELECT account_id, name, score FROM analytics.customer_health WHERE tier = 'at risk' \$\$,
    key         => 'account_id', destination => 'crm', object => 'alerts',
    mode        => 'mirror', on_removed => 'archive',
    schedule    => 'after customer_health');"

chapter '10. A change in the warehouse arrives by itself'
say 'Northwind Textiles opens four urgent tickets. Nobody calls anything.'
sql "INSERT INTO warehouse.tickets (account_id, severity, opened_on)
SELECT 30, 'urgent', '2026-11-18' FROM generate_series(1, 4);"
crm_soon 20 30 health_tier 'at risk'
printf '\n    CRM: companies / account 30 is "at risk", %s s after the commit\n' "$TOOK"
soon 20 "SELECT string_agg(DISTINCT r.status, ' ') FROM activate.runs r WHERE sync = 'at_risk' AND accepted > 0" succeeded
soon 10 "SELECT count(*) FROM activate_data.at_risk WHERE account_id = 30 AND activate_state = 'accepted'" 1
sql "SELECT run_id, sync, cause, status, added, changed, accepted, finished_at - started_at AS took
FROM activate.runs WHERE cause <> 'manual' AND accepted > 0 ORDER BY run_id;"
is "SELECT string_agg(DISTINCT cause, ' ' ORDER BY cause) FROM activate.runs WHERE cause <> 'manual'" 'after schedule'

chapter '11. The CRM is down for a while'
crm script '[{"times": -1, "status": 503, "body": "maintenance"}]' >/dev/null
say 'It answers 503 to everything. Meanwhile Northwind closes its tickets, and Harbour Health opens one.'
sql "UPDATE warehouse.tickets SET closed_on = '2026-11-19' WHERE account_id = 30;
INSERT INTO warehouse.tickets (account_id, severity, opened_on) VALUES (8, 'urgent', '2026-11-19');"
soon 30 "SELECT count(*) FROM activate.events WHERE kind = 'destination_down'" 1
soon 60 "SELECT count(*) > 0 FROM activate.runs WHERE sync = 'customer_health' AND status = 'postponed'" t
sql "SELECT health, reason, lag FROM activate.status WHERE sync = 'customer_health' \gx"
sql "SELECT run_id, status, delayed, error FROM activate.runs
WHERE status IN ('failed', 'postponed') ORDER BY run_id;"
sql "SELECT kind, message FROM activate.events WHERE kind LIKE 'destination%';"
is "SELECT health FROM activate.status WHERE sync = 'customer_health'" waiting
say 'One event, not one for each run. The runs that would have been are postponed, in one row. Now the CRM comes back.'
crm script '[]' >/dev/null
crm_soon 60 30 health_tier healthy
printf '\n    CRM: companies / account 30 is "healthy" again, %s s after it came back\n' "$TOOK"
soon 20 "SELECT count(*) FROM activate.events WHERE kind = 'destination_up'" 1
soon 20 "SELECT string_agg(health, ' ') FROM activate.status" 'ok ok'
sql "SELECT kind, message FROM activate.events WHERE kind LIKE 'destination%' ORDER BY event_id;"
scores_are_equal

chapter '12. Once a day is enough; and when it has to be now'
sql "SELECT activate.alter_sync('customer_health', schedule => '0 7 * * mon-fri Europe/Paris');"
say 'Who loads the warehouse can ask for a run in the same transaction: it begins when that commits, and not if it does not.'
sql "BEGIN;
UPDATE warehouse.invoices SET paid_on = '2026-11-20' WHERE paid_on IS NULL;
SELECT activate.queue_run('customer_health') AS run_id \gset
COMMIT;
CALL activate.wait_for_run(:run_id, '30 seconds');
SELECT run_id, cause, status, changed, accepted FROM activate.runs WHERE run_id = :run_id;"
is "SELECT status FROM activate.runs WHERE sync = 'customer_health' ORDER BY run_id DESC LIMIT 1" succeeded
scores_are_equal
followed

chapter '13. A run under way: seen, and cancelled'
crm script '[{"times": -1, "hang": true}]' >/dev/null
say 'The CRM takes requests and does not answer.'
sql "UPDATE warehouse.tickets SET severity = 'normal' WHERE severity = 'low';
SELECT activate.queue_run('customer_health') > 0 AS queued;"
soon 20 "SELECT in_flight > 0 FROM activate.progress WHERE sync = 'customer_health'" t
sql 'SELECT run_id, sync, phase, rows_total, rows_done, in_flight FROM activate.progress;'
sql "SELECT kind, database, sync, state FROM activate.workers ORDER BY kind;"
is "SELECT string_agg(kind, ' ' ORDER BY kind) FROM activate.workers" 'launcher run scheduler'
began=$(date +%s%N)
sql "SELECT activate.cancel_run(run_id) FROM activate.progress;"
soon 10 "SELECT status FROM activate.runs WHERE sync = 'customer_health' ORDER BY run_id DESC LIMIT 1" cancelled
printf '\n    ended %s s after cancel_run\n' "$(tenths "$began")"
sql "SELECT run_id, status, changed, delayed, error FROM activate.runs WHERE status = 'cancelled';"
say 'What was on its way may have arrived: those rows are in doubt, and the next run sends them whatever their value.'
crm script '[]' >/dev/null
sql "SELECT activate.queue_run('customer_health') AS run_id \gset
CALL activate.wait_for_run(:run_id, '30 seconds');"
is "SELECT status FROM activate.runs WHERE sync = 'customer_health' ORDER BY run_id DESC LIMIT 1" succeeded
scores_are_equal

followed

# ----------------------------------------------------------------- part three

cat <<END


${BOLD}Part three: definitions, and what happens to them${PLAIN}
END

chapter '14. A change is tried before it is made'
sql "SELECT changed, to_send, requests, guard, changed_fields
FROM activate.plan_sync('customer_health', mapping => \$\$ account_id AS account_ref, name, billing_email,
  round(score, -1) AS health_score, tier AS health_tier, open_tickets, 'warehouse' AS source \$\$);"
say 'Nothing has changed by that. And what is accepted can be kept, so that a preview tells old from new, and only fields that differ go out:'
sql "SELECT activate.create_sync('renewals', 'analytics.customer_health', key => 'account_id', destination => 'crm',
    object => 'renewals', mapping => 'name, tier, score', options => '{\"keep_payload\": true, \"changed_fields_only\": true}');
CALL activate.run_sync('renewals');"
sql "INSERT INTO warehouse.tickets (account_id, severity, opened_on) VALUES (30, 'urgent', '2026-11-20');
SELECT op, key, changed, payload FROM activate.preview_sync('renewals');"
is "SELECT changed->'score'->>'new' = payload->>'score' AND payload->>'name' IS NULL FROM activate.preview_sync('renewals')" t
sql "CALL activate.run_sync('renewals');"
[ "$(crm rows renewals | tail -1 | grep -c '"name"')" = 0 ] || wrong 'a field that did not change was sent'

chapter '15. Rows that refer to each other'
say 'A contact belongs to a company, which the CRM knows by an id of its own. That of account 241 it does not have yet.'
sql "CREATE TABLE warehouse.contacts (contact_id int PRIMARY KEY, email text, account_id int);
INSERT INTO warehouse.contacts VALUES (1, 'ann@northwind.example', 30), (2, 'bo@new.example', 241);
INSERT INTO warehouse.accounts VALUES (241, 'Newcomer', 'team', 'ap@new.example', '2026-11-20');
SELECT activate.create_sync('contacts', 'warehouse.contacts', key => 'contact_id', destination => 'crm', object => 'contacts',
    mapping => \$\$ email, activate.external_id('customer_health', account_id) AS company \$\$, schedule => '1 day');
CALL activate.run_sync('contacts');
SELECT key, state, message FROM activate.pending WHERE sync = 'contacts';"
is "SELECT string_agg(key->>'contact_id', ' ') FROM activate.pending WHERE sync = 'contacts' AND state = 'waiting'" 2
say 'As soon as the company is accepted, the contact goes by itself.'
sql "CALL activate.run_sync('customer_health');"
soon 20 "SELECT count(*) FROM activate_data.contacts WHERE activate_state = 'accepted'" 2
sql "SELECT cause, status, accepted, waiting FROM activate.runs WHERE sync = 'contacts' ORDER BY run_id;"
is "SELECT count(*) FROM activate.runs WHERE sync = 'contacts' AND cause = 'retry' AND status = 'succeeded'" 1
crm records contacts | sed 's/^/    CRM: contacts /'
followed

chapter '16. A list that goes as a whole'
sql "SELECT activate.create_sync('watch_list',
    'SELECT account_id, name, score FROM analytics.customer_health ORDER BY score, account_id LIMIT 3',
    key => 'account_id', destination => 'crm', object => 'watch_list', mapping => 'name, score', mode => 'replace');
CALL activate.run_sync('watch_list');
CALL activate.run_sync('watch_list');
SELECT status, added, changed, removed, accepted, requests FROM activate.runs WHERE sync = 'watch_list' ORDER BY run_id;"
crm records watch_list | sed 's/^/    CRM: watch_list /'
is "SELECT string_agg(requests::text, ' ' ORDER BY run_id) FROM activate.runs WHERE sync = 'watch_list'" '1 0'
[ "$(crm records watch_list | wc -l)" = 3 ] || wrong 'the list should have three rows'

chapter '17. The model changes under its syncs'
say 'Somebody renames a column. The command goes through, and says who waits for it; nobody is removed.'
before=$(crm_requests)
sql 'ALTER VIEW analytics.customer_health RENAME score TO points;'
sql "SELECT sync, health, left(reason, 60) || ' ...' AS reason FROM activate.status WHERE health = 'waiting' ORDER BY sync;"
is "SELECT string_agg(sync, ' ' ORDER BY sync) FROM activate.status WHERE health = 'waiting'" 'at_risk customer_health renewals watch_list'
sql 'ALTER VIEW analytics.customer_health RENAME points TO score;'
soon 20 "SELECT string_agg(DISTINCT health, ' ') FROM activate.status" ok
sql "SELECT kind, count(*) FROM activate.events WHERE kind LIKE 'model%' GROUP BY kind ORDER BY kind;"
[ "$(crm_requests)" = "$before" ] || wrong 'a column that came back sent something'

chapter '18. Definitions are text, for git'
sql "SELECT activate.sync_sql('contacts');"
sql "SELECT action, count(*) FROM activate.apply(activate.export()) GROUP BY action;"
is "SELECT string_agg(DISTINCT action, ' ') FROM activate.apply(activate.export())" none

chapter '19. What a look in the morning shows'
sql 'SELECT sync, health, last_status, next_run_at, rows_synced, backlog FROM activate.status;'
sql "SELECT sync, cause, status, count(*) AS runs, sum(accepted) AS accepted, sum(requests) AS requests
FROM activate.runs GROUP BY sync, cause, status ORDER BY sync, min(run_id);"
sql "SELECT kind, severity, coalesce(sync, destination) AS about, run_id
FROM activate.events WHERE severity <> 'info' OR kind LIKE 'destination%' ORDER BY event_id;"
soon 20 "SELECT string_agg(DISTINCT health, ' ') FROM activate.status" ok
is "SELECT count(*) FROM activate.runs WHERE status = 'running'" 0
scores_are_equal
say "The scores of the CRM's companies equal the view's again. $(crm_requests) requests in all, $(($(date +%s) - STARTED)) s." \
	"Cluster and CRM of this demo are gone with it. README.md says how to go on in your own PostgreSQL: make install, preload, CREATE EXTENSION pg_activate."
