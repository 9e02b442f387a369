/*-------------------------------------------------------------------------
 *
 * value.c
 *	  The tree of a type, and the bytes that stand for its values.
 *
 * The diff calls this for each field of each row of a model, so images are
 * made of the binary values, without output functions, wherever equal bytes
 * mean equal text.  Where they don't (enums, OID aliases, numerics with two
 * headers, arrays with an idle null bitmap, rows with dropped columns), the
 * value is taken apart.
 *
 * An image is a prefix code: a tag, then either a fixed number of bytes, a
 * length and bytes, or images.  Big values and big containers are folded
 * into their digest, so that an image stays small whatever the value.
 *
 * Needs a transaction.  Trees live in the memory context they were built in;
 * reading a value may leave small garbage in the current one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/arrayaccess.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/syscache.h"
#include "value_type.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* Part of the fingerprint's format: changing one sends every row again. */
typedef enum ImageTag
{
	TAG_NULL = 0,
	TAG_INT = 1,
	TAG_FIXED = 2,
	TAG_BYTES = 3,
	TAG_NUMERIC = 4,
	TAG_ARRAY = 5,
	TAG_ROW = 6,
	TAG_RANGE = 7,
	TAG_MULTIRANGE = 8,
	TAG_DIGEST = 9
} ImageTag;

/* Longer values, and containers with longer images, enter as a digest. */
#define IMAGE_MAX_BYTES 4096
#define IMAGE_MAX_CONTAINER 65536

/* Headers of a numeric, as numeric.c lays them out on disk. */
#define NUMERIC_KIND(header)	((header) & 0xC000)
#define NUMERIC_KIND_NEGATIVE	0x4000
#define NUMERIC_KIND_SHORT		0x8000
#define NUMERIC_KIND_SPECIAL	0xC000
#define SHORT_IS_NEGATIVE(header)	(((header) & 0x2000) != 0)
#define SHORT_DSCALE(header)	(((header) & 0x1F80) >> 7)
#define SHORT_WEIGHT(header) \
	((((header) & 0x0040) ? ~0x003F : 0) | ((header) & 0x003F))

/* Goes up with each change of pg_enum: labels read before may be stale. */
static uint64 enum_generation = 1;

static void build_kind(ValueType *type, const TypeCacheEntry *entry);
static void build_enum(ValueType *type);
static void build_composite(ValueType *type);
static void build_row(RowLayout *row, Oid type_oid, int32 typmod);
static char *type_name(Oid type_oid);
static void append_quoted(StringInfo buf, const char *name);
static void append_bytes(StringInfo buf, const char *data, Size len);
static void append_varlena(StringInfo buf, Datum value);
static void append_numeric(StringInfo buf, Datum value);
static void append_array(StringInfo buf, const ValueType *type, Datum value);
static void append_row(StringInfo buf, const ValueType *type, Datum value);
static void append_range(StringInfo buf, const ValueType *type, const RangeType *range);
static void append_multirange(StringInfo buf, const ValueType *type, Datum value);

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
 * Room for len bytes at the end of buf, which they become part of.
 */
static inline char *
extend(StringInfo buf, int len)
{
	char	   *end;

	if (unlikely(buf->len + len >= buf->maxlen))
		enlargeStringInfo(buf, len);
	end = buf->data + buf->len;
	buf->len += len;
	return end;
}

static inline void
append_fixed(StringInfo buf, ImageTag tag, const void *data, int len)
{
	char	   *end = extend(buf, len + 1);

	*end = (char) tag;
	memcpy(end + 1, data, len);
}

static inline void
append_int(StringInfo buf, int64 value)
{
	append_fixed(buf, TAG_INT, &value, sizeof(value));
}

/*
 * act_value_append_image appends the bytes that stand for a value.  The
 * buffer holds bytes: it is not kept NUL-terminated.
 */
