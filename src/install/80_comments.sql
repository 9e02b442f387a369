/*
 * What each column and sequence is, where it is not said next to its object.
 * Columns of views that show the same have the same text.  A time is of the
 * server's clock, a count one of rows, where nothing else is said.
 */

/* Definitions. */
COMMENT ON COLUMN activate.sync.sync_id IS 'number of the sync, as create_sync() returned it; never used again';
COMMENT ON COLUMN activate.sync.name IS 'name of the sync, and of its table in activate_data';
COMMENT ON COLUMN activate.sync.model IS 'what is read: a table or view by its qualified name, or the text of a query';
COMMENT ON COLUMN activate.sync.model_is_query IS 'the model is the text of a query, not a name';
COMMENT ON COLUMN activate.sync.key IS 'names of the model''s columns that identify a row, in their order';
COMMENT ON COLUMN activate.sync.destination IS 'name of the foreign server that the rows are sent to';
COMMENT ON COLUMN activate.sync.object IS 'what the rows become at the destination, as its documentation calls it; null: none named';
COMMENT ON COLUMN activate.sync.match IS 'fields by which the destination finds its record; empty: it takes the key itself';
COMMENT ON COLUMN activate.sync.mapping IS 'what is sent: a select list over the model or, beginning with {, JSON text';
COMMENT ON COLUMN activate.sync.mode IS 'upsert, insert, update or mirror';
COMMENT ON COLUMN activate.sync.on_removed IS 'what becomes of the record of a row that left the model: ignore, delete, archive or clear';
COMMENT ON COLUMN activate.sync.schedule IS 'when it runs; manual: when called';
COMMENT ON COLUMN activate.sync.options IS 'options that were set, by name; an empty object: none';
COMMENT ON COLUMN activate.sync.search_path IS 'search_path that the model and the mapping are read with';
COMMENT ON COLUMN activate.sync.time_zone IS 'time zone that the model and the mapping are read with';
COMMENT ON COLUMN activate.sync.database_oid IS 'with system_identifier and host: the database that this sync may run in';
COMMENT ON COLUMN activate.sync.host IS 'with system_identifier and database_oid: name of the host that this sync may run on, unless pg_activate.hosts says otherwise';
COMMENT ON COLUMN activate.sync.paused IS 'no run begins until resume_sync()';
COMMENT ON COLUMN activate.sync.pause_reason IS 'reason given to pause_sync(); null: not paused, or none given';
COMMENT ON COLUMN activate.sync.fingerprint_format IS 'number of the format of the fingerprints in the sync''s table; those of another cannot be compared';
COMMENT ON COLUMN activate.sync.definition_changed_at IS 'when create_sync() or alter_sync() last wrote the definition';
COMMENT ON COLUMN activate.sync.created_at IS 'when create_sync() was called';

COMMENT ON COLUMN activate.syncs.sync IS 'name of the sync';
COMMENT ON COLUMN activate.syncs.owner IS 'role that owns the sync, being the owner of its table in activate_data; null: that was dropped';
COMMENT ON COLUMN activate.syncs.model IS 'what is read: a table or view by its qualified name, or the text of a query';
COMMENT ON COLUMN activate.syncs.key IS 'the model''s columns that identify a row, as in SQL: a, "B"';
COMMENT ON COLUMN activate.syncs.destination IS 'name of the foreign server that the rows are sent to';
COMMENT ON COLUMN activate.syncs.object IS 'what the rows become at the destination, as its documentation calls it; null: none named';
COMMENT ON COLUMN activate.syncs.match IS 'fields by which the destination finds its record, as in SQL; null: it takes the key itself';
COMMENT ON COLUMN activate.syncs.mapping IS 'what is sent: a select list over the model or, beginning with {, JSON text';
COMMENT ON COLUMN activate.syncs.mode IS 'upsert, insert, update or mirror';
COMMENT ON COLUMN activate.syncs.on_removed IS 'what becomes of the record of a row that left the model: ignore, delete, archive or clear';
COMMENT ON COLUMN activate.syncs.schedule IS 'when it runs; manual: when called';
COMMENT ON COLUMN activate.syncs.options IS 'options that were set, by name; an empty object: none';
COMMENT ON COLUMN activate.syncs.paused IS 'no run begins until resume_sync()';
COMMENT ON COLUMN activate.syncs.pause_reason IS 'reason given to pause_sync(); null: not paused, or none given';
COMMENT ON COLUMN activate.syncs.sync_id IS 'number of the sync, as create_sync() returned it; never used again';
COMMENT ON COLUMN activate.syncs.created_at IS 'when create_sync() was called';

