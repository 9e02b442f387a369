/*-------------------------------------------------------------------------
 *
 * connector_rate.c
 *	  The pace that a document says its API allows, and what answers say of it.
 *
 * Section "rate" is compiled with the rest of the document (throws what
 * document.h throws).  Reading an answer's headers does not throw.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"
#include "duration.h"

#define MAX_CONCURRENCY 1000
#define MAX_REQUESTS 1000000000

static const char *const rate_members[] = {
	"requests", "per", "concurrency", "day", "retry_after", "reset", "remaining", "throttle", "jobs", NULL
};
static const char *const day_members[] = {"requests", NULL};
static const char *const reset_members[] = {"header", "as", NULL};

/* In the order of HttpTimeForm, and then the short names of two of them. */
static const char *const form_names[] = {
	"auto", "delta_s", "delta_ms", "epoch_s", "epoch_ms", "date", "seconds", "epoch", NULL
};
StaticAssertDecl(lengthof(form_names) == HTTP_TIME_DATE + 4, "every form of a time has its name");

const ConnectorRate *
act_connector_rate(const Connector *connector)
{
	return &connector->rate.public;
}

int
act_connector_concurrency(const Connector *connector)
{
	return connector->rate.public.concurrency;
}

int
act_rate_compile_duration(const Document *document, const cJSON *object, const char *name,
						  int min_ms, int fallback)
{
	char	   *text = act_document_string(document, object, name);
	int			ms;

	if (text == NULL)
		return fallback;
	if (!act_duration_parse(text, &ms) || ms < min_ms)
		act_document_error(document, act_document_member(object, name), "Such as \"10 s\", \"500 ms\" or \"2 min\".",
						   "\"%s\", which is no duration,", text);
	return ms;
}

static void
compile_headers(const Document *document, const cJSON *at, RateSection *rate)
{
	const cJSON *reset = act_document_member(at, "reset");
	char	   *retry_after = act_document_string(document, at, "retry_after");
	int			as;

	if (retry_after != NULL)
		rate->retry_after = retry_after;
	rate->remaining = act_document_string(document, at, "remaining");
	rate->throttle_ms = act_rate_compile_duration(document, at, "throttle", 1, -1);
	if (reset == NULL)
		return;
	act_document_check(document, reset, reset_members, NULL);
	act_document_need(document, reset, "header");
	rate->reset = act_document_string(document, reset, "header");
	as = act_document_choice(document, reset, "as", form_names, NULL, HTTP_TIME_AUTO);
	rate->reset_as = as <= HTTP_TIME_DATE ? (HttpTimeForm) as : as == HTTP_TIME_DATE + 1 ? HTTP_TIME_DELTA_S : HTTP_TIME_EPOCH_S;
}

/*
 * Without the section the API allows any pace, and says in Retry-After when
 * it does not.  Member "concurrency" of the document is the section's.
 */
void
act_rate_compile(const Document *document, Connector *connector)
{
	RateSection *rate = &connector->rate;
	const cJSON *at = act_document_member(document->root, "rate");
	const cJSON *day;

	rate->retry_after = "Retry-After";
	rate->throttle_ms = -1;
	rate->public.concurrency = act_document_int(document, document->root, "concurrency", 1, MAX_CONCURRENCY, 1);
	if (at == NULL)
		return;
	act_document_check(document, at, rate_members, NULL);
	if ((act_document_member(at, "requests") == NULL) != (act_document_member(at, "per") == NULL))
		act_document_error(document, at, "As in {\"requests\": 100, \"per\": \"10 s\"}.",
						   "one of \"requests\" and \"per\" without the other");
	if (act_document_member(at, "concurrency") != NULL &&
		act_document_member(document->root, "concurrency") != NULL)
		act_document_error(document, act_document_member(at, "concurrency"), NULL,
						   "\"concurrency\", which the document has at its top level, too,");
	rate->public.requests = act_document_int(document, at, "requests", 1, MAX_REQUESTS, 0);
	rate->public.per_ms = act_rate_compile_duration(document, at, "per", 1, 0);
	rate->public.concurrency = act_document_int(document, at, "concurrency", 1, MAX_CONCURRENCY,
												rate->public.concurrency);
	rate->public.jobs = act_document_int(document, at, "jobs", 1, MAX_CONCURRENCY, 0);
	day = act_document_member(at, "day");
	if (day != NULL)
	{
		act_document_check(document, day, day_members, NULL);
		act_document_need(document, day, "requests");
		rate->public.day_requests = act_document_int(document, day, "requests", 1, MAX_REQUESTS, 0);
	}
	compile_headers(document, at, rate);
}

/* What one header says, -1: nothing. */
static int64
header_wait(const HttpResponse *response, const char *name, HttpTimeForm form, int64 now_ms)
{
	const char *value = name == NULL ? NULL : act_http_header(response, name);

	return value == NULL ? -1 : act_http_time_wait(value, form, now_ms);
}

/*
 * Retry-After is about this very answer; the time of a reset is about the
 * window that the request fell into.
 */
RateReading
act_rate_read(const Connector *connector, const HttpResponse *response, int64 now_ms)
{
	const RateSection *rate = &connector->rate;
	const char *remaining = rate->remaining == NULL ? NULL : act_http_header(response, rate->remaining);
	RateReading reading = {
		.retry_after_ms = header_wait(response, rate->retry_after, HTTP_TIME_AUTO, now_ms),
		.reset_ms = header_wait(response, rate->reset, rate->reset_as, now_ms),
		.used_up = remaining != NULL && act_http_time_remaining(remaining) == 0
	};

	if (reading.reset_ms < 0)
		reading.reset_ms = rate->throttle_ms;
	return reading;
}
