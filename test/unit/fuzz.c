/*-------------------------------------------------------------------------
 *
 * fuzz.c
 *	  Random JSON for the fuzzers: trees made by a schema, and trees and bytes
 *	  made other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"
#include "pg_stub.h"

#undef printf
#undef fprintf
#undef snprintf

/* A round takes microseconds; one of so many seconds hangs. */
#define HANG_SECONDS 20

static const char *fuzz_name;
static uint64 state;
static uint64 first_state;
static int	rounds_wanted;
static int	rounds_done;
static time_t ends_at;
static int	failures;
static char subject[1024 * 1024];

/* Templates as documents have them, and as they should not. */
static const char *const templates[] = {
	"{{row.key}}", "{{row.key.id}}", "{{row.match}}", "{{row.match.email}}", "{{row.fields}}", "{{row.fields.email}}",
	"{{row.fields.a.b.c}}", "{{row.rest}}", "{{row.listed}}", "{{row.unlisted}}", "{{row.external_id}}",
	"{{row.remembered.etag}}", "{{row.found.id}}", "{{row.change_id}}", "{{row.ref}}", "{{row.op}}",
	"{{rows.match|join:,}}", "{{rows.fields.email|join:\",\"}}", "{{batch.digest}}", "{{batch.size}}", "{{batch.by}}",
	"{{run.id}}", "{{run.started_at}}", "{{now}}", "{{now|epoch_ms}}", "{{now|iso}}", "{{sync.name}}", "{{sync.object}}",
	"{{sync.match}}", "{{object.list}}", "{{option.base_url}}", "{{secret.api_key}}", "{{message.body}}", "{{token.url}}",
	"{{saved.id}}", "{{field.name}}", "{{field.is_match}}", "{{field.document}}", "{{value}}", "/x/{{row.external_id}}/y",
	"/{{sync.object|url}}?a#b", "{{row.fields|strings}}", "{{row.fields.email|trim|lower|sha256|hex}}",
	"{{row.fields.phone|e164}}", "{{row.fields.x|default:}}", "{{row.fields.x|after::}}", "{{row.fields.x|split:,|first}}",
	"{{row.fields.x|hmac_sha256:api_key|base64url}}", "{{row.fields.x|nullif:0|int}}", "{{row.fields.x|bool}}",
	"{{row.fields.d|date}}", "{{row.fields.x|unbase64}}", "{{row.fields.x|md5}}", "{{row.fields.x|json|json|json}}",
	"{{", "}}", "{{}}", "{{row}}", "{{row.}}", "{{|lower}}", "{{row.key|}}", "{{row.key|nofilter:\xc3\xa9}}", "{{ row.key }}",
	"{{{{row.key}}}}", "a{{row.key}}b{{row.match}}c", "{name}", "lists/{list}/members", "{path...}", "{a}{b}", "{", "}{",
	"$rows", "$row", "$spread", "$values", "$names", "$fields", "$wrap", "$of", "$omit_empty", "row.fields", "fields",
};

static const char *const words[] = {
	"upsert", "insert", "update", "delete", "lookup", "accepted", "rejected", "refused", "rows", "throttle", "found",
	"position", "index", "ref", "match", "key", "value", "index_lists", "external_id", "none", "json", "csv", "ndjson",
	"form", "text", "gzip", "api_key", "access_token", "email", "id", "trim", "lower", "email|sha256", "10 s", "1 d",
	"0 s", "-1 s", "99999999999 d", "5xx", "429", "GET", "PUT", "midnight", "Retry-After", "Host", "Content-Length",
	"Bad Header", "a\r\nb", "x", "", "/", "/results", "/a~1b/0", "/~", "//", "/0/-1/00", "https://example.com", "iso", "epoch",
	"record", "membership", "client_credentials", "refresh_token", "jwt_bearer", "oauth2", "bearer", "basic", "hmac",
	"\xf0\x9f\x98\x80", "\xe2\x80\xae", "\x7f", "\x01", "\xc2\xad",
};

static void
on_signal(int number)
{
	/* What a handler may not do matters no more: the program ends here. */
	fprintf(stderr, "%s: SEED=%llu, round %d: %s with\n%s\n", fuzz_name, (unsigned long long) first_state, rounds_done,
			number == SIGALRM ? "hangs" : "crashes", subject);
	signal(SIGABRT, SIG_DFL);
	abort();
}