COMMENT ON COLUMN activate.visible_sync.sync_id IS 'number of the sync, as create_sync() returned it; never used again';
COMMENT ON COLUMN activate.visible_sync.name IS 'name of the sync';
COMMENT ON COLUMN activate.visible_sync.destination IS 'name of the foreign server that the rows are sent to';
COMMENT ON COLUMN activate.visible_sync.paused IS 'no run begins until resume_sync()';
COMMENT ON COLUMN activate.visible_sync.schedule IS 'when it runs; manual: when called';
COMMENT ON COLUMN activate.visible_sync.gone IS 'its table was dropped, and with it its owner: the extension''s owner sees it in his place';
COMMENT ON COLUMN activate.visible_sync.owned IS 'the current user is a member of the owner; false: may see statistics only, as a member of pg_monitor';

/* Connectors and credentials. */
COMMENT ON COLUMN activate.connector.name IS 'name, as in CREATE SERVER ... OPTIONS (connector ''...'')';
COMMENT ON COLUMN activate.connector.spec IS 'the document: how requests are made and answers read';
COMMENT ON COLUMN activate.connector.builtin IS 'came with the extension, and is not part of a dump';
COMMENT ON COLUMN activate.credential.mapping_oid IS 'OID of the user mapping that has the secrets';
COMMENT ON COLUMN activate.credential.server_oid IS 'OID of the mapping''s foreign server';
COMMENT ON COLUMN activate.credential.system_identifier IS 'of the cluster in which the OIDs mean something';
COMMENT ON COLUMN activate.credential.host IS 'scheme, host and port that the secrets were stored for: scheme://host:port';
COMMENT ON COLUMN activate.credential.closed IS 'true: the secrets came with a copy that is a sandbox, and are not used; false: they were set there; null: it is as with the destination';
COMMENT ON COLUMN activate.secret.secret_id IS 'another one each time that the secret is stored by somebody';
COMMENT ON COLUMN activate.secret.destination IS 'name of the foreign server whose secret it is';
COMMENT ON COLUMN activate.secret.server_oid IS 'with database_oid and system_identifier: OID of that server';
COMMENT ON COLUMN activate.secret.database_oid IS 'OID of the database in which server_oid means something';
COMMENT ON COLUMN activate.secret.system_identifier IS 'of the cluster in which the OIDs mean something';
COMMENT ON COLUMN activate.secret.name IS 'name of the secret, as in the options of a user mapping';
COMMENT ON COLUMN activate.secret.replaces IS 'digest of the value in a user mapping that the destination gave this one in place of; empty: it was stored by set_secret()';
COMMENT ON COLUMN activate.secret.host IS 'scheme, host and port that it was stored for, and those that its tokens come from';
COMMENT ON COLUMN activate.secret.key_id IS 'which key it is sealed with';
COMMENT ON COLUMN activate.secret.sealed IS 'nonce, ciphertext and tag of AES-256-GCM; bound to secret_id, name, host and replaces';
COMMENT ON COLUMN activate.secret.closed IS 'it came with a copy that is a sandbox, and is not used';
COMMENT ON COLUMN activate.secret.changed_at IS 'when it was stored';

