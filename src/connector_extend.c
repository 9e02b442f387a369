/*-------------------------------------------------------------------------
 *
 * connector_extend.c
 *	  Documents that extend another one.
 *
 * A document with "extends" is merged over the one it names, as RFC 7396 has
 * it: objects member by member, null takes a member out, anything else is
 * replaced.  Called wherever a document is read (registry.c) or looked at
 * before it is stored; where the others come from is the caller's.  Needs no
 * database by itself; the result is in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "connector_extend.h"
#include "json.h"

#define EXTENDS "extends"

/* Documents that a document may stand on. */
#define MAX_DEPTH 5

static cJSON *
parse(const char *name, const char *spec)
{
	char	   *problem;
	cJSON	   *root = act_json_parse(spec, strlen(spec), JSON_DOCUMENT, &problem);

	if (root == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\": the document cannot be read", name),
				 errdetail("As JSON, %s.", problem)));
	return root;
}

/*
 * The name of its base; NULL: it has none.  Not part of its caller, whose
 * PG_TRY would be warned about.
 */
static pg_noinline char *
base_name(const char *name, const cJSON *root)
{
	const cJSON *extends = cJSON_GetObjectItemCaseSensitive(root, EXTENDS);

	if (extends == NULL)
		return NULL;
	if (!cJSON_IsString(extends) || extends->valuestring[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("connector \"%s\": the name of a connector is expected at /" EXTENDS, name)));
	return pstrdup(extends->valuestring);
}

/* RFC 7396: what is taken over whole has no nulls in its objects either. */
static void
strip_nulls(cJSON *value)
{
	cJSON	   *member = value->child;

	while (member != NULL)
	{
		cJSON	   *next = member->next;

		if (cJSON_IsObject(value) && cJSON_IsNull(member))
			cJSON_Delete(cJSON_DetachItemViaPointer(value, member));
		else if (cJSON_IsObject(member))
			strip_nulls(member);
		member = next;
	}
}

/*
 * Patch over target, which becomes the result.  Both are at most as deep as
 * the reader lets them be.  Members of patch that are taken over are moved,
 * not copied.
 */
static void
merge(cJSON *target, cJSON *patch)
{
	cJSON	   *member = patch->child;

	while (member != NULL)
	{
		cJSON	   *next = member->next;
		cJSON	   *old = cJSON_GetObjectItemCaseSensitive(target, member->string);

		CHECK_FOR_INTERRUPTS();
		if (cJSON_IsNull(member))
		{
			if (old != NULL)
				cJSON_DeleteItemFromObjectCaseSensitive(target, member->string);
		}
		else if (cJSON_IsObject(member) && cJSON_IsObject(old))
			merge(old, member);
		else
		{
			cJSON_DetachItemViaPointer(patch, member);
			strip_nulls(member);
			if (old != NULL)
				cJSON_ReplaceItemViaPointer(target, old, member);
			else				/* with the name that it has */
				cJSON_AddItemToArray(target, member);
		}
		member = next;
	}
}

static char *
merge_texts(const char *base, const char *base_spec, const char *name, const char *spec)
{
	cJSON	   *volatile target = NULL;
	cJSON	   *volatile patch = NULL;
	StringInfoData buf;

	initStringInfo(&buf);
	PG_TRY();
	{
		target = parse(base, base_spec);
		patch = parse(name, spec);
		if (!cJSON_IsObject(target) || !cJSON_IsObject(patch))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("connector \"%s\": an object is expected at the top level",
							cJSON_IsObject(target) ? name : base)));
		cJSON_DeleteItemFromObjectCaseSensitive(target, "name");
		cJSON_DeleteItemFromObjectCaseSensitive(patch, EXTENDS);
		merge(target, patch);
		act_json_append(&buf, target, 0);
	}
	PG_FINALLY();
	{
		cJSON_Delete(target);
		cJSON_Delete(patch);
	}
	PG_END_TRY();
	return buf.data;
}

static char *
read_base(const char *name, const char *spec)
{
	cJSON	   *volatile root = NULL;
	char	   *volatile base = NULL;

	/* Nearly all documents do without. */
	if (strstr(spec, "\"" EXTENDS "\"") == NULL)
		return NULL;
	root = parse(name, spec);
	PG_TRY();
	{
		base = base_name(name, root);
	}
	PG_FINALLY();
	{
		cJSON_Delete(root);
	}
	PG_END_TRY();
	return base;
}

char *
act_connector_extend(const char *name, const char *spec, DocumentFinder find, void *arg)
{
	const char *names[MAX_DEPTH + 1];
	const char *specs[MAX_DEPTH + 1];
	int			depth = 0;
	char	   *merged;

	names[0] = name;
	specs[0] = spec;
	for (;;)
	{
		char	   *base = read_base(names[depth], specs[depth]);

		if (base == NULL)
			break;
		for (int i = 0; i <= depth; i++)
		{
			if (strcmp(names[i], base) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("connector \"%s\" extends itself", base),
						 depth > 0 ? errdetail("The last step is that of \"%s\", which extends \"%s\".", names[depth], base) : 0,
						 errhint("Let one of them stand by itself.")));
		}
		if (depth == MAX_DEPTH)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("connector \"%s\" stands on more than %d others", name, MAX_DEPTH),
					 errdetail("\"%s\" extends \"%s\", too.", names[depth], base),
					 errhint("Let it extend one that is nearer to the end.")));
		names[depth + 1] = base;
		specs[depth + 1] = find(arg, base);
		if (specs[depth + 1] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("connector \"%s\" extends \"%s\", which does not exist", names[depth], base),
					 errhint("SELECT connector, title FROM activate.connectors;")));
		depth++;
	}
	merged = unconstify(char *, specs[depth]);
	for (int i = depth - 1; i >= 0; i--)
		merged = merge_texts(names[i + 1], merged, names[i], specs[i]);
	return merged;
}
