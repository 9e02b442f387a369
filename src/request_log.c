/*-------------------------------------------------------------------------
 *
 * request_log.c
 *	  The request debugger: takes requests and answers for the view requests.
 *
 * Called by delivery and lookups once an answer was read, outside of
 * transactions.  Everything is masked, made valid text and cut right here, so
 * that neither secrets nor megabytes stay in memory until it is written down.
 * Bodies come from outside: any bytes, of any length.  Throws only for lack of
 * memory.  Includes neither SPI nor curl.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fault.h"
#include "json_text.h"
#include "request_log.h"
#include "request_mask.h"

#define MAX_BODY (64 * 1024)	/* bytes of it that are kept */
#define MAX_SHOWN_BODY (1024 * 1024)	/* and of one that somebody waits for */
#define MAX_URL 8192
#define MAX_HEADER 4096			/* of one value */
#define MAX_HEADERS (16 * 1024) /* of all of them */
#define MAX_PROBLEM 2000

/* What waits: beyond this bodies are left out; beyond that it is due. */
#define MAX_WAITING (16 * 1024 * 1024)
#define DUE_BYTES (4 * 1024 * 1024)
#define DUE_AFTER_MS 5000

/* Headers whose names end so: their values are nobody's business, whoever sends them. */
static const char *const secret_headers[] = {
	"authorization", "cookie", "token", "secret", "signature", "api-key", "apikey", "password"
};

/* Bytes that are no character as \xNN; a character that a cut left in two goes.  False: not all of it. */
static bool
append_escaped(StringInfo buf, const char *bytes, size_t len, bool cut, size_t limit)
{
	for (size_t at = 0; at < len;)
	{
		int			width = act_utf8_length(bytes + at, len - at);

		if ((size_t) buf->len >= limit)
			return false;
		if (width > 0)
			appendBinaryStringInfo(buf, bytes + at, width);
		else if (cut && len - at < 4 && (unsigned char) bytes[at] >= 0xC2)
			return false;
		else
			appendStringInfo(buf, "\\x%02x", (unsigned char) bytes[at]);
		at += Max(width, 1);
	}
	return !cut;
}

/* At most limit bytes of it, and how many it had. */
static char *
keep(const Run *run, const char *bytes, size_t len, size_t limit, bool *was_cut)
{
	bool		cut = len > limit;
	size_t		written;
	char	   *redacted = act_destination_redact_bytes(run->destination, bytes, len, limit, &written);
	StringInfoData buf;

	initStringInfo(&buf);
	cut = !append_escaped(&buf, redacted, written, cut, limit);
	if (cut)
		appendStringInfo(&buf, "... [cut, %zu bytes in all]", len);
	if (was_cut != NULL)
		*was_cut = cut;
	pfree(redacted);
	return buf.data;
}

static char *
lower(const char *name)
{
	char	   *copy = pstrdup(name);

	for (char *c = copy; *c != '\0'; c++)
		*c = pg_ascii_tolower(*c);
	return copy;
}

/* Asterisks that stand there already say more: Bearer ********. */
static bool
is_secret(const HttpHeader *header)
{
	size_t		len = strlen(header->name);

	if (strstr(header->value, ACT_REQUEST_MASK) != NULL)
		return false;
	for (int i = 0; i < lengthof(secret_headers); i++)
	{
		size_t		end = strlen(secret_headers[i]);

		if (len >= end && pg_strcasecmp(header->name + len - end, secret_headers[i]) == 0)
			return true;
	}
	return false;
}

/* Values of headers of one name are one list, as HTTP has it. */
static char *
header_value(const List *headers, const HttpHeader *first, bool *done)
{
	StringInfoData buf;
	bool		before = true;
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, headers)
	{
		const HttpHeader *header = lfirst(cell);

		before = before && header != first;
		if (pg_strcasecmp(header->name, first->name) != 0)
			continue;
		if (before)
		{
			*done = true;
			break;
		}
		if (buf.len > 0)
			appendStringInfoString(&buf, ", ");
		appendStringInfoString(&buf, is_secret(header) ? ACT_REQUEST_MASK : header->value);
	}
	return buf.data;
}

/* Names of answers in lower case, as HTTP/2 has them: they can be asked for. */
static char *
headers_json(const Run *run, const List *headers, bool fold)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	foreach(cell, headers)
	{
		const HttpHeader *header = lfirst(cell);
		bool		done = false;
		char	   *value = header_value(headers, header, &done);
		char	   *name;

		if (done)
			continue;
		if (buf.len > MAX_HEADERS)
			break;
		name = keep(run, header->name, strlen(header->name), MAX_HEADER, NULL);
		value = keep(run, value, strlen(value), MAX_HEADER, NULL);
		if (buf.len > 1)
			appendStringInfoString(&buf, ", ");
		name = fold ? lower(name) : name;
		act_json_append_string(&buf, name, strlen(name));
		appendStringInfoString(&buf, ": ");
		act_json_append_string(&buf, value, strlen(value));
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

/* upsert, delete */
static char *
ops_text(const RequestTaken *taken)
{
	bool		seen[ROW_OP_COUNT] = {false};
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < taken->nrows; i++)
	{
		RowOp		op = act_row_op_sent(taken->rows[i]->op);

		if (!seen[op])
			appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "", act_row_op_sent_name(op));
		seen[op] = true;
	}
	return buf.data;
}

