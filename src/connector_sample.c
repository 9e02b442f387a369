/*-------------------------------------------------------------------------
 *
 * connector_sample.c
 *	  Made-up rows for a connector's document: what a sync could send.
 *
 * Fields, key columns, match fields and whatever else the templates name are
 * found in the document, so that its requests can be shown before there is a
 * destination or a model.  Called by check_connector() and by tests; needs
 * neither database nor network.  Throws only for want of memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_sample.h"
#include "json_text.h"

/* Names of one kind that are looked at; a document has a few. */
#define MAX_NAMES 50

#define EXTERNAL_ID "external_id_%d"

static bool
has_name(const List *names, const char *name)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

static List *
add_name(List *names, const char *name, size_t len)
{
	char	   *copy = pnstrdup(name, len);

	if (len == 0 || list_length(names) >= MAX_NAMES || has_name(names, copy))
		return names;
	return lappend(names, copy);
}

/* The names that follow a prefix in expressions of a text: row.fields.<name> */
static List *
find_in_text(List *names, const char *text, const char *prefix)
{
	size_t		len = strlen(prefix);

	for (const char *at = strstr(text, prefix); at != NULL; at = strstr(at + len, prefix))
	{
		if (at == text || strchr("{ ", at[-1]) != NULL)
			names = add_name(names, at + len, strcspn(at + len, ".|} "));
	}
	return names;
}

static List *
find_names(List *names, const cJSON *tree, const char *prefix)
{
	if (tree->string != NULL)
		names = find_in_text(names, tree->string, prefix);
	if (cJSON_IsString(tree))
		names = find_in_text(names, tree->valuestring, prefix);
	for (const cJSON *child = tree->child; child != NULL; child = child->next)
		names = find_names(names, child, prefix);
	return names;
}

/* Strings, and strings of arrays within. */
static List *
add_strings(List *names, const cJSON *array)
{
	for (const cJSON *at = cJSON_IsArray(array) ? array->child : NULL; at != NULL; at = at->next)
	{
		if (cJSON_IsString(at))
			names = add_name(names, at->valuestring, strlen(at->valuestring));
		else
			names = add_strings(names, at);
	}
	return names;
}

static const char *
text_of(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

/* A part that a filter takes for a number is one, any other its name. */
static void
append_part(StringInfo buf, const cJSON *document, char *name)
{
	List	   *filters = find_names(NIL, document, psprintf("object.%s|", name));

	appendStringInfoString(buf, has_name(filters, "int") || has_name(filters, "number") ? "1" : name);
}

char *
act_sample_object(const cJSON *document, const char *pattern)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (const char *at = pattern; *at != '\0'; at++)
	{
		size_t		len = *at == '{' ? strcspn(at, ".}") : 0;

		if (len < 2)
		{
			appendStringInfoChar(&buf, *at);
			continue;
		}
		append_part(&buf, document, pnstrdup(at + 1, len - 1));
		at += strcspn(at, "}");
		if (*at == '\0')
			break;
	}
	return buf.data;
}

/* ----------------------------------------------------------------
 *		Values
 * ----------------------------------------------------------------
 */

static bool
says(const char *name, const char *word)
{
	for (; *name != '\0'; name++)
	{
		if (pg_strncasecmp(name, word, strlen(word)) == 0)
			return true;
	}
	return false;
}

/* By what its name says, as a person would make it up. */
static char *
sample_text(const char *name, int row)
{
	static const char *const people[] = {"ada", "bob", "cyd", "dan"};
	const char *person = people[row % lengthof(people)];

	if (says(name, "email"))
		return psprintf("%s%d@example.com", person, row + 1);
	if (says(name, "phone"))
		return psprintf("+3312345%04d", row + 1);
	if (says(name, "gender") || pg_strcasecmp(name, "gen") == 0)
		return pstrdup("f");
	if (says(name, "country"))
		return pstrdup("FR");
	if (says(name, "url") || says(name, "website"))
		return psprintf("https://example.com/%d", row + 1);
	return psprintf("%s %d", name, row + 1);
}