static int
setting(const char *name, int fallback)
{
	const char *value = getenv(name);

	return value == NULL ? fallback : atoi(value);
}

void
fuzz_begin(const char *name, int rounds, int seconds)
{
	const char *seed = getenv("SEED");

	fuzz_name = name;
	state = first_state = seed == NULL ? 1 : strtoull(seed, NULL, 10);
	rounds_wanted = setting("FUZZ", rounds);
	ends_at = time(NULL) + setting("FUZZ_SECONDS", seconds);
	signal(SIGALRM, on_signal);
	signal(SIGABRT, on_signal);
}

bool
fuzz_next(void)
{
	stub_reset();
	if (rounds_done >= rounds_wanted || time(NULL) >= ends_at || failures >= 10)
		return false;
	rounds_done++;
	alarm(HANG_SECONDS);
	return true;
}

void
fuzz_subject(const char *text)
{
	snprintf(subject, sizeof(subject), "%s", text);
}

void
fuzz_fail(const char *what, const char *which)
{
	failures++;
	fprintf(stderr, "%s: SEED=%llu, round %d: %s: %s\n%s\n", fuzz_name, (unsigned long long) first_state, rounds_done,
			what, which == NULL ? "" : which, subject);
}

int
fuzz_end(void)
{
	alarm(0);
	stub_reset();
	printf("%s: SEED=%llu, %d rounds, %d failed\n", fuzz_name, (unsigned long long) first_state, rounds_done, failures);
	return failures > 0;
}

uint32
fuzz_random(uint32 below)
{
	state = state * UINT64CONST(6364136223846793005) + UINT64CONST(1442695040888963407);
	return (uint32) (state >> 33) % below;
}

const char *
fuzz_pick(const char *const *from, int count)
{
	return from[fuzz_random(count)];
}

static cJSON *
odd_value(void)
{
	static const double numbers[] = {0, -1, 1, 0.5, 255, 256, 429, 2147483647, 2147483648.0, -2147483649.0, 9007199254740993.0, 1e15, 1e308, -1e-308};
	cJSON	   *nest;
	char		many[3001];

	switch (fuzz_random(9))
	{
		case 0:
			return cJSON_CreateNull();
		case 1:
			return cJSON_CreateBool(fuzz_random(2));
		case 2:
			return cJSON_CreateNumber(numbers[fuzz_random(lengthof(numbers))]);
		case 3:
			return cJSON_CreateArray();
		case 4:
			return cJSON_CreateObject();
		case 5:
			nest = cJSON_CreateArray();
			for (int i = fuzz_random(80); i > 0; i--)
			{
				cJSON	   *outer = fuzz_random(2) ? cJSON_CreateArray() : cJSON_CreateObject();

				if (cJSON_IsArray(outer))
					cJSON_AddItemToArray(outer, nest);
				else
					cJSON_AddItemToObject(outer, "$rows", nest);
				nest = outer;
			}
			return nest;
		case 6:
			memset(many, 'a' + fuzz_random(26), sizeof(many) - 1);
			many[fuzz_random(sizeof(many))] = '\0';
			many[sizeof(many) - 1] = '\0';
			return cJSON_CreateString(many);
		case 7:
			return cJSON_CreateString(fuzz_pick(words, lengthof(words)));
		default:
			return cJSON_CreateString(fuzz_pick(templates, lengthof(templates)));
	}
}

/* ----------------------------------------------------------------
 *		By the schema
 * ----------------------------------------------------------------
 */

static const cJSON *
member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const cJSON *
resolve(const cJSON *schema, const cJSON *definition)
{
	for (int i = 0; i < 10; i++)
	{
		const char *reference = cJSON_GetStringValue(member(definition, "$ref"));

		if (reference == NULL)
			return definition;
		definition = member(member(schema, "$defs"), reference + strlen("#/$defs/"));
	}
	return definition;
}