/* Runs. */
COMMENT ON COLUMN activate.run.run_id IS 'number of the run; later runs have higher ones';
COMMENT ON COLUMN activate.run.sync_id IS 'the sync it is a run of';
COMMENT ON COLUMN activate.run.cause IS 'what began the run: schedule, manual (run_sync() or queue_run()), retry or after';
COMMENT ON COLUMN activate.run.status IS 'queued, running, succeeded, partial, failed, held, superseded, postponed, cancelled or interrupted';
COMMENT ON COLUMN activate.run.pid IS 'process that ran or runs it; null: not known';
COMMENT ON COLUMN activate.run.queued_at IS 'when queue_run() asked for the run; null: it was not queued';
COMMENT ON COLUMN activate.run.started_at IS 'when the run began; null: it did not yet';
COMMENT ON COLUMN activate.run.finished_at IS 'when the run ended; null: it did not yet, or nobody found yet that its process is gone';
COMMENT ON COLUMN activate.run.rows_in_model IS 'rows that the model had, duplicates and invalid ones included; of a run of named keys, the rows with these';
COMMENT ON COLUMN activate.run.added IS 'rows of the model that the destination does not have';
COMMENT ON COLUMN activate.run.changed IS 'rows of the model that the destination has with other values, or that are in doubt';
COMMENT ON COLUMN activate.run.removed IS 'rows that the destination has and the model has no more, and that are to be removed';
COMMENT ON COLUMN activate.run.accepted IS 'rows that the destination accepted, removals included';
COMMENT ON COLUMN activate.run.rejected IS 'rows that the destination said no to in this run, rejected and refused';
COMMENT ON COLUMN activate.run.invalid IS 'rows of the model that cannot be sent; not part of added, changed and removed';
COMMENT ON COLUMN activate.run.delayed IS 'rows left to a later run: waiting to be tried again, beyond max_rows, not come to, or in doubt';
COMMENT ON COLUMN activate.run.unknown IS 'rows of which somebody has to decide whether they arrived; always 0 in this version';
COMMENT ON COLUMN activate.run.waiting IS 'rows that wait for a row of another sync; always 0 in this version';
COMMENT ON COLUMN activate.run.absent IS 'rows to update that have no record at the destination';
COMMENT ON COLUMN activate.run.skipped IS 'rows not sent because this version of theirs was refused, or rejected too often';
COMMENT ON COLUMN activate.run.held_out IS 'rows kept back for comparison; always 0 in this version';
COMMENT ON COLUMN activate.run.leaving IS 'rows missing from the model, but not yet for remove_after; not part of removed';
COMMENT ON COLUMN activate.run.unchanged IS 'rows of the model of which nothing is to be sent';
COMMENT ON COLUMN activate.run.rows_synced IS 'rows that the destination has as far as the run looked; null: the run has not ended by itself';
COMMENT ON COLUMN activate.run.duplicates IS 'rows of the model that repeat another one, key and values';
COMMENT ON COLUMN activate.run.requests IS 'HTTP requests sent, repeated ones included';
COMMENT ON COLUMN activate.run.retries IS 'times that a batch was put back to be sent again';
COMMENT ON COLUMN activate.run.bytes_sent IS 'bytes of the bodies of all requests';
COMMENT ON COLUMN activate.run.error IS 'message of the error that ended the run, or why it was held; null: none';
COMMENT ON COLUMN activate.run.detail IS 'what else is known of the error; null: nothing';
COMMENT ON COLUMN activate.run.hint IS 'what to do about the error; null: nothing to say';
COMMENT ON COLUMN activate.run.approved_by IS 'role that approved the held run; null: nobody did, or the run was discarded';
COMMENT ON COLUMN activate.run.approved_at IS 'when the held run was approved; null: it was not, or the run was discarded';

