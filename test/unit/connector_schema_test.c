/*-------------------------------------------------------------------------
 *
 * connector_schema_test.c
 *	  doc/connector.schema.json knows the members that the compiler knows.
 *
 * An unknown member is answered with those that are known, so the compiler
 * is asked at each place of a document, and its answer compared with the
 * schema's definition for that place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "connector.h"
#include "json.h"
#include "pg_stub.h"

#undef printf
#undef fprintf

/* Near to no name there is, so that the error lists all. */
#define STRANGER "\"zzzzzzzzzzzzzzzz\": 1"

#define OPERATION(text) "{\"operations\": {\"upsert\": {" text "}}}"
#define REQUEST(text) OPERATION("\"request\": {\"body\": [{\"$rows\": \"{{row.key}}\"}]}, \"batch\": {\"max_rows\": 9}, " text)
#define AUTH(kind, text) "{\"secrets\": [\"api_key\"], \"auth\": [{\"when\": \"api_key\", \"kind\": \"" kind "\", " text STRANGER "}], \"operations\": {}}"

typedef struct Probe
{
	const char *definition;
	const char *document;
} Probe;

static const Probe probes[] = {
	{"document", "{" STRANGER "}"},
	{"option", "{\"options\": {\"x\": {" STRANGER "}}}"},
	{"documentMatch", "{\"match\": {" STRANGER "}}"},
	{"rate", "{\"rate\": {" STRANGER "}}"},
	{"reset", "{\"rate\": {\"reset\": {" STRANGER "}}}"},
	{"reason", "{\"reason\": {" STRANGER "}}"},
	{"rule", "{\"rules\": [{" STRANGER "}], \"operations\": {}}"},
	{"check", "{\"check\": {" STRANGER "}, \"operations\": {}}"},
	{"types", "{\"types\": {" STRANGER "}, \"operations\": {}}"},
	{"dateIn", "{\"types\": {\"date\": {" STRANGER "}}, \"operations\": {}}"},
	{"timestampIn", "{\"types\": {\"timestamp\": {" STRANGER "}}, \"operations\": {}}"},
	{"account", "{\"account\": {" STRANGER "}, \"operations\": {}}"},
	{"limits", "{\"limits\": {" STRANGER "}, \"operations\": {}}"},
	{"discover", "{\"discover\": {" STRANGER "}, \"operations\": {}}"},
	{"objectList", "{\"discover\": {\"objects\": {" STRANGER "}}, \"operations\": {}}"},
	{"fieldList", "{\"discover\": {\"fields\": {" STRANGER "}}, \"operations\": {}}"},
	{"object", "{\"objects\": [{" STRANGER "}]}"},
	{"match", "{\"objects\": [{\"object\": \"x\", \"match\": {" STRANGER "}, \"operations\": {}}]}"},
	{"field", "{\"objects\": [{\"object\": \"x\", \"fields\": [{" STRANGER "}], \"operations\": {}}]}"},
	{"operations", "{\"operations\": {" STRANGER "}}"},
	{"operation", OPERATION(STRANGER)},
	{"batch", OPERATION("\"batch\": {" STRANGER "}")},
	{"request", OPERATION("\"request\": {" STRANGER "}")},
	{"lookup", "{\"operations\": {\"lookup\": {" STRANGER "}}}"},
	{"lookupAnswer", "{\"operations\": {\"lookup\": {\"request\": {}, \"answer\": {" STRANGER "}}}}"},
	{"byId", REQUEST("\"by_id\": {" STRANGER "}")},
	{"large", REQUEST("\"large\": {" STRANGER "}")},
	{"answer", REQUEST("\"answer\": {\"by\": \"position\", " STRANGER "}")},
	{"outcome", REQUEST("\"answer\": {\"by\": \"position\", \"items\": \"/r\", \"outcomes\": [{" STRANGER "}]}")},
	{"list", REQUEST("\"answer\": {\"by\": \"index\", \"lists\": [{" STRANGER "}]}")},
	{"test", REQUEST("\"answer\": {\"by\": \"index\", \"items\": \"/r\", \"is\": \"/i\", \"where\": {" STRANGER "}}")},
	{"saved", REQUEST("\"answer\": {\"by\": \"index\", \"items\": \"/r\", \"is\": \"/i\", \"then\": \"rejected\", \"default\": \"accepted\", \"saved\": {" STRANGER "}}")},
	{"step", OPERATION("\"steps\": [{" STRANGER "}]")},
	{"poll", OPERATION("\"steps\": [{\"request\": {\"body\": [\"{{row.key}}\"]}}], \"poll\": {" STRANGER "}")},
	{"result", OPERATION("\"steps\": [{\"request\": {\"body\": [\"{{row.key}}\"]}}], \"poll\": {\"request\": {\"method\": \"GET\"},"
						 " \"state\": \"/s\", \"done\": [\"d\"]}, \"results\": [{" STRANGER "}]")},
	{"authNone", AUTH("none", "")},
	{"authBearer", AUTH("bearer", "")},
	{"authBasic", AUTH("basic", "")},
	{"authHeaders", AUTH("headers", "")},
	{"authQuery", AUTH("query", "")},
	{"authBody", AUTH("body", "")},
	{"authUrl", AUTH("url", "")},
	{"authHmac", AUTH("hmac", "")},
	{"authAws", AUTH("aws_sigv4", "")},
	{"authOauth2", AUTH("oauth2", "")},
	{"authTokenRequest", AUTH("token_request", "")},
};

