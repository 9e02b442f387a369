/*-------------------------------------------------------------------------
 *
 * connector_discover.c
 *	  What a destination tells of its objects and of their fields.
 *
 * Section "discover" of a document, compiled; requests for its pages; and
 * what an answer tells.  An answer is hostile bytes: names and texts are cut
 * to bounded lengths, lists to a bounded number, and the next page is asked
 * for at the destination itself or not at all.  Touches neither database nor
 * network; allocates in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "connector_discover.h"
#include "connector_path.h"
#include "connector_private.h"
#include "json_text.h"
#include "url.h"

#define MAX_ITEMS 20000			/* of one answer */
#define MAX_NAME 500			/* a longer one is nobody's to map */
#define MAX_TITLE 500
#define MAX_VALUES 1000
#define MAX_VALUE 500
#define MAX_DOCUMENT (64 * 1024)
#define MAX_NEXT 8000

/* In place of a pointer: the name of the member that the item is. */
#define MEMBER_NAME "$key"

static const char *const section_members[] = {"objects", "fields", NULL};
static const char *const object_members[] = {
	"request", "items", "next", "cursor", "object", "as", "title", "kind", NULL
};
static const char *const field_members[] = {
	"request", "items", "next", "cursor", "field", "title", "type", "types", "required", "writable",
	"unique", "values", NULL
};
static const char *const flag_members[] = {"at", "in", "contains", "not", "names", "any", "all", NULL};

/* What a field can be; doc/connectors.md. */
static const char *const type_names[] = {
	"text", "integer", "number", "boolean", "date", "timestamp", "array", "object", "json", NULL
};

/* Whether something holds of a field. */
typedef struct Flag
{
	const Path *at;				/* in the item; NULL: it is one of the others */
	int			nvalues;		/* 0, and no contains: it is true there */
	TestValue  *values;
	const char *contains;
	const Path *names;			/* in the answer: an array that has the item's name */
	bool		all;			/* of parts, all hold; else one does */
	int			nparts;
	struct Flag *parts;
	bool		not;
} Flag;

typedef struct TypeName
{
	const char *theirs;
	const char *ours;
} TypeName;

/* One list that can be asked for. */
struct Discovery
{
	const RequestTemplate *request;
	const Path *items;
	const Path *next;			/* NULL: there is one page */
	const char *cursor;			/* parameter of the query that takes what next says; NULL: next says addresses */
	const Path *name;			/* NULL: the member's own */
	const char *before;			/* what makes an object of its name: "as" */
	const char *after;
	const Path *title;
	const Path *kind;
	int			ntypes;			/* where the type may stand */
	const Path **types;
	int			ntype_names;
	TypeName   *type_names;
	const Flag *required;
	const Flag *writable;
	const Flag *unique;
	const Path *values;
};

/* ----------------------------------------------------------------
 *		The document
 * ----------------------------------------------------------------
 */

static void compile_flag(const Document *document, const cJSON *at, Flag *flag, int depth);

static void
compile_parts(const Document *document, const cJSON *at, const char *name, Flag *flag, int depth)
{
	const cJSON *parts = act_document_array(document, at, name);

	if (parts == NULL)
		return;
	if (parts->child == NULL || depth > 0)
		act_document_error(document, parts, NULL, depth > 0 ? "one list within another" : "an empty list");
	flag->all = strcmp(name, "all") == 0;
	flag->parts = palloc0(sizeof(Flag) * cJSON_GetArraySize(parts));
	for (const cJSON *part = parts->child; part != NULL; part = part->next)
		compile_flag(document, part, &flag->parts[flag->nparts++], depth + 1);
}

static void
compile_values(const Document *document, const cJSON *at, Flag *flag)
{
	const cJSON *values = act_document_array(document, at, "in");

	if (values == NULL)
		return;
	if (values->child == NULL)
		act_document_error(document, values, NULL, "an empty list");
	flag->values = palloc0(sizeof(TestValue) * cJSON_GetArraySize(values));
	for (const cJSON *value = values->child; value != NULL; value = value->next)
	{
		if (cJSON_IsObject(value) || cJSON_IsArray(value))
			act_document_error(document, value, NULL, "a string, number, true, false or null is expected");
		flag->values[flag->nvalues++] = (TestValue)
		{
			.type = value->type & 0xFF,.text = act_json_scalar_text(value)
		};
	}
}

