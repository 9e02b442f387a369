/*-------------------------------------------------------------------------
 *
 * connector_identity.c
 *	  Whose record is it?  By what rows are known in answers.
 *
 * Compiled with a document, then used by lookups (connector_lookup.c) and by
 * results (connector_results.c).  What a row is known by is one text, its
 * parts after each other with their lengths, so that no two are alike by
 * accident; rows are sorted by it once, and each item searches there.  Needs
 * neither database nor transaction; allocates in the current memory context;
 * throws what document.h throws, and only while a document is compiled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_identity.h"
#include "json_equal.h"
#include "json_text.h"

/* A token of a pointer that stands for the name of the match field. */
static const char match_token[] = "{{sync.match}}";

struct KnownRows
{
	const Identity *identity;
	const ConnectorScope *scope;
	bool	   *numeric;		/* which parts are numbers of ours */
	int			count;
	char	  **texts;			/* sorted */
	int		   *rows;			/* whose they are */
};

/* By what a row is known, and which it is. */
typedef struct KnownRow
{
	char	   *text;
	int			row;
} KnownRow;

void
act_identity_compile(const Document *document, const cJSON *member, Identity *identity)
{
	const cJSON *first = cJSON_IsArray(member) ? member->child : member;

	identity->npointers = 0;
	identity->pointers = palloc0(sizeof(JsonPointer *) * Max(1, cJSON_GetArraySize(member)));
	for (const cJSON *at = first; at != NULL; at = cJSON_IsArray(member) ? at->next : NULL)
	{
		const JsonPointer *pointer = cJSON_IsString(at) ? act_json_pointer_compile(at->valuestring) : NULL;

		if (pointer == NULL)
			act_document_error(document, at, NULL, "a JSON pointer is expected");
		identity->pointers[identity->npointers++] = pointer;
	}
	if (identity->npointers == 0)
		act_document_error(document, member, NULL, "an empty list");
}

/* One pointer that names the match field serves for any number of them. */
static bool
names_match(const JsonPointer *pointer)
{
	for (int i = 0; i < pointer->ntokens; i++)
	{
		if (strcmp(pointer->tokens[i], match_token) == 0)
			return true;
	}
	return false;
}

bool
act_identity_serves(const Identity *identity, int nmatch)
{
	return identity->npointers == nmatch || (identity->npointers == 1 && names_match(identity->pointers[0]));
}

/* ----------------------------------------------------------------
 *		Rows
 * ----------------------------------------------------------------
 */

static bool
is_by_key(const Identity *identity, const ConnectorScope *scope)
{
	return identity->kind == IDENTITY_KEY || (identity->kind == IDENTITY_MATCH && scope->nmatch == 0);
}

static int
count_parts(const Identity *identity, const ConnectorScope *scope)
{
	return identity->kind == IDENTITY_EXTERNAL_ID ? 1 : is_by_key(identity, scope) ? scope->nkeys : scope->nmatch;
}

/* A part of what a row is known by; numeric: compared as a number. */
static bool
append_part(StringInfo buf, const Identity *identity, const char *text, bool numeric)
{
	StringInfoData from;
	StringInfoData to;
	bool		fits = true;

	initStringInfo(&from);
	if (!numeric || !act_json_append_number(&from, text))
		appendStringInfoString(&from, text);
	for (int i = 0; fits && identity->compare != NULL && identity->compare[i] != NULL; i++)
	{
		initStringInfo(&to);
		fits = identity->compare[i]->apply(NULL, &from, &to);
		pfree(from.data);
		from = to;
	}
	fits = fits && from.len > 0;
	if (fits)
		appendStringInfo(buf, "%d:%s", from.len, from.data);
	pfree(from.data);
	return fits;
}

static bool
is_number(const char *literal)
{
	return *literal == '-' || (*literal >= '0' && *literal <= '9');
}

/* numeric (or NULL): which parts are numbers. */
static char *
row_text(const Identity *identity, const ConnectorScope *scope, const Row *row, bool *numeric)
{
	bool		by_key = is_by_key(identity, scope);
	const char *object = by_key ? row->key : row->fields;
	char	  **names = by_key ? scope->key_names : scope->match_names;
	StringInfoData buf;
	StringInfoData text;

	if (identity->kind == IDENTITY_EXTERNAL_ID)
	{
		initStringInfo(&buf);
		return row->external_id != NULL && append_part(&buf, identity, row->external_id, false) ? buf.data : NULL;
	}
	if (object == NULL)
		return NULL;
	initStringInfo(&buf);
	initStringInfo(&text);
	for (int i = 0; i < count_parts(identity, scope); i++)
	{
		const char *value;
		size_t		len;

		if (!act_json_find_member(object, strlen(object), names[i], &value, &len) || len == 0 ||
			strchr("{[n", *value) != NULL)
			return NULL;
		resetStringInfo(&text);
		if (*value == '"')
			act_json_append_unescaped(&text, value, len);
		else
			appendBinaryStringInfo(&text, value, len);
		if (numeric != NULL)
			numeric[i] = numeric[i] || is_number(value);
		if (!append_part(&buf, identity, text.data, is_number(value)))
			return NULL;
	}
	pfree(text.data);
	return buf.len > 0 ? buf.data : NULL;
}

