/*-------------------------------------------------------------------------
 *
 * value_form.c
 *	  Values in the form that a destination wants them in.
 *
 * What value_json.c prints is taken by its kind (that of the column's type;
 * of json and jsonb what the value is) and written again: as the connector's
 * "types" say for the kind, or as the field's type wants it.  A value that
 * a field's type cannot take is no error: why not is answered, and makes the
 * row invalid.  Numbers stay the digits that they are.
 *
 * Called for each value that is sent, in a transaction, with the settings
 * fixed that value.h names.  Allocates in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "filter.h"
#include "iso_time.h"
#include "json_equal.h"
#include "json_text.h"
#include "value_form.h"
#include "value_type.h"

/* JSON within a string may grow by its escapes: what fits a buffer for certain. */
#define MAX_ESCAPED (64 * 1024 * 1024)
#define MAX_SHOWN 40			/* bytes of a value in a reason */
#define MAX_INTEGER_DIGITS 1000

typedef enum ValueClass
{
	CLASS_NULL,					/* JSON's */
	CLASS_BOOLEAN,
	CLASS_INTEGER,
	CLASS_NUMBER,
	CLASS_DATE,
	CLASS_TIMESTAMP,
	CLASS_TEXT,
	CLASS_BYTES,
	CLASS_ARRAY,
	CLASS_OBJECT
} ValueClass;

/* A value that is printed already: buf from start on. */
typedef struct Formed
{
	StringInfo	buf;
	int			start;
	ValueClass	class;
	Timestamp	time;			/* of dates and timestamps, in UTC */
	const ValueForms *forms;
	FieldType	field;
} Formed;

static const ValueForms plain_forms;
static const char year_is_odd[] = "a year that does not have four digits";

static const char *write_time(Formed *formed, bool as_date);

static ValueClass
class_of_json(const char *json)
{
	switch (*json)
	{
		case '{':
			return CLASS_OBJECT;
		case '[':
			return CLASS_ARRAY;
		case '"':
			return CLASS_TEXT;
		case 't':
		case 'f':
			return CLASS_BOOLEAN;
		case 'n':
			return CLASS_NULL;
		default:
			return json[strspn(json, "-0123456789")] == '\0' ? CLASS_INTEGER : CLASS_NUMBER;
	}
}

static ValueClass
class_of(const ValueType *type, const char *json)
{
	switch (type->json)
	{
		case JSON_BOOL:
			return CLASS_BOOLEAN;
		case JSON_INT:
			return CLASS_INTEGER;
		case JSON_FLOAT4:
		case JSON_FLOAT8:
		case JSON_NUMERIC:
			return CLASS_NUMBER;
		case JSON_DATE:
			return CLASS_DATE;
		case JSON_TIMESTAMP:
		case JSON_TIMESTAMPTZ:
			return CLASS_TIMESTAMP;
		case JSON_JSON:
		case JSON_JSONB:
		case JSON_CAST:
			return class_of_json(json + strspn(json, " \t\r\n"));
		case JSON_ARRAY:
			return CLASS_ARRAY;
		case JSON_ROW:
			return CLASS_OBJECT;
		default:
			return type->oid == BYTEAOID ? CLASS_BYTES : CLASS_TEXT;
	}
}

/* ----------------------------------------------------------------
 *		Writing what is printed once more
 * ----------------------------------------------------------------
 */

static const char *
text_of(const Formed *formed)
{
	return formed->buf->data + formed->start;
}

static void
replace(Formed *formed, const char *text)
{
	formed->buf->len = formed->start;
	appendStringInfoString(formed->buf, text);
}

static void
replace_with_string(Formed *formed, const char *text, size_t len)
{
	formed->buf->len = formed->start;
	act_json_append_string(formed->buf, text, len);
}

