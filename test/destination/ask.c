/*
 * ask.c
 *	  Asks a test destination from psql (\! $DESTINATION_ASK ...) or a shell.
 *	  Its port comes from DESTINATION_PORT; the answer goes to stdout, exit
 *	  status 1 if it isn't a 2xx.
 *
 * usage: ask records [OBJECT]		what it holds, a line each, by key
 *		  ask rows [OBJECT]			rows it was sent: op, key, fields
 *		  ask requests				method, path, status, number of rows
 *		  ask stats | reset
 *		  ask script JSON | config JSON
 *		  ask get PATH | post PATH BODY
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
fail(const char *what)
{
	fprintf(stderr, "ask: %s\n", what);
	exit(1);
}

static int
connect_to(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	if (port == NULL)
		fail("DESTINATION_PORT is not set");
	address.sin_port = htons(atoi(port));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
		fail("cannot connect");
	return fd;
}

/* Sends one request and prints the answer's body; true for a 2xx. */
static int
ask(const char *method, const char *path, const char *body)
{
	int			fd = connect_to(getenv("DESTINATION_PORT"));
	char	   *answer = NULL;
	size_t		len = 0;
	char	   *blank;
	ssize_t		n;

	dprintf(fd, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
			method, path, strlen(body), body);
	do
	{
		answer = realloc(answer, len + 65537);
		if (answer == NULL)
			abort();
		n = read(fd, answer + len, 65536);
		len += n > 0 ? n : 0;
		answer[len] = '\0';
	} while (n > 0);
	close(fd);
	blank = strstr(answer, "\r\n\r\n");
	if (blank == NULL)
		fail("no answer");
	blank += 4;
	fputs(blank, stdout);
	if (*blank && answer[len - 1] != '\n')
		putchar('\n');
	n = strlen(answer) > 9 && answer[9] == '2';
	free(answer);
	return n;
}

/* "/_text/records?object=a%20b" */
static char *
text_path(const char *what, const char *object)
{
	char	   *path;
	size_t		len;

	if (asprintf(&path, "/_text/%s%s", what, object ? "?object=" : "") < 0)
		abort();
	for (; object && *object; object++)
	{
		len = strlen(path);
		path = realloc(path, len + 4);
		if (path == NULL)
			abort();
		sprintf(path + len, "%%%02X", (unsigned char) *object);
	}
	return path;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const char *first = argc > 2 ? argv[2] : NULL;
	char	   *path = NULL;
	int			ok;

	if (strcmp(what, "records") == 0 || strcmp(what, "rows") == 0 || strcmp(what, "requests") == 0)
		ok = ask("GET", path = text_path(what, first), "");
	else if (strcmp(what, "stats") == 0)
		ok = ask("GET", "/_stats", "");
	else if (strcmp(what, "reset") == 0)
		ok = ask("POST", "/_reset", "");
	else if (strcmp(what, "script") == 0 && first)
		ok = ask("POST", "/_script", first);
	else if (strcmp(what, "config") == 0 && first)
		ok = ask("POST", "/_config", first);
	else if (strcmp(what, "get") == 0 && first)
		ok = ask("GET", first, "");
	else if (strcmp(what, "post") == 0 && first)
		ok = ask("POST", first, argc > 3 ? argv[3] : "");
	else
	{
		fprintf(stderr, "usage: ask records|rows [OBJECT] | requests | stats | reset | "
				"script|config JSON | get PATH | post PATH BODY\n");
		return 2;
	}
	free(path);
	return ok ? 0 : 1;
}
