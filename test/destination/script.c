/*
 * script.c
 *	  Reads scripts and finds the behaviour for a request, see script.h.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"

#define BOMB_BYTES (100L * 1024 * 1024)

static Behaviour *script;

/*
 * ---- a gzip body that grows ----
 */

static uint32_t
crc32_of_spaces(long n)
{
	uint32_t	table[256];
	uint32_t	crc = 0xFFFFFFFFu;

	for (uint32_t i = 0; i < 256; i++)
	{
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xEDB88320u : table[i] >> 1;
	}
	for (long i = 0; i < n; i++)
		crc = table[(crc ^ ' ') & 255] ^ crc >> 8;
	return ~crc;
}

typedef struct Bits
{
	Buf		   *out;
	uint64_t	pending;
	int			n;
} Bits;

static void
bits_add(Bits *bits, unsigned value, int n)
{
	bits->pending |= (uint64_t) value << bits->n;
	for (bits->n += n; bits->n >= 8; bits->n -= 8, bits->pending >>= 8)
		buf_add(bits->out, &(char) {(char) (bits->pending & 255)}, 1);
}

/*
 * n spaces (rounded up to a match) as gzip: fixed Huffman codes, one literal,
 * then matches of 258 bytes at distance 1, thirteen bits each.
 */
static void
gzip_bomb(Buf *out, long n)
{
	long		matches = (n + 256) / 258;
	uint32_t	crc = crc32_of_spaces(1 + matches * 258);
	uint32_t	size = (uint32_t) (1 + matches * 258);
	Bits		bits = {out, 0, 0};

	buf_add(out, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
	bits_add(&bits, 1, 1);		/* the last block */
	bits_add(&bits, 1, 2);		/* fixed codes */
	bits_add(&bits, 0x0A, 8);	/* literal 32: 01010000, first bit first */
	for (long i = 0; i < matches; i++)
	{
		bits_add(&bits, 0xA3, 8);	/* length 258: 11000101 */
		bits_add(&bits, 0, 5);	/* distance 1 */
	}
	bits_add(&bits, 0, 7);		/* end of block */
	bits_add(&bits, 0, 7);		/* to the next byte */
	for (int i = 0; i < 4; i++)
		buf_add(out, &(char) {(char) (crc >> 8 * i)}, 1);
	for (int i = 0; i < 4; i++)
		buf_add(out, &(char) {(char) (size >> 8 * i)}, 1);
}

/*
 * ---- reading a script ----
 */

static void
free_behaviour(Behaviour *behaviour)
{
	free(behaviour->path);
	free(behaviour->method);
	free(behaviour->contains);
	buf_free(&behaviour->headers);
	free(behaviour->body);
	buf_free(&behaviour->gzip);
	free(behaviour->refuse_if);
	for (int i = 0; i < behaviour->nrules; i++)
	{
		free(behaviour->rules[i].where);
		free(behaviour->rules[i].status);
		free(behaviour->rules[i].error);
	}
	free(behaviour->rules);
	free(behaviour);
}

void
script_release(Behaviour *behaviour)
{
	if (behaviour && --behaviour->refs == 0)
		free_behaviour(behaviour);
}

void
script_reset(void)
{
	while (script)
	{
		Behaviour  *next = script->next;

		script_release(script);
		script = next;
	}
}

static void
set_text(char **field, Span value)
{
	free(*field);
	*field = json_text(value);
}

/* The place of a word in a list; -1 and a complaint if it isn't there. */
static int
word_of(Span value, const char *const *words, char **problem)
{
	char	   *text = json_text(value);
	int			found = -1;

	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], text) == 0)
			found = i;
	if (found < 0 && asprintf(problem, "unknown value %s", text) < 0)
		abort();
	free(text);
	return found;
}

static void
add_headers(Behaviour *behaviour, Span headers)
{
	JsonIter	iter = json_iter(headers);
	Span		name;
	Span		value;

	while (json_next(&iter, &name, &value))
	{
		char	   *name_text = json_text(name);
		char	   *value_text = json_text(value);

		if (strcasecmp(name_text, "content-type") == 0)
			behaviour->content_type = true;
		buf_format(&behaviour->headers, "%s: %s\r\n", name_text, value_text);
		free(name_text);
		free(value_text);
	}
}

static void
add_location(Behaviour *behaviour, Span value)
{
	char	   *location = json_text(value);

	buf_format(&behaviour->headers, "Location: %s\r\n", location);
	free(location);
	if (behaviour->status == 0)
		behaviour->status = 302;
}

static void
add_rules(Behaviour *behaviour, Span rules)
{
	JsonIter	iter = json_iter(rules);
	Span		name;
	Span		rule;

	if (*rules.at == '{')
		iter = (JsonIter) {rules.at, rules.at + rules.len, false};
	while (json_next(&iter, &name, &rule))
	{
		RowRule    *own;

		behaviour->rules = realloc(behaviour->rules, (behaviour->nrules + 1) * sizeof(RowRule));
		if (behaviour->rules == NULL)
			abort();
		own = &behaviour->rules[behaviour->nrules++];
		own->where = json_text(json_get(rule, "where"));
		own->status = json_text(json_get(rule, "status"));
		own->error = json_text(json_get(rule, "error"));
		own->retry = json_long(json_get(rule, "retry"), -1);
	}
}

static void
read_match(Behaviour *behaviour, Span match, char **problem)
{
	JsonIter	iter = json_iter(match);
	Span		name;
	Span		value;

	while (*problem == NULL && json_next(&iter, &name, &value))
	{
		if (json_is(name, "path"))
			set_text(&behaviour->path, value);
		else if (json_is(name, "method"))
			set_text(&behaviour->method, value);
		else if (json_is(name, "contains"))
			set_text(&behaviour->contains, value);
		else if (json_is(name, "after"))
			behaviour->after = json_long(value, 0);
		else if (asprintf(problem, "unknown match %.*s", (int) name.len, name.at) < 0)
			abort();
	}
}