static cJSON *
object_instance(const cJSON *schema, const cJSON *definition, int depth)
{
	const cJSON *properties = member(definition, "properties");
	const cJSON *required = member(definition, "required");
	const cJSON *others = member(definition, "additionalProperties");
	cJSON	   *object = cJSON_CreateObject();
	const cJSON *at;

	cJSON_ArrayForEach(at, properties)
	{
		const cJSON *name;
		bool		needed = false;

		cJSON_ArrayForEach(name, required)
			needed |= strcmp(name->valuestring, at->string) == 0;
		if (needed ? fuzz_random(20) > 0 : fuzz_random(4 + depth) == 0)
			cJSON_AddItemToObject(object, at->string, fuzz_instance(schema, at, depth + 1));
	}
	for (int i = fuzz_random(3); cJSON_IsObject(others) && i > 0; i--)
		cJSON_AddItemToObject(object, fuzz_pick(words, lengthof(words)), fuzz_instance(schema, others, depth + 1));
	if (properties == NULL && others == NULL && fuzz_random(2) == 0)
		cJSON_AddItemToObject(object, fuzz_pick(templates, lengthof(templates)), odd_value());
	return object;
}

cJSON *
fuzz_instance(const cJSON *schema, const cJSON *definition, int depth)
{
	const cJSON *choices;
	const char *type;

	definition = resolve(schema, definition);
	choices = member(definition, "anyOf");
	if (choices == NULL)
		choices = member(definition, "oneOf");
	if (depth > 12 || fuzz_random(100) == 0)
		return odd_value();
	if (choices != NULL && member(definition, "properties") == NULL)
		return fuzz_instance(schema, cJSON_GetArrayItem(choices, fuzz_random(cJSON_GetArraySize(choices))), depth + 1);
	if (member(definition, "const") != NULL)
		return cJSON_Duplicate(member(definition, "const"), true);
	choices = member(definition, "enum");
	if (choices != NULL)
		return cJSON_Duplicate(cJSON_GetArrayItem(choices, fuzz_random(cJSON_GetArraySize(choices))), true);
	type = cJSON_GetStringValue(member(definition, "type"));
	if (type == NULL && cJSON_IsArray(member(definition, "type")))
		type = cJSON_GetArrayItem(member(definition, "type"), fuzz_random(cJSON_GetArraySize(member(definition, "type"))))->valuestring;
	if (type == NULL)
		return odd_value();
	if (strcmp(type, "object") == 0)
		return object_instance(schema, definition, depth);
	if (strcmp(type, "boolean") == 0)
		return cJSON_CreateBool(fuzz_random(2));
	if (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0)
		return cJSON_CreateNumber(1 + fuzz_random(200));
	if (strcmp(type, "array") == 0)
	{
		cJSON	   *array = cJSON_CreateArray();

		for (int i = 1 + fuzz_random(3); i > 0; i--)
			cJSON_AddItemToArray(array, member(definition, "items") == NULL ? odd_value() :
								 fuzz_instance(schema, member(definition, "items"), depth + 1));
		return array;
	}
	return cJSON_CreateString(fuzz_random(2) ? fuzz_pick(templates, lengthof(templates)) : fuzz_pick(words, lengthof(words)));
}

/* ----------------------------------------------------------------
 *		Other than it was
 * ----------------------------------------------------------------
 */

static int
count_nodes(const cJSON *tree)
{
	int			count = 1;
	const cJSON *at;

	cJSON_ArrayForEach(at, tree)
		count += count_nodes(at);
	return count;
}

/* The nth node below the tree and what it is in. */
static cJSON *
find_node(cJSON *tree, int *n, cJSON **parent)
{
	for (cJSON *at = tree->child; at != NULL; at = at->next)
	{
		cJSON	   *found;

		if ((*n)-- == 0)
		{
			*parent = tree;
			return at;
		}
		found = find_node(at, n, parent);
		if (found != NULL)
			return found;
	}
	return NULL;
}

static const cJSON *
random_definition(const cJSON *schema)
{
	const cJSON *definitions = member(schema, "$defs");

	return cJSON_GetArrayItem(definitions, fuzz_random(cJSON_GetArraySize(definitions)));
}

/* A name that some object of the format has. */
static const char *
random_member(const cJSON *schema)
{
	for (int i = 0; schema != NULL && i < 20; i++)
	{
		const cJSON *properties = member(random_definition(schema), "properties");
		int			count = properties == NULL ? 0 : cJSON_GetArraySize(properties);

		if (count > 0)
			return cJSON_GetArrayItem(properties, fuzz_random(count))->string;
	}
	return fuzz_pick(words, lengthof(words));
}