/* A JSON string of the text of it; of what is a string already, itself. */
static const char *
as_string(Formed *formed)
{
	size_t		len = formed->buf->len - formed->start;
	char	   *text;

	if (*text_of(formed) == '"')
		return NULL;
	if (len > MAX_ESCAPED)
		return "a value of more than 64 MB as JSON in a text";
	text = pnstrdup(text_of(formed), len);
	replace_with_string(formed, text, len);
	pfree(text);
	return NULL;
}

/* The text that a string stands for, or what is printed. */
static char *
plain_text(const Formed *formed)
{
	StringInfoData text;

	if (*text_of(formed) != '"')
		return pstrdup(text_of(formed));
	initStringInfo(&text);
	act_json_append_unescaped(&text, text_of(formed), formed->buf->len - formed->start);
	return text.data;
}

/* In words that any encoding has. */
static const char *
unfit(const Formed *formed, const char *what)
{
	char	   *text = plain_text(formed);
	size_t		len = strlen(text);

	if (len > MAX_SHOWN || len == 0)
		return psprintf("a value that is no %s, which the destination wants", what);
	for (const char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || (unsigned char) *c >= 0x7f)
			return psprintf("a value that is no %s, which the destination wants", what);
	}
	return psprintf("\"%s\" is no %s, which the destination wants", text, what);
}

/* ----------------------------------------------------------------
 *		By kind
 * ----------------------------------------------------------------
 */

static const char *
write_boolean(Formed *formed)
{
	bool		value = *text_of(formed) == 't';
	const ValueForms *forms = formed->forms;

	switch (forms->boolean)
	{
		case BOOLEAN_FORM_JSON:
			break;
		case BOOLEAN_FORM_TEXT:
			return as_string(formed);
		case BOOLEAN_FORM_INTEGER:
			replace(formed, value ? "1" : "0");
			break;
		case BOOLEAN_FORM_GIVEN:
			{
				const char *text = value ? forms->true_text : forms->false_text;

				replace_with_string(formed, text, strlen(text));
				break;
			}
	}
	return NULL;
}

static const char *
write_bytes(Formed *formed)
{
	char	   *text = plain_text(formed);	/* \x and hex digits, as bytea_output is fixed */

	if (formed->forms->bytes == BYTES_FORM_HEX)
		replace_with_string(formed, text + 2, strlen(text + 2));
	else if (formed->forms->bytes == BYTES_FORM_BASE64)
	{
		StringInfoData bytes;

		initStringInfo(&bytes);
		for (const char *c = text + 2; *c != '\0' && c[1] != '\0'; c += 2)
		{
			int			high = *c <= '9' ? *c - '0' : *c - 'a' + 10;
			int			low = c[1] <= '9' ? c[1] - '0' : c[1] - 'a' + 10;

			appendStringInfoCharMacro(&bytes, (char) (high * 16 + low));
		}
		formed->buf->len = formed->start;
		appendStringInfoChar(formed->buf, '"');
		act_base64_append(formed->buf, bytes.data, bytes.len);
		appendStringInfoChar(formed->buf, '"');
		pfree(bytes.data);
	}
	pfree(text);
	return NULL;
}

/* Where the next element of a printed array ends. */
static const char *
element_end(const char *next)
{
	int			depth = 0;

	for (; *next != '\0'; next++)
	{
		if (*next == '"')
		{
			for (next++; *next != '\0' && *next != '"'; next++)
			{
				if (*next == '\\' && next[1] != '\0')
					next++;
			}
			if (*next == '\0')
				break;
		}
		else if (*next == '[' || *next == '{')
			depth++;
		else if (*next == ']' || *next == '}')
		{
			if (depth-- == 0)
				break;
		}
		else if (*next == ',' && depth == 0)
			break;
	}
	return next;
}