static void
compile_flag(const Document *document, const cJSON *at, Flag *flag, int depth)
{
	int			kinds;

	if (cJSON_IsString(at))
	{
		flag->at = act_path_compile(document, at);
		return;
	}
	act_document_check(document, at, flag_members, NULL);
	flag->at = act_path_compile_member(document, at, "at");
	flag->names = act_path_compile_member(document, at, "names");
	compile_parts(document, at, "any", flag, depth);
	kinds = (flag->at != NULL) + (flag->names != NULL) + (flag->nparts > 0);
	compile_parts(document, at, "all", flag, depth);
	if (act_document_member(at, "all") != NULL)
		kinds++;
	if (kinds != 1)
		act_document_error(document, at, NULL, "one of \"at\", \"names\", \"any\" and \"all\" is expected");
	compile_values(document, at, flag);
	flag->contains = act_document_string(document, at, "contains");
	if (flag->at == NULL && (flag->nvalues > 0 || flag->contains != NULL))
		act_document_error(document, at, NULL, "\"in\" or \"contains\" without \"at\"");
	flag->not = act_document_bool(document, at, "not", false);
}

static const Flag *
compile_flag_member(const Document *document, const cJSON *object, const char *name)
{
	const cJSON *member = act_document_member(object, name);
	Flag	   *flag;

	if (member == NULL)
		return NULL;
	flag = palloc0(sizeof(Flag));
	compile_flag(document, member, flag, 0);
	return flag;
}

/* "type": a pointer, or an array of them; "types": {theirs: ours} */
static void
compile_types(const Document *document, const cJSON *at, struct Discovery *discovery)
{
	const cJSON *type = act_document_member(at, "type");
	const cJSON *names = act_document_member(at, "types");

	if (type != NULL)
	{
		const cJSON *first = cJSON_IsArray(type) ? type->child : type;

		discovery->types = palloc0(sizeof(Path *) * Max(1, cJSON_GetArraySize(type)));
		for (const cJSON *one = first; one != NULL; one = cJSON_IsArray(type) ? one->next : NULL)
			discovery->types[discovery->ntypes++] = act_path_compile(document, one);
	}
	if (names == NULL)
		return;
	if (!cJSON_IsObject(names))
		act_document_error(document, names, NULL, "an object is expected");
	discovery->type_names = palloc0(sizeof(TypeName) * Max(1, cJSON_GetArraySize(names)));
	for (const cJSON *one = names->child; one != NULL; one = one->next)
	{
		TypeName   *name = &discovery->type_names[discovery->ntype_names++];

		if (!cJSON_IsString(one))
			act_document_error(document, one, NULL, "a string is expected");
		name->theirs = pstrdup(one->string);
		for (int i = 0; type_names[i] != NULL; i++)
		{
			if (strcmp(type_names[i], one->valuestring) == 0)
				name->ours = type_names[i];
		}
		if (name->ours == NULL)
			act_document_unknown(document, one, "type", one->valuestring, type_names);
	}
}

/* "as": "lists/{list}/members" */
static void
compile_as(const Document *document, const cJSON *at, struct Discovery *discovery)
{
	char	   *as = act_document_string(document, at, "as");
	char	   *open = as == NULL ? NULL : strchr(as, '{');
	char	   *close = open == NULL ? NULL : strchr(open, '}');

	if (as == NULL)
		return;
	if (close == NULL || strchr(close, '{') != NULL)
		act_document_error(document, act_document_member(at, "as"), "As \"lists/{list}/members\".",
						   "an object with one {name} in it is expected");
	*open = '\0';
	discovery->before = as;
	discovery->after = close + 1;
}

static const Path *
compile_name(const Document *document, const cJSON *at, const char *name)
{
	const cJSON *member = act_document_need(document, at, name);

	if (cJSON_IsString(member) && strcmp(member->valuestring, MEMBER_NAME) == 0)
		return NULL;
	return act_path_compile(document, member);
}

