/*
 * destination.c
 *	  The test destination: an HTTP/1.1 server on 127.0.0.1 that keeps records,
 *	  answers by script and logs each request.  One thread, one epoll.
 *
 * It speaks the webhook contract: POST /{object} with rows, answered row by
 * row.  Paths that begin with /_ control it (see README.md beside this file).
 * It must outlive whatever a client sends: what it can't read is answered
 * with a 4xx and the connection is closed.
 *
 * usage: destination [--die-with-parent] [PORT]	prints "PORT n"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "conn.h"
#include "log.h"

#define BACKLOG 1024
#define READ_BYTES 65536
#define MIN_PORT 10000			/* five digits, so that masking keeps the width */

static int	epoll_fd;
static int	listen_fd;
static Conn *conns;
static long last_connection;
static volatile sig_atomic_t stop;

static void flush_out(Conn *conn);

int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/*
 * ---- connections ----
 */

static void
watch(Conn *conn, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = conn};

	if (conn->events == events)
		return;
	epoll_ctl(epoll_fd, conn->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->fd, &event);
	conn->events = events;
}

void
set_busy(Conn *conn, bool busy)
{
	if (conn->busy == busy)
		return;
	conn->busy = busy;
	stats.busy += busy ? 1 : -1;
	if (stats.busy > stats.max_busy)
		stats.max_busy = stats.busy;
}

/* Forgets the request: the connection is ready for another. */
static void
forget_request(Conn *conn)
{
	LogEntry   *entry = log_find(conn->seq);

	if (entry && entry->ended == 0)
		entry->ended = now_us() / 1e6;
	set_busy(conn, false);
	free(conn->request.method);
	free(conn->request.path);
	buf_free(&conn->request.headers);
	free(conn->request.authorization);
	free(conn->request.idempotency_key);
	buf_free(&conn->request.body);
	memset(&conn->request, 0, sizeof(conn->request));
	script_release(conn->behaviour);
	conn->behaviour = NULL;
	conn->seq = 0;
	conn->evaluated = false;
	conn->status = 0;
	conn->nresults = 0;
	conn->is_lookup = false;
	conn->raw = false;
	conn->content_type = NULL;
	buf_free(&conn->results);
	buf_free(&conn->body);
	conn->state = CONN_HEAD;
}

/* Closes the socket; conn stays until the events at hand are done. */
void
conn_close(Conn *conn)
{
	struct linger linger = {1, 0};

	if (conn->fd < 0)
		return;
	if (conn->reset)
		setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(conn->fd);
	conn->fd = -1;
	stats.open -= conn->counted;
	forget_request(conn);
}

static void
free_closed_conns(void)
{
	Conn	   *next;

	for (Conn *conn = conns; conn; conn = next)
	{
		next = conn->next;
		if (conn->fd >= 0)
			continue;
		if (conn->prev)
			conn->prev->next = next;
		else
			conns = next;
		if (next)
			next->prev = conn->prev;
		buf_free(&conn->in);
		buf_free(&conn->out);
		free(conn);
	}
}

static void
accept_conns(void)
{
	int			fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		Conn	   *conn = xmalloc(sizeof(Conn));

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int) {1}, sizeof(int));
		conn->fd = fd;
		conn->id = ++last_connection;
		conn->next = conns;
		if (conns)
			conns->prev = conn;
		conns = conn;
		watch(conn, EPOLLIN);
	}
}

/*
 * ---- answers ----
 */

const char *
reason(int status)
{
	return status < 300 ? "OK" : status < 400 ? "Redirect" : status < 500 ? "Refused" : "Failed";
}

void
send_out(Conn *conn)
{
	conn->state = CONN_WRITE;
	flush_out(conn);
}

void
answer_plain(Conn *conn, int status, const char *type, const Buf *body)
{
	LogEntry   *entry = log_find(conn->seq);

	if (entry)
		entry->status = status;
	buf_format(&conn->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
			   status, reason(status), type, body->len);
	buf_add(&conn->out, body->at, body->len);
	send_out(conn);
}

void
answer_error(Conn *conn, int status, const char *text)
{
	Buf			body = {0};

	buf_text(&body, "{\"error\":");
	buf_json_string(&body, text, strlen(text));
	buf_text(&body, "}");
	answer_plain(conn, status, "application/json", &body);
	buf_free(&body);
}

/* What can't be read as HTTP: say so and hang up. */
void
refuse(Conn *conn, int status, const char *text)
{
	conn->close_after = true;
	answer_error(conn, status, text);
}

void
start_endless(Conn *conn)
{
	conn->state = CONN_ENDLESS;
	flush_out(conn);
}

/*
 * ---- the loop ----
 */

