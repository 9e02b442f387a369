/*-------------------------------------------------------------------------
 *
 * http.c
 *	  The event loop under HTTP requests (design decision 5).
 *
 * libcurl's sockets are watched by an epoll descriptor of our own, and that
 * descriptor stands in a WaitEventSet beside the latch and postmaster death,
 * so that waiting for the network is waiting as the server does it: cancel and
 * terminate are answered at once.  All that is done for the network happens
 * in loop_turn(), with signals blocked, as libcurl may start threads and those
 * must not run the server's signal handlers.  Nothing in there throws; what
 * throws (memory for an answer, an interrupt) does so outside of libcurl.
 *
 * At most max_connections requests are at libcurl, the others wait here: a
 * request that waits inside of libcurl is charged for it, its connect timeout
 * runs.  Over HTTP/2 those max_connections requests share connections.
 *
 * When libcurl fails as a whole its state is not to be trusted.  Whatever it
 * had ends as lost (or as not sent, where that is certain), and it is made
 * anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "compat.h"
#include "http_private.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

/* epoll_fd and wake_fd; the WaitEventSet accounts for its own. */
#define LOOP_FDS		2

/* Sockets looked at in one go; the rest comes in the next. */
#define EPOLL_EVENTS	64

/* Connections held back for the rest of the process, of RLIMIT_NOFILE. */
#define RESERVED_FDS	64

static void loop_copy_policy(HttpLoop *loop, const HttpPolicy *policy);
static void loop_read_proxy(HttpLoop *loop);
static int	loop_max_connections(int wanted);
static void loop_open(HttpLoop *loop);
static void loop_reset_callback(void *arg);
static bool multi_open(HttpLoop *loop);
static void multi_close(HttpLoop *loop);
static void multi_renew(HttpLoop *loop);
static int	on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg);
static int	on_timer(CURLM *multi, long timeout_ms, void *arg);
static void loop_turn(HttpLoop *loop);
static void loop_serve_sockets(HttpLoop *loop);
static void loop_act(HttpLoop *loop, curl_socket_t fd, int events);
static void loop_collect(HttpLoop *loop);
static void loop_admit(HttpLoop *loop);
static bool loop_has_place(HttpLoop *loop);
static long loop_wait_ms(HttpLoop *loop, int64 until_us);
static void transfers_free(dlist_head *transfers);
static void string_wipe(const char *string);
static void signals_block(sigset_t *saved);
static void signals_restore(const sigset_t *saved);

HttpLoop *
act_http_loop_create(const HttpPolicy *policy)
{
	static bool initialized = false;
	HttpLoop   *loop = palloc0(sizeof(HttpLoop));

	loop->epoll_fd = loop->wake_fd = -1;
	loop->timer_us = -1;
	dlist_init(&loop->names);
	dlist_init(&loop->waiting);
	dlist_init(&loop->running);
	dlist_init(&loop->finished);
	loop_copy_policy(loop, policy);

	/* Never before the first use: not in the postmaster, which preloads us. */
	if (!initialized)
	{
		sigset_t	saved;
		CURLcode	result;

		signals_block(&saved);
		result = curl_global_init(CURL_GLOBAL_ALL);
		signals_restore(&saved);
		if (result != CURLE_OK)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("could not initialize libcurl: %s",
							curl_easy_strerror(result))));
		initialized = true;
	}

	PG_TRY();
	{
		loop_read_proxy(loop);
		loop_open(loop);
	}
	PG_CATCH();
	{
		act_http_loop_destroy(loop);
		PG_RE_THROW();
	}
	PG_END_TRY();

	/* For a caller who forgets: the memory does not go before the rest. */
	loop->on_reset.func = loop_reset_callback;
	loop->on_reset.arg = loop;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &loop->on_reset);
	return loop;
}

void
act_http_loop_destroy(HttpLoop *loop)
{
	sigset_t	saved;

	if (loop == NULL || loop->closed)
		return;
	loop->closed = true;

	signals_block(&saved);
	multi_close(loop);
	while (loop->n_spares > 0)
		curl_easy_cleanup(loop->spares[--loop->n_spares]);
	free(loop->spares);
	loop->spares = NULL;
	transfers_free(&loop->waiting);
	transfers_free(&loop->finished);
	loop->n_waiting = loop->n_finished = 0;
	act_lookup_free(loop);
	signals_restore(&saved);

	if (loop->events != NULL)
		FreeWaitEventSet(loop->events);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	for (; loop->fds > 0; loop->fds--)
		ReleaseExternalFD();
	string_wipe(loop->policy.proxy);
}

