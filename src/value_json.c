/*-------------------------------------------------------------------------
 *
 * value_json.c
 *	  Values as JSON in UTF-8, in PostgreSQL's own format.
 *
 * Prints what to_json() would, with two differences: a timestamptz is always
 * in UTC, and what JSON cannot hold (NaN, infinities) is not printed but
 * said, so that the row becomes invalid.  Numbers never pass through a
 * double.  Nothing here throws because of a value's contents; output
 * functions of other types may.
 *
 * Needs a transaction.  Types that print by their output function obey the
 * session's settings: the caller fixes bytea_output, DateStyle,
 * IntervalStyle, extra_float_digits, lc_monetary and TimeZone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/arrayaccess.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "json_text.h"
#include "value_type.h"

/*
 * No destination takes values this long, and a buffer ends at 1 GB: with at
 * most as much before it as JSON_MAX_BEFORE, a value always fits.
 */
#define JSON_MAX_VALUE	(256 * 1024 * 1024)
#define JSON_MAX_BEFORE (512 * 1024 * 1024)

/* How much text is converted and escaped between two looks at the limit. */
#define JSON_PIECE		(1024 * 1024)

static const char value_too_large[] = "a value of more than 256 MB";
static const char row_too_large[] = "a row of more than 512 MB";
static const char text_not_utf8[] = "bytes that are not valid UTF-8";
static const char text_not_convertible[] = "text that cannot be converted to UTF-8";
static const char number_is_nan[] = "NaN cannot be sent as JSON";
static const char number_is_infinite[] = "Infinity cannot be sent as JSON";
static const char date_is_infinite[] = "infinite date cannot be sent as JSON";
static const char timestamp_is_infinite[] = "infinite timestamp cannot be sent as JSON";
#ifdef INTERVAL_NOT_FINITE
static const char interval_is_infinite[] = "infinite interval cannot be sent as JSON";
#endif

static const char *append_value(StringInfo buf, const ValueType *type, Datum value, const ValueForms *forms, int limit);
static const char *append_element(StringInfo buf, const ValueType *type, Datum value, const ValueForms *forms,
								  int limit);
static const char *append_float(StringInfo buf, double value, bool single);
static const char *append_numeric(StringInfo buf, Datum value);
static const char *append_datetime(StringInfo buf, const ValueType *type, Datum value);
static const char *append_varlena(StringInfo buf, Datum value, bool quoted, int limit);
static const char *append_jsonb(StringInfo buf, Datum value, int limit);
static const char *append_cast(StringInfo buf, const ValueType *type, Datum value, int limit);
static const char *append_output(StringInfo buf, char *text, int limit);
static const char *append_array(StringInfo buf, const ValueType *type, Datum value, const ValueForms *forms, int limit);
static const char *append_row(StringInfo buf, const ValueType *type, Datum value, const ValueForms *forms, int limit);
static const char *append_text(StringInfo buf, const char *text, int len, bool quoted, int limit);
static const char *append_converted(StringInfo buf, const char *text, int len, bool quoted);

/*
 * The cast function that to_json() would use, or InvalidOid.
 */
static Oid
cast_to_json(const ValueType *type)
{
	Oid			function;

	if (type->oid < FirstNormalObjectId ||
		find_coercion_pathway(JSONOID, type->oid, COERCION_EXPLICIT,
							  &function) != COERCION_PATH_FUNC)
		return InvalidOid;
	return function;
}

/*
 * act_value_json_prepare decides how a node of a tree prints, and looks up
 * the function that it needs for it.
 */