void
act_value_append_image(StringInfo buf, const ValueType *type, Datum value, bool isnull)
{
	if (isnull)
	{
		*extend(buf, 1) = TAG_NULL;
		return;
	}

	switch (type->kind)
	{
		case VALUE_INT2:
			append_int(buf, DatumGetInt16(value));
			return;
		case VALUE_INT4:
			append_int(buf, DatumGetInt32(value));
			return;
		case VALUE_INT8:
			append_int(buf, DatumGetInt64(value));
			return;
		case VALUE_BYTE1:
			{
				uint8		byte = DatumGetUInt8(value);

				append_fixed(buf, TAG_FIXED, &byte, sizeof(byte));
				return;
			}
		case VALUE_BYTE2:
			{
				uint16		bytes = DatumGetUInt16(value);

				append_fixed(buf, TAG_FIXED, &bytes, sizeof(bytes));
				return;
			}
		case VALUE_BYTE4:
			{
				uint32		bytes = DatumGetUInt32(value);

				append_fixed(buf, TAG_FIXED, &bytes, sizeof(bytes));
				return;
			}
		case VALUE_BYTE8:
			append_fixed(buf, TAG_FIXED, &value, sizeof(Datum));
			return;
		case VALUE_FIXED:
			append_fixed(buf, TAG_FIXED, DatumGetPointer(value), type->len);
			return;
		case VALUE_VARLENA:
			append_varlena(buf, value);
			return;
		case VALUE_CSTRING:
			append_bytes(buf, DatumGetCString(value), strlen(DatumGetCString(value)));
			return;
		case VALUE_NUMERIC:
			append_numeric(buf, value);
			return;
		case VALUE_ENUM:
			{
				const EnumLabel *label = act_value_enum_label(type, DatumGetObjectId(value));

				append_bytes(buf, label->label, label->len);
				return;
			}
		case VALUE_OID_ALIAS:
			{
				char	   *text = act_value_oid_alias(type, value);

				append_bytes(buf, text, strlen(text));
				pfree(text);
				return;
			}
		case VALUE_ARRAY:
			append_array(buf, type, value);
			return;
		case VALUE_COMPOSITE:
		case VALUE_RECORD:
			append_row(buf, type, value);
			return;
		case VALUE_RANGE:
			append_range(buf, type, DatumGetRangeTypeP(value));
			return;
		case VALUE_MULTIRANGE:
			append_multirange(buf, type, value);
			return;
	}
}

/*
 * Puts the digest of what was appended since start in its place.
 */
static void
fold(StringInfo buf, int start)
{
	char		digest[ACT_DIGEST_LEN];
	uint64		len = buf->len - start;

	act_digest(buf->data + start, len, (uint8 *) digest);
	buf->len = start;
	append_fixed(buf, TAG_DIGEST, &len, sizeof(len));
	memcpy(extend(buf, sizeof(digest)), digest, sizeof(digest));
}

static void
append_bytes(StringInfo buf, const char *data, Size len)
{
	uint32		prefix = (uint32) len;
	char	   *end;

	if (len > IMAGE_MAX_BYTES)
	{
		uint8		digest[ACT_DIGEST_LEN];
		uint64		prefix64 = len;

		act_digest(data, len, digest);
		append_fixed(buf, TAG_DIGEST, &prefix64, sizeof(prefix64));
		memcpy(extend(buf, sizeof(digest)), digest, sizeof(digest));
		return;
	}
	end = extend(buf, 1 + sizeof(prefix) + (int) len);
	*end = TAG_BYTES;
	memcpy(end + 1, &prefix, sizeof(prefix));
	memcpy(end + 1 + sizeof(prefix), data, len);
}

/*
 * The value's bytes however it is stored: inline with either header,
 * compressed, out of line.  Copies only what is compressed or out of line.
 */
static inline struct varlena *
open_packed(Datum value, bool *copied)
{
	struct varlena *varlena = (struct varlena *) DatumGetPointer(value);

	*copied = VARATT_IS_EXTERNAL(varlena) || VARATT_IS_COMPRESSED(varlena);
	return *copied ? pg_detoast_datum_packed(varlena) : varlena;
}

static void
append_varlena(StringInfo buf, Datum value)
{
	bool		copied;
	struct varlena *varlena = open_packed(value, &copied);

	append_bytes(buf, VARDATA_ANY(varlena), VARSIZE_ANY_EXHDR(varlena));
	if (copied)
		pfree(varlena);
}

/*
 * A numeric's header is short or long; which, is no part of its value.  Both
 * become sign and scale, weight, digits.
 */