static const char *
class_name(const RequestTaken *taken)
{
	if (taken->answer == NULL)
		return "uncertain";
	switch (taken->answer->verdict)
	{
		case VERDICT_ROWS:
			return taken->accepted ? "accepted" : "rows_refused";
		case VERDICT_REFUSED:
			return "batch_refused";
		case VERDICT_TOO_LARGE:
			return "too_large";
		case VERDICT_THROTTLED:
			return "throttled";
		case VERDICT_UNREACHED:
			return "unreached";
		case VERDICT_UNCERTAIN:
			return "uncertain";
		case VERDICT_AUTH:
			return "auth";
		case VERDICT_CONFIGURATION:
			return "configuration";
	}
	return NULL;
}

static RequestLog *
log_of(Run *run)
{
	if (run->log == NULL)
	{
		run->log = MemoryContextAllocZero(run->context, sizeof(RequestLog));
		run->log->context = AllocSetContextCreate(run->context, "pg_activate requests", ALLOCSET_SMALL_SIZES);
	}
	return run->log;
}

static bool
is_wanted(Run *run, const RequestTaken *taken)
{
	if (run->sync->options.log == REQUEST_LOG_NONE ||
		(taken->accepted && run->sync->options.log == REQUEST_LOG_ERRORS))
		return false;
	if (taken->accepted)
		return true;
	if (log_of(run)->failed >= REQUEST_LOG_MAX_FAILED)
	{
		run->log->unlogged++;
		return false;
	}
	run->log->failed++;
	return true;
}

static void
take_request(const Run *run, LoggedRequest *logged, size_t max_body)
{
	const RequestTaken *taken = &logged->taken;
	HttpRequest masked = act_request_masked(run, taken->request,
											taken->at / USECS_PER_SEC +
											(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);

	logged->method = pstrdup(masked.method);
	logged->url = keep(run, masked.url, strlen(masked.url), MAX_URL, NULL);
	logged->request_headers = headers_json(run, masked.headers, false);
	logged->request_bytes = masked.body_len;
	if (masked.body != NULL)
		logged->request_body = keep(run, masked.body, masked.body_len, max_body, &logged->request_cut);
	logged->ops = ops_text(taken);
	logged->class = class_name(taken);
}

static void
take_answer(const Run *run, LoggedRequest *logged, size_t max_body)
{
	const HttpResponse *response = logged->taken.response;
	const ConnectorAnswer *answer = logged->taken.answer;

	logged->duration_ms = -1;
	if (response == NULL)
	{
		logged->problem = pstrdup("the run ended before an answer arrived");
		return;
	}
	logged->duration_ms = response->duration_ms;
	logged->http_status = response->status;
	if (answer != NULL && answer->message != NULL)
		logged->problem = keep(run, answer->message, strlen(answer->message), MAX_PROBLEM, NULL);
	if (response->status == 0)
		return;
	logged->response_headers = headers_json(run, response->headers, true);
	logged->response_bytes = response->body_len;
	logged->response_body = keep(run, response->body, response->body_len, max_body, NULL);
}

int64 *
act_request_log_number(Run *run)
{
	RequestLog *log = log_of(run);

	return log->failed < REQUEST_LOG_MAX_FAILED ? &log->numbers[log->failed] : NULL;
}

/* All that is kept of it, in a context of its own below parent. */
static LoggedRequest *
take(const Run *run, const RequestTaken *taken, MemoryContext parent, size_t max_body)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_activate request", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	LoggedRequest *logged = palloc0(sizeof(LoggedRequest));

	logged->context = context;
	logged->taken = *taken;
	logged->run_id = run->run_id;
	take_request(run, logged, max_body);
	take_answer(run, logged, max_body);
	logged->taken.rows = NULL;
	logged->taken.request = NULL;
	logged->taken.response = NULL;
	logged->taken.answer = NULL;
	MemoryContextSwitchTo(caller);
	return logged;
}

int64 *
act_request_log_take(Run *run, const RequestTaken *taken, int64 *id)
{
	MemoryContext caller = CurrentMemoryContext;
	LoggedRequest *logged;
	RequestLog *log;

	if (run->keeps_exchanges)
	{
		logged = take(run, taken, run->context, MAX_SHOWN_BODY);
		MemoryContextSwitchTo(run->context);
		run->exchanges = lappend(run->exchanges, logged);
		MemoryContextSwitchTo(caller);
	}
	if (!is_wanted(run, taken))
		return NULL;
	log = log_of(run);
	logged = take(run, taken, log->context, log->bytes > MAX_WAITING ? 0 : MAX_BODY);
	logged->id = id;
	MemoryContextSwitchTo(log->context);
	if (log->waiting == NIL)
		log->since = GetCurrentTimestamp();
	log->waiting = lappend(log->waiting, logged);
	log->bytes += MemoryContextMemAllocated(logged->context, true);
	MemoryContextSwitchTo(caller);
	return id;
}

bool
act_request_log_due(const Run *run)
{
	const RequestLog *log = run->log;

	return log != NULL && log->waiting != NIL &&
		(log->bytes > DUE_BYTES ||
		 TimestampDifferenceExceeds(log->since, GetCurrentTimestamp(), DUE_AFTER_MS));
}