static void
compile_discovery(const Document *document, const cJSON *at, bool fields, struct Discovery *discovery)
{
	act_document_check(document, at, fields ? field_members : object_members, NULL);
	discovery->request = act_connector_compile_request(document, act_document_need(document, at, "request"), 0);
	act_document_need(document, at, "items");
	discovery->items = act_path_compile_member(document, at, "items");
	discovery->next = act_path_compile_member(document, at, "next");
	discovery->cursor = act_document_string(document, at, "cursor");
	if (discovery->cursor != NULL && (discovery->next == NULL || *discovery->cursor == '\0'))
		act_document_error(document, act_document_member(at, "cursor"),
						   "It is the parameter of the query that takes what \"next\" says.",
						   "\"cursor\" without \"next\"");
	discovery->name = compile_name(document, at, fields ? "field" : "object");
	discovery->title = act_path_compile_member(document, at, "title");
	if (!fields)
	{
		compile_as(document, at, discovery);
		discovery->kind = act_path_compile_member(document, at, "kind");
		return;
	}
	compile_types(document, at, discovery);
	discovery->required = compile_flag_member(document, at, "required");
	discovery->writable = compile_flag_member(document, at, "writable");
	discovery->unique = compile_flag_member(document, at, "unique");
	discovery->values = act_path_compile_member(document, at, "values");
}

/*
 * {"objects": one or an array of them, "fields": one}; at an object "fields"
 * alone, in place of the document's; {} is none.
 */
void
act_discover_compile(const Document *document, const cJSON *at, bool of_object, Connector *connector)
{
	const cJSON *objects;
	const cJSON *fields;

	if (at == NULL)
		return;
	act_document_check(document, at, of_object ? section_members + 1 : section_members, NULL);
	if (of_object)
		connector->field_list = NULL;
	objects = act_document_member(at, "objects");
	if (objects != NULL)
	{
		const cJSON *first = cJSON_IsArray(objects) ? objects->child : objects;

		connector->object_lists = palloc0(sizeof(struct Discovery) * Max(1, cJSON_GetArraySize(objects)));
		for (const cJSON *one = first; one != NULL; one = cJSON_IsArray(objects) ? one->next : NULL)
			compile_discovery(document, one, false, &connector->object_lists[connector->nobject_lists++]);
	}
	fields = act_document_member(at, "fields");
	if (fields != NULL)
	{
		struct Discovery *list = palloc0(sizeof(struct Discovery));

		compile_discovery(document, fields, true, list);
		connector->field_list = list;
	}
}

int
act_connector_discover_count(const Connector *connector)
{
	return connector->nobject_lists;
}

bool
act_connector_discovers_fields(const Connector *connector)
{
	return connector->field_list != NULL;
}

static const struct Discovery *
discovery_of(const Connector *connector, int number)
{
	return number == DISCOVER_FIELDS ? connector->field_list : &connector->object_lists[number];
}

/* ----------------------------------------------------------------
 *		Requests
 * ----------------------------------------------------------------
 */

static void
refuse_next(const Connector *connector, const char *next, const char *why)
{
	bool		unreadable = false;

	/* A stranger's words, in whatever signs. */
	for (const char *c = next; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f)
			unreadable = true;
	}
	if (unreadable)
		next = "...";
	if (connector->redact != NULL)
		next = connector->redact(connector->redact_arg, pstrdup(next));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("connector \"%s\": the answer says that its next page is at \"%s\", %s", connector->name,
					next, why),
			 errdetail("Nothing was asked there: the credentials are this destination's.")));
}

/* Where the next page is, at the very destination that was asked for the one before. */
static char *
next_url(const Connector *connector, const char *url, const char *next)
{
	char	   *origin = act_url_origin(url);
	char	   *other;

	for (const char *c = next; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= 0x20 || *c == 0x7f)
			refuse_next(connector, next, "which is no address");
	}
	if (*next == '/' && next[1] != '/')
		return psprintf("%s%s", origin, next);
	other = act_url_origin(next);
	if (other == NULL)
		refuse_next(connector, next, "which is no address");
	if (origin == NULL || strcmp(origin, other) != 0)
		refuse_next(connector, next, "which is another destination");
	return pstrdup(next);
}

static char *
add_parameter(const char *url, const char *name, const char *value)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s%c%s=", url, strchr(url, '?') != NULL ? '&' : '?', name);
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if (act_url_unreserved(*c))
			appendStringInfoChar(&buf, *c);
		else
			appendStringInfo(&buf, "%%%02X", *c);
	}
	return buf.data;
}

void
act_connector_render_discovery(const Connector *connector, const ConnectorScope *scope, int number,
							   const char *next, HttpRequest *request)
{
	const struct Discovery *discovery = discovery_of(connector, number);
	ConnectorScope page = *scope;
	TemplateInput input = {.scope = &page};

	if (next != NULL)
	{
		HttpHeader *saved = palloc(sizeof(HttpHeader));

		saved->name = "next";
		saved->value = pstrdup(next);
		page.saved = list_make1(saved);
	}
	act_request_render(connector, discovery->request, &input, 0, request);
	if (next == NULL)
		return;
	if (discovery->cursor != NULL)
		request->url = add_parameter(request->url, discovery->cursor, next);
	else if (*next == '/' || pg_strncasecmp(next, "http", 4) == 0)
		request->url = next_url(connector, request->url, next);
}

