/*-------------------------------------------------------------------------
 *
 * value.c
 *	  The tree of a type, and what its values point to.
 *
 * Built from the catalogs once per query, before the first row: which types
 * a value consists of, how each enters the fingerprint (value_image.c) and
 * prints (value_json.c).  Labels of enums, names behind OIDs and columns of
 * records are looked up as values turn up, and forgotten when the catalogs
 * change.
 *
 * Needs a transaction.  Trees live in the memory context they were built in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "value_type.h"

/* Goes up with each change of pg_enum: labels read before may be stale. */
static uint64 enum_generation = 1;

static void build_kind(ValueType *type, const TypeCacheEntry *entry);
static void build_enum(ValueType *type);
static void build_composite(ValueType *type);
static void build_row(RowLayout *row, Oid type_oid, int32 typmod);
static char *type_name(Oid type_oid);
static void append_quoted(StringInfo buf, const char *name);

/*
 * act_value_type builds the tree of a type.
 */
ValueType *
act_value_type(Oid type_oid)
{
	ValueType  *type = palloc0(sizeof(ValueType));
	TypeCacheEntry *entry;

	check_stack_depth();

	type->oid = getBaseType(type_oid);
	entry = lookup_type_cache(type->oid, 0);
	type->len = entry->typlen;
	type->byval = entry->typbyval;
	type->align = entry->typalign;

	build_kind(type, entry);
	act_value_json_prepare(type);

	if (type->signature == NULL)
		type->signature = type_name(type->oid);
	/* A cast to json made or dropped later changes what is sent. */
	if (type->json == JSON_CAST)
		type->signature = psprintf("%s::json", type->signature);
	return type;
}

const char *
act_value_type_signature(const ValueType *type)
{
	return type->signature;
}

static inline void
build_same_as(ValueType *type, ValueKind kind, char *signature)
{
	type->kind = kind;
	type->signature = signature;
}

static void
build_element(ValueType *type, ValueKind kind, Oid element, const char *format)
{
	type->kind = kind;
	type->element = act_value_type(element);
	type->signature = psprintf(format, type->element->signature);
}

/*
 * How the values of types without a rule of their own enter the image.
 */
static ValueKind
kind_by_length(const TypeCacheEntry *entry)
{
	if (entry->typlen == -1)
		return VALUE_VARLENA;
	if (entry->typlen == -2)
		return VALUE_CSTRING;
	if (!entry->typbyval)
		return VALUE_FIXED;
	switch (entry->typlen)
	{
		case 1:
			return VALUE_BYTE1;
		case 2:
			return VALUE_BYTE2;
		case 4:
			return VALUE_BYTE4;
		default:
			return VALUE_BYTE8;
	}
}

/*
 * Types that print alike from values alike share a signature, so that a
 * column may change between them without a resend.
 */
static void
build_kind(ValueType *type, const TypeCacheEntry *entry)
{
	Oid			element = get_element_type(type->oid);

	if (OidIsValid(element))
		build_element(type, VALUE_ARRAY, element, "%s[]");
	else if (type->oid == INT2OID)
		build_same_as(type, VALUE_INT2, "int");
	else if (type->oid == INT4OID)
		build_same_as(type, VALUE_INT4, "int");
	else if (type->oid == INT8OID)
		build_same_as(type, VALUE_INT8, "int");
	else if (type->oid == TEXTOID || type->oid == VARCHAROID || type->oid == BPCHAROID)
		build_same_as(type, VALUE_VARLENA, "text");
	else if (type->oid == NAMEOID || type->oid == CSTRINGOID || type->oid == UNKNOWNOID)
		build_same_as(type, VALUE_CSTRING, "text");
	else if (type->oid == NUMERICOID)
		type->kind = VALUE_NUMERIC;
	else if (type->oid == REGCLASSOID || type->oid == REGCOLLATIONOID ||
			 type->oid == REGCONFIGOID || type->oid == REGDICTIONARYOID ||
			 type->oid == REGNAMESPACEOID || type->oid == REGOPEROID ||
			 type->oid == REGOPERATOROID || type->oid == REGPROCOID ||
			 type->oid == REGPROCEDUREOID || type->oid == REGROLEOID ||
			 type->oid == REGTYPEOID || type->oid == ACLITEMOID)
		type->kind = VALUE_OID_ALIAS;
	else if (type->oid == RECORDOID || entry->typtype == TYPTYPE_COMPOSITE)
		build_composite(type);
	else if (entry->typtype == TYPTYPE_ENUM)
		build_enum(type);
	else if (entry->typtype == TYPTYPE_RANGE)
	{
		type->range = lookup_type_cache(type->oid, TYPECACHE_RANGE_INFO);
		build_element(type, VALUE_RANGE, type->range->rngelemtype->type_id, "range(%s)");
	}
	else if (entry->typtype == TYPTYPE_MULTIRANGE)
	{
		type->range = lookup_type_cache(type->oid, TYPECACHE_MULTIRANGE_INFO)->rngtype;
		build_element(type, VALUE_MULTIRANGE, type->range->rngelemtype->type_id, "multirange(%s)");
	}
	else if (entry->typtype == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a value of type %s cannot be sent", format_type_be(type->oid)),
				 errhint("Cast it to the type to send, for example ::text.")));
	else
		type->kind = kind_by_length(entry);
}

static void
forget_enum_labels(Datum arg, int cacheid, uint32 hashvalue)
{
	enum_generation++;
}

