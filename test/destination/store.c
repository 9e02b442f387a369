/*
 * store.c
 *	  Records and tokens in two hash tables, see store.h.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

#define BUCKETS (1 << 18)

typedef struct Token
{
	struct Token *next;
	char		text[];
} Token;

static Record *records[BUCKETS];
static Token *tokens[BUCKETS];
static long last_id;

static unsigned long
hash_text(unsigned long hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char) *text) * 1099511628211UL;
	return hash * 31 + 7;
}

static unsigned long
hash_record(const char *object, const char *key)
{
	return hash_text(hash_text(14695981039346656037UL, object), key);
}

static Record **
find_slot(const char *object, const char *key, unsigned long hash)
{
	Record	  **slot = &records[hash % BUCKETS];

	while (*slot && ((*slot)->hash != hash || strcmp((*slot)->key, key) != 0 || strcmp((*slot)->object, object) != 0))
		slot = &(*slot)->next;
	return slot;
}

Record *
store_find(const char *object, const char *key)
{
	return *find_slot(object, key, hash_record(object, key));
}

Record *
store_find_id(const char *object, const char *external_id)
{
	for (int i = 0; i < BUCKETS; i++)
		for (Record *record = records[i]; record; record = record->next)
			if (strcmp(record->external_id, external_id) == 0 && strcmp(record->object, object) == 0)
				return record;
	return NULL;
}

static void
free_record(Record *record)
{
	free(record->object);
	free(record->key);
	free(record->fields);
	free(record->external_id);
	free(record);
}

static Record *
add_record(Record **slot, const char *object, const char *key, unsigned long hash)
{
	Record	   *record = xmalloc(sizeof(Record));

	record->object = strdup(object);
	record->key = strdup(key);
	record->fields = strdup("{}");
	record->hash = hash;
	if (asprintf(&record->external_id, "r%ld", ++last_id) < 0)
		abort();
	*slot = record;
	return record;
}

static void
add_member(Buf *buf, Span name, Span value)
{
	buf_text(buf, buf->len > 1 ? "," : "");
	buf_span(buf, name);
	buf_text(buf, ":");
	json_canonical(buf, value);
}

static bool
has_member(Span object, Span name)
{
	char	   *text = json_text(name);
	bool		has = json_get(object, text).at != NULL;

	free(text);
	return has;
}

/* Members of the new fields replace those of the same name, the others stay. */
static void
merge_fields(Record *record, Span fields)
{
	Span		old = json_parse(record->fields, strlen(record->fields));
	Buf			merged = {0};
	JsonIter	iter = json_iter(old);
	Span		name;
	Span		value;

	buf_text(&merged, "{");
	while (json_next(&iter, &name, &value))
	{
		char	   *text = json_text(name);
		Span		replaced = json_get(fields, text);

		add_member(&merged, name, replaced.at ? replaced : value);
		free(text);
	}
	iter = json_iter(fields);
	while (json_next(&iter, &name, &value))
		if (!has_member(old, name))
			add_member(&merged, name, value);
	buf_text(&merged, "}");
	free(record->fields);
	record->fields = merged.at;
}

const char *
store_apply(const char *op, const char *object, const char *key, Span fields, Record **record)
{
	unsigned long hash = hash_record(object, key);
	Record	  **slot = find_slot(object, key, hash);

	*record = *slot;
	if (strcmp(op, "delete") == 0 || strcmp(op, "remove") == 0)
	{
		if (*slot == NULL)
			return "absent";
		*slot = (*record)->next;
		free_record(*record);
		*record = NULL;
		return NULL;
	}
	if (strcmp(op, "upsert") == 0 || strcmp(op, "insert") == 0 || strcmp(op, "add") == 0)
	{
		if (*slot == NULL)
			*record = add_record(slot, object, key, hash);
		(*record)->archived = false;
	}
	else if (strcmp(op, "update") != 0 && strcmp(op, "clear") != 0 && strcmp(op, "archive") != 0)
		return "unknown op";
	if (*record == NULL)
		return "absent";
	if (strcmp(op, "archive") == 0)
		(*record)->archived = true;
	else
		merge_fields(*record, fields);
	(*record)->writes++;
	return NULL;
}

/* All records of an object. */
void
store_forget(const char *object)
{
	for (int i = 0; i < BUCKETS; i++)
		for (Record **slot = &records[i]; *slot;)
		{
			Record	   *record = *slot;

			if (strcmp(record->object, object) != 0)
			{
				slot = &record->next;
				continue;
			}
			*slot = record->next;
			free_record(record);
		}
}

static Token **
token_slot(const char *text)
{
	Token	  **slot = &tokens[hash_text(14695981039346656037UL, text) % BUCKETS];

	while (*slot && strcmp((*slot)->text, text) != 0)
		slot = &(*slot)->next;
	return slot;
}

bool
store_token_known(const char *text)
{
	return *token_slot(text) != NULL;
}

bool
store_token_add(const char *text)
{
	Token	  **slot = token_slot(text);

	if (*slot != NULL)
		return false;
	*slot = xmalloc(sizeof(Token) + strlen(text) + 1);
	strcpy((*slot)->text, text);
	return true;
}

/* By object, then by key with its numbers in their order. */
static int
compare_records(const void *a, const void *b)
{
	const Record *x = *(Record *const *) a;
	const Record *y = *(Record *const *) b;
	int			order = strcmp(x->object, y->object);

	return order != 0 ? order : strverscmp(x->key, y->key);
}

Record **
store_list(const char *object, size_t *n)
{
	Record	  **list = NULL;
	size_t		cap = 0;

	*n = 0;
	for (int i = 0; i < BUCKETS; i++)
		for (Record *record = records[i]; record; record = record->next)
		{
			if (object && strcmp(record->object, object) != 0)
				continue;
			if (*n == cap)
				list = realloc(list, (cap = cap * 2 + 16) * sizeof(Record *));
			if (list == NULL)
				abort();
			list[(*n)++] = record;
		}
	if (*n > 0)
		qsort(list, *n, sizeof(Record *), compare_records);
	return list;
}

void
store_reset(void)
{
	for (int i = 0; i < BUCKETS; i++)
	{
		while (records[i])
		{
			Record	   *record = records[i];

			records[i] = record->next;
			free_record(record);
		}
		while (tokens[i])
		{
			Token	   *token = tokens[i];

			tokens[i] = token->next;
			free(token);
		}
	}
	last_id = 0;
}
