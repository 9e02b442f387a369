/*-------------------------------------------------------------------------
 *
 * http_transfer.c
 *	  One request at libcurl: what is refused before anything is sent, how
 *	  the easy handle is set up, and the callbacks.
 *
 * Called by http.c with all signals blocked where libcurl might start a
 * thread.  Nothing here throws or pallocs: a callback that jumped out of
 * libcurl would leave its handles in an undefined state, so callbacks store
 * what they have to say in the transfer and return short.
 *
 * Sent twice?  libcurl repeats a request on a fresh connection when a reused
 * one turns out closed before any byte of an answer came.  The server may
 * have seen the first copy.  That is let through where it does no harm: GET,
 * PUT and DELETE, and whatever carries an Idempotency-Key, which is the same
 * for both; the response says so (repeated), since a refusal of the second
 * copy says nothing about the first.  Any other request ends as HTTP_LOST.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "address.h"
#include "http_private.h"

#define USER_AGENT		"pg_activate/1.0"

/*
 * Larger ones are sent in larger pieces, which malloc() still keeps for the
 * next request instead of giving them back to the system.
 */
#define LARGE_BODY		(64 * 1024)
#define LARGE_BODY_BUFFER	(128 * 1024L)

/* What a request may ask for; anything else is a connector's mistake. */
static const struct
{
	const char *method;
	bool		has_body;		/* says Content-Length: 0 where it has none */
	bool		repeatable;
}			methods[] = {
	{"GET", false, true},
	{"POST", true, false},
	{"PUT", true, true},
	{"PATCH", true, false},
	{"DELETE", false, true}
};

/* Headers that are libcurl's to write: they say how the request is framed. */
static const char *const framing_headers[] = {
	"Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Connection",
	"TE", "Trailer", "Transfer-Encoding", "Upgrade"
};

static bool request_method(HttpTransfer *transfer, const char *method);
static bool request_url(HttpTransfer *transfer, const char *url);
static bool request_peer(HttpTransfer *transfer);
static bool request_headers(HttpTransfer *transfer, List *headers);
static bool header_add(HttpTransfer *transfer, const char *name, const char *value);
static bool slist_append(struct curl_slist **list, const char *line);
static CURL *easy_take(HttpLoop *loop);
static void easy_give(HttpLoop *loop, CURL *easy);
static bool easy_set_request(HttpTransfer *transfer, CURL *easy);
static bool easy_set_policy(HttpTransfer *transfer, CURL *easy);
static bool easy_set_callbacks(HttpTransfer *transfer, CURL *easy);
static size_t on_body(char *data, size_t size, size_t count, void *arg);
static size_t on_header(char *data, size_t size, size_t count, void *arg);
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose,
									struct curl_sockaddr *address);
#if LIBCURL_VERSION_NUM >= 0x075000
static int	on_request(void *arg, char *peer, char *local, int peer_port, int local_port);
#endif
static bool buffer_append(HttpBuffer *buffer, const char *data, size_t len);
static void buffer_free(HttpBuffer *buffer);
static void slist_wipe(struct curl_slist *list);

/*
 * act_transfer_create makes a transfer of a request, whose body must stay
 * where it is.  A request that must not be sent comes back decided.  NULL
 * where memory is short.
 */
HttpTransfer *
act_transfer_create(HttpLoop *loop, const HttpRequest *request, void *owner)
{
	HttpTransfer *transfer = calloc(1, sizeof(HttpTransfer));

	if (transfer == NULL)
		return NULL;
	transfer->loop = loop;
	transfer->owner = owner;
	transfer->body = act_http_sent_body(request, &transfer->body_len);
	transfer->started_us = act_http_now_us();

	if (!(request_method(transfer, request->method) &&
		  request_url(transfer, request->url) &&
		  request_peer(transfer) &&
		  request_headers(transfer, request->headers)) && !transfer->decided)
		act_transfer_decide(transfer, HTTP_UNREACHED, "out of memory");
	if (request->at_most_once)
		transfer->repeatable = false;
	return transfer;
}