COMMENT ON COLUMN activate.runs.run_id IS 'number of the run; later runs have higher ones';
COMMENT ON COLUMN activate.runs.sync IS 'name of the sync';
COMMENT ON COLUMN activate.runs.cause IS 'what began the run: schedule, manual (run_sync() or queue_run()), retry or after';
COMMENT ON COLUMN activate.runs.status IS 'queued, running, succeeded, partial, failed, held, superseded, postponed, cancelled or interrupted';
COMMENT ON COLUMN activate.runs.started_at IS 'when the run began; null: it did not yet';
COMMENT ON COLUMN activate.runs.finished_at IS 'when the run ended; null: it did not yet, or nobody found yet that its process is gone';
COMMENT ON COLUMN activate.runs.rows_in_model IS 'rows that the model had, duplicates and invalid ones included; of a run of named keys, the rows with these';
COMMENT ON COLUMN activate.runs.added IS 'rows of the model that the destination does not have';
COMMENT ON COLUMN activate.runs.changed IS 'rows of the model that the destination has with other values, or that are in doubt';
COMMENT ON COLUMN activate.runs.removed IS 'rows that the destination has and the model has no more, and that are to be removed';
COMMENT ON COLUMN activate.runs.accepted IS 'rows that the destination accepted, removals included';
COMMENT ON COLUMN activate.runs.rejected IS 'rows that the destination said no to in this run, rejected and refused';
COMMENT ON COLUMN activate.runs.invalid IS 'rows of the model that cannot be sent; not part of added, changed and removed';
COMMENT ON COLUMN activate.runs.delayed IS 'rows left to a later run: waiting to be tried again, beyond max_rows, not come to, or in doubt';
COMMENT ON COLUMN activate.runs.unknown IS 'rows of which somebody has to decide whether they arrived; always 0 in this version';
COMMENT ON COLUMN activate.runs.waiting IS 'rows that wait for a row of another sync; always 0 in this version';
COMMENT ON COLUMN activate.runs.absent IS 'rows to update that have no record at the destination';
COMMENT ON COLUMN activate.runs.skipped IS 'rows not sent because this version of theirs was refused, or rejected too often';
COMMENT ON COLUMN activate.runs.held_out IS 'rows kept back for comparison; always 0 in this version';
COMMENT ON COLUMN activate.runs.duplicates IS 'rows of the model that repeat another one, key and values';
COMMENT ON COLUMN activate.runs.requests IS 'HTTP requests sent, repeated ones included';
COMMENT ON COLUMN activate.runs.retries IS 'times that a batch was put back to be sent again';
COMMENT ON COLUMN activate.runs.bytes_sent IS 'bytes of the bodies of all requests';
COMMENT ON COLUMN activate.runs.error IS 'message of the error that ended the run, or why it was held; null: none, or the current user does not own the sync';
COMMENT ON COLUMN activate.runs.leaving IS 'rows missing from the model, but not yet for remove_after; not part of removed';
COMMENT ON COLUMN activate.runs.unchanged IS 'rows of the model of which nothing is to be sent';
COMMENT ON COLUMN activate.runs.detail IS 'what else is known of the error; null: nothing, or the current user does not own the sync';
COMMENT ON COLUMN activate.runs.hint IS 'what to do about the error; null: nothing to say, or the current user does not own the sync';
COMMENT ON COLUMN activate.runs.pid IS 'process that ran or runs it; null: not known';
COMMENT ON COLUMN activate.runs.approved_by IS 'role that approved the held run; null: nobody did, or the run was discarded';
COMMENT ON COLUMN activate.runs.approved_at IS 'when the held run was approved; null: it was not, or the run was discarded';
COMMENT ON COLUMN activate.runs.queued_at IS 'when queue_run() asked for the run; null: it was not queued';
COMMENT ON COLUMN activate.runs.requests_unlogged IS 'requests that failed and are not in activate.requests, as it has the first hundred of a run';
COMMENT ON COLUMN activate.runs.missed IS 'planned starts before this one that passed without a run: one run stands for them all';

COMMENT ON COLUMN activate.claim.claim_id IS 'number of the claim; later ones have higher ones';
COMMENT ON COLUMN activate.claim.sync_id IS 'the sync whose rows it has';
COMMENT ON COLUMN activate.claim.run_id IS 'the run that sends it';
COMMENT ON COLUMN activate.claim.ops IS 'operation on each row, as sent: insert, update, upsert, delete, archive or clear';
COMMENT ON COLUMN activate.claim.fingerprints IS 'of each row, digest of the values sent';
COMMENT ON COLUMN activate.claim.change_ids IS 'of each row, the id of the version sent; another one for each version';
COMMENT ON COLUMN activate.claim.claimed_at IS 'when the claim was written, before the request';

/* Rows that are not accepted. */
COMMENT ON COLUMN activate.invalid_row.sync_id IS 'the sync whose model has the row';
COMMENT ON COLUMN activate.invalid_row.key IS 'the row''s key: an object of the key columns';
COMMENT ON COLUMN activate.invalid_row.code IS 'what is wrong with the row, as one word';
COMMENT ON COLUMN activate.invalid_row.message IS 'what is wrong with the row, as a sentence';
COMMENT ON COLUMN activate.invalid_row.run_id IS 'the run that found it';
COMMENT ON COLUMN activate.invalid_row.at IS 'when the run wrote it down';