static void
build_enum(ValueType *type)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(ENUMOID, forget_enum_labels, (Datum) 0);
		registered = true;
	}
	build_same_as(type, VALUE_ENUM, "enum");
	type->enums = palloc0(sizeof(EnumCache));
}

/*
 * A named composite is what its attributes are, by name and type; the
 * columns of an anonymous record come with each value.
 */
static void
build_composite(ValueType *type)
{
	type->row = palloc0(sizeof(RowLayout));
	type->row->context = AllocSetContextCreate(CurrentMemoryContext,
											   "pg_activate row layout",
											   ALLOCSET_SMALL_SIZES);
	if (type->oid == RECORDOID)
	{
		type->kind = VALUE_RECORD;
		return;
	}
	type->kind = VALUE_COMPOSITE;
	build_row(type->row, type->oid, -1);
	type->signature = pstrdup(type->row->signature);
}

static void
build_row(RowLayout *row, Oid type_oid, int32 typmod)
{
	MemoryContext old;
	StringInfoData signature;
	int			natts;

	row->identifier = 0;
	MemoryContextReset(row->context);
	old = MemoryContextSwitchTo(row->context);

	row->desc = lookup_rowtype_tupdesc_copy(type_oid, typmod);
	natts = row->desc->natts;
	row->types = palloc0(sizeof(ValueType *) * (natts + 1));
	row->labels = palloc0(sizeof(char *) * (natts + 1));
	row->values = palloc(sizeof(Datum) * (natts + 1));
	row->nulls = palloc(sizeof(bool) * (natts + 1));

	initStringInfo(&signature);
	appendStringInfoChar(&signature, '(');
	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(row->desc, i);

		if (attribute->attisdropped)
			continue;
		row->types[i] = act_value_type(attribute->atttypid);
		row->labels[i] = act_value_json_label(NameStr(attribute->attname));
		if (signature.len > 1)
			appendStringInfoString(&signature, ", ");
		append_quoted(&signature, NameStr(attribute->attname));
		appendStringInfo(&signature, " %s", row->types[i]->signature);
	}
	appendStringInfoChar(&signature, ')');
	row->signature = signature.data;

	MemoryContextSwitchTo(old);

	/*
	 * Only after the lookup: before it, the type cache may make up a new
	 * identifier for a record type it has not seen in this process.
	 */
	row->identifier = assign_record_type_identifier(type_oid, typmod);
}

/*
 * The name of a base type, quoted by a rule that neither settings nor the
 * server's list of keywords can change.
 */
static char *
type_name(Oid type_oid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type_oid));
	Form_pg_type form;
	StringInfoData buf;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type_oid);
	form = (Form_pg_type) GETSTRUCT(tuple);

	initStringInfo(&buf);
	if (form->typnamespace == PG_CATALOG_NAMESPACE)
		appendStringInfoString(&buf, NameStr(form->typname));
	else
	{
		append_quoted(&buf, get_namespace_name(form->typnamespace));
		appendStringInfoChar(&buf, '.');
		append_quoted(&buf, NameStr(form->typname));
	}
	ReleaseSysCache(tuple);
	return buf.data;
}

static void
append_quoted(StringInfo buf, const char *name)
{
	appendStringInfoCharMacro(buf, '"');
	for (; *name; name++)
	{
		if (*name == '"')
			appendStringInfoCharMacro(buf, '"');
		appendStringInfoCharMacro(buf, *name);
	}
	appendStringInfoCharMacro(buf, '"');
}

/*
 * act_value_enum_label answers the label of an enum value.  The result is
 * good until the next call for the same type.
 */
const EnumLabel *
act_value_enum_label(const ValueType *type, Oid value)
{
	EnumCache  *cache = type->enums;
	EnumLabel  *slot = &cache->slots[(value >> 1) % ENUM_CACHE_SLOTS];
	HeapTuple	tuple;

	if (unlikely(cache->generation != enum_generation))
	{
		memset(cache->slots, 0, sizeof(cache->slots));
		cache->generation = enum_generation;
	}
	if (likely(slot->oid == value))
		return slot;

	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(value));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid internal value for enum: %u", value)));
	strlcpy(slot->label, NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel), NAMEDATALEN);
	slot->len = strlen(slot->label);
	slot->oid = value;
	ReleaseSysCache(tuple);
	return slot;
}

/*
 * act_value_oid_alias answers the name an OID stands for, as printed with
 * nothing but pg_catalog in the search path: the session's must not matter.
 */
char *
act_value_oid_alias(const ValueType *type, Datum value)
{
	int			nest = NewGUCNestLevel();
	char	   *text;

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	text = OutputFunctionCall(type->output, value);
	AtEOXact_GUC(true, nest);
	return text;
}

/*
 * act_value_deform takes a composite value apart into the layout's arrays,
 * which are good until the next call for the same type.
 */
RowLayout *
act_value_deform(const ValueType *type, HeapTupleHeader header)
{
	RowLayout  *row = type->row;
	Oid			type_oid = HeapTupleHeaderGetTypeId(header);
	int32		typmod = HeapTupleHeaderGetTypMod(header);
	HeapTupleData tuple;

	if (row->identifier == 0 ||
		row->identifier != assign_record_type_identifier(type_oid, typmod))
		build_row(row, type_oid, typmod);

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, row->desc, row->values, row->nulls);
	return row;
}
