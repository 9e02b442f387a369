/*-------------------------------------------------------------------------
 *
 * json.c
 *	  JSON as it comes from strangers, as a tree.
 *
 * cJSON is lenient and makes doubles of numbers, so a scan comes first: it
 * bounds size, depth and the number of values, keeps numbers exact by making
 * strings of those that a double may change, and lets no byte through that
 * text in the database cannot hold.  The grammar is left to cJSON.
 *
 * No transaction is needed; results are allocated in the current memory
 * context, trees with malloc().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "json.h"
#include "json_text.h"

#define EXACT_DIGITS 15			/* decimal digits that survive a double */

typedef struct JsonScan
{
	const char *next;
	const char *end;
	JsonReading reading;
	StringInfoData out;
	int			depth;
	int			values;
	const char *problem;		/* NULL: all is well so far */
} JsonScan;

static void scan_document(JsonScan *scan);
static void scan_string(JsonScan *scan);
static void scan_escape(JsonScan *scan);
static void scan_number(JsonScan *scan);
static void scan_word(JsonScan *scan);
static char *place_in_words(const char *text, size_t offset, const char *problem);

cJSON *
act_json_parse(const char *text, size_t len, JsonReading reading, char **problem)
{
	JsonScan	scan = {0};
	cJSON	   *root;
	const char *stop = NULL;
	size_t		offset;

	*problem = NULL;
	if (len > ACT_JSON_MAX_BYTES)
	{
		*problem = pstrdup("it is too large");
		return NULL;
	}
	scan.next = text;
	scan.end = text + len;
	scan.reading = reading;
	initStringInfo(&scan.out);
	scan_document(&scan);
	if (scan.problem != NULL)
	{
		*problem = place_in_words(text, scan.next - text, scan.problem);
		pfree(scan.out.data);
		return NULL;
	}

	/* The length includes the NUL, which cJSON then insists on finding. */
	root = cJSON_ParseWithLengthOpts(scan.out.data, scan.out.len + 1, &stop, true);
	if (root == NULL)
	{
		offset = stop == NULL ? 0 : stop - scan.out.data;
		*problem = place_in_words(scan.out.data, Min(offset, (size_t) scan.out.len),
								  "it is no valid JSON");
	}
	pfree(scan.out.data);
	return root;
}

/* Where in the text, as an editor counts. */
static char *
place_in_words(const char *text, size_t offset, const char *problem)
{
	int			line = 1;
	size_t		line_start = 0;

	for (size_t i = 0; i < offset; i++)
	{
		if (text[i] == '\n')
		{
			line++;
			line_start = i + 1;
		}
	}
	return psprintf("%s (line %d, column %d)", problem, line, (int) (offset - line_start) + 1);
}

static void
scan_document(JsonScan *scan)
{
	if (scan->end - scan->next >= 3 && memcmp(scan->next, "\xef\xbb\xbf", 3) == 0)
		scan->next += 3;		/* a byte order mark means nothing */

	while (scan->next < scan->end && scan->problem == NULL)
	{
		char		c = *scan->next;

		switch (c)
		{
			case '{':
			case '[':
				if (++scan->depth > ACT_JSON_MAX_DEPTH)
				{
					scan->problem = "it is nested too deeply";
					return;
				}
				/* FALLTHROUGH */
			case ',':
				if (++scan->values > ACT_JSON_MAX_VALUES)
				{
					scan->problem = "it has too many values";
					return;
				}
				break;
			case '}':
			case ']':
				if (--scan->depth < 0)
				{
					scan->problem = "it is no valid JSON";
					return;
				}
				break;
			case ':':
			case ' ':
			case '\t':
			case '\r':
			case '\n':
				break;
			case '"':
				scan_string(scan);
				continue;
			default:
				if (c == '-' || (c >= '0' && c <= '9'))
					scan_number(scan);
				else
					scan_word(scan);
				continue;
		}
		appendStringInfoCharMacro(&scan->out, c);
		scan->next++;
	}
	if (scan->problem == NULL && scan->depth > 0)
		scan->problem = "it is cut off";
	else if (scan->problem == NULL && scan->out.len == 0)
		scan->problem = "it is empty";
}