COMMENT ON COLUMN activate.pending.sync IS 'name of the sync';
COMMENT ON COLUMN activate.pending.key IS 'the row''s key: an object of the key columns';
COMMENT ON COLUMN activate.pending.op IS 'operation that was tried last or, of a row that is leaving, that comes: insert, update, upsert, delete, archive or clear; null: none';
COMMENT ON COLUMN activate.pending.state IS 'rejected, refused, invalid, delayed, absent or leaving';
COMMENT ON COLUMN activate.pending.attempts IS 'how often the destination said no to this version of the row; 0: never';
COMMENT ON COLUMN activate.pending.first_at IS 'when the row was first not accepted, since it last was; null: it was not tried since';
COMMENT ON COLUMN activate.pending.last_at IS 'when the row was last tried; of an invalid one, when the run found it; null: it was not tried';
COMMENT ON COLUMN activate.pending.next_attempt_at IS 'when the row, as it is, may go again; null: with the next run or, where rejected, refused or invalid, when it changes or a run names its key';
COMMENT ON COLUMN activate.pending.http_status IS 'status of the HTTP answer; null: there was none';
COMMENT ON COLUMN activate.pending.code IS 'the destination''s word for the reason, or in_doubt, or what is wrong with an invalid row; null: none given';
COMMENT ON COLUMN activate.pending.message IS 'the reason as a sentence, mostly the destination''s own; null: none given';
COMMENT ON COLUMN activate.pending.request_id IS 'number of the request that decided it, in activate.requests; null: none did, or it is not logged';

COMMENT ON COLUMN activate.jobs.job_id IS 'number of the job';
COMMENT ON COLUMN activate.jobs.sync IS 'name of the sync';
COMMENT ON COLUMN activate.jobs.destination IS 'where its rows are';
COMMENT ON COLUMN activate.jobs.job IS 'what the destination calls it: the first value that its steps saved, which may be a secret address; null for who only watches';
COMMENT ON COLUMN activate.jobs.operation IS 'operation of the connector that describes it';
COMMENT ON COLUMN activate.jobs.state IS 'filling, sending, starting: being handed over; polling: asked for; aborting: given up';
COMMENT ON COLUMN activate.jobs.rows IS 'how many rows it has';
COMMENT ON COLUMN activate.jobs.run_id IS 'the run that handed them over';
COMMENT ON COLUMN activate.jobs.submitted_at IS 'when its last step was done; null: it was not';
COMMENT ON COLUMN activate.jobs.next_poll_at IS 'when it is asked for next, where no run waits for it';
COMMENT ON COLUMN activate.jobs.deadline IS 'when it is given up, and its rows are in doubt';
COMMENT ON COLUMN activate.rejections.sync IS 'name of the sync';
COMMENT ON COLUMN activate.rejections.key IS 'the row''s key: an object of the key columns';
COMMENT ON COLUMN activate.rejections.op IS 'operation that was tried last or, of a row that is leaving, that comes: insert, update, upsert, delete, archive or clear; null: none';
COMMENT ON COLUMN activate.rejections.state IS 'rejected, refused, invalid, delayed, absent or leaving';
COMMENT ON COLUMN activate.rejections.attempts IS 'how often the destination said no to this version of the row; 0: never';
COMMENT ON COLUMN activate.rejections.first_at IS 'when the row was first not accepted, since it last was; null: it was not tried since';
COMMENT ON COLUMN activate.rejections.last_at IS 'when the row was last tried; of an invalid one, when the run found it; null: it was not tried';
COMMENT ON COLUMN activate.rejections.next_attempt_at IS 'when the row, as it is, may go again; null: with the next run or, where rejected, refused or invalid, when it changes or a run names its key';
COMMENT ON COLUMN activate.rejections.http_status IS 'status of the HTTP answer; null: there was none';
COMMENT ON COLUMN activate.rejections.code IS 'the destination''s word for the reason, or in_doubt, or what is wrong with an invalid row; null: none given';
COMMENT ON COLUMN activate.rejections.message IS 'the reason as a sentence, mostly the destination''s own; null: none given';
COMMENT ON COLUMN activate.rejections.request_id IS 'number of the request that decided it, in activate.requests; null: none did, or it is not logged';

