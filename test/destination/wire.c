/*
 * wire.c
 *	  Reads HTTP/1.1 from what has come on a connection: request line,
 *	  headers, a body by length or in chunks.  What can't be read is refused
 *	  and the connection closed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "conn.h"

#define MAX_HEADERS 200
#define MAX_BODY_BYTES (1024UL * 1024 * 1024)
#define MAX_CHUNK_LINE 1024

int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The caller frees it. */
char *
url_decode(const char *text, size_t len)
{
	char	   *plain = xmalloc(len + 1);
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0)
		{
			plain[n] = hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]);
			n += plain[n] != '\0';
			i += 2;
		}
		else
			plain[n++] = text[i];
	}
	plain[n] = '\0';
	return plain;
}

typedef struct Header
{
	char	   *name;			/* lower case */
	char	   *value;
} Header;

/* One header line; false if it isn't one. */
static bool
read_header(Header *header, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	size_t		name_len = colon ? colon - line : 0;

	if (name_len == 0 || memchr(line, '\0', len) || memchr(line, ' ', name_len))
		return false;
	header->name = xstrndup(line, name_len);
	for (char *p = header->name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	for (colon++; colon < line + len && (*colon == ' ' || *colon == '\t'); colon++);
	while (len > 0 && line + len > colon && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	header->value = xstrndup(colon, line + len - colon);
	return true;
}

/* Headers as a JSON object; those of one name are joined by commas. */
static void
headers_json(Buf *out, const Header *headers, int n)
{
	buf_text(out, "{");
	for (int i = 0; i < n; i++)
	{
		Buf			value = {0};
		bool		seen = false;

		for (int j = 0; j < i; j++)
			seen |= strcmp(headers[j].name, headers[i].name) == 0;
		if (seen)
			continue;
		for (int j = i; j < n; j++)
			if (strcmp(headers[j].name, headers[i].name) == 0)
				buf_format(&value, "%s%s", j > i ? ", " : "", headers[j].value);
		buf_text(out, out->len > 1 ? "," : "");
		buf_json_string(out, headers[i].name, strlen(headers[i].name));
		buf_text(out, ":");
		buf_json_string(out, value.at, value.len);
		buf_free(&value);
	}
	buf_text(out, "}");
}

/* What the server itself needs to know; 0, or the status of the refusal. */
static int
read_special(Conn *conn, const Header *header)
{
	Request    *request = &conn->request;

	if (strcmp(header->name, "content-length") == 0)
	{
		char	   *end;

		errno = 0;
		request->content_length = strtoul(header->value, &end, 10);
		if (errno || *end || end == header->value || *header->value == '-' || *header->value == '+')
			return 400;
		if (request->content_length > MAX_BODY_BYTES)
			return 413;
	}
	else if (strcmp(header->name, "transfer-encoding") == 0)
	{
		if (strcasecmp(header->value, "chunked") != 0)
			return 501;
		request->chunked = true;
	}
	else if (strcmp(header->name, "connection") == 0)
		request->close |= strcasecmp(header->value, "close") == 0;
	else if (strcmp(header->name, "authorization") == 0 && request->authorization == NULL)
		request->authorization = strdup(header->value);
	else if (strcmp(header->name, "idempotency-key") == 0 && request->idempotency_key == NULL)
		request->idempotency_key = strdup(header->value);
	return 0;
}

/* "METHOD /path HTTP/1.x" */
static bool
read_request_line(Request *request, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);
	const char *second = space ? memchr(space + 1, ' ', line + len - space - 1) : NULL;

	if (second == NULL || memchr(line, '\0', len) || space[1] != '/' || space == line ||
		line + len - second != 9 || memcmp(second, " HTTP/1.", 8) != 0)
		return false;
	request->method = xstrndup(line, space - line);
	request->path = xstrndup(space + 1, second - space - 1);
	request->close = second[8] == '0';
	return true;
}

/* Lines of the head after the first; 0, or the status of the refusal. */
static int
read_headers(Conn *conn, const char *line, const char *end, bool *expects)
{
	Header		headers[MAX_HEADERS];
	int			n = 0;
	int			status = 0;

	while (status == 0 && line < end)
	{
		const char *line_stop = memmem(line, end - line, "\r\n", 2);

		if (n == MAX_HEADERS)
			status = 431;
		else if (!read_header(&headers[n], line, line_stop - line))
			status = 400;
		else
		{
			*expects |= strcmp(headers[n].name, "expect") == 0;
			status = read_special(conn, &headers[n++]);
		}
		line = line_stop + 2;
	}
	headers_json(&conn->request.headers, headers, n);
	while (n > 0)
	{
		free(headers[--n].name);
		free(headers[n].value);
	}
	return status;
}

/* false: more bytes are needed, or the connection is done for. */
static bool
read_head(Conn *conn)
{
	const char *end = conn->in.len ? memmem(conn->in.at, conn->in.len, "\r\n\r\n", 4) : NULL;
	const char *line_end;
	bool		expects = false;
	int			status;

	if (end == NULL)
	{
		if (conn->in.len > MAX_HEAD_BYTES)
			refuse(conn, 431, "head too large");
		return false;
	}
	line_end = memmem(conn->in.at, conn->in.len, "\r\n", 2);
	if (!read_request_line(&conn->request, conn->in.at, line_end - conn->in.at))
	{
		refuse(conn, 400, "no request line");
		return false;
	}
	status = read_headers(conn, line_end + 2, end + 2, &expects);
	if (status != 0)
	{
		refuse(conn, status, "bad header");
		return false;
	}
	buf_consume(&conn->in, end + 4 - conn->in.at);
	conn->state = CONN_BODY;
	if (expects && conn->in.len == 0 && write(conn->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25) != 25)
	{
		conn_close(conn);
		return false;
	}
	return true;
}

/* Whether the script closes the connection before the body is read. */
static bool
closed_before_body(Conn *conn)
{
	if (strncmp(conn->request.path, "/_", 2) == 0)
		return false;
	conn->behaviour = script_take(conn->request.method, conn->request.path, NULL);
	if (conn->behaviour == NULL)
		return false;
	count_request(conn);
	stats.faults++;
	conn->reset = conn->behaviour->reset;
	conn_close(conn);
	return true;
}

/* A line "hex[;extension]" at p: its size, -1 if it isn't one. */
static long
chunk_size(const char *p, const char *end)
{
	long		size = 0;
	int			digits = 0;

	for (; p < end && hex_digit(*p) >= 0; p++)
	{
		size = size * 16 + hex_digit(*p);
		if (++digits > 8)
			return -1;
	}
	return digits > 0 && (p == end || *p == ';' || *p == ' ') ? size : -1;
}

/* Takes what has come of a chunked body; 1: complete, 0: not yet, -1: broken. */
static int
read_chunks(Conn *conn)
{
	Request    *request = &conn->request;
	const char *p = conn->in.at;
	const char *end = p + conn->in.len;
	int			result = 0;

	while (p < end && result == 0)
	{
		const char *line_stop;

		if (request->chunk_data && request->chunk_left > 0)
		{
			size_t		n = (size_t) (end - p) < request->chunk_left ? (size_t) (end - p) : request->chunk_left;

			buf_add(&request->body, p, n);
			request->chunk_left -= n;
			p += n;
			continue;
		}
		line_stop = memmem(p, end - p, "\r\n", 2);
		if (line_stop == NULL)
		{
			result = end - p > MAX_CHUNK_LINE ? -1 : 0;
			break;
		}
		if (request->chunk_trailer)
			result = line_stop == p ? 1 : 0;
		else if (request->chunk_data)
		{
			result = line_stop == p ? 0 : -1;
			request->chunk_data = false;
		}
		else
		{
			long		size = chunk_size(p, line_stop);

			if (size < 0 || request->body.len + size > MAX_BODY_BYTES)
				result = -1;
			request->chunk_trailer = size == 0;
			request->chunk_data = size > 0;
			request->chunk_left = size > 0 ? size : 0;
		}
		p = line_stop + 2;
	}
	buf_consume(&conn->in, p - conn->in.at);
	return result;
}

static bool
read_body(Conn *conn)
{
	Request    *request = &conn->request;
	int			result;

	if (request->chunked)
	{
		result = read_chunks(conn);
		if (result < 0)
			refuse(conn, 400, "bad chunk");
		return result > 0;
	}
	if (conn->in.len < request->content_length)
		return false;
	buf_add(&request->body, conn->in.at, request->content_length);
	buf_consume(&conn->in, request->content_length);
	return true;
}

/* Goes on with what was read, until more is needed. */
void
process(Conn *conn)
{
	while (conn->fd >= 0)
	{
		if (conn->state == CONN_HEAD && conn->in.len > 0 && read_head(conn))
		{
			if (closed_before_body(conn))
				return;
		}
		if (conn->fd < 0 || conn->state != CONN_BODY || !read_body(conn))
			return;
		handle_request(conn);
		if (conn->fd < 0 || conn->state != CONN_HEAD)
			return;
	}
}