static void
append_text(StringInfo buf, const char *text)
{
	act_json_append_string(buf, text, strlen(text));
}

/* field: of the object's "fields", or NULL */
static void
append_value(StringInfo buf, const char *name, const cJSON *field, int row)
{
	static const struct
	{
		const char *type;
		const char *json;
	}			values[] = {
		{"boolean", "true"}, {"date", "\"2026-11-23\""}, {"timestamp", "\"2026-11-23T07:30:00+00:00\""},
		{"array", "[\"a\", \"b\"]"}, {"object", "{\"a\": 1}"}, {"json", "{\"a\": [1, null]}"}
	};
	const cJSON *only = field == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(field, "values");
	const char *type = field == NULL ? NULL : text_of(field, "type");

	if (cJSON_IsArray(only) && cJSON_IsString(only->child))
	{
		append_text(buf, only->child->valuestring);
		return;
	}
	for (int i = 0; type != NULL && i < lengthof(values); i++)
	{
		if (strcmp(type, values[i].type) == 0)
		{
			appendStringInfoString(buf, values[i].json);
			return;
		}
	}
	if (type != NULL && strcmp(type, "integer") == 0)
		appendStringInfo(buf, "%d", row + 1);
	else if (type != NULL && strcmp(type, "number") == 0)
		appendStringInfo(buf, "%d.5", row + 1);
	else
		append_text(buf, sample_text(name, row));
}

static const cJSON *
find_field(const cJSON *entry, const char *name)
{
	const cJSON *fields = entry == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(entry, "fields");

	for (const cJSON *at = cJSON_IsArray(fields) ? fields->child : NULL; at != NULL; at = at->next)
	{
		const char *other = text_of(at, "field");

		if (other != NULL && strcmp(other, name) == 0)
			return at;
	}
	return NULL;
}

/* Names with made-up values: what came of answers that nobody gave. */
static List *
made_up(const List *names, bool are_json)
{
	List	   *values = NIL;
	ListCell   *cell;

	foreach(cell, names)
	{
		HttpHeader *value = palloc(sizeof(HttpHeader));

		value->name = lfirst(cell);
		value->value = are_json ? psprintf("\"%s\"", value->name) : pstrdup(value->name);
		values = lappend(values, value);
	}
	return values;
}

/* ----------------------------------------------------------------
 *		Fields, key and match
 * ----------------------------------------------------------------
 */

typedef struct SampleNames
{
	List	   *keys;			/* of char * */
	List	   *fields;
	List	   *match;
} SampleNames;

static List *
listed_fields(List *names, const cJSON *entry)
{
	const cJSON *fields = entry == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(entry, "fields");

	for (const cJSON *at = cJSON_IsArray(fields) ? fields->child : NULL; at != NULL; at = at->next)
	{
		const char *name = text_of(at, "field");
		const cJSON *writable = cJSON_GetObjectItemCaseSensitive(at, "writable");

		if (name != NULL && !cJSON_IsFalse(writable))
			names = add_name(names, name, strlen(name));
	}
	return names;
}

static List *
find_batch_fields(List *names, const cJSON *tree)
{
	const cJSON *batch = cJSON_GetObjectItemCaseSensitive(tree, "batch");
	const char *by = batch == NULL ? NULL : text_of(batch, "by");

	if (by != NULL)
		names = add_name(names, by, strlen(by));
	for (const cJSON *child = tree->child; child != NULL; child = child->next)
		names = find_batch_fields(names, child);
	return names;
}

/* What a record is found by: what the object says, else what its templates name. */
static List *
find_match(const cJSON *document, const cJSON *entry, List *fields)
{
	const cJSON *match = entry == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(entry, "match");
	const cJSON *preferred = match == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(match, "default");
	const cJSON *any = match == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(match, "fields");
	List	   *names = NIL;

	if (cJSON_IsString(preferred))
		return add_name(NIL, preferred->valuestring, strlen(preferred->valuestring));
	if (cJSON_IsArray(preferred))
		return add_strings(NIL, preferred);
	if (cJSON_IsArray(any) && cJSON_IsString(any->child))
		return add_name(NIL, any->child->valuestring, strlen(any->child->valuestring));
	if (cJSON_IsArray(any) && cJSON_IsArray(any->child))
		return add_strings(NIL, any->child);
	names = find_names(NIL, entry == NULL ? document : entry, "row.match.");
	return names != NIL || fields == NIL ? names : lappend(NIL, linitial(fields));
}