/* Requests. */
COMMENT ON COLUMN activate.request.request_id IS 'number of the request; later ones have higher ones';
COMMENT ON COLUMN activate.request.run_id IS 'the run that sent it';
COMMENT ON COLUMN activate.request.at IS 'when it went out';
COMMENT ON COLUMN activate.request.method IS 'GET, POST, PUT, PATCH or DELETE';
COMMENT ON COLUMN activate.request.url IS 'where it went; secrets in it stand as ********';
COMMENT ON COLUMN activate.request.request_headers IS 'headers that it had, but for those of the transport; credentials and signatures stand as ********';
COMMENT ON COLUMN activate.request.request_body IS 'its body, the first 64 kB of it, secrets as ********; null: it had none';
COMMENT ON COLUMN activate.request.request_bytes IS 'length of its body';
COMMENT ON COLUMN activate.request.http_status IS 'status of the answer; null: none arrived';
COMMENT ON COLUMN activate.request.response_headers IS 'headers of the answer, names in lower case; null: none arrived';
COMMENT ON COLUMN activate.request.response_body IS 'body of the answer, decoded, the first 64 kB of it, secrets as ********, bytes that are no text as \xNN; null: no answer arrived';
COMMENT ON COLUMN activate.request.response_bytes IS 'length of the body of the answer, decoded; null: no answer arrived';
COMMENT ON COLUMN activate.request.rows IS 'rows that it carried';
COMMENT ON COLUMN activate.request.attempt IS 'which try of these rows in its run it was, from 1';
COMMENT ON COLUMN activate.request.duration IS 'from its beginning to the end of the answer, waiting for a connection included; null: not known';
COMMENT ON COLUMN activate.request.ops IS 'operations on its rows, as sent: upsert, delete and so on';
COMMENT ON COLUMN activate.request.class IS 'what the answer meant: accepted, rows_refused (some or all of the rows), batch_refused (the rows as a whole), too_large, throttled, unreached (certainly not applied), uncertain (may have been applied), auth or configuration';
COMMENT ON COLUMN activate.request.problem IS 'what was wrong, in words: of the transport, or of an answer that says nothing of single rows; null: nothing';
COMMENT ON COLUMN activate.request.sync_id IS 'the sync whose rows it carried';
COMMENT ON COLUMN activate.request.request_cut IS 'request_body is not all of it';
COMMENT ON COLUMN activate.request.failed IS 'it was not plainly accepted';

COMMENT ON COLUMN activate.requests.sync IS 'name of the sync whose rows it carried';
COMMENT ON COLUMN activate.requests.request_id IS 'number of the request; later ones have higher ones';
COMMENT ON COLUMN activate.requests.run_id IS 'the run that sent it';
COMMENT ON COLUMN activate.requests.at IS 'when it went out';
COMMENT ON COLUMN activate.requests.method IS 'GET, POST, PUT, PATCH or DELETE';
COMMENT ON COLUMN activate.requests.url IS 'where it went; secrets in it stand as ********; for who may only watch without its path';
COMMENT ON COLUMN activate.requests.request_headers IS 'headers that it had, but for those of the transport; credentials and signatures stand as ********; null: whoever asks may only watch';
COMMENT ON COLUMN activate.requests.request_body IS 'its body, the first 64 kB of it, secrets as ********; null: whoever asks may only watch, or it had none';
COMMENT ON COLUMN activate.requests.request_bytes IS 'length of its body';
COMMENT ON COLUMN activate.requests.http_status IS 'status of the answer; null: none arrived';
COMMENT ON COLUMN activate.requests.response_headers IS 'headers of the answer, names in lower case; null: whoever asks may only watch, or none arrived';
COMMENT ON COLUMN activate.requests.response_body IS 'body of the answer, decoded, the first 64 kB of it, secrets as ********, bytes that are no text as \xNN; null: whoever asks may only watch, or no answer arrived';
COMMENT ON COLUMN activate.requests.response_bytes IS 'length of the body of the answer, decoded; null: no answer arrived';
COMMENT ON COLUMN activate.requests.rows IS 'rows that it carried';
COMMENT ON COLUMN activate.requests.attempt IS 'which try of these rows in its run it was, from 1';
COMMENT ON COLUMN activate.requests.duration IS 'from its beginning to the end of the answer, waiting for a connection included; null: not known';
COMMENT ON COLUMN activate.requests.ops IS 'operations on its rows, as sent: upsert, delete and so on';
COMMENT ON COLUMN activate.requests.class IS 'what the answer meant: accepted, rows_refused (some or all of the rows), batch_refused (the rows as a whole), too_large, throttled, unreached (certainly not applied), uncertain (may have been applied), auth or configuration';
COMMENT ON COLUMN activate.requests.problem IS 'what was wrong, in words: of the transport, or of an answer that says nothing of single rows; null: whoever asks may only watch, or nothing';
COMMENT ON COLUMN activate.requests.curl IS 'the request as a curl command; null: its body was cut, or whoever asks may only watch';