/*
 * act_transfer_start hands a transfer to libcurl.  False: it did not take it,
 * and nothing was sent.
 */
bool
act_transfer_start(HttpTransfer *transfer)
{
	HttpLoop   *loop = transfer->loop;
	CURL	   *easy = easy_take(loop);

	if (easy == NULL)
	{
		act_transfer_decide(transfer, HTTP_UNREACHED, "out of memory");
		return false;
	}
	transfer->started_us = act_http_now_us();
	if (!easy_set_request(transfer, easy) ||
		!easy_set_policy(transfer, easy) ||
		!easy_set_callbacks(transfer, easy))
	{
		act_transfer_decide(transfer, HTTP_UNREACHED,
							"libcurl could not be set up for the request");
		easy_give(loop, easy);
		return false;
	}
	if (loop->multi == NULL || curl_multi_add_handle(loop->multi, easy) != CURLM_OK)
	{
		act_transfer_decide(transfer, HTTP_UNREACHED, "libcurl did not take the request");
		easy_give(loop, easy);
		return false;
	}
	transfer->easy = easy;
	return true;
}

/* act_transfer_stop takes a transfer back from libcurl. */
void
act_transfer_stop(HttpTransfer *transfer, CURLcode result)
{
	CURL	   *easy = transfer->easy;

	transfer->result = result;
	(void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &transfer->status);
#if LIBCURL_VERSION_NUM < 0x075000
	{
		long		bytes = 0;

		(void) curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &bytes);
		/* How often is not known. */
		transfer->sends = bytes > 0 ? transfer->repeatable ? 2 : 1 : 0;
	}
#endif
	transfer->easy = NULL;
	(void) curl_multi_remove_handle(transfer->loop->multi, easy);
	easy_give(transfer->loop, easy);
}

/* act_transfer_free frees a transfer that libcurl does not have. */
void
act_transfer_free(HttpTransfer *transfer)
{
	curl_url_cleanup(transfer->url);
	free(transfer->host);
	slist_wipe(transfer->headers);
	slist_wipe(transfer->resolve);
	buffer_free(&transfer->headers_in);
	buffer_free(&transfer->body_in);
	free(transfer);
}

/* act_transfer_decide says what came of a transfer, in place of libcurl. */
void
act_transfer_decide(HttpTransfer *transfer, HttpTransport transport,
					const char *format,...)
{
	va_list		args;

	transfer->decided = true;
	transfer->transport = transport;
	va_start(args, format);
	vsnprintf(transfer->problem, sizeof(transfer->problem), format, args);
	va_end(args);
}

static bool
request_method(HttpTransfer *transfer, const char *method)
{
	for (int i = 0; i < lengthof(methods); i++)
	{
		if (strcmp(methods[i].method, method) == 0)
		{
			transfer->method = methods[i].method;
			transfer->repeatable = methods[i].repeatable;
			if (methods[i].has_body && transfer->body == NULL)
				transfer->body = "";
			return true;
		}
	}
	act_transfer_decide(transfer, HTTP_FORBIDDEN,
						"\"%s\" is not one of the methods GET, POST, PUT, PATCH and DELETE",
						method);
	return false;
}

/*
 * request_url reads the URL once: libcurl is given what was checked, not the
 * text.  Problems don't quote it, since it may hold a secret.
 */