/* ----------------------------------------------------------------
 *		Answers
 * ----------------------------------------------------------------
 */

typedef struct DiscoveryReading
{
	const Connector *connector;
	const ConnectorScope *scope;
	const struct Discovery *discovery;
	const cJSON *root;
	DiscoveredPage *page;
} DiscoveryReading;

static char *
clip(const DiscoveryReading *reading, char *text, size_t limit)
{
	const Connector *connector = reading->connector;

	if (text == NULL)
		return NULL;
	if (connector->redact != NULL)
		text = connector->redact(connector->redact_arg, text);
	if (strlen(text) > limit)
		text[act_utf8_clip(text, strlen(text), limit)] = '\0';
	return text;
}

static bool
has_name(const cJSON *names, const char *name)
{
	const cJSON *one;

	cJSON_ArrayForEach(one, names)
	{
		if (cJSON_IsString(one) && strcmp(one->valuestring, name) == 0)
			return true;
	}
	return false;
}

static bool
is_one_of(const Flag *flag, const cJSON *value)
{
	for (int i = 0; i < flag->nvalues; i++)
	{
		const TestValue *wanted = &flag->values[i];
		char	   *text = value == NULL ? NULL : act_json_scalar_text(value);

		if (value == NULL ? wanted->type == cJSON_NULL :
			wanted->text == NULL ? (value->type & 0xFF) == wanted->type :
			text != NULL && strcmp(text, wanted->text) == 0)
			return true;
	}
	return false;
}

static bool
holds(const DiscoveryReading *reading, const Flag *flag, const cJSON *item, const char *name)
{
	bool		result = flag->all;

	if (flag->names != NULL)
		result = has_name(act_path_first(flag->names, reading->scope, reading->root), name);
	else if (flag->at != NULL)
	{
		const cJSON *value = act_path_first(flag->at, reading->scope, item);
		char	   *text = value == NULL ? NULL : act_json_scalar_text(value);

		if (flag->nvalues == 0 && flag->contains == NULL)
			result = cJSON_IsTrue(value) || (text != NULL && strcmp(text, "true") == 0);
		else
			result = (flag->nvalues == 0 || is_one_of(flag, value)) &&
				(flag->contains == NULL || (text != NULL && strstr(text, flag->contains) != NULL));
	}
	for (int i = 0; i < flag->nparts; i++)
	{
		if (holds(reading, &flag->parts[i], item, name) != flag->all)
		{
			result = !flag->all;
			break;
		}
	}
	return result != flag->not;
}

/* The first place whose type the document, or everybody, knows; else what the first of them says. */
static char *
read_type(const DiscoveryReading *reading, const cJSON *item)
{
	const struct Discovery *discovery = reading->discovery;
	char	   *told = NULL;

	for (int i = 0; i < discovery->ntypes; i++)
	{
		char	   *theirs = act_path_text(discovery->types[i], reading->scope, item);

		for (int j = 0; theirs != NULL && j < discovery->ntype_names; j++)
		{
			if (strcmp(discovery->type_names[j].theirs, theirs) == 0)
				return pstrdup(discovery->type_names[j].ours);
		}
		for (int j = 0; theirs != NULL && type_names[j] != NULL; j++)
		{
			if (strcmp(type_names[j], theirs) == 0)
				return theirs;
		}
		if (told == NULL)
			told = clip(reading, theirs, MAX_TITLE);
	}
	return told;
}

static List *
read_values(const DiscoveryReading *reading, const cJSON *item)
{
	List	   *places = act_path_find(reading->discovery->values, reading->scope, item);
	List	   *values = NIL;
	ListCell   *cell;

	foreach(cell, places)
	{
		const cJSON *place = lfirst(cell);

		for (const cJSON *one = cJSON_IsArray(place) ? place->child : place; one != NULL;
			 one = cJSON_IsArray(place) ? one->next : NULL)
		{
			char	   *text = act_json_scalar_text(one);

			/* Some of them would be worse than none: others would seem not to be allowed. */
			if (text == NULL || strlen(text) > MAX_VALUE || list_length(values) >= MAX_VALUES)
				return NIL;
			values = lappend(values, text);
		}
	}
	return values;
}