void
act_http_send(HttpLoop *loop, const HttpRequest *request, void *owner)
{
	HttpTransfer *transfer;
	const char *problem;

	transfer = act_transfer_create(loop, request, owner);
	if (transfer == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	dlist_push_tail(&loop->waiting, &transfer->node);
	loop->n_waiting++;
	if (!transfer->decided && transfer->name != NULL &&
		!act_lookup_want(loop, transfer->name, transfer->started_us, &problem))
		act_transfer_decide(transfer, HTTP_UNREACHED,
							"could not resolve host name \"%s\": %s",
							transfer->peer, problem);
	if (transfer->decided)
		act_http_finish(transfer);
}

void
act_http_wait(HttpLoop *loop, long timeout_ms)
{
	static uint32 wait_event = 0;
	int64		until_us = timeout_ms < 0 ? -1 :
		act_http_now_us() + timeout_ms * INT64CONST(1000);
	bool		woken = false;

	CHECK_FOR_INTERRUPTS();
	loop_turn(loop);
	for (;;)
	{
		WaitEvent	event;

		/*
		 * Even with an answer at hand: otherwise a busy loop would never
		 * notice that the postmaster is gone.
		 */
		if (WaitEventSetWait(loop->events, loop_wait_ms(loop, until_us), &event, 1,
							 act_compat_wait_event(&wait_event, "ActivateHttp")) == 1 &&
			(event.events & WL_LATCH_SET))
		{
			ResetLatch(MyLatch);
			woken = true;
		}
		CHECK_FOR_INTERRUPTS();
		if (loop->n_finished > 0)
			return;
		loop_turn(loop);
		if (woken || loop->n_finished > 0 ||
			(until_us >= 0 && act_http_now_us() >= until_us))
			return;
	}
}

HttpResponse *
act_http_next(HttpLoop *loop, void **owner)
{
	HttpTransfer *transfer;
	HttpResponse *response;

	if (dlist_is_empty(&loop->finished))
		return NULL;
	transfer = dlist_head_element(HttpTransfer, node, &loop->finished);
	/* May throw: until then the transfer stays where destroy finds it. */
	response = act_response_create(transfer);
	*owner = transfer->owner;
	dlist_delete(&transfer->node);
	loop->n_finished--;
	act_transfer_free(transfer);
	return response;
}

/* act_http_finish moves a transfer from those that wait to the finished. */
void
act_http_finish(HttpTransfer *transfer)
{
	HttpLoop   *loop = transfer->loop;

	dlist_delete(&transfer->node);
	loop->n_waiting--;
	transfer->finished_us = act_http_now_us();
	dlist_push_tail(&loop->finished, &transfer->node);
	loop->n_finished++;
}

int64
act_http_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64CONST(1000000) + now.tv_nsec / 1000;
}

/* The policy outlives the caller's; settings can change under a loop. */
static void
loop_copy_policy(HttpLoop *loop, const HttpPolicy *policy)
{
#define COPY(member) \
	loop->policy.member = policy->member != NULL ? pstrdup(policy->member) : NULL

	loop->policy = *policy;
	loop->policy.proxy = NULL;
	COPY(ca_file);
	COPY(client_cert_file);
	COPY(client_key_file);
	COPY(allowed_hosts);
	if (policy->proxy != NULL && policy->proxy[0] != '\0')
		COPY(proxy);
	/* libcurl reads 0 as "its default" or "never"; an answer is one palloc. */
	loop->policy.connect_timeout_ms = Max(policy->connect_timeout_ms, 1);
	loop->policy.timeout_ms = Max(policy->timeout_ms, 1);
	loop->policy.max_response_bytes = Min(Max(policy->max_response_bytes, 1),
										  MaxAllocSize - 1);
	loop->policy.max_connections = loop_max_connections(policy->max_connections);
}

/*
 * loop_read_proxy finds out whom we connect to instead, and writes the proxy's
 * port out so that libcurl and we mean the same.
 */