void
act_value_json_prepare(ValueType *type)
{
	Oid			function;
	bool		is_varlena;

	if (type->kind == VALUE_ARRAY)
		type->json = JSON_ARRAY;
	else if (type->kind == VALUE_COMPOSITE || type->kind == VALUE_RECORD)
		type->json = JSON_ROW;
	else if (type->kind == VALUE_INT2 || type->kind == VALUE_INT4 || type->kind == VALUE_INT8)
		type->json = JSON_INT;
	else if (type->kind == VALUE_CSTRING)
		type->json = JSON_CSTRING;
	else if (type->oid == BOOLOID)
		type->json = JSON_BOOL;
	else if (type->oid == FLOAT4OID)
		type->json = JSON_FLOAT4;
	else if (type->oid == FLOAT8OID)
		type->json = JSON_FLOAT8;
	else if (type->oid == NUMERICOID)
		type->json = JSON_NUMERIC;
	else if (type->oid == DATEOID)
		type->json = JSON_DATE;
	else if (type->oid == TIMESTAMPOID)
		type->json = JSON_TIMESTAMP;
	else if (type->oid == TIMESTAMPTZOID)
		type->json = JSON_TIMESTAMPTZ;
	else if (type->oid == JSONOID)
		type->json = JSON_JSON;
	else if (type->oid == JSONBOID)
		type->json = JSON_JSONB;
	else
	{
		function = cast_to_json(type);
		if (OidIsValid(function))
			type->json = JSON_CAST;
		else
			getTypeOutputInfo(type->oid, &function, &is_varlena);

		type->output = palloc0(sizeof(FmgrInfo));
		fmgr_info(function, type->output);
		if (type->json == JSON_CAST)
			return;
		if (type->kind == VALUE_ENUM)
			type->json = JSON_ENUM;
		else if (type->kind == VALUE_OID_ALIAS)
			type->json = JSON_OID_ALIAS;
		else if (type->oid == INTERVALOID)
			type->json = JSON_INTERVAL;
		else if (type->output->fn_addr == textout ||
				 type->output->fn_addr == varcharout ||
				 type->output->fn_addr == bpcharout)
			type->json = JSON_TEXT;
		else
			type->json = JSON_OUTPUT;
	}
}

/*
 * act_value_json_label renders a member's name with its colon, or answers
 * NULL where the name cannot be written in UTF-8.
 */
char *
act_value_json_label(const char *name)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (append_text(&buf, name, strlen(name), true, JSON_MAX_VALUE) != NULL)
		return NULL;
	appendStringInfoChar(&buf, ':');
	return buf.data;
}

/*
 * act_value_append_json appends a value, or answers why it cannot be sent.
 */
const char *
act_value_append_json(StringInfo buf, const ValueType *type, Datum value, bool isnull)
{
	if (isnull)
	{
		appendBinaryStringInfo(buf, "null", 4);
		return NULL;
	}
	if (buf->len > JSON_MAX_BEFORE)
		return row_too_large;
	return append_value(buf, type, value, NULL, buf->len + JSON_MAX_VALUE);
}

/*
 * act_value_append_container is the same for a value that is not null; what
 * is in it, if anything, is written in these forms.
 */
const char *
act_value_append_container(StringInfo buf, const ValueType *type, Datum value, const ValueForms *forms)
{
	if (buf->len > JSON_MAX_BEFORE)
		return row_too_large;
	return append_value(buf, type, value, forms, buf->len + JSON_MAX_VALUE);
}

/*
 * A value within another.
 */
static const char *
append_element(StringInfo buf, const ValueType *type, Datum value, const ValueForms *forms, int limit)
{
	int			start = buf->len;
	const char *reason = append_value(buf, type, value, forms, limit);

	return reason != NULL || forms == NULL ? reason : act_value_form_element(buf, start, type, value, forms);
}

/*
 * Of which the buffer must not grow beyond limit.
 */
static const char *
append_value(StringInfo buf, const ValueType *type, Datum value, const ValueForms *forms, int limit)
{
	/* Before anything is made of it: twice 1 GB is no size for a string. */
	if (type->len == -1 && toast_raw_datum_size(value) > JSON_MAX_VALUE)
		return value_too_large;
	if (buf->len > limit)
		return value_too_large;

	switch (type->json)
	{
		case JSON_BOOL:
			appendStringInfoString(buf, DatumGetBool(value) ? "true" : "false");
			return NULL;
		case JSON_INT:
			enlargeStringInfo(buf, MAXINT8LEN + 1);
			buf->len += pg_lltoa(type->kind == VALUE_INT2 ? DatumGetInt16(value) :
								 type->kind == VALUE_INT4 ? DatumGetInt32(value) :
								 DatumGetInt64(value), buf->data + buf->len);
			return NULL;
		case JSON_FLOAT4:
			return append_float(buf, DatumGetFloat4(value), true);
		case JSON_FLOAT8:
			return append_float(buf, DatumGetFloat8(value), false);
		case JSON_NUMERIC:
			return append_numeric(buf, value);
		case JSON_DATE:
		case JSON_TIMESTAMP:
		case JSON_TIMESTAMPTZ:
			return append_datetime(buf, type, value);
		case JSON_JSON:
			return append_varlena(buf, value, false, limit);
		case JSON_JSONB:
			return append_jsonb(buf, value, limit);
		case JSON_CAST:
			return append_cast(buf, type, value, limit);
		case JSON_ARRAY:
			return append_array(buf, type, value, forms, limit);
		case JSON_ROW:
			return append_row(buf, type, value, forms, limit);
		case JSON_ENUM:
			{
				const EnumLabel *label = act_value_enum_label(type, DatumGetObjectId(value));

				return append_text(buf, label->label, label->len, true, limit);
			}
		case JSON_OID_ALIAS:
			return append_output(buf, act_value_oid_alias(type, value), limit);
		case JSON_TEXT:
			return append_varlena(buf, value, true, limit);
		case JSON_CSTRING:
			return append_text(buf, DatumGetCString(value),
							   strlen(DatumGetCString(value)), true, limit);
		case JSON_INTERVAL:
#ifdef INTERVAL_NOT_FINITE
			if (INTERVAL_NOT_FINITE(DatumGetIntervalP(value)))
				return interval_is_infinite;
#endif
			/* FALLTHROUGH */
		case JSON_OUTPUT:
			return append_output(buf, OutputFunctionCall(type->output, value), limit);
	}
	return NULL;				/* keep compiler quiet */
}