/* Events. */
COMMENT ON COLUMN activate.event.event_id IS 'number of the event; later ones have higher ones, and NOTIFY pg_activate carries it';
COMMENT ON COLUMN activate.event.at IS 'when it was recorded';
COMMENT ON COLUMN activate.event.kind IS 'what happened, as one word: run_held, run_failed, rejecting, recovered, paused and so on';
COMMENT ON COLUMN activate.event.severity IS 'info, warning or error';
COMMENT ON COLUMN activate.event.sync_id IS 'the sync it is about; null: of no sync that there is';
COMMENT ON COLUMN activate.event.sync IS 'name that the sync had then; null: of no sync that there is';
COMMENT ON COLUMN activate.event.destination IS 'name of the foreign server of the sync; null: of no sync that there is';
COMMENT ON COLUMN activate.event.run_id IS 'the run it is about; null: none';
COMMENT ON COLUMN activate.event.message IS 'what happened, as a sentence';
COMMENT ON COLUMN activate.event.details IS 'of an event of a run, its counts accepted, rejected and invalid; of model_changed what is missing, and who changed it with which command; null: none';

COMMENT ON COLUMN activate.events.event_id IS 'number of the event; later ones have higher ones, and NOTIFY pg_activate carries it';
COMMENT ON COLUMN activate.events.at IS 'when it was recorded';
COMMENT ON COLUMN activate.events.kind IS 'what happened, as one word: run_held, run_failed, rejecting, recovered, paused and so on';
COMMENT ON COLUMN activate.events.severity IS 'info, warning or error';
COMMENT ON COLUMN activate.events.sync IS 'name that the sync had then; null: of no sync that there is';
COMMENT ON COLUMN activate.events.destination IS 'name of the foreign server of the sync; null: of no sync that there is';
COMMENT ON COLUMN activate.events.run_id IS 'the run it is about; null: none';
COMMENT ON COLUMN activate.events.message IS 'what happened, as a sentence';
COMMENT ON COLUMN activate.events.details IS 'of an event of a run, its counts accepted, rejected and invalid; of model_changed what is missing, and who changed it with which command; null: none';

/* Each sync now.  A run of named keys tells nothing of the sync as a whole. */
COMMENT ON COLUMN activate.status.sync IS 'name of the sync';
COMMENT ON COLUMN activate.status.destination IS 'name of the foreign server that the rows are sent to';
COMMENT ON COLUMN activate.status.health IS 'ok, new (no run of the whole model yet), rejecting (rows are rejected, refused or invalid), late (due and not begun, or older than option freshness promises), failing, held, paused, waiting (for its model, its destination, what it follows, or confirm_cluster()) or no worker (it has a schedule that nobody serves)';
COMMENT ON COLUMN activate.status.last_run_id IS 'number of the last run that was not superseded, named keys or not; null: none';
COMMENT ON COLUMN activate.status.last_status IS 'status of that run; null: none';
COMMENT ON COLUMN activate.status.last_success_at IS 'end of the last run of the whole model that succeeded; null: none';
COMMENT ON COLUMN activate.status.next_run_at IS 'when the next run begins by itself, as planned or to try again; in the past: it is due; null: it runs when called, or may not run';
COMMENT ON COLUMN activate.status.lag IS 'time since fresh_as_of; null: where that is';
COMMENT ON COLUMN activate.status.rows_synced IS 'rows that the destination has, as of the last run of the whole model that succeeded or was partial; null: none';
COMMENT ON COLUMN activate.status.rows_rejected IS 'rows that are rejected or refused now, and those that the last run of the whole model found invalid';
COMMENT ON COLUMN activate.status.reason IS 'why health is not ok; null: it is, or nothing more is known';
COMMENT ON COLUMN activate.status.backlog IS 'rows that pending lists, but for invalid ones, and those that the last run of the whole model did not come to';

/* Numbers. */
COMMENT ON SEQUENCE activate.sync_sync_id_seq IS 'numbers of syncs';
COMMENT ON SEQUENCE activate.request_request_id_seq IS 'numbers of requests';
COMMENT ON SEQUENCE activate.run_run_id_seq IS 'numbers of runs';
COMMENT ON SEQUENCE activate.claim_claim_id_seq IS 'numbers of claims';
COMMENT ON SEQUENCE activate.job_job_id_seq IS 'numbers of jobs';
COMMENT ON SEQUENCE activate.event_event_id_seq IS 'numbers of events';

COMMENT ON COLUMN activate.sync_state.sync_id IS 'the sync';
COMMENT ON COLUMN activate.destination_state.destination IS 'name of the foreign server';