static SampleNames
find_all_names(const cJSON *document, const cJSON *entry)
{
	SampleNames names = {0};
	const cJSON *tree = entry == NULL ? document : entry;
	ListCell   *cell;

	names.keys = find_names(NIL, document, "row.key.");
	if (names.keys == NIL)
		names.keys = lappend(NIL, pstrdup("id"));
	names.fields = listed_fields(NIL, entry);
	names.fields = find_names(names.fields, tree, "row.fields.");
	if (entry != NULL)
		names.fields = add_strings(names.fields, cJSON_GetObjectItemCaseSensitive(entry, "key_fields"));
	names.fields = find_batch_fields(names.fields, tree);
	names.match = find_match(document, entry, names.fields);
	foreach(cell, names.match)
		names.fields = add_name(names.fields, lfirst(cell), strlen(lfirst(cell)));
	if (names.fields == NIL)
		names.fields = lappend(lappend(NIL, pstrdup("email")), pstrdup("name"));
	if (names.match == NIL)
		names.match = lappend(NIL, linitial(names.fields));
	return names;
}

static char **
as_array(const List *names)
{
	char	  **array = palloc0(sizeof(char *) * (list_length(names) + 1));
	ListCell   *cell;

	foreach(cell, names)
		array[foreach_current_index(cell)] = lfirst(cell);
	return array;
}