/* lint: long */
static void
read_member(Behaviour *behaviour, Span name, Span value, char **problem)
{
	static const char *const applies[] = {"default", "before", "after", "none", "late", NULL};
	static const char *const closes[] = {"no", "before", "after", "mid", "next", NULL};
	static const char *const results[] = {"right", "short", "long", "null", "unknown", "cut", "none", "html", NULL};

	if (json_is(name, "match"))
		read_match(behaviour, value, problem);
	else if (json_is(name, "times"))
		behaviour->times = json_long(value, 1);
	else if (json_is(name, "status"))
		behaviour->status = json_long(value, 0);
	else if (json_is(name, "headers"))
		add_headers(behaviour, value);
	else if (json_is(name, "body"))
		set_text(&behaviour->body, value);
	else if (json_is(name, "apply"))
		behaviour->apply = word_of(value, applies, problem);
	else if (json_is(name, "delay_ms"))
		behaviour->delay_ms = json_long(value, 0);
	else if (json_is(name, "hang"))
		behaviour->hang = json_true(value);
	else if (json_is(name, "close"))
		behaviour->close = word_of(value, closes, problem);
	else if (json_is(name, "reset"))
		behaviour->reset = json_true(value);
	else if (json_is(name, "content_length"))
		behaviour->content_length = json_long(value, -1);
	else if (json_is(name, "chunked_bad"))
		behaviour->chunked_bad = json_true(value);
	else if (json_is(name, "endless"))
		behaviour->endless = json_true(value);
	else if (json_is(name, "header_bytes"))
		behaviour->header_bytes = json_long(value, 0);
	else if (json_is(name, "gzip_bomb"))
		gzip_bomb(&behaviour->gzip, json_true(value) ? BOMB_BYTES : json_long(value, BOMB_BYTES));
	else if (json_is(name, "location"))
		add_location(behaviour, value);
	else if (json_is(name, "reject_rows"))
		add_rules(behaviour, value);
	else if (json_is(name, "refuse_batch_if"))
		set_text(&behaviour->refuse_if, value);
	else if (json_is(name, "results"))
		behaviour->results = word_of(value, results, problem);
	else if (asprintf(problem, "unknown behaviour %.*s", (int) name.len, name.at) < 0)
		abort();
}

static Behaviour *
read_behaviour(Span object, char **problem)
{
	Behaviour  *behaviour = xmalloc(sizeof(Behaviour));
	JsonIter	iter = json_iter(object);
	Span		name;
	Span		value;

	behaviour->times = 1;
	behaviour->content_length = -1;
	behaviour->refs = 1;
	while (*problem == NULL && json_next(&iter, &name, &value))
		read_member(behaviour, name, value, problem);
	if (behaviour->refuse_if && behaviour->status == 0)
		behaviour->status = 400;
	return behaviour;
}

char *
script_set(Span array, bool append)
{
	Behaviour **tail = &script;
	JsonIter	iter = json_iter(array);
	char	   *problem = NULL;
	Span		name;
	Span		element;

	if (array.at == NULL || *array.at != '[')
		return strdup("a script is a JSON array of objects");
	if (!append)
		script_reset();
	while (*tail)
		tail = &(*tail)->next;
	while (problem == NULL && json_next(&iter, &name, &element))
	{
		if (*element.at != '{')
			return strdup("a behaviour is a JSON object");
		*tail = read_behaviour(element, &problem);
		tail = &(*tail)->next;
	}
	return problem;
}

/*
 * ---- finding the behaviour ----
 */

/* A path, or the beginning of one when the pattern ends in an asterisk. */
static bool
path_matches(const char *pattern, const char *path)
{
	size_t		len = strlen(pattern);

	if (len > 0 && pattern[len - 1] == '*')
		return strncmp(pattern, path, len - 1) == 0;
	return strcmp(pattern, path) == 0;
}

static bool
body_contains(const Buf *body, const char *text)
{
	return body->len > 0 && memmem(body->at, body->len, text, strlen(text)) != NULL;
}

static bool
matches(const Behaviour *behaviour, const char *method, const char *path, const Buf *body)
{
	if (behaviour->path && !path_matches(behaviour->path, path))
		return false;
	if (behaviour->method && strcmp(behaviour->method, method) != 0)
		return false;
	if (behaviour->contains && !body_contains(body, behaviour->contains))
		return false;
	return behaviour->refuse_if == NULL || body_contains(body, behaviour->refuse_if);
}

Behaviour *
script_take(const char *method, const char *path, const Buf *body)
{
	for (Behaviour *behaviour = script; behaviour; behaviour = behaviour->next)
	{
		if (behaviour->times == 0)
			continue;
		if (body == NULL && (behaviour->contains || behaviour->refuse_if))
			return NULL;		/* cannot tell yet */
		if (!matches(behaviour, method, path, body))
			continue;
		if (body == NULL && (behaviour->close != CLOSE_BEFORE || behaviour->after > 0))
			return NULL;		/* wants the body first */
		if (behaviour->after > 0)
		{
			behaviour->after--;
			continue;
		}
		if (behaviour->times > 0)
			behaviour->times--;
		behaviour->refs++;
		return behaviour;
	}
	return NULL;
}

const RowRule *
script_row_rule(const Behaviour *behaviour, Span row)
{
	for (int i = 0; behaviour && i < behaviour->nrules; i++)
	{
		const RowRule *rule = &behaviour->rules[i];

		if (rule->where == NULL || memmem(row.at, row.len, rule->where, strlen(rule->where)))
			return rule;
	}
	return NULL;
}