/* Copies a string, quotes included, in runs of what needs no attention. */
static void
scan_string(JsonScan *scan)
{
	const char *run = scan->next++;

	while (scan->next < scan->end)
	{
		unsigned char c = (unsigned char) *scan->next;
		int			len;

		if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\')
		{
			scan->next++;
			continue;
		}
		if (c == '"')
		{
			scan->next++;
			appendBinaryStringInfo(&scan->out, run, scan->next - run);
			return;
		}
		if (c >= 0x80 && (len = act_utf8_length(scan->next, scan->end - scan->next)) > 0)
		{
			scan->next += len;
			continue;
		}
		appendBinaryStringInfo(&scan->out, run, scan->next - run);
		if (c == '\\')
			scan_escape(scan);
		else if (scan->reading == JSON_DOCUMENT)
			scan->problem = c < 0x20 ? "a string has a control character in it"
				: "a string is not valid UTF-8";
		else
		{
			if (c == 0 || c >= 0x80)
				appendStringInfoString(&scan->out, ACT_UTF8_REPLACEMENT);
			else
				appendStringInfo(&scan->out, "\\u%04x", c);
			scan->next++;
		}
		if (scan->problem != NULL)
			return;
		run = scan->next;
	}
	scan->problem = "it is cut off";
}

/* An escape sequence; the backslash is next. */
static void
scan_escape(JsonScan *scan)
{
	const char *start = scan->next;
	unsigned int code;
	unsigned int low;
	int			len = 2;
	bool		bad = false;

	if (scan->end - start < 2)
	{
		scan->problem = "it is cut off";
		return;
	}
	if (start[1] == 'u')
	{
		if (!act_json_read_hex4(start + 2, scan->end, &code))
		{
			scan->problem = "a string has an escape that means nothing";
			return;
		}
		len = 6;
		bad = code == 0 || (code >= 0xDC00 && code <= 0xDFFF);
		if (code >= 0xD800 && code <= 0xDBFF)
		{
			if (scan->end - start >= 12 && start[6] == '\\' && start[7] == 'u' &&
				act_json_read_hex4(start + 8, scan->end, &low) && low >= 0xDC00 && low <= 0xDFFF)
				len = 12;
			else
				bad = true;
		}
	}
	else if (start[1] == '\0' || strchr("\"\\/bfnrt", start[1]) == NULL)
	{
		scan->problem = "a string has an escape that means nothing";
		return;
	}

	if (bad && scan->reading == JSON_DOCUMENT)
		scan->problem = "a string has a NUL or half a surrogate pair in it";
	else if (bad)
		appendStringInfoString(&scan->out, ACT_UTF8_REPLACEMENT);
	else
		appendBinaryStringInfo(&scan->out, start, len);
	if (scan->problem == NULL)
		scan->next += len;
}

static const char *
skip_digits(const char *next, const char *end)
{
	while (next < end && *next >= '0' && *next <= '9')
		next++;
	return next;
}

/* Copies a number as it is, or as a string where a double might change it. */
static void
scan_number(JsonScan *scan)
{
	const char *start = scan->next;
	const char *first = *start == '-' ? start + 1 : start;
	const char *next = skip_digits(first, scan->end);
	bool		exact = next - first <= EXACT_DIGITS;
	bool		plain = true;
	bool		valid = next > first && (*first != '0' || next == first + 1);

	if (valid && next < scan->end && *next == '.')
	{
		const char *fraction = next + 1;

		next = skip_digits(fraction, scan->end);
		valid = next > fraction;
		exact = (next - first - 1) <= EXACT_DIGITS;
		plain = false;
	}
	if (valid && next < scan->end && (*next == 'e' || *next == 'E'))
	{
		const char *exponent = next + 1;

		if (exponent < scan->end && (*exponent == '+' || *exponent == '-'))
			exponent++;
		next = skip_digits(exponent, scan->end);
		valid = next > exponent;
		exact = plain = false;
	}
	if (!valid)
		scan->problem = next == scan->end ? "it is cut off" : "a number is malformed";
	else if (scan->reading == JSON_DOCUMENT && !exact)
		scan->problem = "a number has more than 15 digits or an exponent";
	else if (scan->reading == JSON_DOCUMENT || (exact && plain))
		appendBinaryStringInfo(&scan->out, start, next - start);
	else
	{
		appendStringInfoChar(&scan->out, '"');
		appendBinaryStringInfo(&scan->out, start, next - start);
		appendStringInfoChar(&scan->out, '"');
	}
	if (scan->problem == NULL)
		scan->next = next;
}

