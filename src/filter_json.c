/*-------------------------------------------------------------------------
 *
 * filter_json.c
 *	  Filters that know what JSON is: numbers, booleans, lists, null.
 *
 * Numbers are checked and copied digit by digit, never read, so that none
 * loses any.  Pure functions over bytes: no catalogs, no transaction; they
 * throw for want of memory only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "filter.h"
#include "json_text.h"

/* Whole numbers of more digits than any destination's fit into no type. */
#define MAX_INT_DIGITS 1000

static bool
is_null(const StringInfoData *json)
{
	return json->len == 4 && memcmp(json->data, "null", 4) == 0;
}

/* The text of a scalar; of an object or array, its JSON. */
static void
append_text(StringInfo to, const char *json, size_t len)
{
	if (len > 0 && *json == '"')
		act_json_append_unescaped(to, json, len);
	else
		appendBinaryStringInfo(to, json, len);
}

/* x where there is nothing; any other value as it is. */
bool
act_filter_default(const char *argument, const StringInfoData *from, StringInfo to)
{
	if (is_null(from))
		act_json_append_string(to, argument, strlen(argument));
	else
		appendBinaryStringInfo(to, from->data, from->len);
	return true;
}

/* null where the text is x; any other value as it is. */
bool
act_filter_nullif(const char *argument, const StringInfoData *from, StringInfo to)
{
	size_t		len = strlen(argument);
	bool		same;

	append_text(to, from->data, from->len);
	same = (size_t) to->len == len && memcmp(to->data, argument, len) == 0;
	resetStringInfo(to);
	if (same)
		appendStringInfoString(to, "null");
	else
		appendBinaryStringInfo(to, from->data, from->len);
	return true;
}

/* Of an array, or of what is none. */
bool
act_filter_first(const char *argument, const StringInfoData *from, StringInfo to)
{
	const char *next = from->data;
	const char *end = from->data + from->len;
	JsonMember	element;

	if (from->len == 0 || *from->data != '[')
		appendBinaryStringInfo(to, from->data, from->len);
	else if (act_json_next_element(&next, end, &element))
		appendBinaryStringInfo(to, element.value, element.value_len);
	else
		appendStringInfoString(to, "null");
	return true;
}

/* Each element or member as text, but for null. */
bool
act_filter_strings(const char *argument, const StringInfoData *from, StringInfo to)
{
	const char *next = from->data;
	const char *end = from->data + from->len;
	bool		is_object = from->len > 0 && *from->data == '{';
	bool		is_array = from->len > 0 && *from->data == '[';
	JsonMember	member;

	if (is_object || is_array)
		appendStringInfoCharMacro(to, *from->data);
	while (is_object ? act_json_next_member(&next, end, &member) :
		   is_array && act_json_next_element(&next, end, &member))
	{
		if (to->len > 1)
			appendStringInfoCharMacro(to, ',');
		if (is_object)
		{
			appendBinaryStringInfo(to, member.name, member.name_len);
			appendStringInfoCharMacro(to, ':');
		}
		act_json_append_as_text(to, member.value, member.value_len);
	}
	if (is_object || is_array)
		appendStringInfoCharMacro(to, is_object ? '}' : ']');
	else
		act_json_append_as_text(to, from->data, from->len);
	return true;
}

/* The part of a member's name before the separator, with its first quote; 0: there is none. */
static int
outer_len(const JsonMember *member, const char *separator)
{
	int			len = strlen(separator);

	for (int i = 2; i + len < member->name_len - 1; i++)
	{
		if (memcmp(member->name + i, separator, len) == 0)
			return i;
	}
	return 0;
}

static bool
is_within(const JsonMember *member, const char *separator, const JsonMember *first, int outer)
{
	return outer_len(member, separator) == outer && memcmp(member->name, first->name, outer) == 0;
}