static cJSON *
new_value(const cJSON *schema, const char *name)
{
	const cJSON *at;

	if (schema == NULL || fuzz_random(3) == 0)
		return odd_value();
	/* what a member of that name is somewhere */
	cJSON_ArrayForEach(at, member(schema, "$defs"))
	{
		const cJSON *property = name == NULL ? NULL : member(member(at, "properties"), name);

		if (property != NULL && fuzz_random(2) == 0)
			return fuzz_instance(schema, property, 3);
	}
	return fuzz_instance(schema, random_definition(schema), 3);
}

static void
replace(cJSON *parent, cJSON *node, cJSON *value)
{
	cJSON_free(value->string);
	value->string = node->string == NULL ? NULL : strdup(node->string);
	cJSON_ReplaceItemViaPointer(parent, node, value);
}

static void
change_node(cJSON *parent, cJSON *node, cJSON *other, const cJSON *schema)
{
	const char *name;

	switch (fuzz_random(8))
	{
		case 0:
			cJSON_Delete(cJSON_DetachItemViaPointer(parent, node));
			break;
		case 1:
			replace(parent, node, new_value(schema, node->string));
			break;
		case 2:
			replace(parent, node, odd_value());
			break;
		case 3:				/* something from elsewhere; never itself or what it is in */
			replace(parent, node, cJSON_Duplicate(other, true));
			break;
		case 4:				/* another name */
			if (node->string != NULL)
			{
				name = random_member(schema);
				cJSON_free(node->string);
				node->string = strdup(name);
			}
			break;
		case 5:				/* twice */
			if (node->string != NULL)
				cJSON_AddItemToObject(parent, node->string, cJSON_Duplicate(node, true));
			else
				cJSON_AddItemToArray(parent, cJSON_Duplicate(node, true));
			break;
		default:
			name = random_member(schema);
			if (cJSON_IsObject(node))
				cJSON_AddItemToObject(node, name, new_value(schema, name));
			else if (cJSON_IsArray(node))
				cJSON_AddItemToArray(node, new_value(schema, NULL));
			else
				replace(parent, node, odd_value());
	}
}

void
fuzz_tree(cJSON *tree, const cJSON *schema)
{
	for (int i = 1 + fuzz_random(3); i > 0; i--)
	{
		int			count = count_nodes(tree) - 1;
		int			n;
		cJSON	   *parent = NULL;
		cJSON	   *other_parent;
		cJSON	   *node;
		cJSON	   *other;

		if (count <= 0 || count > 20000)
			return;
		n = fuzz_random(count);
		node = find_node(tree, &n, &parent);
		n = fuzz_random(count);
		other = find_node(tree, &n, &other_parent);
		change_node(parent, node, other, schema);
	}
}

char *
fuzz_bytes(const char *from, size_t *len)
{
	static const char interesting[] = "{}[]\",:\\u0dD8-.eE19tfn/~\x80\xff\xc3\xe2\x01 \r\n\t;|$";
	size_t		span;
	char	   *bytes = palloc(*len * 2 + 200);
	char	   *exact;

	memcpy(bytes, from, *len);
	for (int i = fuzz_random(4); i > 0 && *len > 0; i--)
	{
		size_t		at = fuzz_random(*len);

		span = fuzz_random(20);
		span = Min(span, *len - at);
		switch (fuzz_random(5))
		{
			case 0:
				bytes[at] = interesting[fuzz_random(sizeof(interesting))];
				break;
			case 1:
				memmove(bytes + at + 1, bytes + at, *len - at);
				bytes[at] = interesting[fuzz_random(sizeof(interesting))];
				(*len)++;
				break;
			case 2:
				memmove(bytes + at, bytes + at + span, *len - at - span);
				*len -= span;
				break;
			case 3:
				memmove(bytes + at + span, bytes + at, *len - at);
				*len += span;
				break;
			default:
				if (fuzz_random(3) == 0)
					*len = at;
		}
	}
	/* exactly the bytes there are, so that one too many is seen */
	exact = palloc(*len + 1);
	memcpy(exact, bytes, *len);
	exact[*len] = '\0';
	return exact;
}

char *
fuzz_read_file(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *text = calloc(1, 2 * 1024 * 1024);

	if (file == NULL || fread(text, 1, 2 * 1024 * 1024 - 1, file) == 0)
	{
		fprintf(stderr, "%s cannot be read\n", path);
		exit(1);
	}
	fclose(file);
	return text;
}