static void
append_numeric(StringInfo buf, Datum value)
{
	bool		copied;
	struct varlena *varlena = open_packed(value, &copied);
	const char *data = VARDATA_ANY(varlena);
	int			len = VARSIZE_ANY_EXHDR(varlena);
	uint16		header;
	uint16		canonical[2];

	memcpy(&header, data, sizeof(header));
	canonical[0] = header;
	canonical[1] = 0;
	data += sizeof(uint16);
	len -= sizeof(uint16);
	if (NUMERIC_KIND(header) == NUMERIC_KIND_SHORT)
	{
		canonical[0] = SHORT_DSCALE(header) |
			(SHORT_IS_NEGATIVE(header) ? NUMERIC_KIND_NEGATIVE : 0);
		canonical[1] = (uint16) SHORT_WEIGHT(header);
	}
	else if (NUMERIC_KIND(header) == NUMERIC_KIND_SPECIAL)
		len = 0;				/* NaN, infinities: the header is all */
	else
	{
		memcpy(&canonical[1], data, sizeof(uint16));
		data += sizeof(uint16);
		len -= sizeof(uint16);
	}

	append_fixed(buf, TAG_NUMERIC, canonical, sizeof(canonical));
	append_bytes(buf, data, len);
	if (copied)
		pfree(varlena);
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
 * Lower bounds are left out, as they are in JSON.
 */
static void
append_array(StringInfo buf, const ValueType *type, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	const ValueType *element = type->element;
	int			start = buf->len;
	int			ndim = ARR_NDIM(array);
	int			nitems = ArrayGetNItems(ndim, ARR_DIMS(array));
	array_iter	iterator;

	check_stack_depth();

	append_fixed(buf, TAG_ARRAY, &ndim, sizeof(ndim));
	memcpy(extend(buf, ndim * sizeof(int)), ARR_DIMS(array), ndim * sizeof(int));

	array_iter_setup(&iterator, (AnyArrayType *) array);
	for (int i = 0; i < nitems; i++)
	{
		bool		isnull;
		Datum		item = array_iter_next(&iterator, &isnull, i,
										   element->len, element->byval, element->align);

		act_value_append_image(buf, element, item, isnull);
		if (buf->len - start > IMAGE_MAX_CONTAINER)
		{
			CHECK_FOR_INTERRUPTS();
			fold(buf, start);
		}
	}
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
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

static void
append_row(StringInfo buf, const ValueType *type, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	RowLayout  *row;
	int			start = buf->len;

	check_stack_depth();

	row = act_value_deform(type, header);
	*extend(buf, 1) = TAG_ROW;
	/* What the seed cannot know, the image says. */
	if (type->kind == VALUE_RECORD)
		append_bytes(buf, row->signature, strlen(row->signature));
	for (int i = 0; i < row->desc->natts; i++)
	{
		if (row->types[i] == NULL)
			continue;
		act_value_append_image(buf, row->types[i], row->values[i], row->nulls[i]);
		if (buf->len - start > IMAGE_MAX_CONTAINER)
			fold(buf, start);
	}
	if ((Pointer) header != DatumGetPointer(value))
		pfree(header);
}

/*
 * A range holds the OID of its type, which a restore changes: not that, but
 * its bounds.
 */
static void
append_range(StringInfo buf, const ValueType *type, const RangeType *range)
{
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;
	uint8		shape;

	range_deserialize(type->range, range, &lower, &upper, &empty);
	shape = empty ? 1 :
		(lower.infinite ? 2 : 0) | (upper.infinite ? 4 : 0) |
		(lower.inclusive ? 8 : 0) | (upper.inclusive ? 16 : 0);
	append_fixed(buf, TAG_RANGE, &shape, sizeof(shape));
	if (!empty && !lower.infinite)
		act_value_append_image(buf, type->element, lower.val, false);
	if (!empty && !upper.infinite)
		act_value_append_image(buf, type->element, upper.val, false);
}

static void
append_multirange(StringInfo buf, const ValueType *type, Datum value)
{
	MultirangeType *multirange = DatumGetMultirangeTypeP(value);
	int			start = buf->len;
	int32		nranges;
	RangeType **ranges;

	multirange_deserialize(type->range, multirange, &nranges, &ranges);
	append_fixed(buf, TAG_MULTIRANGE, &nranges, sizeof(nranges));
	for (int i = 0; i < nranges; i++)
	{
		append_range(buf, type, ranges[i]);
		if (buf->len - start > IMAGE_MAX_CONTAINER)
			fold(buf, start);
	}
}