/* {"a.b": 1, "a.c": 2} by "." is {"a": {"b": 1, "c": 2}}: one level of it. */
bool
act_filter_nest(const char *argument, const StringInfoData *from, StringInfo to)
{
	const char *next = from->data;
	const char *end = from->data + from->len;
	int			separator_len = strlen(argument);
	JsonMember	member;

	if (from->len == 0 || *from->data != '{')
	{
		appendBinaryStringInfo(to, from->data, from->len);
		return true;
	}
	appendStringInfoCharMacro(to, '{');
	while (act_json_next_member(&next, end, &member))
	{
		int			outer = outer_len(&member, argument);
		const char *again = from->data;
		bool		first = true;
		JsonMember	other;

		if (outer > 0)
		{
			/* They stand where the first of them stood. */
			while (act_json_next_member(&again, end, &other) && !is_within(&other, argument, &member, outer))
				;
			if (other.name != member.name)
				continue;
		}
		if (to->len > 1)
			appendStringInfoCharMacro(to, ',');
		appendBinaryStringInfo(to, member.name, outer > 0 ? outer : member.name_len);
		if (outer == 0)
		{
			appendStringInfoCharMacro(to, ':');
			appendBinaryStringInfo(to, member.value, member.value_len);
			continue;
		}
		appendStringInfoString(to, "\":{");
		again = from->data;
		while (act_json_next_member(&again, end, &other))
		{
			if (!is_within(&other, argument, &member, outer))
				continue;
			if (!first)
				appendStringInfoCharMacro(to, ',');
			first = false;
			appendStringInfoCharMacro(to, '"');
			appendBinaryStringInfo(to, other.name + outer + separator_len, other.name_len - outer - separator_len);
			appendStringInfoCharMacro(to, ':');
			appendBinaryStringInfo(to, other.value, other.value_len);
		}
		appendStringInfoCharMacro(to, '}');
	}
	appendStringInfoCharMacro(to, '}');
	return true;
}

/* Elements that are null have no text. */
bool
act_filter_join(const char *argument, const StringInfoData *from, StringInfo to)
{
	const char *next = from->data;
	const char *end = from->data + from->len;
	bool		first = true;
	JsonMember	element;

	if (from->len == 0 || *from->data != '[')
	{
		append_text(to, from->data, from->len);
		return true;
	}
	while (act_json_next_element(&next, end, &element))
	{
		if (element.value_len == 4 && memcmp(element.value, "null", 4) == 0)
			continue;
		if (!first)
			appendStringInfoString(to, argument);
		first = false;
		append_text(to, element.value, element.value_len);
	}
	return true;
}

/* No text, no elements. */
bool
act_filter_split(const char *argument, const StringInfoData *from, StringInfo to)
{
	const char *start = from->data;
	const char *end = from->data + from->len;

	appendStringInfoCharMacro(to, '[');
	while (from->len > 0)
	{
		const char *found = strstr(start, argument);

		act_json_append_string(to, start, (found == NULL ? end : found) - start);
		if (found == NULL)
			break;
		appendStringInfoCharMacro(to, ',');
		start = found + strlen(argument);
	}
	appendStringInfoCharMacro(to, ']');
	return true;
}

/* ------------------------------------------------------------------- numbers */

/* A number as people write it, in its parts. */
typedef struct NumberText
{
	bool		negative;
	const char *whole;
	int			whole_len;		/* without zeros in front */
	const char *fraction;
	int			fraction_len;	/* without zeros at the end */
	const char *all_fraction;
	int			all_fraction_len;
	const char *exponent;		/* with its sign; NULL: none */
	int			exponent_len;
} NumberText;

static int
digit_run(const char *text, const char *end)
{
	const char *next = text;

	while (next < end && *next >= '0' && *next <= '9')
		next++;
	return next - text;
}

static bool
read_number(const StringInfoData *from, NumberText *number)
{
	StringInfoData text = act_filter_trimmed(from);
	const char *next = text.data;
	const char *end = text.data + text.len;
	int			digits;

	memset(number, 0, sizeof(NumberText));
	if (next < end && (*next == '-' || *next == '+'))
		number->negative = *next++ == '-';
	number->whole = next;
	digits = number->whole_len = digit_run(next, end);
	next += number->whole_len;
	if (next < end && *next == '.')
	{
		number->fraction = number->all_fraction = ++next;
		number->fraction_len = number->all_fraction_len = digit_run(next, end);
		digits += number->fraction_len;
		next += number->fraction_len;
	}
	if (digits == 0)
		return false;
	if (next < end && (*next == 'e' || *next == 'E'))
	{
		const char *sign = ++next;

		if (next < end && (*next == '-' || *next == '+'))
			next++;
		number->exponent = sign;
		number->exponent_len = (next - sign) + digit_run(next, end);
		if (number->exponent_len == next - sign)
			return false;
		next = sign + number->exponent_len;
	}
	while (number->whole_len > 0 && *number->whole == '0')
	{
		number->whole++;
		number->whole_len--;
	}
	while (number->fraction_len > 0 && number->fraction[number->fraction_len - 1] == '0')
		number->fraction_len--;
	return next == end;
}

