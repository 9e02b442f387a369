/*-------------------------------------------------------------------------
 *
 * json_equal.c
 *	  Whether what a destination has is what a row would send it.
 *
 * Many an API answers with text where it was given a number, so it is the
 * type of our value that says how the two are compared.  Touches neither
 * database nor network.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json_equal.h"

/* Exponents beyond are no value of anybody's. */
#define MAX_EXPONENT 100000

/* digits as they stand in text; returns how many. */
static int
count_digits(const char *text)
{
	return (int) strspn(text, "0123456789");
}

bool
act_json_append_number(StringInfo buf, const char *text)
{
	bool		negative = *text == '-';
	const char *whole = negative ? text + 1 : text;
	int			nwhole = count_digits(whole);
	const char *fraction = whole + nwhole + (whole[nwhole] == '.' ? 1 : 0);
	int			nfraction = whole[nwhole] == '.' ? count_digits(fraction) : 0;
	const char *end = fraction + nfraction;
	int			start = buf->len;
	long		exponent = 0;
	int			first;

	if (nwhole == 0 || (nwhole > 1 && *whole == '0') || (whole[nwhole] == '.' && nfraction == 0))
		return false;
	if (*end == 'e' || *end == 'E')
	{
		char	   *rest;

		if (count_digits(end + 1 + strspn(end + 1, "+-")) == 0 || strspn(end + 1, "+-") > 1)
			return false;
		errno = 0;
		exponent = strtol(end + 1, &rest, 10);
		end = rest;
		if (errno != 0 || exponent > MAX_EXPONENT || exponent < -MAX_EXPONENT)
			return false;
	}
	if (*end != '\0')
		return false;

	/* All digits as one whole number; zeros at either end say nothing. */
	exponent -= nfraction;
	if (negative)
		appendStringInfoChar(buf, '-');
	first = buf->len;
	appendBinaryStringInfo(buf, whole, nwhole);
	appendBinaryStringInfo(buf, fraction, nfraction);
	while (buf->len > first && buf->data[buf->len - 1] == '0')
	{
		buf->data[--buf->len] = '\0';
		exponent++;
	}
	whole = buf->data + first;
	nwhole = strspn(whole, "0");
	memmove(buf->data + first, whole + nwhole, buf->len - first - nwhole + 1);
	buf->len -= nwhole;
	if (buf->len == first)
	{
		buf->len = start;
		appendStringInfoChar(buf, '0');
	}
	else
		appendStringInfo(buf, "e%ld", exponent);
	return true;
}

bool
act_json_same_number(const char *ours, const char *other)
{
	StringInfoData a;
	StringInfoData b;
	bool		same;

	initStringInfo(&a);
	initStringInfo(&b);
	same = act_json_append_number(&a, ours) && act_json_append_number(&b, other) && strcmp(a.data, b.data) == 0;
	pfree(a.data);
	pfree(b.data);
	return same;
}

static bool
same_scalar(const cJSON *ours, const char *text, const cJSON *other)
{
	char	   *other_text = act_json_scalar_text(other);
	bool		same;

	if (cJSON_IsBool(ours))
		same = cJSON_IsBool(other) ? cJSON_IsTrue(ours) == cJSON_IsTrue(other) :
			other_text != NULL && strcmp(other_text, cJSON_IsTrue(ours) ? "true" : "false") == 0;
	else if (text == NULL || other_text == NULL)
		same = false;
	else
		same = strcmp(text, other_text) == 0 || (cJSON_IsNumber(ours) && act_json_same_number(text, other_text));
	if (other_text != NULL)
		pfree(other_text);
	return same;
}

/* ours: as cJSON itself reads it, which knows the types; exact: with the texts of its numbers. */
static bool
same_value(const cJSON *ours, const cJSON *exact, const cJSON *other)
{
	if (cJSON_IsNull(ours) || other == NULL || cJSON_IsNull(other))
		return cJSON_IsNull(ours) && (other == NULL || cJSON_IsNull(other));
	if (cJSON_IsArray(ours))
	{
		const cJSON *exact_element = exact->child;
		const cJSON *other_element = other->child;

		if (!cJSON_IsArray(other) || cJSON_GetArraySize(ours) != cJSON_GetArraySize(other))
			return false;
		for (const cJSON *element = ours->child; element != NULL; element = element->next)
		{
			if (!same_value(element, exact_element, other_element))
				return false;
			exact_element = exact_element->next;
			other_element = other_element->next;
		}
		return true;
	}
	if (cJSON_IsObject(ours))
	{
		const cJSON *exact_member = exact->child;

		if (!cJSON_IsObject(other))
			return false;
		for (const cJSON *member = ours->child; member != NULL; member = member->next)
		{
			if (!same_value(member, exact_member, cJSON_GetObjectItemCaseSensitive(other, member->string)))
				return false;
			exact_member = exact_member->next;
		}
		return true;
	}
	return same_scalar(ours, act_json_scalar_text(exact), other);
}

bool
act_json_contains(const cJSON *other, const char *ours, size_t len)
{
	cJSON	   *volatile typed = NULL;
	cJSON	   *volatile exact = NULL;
	volatile bool same = false;
	char	   *problem;

	PG_TRY();
	{
		typed = cJSON_ParseWithLength(ours, len);
		exact = act_json_parse(ours, len, JSON_ANSWER, &problem);
		same = typed != NULL && exact != NULL && same_value(typed, exact, other);
	}
	PG_CATCH();
	{
		cJSON_Delete(typed);
		cJSON_Delete(exact);
		PG_RE_THROW();
	}
	PG_END_TRY();
	cJSON_Delete(typed);
	cJSON_Delete(exact);
	return same;
}