static int	checks;
static int	failures;

static void
fail(const char *definition, const char *what, const char *which)
{
	failures++;
	fprintf(stderr, "connector_schema_test: %s: %s %s\n", definition, what, which);
}

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return NULL;
}

static char *
read_file(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *text = palloc0(1024 * 1024);

	if (file == NULL || fread(text, 1, 1024 * 1024 - 1, file) == 0)
	{
		fprintf(stderr, "%s cannot be read\n", path);
		exit(1);
	}
	fclose(file);
	return text;
}

/* ", name" or ": name" in the list of the hint, and what ends it. */
static bool
is_listed(const char *hint, const char *name)
{
	size_t		len = strlen(name);

	for (const char *at = strstr(hint, name); at != NULL; at = strstr(at + 1, name))
	{
		if (at > hint && at[-1] == ' ' && (at[len] == ',' || at[len] == '.'))
			return true;
	}
	return false;
}

static bool
compile(const char *document)
{
	volatile bool threw = false;

	PG_TRY();
	{
		(void) act_connector_compile("probe", document);
	}
	PG_CATCH();
	{
		threw = true;
	}
	PG_END_TRY();
	return !threw;
}

static void
compare(const cJSON *properties, const Probe *probe)
{
	const char *known = strstr(stub_error.hint, "Known here: ");

	for (const cJSON *at = properties->child; at != NULL; at = at->next)
	{
		checks++;
		if (is_listed(known, at->string))
			continue;
		fail(probe->definition, "the compiler does not know the schema's member", at->string);
	}
	for (known += strlen("Known here: "); *known != '\0';)
	{
		size_t		len = strcspn(known, ",.");
		char	   *name = pnstrdup(known, len);

		checks++;
		if (cJSON_GetObjectItemCaseSensitive(properties, name) == NULL)
			fail(probe->definition, "the schema lacks the compiler's member", name);
		known += len;
		known += strspn(known, ",. ");
	}
}

/* Each definition that closes its members is looked at by a probe, or is of one that is. */
static void
check_covered(const cJSON *definitions)
{
	static const char *const small[] = {
		"extension", "textForm", "booleans", "join", "day", "jwt", "environment", "flagTest", "header"
	};

	for (const cJSON *at = definitions->child; at != NULL; at = at->next)
	{
		bool		found = cJSON_GetObjectItemCaseSensitive(at, "properties") == NULL;

		for (int i = 0; i < lengthof(probes); i++)
			found |= strcmp(probes[i].definition, at->string) == 0;
		for (int i = 0; i < lengthof(small); i++)
			found |= strcmp(small[i], at->string) == 0;
		checks++;
		if (!found)
			fail(at->string, "no probe looks at", "it");
	}
}

int
main(void)
{
	char	   *problem;
	char	   *text = read_file(SRC_DIR "/../doc/connector.schema.json");
	cJSON	   *schema = act_json_parse(text, strlen(text), JSON_DOCUMENT, &problem);
	const cJSON *definitions = cJSON_GetObjectItemCaseSensitive(schema, "$defs");
	check_covered(definitions);
	for (int i = 0; i < lengthof(probes); i++)
	{
		const Probe *probe = &probes[i];
		const cJSON *definition = cJSON_GetObjectItemCaseSensitive(definitions, probe->definition);

		checks++;
		if (definition == NULL)
			fail(probe->definition, "is not in", "the schema");
		else if (compile(probe->document))
			fail(probe->definition, "the compiler takes a member that nobody knows in", probe->document);
		else if (strstr(stub_error.message, "zzzz") == NULL || strstr(stub_error.hint, "Known here: ") == NULL)
			fail(probe->definition, "the probe fails for something else:", stub_error.message);
		else
			compare(cJSON_GetObjectItemCaseSensitive(definition, "properties"), probe);
	}
	cJSON_Delete(schema);
	stub_reset();
	printf("connector_schema_test: %d checks, %d failed\n", checks, failures);
	return failures > 0;
}