static void
loop_read_proxy(HttpLoop *loop)
{
	CURLU	   *url;
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;
	char	   *whole = NULL;

	if (loop->policy.proxy == NULL)
		return;
	url = curl_url();
	if (url != NULL &&
		curl_url_set(url, CURLUPART_URL, loop->policy.proxy,
					 strstr(loop->policy.proxy, "://") == NULL ? CURLU_GUESS_SCHEME : 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		(strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
		curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		strlen(host) <= HTTP_MAX_HOST)
	{
		/* libcurl's own default for a proxy of this kind. */
		if (curl_url_get(url, CURLUPART_PORT, &port, 0) != CURLUE_OK)
			(void) curl_url_set(url, CURLUPART_PORT,
								strcmp(scheme, "https") == 0 ? "443" : "1080", 0);
		curl_free(port);
		port = NULL;
		if (curl_url_get(url, CURLUPART_PORT, &port, 0) == CURLUE_OK &&
			curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK)
		{
			size_t		len = strlen(host);

			string_wipe(loop->policy.proxy);
			loop->proxy_port = atoi(port);
			loop->proxy_host = host[0] == '[' ?
				pnstrdup(host + 1, len - 2) : pstrdup(host);
			loop->policy.proxy = pstrdup(whole);
			string_wipe(whole);
		}
	}
	curl_url_cleanup(url);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(whole);
	if (loop->proxy_host == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the proxy is not of the form http://host:port or https://host:port")));
}

/* No more than half of what descriptors the process may have. */
static int
loop_max_connections(int wanted)
{
	struct rlimit limit;
	int64		most = PG_INT32_MAX;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		most = (int64) Min(limit.rlim_cur / 2, PG_INT32_MAX) - RESERVED_FDS;
	return (int) Max(Min(wanted, most), 1);
}

/* loop_open opens all that has to be closed again. */
static void
loop_open(HttpLoop *loop)
{
	struct epoll_event wake = {.events = EPOLLIN};
	sigset_t	saved;
	bool		opened;

	while (loop->fds < LOOP_FDS)
	{
		if (!AcquireExternalFD())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("too many open files for sending requests"),
					 errhint("Consider raising max_files_per_process.")));
		loop->fds++;
	}
	loop->events = act_compat_wait_event_set(3);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	wake.data.fd = loop->wake_fd;
	if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &wake) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not open descriptors for sending requests: %m")));
	AddWaitEventToSet(loop->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	if (IsUnderPostmaster)
		AddWaitEventToSet(loop->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(loop->events, WL_SOCKET_READABLE, loop->epoll_fd, NULL, NULL);

	signals_block(&saved);
	opened = multi_open(loop);
	signals_restore(&saved);
	if (!opened)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not set up libcurl for sending requests")));
}

static void
loop_reset_callback(void *arg)
{
	act_http_loop_destroy(arg);
}

static bool
multi_open(HttpLoop *loop)
{
	CURLM	   *multi = curl_multi_init();
	long		connections = loop->policy.max_connections;

	if (multi == NULL)
		return false;
	if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, loop) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_TIMERDATA, loop) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX) != CURLM_OK)
	{
		(void) curl_multi_cleanup(multi);
		return false;
	}
	loop->multi = multi;
	loop->multi_failed = false;
	loop->timer_us = -1;
	return true;
}

/* multi_close takes all transfers from libcurl and ends it. */
static void
multi_close(HttpLoop *loop)
{
	while (!dlist_is_empty(&loop->running))
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node,
												 dlist_pop_head_node(&loop->running));

		loop->n_running--;
		act_transfer_stop(transfer, CURLE_ABORTED_BY_CALLBACK);
		transfer->finished_us = act_http_now_us();
		dlist_push_tail(&loop->finished, &transfer->node);
		loop->n_finished++;
	}
	/* Connections are closed and unwatched by this, through on_socket(). */
	if (loop->multi != NULL)
		(void) curl_multi_cleanup(loop->multi);
	loop->multi = NULL;
}

/* multi_renew starts again after libcurl failed as a whole. */
static void
multi_renew(HttpLoop *loop)
{
	dlist_iter	iter;

	dlist_foreach(iter, &loop->running)
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node, iter.cur);

		act_transfer_decide(transfer,
							transfer->sends > 0 ? HTTP_LOST : HTTP_UNREACHED,
							"libcurl failed and was started again");
	}
	multi_close(loop);
	/* Without one, requests end as not sent until there is one again. */
	(void) multi_open(loop);
}

/*
 * on_socket watches a socket as libcurl asks.  -1 makes libcurl give up, after
 * which multi_renew() clears up.
 */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	HttpLoop   *loop = arg;
	struct epoll_event event = {.data.fd = fd};

	if (what == CURL_POLL_REMOVE)
	{
		/* May be closed already, which has unwatched it. */
		(void) epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0 &&
		(errno != EEXIST ||
		 epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0))
	{
		loop->multi_failed = true;
		return -1;
	}
	return 0;
}

/* on_timer notes when libcurl wants to be called; -1: it does not. */
static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	HttpLoop   *loop = arg;

	loop->timer_us = timeout_ms < 0 ? -1 :
		act_http_now_us() + timeout_ms * INT64CONST(1000);
	return 0;
}

