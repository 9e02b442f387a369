/*-------------------------------------------------------------------------
 *
 * value_image.c
 *	  The bytes that stand for a value in the fingerprint.
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
 * Needs a transaction.  Reading a value may leave garbage in the current
 * memory context, which is one to reset with each row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/arrayaccess.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
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

static void append_other(StringInfo buf, const ValueType *type, Datum value);
static void append_bytes(StringInfo buf, const char *data, Size len);
static void append_varlena(StringInfo buf, Datum value);
static void append_numeric(StringInfo buf, Datum value);
static void append_array(StringInfo buf, const ValueType *type, Datum value);
static void append_row(StringInfo buf, const ValueType *type, Datum value);
static void append_range(StringInfo buf, const ValueType *type, const RangeType *range);
static void append_multirange(StringInfo buf, const ValueType *type, Datum value);

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

/*
 * Bytes of a length that needs no digest.
 */
static inline void
append_short(StringInfo buf, const char *data, uint32 len)
{
	char	   *end = extend(buf, 1 + sizeof(len) + len);

	*end = TAG_BYTES;
	memcpy(end + 1, &len, sizeof(len));
	memcpy(end + 1 + sizeof(len), data, len);
}

static inline void
append_int(StringInfo buf, int64 value)
{
	append_fixed(buf, TAG_INT, &value, sizeof(value));
}

/*
 * act_value_append_image appends the bytes that stand for a value.  The
 * buffer holds bytes: it is not kept NUL-terminated.
 *
 * Fields of a row in a warehouse are numbers, times and short text, nearly
 * all of them: these are done here, and what needs more of a stack frame is
 * kept out.
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
		case VALUE_VARLENA:
			/* A pointer to a value out of line has the short header too. */
			if (VARATT_IS_SHORT(DatumGetPointer(value)) &&
				!VARATT_IS_EXTERNAL(DatumGetPointer(value)))
				append_short(buf, VARDATA_SHORT(DatumGetPointer(value)),
							 VARSIZE_SHORT(DatumGetPointer(value)) - VARHDRSZ_SHORT);
			else
				append_varlena(buf, value);
			return;
		default:
			append_other(buf, type, value);
			return;
	}
}

/*
 * The same for the kinds that take more than appending.
 */
static pg_noinline void
append_other(StringInfo buf, const ValueType *type, Datum value)
{
	switch (type->kind)
	{
		case VALUE_FIXED:
			append_fixed(buf, TAG_FIXED, DatumGetPointer(value), type->len);
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
		case VALUE_INT2:
		case VALUE_INT4:
		case VALUE_INT8:
		case VALUE_BYTE1:
		case VALUE_BYTE2:
		case VALUE_BYTE4:
		case VALUE_BYTE8:
		case VALUE_VARLENA:
			break;				/* done by the caller */
	}
	Assert(false);
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
	uint8		digest[ACT_DIGEST_LEN];
	uint64		prefix = len;

	if (len <= IMAGE_MAX_BYTES)
	{
		append_short(buf, data, (uint32) len);
		return;
	}
	act_digest(data, len, digest);
	append_fixed(buf, TAG_DIGEST, &prefix, sizeof(prefix));
	memcpy(extend(buf, sizeof(digest)), digest, sizeof(digest));
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

static pg_noinline void
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