/* Its elements as text; null is none. */
static const char *
join_array(Formed *formed)
{
	size_t		len = formed->buf->len - formed->start;
	char	   *array = pnstrdup(text_of(formed), len);
	const char *next = array + strspn(array, " \t\r\n");
	StringInfoData joined;
	bool		first = true;

	if (len > MAX_ESCAPED)
		return "a value of more than 64 MB as JSON in a text";
	initStringInfo(&joined);
	next++;						/* the bracket */
	while (*next != '\0' && *next != ']')
	{
		const char *end;

		CHECK_FOR_INTERRUPTS();
		next += strspn(next, " \t\r\n");
		end = element_end(next);
		if (end > next && *next != 'n')
		{
			const char *last = end;

			while (last > next && strchr(" \t\r\n", last[-1]) != NULL)
				last--;
			if (!first)
				appendStringInfoString(&joined, formed->forms->array_join);
			first = false;
			if (*next == '"')
				act_json_append_unescaped(&joined, next, last - next);
			else
				appendBinaryStringInfo(&joined, next, last - next);
		}
		next = *end == ',' ? end + 1 : end;
	}
	replace_with_string(formed, joined.data, joined.len);
	pfree(joined.data);
	pfree(array);
	return NULL;
}

/* As the connector has values of its kind. */
static const char *
write_by_class(Formed *formed, bool whole)
{
	const ValueForms *forms = formed->forms;

	switch (formed->class)
	{
		case CLASS_BOOLEAN:
			return write_boolean(formed);
		case CLASS_INTEGER:
			return forms->integer == JSON_FORM_TEXT ? as_string(formed) : NULL;
		case CLASS_NUMBER:
			return forms->number == JSON_FORM_TEXT ? as_string(formed) : NULL;
		case CLASS_DATE:
			return write_time(formed, true);
		case CLASS_TIMESTAMP:
			return write_time(formed, false);
		case CLASS_BYTES:
			return write_bytes(formed);
		case CLASS_ARRAY:
			if (!whole || forms->array == ARRAY_FORM_JSON)
				return NULL;
			return forms->array == ARRAY_FORM_JOIN ? join_array(formed) : as_string(formed);
		case CLASS_OBJECT:
			return whole && forms->object == JSON_FORM_TEXT ? as_string(formed) : NULL;
		case CLASS_TEXT:
		case CLASS_NULL:
			break;
	}
	return NULL;
}

/* ----------------------------------------------------------------
 *		Times
 * ----------------------------------------------------------------
 */

/* What a destination wants around times; a field of texts has the time itself. */
static void
surround(Formed *formed, const char *const *in)
{
	char	   *text;

	if (in[0] == NULL || formed->field == FIELD_TEXT)
		return;
	text = psprintf("%s%s%s", in[0], text_of(formed), in[1]);
	replace(formed, text);
	pfree(text);
}

