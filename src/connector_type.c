/*-------------------------------------------------------------------------
 *
 * connector_type.c
 *	  Section "types" of a document, compiled.
 *
 * Called by connector.c and connector_object.c while a document is compiled;
 * allocates in the current memory context, throws what document.h throws.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector_private.h"

static const char *const type_members[] = {
	"null", "boolean", "number", "integer", "date", "timestamp", "array", "object", "bytes", NULL
};

/* Each list in the order of its enum. */
static const char *const null_names[] = {"null", "empty", "omit", NULL};
StaticAssertDecl(lengthof(null_names) == NULL_FORM_TEXT + 1, "every form of null but a text has its name");

static const char *const boolean_names[] = {"json", "text", "integer", NULL};
StaticAssertDecl(lengthof(boolean_names) == BOOLEAN_FORM_GIVEN + 1, "every form of a boolean but given ones has its name");

static const char *const json_names[] = {"json", "text", NULL};
static const char *const bytes_names[] = {"hex", "base64", NULL};

static const char *const date_names[] = {"iso", "epoch", "epoch_ms", NULL};
static const TimeForm date_forms[] = {TIME_FORM_ISO, TIME_FORM_EPOCH, TIME_FORM_EPOCH_MS};
StaticAssertDecl(lengthof(date_names) == lengthof(date_forms) + 1, "every name of a date's form has its form");

static const char *const timestamp_names[] = {"iso", "iso_ms", "iso_utc", "epoch", "epoch_ms", NULL};
static const TimeForm timestamp_forms[] = {
	TIME_FORM_ISO, TIME_FORM_ISO_MS, TIME_FORM_ISO_UTC, TIME_FORM_EPOCH, TIME_FORM_EPOCH_MS
};
StaticAssertDecl(lengthof(timestamp_names) == lengthof(timestamp_forms) + 1, "every name of a timestamp's form has its form");

static const char *const field_types[] = {
	"text", "integer", "number", "boolean", "date", "timestamp", "array", "object", "json", NULL
};
StaticAssertDecl(lengthof(field_types) == FIELD_TYPE_COUNT, "every type of a field has its name");

const char *
act_field_type_name(FieldType type)
{
	return type == FIELD_UNKNOWN ? NULL : field_types[type - 1];
}

FieldType
act_field_type_compile(const Document *document, const cJSON *object, const char *name)
{
	return (FieldType) (act_document_choice(document, object, name, field_types, NULL, -1) + 1);
}

/* One of the names; or an object of texts with these members, all of them. false: it is a name. */
static bool
given_texts(const Document *document, const cJSON *object, const char *name, const char *const *members,
			const char **texts)
{
	const cJSON *at = act_document_member(object, name);

	if (!cJSON_IsObject(at))
		return false;
	act_document_check(document, at, members, NULL);
	for (int i = 0; members[i] != NULL; i++)
	{
		act_document_need(document, at, members[i]);
		texts[i] = act_document_string(document, at, members[i]);
	}
	return true;
}

NullForm
act_null_form_compile(const Document *document, const cJSON *object, NullForm fallback, const char **text)
{
	static const char *const members[] = {"text", NULL};
	const char *given;

	if (given_texts(document, object, "null", members, &given))
	{
		*text = given;
		return NULL_FORM_TEXT;
	}
	return (NullForm) act_document_choice(document, object, "null", null_names, NULL, fallback);
}

static void
compile_boolean(const Document *document, const cJSON *at, ValueForms *forms)
{
	static const char *const members[] = {"true", "false", NULL};
	const char *given[2];

	if (given_texts(document, at, "boolean", members, given))
	{
		forms->boolean = BOOLEAN_FORM_GIVEN;
		forms->true_text = given[0];
		forms->false_text = given[1];
		return;
	}
	forms->boolean = (BooleanForm) act_document_choice(document, at, "boolean", boolean_names, NULL, forms->boolean);
}

static void
compile_array(const Document *document, const cJSON *at, ValueForms *forms)
{
	static const char *const members[] = {"join", NULL};
	const char *given;

	if (given_texts(document, at, "array", members, &given))
	{
		forms->array = ARRAY_FORM_JOIN;
		forms->array_join = given;
		return;
	}
	forms->array = (ArrayForm) act_document_choice(document, at, "array", json_names, NULL, forms->array);
}

/* Which of the names; {"as": name, "in": JSON with "{{value}}" in it}: in there. */
static int
compile_time(const Document *document, const cJSON *at, const char *name, const char *const *names, const char **in)
{
	static const char *const members[] = {"as", "in", NULL};
	static const char slot[] = "\"{{value}}\"";
	const cJSON *form = act_document_member(at, name);
	const cJSON *around;
	StringInfoData text;
	char	   *found;

	if (!cJSON_IsObject(form))
	{
		if (form != NULL)
			in[0] = in[1] = NULL;
		return act_document_choice(document, at, name, names, NULL, -1);
	}
	act_document_check(document, form, members, NULL);
	(void) act_document_need(document, form, "as");
	around = act_document_need(document, form, "in");
	initStringInfo(&text);
	act_json_append(&text, around, ACT_JSON_MAX_BYTES);
	found = strstr(text.data, slot);
	if (found == NULL || strstr(found + 1, slot) != NULL || !cJSON_IsObject(around))
		act_document_error(document, around, "As in {\"__type\": \"Date\", \"iso\": \"{{value}}\"}.",
						   "an object with one \"{{value}}\" in it is expected");
	in[0] = pnstrdup(text.data, found - text.data);
	in[1] = pstrdup(found + sizeof(slot) - 1);
	return act_document_choice(document, form, "as", names, NULL, -1);
}

void
act_value_forms_compile(const Document *document, const cJSON *at, ValueForms *forms)
{
	int			choice;

	if (at == NULL)
		return;
	act_document_check(document, at, type_members, NULL);
	forms->null = act_null_form_compile(document, at, forms->null, &forms->null_text);
	compile_boolean(document, at, forms);
	compile_array(document, at, forms);
	forms->number = (JsonForm) act_document_choice(document, at, "number", json_names, NULL, forms->number);
	forms->integer = (JsonForm) act_document_choice(document, at, "integer", json_names, NULL, forms->integer);
	forms->object = (JsonForm) act_document_choice(document, at, "object", json_names, NULL, forms->object);
	choice = compile_time(document, at, "date", date_names, forms->date_in);
	if (choice >= 0)
		forms->date = date_forms[choice];
	choice = compile_time(document, at, "timestamp", timestamp_names, forms->timestamp_in);
	if (choice >= 0)
		forms->timestamp = timestamp_forms[choice];
	choice = act_document_choice(document, at, "bytes", bytes_names, NULL, -1);
	if (choice >= 0)
		forms->bytes = choice == 0 ? BYTES_FORM_HEX : BYTES_FORM_BASE64;
}