static char *
sample_object(const List *names, const cJSON *entry, bool are_keys, int row)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	foreach(cell, names)
	{
		if (foreach_current_index(cell) > 0)
			appendStringInfoString(&buf, ", ");
		append_text(&buf, lfirst(cell));
		appendStringInfoString(&buf, ": ");
		if (are_keys)
			appendStringInfo(&buf, "%d", row + 1);
		else
			append_value(&buf, lfirst(cell), find_field(entry, lfirst(cell)), row);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

static void
fill_scope(ConnectorSample *sample, const SampleNames *names, const cJSON *entry, const char *object)
{
	ConnectorScope *scope = &sample->scope;
	List	   *listed = listed_fields(NIL, entry);
	ListCell   *cell;

	scope->sync_name = "sample";
	scope->object = object;
	scope->run_id = 1;
	scope->nkeys = list_length(names->keys);
	scope->key_names = as_array(names->keys);
	scope->nmatch = list_length(names->match);
	scope->match_names = as_array(names->match);
	foreach(cell, names->match)
		scope->match = scope->match == NULL ? lfirst(cell) : psprintf("%s,%s", scope->match, (char *) lfirst(cell));
	if (listed != NIL)
		scope->listed_fields = (const char *const *) as_array(listed);
	foreach(cell, names->fields)
	{
		ScopeField *field = palloc0(sizeof(ScopeField));
		const cJSON *known = find_field(entry, lfirst(cell));

		field->name = lfirst(cell);
		field->type = known == NULL ? NULL : text_of(known, "type");
		field->is_match = has_name(names->match, field->name);
		scope->fields = lappend(scope->fields, field);
	}
	scope->object_parts = made_up(find_names(NIL, sample->document, "object."), false);
	scope->token = made_up(find_names(NIL, sample->document, "token."), false);
	scope->saved = made_up(find_names(NIL, sample->document, "saved."), false);
}

ConnectorSample *
act_sample_make(const cJSON *document, const cJSON *entry, const char *object, int nrows)
{
	ConnectorSample *sample = palloc0(sizeof(ConnectorSample));
	SampleNames names = find_all_names(document, entry);
	List	   *remembered = find_names(NIL, document, "row.remembered.");
	List	   *found = find_names(NIL, document, "row.found.");

	sample->document = document;
	fill_scope(sample, &names, entry, object);
	sample->nrows = nrows;
	sample->rows = palloc(sizeof(Row *) * Max(nrows, 1));
	for (int i = 0; i < nrows; i++)
	{
		Row		   *row = sample->rows[i] = palloc0(sizeof(Row));

		row->key = sample_object(names.keys, NULL, true, i);
		row->fields = sample_object(names.fields, entry, false, i);
		row->nkeys = list_length(names.keys);
		row->key_values = palloc(sizeof(char *) * row->nkeys);
		for (int key = 0; key < row->nkeys; key++)
			row->key_values[key] = psprintf("%d", i + 1);
		row->remembered = made_up(remembered, true);
		row->found = made_up(found, true);
	}
	return sample;
}

/* ----------------------------------------------------------------
 *		Rows of the caller
 * ----------------------------------------------------------------
 */

static char *
object_text(const cJSON *value)
{
	StringInfoData buf;

	initStringInfo(&buf);
	act_json_append(&buf, value, 0);
	return buf.data;
}

static char *
take_row(ConnectorSample *sample, Row *row, const cJSON *at, int number)
{
	static const char *const members[] = {"key", "fields", "external_id"};
	const cJSON *key = cJSON_GetObjectItemCaseSensitive(at, members[0]);
	const cJSON *fields = cJSON_GetObjectItemCaseSensitive(at, members[1]);
	const cJSON *external_id = cJSON_GetObjectItemCaseSensitive(at, members[2]);

	if (!cJSON_IsObject(at))
		return psprintf("row %d is not an object", number);
	for (const cJSON *member = at->child; member != NULL; member = member->next)
	{
		if (member != key && member != fields && member != external_id)
			return psprintf("row %d has a member \"%s\"", number, member->string);
	}
	if ((key != NULL && !cJSON_IsObject(key)) || (fields != NULL && !cJSON_IsObject(fields)))
		return psprintf("\"%s\" of row %d is not an object", key != NULL && !cJSON_IsObject(key) ? "key" : "fields", number);
	if (external_id != NULL && !cJSON_IsString(external_id))
		return psprintf("\"external_id\" of row %d is not a string", number);
	if (key != NULL)
	{
		int			nkeys = 0;

		row->key = object_text(key);
		row->nkeys = cJSON_GetArraySize(key);
		row->key_values = palloc0(sizeof(char *) * Max(row->nkeys, 1));
		for (const cJSON *member = key->child; member != NULL; member = member->next)
			row->key_values[nkeys++] = cJSON_IsString(member) ? pstrdup(member->valuestring) : object_text(member);
	}
	if (fields != NULL)
		row->fields = object_text(fields);
	row->external_id = external_id == NULL ? NULL : pstrdup(external_id->valuestring);
	return NULL;
}

/* The first field, where the rows have none that a match was made up of. */
static void
take_match(ConnectorScope *scope, const cJSON *fields)
{
	if (fields == NULL || fields->child == NULL)
		return;
	for (int i = 0; i < scope->nmatch; i++)
	{
		if (cJSON_GetObjectItemCaseSensitive(fields, scope->match_names[i]) != NULL)
			return;
	}
	scope->match_names = as_array(lappend(NIL, pstrdup(fields->child->string)));
	scope->match = scope->match_names[0];
	scope->nmatch = 1;
}

/* The names of the first row's key and fields are those of all. */
static void
take_names(ConnectorSample *sample, const cJSON *first)
{
	const cJSON *key = cJSON_GetObjectItemCaseSensitive(first, "key");
	const cJSON *fields = cJSON_GetObjectItemCaseSensitive(first, "fields");
	ConnectorScope *scope = &sample->scope;
	List	   *names = NIL;
	List	   *known = NIL;

	for (const cJSON *at = key == NULL ? NULL : key->child; at != NULL; at = at->next)
		names = lappend(names, pstrdup(at->string));
	if (names != NIL)
	{
		scope->nkeys = list_length(names);
		scope->key_names = as_array(names);
	}
	take_match(scope, fields);
	for (const cJSON *at = fields == NULL ? NULL : fields->child; at != NULL; at = at->next)
	{
		ScopeField *field = palloc0(sizeof(ScopeField));

		field->name = pstrdup(at->string);
		for (int i = 0; i < scope->nmatch; i++)
			field->is_match |= strcmp(scope->match_names[i], field->name) == 0;
		known = lappend(known, field);
	}
	if (known != NIL)
		scope->fields = known;
}

char *
act_sample_take_rows(ConnectorSample *sample, const cJSON *rows)
{
	int			count = cJSON_IsArray(rows) ? cJSON_GetArraySize(rows) : 0;
	const cJSON *at = count > 0 ? rows->child : NULL;

	if (count == 0 || count > ACT_SAMPLE_MAX_ROWS)
		return psprintf("they are no array of 1 to %d rows", ACT_SAMPLE_MAX_ROWS);
	if (cJSON_IsObject(at))
		take_names(sample, at);
	sample->rows = palloc(sizeof(Row *) * count);
	sample->nrows = count;
	sample->rows_given = true;
	for (int i = 0; i < count; i++, at = at->next)
	{
		char	   *problem;

		sample->rows[i] = palloc0(sizeof(Row));
		sample->rows[i]->key = psprintf("{\"id\": %d}", i + 1);
		problem = take_row(sample, sample->rows[i], at, i);
		if (problem != NULL)
			return problem;
	}
	return NULL;
}

/* ----------------------------------------------------------------
 *		What is asked for
 * ----------------------------------------------------------------
 */

/* A number, where a filter takes it for one. */
static char *
sample_external_id(const ConnectorSample *sample, int number)
{
	List	   *filters = find_names(NIL, sample->document, "row.external_id|");

	return psprintf(has_name(filters, "int") || has_name(filters, "number") ? "%d" : EXTERNAL_ID, number);
}

void
act_sample_ask(ConnectorSample *sample, RowOp op, int nrows, bool with_ids)
{
	for (int i = 0; i < nrows; i++)
	{
		Row		   *row = sample->rows[i];

		row->op = op;
		row->cause = act_row_op_removes(op) ? ROW_REMOVED : ROW_ADDED;
		if (!sample->rows_given)
			row->external_id = with_ids ? sample_external_id(sample, i + 1) : NULL;
		/* What a lookup would find is made up, too. */
		row->looked_up = with_ids || sample->rows_given;
		memset(row->change_id, i + 1, ACT_DIGEST_LEN);
		memset(row->fingerprint, i + 1, ACT_DIGEST_LEN);
		row->outcome = ROW_UNDECIDED;
		row->code = row->message = row->new_external_id = NULL;
		row->new_remembered = NIL;
	}
}

const char *
act_sample_option(const ConnectorSample *sample, const char *name)
{
	static const struct
	{
		const char *kind;
		const char *value;
	}			values[] = {
		{"url", "https://api.example.com"}, {"host", "api.example.com"}, {"label", "acme"},
		{"integer", "1"}, {"duration", "1 min"}, {"rate", "10/s"}, {"boolean", "on"}, {"json", "{}"}, {"file", "file"}
	};
	const cJSON *all = cJSON_GetObjectItemCaseSensitive(sample->document, "options");
	const cJSON *option = cJSON_GetObjectItemCaseSensitive(all, name);
	const char *value = option == NULL ? NULL : text_of(option, "default");
	const char *kind = option == NULL ? NULL : text_of(option, "kind");

	if (strcmp(name, "base_url") == 0 && value == NULL)
		return cJSON_GetObjectItemCaseSensitive(sample->document, "base_url") == NULL ? values[0].value : NULL;
	if (option == NULL || value != NULL)
		return value;
	for (int i = 0; kind != NULL && i < lengthof(values); i++)
	{
		if (strcmp(kind, values[i].kind) == 0)
			return values[i].value;
	}
	return name;
}