/* As it is told, without secrets; NULL: that would be no JSON any more, or it is too long. */
static char *
read_document(const DiscoveryReading *reading, const cJSON *item)
{
	const Connector *connector = reading->connector;
	StringInfoData buf;
	cJSON	   *tree;
	char	   *text;
	char	   *problem;

	initStringInfo(&buf);
	act_json_append(&buf, item, MAX_DOCUMENT);
	if (buf.len >= MAX_DOCUMENT)
		return NULL;
	text = connector->redact == NULL ? buf.data : connector->redact(connector->redact_arg, buf.data);
	if (strcmp(text, buf.data) == 0)
		return text;
	tree = act_json_parse(text, strlen(text), JSON_ANSWER, &problem);
	cJSON_Delete(tree);
	return tree == NULL ? NULL : text;
}

/* NULL: it has no name that could be used. */
static char *
read_name(const DiscoveryReading *reading, const cJSON *item)
{
	const struct Discovery *discovery = reading->discovery;
	char	   *name = discovery->name != NULL ? act_path_text(discovery->name, reading->scope, item) :
		item->string != NULL ? pstrdup(item->string) : NULL;

	if (name == NULL || *name == '\0' || strlen(name) > MAX_NAME)
		return NULL;
	return discovery->before == NULL ? name : psprintf("%s%s%s", discovery->before, name, discovery->after);
}

static void
read_item(const DiscoveryReading *reading, const cJSON *item)
{
	const struct Discovery *discovery = reading->discovery;
	char	   *name = read_name(reading, item);
	Discovered *found;

	if (name == NULL)
	{
		reading->page->passed_over++;
		return;
	}
	found = palloc0(sizeof(Discovered));
	found->name = name;
	found->title = clip(reading, act_path_text(discovery->title, reading->scope, item), MAX_TITLE);
	found->kind = clip(reading, act_path_text(discovery->kind, reading->scope, item), MAX_TITLE);
	found->type = read_type(reading, item);
	found->required = discovery->required != NULL && holds(reading, discovery->required, item, name);
	found->writable = discovery->writable == NULL || holds(reading, discovery->writable, item, name);
	found->has_unique = discovery->unique != NULL;
	found->is_unique = found->has_unique && holds(reading, discovery->unique, item, name);
	found->values = read_values(reading, item);
	found->document = read_document(reading, item);
	reading->page->items = lappend(reading->page->items, found);
}

static void
read_list(const cJSON *root, const char *problem, ConnectorAnswer *answer, void *arg)
{
	DiscoveryReading *reading = arg;
	List	   *places;
	ListCell   *cell;
	int			count = 0;

	reading->root = root;
	places = root == NULL ? NIL : act_path_find(reading->discovery->items, reading->scope, root);
	if (root != NULL && places == NIL)
		problem = "the answer has no such list";
	foreach(cell, places)
	{
		const cJSON *place = lfirst(cell);

		/* Null is an empty list. */
		if (!cJSON_IsArray(place) && !cJSON_IsObject(place) && !cJSON_IsNull(place))
			problem = "the list of the answer is no array and no object";
		for (const cJSON *item = place->child; item != NULL && problem == NULL; item = item->next)
		{
			CHECK_FOR_INTERRUPTS();
			if (++count > MAX_ITEMS)
				problem = psprintf("the answer lists more than %d", MAX_ITEMS);
			else
				read_item(reading, item);
		}
	}
	if (problem != NULL)
	{
		answer->verdict = VERDICT_CONFIGURATION;
		answer->message = psprintf("HTTP %d, but %s", answer->http_status, problem);
		return;
	}
	reading->page->next = act_path_text(reading->discovery->next, reading->scope, root);
	if (reading->page->next != NULL && strlen(reading->page->next) > MAX_NEXT)
	{
		answer->verdict = VERDICT_CONFIGURATION;
		answer->message = pstrdup("the answer says of its next page more than an address can have");
	}
}

void
act_connector_read_discovery(const Connector *connector, const ConnectorScope *scope, int number,
							 const HttpResponse *response, int64 now_ms,
							 ConnectorAnswer *answer, DiscoveredPage *page)
{
	DiscoveryReading reading = {
		.connector = connector,.scope = scope,.discovery = discovery_of(connector, number),.page = page
	};

	memset(page, 0, sizeof(DiscoveredPage));
	act_answer_read(connector, response, now_ms, read_list, &reading, answer);
}