static const char *
write_time(Formed *formed, bool as_date)
{
	TimeForm	form = as_date ? formed->forms->date : formed->forms->timestamp;
	int64		since = formed->time + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	int64		unit = form == TIME_FORM_EPOCH_MS ? 1000 : USECS_PER_SEC;
	struct pg_tm tm;
	fsec_t		fraction;
	StringInfoData text;

	if (form == TIME_FORM_DEFAULT && formed->class == (as_date ? CLASS_DATE : CLASS_TIMESTAMP))
		return NULL;
	if (form == TIME_FORM_EPOCH || form == TIME_FORM_EPOCH_MS)
	{
		/* down, also before 1970 */
		replace(formed, psprintf(INT64_FORMAT, since / unit - (since % unit < 0 ? 1 : 0)));
		surround(formed, as_date ? formed->forms->date_in : formed->forms->timestamp_in);
		return NULL;
	}
	if (timestamp2tm(formed->time, NULL, &tm, &fraction, NULL, NULL) != 0 || tm.tm_year < 1 || tm.tm_year > 9999)
		return year_is_odd;
	initStringInfo(&text);
	appendStringInfo(&text, "%04d-%02d-%02d", tm.tm_year, tm.tm_mon, tm.tm_mday);
	if (!as_date)
	{
		appendStringInfo(&text, "T%02d:%02d:%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
		if (form == TIME_FORM_ISO_MS)
			appendStringInfo(&text, ".%03d", (int) (fraction / 1000));
		else if (form != TIME_FORM_ISO && fraction != 0)
		{
			appendStringInfo(&text, ".%06d", (int) fraction);
			while (text.data[text.len - 1] == '0')
				text.data[--text.len] = '\0';
		}
		appendStringInfoString(&text, form == TIME_FORM_DEFAULT ? "+00:00" : "Z");
	}
	replace_with_string(formed, text.data, text.len);
	pfree(text.data);
	surround(formed, as_date ? formed->forms->date_in : formed->forms->timestamp_in);
	return NULL;
}

/* ----------------------------------------------------------------
 *		By the field's type
 * ----------------------------------------------------------------
 */

/* Dates and timestamps, and texts that say one. */
static const char *
conform_time(Formed *formed, bool as_date)
{
	const char *what = as_date ? "date" : "timestamp";

	if (formed->class == CLASS_TEXT)
	{
		char	   *text = plain_text(formed);
		bool		reads = act_iso_time_read(text, &formed->time);

		pfree(text);
		if (!reads)
			return unfit(formed, what);
		if ((as_date ? formed->forms->date : formed->forms->timestamp) == TIME_FORM_DEFAULT &&
			(!as_date || formed->buf->len - formed->start == 12))
			return NULL;		/* as it was written */
	}
	else if (formed->class != CLASS_DATE && formed->class != CLASS_TIMESTAMP)
		return unfit(formed, what);
	if (as_date && formed->time % USECS_PER_DAY != 0)
		return psprintf("%s, whose time is not midnight UTC, for a date", text_of(formed));
	return write_time(formed, as_date);
}

static bool
is_whole(const char *text)
{
	const char *digits = *text == '-' ? text + 1 : text;
	size_t		len = strspn(digits, "0123456789");

	return len > 0 && digits[len] == '\0' && (*digits != '0' || len == 1);
}

/* Of 7.00 and 7e2 the digits of the whole number. */
static bool
write_whole(Formed *formed)
{
	StringInfoData number;
	char	   *exponent;
	long		zeros;

	if (is_whole(text_of(formed)))
		return true;
	initStringInfo(&number);
	if (!act_json_append_number(&number, text_of(formed)))
		return false;
	exponent = strchr(number.data, 'e');
	zeros = exponent == NULL ? 0 : atol(exponent + 1);
	if (zeros < 0 || zeros > MAX_INTEGER_DIGITS)
		return false;
	if (exponent != NULL)
		*exponent = '\0';
	replace(formed, number.data);
	appendStringInfoSpaces(formed->buf, (int) zeros);
	memset(formed->buf->data + formed->buf->len - zeros, '0', zeros);
	pfree(number.data);
	return true;
}

static const char *
conform_number(Formed *formed, bool whole)
{
	const char *what = whole ? "integer" : "number";

	if (formed->class == CLASS_TEXT)
	{
		char	   *text = plain_text(formed);
		StringInfoData number;

		initStringInfo(&number);
		if (whole ? !is_whole(text) : !act_json_append_number(&number, text))
			return unfit(formed, what);
		replace(formed, text);
	}
	else if (formed->class != CLASS_INTEGER && formed->class != CLASS_NUMBER)
		return unfit(formed, what);
	if (whole && !write_whole(formed))
		return unfit(formed, what);
	formed->class = whole ? CLASS_INTEGER : CLASS_NUMBER;
	return write_by_class(formed, true);
}

static const char *
conform_boolean(Formed *formed)
{
	char	   *text;

	if (formed->class == CLASS_TEXT)
	{
		text = plain_text(formed);
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return unfit(formed, "boolean");
		replace(formed, text);
	}
	else if (formed->class != CLASS_BOOLEAN)
		return unfit(formed, "boolean");
	formed->class = CLASS_BOOLEAN;
	return write_by_class(formed, true);
}

static const char *
conform(Formed *formed)
{
	const char *problem;

	switch (formed->field)
	{
		case FIELD_UNKNOWN:
		case FIELD_JSON:
			break;
		case FIELD_TEXT:
			problem = write_by_class(formed, true);
			return problem != NULL ? problem : as_string(formed);
		case FIELD_INTEGER:
			return conform_number(formed, true);
		case FIELD_NUMBER:
			return conform_number(formed, false);
		case FIELD_BOOLEAN:
			return conform_boolean(formed);
		case FIELD_DATE:
			return conform_time(formed, true);
		case FIELD_TIMESTAMP:
			return conform_time(formed, false);
		case FIELD_ARRAY:
			if (formed->class != CLASS_ARRAY)
				return unfit(formed, "array");
			break;
		case FIELD_OBJECT:
			if (formed->class != CLASS_OBJECT)
				return unfit(formed, "object");
			break;
	}
	return write_by_class(formed, true);
}

/* Blanks around what is JSON already, as it was written. */
static void
trim(Formed *formed)
{
	size_t		blanks = strspn(text_of(formed), " \t\r\n");
	StringInfo	buf = formed->buf;

	if (blanks > 0)
	{
		memmove(buf->data + formed->start, buf->data + formed->start + blanks, buf->len - formed->start - blanks + 1);
		buf->len -= blanks;
	}
	while (buf->len > formed->start && strchr(" \t\r\n", buf->data[buf->len - 1]) != NULL)
		buf->data[--buf->len] = '\0';
}

/* What the value is, now that it is printed; or why it is none that can be written again. */
static const char *
look_at(Formed *formed, const ValueType *type, Datum value)
{
	if (type->json == JSON_JSON || type->json == JSON_CAST)
		trim(formed);
	formed->class = class_of(type, text_of(formed));
	if (type->json == JSON_DATE)
	{
		if (DatumGetDateADT(value) >= (TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE))
			return year_is_odd;
		formed->time = (int64) DatumGetDateADT(value) * USECS_PER_DAY;
	}
	else if (formed->class == CLASS_TIMESTAMP)
		formed->time = DatumGetTimestamp(value);
	return NULL;
}

const char *
act_value_form_element(StringInfo buf, int start, const ValueType *type, Datum value, const ValueForms *forms)
{
	Formed		formed = {.buf = buf,.start = start,.forms = forms};
	const char *problem = look_at(&formed, type, value);

	return problem != NULL ? problem : write_by_class(&formed, false);
}

const char *
act_value_append_formed(StringInfo buf, const ValueType *type, Datum value, bool isnull, const FieldForm *form)
{
	Formed		formed = {.buf = buf,.start = buf->len};
	const char *problem;

	if (isnull || form == NULL || (form->forms == NULL && (form->type == FIELD_UNKNOWN || form->type == FIELD_JSON)))
		return act_value_append_json(buf, type, value, isnull);
	formed.forms = form->forms != NULL ? form->forms : &plain_forms;
	formed.field = form->type;
	problem = act_value_append_container(buf, type, value, formed.forms);
	if (problem != NULL)
		return problem;
	problem = look_at(&formed, type, value);
	return problem != NULL || formed.class == CLASS_NULL ? problem : conform(&formed);
}

char *
act_value_null_json(const FieldForm *form)
{
	StringInfoData text;

	switch (form->null_form)
	{
		case NULL_FORM_NULL:
			return "null";
		case NULL_FORM_EMPTY:
			return "\"\"";
		case NULL_FORM_OMIT:
			return NULL;
		case NULL_FORM_TEXT:
			break;
	}
	initStringInfo(&text);
	act_json_append_string(&text, form->null_text, strlen(form->null_text));
	return text.data;
}