/* loop_turn does all there is to do for the network, without waiting. */
static void
loop_turn(HttpLoop *loop)
{
	sigset_t	saved;

	signals_block(&saved);
	loop_serve_sockets(loop);
	act_lookup_settle(loop, act_http_now_us());
	loop_admit(loop);
	if (loop->timer_us >= 0 && act_http_now_us() >= loop->timer_us)
	{
		loop->timer_us = -1;
		loop_act(loop, CURL_SOCKET_TIMEOUT, 0);
	}
	loop_collect(loop);
	if (loop->multi_failed || loop->multi == NULL)
		multi_renew(loop);
	signals_restore(&saved);
}

static void
loop_serve_sockets(HttpLoop *loop)
{
	struct epoll_event events[EPOLL_EVENTS];
	int			n = epoll_wait(loop->epoll_fd, events, EPOLL_EVENTS, 0);

	for (int i = 0; i < n; i++)
	{
		int			what = 0;

		if (events[i].data.fd == loop->wake_fd)
		{
			uint64		count;

			/* act_lookup_settle() finds out which lookup it was. */
			if (read(loop->wake_fd, &count, sizeof(count)) < 0)
				continue;
			continue;
		}
		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		loop_act(loop, events[i].data.fd, what);
	}
}

static void
loop_act(HttpLoop *loop, curl_socket_t fd, int events)
{
	int			running;

	if (loop->multi == NULL || loop->multi_failed)
		return;
	if (curl_multi_socket_action(loop->multi, fd, events, &running) != CURLM_OK)
		loop->multi_failed = true;
}

/* loop_collect takes finished transfers from libcurl. */
static void
loop_collect(HttpLoop *loop)
{
	CURLMsg    *message;
	int			left;

	if (loop->multi == NULL)
		return;
	while ((message = curl_multi_info_read(loop->multi, &left)) != NULL)
	{
		HttpTransfer *transfer = NULL;
		CURLcode	result = message->data.result;

		if (message->msg != CURLMSG_DONE ||
			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) != CURLE_OK ||
			transfer == NULL)
			continue;
		/* The message goes with the handle. */
		act_transfer_stop(transfer, result);
		if (result != CURLE_OK && transfer->sends == 0 && transfer->name != NULL)
			act_lookup_forget(transfer->name);
		dlist_delete(&transfer->node);
		loop->n_running--;
		transfer->finished_us = act_http_now_us();
		dlist_push_tail(&loop->finished, &transfer->node);
		loop->n_finished++;
	}
}

/* loop_admit gives waiting transfers to libcurl, in the order they came. */
static void
loop_admit(HttpLoop *loop)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &loop->waiting)
	{
		HttpTransfer *transfer = dlist_container(HttpTransfer, node, iter.cur);

		if (transfer->name != NULL && transfer->name->resolve == NULL)
			continue;
		if (!loop_has_place(loop))
			break;
		if (!act_transfer_start(transfer))
		{
			act_http_finish(transfer);
			continue;
		}
		dlist_delete(&transfer->node);
		loop->n_waiting--;
		dlist_push_tail(&loop->running, &transfer->node);
		loop->n_running++;
	}
}

/*
 * loop_has_place says whether libcurl may get another transfer.  Descriptors
 * are accounted for as more transfers than ever before run at once, and kept,
 * as libcurl keeps the connections.  One connection is allowed in any case.
 */
static bool
loop_has_place(HttpLoop *loop)
{
	if (loop->n_running >= loop->policy.max_connections)
		return false;
	if (loop->n_running < loop->fds - LOOP_FDS)
		return true;
	if (AcquireExternalFD())
		loop->fds++;
	else if (loop->n_running > 0)
		return false;
	return true;
}

/* loop_wait_ms returns how long to wait until until_us (-1: without limit). */
static long
loop_wait_ms(HttpLoop *loop, int64 until_us)
{
	int64		lookup_us = act_lookup_deadline(loop);
	int64		wait_us;

	if (loop->n_finished > 0)
		return 0;
	if (loop->timer_us >= 0 && (until_us < 0 || loop->timer_us < until_us))
		until_us = loop->timer_us;
	if (lookup_us >= 0 && (until_us < 0 || lookup_us < until_us))
		until_us = lookup_us;
	if (until_us < 0)
		return -1;
	wait_us = until_us - act_http_now_us();
	return wait_us <= 0 ? 0 : (long) Min((wait_us + 999) / 1000, PG_INT32_MAX);
}

static void
transfers_free(dlist_head *transfers)
{
	while (!dlist_is_empty(transfers))
		act_transfer_free(dlist_container(HttpTransfer, node,
										  dlist_pop_head_node(transfers)));
}

static void
string_wipe(const char *string)
{
	if (string != NULL)
		explicit_bzero((char *) string, strlen(string));
}

static void
signals_block(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
signals_restore(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}
