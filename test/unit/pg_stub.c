/*-------------------------------------------------------------------------
 *
 * pg_stub.c
 *	  As much of a server as code without a database needs.
 *
 * Every palloc() is a malloc() of its own, so that sanitizers see each
 * byte; what cJSON allocates stays visible to the leak checker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pg_stub.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#undef vsnprintf
#undef snprintf
#undef fprintf

typedef struct Block
{
	struct Block *next;
	struct Block *previous;
	Size		size;
	Size		unused;			/* keeps what follows aligned to 16 bytes */
} Block;

volatile sig_atomic_t InterruptPending = false;
int			stub_interrupts = 0;

void
ProcessInterrupts(void)
{
	stub_interrupts++;
}

StubError	stub_error;
sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;
MemoryContext CurrentMemoryContext = NULL;

static Block blocks = {&blocks, &blocks, 0, 0};

static void
link_block(Block *block, Size size)
{
	block->size = size;
	block->next = blocks.next;
	block->previous = &blocks;
	block->next->previous = block;
	blocks.next = block;
}

static void
unlink_block(Block *block)
{
	block->next->previous = block->previous;
	block->previous->next = block->next;
}

void
stub_reset(void)
{
	while (blocks.next != &blocks)
		pfree(blocks.next + 1);
}

void *
palloc(Size size)
{
	Block	   *block;

	if (size > MaxAllocSize)
		elog(ERROR, "invalid memory alloc request size");
	block = malloc(sizeof(Block) + size);
	if (block == NULL)
		abort();
	memset(block + 1, 0x7f, size);
	link_block(block, size);
	return block + 1;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void
pfree(void *pointer)
{
	Block	   *block = (Block *) pointer - 1;

	unlink_block(block);
	free(block);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return palloc(size);
}

void *
repalloc(void *pointer, Size size)
{
	Block	   *block = (Block *) pointer - 1;
	void	   *larger = palloc(size);

	memcpy(larger, pointer, Min(block->size, size));
	pfree(pointer);
	return larger;
}

char *
pnstrdup(const char *in, Size len)
{
	Size		n = strnlen(in, len);
	char	   *copy = palloc(n + 1);

	memcpy(copy, in, n);
	copy[n] = '\0';
	return copy;
}

char *
pstrdup(const char *in)
{
	return pnstrdup(in, strlen(in));
}

char *
psprintf(const char *fmt,...)
{
	StringInfoData buf;
	va_list		args;
	int			needed;

	initStringInfo(&buf);
	for (;;)
	{
		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			return buf.data;
		enlargeStringInfo(&buf, needed);
	}
}

int
pg_snprintf(char *str, size_t count, const char *fmt,...)
{
	va_list		args;
	int			len;

	va_start(args, fmt);
	len = vsnprintf(str, count, fmt, args);
	va_end(args);
	return len;
}

int
pg_strcasecmp(const char *a, const char *b)
{
	return strcasecmp(a, b);
}

int
pg_strncasecmp(const char *a, const char *b, size_t n)
{
	return strncasecmp(a, b, n);
}

unsigned char
pg_ascii_tolower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

unsigned char
pg_ascii_toupper(unsigned char c)
{
	return c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c;
}

void
initStringInfo(StringInfo str)
{
	str->maxlen = 1024;
	str->data = palloc(str->maxlen);
	resetStringInfo(str);
}

void
resetStringInfo(StringInfo str)
{
	str->data[0] = '\0';
	str->len = 0;
	str->cursor = 0;
}

void
enlargeStringInfo(StringInfo str, int needed)
{
	if (needed < 0 || (Size) needed >= MaxAllocSize - (Size) str->len)
		elog(ERROR, "out of memory");
	needed += str->len + 1;
	if (needed <= str->maxlen)
		return;
	while (str->maxlen < needed)
		str->maxlen = (int) Min((Size) str->maxlen * 2, MaxAllocSize);
	str->data = repalloc(str->data, str->maxlen);
}

#if PG_VERSION_NUM >= 160000
typedef void Bytes;
#else
typedef char Bytes;
#endif

void
appendBinaryStringInfo(StringInfo str, const Bytes *data, int len)
{
	enlargeStringInfo(str, len);
	memcpy(str->data + str->len, data, len);
	str->len += len;
	str->data[str->len] = '\0';
}

void
appendStringInfoString(StringInfo str, const char *s)
{
	appendBinaryStringInfo(str, s, strlen(s));
}

void
appendStringInfoChar(StringInfo str, char c)
{
	appendBinaryStringInfo(str, &c, 1);
}

int
appendStringInfoVA(StringInfo str, const char *fmt, va_list args)
{
	int			available = str->maxlen - str->len;
	int			len = vsnprintf(str->data + str->len, available, fmt, args);

	if (len < available)
	{
		str->len += len;
		return 0;
	}
	str->data[str->len] = '\0';
	return len + 1;
}

void
appendStringInfo(StringInfo str, const char *fmt,...)
{
	va_list		args;
	int			needed;

	for (;;)
	{
		va_start(args, fmt);
		needed = appendStringInfoVA(str, fmt, args);
		va_end(args);
		if (needed == 0)
			return;
		enlargeStringInfo(str, needed);
	}
}

List *
lappend(List *list, void *datum)
{
	if (list == NIL)
	{
		list = palloc0(sizeof(List));
		list->type = T_List;
	}
	if (list->length == list->max_length)
	{
		ListCell   *cells = palloc((list->length + 4) * sizeof(ListCell));

		if (list->length > 0)
			memcpy(cells, list->elements, list->length * sizeof(ListCell));
		list->elements = cells;
		list->max_length = list->length + 4;
	}
	list->elements[list->length++].ptr_value = datum;
	return list;
}

List *
list_make1_impl(NodeTag type, ListCell datum)
{
	return lappend(NIL, datum.ptr_value);
}

List *
list_copy(const List *list)
{
	List	   *copy = NIL;

	for (int i = 0; list != NIL && i < list->length; i++)
		copy = lappend(copy, list->elements[i].ptr_value);
	return copy;
}

void
list_sort(List *list, list_sort_comparator cmp)
{
	for (int i = 1; list != NIL && i < list->length; i++)
	{
		for (int j = i; j > 0 && cmp(&list->elements[j - 1], &list->elements[j]) > 0; j--)
		{
			ListCell	cell = list->elements[j];

			list->elements[j] = list->elements[j - 1];
			list->elements[j - 1] = cell;
		}
	}
}

/* The plain algorithm; the server's is quicker. */
int
varstr_levenshtein_less_equal(const char *source, int slen, const char *target, int tlen,
							  int ins_c, int del_c, int sub_c, int max_d, bool trusted)
{
	int		   *row = palloc((tlen + 1) * sizeof(int));
	int			edits;

	for (int j = 0; j <= tlen; j++)
		row[j] = j;
	for (int i = 1; i <= slen; i++)
	{
		int			diagonal = row[0];

		row[0] = i;
		for (int j = 1; j <= tlen; j++)
		{
			int			above = row[j];

			row[j] = Min(Min(above, row[j - 1]) + 1, diagonal + (source[i - 1] != target[j - 1]));
			diagonal = above;
		}
	}
	edits = row[tlen];
	pfree(row);
	return edits;
}

bool
errstart(int elevel, const char *domain)
{
	memset(&stub_error, 0, sizeof(stub_error));
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlerrcode)
{
	stub_error.sqlstate = sqlerrcode;
	return 0;
}

#define STUB_FORMAT(into) \
	do { \
		va_list		args; \
		va_start(args, fmt); \
		vsnprintf(into, sizeof(into), fmt, args); \
		va_end(args); \
	} while (0)

int
errmsg(const char *fmt,...)
{
	STUB_FORMAT(stub_error.message);
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	STUB_FORMAT(stub_error.message);
	return 0;
}

int
errdetail(const char *fmt,...)
{
	STUB_FORMAT(stub_error.detail);
	return 0;
}

int
errdetail_internal(const char *fmt,...)
{
	STUB_FORMAT(stub_error.detail);
	return 0;
}

int
errhint(const char *fmt,...)
{
	STUB_FORMAT(stub_error.hint);
	return 0;
}

void
pg_re_throw(void)
{
	if (PG_exception_stack == NULL)
	{
		fprintf(stderr, "ERROR outside PG_TRY: %s\n", stub_error.message);
		abort();
	}
	siglongjmp(*PG_exception_stack, 1);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	pg_re_throw();
}

#undef qsort
void
pg_qsort(void *base, size_t nel, size_t elsize, int (*cmp) (const void *, const void *))
{
	if (nel > 0)
		qsort(base, nel, elsize, cmp);
}