/*
 * The shortest digits that read back as the same number, whatever
 * extra_float_digits says.
 */
static const char *
append_float(StringInfo buf, double value, bool single)
{
	if (isnan(value))
		return number_is_nan;
	if (isinf(value))
		return number_is_infinite;

	enlargeStringInfo(buf, DOUBLE_SHORTEST_DECIMAL_LEN);
	buf->len += single ?
		float_to_shortest_decimal_buf((float) value, buf->data + buf->len) :
		double_to_shortest_decimal_buf(value, buf->data + buf->len);
	return NULL;
}

static const char *
append_numeric(StringInfo buf, Datum value)
{
	Numeric		number = DatumGetNumeric(value);
	char	   *text;

	if (numeric_is_nan(number))
		return number_is_nan;
	if (numeric_is_inf(number))
		return number_is_infinite;

	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	appendStringInfoString(buf, text);
	pfree(text);
	if ((Pointer) number != DatumGetPointer(value))
		pfree(number);
	return NULL;
}

static const char *
append_datetime(StringInfo buf, const ValueType *type, Datum value)
{
	char		text[MAXDATELEN + 1];
	int			utc = 0;

	if (type->json == JSON_DATE)
	{
		if (DATE_NOT_FINITE(DatumGetDateADT(value)))
			return date_is_infinite;
	}
	else if (TIMESTAMP_NOT_FINITE(DatumGetTimestamp(value)))
		return timestamp_is_infinite;

	JsonEncodeDateTime(text, value, type->oid,
					   type->json == JSON_TIMESTAMPTZ ? &utc : NULL);
	appendStringInfoCharMacro(buf, '"');
	appendStringInfoString(buf, text);
	appendStringInfoCharMacro(buf, '"');
	return NULL;
}

static const char *
append_varlena(StringInfo buf, Datum value, bool quoted, int limit)
{
	text	   *varlena = DatumGetTextPP(value);
	const char *reason = append_text(buf, VARDATA_ANY(varlena),
									 VARSIZE_ANY_EXHDR(varlena), quoted, limit);

	if ((Pointer) varlena != DatumGetPointer(value))
		pfree(varlena);
	return reason;
}

static const char *
append_jsonb(StringInfo buf, Datum value, int limit)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);
	const char *reason = NULL;

	/* A control character is one byte in jsonb and six in its text. */
	if (VARSIZE(jsonb) > (Size) (MaxAllocSize - buf->len) / 6)
		reason = value_too_large;
	else if (GetDatabaseEncoding() == PG_UTF8)
		(void) JsonbToCString(buf, &jsonb->root, VARSIZE(jsonb));
	else
	{
		char	   *text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

		reason = append_text(buf, text, strlen(text), false, limit);
		pfree(text);
	}
	if ((Pointer) jsonb != DatumGetPointer(value))
		pfree(jsonb);
	return reason;
}

/*
 * The cast is the type's author's; one that answers NULL means null.
 */
static const char *
append_cast(StringInfo buf, const ValueType *type, Datum value, int limit)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		json;

	InitFunctionCallInfoData(*fcinfo, type->output, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = value;
	fcinfo->args[0].isnull = false;
	json = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
	{
		appendBinaryStringInfo(buf, "null", 4);
		return NULL;
	}
	return append_varlena(buf, json, false, limit);
}

static const char *
append_output(StringInfo buf, char *text, int limit)
{
	const char *reason = append_text(buf, text, strlen(text), true, limit);

	pfree(text);
	return reason;
}

/*
 * One dimension of an array, its elements from *next on.
 */
