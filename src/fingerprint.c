/*-------------------------------------------------------------------------
 *
 * fingerprint.c
 *	  activate.fingerprint(): 128 bits over the values of a row.
 *
 * Called by the diff for each row of a model, in parallel workers too.  The
 * seed says which fields of which types these are (design decision 3); the
 * function adds the values.  A row of more fields than a call can take is
 * fingerprinted by several, each seeded with the one before.
 *
 * The digest is XXH3's of 128 bits, whose result is fixed for good since
 * version 0.8 and the same on every platform; images are in the byte order
 * of the machine.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/uuid.h"
#include "value.h"

#if XXH_VERSION_NUMBER < 800
#error "pg_activate needs xxhash 0.8.0 or later: XXH3 was not final before"
#endif

PG_FUNCTION_INFO_V1(act_fingerprint);

/* What a call site knows after its first row. */
typedef struct Fingerprint
{
	StringInfoData image;		/* of the last row, overwritten by the next */
	ValueType  *types[FLEXIBLE_ARRAY_MEMBER];	/* by argument; not of the seed */
} Fingerprint;

/*
 * act_digest answers 128 bits over the bytes, the most significant first.
 */
void
act_digest(const void *data, size_t len, uint8 *digest)
{
	XXH128_canonical_t canonical;

	StaticAssertStmt(sizeof(canonical) == ACT_DIGEST_LEN, "digests have 128 bits");
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, len));
	memcpy(digest, &canonical, sizeof(canonical));
}

/*
 * The tree of an argument's type, from the call's expression.
 */
static ValueType *
argument_type(FunctionCallInfo fcinfo, int argument)
{
	Oid			type_oid = get_fn_expr_argtype(fcinfo->flinfo, argument);

	if (!OidIsValid(type_oid))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine the type of argument %d", argument + 1)));
	return act_value_type(type_oid);
}

static Fingerprint *
prepare(FunctionCallInfo fcinfo)
{
	MemoryContext old;
	Fingerprint *fingerprint;

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("fingerprint() does not take a VARIADIC array"),
				 errhint("List the values: activate.fingerprint(seed, a, b). An array without VARIADIC is one value.")));

	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	fingerprint = palloc0(offsetof(Fingerprint, types) + sizeof(ValueType *) * PG_NARGS());
	initStringInfo(&fingerprint->image);	/* with room for the seed, ever after */
	for (int i = 1; i < PG_NARGS(); i++)
		fingerprint->types[i] = argument_type(fcinfo, i);
	MemoryContextSwitchTo(old);

	/* Only now: an error above must not leave half of it to a later call. */
	fcinfo->flinfo->fn_extra = fingerprint;
	return fingerprint;
}

/*
 * activate.fingerprint(seed uuid, VARIADIC "any") RETURNS uuid
 */
Datum
act_fingerprint(PG_FUNCTION_ARGS)
{
	Fingerprint *fingerprint = fcinfo->flinfo->fn_extra;
	StringInfo	image;
	pg_uuid_t  *result;

	if (fingerprint == NULL)
		fingerprint = prepare(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();

	image = &fingerprint->image;
	memcpy(image->data, PG_GETARG_UUID_P(0)->data, UUID_LEN);
	image->len = UUID_LEN;
	for (int i = 1; i < PG_NARGS(); i++)
		act_value_append_image(image, fingerprint->types[i],
							   PG_GETARG_DATUM(i), PG_ARGISNULL(i));

	result = palloc(sizeof(pg_uuid_t));
	act_digest(image->data, image->len, result->data);
	PG_RETURN_UUID_P(result);
}

#ifdef ACT_TEST

#include "utils/guc.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(act_test_value_json);
PG_FUNCTION_INFO_V1(act_test_value_signature);
PG_FUNCTION_INFO_V1(act_test_numeric_long);

static void
fix_setting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * The value's JSON as bytes of UTF-8, under the settings that callers of
 * act_value_append_json() fix; or "invalid: " and the reason.
 */
Datum
act_test_value_json(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	const char *reason;
	int			nest = NewGUCNestLevel();

	if (fcinfo->flinfo->fn_extra == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		fcinfo->flinfo->fn_extra = argument_type(fcinfo, 0);
		MemoryContextSwitchTo(old);
	}

	fix_setting("DateStyle", "ISO, YMD");
	fix_setting("IntervalStyle", "postgres");
	fix_setting("TimeZone", "UTC");
	fix_setting("bytea_output", "hex");
	fix_setting("extra_float_digits", "1");
	fix_setting("lc_monetary", "C");

	initStringInfo(&buf);
	reason = act_value_append_json(&buf, fcinfo->flinfo->fn_extra,
								   PG_GETARG_DATUM(0), PG_ARGISNULL(0));
	if (reason != NULL)
	{
		resetStringInfo(&buf);
		appendStringInfo(&buf, "invalid: %s", reason);
	}
	AtEOXact_GUC(true, nest);
	PG_RETURN_BYTEA_P(cstring_to_text_with_len(buf.data, buf.len));
}

Datum
act_test_value_signature(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(act_value_type_signature(argument_type(fcinfo, 0))));
}

/*
 * A number with the long header it may have kept from a server before 9.1.
 */
Datum
act_test_numeric_long(PG_FUNCTION_ARGS)
{
	struct varlena *given = PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0));
	uint16		header = *(uint16 *) VARDATA(given);
	int			digits = VARSIZE(given) - VARHDRSZ - sizeof(uint16);
	struct varlena *result;
	uint16	   *fields;

	if ((header & 0xC000) != 0x8000)
		PG_RETURN_POINTER(given);
	result = palloc0(VARHDRSZ + 2 * sizeof(uint16) + digits);
	SET_VARSIZE(result, VARHDRSZ + 2 * sizeof(uint16) + digits);
	fields = (uint16 *) VARDATA(result);
	fields[0] = ((header & 0x2000) ? 0x4000 : 0) | ((header & 0x1F80) >> 7);
	fields[1] = (uint16) (((header & 0x0040) ? ~0x003F : 0) | (header & 0x003F));
	memcpy(fields + 2, VARDATA(given) + sizeof(uint16), digits);
	PG_RETURN_POINTER(result);
}

#endif							/* ACT_TEST */
