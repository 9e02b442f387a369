/*-------------------------------------------------------------------------
 *
 * document.c
 *	  Reading a connector's document: members, types, and errors that name
 *	  the JSON pointer of what is wrong.
 *
 * Called while a document is compiled, inside or outside a transaction.
 * Everything may throw, so the caller holds the tree in a PG_TRY.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "document.h"
#include "nearest.h"

static const cJSON *typed_member(const Document *document, const cJSON *object, const char *name,
								 bool (*is_type) (const cJSON *), const char *type);

/* vasprintf, in the current memory context */
#define FORMAT_WHAT(buf, what) \
	do { \
		for (;;) \
		{ \
			va_list		args; \
			int			needed; \
			va_start(args, what); \
			needed = appendStringInfoVA(buf, what, args); \
			va_end(args); \
			if (needed == 0) \
				break; \
			enlargeStringInfo(buf, needed); \
		} \
	} while (0)

const char *
act_document_pointer_to(const Document *document, const cJSON *at)
{
	StringInfoData buf;

	initStringInfo(&buf);
	act_json_pointer_append(&buf, document->root, at);
	return buf.data;
}

/* The pointer as messages show it; "" is hard to see. */
static const char *
pointer_in_words(const Document *document, const cJSON *at)
{
	const char *pointer = act_document_pointer_to(document, at);

	return *pointer == '\0' ? "the top level" : pointer;
}

/* For who shows it in columns of its own. */
static void
note_problem(const Document *document, const cJSON *at, const char *what)
{
	if (document->problem == NULL)
		return;
	document->problem->pointer = pstrdup(act_document_pointer_to(document, at));
	document->problem->what = pstrdup(what);
}

void
act_document_error(const Document *document, const cJSON *at, const char *hint,
				   const char *what,...)
{
	StringInfoData buf;

	initStringInfo(&buf);
	FORMAT_WHAT(&buf, what);
	note_problem(document, at, buf.data);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("connector \"%s\": %s at %s", document->connector, buf.data,
					pointer_in_words(document, at)),
			 hint == NULL ? 0 : errhint("%s", hint)));
	pg_unreachable();
}

void
act_document_unsupported(const Document *document, const cJSON *at, const char *what,...)
{
	StringInfoData buf;

	initStringInfo(&buf);
	FORMAT_WHAT(&buf, what);
	note_problem(document, at, psprintf("%s is not supported yet", buf.data));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("connector \"%s\": %s at %s is not supported yet", document->connector,
					buf.data, pointer_in_words(document, at))));
	pg_unreachable();
}

void
act_document_unknown(const Document *document, const cJSON *at, const char *kind,
					 const char *name, const char *const *known)
{
	const char *nearest = act_nearest_name(name, known);
	StringInfoData hint;

	initStringInfo(&hint);
	if (nearest != NULL)
		appendStringInfo(&hint, "Perhaps you mean \"%s\".", nearest);
	else
	{
		appendStringInfoString(&hint, *known == NULL ? "There is none." : "Known here: ");
		for (int i = 0; known[i] != NULL; i++)
			appendStringInfo(&hint, "%s%s%s", i == 0 ? "" : ", ", known[i],
							 known[i + 1] == NULL ? "." : "");
	}
	act_document_error(document, at, hint.data, "unknown %s \"%s\"", kind, name);
}

static bool
contains(const char *const *names, const char *name)
{
	for (; names != NULL && *names != NULL; names++)
	{
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

void
act_document_check(const Document *document, const cJSON *at,
				   const char *const *known, const char *const *later)
{
	if (!cJSON_IsObject(at))
		act_document_error(document, at, at == document->root ? "A document is {\"title\": ..., \"operations\": {...}}." : NULL,
						   "an object is expected");
	for (const cJSON *child = at->child; child != NULL; child = child->next)
	{
		if (contains(later, child->string))
			act_document_unsupported(document, child, "\"%s\"", child->string);
		if (!contains(known, child->string))
			act_document_unknown(document, child, "member", child->string, known);
		if (cJSON_GetObjectItemCaseSensitive(at, child->string) != child)
			act_document_error(document, child, NULL, "member \"%s\" given twice", child->string);
	}
}

const cJSON *
act_document_member(const cJSON *object, const char *name)
{
	/* Members are looked for among all others: large documents take long. */
	CHECK_FOR_INTERRUPTS();
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

const cJSON *
act_document_need(const Document *document, const cJSON *object, const char *name)
{
	const cJSON *member = act_document_member(object, name);

	if (member == NULL)
		act_document_error(document, object, NULL, "member \"%s\" is missing", name);
	return member;
}

static bool
is_string(const cJSON *value)
{
	return cJSON_IsString(value);
}

static bool
is_array(const cJSON *value)
{
	return cJSON_IsArray(value);
}

static bool
is_bool(const cJSON *value)
{
	return cJSON_IsBool(value);
}

static bool
is_number(const cJSON *value)
{
	return cJSON_IsNumber(value);
}

static const cJSON *
typed_member(const Document *document, const cJSON *object, const char *name,
			 bool (*is_type) (const cJSON *), const char *type)
{
	const cJSON *member = act_document_member(object, name);

	if (member != NULL && !is_type(member))
		act_document_error(document, member, NULL, "%s is expected", type);
	return member;
}

const cJSON *
act_document_array(const Document *document, const cJSON *object, const char *name)
{
	return typed_member(document, object, name, is_array, "an array");
}

char *
act_document_string(const Document *document, const cJSON *object, const char *name)
{
	const cJSON *member = typed_member(document, object, name, is_string, "a string");

	return member == NULL ? NULL : pstrdup(member->valuestring);
}

JsonPointer *
act_document_pointer(const Document *document, const cJSON *object, const char *name)
{
	const cJSON *member = typed_member(document, object, name, is_string, "a JSON pointer");
	JsonPointer *pointer;

	if (member == NULL)
		return NULL;
	pointer = act_json_pointer_compile(member->valuestring);
	if (pointer == NULL)
		act_document_error(document, member,
						   "A JSON pointer is empty or begins with \"/\"; ~0 stands for \"~\", ~1 for \"/\".",
						   "malformed JSON pointer \"%s\"", member->valuestring);
	return pointer;
}

bool
act_document_bool(const Document *document, const cJSON *object, const char *name, bool fallback)
{
	const cJSON *member = typed_member(document, object, name, is_bool, "true or false");

	return member == NULL ? fallback : cJSON_IsTrue(member);
}

int
act_document_int(const Document *document, const cJSON *object, const char *name,
				 int min, int max, int fallback)
{
	const cJSON *member = typed_member(document, object, name, is_number, "an integer");

	if (member == NULL)
		return fallback;
	if (member->valuedouble < min || member->valuedouble > max ||
		member->valuedouble != (int) member->valuedouble)
		act_document_error(document, member, NULL, "an integer from %d to %d is expected", min, max);
	return (int) member->valuedouble;
}

int
act_document_choice(const Document *document, const cJSON *object, const char *name,
					const char *const *names, const char *const *later, int fallback)
{
	const cJSON *member = typed_member(document, object, name, is_string, "a string");

	if (member == NULL)
		return fallback;
	for (int i = 0; names[i] != NULL; i++)
	{
		if (strcmp(names[i], member->valuestring) == 0)
			return i;
	}
	if (contains(later, member->valuestring))
		act_document_unsupported(document, member, "%s \"%s\"", name, member->valuestring);
	act_document_unknown(document, member, name, member->valuestring, names);
}