/* true, false, null: nothing else begins with a letter. */
static void
scan_word(JsonScan *scan)
{
	static const char *const words[] = {"true", "false", "null"};
	size_t		left = scan->end - scan->next;

	for (int i = 0; i < lengthof(words); i++)
	{
		size_t		len = strlen(words[i]);

		if (memcmp(scan->next, words[i], Min(len, left)) != 0)
			continue;
		if (left < len)
			scan->problem = "it is cut off";
		else
		{
			appendBinaryStringInfo(&scan->out, words[i], len);
			scan->next += len;
		}
		return;
	}
	scan->problem = "it is no valid JSON";
}

char *
act_json_scalar_text(const cJSON *value)
{
	if (cJSON_IsString(value))
		return pstrdup(value->valuestring);
	if (cJSON_IsNumber(value))
		return psprintf("%.15g", value->valuedouble);
	return NULL;
}

void
act_json_append(StringInfo buf, const cJSON *value, int limit)
{
	bool		is_object = cJSON_IsObject(value);
	size_t		len;

	if (cJSON_IsString(value))
	{
		len = strlen(value->valuestring);
		if (limit > 0)
			len = act_utf8_clip(value->valuestring, len, limit);
		act_json_append_string(buf, value->valuestring, len);
	}
	else if (cJSON_IsNumber(value))
		appendStringInfo(buf, "%.15g", value->valuedouble);
	else if (cJSON_IsBool(value))
		appendStringInfoString(buf, cJSON_IsTrue(value) ? "true" : "false");
	else if (is_object || cJSON_IsArray(value))
	{
		appendStringInfoChar(buf, is_object ? '{' : '[');
		for (const cJSON *child = value->child; child != NULL; child = child->next)
		{
			if (limit > 0 && buf->len >= limit)
				return;
			if (child != value->child)
				appendStringInfoChar(buf, ',');
			if (is_object)
			{
				act_json_append_string(buf, child->string, strlen(child->string));
				appendStringInfoChar(buf, ':');
			}
			act_json_append(buf, child, limit);
		}
		appendStringInfoChar(buf, is_object ? '}' : ']');
	}
	else
		appendStringInfoString(buf, "null");
}

JsonPointer *
act_json_pointer_compile(const char *text)
{
	JsonPointer *pointer = palloc0(sizeof(JsonPointer));
	char	   *out;

	if (*text != '\0' && *text != '/')
		return NULL;
	for (const char *c = text; *c != '\0'; c++)
	{
		if (*c == '~' && c[1] != '0' && c[1] != '1')
			return NULL;
		if (*c == '/')
			pointer->ntokens++;
	}
	pointer->text = pstrdup(text);
	pointer->tokens = palloc0(sizeof(char *) * (pointer->ntokens + 1));

	/* unescaping only shrinks, so one copy holds all tokens */
	out = palloc(strlen(text) + 1);
	for (int i = 0; i < pointer->ntokens; i++)
	{
		pointer->tokens[i] = out;
		for (text++; *text != '\0' && *text != '/'; text++)
		{
			if (*text == '~')
				*out++ = *++text == '0' ? '~' : '/';
			else
				*out++ = *text;
		}
		*out++ = '\0';
	}
	return pointer;
}

const cJSON *
act_json_pointer_resolve(const JsonPointer *pointer, const cJSON *root)
{
	for (int i = 0; i < pointer->ntokens && root != NULL; i++)
	{
		const char *token = pointer->tokens[i];
		size_t		len = strlen(token);

		if (cJSON_IsObject(root))
			root = cJSON_GetObjectItemCaseSensitive(root, token);
		else if (cJSON_IsArray(root) && len > 0 && len <= 9 &&
				 strspn(token, "0123456789") == len && (len == 1 || *token != '0'))
			root = cJSON_GetArrayItem(root, atoi(token));
		else
			return NULL;
	}
	return root;
}

bool
act_json_pointer_append(StringInfo buf, const cJSON *root, const cJSON *value)
{
	int			start = buf->len;
	int			index = 0;

	if (root == value)
		return true;
	for (const cJSON *child = root->child; child != NULL; child = child->next, index++)
	{
		appendStringInfoChar(buf, '/');
		if (child->string == NULL)
			appendStringInfo(buf, "%d", index);
		else
		{
			for (const char *c = child->string; *c != '\0'; c++)
			{
				if (*c == '~' || *c == '/')
					appendStringInfoString(buf, *c == '~' ? "~0" : "~1");
				else
					appendStringInfoChar(buf, *c);
			}
		}
		if (act_json_pointer_append(buf, child, value))
			return true;
		buf->len = start;
		buf->data[start] = '\0';
	}
	return false;
}