static bool
request_url(HttpTransfer *transfer, const char *text)
{
	static const char host_letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;
	size_t		len;

	if ((transfer->url = curl_url()) == NULL)
		return false;
	if (curl_url_set(transfer->url, CURLUPART_URL, text,
					 CURLU_NON_SUPPORT_SCHEME | CURLU_DISALLOW_USER) != CURLUE_OK ||
		curl_url_get(transfer->url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(transfer->url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
	{
		act_transfer_decide(transfer, HTTP_FORBIDDEN,
							"the URL is not one of the form https://host/path without a user name");
		curl_free(scheme);
		return false;
	}
	transfer->https = pg_strcasecmp(scheme, "https") == 0;
	if (!transfer->https && pg_strcasecmp(scheme, "http") != 0)
		act_transfer_decide(transfer, HTTP_FORBIDDEN,
							"URLs begin with https:// or http://, not with %.32s:", scheme);
	else if (curl_url_get(transfer->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
	{
		transfer->port = atoi(port);
		transfer->host = strdup(host);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	if (transfer->host == NULL)
		return false;

	/* [address] is an address; a dot at the end is no part of a name. */
	len = strlen(transfer->host);
	if (transfer->host[0] == '[' && len > 2)
	{
		memmove(transfer->host, transfer->host + 1, len - 2);
		transfer->host[len - 2] = '\0';
		return true;
	}
	if (len > 1 && transfer->host[len - 1] == '.')
	{
		transfer->host[--len] = '\0';
		if (curl_url_set(transfer->url, CURLUPART_HOST, transfer->host, 0) != CURLUE_OK)
			return false;
	}
	if (len > HTTP_MAX_HOST || strspn(transfer->host, host_letters) != len)
	{
		act_transfer_decide(transfer, HTTP_FORBIDDEN,
							"the URL's host is no name of ASCII letters, digits, \"-\" and \".\" "
							"(other alphabets are written in their xn-- form)");
		return false;
	}
	return true;
}

/* request_peer finds out who will be connected to. */
static bool
request_peer(HttpTransfer *transfer)
{
	HttpLoop   *loop = transfer->loop;

	if (!act_address_scheme_allowed(loop->policy.allowed_hosts,
									transfer->https ? "https" : "http",
									transfer->host, transfer->port))
	{
		act_transfer_decide(transfer, HTTP_FORBIDDEN,
							"plain http to host \"%s\" is not allowed", transfer->host);
		transfer->listable = true;
		transfer->peer = transfer->host;
		return false;
	}
	transfer->peer = loop->proxy_host != NULL ? loop->proxy_host : transfer->host;
	transfer->peer_port = loop->proxy_host != NULL ? loop->proxy_port : transfer->port;
	if (act_address_literal(transfer->peer))
		return true;
	transfer->name = act_lookup_name(loop, transfer->peer, transfer->peer_port);
	return transfer->name != NULL;
}

static bool
request_headers(HttpTransfer *transfer, List *headers)
{
	bool		user_agent = false;
	bool		content_type = false;
	ListCell   *lc;

	foreach(lc, headers)
	{
		HttpHeader *header = lfirst(lc);

		if (!header_add(transfer, header->name, header->value))
			return false;
		if (pg_strcasecmp(header->name, "User-Agent") == 0)
			user_agent = true;
		else if (pg_strcasecmp(header->name, "Content-Type") == 0)
			content_type = true;
		else if (pg_strcasecmp(header->name, "Idempotency-Key") == 0)
			transfer->repeatable = true;
	}
	/* "Name:" takes away what libcurl would add by itself. */
	return slist_append(&transfer->headers, "Expect:") &&
		(content_type || slist_append(&transfer->headers, "Content-Type:")) &&
		(user_agent || slist_append(&transfer->headers, "User-Agent: " USER_AGENT));
}

/*
 * header_add adds a header line, unless it could be read as anything but one
 * header.  Problems don't quote the value.
 */
static bool
header_add(HttpTransfer *transfer, const char *name, const char *value)
{
	static const char token[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
	size_t		value_len;
	size_t		size;
	char	   *line;
	bool		added;

	if (name[0] == '\0' || name[strspn(name, token)] != '\0')
	{
		act_transfer_decide(transfer, HTTP_FORBIDDEN,
							"a request header's name is not made of letters, digits and \"-\"");
		return false;
	}
	for (int i = 0; i < lengthof(framing_headers); i++)
	{
		if (pg_strcasecmp(name, framing_headers[i]) == 0)
		{
			act_transfer_decide(transfer, HTTP_FORBIDDEN,
								"request header \"%s\" cannot be set", name);
			return false;
		}
	}
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if ((*c < ' ' && *c != '\t') || *c == 0x7f)
		{
			act_transfer_decide(transfer, HTTP_FORBIDDEN,
								"the value of request header \"%.100s\" contains a control character",
								name);
			return false;
		}
	}
	/* libcurl takes "Name:" for "without this header", "Name;" for an empty one. */
	value += strspn(value, " \t");
	value_len = strlen(value);
	size = strlen(name) + value_len + 3;
	if ((line = malloc(size)) == NULL)
		return false;
	snprintf(line, size, value_len > 0 ? "%s: %s" : "%s;", name, value);
	added = slist_append(&transfer->headers, line);
	explicit_bzero(line, size);
	free(line);
	return added;
}

static bool
slist_append(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (longer != NULL)
		*list = longer;
	return longer != NULL;
}

/*
 * Easy handles are used again.  Their connections belong to the multi handle
 * and stay open anyway; this saves making the handle.
 */
static CURL *
easy_take(HttpLoop *loop)
{
	return loop->n_spares > 0 ? loop->spares[--loop->n_spares] : curl_easy_init();
}

static void
easy_give(HttpLoop *loop, CURL *easy)
{
	if (loop->n_spares == loop->spares_size)
	{
		int			size = loop->spares_size * 2 + 8;
		CURL	  **spares = realloc(loop->spares, size * sizeof(CURL *));

		if (spares == NULL)
		{
			curl_easy_cleanup(easy);
			return;
		}
		loop->spares = spares;
		loop->spares_size = size;
	}
	curl_easy_reset(easy);
	loop->spares[loop->n_spares++] = easy;
}

/* For the functions below: all options must be taken, none may be left out. */
#define SET(option, value) \
	(ok = ok && curl_easy_setopt(easy, (option), (value)) == CURLE_OK)

/* easy_set_request sets what differs between the requests of a loop. */
static bool
easy_set_request(HttpTransfer *transfer, CURL *easy)
{
	bool		ok = true;

	SET(CURLOPT_CURLU, transfer->url);
	SET(CURLOPT_HTTPHEADER, transfer->headers);
	if (transfer->body != NULL)
	{
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) transfer->body_len);
		SET(CURLOPT_POSTFIELDS, transfer->body);
		if (transfer->body_len > LARGE_BODY)
			SET(CURLOPT_UPLOAD_BUFFERSIZE, LARGE_BODY_BUFFER);
	}
	else
		SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_CUSTOMREQUEST, transfer->method);
	if (transfer->name != NULL)
	{
		/*
		 * With each request: it costs about a microsecond, and no order of
		 * things lets libcurl look up a name by itself.
		 */
		ok = ok && slist_append(&transfer->resolve, transfer->name->resolve);
		SET(CURLOPT_RESOLVE, transfer->resolve);
	}
#if LIBCURL_VERSION_NUM < 0x075000
	/* Cannot be asked before repeating a request: give it no occasion. */
	if (!transfer->repeatable)
		SET(CURLOPT_FRESH_CONNECT, 1L);
#endif
	return ok;
}

/* easy_set_policy sets what is the same for all requests of a loop. */
static bool
easy_set_policy(HttpTransfer *transfer, CURL *easy)
{
	const HttpPolicy *policy = &transfer->loop->policy;
	bool		ok = true;

	SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, transfer->https ? "https" : "http");
#else
	SET(CURLOPT_PROTOCOLS, transfer->https ? (long) CURLPROTO_HTTPS : (long) CURLPROTO_HTTP);
#endif
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) policy->connect_timeout_ms);
	SET(CURLOPT_TIMEOUT_MS, (long) policy->timeout_ms);
	SET(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) policy->max_response_bytes);

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (policy->ca_file != NULL)
	{
		/* These authorities in place of the system's, not beside them. */
		SET(CURLOPT_CAINFO, policy->ca_file);
		(void) curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (policy->client_cert_file != NULL)
		SET(CURLOPT_SSLCERT, policy->client_cert_file);
	if (policy->client_key_file != NULL)
		SET(CURLOPT_SSLKEY, policy->client_key_file);

	/* Always set, or libcurl would look into the environment. */
	SET(CURLOPT_PROXY, policy->proxy != NULL ? policy->proxy : "");
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (policy->proxy != NULL && policy->ca_file != NULL)
	{
		SET(CURLOPT_PROXY_CAINFO, policy->ca_file);
		(void) curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
	}

	/*
	 * Waiting for a connection that may turn out to speak HTTP/2 beats
	 * opening another.  A libcurl built without HTTP/2 refuses the first.
	 */
	if (transfer->https &&
		curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS) == CURLE_OK)
		SET(CURLOPT_PIPEWAIT, 1L);
	else
		SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	return ok;
}