/* As some write a boolean into a column of numbers. */
static bool
append_boolean_number(const StringInfoData *from, StringInfo to)
{
	bool		is_true = from->len == 4 && memcmp(from->data, "true", 4) == 0;
	bool		is_false = from->len == 5 && memcmp(from->data, "false", 5) == 0;

	if (is_true || is_false)
		appendStringInfoCharMacro(to, is_true ? '1' : '0');
	return is_true || is_false;
}

/* Digit for digit, in the grammar of JSON. */
bool
act_filter_number(const char *argument, const StringInfoData *from, StringInfo to)
{
	NumberText	number;

	if (!read_number(from, &number))
		return append_boolean_number(from, to);
	if (number.negative)
		appendStringInfoCharMacro(to, '-');
	if (number.whole_len == 0)
		appendStringInfoCharMacro(to, '0');
	appendBinaryStringInfo(to, number.whole, number.whole_len);
	if (number.all_fraction_len > 0)
	{
		appendStringInfoCharMacro(to, '.');
		appendBinaryStringInfo(to, number.all_fraction, number.all_fraction_len);
	}
	if (number.exponent != NULL)
	{
		appendStringInfoCharMacro(to, 'e');
		appendBinaryStringInfo(to, number.exponent, number.exponent_len);
	}
	return true;
}

/* A number without a fraction, written without exponent: 12, 12.0, 1.2e1. */
bool
act_filter_int(const char *argument, const StringInfoData *from, StringInfo to)
{
	NumberText	number;
	StringInfoData digits;
	int			exponent;
	int			len;
	int			skip = 0;
	bool		whole = true;

	if (!read_number(from, &number))
		return append_boolean_number(from, to);
	exponent = number.exponent == NULL ? 0 : number.exponent_len > 6 ? MAX_INT_DIGITS + 1 : atoi(number.exponent);
	initStringInfo(&digits);
	appendBinaryStringInfo(&digits, number.whole, number.whole_len);
	if (number.fraction_len > 0)
		appendBinaryStringInfo(&digits, number.fraction, number.fraction_len);
	len = number.whole_len + exponent;	/* digits before the point, once it is moved */
	while (skip < digits.len && digits.data[skip] == '0')
		skip++;
	if (skip == digits.len)		/* zero, however it is written */
		appendStringInfoCharMacro(to, '0');
	else if (len > MAX_INT_DIGITS || len <= skip)
		whole = false;
	else
	{
		for (int i = Max(len, 0); i < digits.len; i++)
			whole = whole && digits.data[i] == '0';
		if (number.negative)
			appendStringInfoCharMacro(to, '-');
		for (int i = skip; i < len; i++)
			appendStringInfoCharMacro(to, i < digits.len ? digits.data[i] : '0');
	}
	pfree(digits.data);
	return whole;
}

/* A whole number that is far from the limits of its type. */
static bool
read_count(const char *text, size_t len, int64 *count)
{
	char	   *copy = pnstrdup(text, len);
	char	   *end;

	errno = 0;
	*count = strtoll(copy, &end, 10);
	return errno == 0 && end != copy && *end == '\0' && *count > -PG_INT32_MAX && *count < PG_INT32_MAX;
}

bool
act_filter_plus(const char *argument, const StringInfoData *from, StringInfo to)
{
	int64		left;
	int64		right;

	if (!read_count(from->data, from->len, &left) || !read_count(argument, strlen(argument), &right))
		return false;
	appendStringInfo(to, INT64_FORMAT, left + right);
	return true;
}

/* The larger one. */
bool
act_filter_at_least(const char *argument, const StringInfoData *from, StringInfo to)
{
	int64		left;
	int64		right;

	if (!read_count(from->data, from->len, &left) || !read_count(argument, strlen(argument), &right))
		return false;
	appendStringInfo(to, INT64_FORMAT, Max(left, right));
	return true;
}

bool
act_filter_bool(const char *argument, const StringInfoData *from, StringInfo to)
{
	static const char *const words[] = {
		"false", "true", "f", "t", "no", "yes", "n", "y", "off", "on", "0", "1"
	};
	StringInfoData text = act_filter_trimmed(from);

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strlen(words[i]) == (size_t) text.len && pg_strncasecmp(words[i], text.data, text.len) == 0)
		{
			appendStringInfoString(to, words[i % 2]);
			return true;
		}
	}
	return false;
}