char *
act_identity_of_row(const Identity *identity, const ConnectorScope *scope, const Row *row)
{
	return row_text(identity, scope, row, NULL);
}

static int
compare_known(const void *a, const void *b)
{
	const KnownRow *one = a;
	const KnownRow *other = b;
	int			order = strcmp(one->text, other->text);

	return order != 0 ? order : one->row - other->row;
}

KnownRows *
act_known_rows(const Identity *identity, const ConnectorScope *scope, Row **rows, int nrows)
{
	KnownRows  *known = palloc0(sizeof(KnownRows));
	KnownRow   *sorted = palloc(sizeof(KnownRow) * Max(1, nrows));

	known->identity = identity;
	known->scope = scope;
	known->numeric = palloc0(sizeof(bool) * Max(1, count_parts(identity, scope)));
	for (int i = 0; i < nrows; i++)
	{
		sorted[known->count].text = row_text(identity, scope, rows[i], known->numeric);
		sorted[known->count].row = i;
		known->count += sorted[known->count].text != NULL;
	}
	qsort(sorted, known->count, sizeof(KnownRow), compare_known);
	known->texts = palloc(sizeof(char *) * Max(1, known->count));
	known->rows = palloc(sizeof(int) * Max(1, known->count));
	for (int i = 0; i < known->count; i++)
	{
		known->texts[i] = sorted[i].text;
		known->rows[i] = sorted[i].row;
	}
	pfree(sorted);
	return known;
}

/* ----------------------------------------------------------------
 *		Items
 * ----------------------------------------------------------------
 */

static const cJSON *
item_part(const Identity *identity, const ConnectorScope *scope, const cJSON *item, int part)
{
	const JsonPointer *pointer = identity->npointers == 0 ? NULL :
		identity->pointers[Min(part, identity->npointers - 1)];
	JsonPointer named;
	const cJSON *value;

	if (pointer == NULL)
		value = item;
	else if (scope->nmatch == 0 || !names_match(pointer))
		value = act_json_pointer_resolve(pointer, item);
	else
	{
		named = *pointer;
		named.tokens = palloc(sizeof(char *) * pointer->ntokens);
		for (int i = 0; i < pointer->ntokens; i++)
			named.tokens[i] = strcmp(pointer->tokens[i], match_token) == 0 ?
				scope->match_names[Min(part, scope->nmatch - 1)] : pointer->tokens[i];
		value = act_json_pointer_resolve(&named, item);
		pfree(named.tokens);
	}
	if (is_by_key(identity, scope) && identity->npointers <= 1)
		return cJSON_IsObject(value) ? cJSON_GetObjectItemCaseSensitive(value, scope->key_names[part]) :
			scope->nkeys == 1 ? value : NULL;
	return value;
}

const cJSON *
act_identity_value(const Identity *identity, const ConnectorScope *scope, const cJSON *item)
{
	return identity->npointers == 1 && count_parts(identity, scope) == 1 ?
		item_part(identity, scope, item, 0) : NULL;
}

static bool
append_value(StringInfo buf, const KnownRows *known, const cJSON *value, int part)
{
	char	   *text = value == NULL ? NULL : act_json_scalar_text(value);
	bool		fits;

	if (text == NULL && cJSON_IsBool(value))
		text = pstrdup(cJSON_IsTrue(value) ? "true" : "false");
	if (text == NULL)
		return false;
	fits = append_part(buf, known->identity, text, known->numeric[part]);
	pfree(text);
	return fits;
}

/* The first of them in sorted order, and how many there are. */
static int
find_text(const KnownRows *known, const char *text, const int **rows)
{
	int			low = 0;
	int			high = known->count;
	int			end;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (strcmp(known->texts[middle], text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < known->count && strcmp(known->texts[end], text) == 0; end++)
		;
	*rows = known->rows + low;
	return end - low;
}

int
act_known_rows_find(const KnownRows *known, const cJSON *item, const int **rows)
{
	int			nparts = count_parts(known->identity, known->scope);
	bool		whole = nparts > 0;
	StringInfoData buf;
	int			count;

	initStringInfo(&buf);
	for (int i = 0; whole && i < nparts; i++)
		whole = append_value(&buf, known, item_part(known->identity, known->scope, item, i), i);
	count = whole ? find_text(known, buf.data, rows) : 0;
	pfree(buf.data);
	return count;
}

int
act_known_rows_find_value(const KnownRows *known, const cJSON *value, const int **rows)
{
	StringInfoData buf;
	int			count;

	if (count_parts(known->identity, known->scope) != 1)
		return 0;
	initStringInfo(&buf);
	count = append_value(&buf, known, value, 0) ? find_text(known, buf.data, rows) : 0;
	pfree(buf.data);
	return count;
}
