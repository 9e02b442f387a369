/*-------------------------------------------------------------------------
 *
 * records.c
 *	  Answers that are records one after the other: CSV, lines of JSON.
 *
 * CSV as RFC 4180 has it, and strictly: a header line whose names differ,
 * as many columns in each line, quotes only around a whole column, lines
 * that end in LF or CRLF.  What is lenient elsewhere would here move values
 * from one row to another.  A byte order mark means nothing; bytes that are
 * no UTF-8, and NUL, become U+FFFD, as in JSON.  A column that is empty is
 * no member of its record, quoted or not: the format does not tell the two
 * apart in a way that anybody keeps to.
 *
 * Needs neither database nor transaction.  Allocates in the current memory
 * context, trees with malloc(); throws only for want of memory and on
 * cancel.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "json_text.h"
#include "records.h"

const char *const act_record_formats[] = {"json", "csv", "ndjson", NULL};
StaticAssertDecl(lengthof(act_record_formats) == RECORDS_NDJSON + 2, "every format has its name");

struct Records
{
	RecordFormat format;
	const char *next;
	const char *end;
	int			line;			/* of the text, that next is in */
	int			ncolumns;		/* 0: the header is not read yet */
	char	  **columns;
	StringInfoData field;
	cJSON	   *record;
};

Records *
act_records_open(RecordFormat format, const char *text, size_t len)
{
	Records    *records = palloc0(sizeof(Records));

	records->format = format;
	records->next = text;
	records->end = text + len;
	records->line = 1;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		records->next += 3;
	initStringInfo(&records->field);
	return records;
}

void
act_records_close(Records *records)
{
	cJSON_Delete(records->record);
	records->record = NULL;
}

static const char *
bad(const Records *records, char **problem, const char *what)
{
	*problem = psprintf("%s (line %d)", what, records->line);
	return NULL;
}

static bool
at_line_end(const Records *records)
{
	const char *next = records->next;

	return next == records->end || *next == '\n' || (*next == '\r' && next + 1 < records->end && next[1] == '\n');
}

static void
skip_line_end(Records *records)
{
	if (records->next == records->end)
		return;
	records->next += *records->next == '\r' ? 2 : 1;
	records->line++;
}

/* The next column, as text, in records->field.  NULL: *problem says why not. */
static const char *
read_column(Records *records, char **problem)
{
	const char *start = records->next;
	StringInfo	field = &records->field;

	resetStringInfo(field);
	if (start == records->end || *start != '"')
	{
		while (!at_line_end(records) && *records->next != ',')
		{
			if (*records->next == '"' || *records->next == '\r')
				return bad(records, problem, "a quote or a carriage return stands within a column without quotes");
			records->next++;
		}
		if (records->next - start > ACT_RECORD_MAX_BYTES)
			return bad(records, problem, "a column is too long");
		act_utf8_append(field, start, records->next - start);
		return field->data;
	}

	start = ++records->next;
	for (; records->next < records->end; records->next++)
	{
		if (*records->next == '\n')
			records->line++;
		if (*records->next != '"')
			continue;
		if (records->next - start + field->len > ACT_RECORD_MAX_BYTES)
			return bad(records, problem, "a column is too long");
		act_utf8_append(field, start, records->next - start);
		if (records->next + 1 == records->end || records->next[1] != '"')
		{
			records->next++;
			if (!at_line_end(records) && *records->next != ',')
				return bad(records, problem, "something follows a closing quote");
			return field->data;
		}
		start = ++records->next;	/* the second of two stands for itself */
	}
	return bad(records, problem, "it is cut off within quotes");
}

static bool
read_header(Records *records, char **problem)
{
	int			room = 16;

	records->columns = palloc(sizeof(char *) * room);
	if (records->next == records->end)
		return bad(records, problem, "it is empty, without even a header line") != NULL;
	for (;;)
	{
		const char *name = read_column(records, problem);

		if (name == NULL)
			return false;
		if (*name == '\0')
			return bad(records, problem, "a column has no name") != NULL;
		for (int i = 0; i < records->ncolumns; i++)
		{
			if (strcmp(records->columns[i], name) == 0)
				return bad(records, problem, "two columns have one name") != NULL;
		}
		if (records->ncolumns == ACT_RECORD_MAX_COLUMNS)
			return bad(records, problem, "it has too many columns") != NULL;
		if (records->ncolumns == room)
			records->columns = repalloc(records->columns, sizeof(char *) * (room *= 2));
		records->columns[records->ncolumns++] = pstrdup(name);
		if (at_line_end(records))
			break;
		records->next++;		/* the comma */
		CHECK_FOR_INTERRUPTS();
	}
	skip_line_end(records);
	return true;
}

/* cJSON answers NULL where it has no memory. */
static cJSON *
made(cJSON *value)
{
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return value;
}

static const cJSON *
next_line(Records *records, char **problem)
{
	int			line = records->line;

	records->record = made(cJSON_CreateObject());
	for (int i = 0; i < records->ncolumns; i++)
	{
		const char *text = read_column(records, problem);
		cJSON	   *value;

		if (text == NULL)
			return NULL;
		if (*text != '\0')
		{
			value = made(cJSON_CreateString(text));
			if (!cJSON_AddItemToObject(records->record, records->columns[i], value))
			{
				cJSON_Delete(value);
				made(NULL);
			}
		}
		if (at_line_end(records) != (i == records->ncolumns - 1))
		{
			records->line = line;
			(void) bad(records, problem, "a line has not as many columns as the header");
			return NULL;
		}
		if (!at_line_end(records))
			records->next++;
	}
	skip_line_end(records);
	return records->record;
}

static const cJSON *
next_json(Records *records, char **problem)
{
	while (records->next < records->end)
	{
		const char *start = records->next;
		const char *stop = memchr(start, '\n', records->end - start);
		const char *c = start;
		int			line = records->line;

		if (stop == NULL)
			stop = records->end;
		records->next = Min(stop + 1, records->end);
		records->line++;
		while (c < stop && (*c == ' ' || *c == '\t' || *c == '\r'))
			c++;
		if (c == stop)
			continue;
		if (stop - start > ACT_RECORD_MAX_BYTES)
			*problem = "it is too large";
		else
			records->record = act_json_parse(start, stop - start, JSON_ANSWER, problem);
		if (records->record == NULL)
			*problem = psprintf("line %d: %s", line, *problem);
		return records->record;
	}
	return NULL;
}

const cJSON *
act_records_next(Records *records, char **problem)
{
	CHECK_FOR_INTERRUPTS();
	*problem = NULL;
	act_records_close(records);
	if (records->format == RECORDS_NDJSON)
		return next_json(records, problem);
	if (records->ncolumns == 0 && !read_header(records, problem))
		return NULL;
	if (records->next == records->end)
		return NULL;
	return next_line(records, problem);
}