static const char *
append_dimension(StringInfo buf, const ValueType *element, array_iter *iterator,
				 int ndim, const int *dims, int *next, const ValueForms *forms, int limit)
{
	appendStringInfoCharMacro(buf, '[');
	for (int i = 0; i < dims[0]; i++)
	{
		const char *reason = NULL;

		if (i > 0)
			appendStringInfoCharMacro(buf, ',');
		if (ndim > 1)
			reason = append_dimension(buf, element, iterator, ndim - 1,
									  dims + 1, next, forms, limit);
		else
		{
			bool		isnull;
			Datum		item = array_iter_next(iterator, &isnull, (*next)++,
											   element->len, element->byval,
											   element->align);

			CHECK_FOR_INTERRUPTS();
			if (isnull)
				appendBinaryStringInfo(buf, "null", 4);
			else
				reason = append_element(buf, element, item, forms, limit);
		}
		if (reason != NULL)
			return reason;
		if (buf->len > limit)
			return value_too_large;
	}
	appendStringInfoCharMacro(buf, ']');
	return NULL;
}

static const char *
append_array(StringInfo buf, const ValueType *type, Datum value, const ValueForms *forms, int limit)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	const char *reason = NULL;

	check_stack_depth();

	if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) == 0)
		appendBinaryStringInfo(buf, "[]", 2);
	else
	{
		array_iter	iterator;
		int			next = 0;

		array_iter_setup(&iterator, (AnyArrayType *) array);
		reason = append_dimension(buf, type->element, &iterator, ARR_NDIM(array),
								  ARR_DIMS(array), &next, forms, limit);
	}
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
	return reason;
}

static const char *
append_row(StringInfo buf, const ValueType *type, Datum value, const ValueForms *forms, int limit)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	RowLayout  *row;
	const char *separator = "";
	const char *reason = NULL;

	check_stack_depth();

	row = act_value_deform(type, header);
	appendStringInfoCharMacro(buf, '{');
	for (int i = 0; i < row->desc->natts && reason == NULL; i++)
	{
		if (row->types[i] == NULL)
			continue;
		if (row->labels[i] == NULL)
		{
			reason = text_not_convertible;
			break;
		}
		appendStringInfoString(buf, separator);
		appendStringInfoString(buf, row->labels[i]);
		separator = ",";
		if (row->nulls[i])
			appendBinaryStringInfo(buf, "null", 4);
		else
			reason = append_element(buf, row->types[i], row->values[i], forms, limit);
	}
	appendStringInfoCharMacro(buf, '}');
	if ((Pointer) header != DatumGetPointer(value))
		pfree(header);
	return reason;
}

/*
 * Appends text in the server's encoding: as a JSON string, or as it is where
 * it is JSON already.
 */
static const char *
append_text(StringInfo buf, const char *text, int len, bool quoted, int limit)
{
	int			encoding = GetDatabaseEncoding();

	if (encoding == PG_SQL_ASCII)
	{
		if (!pg_verify_mbstr(PG_UTF8, text, len, true))
			return text_not_utf8;
		encoding = PG_UTF8;
	}

	if (quoted)
		appendStringInfoCharMacro(buf, '"');
	while (len > 0)
	{
		int			piece = Min(len, JSON_PIECE);

		if (buf->len + piece > limit)
			return value_too_large;
		if (encoding != PG_UTF8)
		{
			const char *reason;

			piece = pg_encoding_mbcliplen(encoding, text, len, piece);
			reason = append_converted(buf, text, piece, quoted);
			if (reason != NULL)
				return reason;
		}
		else if (quoted)
			act_json_append_escaped(buf, text, piece);
		else
			appendBinaryStringInfo(buf, text, piece);
		text += piece;
		len -= piece;
	}
	if (quoted)
		appendStringInfoCharMacro(buf, '"');
	return NULL;
}

/*
 * The same for a piece of text in an encoding that is not UTF-8, without
 * throwing at what has no counterpart there.
 */
static const char *
append_converted(StringInfo buf, const char *text, int len, bool quoted)
{
	int			encoding = GetDatabaseEncoding();
	Oid			function = FindDefaultConversionProc(encoding, PG_UTF8);
	int			room = len * MAX_CONVERSION_GROWTH + 1;
	char	   *converted;

	if (!OidIsValid(function))
		return text_not_convertible;

	converted = palloc(room);
	if (pg_do_encoding_conversion_buf(function, encoding, PG_UTF8,
									  (unsigned char *) text, len,
									  (unsigned char *) converted, room, true) < len)
	{
		pfree(converted);
		return text_not_convertible;
	}
	if (quoted)
		act_json_append_escaped(buf, converted, strlen(converted));
	else
		appendStringInfoString(buf, converted);
	pfree(converted);
	return NULL;
}