static bool
easy_set_callbacks(HttpTransfer *transfer, CURL *easy)
{
	bool		ok = true;

	SET(CURLOPT_PRIVATE, (void *) transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->curl_problem);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, (void *) transfer);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, (void *) transfer);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, (void *) transfer);
#if LIBCURL_VERSION_NUM >= 0x075000
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, (void *) transfer);
#endif
	return ok;
}

/* on_body keeps decoded bytes; returning less than it got ends the transfer. */
static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
	HttpTransfer *transfer = arg;
	size_t		len = size * count;

	if (len > transfer->loop->policy.max_response_bytes - transfer->body_in.len)
		transfer->too_large = true;
	else if (!buffer_append(&transfer->body_in, data, len))
		transfer->out_of_memory = true;
	else
		return len;
	return 0;
}

/*
 * on_header keeps header lines, of the last answer where several come (100
 * Continue before the real one).  Trailers are headers too.
 */
static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
	HttpTransfer *transfer = arg;
	size_t		len = size * count;

	if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
		transfer->headers_in.len = 0;
	if (len > HTTP_MAX_HEADER_BYTES - transfer->headers_in.len)
		transfer->headers_too_large = true;
	else if (!buffer_append(&transfer->headers_in, data, len))
		transfer->out_of_memory = true;
	else
		return len;
	return 0;
}