static void
refill_endless(Conn *conn)
{
	static char filler[READ_BYTES];

	memset(filler, ' ', sizeof(filler));
	conn->out.len = 0;
	conn->sent = 0;
	buf_format(&conn->out, "%x\r\n", READ_BYTES);
	buf_add(&conn->out, filler, sizeof(filler));
	buf_text(&conn->out, "\r\n");
}

static void
flush_out(Conn *conn)
{
	while (conn->sent < conn->out.len)
	{
		ssize_t		n = send(conn->fd, conn->out.at + conn->sent, conn->out.len - conn->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
		{
			watch(conn, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n <= 0)
		{
			conn_close(conn);
			return;
		}
		conn->sent += n;
	}
	if (conn->state == CONN_ENDLESS)
	{
		refill_endless(conn);	/* for the next turn, so that others get theirs */
		watch(conn, EPOLLIN | EPOLLOUT);
		return;
	}
	buf_free(&conn->out);
	conn->sent = 0;
	watch(conn, EPOLLIN);
	if (conn->close_after)
		conn_close(conn);
	else
		forget_request(conn);
}

/* The client hung up, and what it asked for is done all the same. */
static bool
goes_on_alone(Conn *conn)
{
	LogEntry   *entry = log_find(conn->seq);

	if (conn->state != CONN_WAIT || conn->due == NEVER || !conn->behaviour || conn->behaviour->apply != APPLY_LATE)
		return false;
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	conn->events = 0;
	conn->close_after = true;
	if (entry)
		entry->ended = now_us() / 1e6;
	return true;
}

static void
read_in(Conn *conn)
{
	ssize_t		n;

	if (conn->stale)
	{
		conn->reset = true;		/* what came is not even read */
		conn_close(conn);
		return;
	}
	buf_reserve(&conn->in, READ_BYTES);
	n = recv(conn->fd, conn->in.at + conn->in.len, READ_BYTES, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 0 && goes_on_alone(conn))
		return;
	if (n <= 0 || (conn->state >= CONN_WAIT && conn->in.len + n > MAX_HEAD_BYTES))
	{
		conn_close(conn);
		return;
	}
	conn->in.len += n;
	conn->in.at[conn->in.len] = '\0';
	process(conn);
}

static void
conn_event(Conn *conn, uint32_t events)
{
	if (conn->fd >= 0 && (events & EPOLLOUT))
	{
		flush_out(conn);
		if (conn->fd >= 0 && conn->state == CONN_HEAD)
			process(conn);
	}
	if (conn->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		read_in(conn);
}

/* Answers what is due; milliseconds to the next, -1 if there is none. */
static int
run_due(void)
{
	int64_t		now = now_us();
	int64_t		next = NEVER;

	for (Conn *conn = conns; conn; conn = conn->next)
	{
		if (conn->fd < 0 || conn->state != CONN_WAIT)
			continue;
		if (conn->due <= now)
		{
			answer(conn);
			process(conn);
		}
		if (conn->fd >= 0 && conn->state == CONN_WAIT && conn->due < next)
			next = conn->due;
	}
	return next == NEVER ? -1 : next <= now ? 0 : (int) ((next - now + 999) / 1000);
}

static int
listen_on(int port)
{
	for (;;)
	{
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
		socklen_t	len = sizeof(address);
		int			fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) {1}, sizeof(int));
		if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0 ||
			getsockname(fd, (struct sockaddr *) &address, &len) < 0)
		{
			perror("destination");
			exit(1);
		}
		if (port != 0 || ntohs(address.sin_port) >= MIN_PORT)
		{
			printf("PORT %d\n", ntohs(address.sin_port));
			fflush(stdout);
			return fd;
		}
		close(fd);
	}
}

static void
on_signal(int signo)
{
	stop = signo;
}

static void
free_everything(void)
{
	for (Conn *conn = conns; conn; conn = conn->next)
		conn_close(conn);
	free_closed_conns();
	reset_everything();
	close(listen_fd);
	close(epoll_fd);
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};	/* no SA_RESTART: epoll_wait returns */
	struct epoll_event events[256];
	int			port = 0;

	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--die-with-parent") == 0)
			prctl(PR_SET_PDEATHSIG, SIGTERM);
		else
			port = atoi(argv[i]);
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listen_fd = listen_on(port);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &(struct epoll_event) {.events = EPOLLIN, .data.ptr = NULL});

	while (!stop)
	{
		int			wait = run_due();
		int			n;

		free_closed_conns();
		n = epoll_wait(epoll_fd, events, 256, wait);
		for (int i = 0; i < n; i++)
		{
			if (events[i].data.ptr == NULL)
				accept_conns();
			else
				conn_event(events[i].data.ptr, events[i].events);
		}
	}
	free_everything();
	return 0;
}