/*
 * on_open_socket opens a socket to an allowed address.  Not allowed: libcurl
 * goes on to the host's next address.
 */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	HttpTransfer *transfer = arg;
	int			fd;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	if (!act_address_allowed(transfer->loop->policy.allowed_hosts,
							 transfer->peer, transfer->peer_port,
							 &address->addr))
	{
		memcpy(&transfer->refused, &address->addr,
			   Min(address->addrlen, sizeof(transfer->refused)));
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	transfer->sockets++;
	return fd;
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* on_request is told when the connection stands and the first byte is due. */
static int
on_request(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	HttpTransfer *transfer = arg;

	if (transfer->sends > 0 && !transfer->repeatable)
	{
		transfer->repeat_refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	transfer->sends++;
	return CURL_PREREQFUNC_OK;
}
#endif

static bool
buffer_append(HttpBuffer *buffer, const char *data, size_t len)
{
	if (len > buffer->size - buffer->len)
	{
		size_t		size = Max(buffer->size * 2, Max(buffer->len + len, 1024));
		char	   *larger = realloc(buffer->data, size);

		if (larger == NULL)
			return false;
		buffer->data = larger;
		buffer->size = size;
	}
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	return true;
}

/* Answers hold secrets too: that is how access tokens arrive. */
static void
buffer_free(HttpBuffer *buffer)
{
	if (buffer->data != NULL)
		explicit_bzero(buffer->data, buffer->len);
	free(buffer->data);
}

static void
slist_wipe(struct curl_slist *list)
{
	for (struct curl_slist *line = list; line != NULL; line = line->next)
		explicit_bzero(line->data, strlen(line->data));
	curl_slist_free_all(list);
}
