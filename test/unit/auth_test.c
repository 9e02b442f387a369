/*-------------------------------------------------------------------------
 *
 * auth_test.c
 *	  Credentials: each kind as it gets into a request, signatures against
 *	  published vectors, tokens asked for and read.
 *
 * Run by make -C test/unit.  FUZZ in the environment sets the number of
 * broken token answers (default 20000), SEED where they start.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <locale.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "aws_signature.h"
#include "connector_token.h"
#include "json_text.h"
#include "pg_stub.h"

#undef printf
#undef fprintf
#undef snprintf

#define NOW INT64CONST(1440938160)	/* 2015-08-30 12:36:00 UTC */

static int	checks;
static int	failures;

static void
check_at(bool ok, int line, const char *what)
{
	checks++;
	if (!ok)
	{
		failures++;
		fprintf(stderr, "auth_test.c:%d: %s\n", line, what);
	}
}

#define CHECK(condition) check_at(condition, __LINE__, #condition)

static void
check_text_at(const char *got, const char *wanted, const char *of, int line)
{
	bool		same = got != NULL && wanted != NULL ? strcmp(got, wanted) == 0 : got == wanted;

	check_at(same, line, of);
	if (!same)
		fprintf(stderr, "  got    %s\n  wanted %s\n", got ? got : "(none)", wanted ? wanted : "(none)");
}

#define CHECK_TEXT(got, wanted) check_text_at(got, wanted, #got, __LINE__)

/* Whether the statement throws; what it says then stands in stub_error. */
#define THROWS(statement) \
	({ \
		volatile bool threw = false; \
		PG_TRY(); \
		{ \
			statement; \
		} \
		PG_CATCH(); \
		{ \
			threw = true; \
		} \
		PG_END_TRY(); \
		threw; \
	})

/* ----------------------------------------------------------------
 *		A world: documents, secrets, requests
 * ----------------------------------------------------------------
 */

const char *
act_http_header(const HttpResponse *response, const char *name)
{
	return NULL;
}

static const char *secrets[16][2];

static const char *
find_secret(void *arg, const char *name)
{
	for (int i = 0; secrets[i][0] != NULL; i++)
	{
		if (strcmp(secrets[i][0], name) == 0)
			return secrets[i][1];
	}
	return NULL;
}

static const char *
find_option(void *arg, const char *name)
{
	return strcmp(name, "base_url") == 0 ? "https://api.test/v1" : strcmp(name, "region") == 0 ? "eu-central-1" : NULL;
}

static ConnectorScope scope = {.option = find_option,.secret = find_secret};

static void
set_secrets(const char *name, const char *value, const char *name2, const char *value2)
{
	memset(secrets, 0, sizeof(secrets));
	secrets[0][0] = name;
	secrets[0][1] = value;
	secrets[1][0] = name2;
	secrets[1][1] = value2;
}

static Connector *
document(const char *names, const char *auth)
{
	return act_connector_compile("t", psprintf("{\"name\": \"t\", \"options\": {\"region\": {}}, \"secrets\": %s, \"auth\": [%s],"
											   " \"check\": {\"request\": {\"method\": \"GET\", \"path\": \"/me\"}},"
											   " \"operations\": {\"upsert\": {\"request\": {\"body\": {}}}}}", names, auth));
}

static HttpRequest
authorized(const Connector *connector, const char *method, const char *url, const char *body)
{
	HttpRequest request = {.method = method,.url = pstrdup(url),.body = body ? pstrdup(body) : NULL};

	request.body_len = body ? strlen(body) : 0;
	if (body != NULL)
		act_request_set_header("t", &request, "Content-Type", "application/json");
	act_connector_authorize(connector, &scope, &request, NOW);
	return request;
}

/* ----------------------------------------------------------------
 *		Kinds
 * ----------------------------------------------------------------
 */

static void
test_kinds(void)
{
	HttpRequest request;
	Connector  *connector;

	set_secrets("api_key", "k&1", "client_id", "id");
	connector = document("[\"api_key\", \"client_id\"]",
						 "{\"kind\": \"headers\", \"headers\": {\"X-Key\": \"{{secret.api_key}}\", \"X-Id\": \"i {{secret.client_id}}\"}}");
	CHECK(act_connector_secret_problem(connector, &scope) == NULL);
	request = authorized(connector, "GET", "https://api.test/", NULL);
	CHECK_TEXT(act_request_header(&request, "X-Key"), "k&1");
	CHECK_TEXT(act_request_header(&request, "X-Id"), "i id");

	connector = document("[\"api_key\"]", "{\"kind\": \"query\", \"query\": {\"key\": \"{{secret.api_key}}\"}}");
	CHECK_TEXT(authorized(connector, "GET", "https://api.test/x", NULL).url, "https://api.test/x?key=k%261");
	CHECK_TEXT(authorized(connector, "GET", "https://api.test/x?a=1", NULL).url, "https://api.test/x?a=1&key=k%261");

	connector = document("[\"api_key\"]", "{\"kind\": \"body\", \"members\": {\"auth\": {\"key\": \"{{secret.api_key}}\"}, \"v\": 2}}");
	CHECK_TEXT(authorized(connector, "POST", "https://api.test/x", "{\"rows\":[1]}").body,
			   "{\"auth\":{\"key\":\"k&1\"},\"v\":2,\"rows\":[1]}");
	CHECK_TEXT(authorized(connector, "POST", "https://api.test/x", "{}").body, "{\"auth\":{\"key\":\"k&1\"},\"v\":2}");
	CHECK(THROWS(authorized(connector, "POST", "https://api.test/x", "[1]")));
	CHECK(strstr(stub_error.message, "members of a JSON object") != NULL);
	CHECK(THROWS(authorized(connector, "GET", "https://api.test/x", NULL)));
	CHECK(strstr(stub_error.message, "k&1") == NULL);

	set_secrets("api_key", "a\nb", NULL, NULL);
	connector = document("[\"api_key\"]", "{\"kind\": \"headers\", \"headers\": {\"X-Key\": \"{{secret.api_key}}\"}}");
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), "the value of secret \"api_key\" has a line break in it");
	set_secrets(NULL, NULL, NULL, NULL);
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), "secret \"api_key\" is not set");
}

static void
test_headers_not_shared(void)
{
	HttpRequest request = {.method = "GET",.url = pstrdup("https://api.test/")};
	HttpRequest copy;
	Connector  *connector = document("[\"api_key\"]", "{\"kind\": \"headers\", \"headers\": {\"X-Key\": \"{{secret.api_key}}\"}}");

	set_secrets("api_key", "hidden", NULL, NULL);
	act_request_set_header("t", &request, "X-Key", "public");
	copy = request;
	copy.headers = list_copy(request.headers);
	act_connector_authorize(connector, &scope, &copy, NOW);
	CHECK_TEXT(act_request_header(&copy, "X-Key"), "hidden");
	CHECK_TEXT(act_request_header(&request, "X-Key"), "public");
}

static void
test_hmac(void)
{
	HttpRequest request;

	set_secrets("signing_secret", "key", NULL, NULL);
	request = authorized(document("[\"signing_secret\"]",
								  "{\"kind\": \"hmac\", \"algorithm\": \"sha512\", \"key\": \"{{secret.signing_secret}}\","
								  " \"payload\": \"{{message.body}}\", \"headers\": {\"X-Sig\": \"{{message.signature|hex}}\"}}"),
						 "POST", "https://api.test/", "The quick brown fox jumps over the lazy dog");
	CHECK_TEXT(act_request_header(&request, "X-Sig"),
			   "b42af09057bac1e2d41708e48a902e09b5ff7f12ab428a4fe86653c73dd248fb"
			   "82f948a549f7b791a5b41915ee4d1ec3935357e4e2317250d0372afa2ebeeb3a");
	request = authorized(document("[\"signing_secret\"]",
								  "{\"kind\": \"hmac\", \"key\": \"{{secret.signing_secret}}\","
								  " \"payload\": \"{{message.body}}\", \"headers\": {\"X-Sig\": \"{{message.signature|hex}}\"}}"),
						 "POST", "https://api.test/", "The quick brown fox jumps over the lazy dog");
	CHECK_TEXT(act_request_header(&request, "X-Sig"),
			   "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");

	/* The published vector of Standard Webhooks. */
	set_secrets("signing_secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", NULL, NULL);
	{
		HttpRequest bare = {.method = "POST",.url = pstrdup("https://api.test/"),.body = pstrdup("{\"test\": 2432232314}")};

		bare.body_len = strlen(bare.body);
		act_request_set_header("t", &bare, "Idempotency-Key", "msg_p5jXN8AQM9LWM0D4loKWxJek");
		act_connector_authorize(document("[\"signing_secret\"]",
										 "{\"kind\": \"hmac\", \"key\": \"{{secret.signing_secret|whsec}}\","
										 " \"payload\": \"{{message.id}}.{{message.time}}.{{message.body}}\","
										 " \"headers\": {\"webhook-signature\": \"v1,{{message.signature|base64}}\"}}"),
								&scope, &bare, INT64CONST(1614265330));
		CHECK_TEXT(act_request_header(&bare, "webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
	}
}

/* ----------------------------------------------------------------
 *		AWS
 * ----------------------------------------------------------------
 */

static List *
header(List *headers, const char *name, const char *value)
{
	HttpHeader *one = palloc(sizeof(HttpHeader));

	one->name = pstrdup(name);
	one->value = pstrdup(value);
	return lappend(headers, one);
}

/* Of an authorization, the signature alone. */
static const char *
signature(const char *service, const char *method, const char *url, const char *body, const char *time, List *headers)
{
	AwsSigning	signing = {service, "us-east-1", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", time};
	HttpRequest request = {.method = method,.url = pstrdup(url),.body = body ? pstrdup(body) : NULL};
	char	   *value;

	request.body_len = body ? strlen(body) : 0;
	value = act_aws_signature(&signing, &request, headers);
	return strstr(value, "Signature=") + strlen("Signature=");
}

#define AWS_TIME "20150830T123600Z"

/* AWS's own suite, and an object of S3. */
static void
test_aws_vectors(void)
{
	List	   *plain = header(header(NIL, "Host", "example.amazonaws.com"), "X-Amz-Date", AWS_TIME);
	List	   *headers = header(plain, "content-type", "application/x-www-form-urlencoded");

	CHECK_TEXT(act_aws_time(NOW), AWS_TIME);
	headers = header(headers, "content-length", "13");
	headers = header(headers, "x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e");
	CHECK_TEXT(signature("service", "POST", "https://example.amazonaws.com/", "Param1=value1", AWS_TIME, headers),
			   "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b");

	/* get-vanilla, get-vanilla-query-order-key-case, get-vanilla-query-unreserved */
	plain = header(header(NIL, "Host", "example.amazonaws.com"), "X-Amz-Date", AWS_TIME);
	CHECK_TEXT(signature("service", "GET", "https://example.amazonaws.com", NULL, AWS_TIME, plain),
			   "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	CHECK_TEXT(signature("service", "GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1", NULL, AWS_TIME, plain),
			   "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
	CHECK_TEXT(signature("service", "GET", "https://example.amazonaws.com/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
						 "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", NULL, AWS_TIME, plain),
			   "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197");

	headers = header(header(NIL, "host", "demo-bucket.s3.us-east-1.amazonaws.com"), "content-type", "application/x-ndjson");
	headers = header(headers, "x-amz-content-sha256", "4bb3b7c5914db877dee6648256935539c991312d130a5b9d5453827b7c572f67");
	headers = header(headers, "x-amz-date", "20260102T030405Z");
	CHECK_TEXT(signature("s3", "PUT", "https://demo-bucket.s3.us-east-1.amazonaws.com/export/part-0001.ndjson",
						 "{\"id\":7,\"plan\":\"pro\"}\n", "20260102T030405Z", headers),
			   "1e3648eee6071134e28c25148a5e02973910505ed023f87f60e9d35b31de4dd8");
}

/* What means the same is signed the same; what does not, is not. */
static void
test_aws_spellings(void)
{
	List	   *plain = header(header(NIL, "host", "h"), "x-amz-date", AWS_TIME);

	CHECK_TEXT(signature("s3", "GET", "https://h/a%2db!?b=2&a=%7e&a=1", NULL, AWS_TIME, plain),
			   signature("s3", "GET", "https://h/a-b%21?a=1&a=~&b=2", NULL, AWS_TIME, plain));
	CHECK(strcmp(signature("s3", "GET", "https://h/a//b", NULL, AWS_TIME, plain),
				 signature("s3", "GET", "https://h/a/b", NULL, AWS_TIME, plain)) != 0);
	CHECK_TEXT(signature("es", "GET", "https://h/a//b", NULL, AWS_TIME, plain),
			   signature("es", "GET", "https://h/a/b", NULL, AWS_TIME, plain));
	CHECK(strcmp(signature("es", "GET", "https://h/a%20b", NULL, AWS_TIME, plain),
				 signature("s3", "GET", "https://h/a%20b", NULL, AWS_TIME, plain)) != 0);
	CHECK_TEXT(act_aws_host("https://Bucket.S3.test:443/x?y"), "bucket.s3.test");
	CHECK_TEXT(act_aws_host("http://127.0.0.1:9000"), "127.0.0.1:9000");
}

static void
test_aws_kind(void)
{
	Connector  *connector = document("[\"access_key_id\", \"secret_access_key\", \"session_token\"]",
									 "{\"kind\": \"aws_sigv4\", \"service\": \"s3\", \"region\": \"{{option.region}}\","
									 " \"access_key\": \"{{secret.access_key_id}}\", \"secret_key\": \"{{secret.secret_access_key}}\","
									 " \"session_token\": \"{{secret.session_token}}\"}");
	HttpRequest request;

	set_secrets("access_key_id", "AKID", "secret_access_key", "verysecret");
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), NULL);
	request = authorized(connector, "PUT", "https://b.s3.test/k?x=1", "{}");
	CHECK(strncmp(act_request_header(&request, "Authorization"),
				  "AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-central-1/s3/aws4_request, SignedHeaders="
				  "content-type;host;x-amz-content-sha256;x-amz-date, Signature=", 100) == 0);
	CHECK(act_request_header(&request, "x-amz-security-token") == NULL);
	secrets[2][0] = "session_token";
	secrets[2][1] = "sess";
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), NULL);
	request = authorized(connector, "PUT", "https://b.s3.test/k?x=1", "{}");
	CHECK_TEXT(act_request_header(&request, "x-amz-security-token"), "sess");
	CHECK(strstr(act_request_header(&request, "Authorization"), "x-amz-date;x-amz-security-token") != NULL);
	set_secrets("access_key_id", "AKID", NULL, NULL);
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), "secret \"secret_access_key\" is not set");
}

/* ----------------------------------------------------------------
 *		Tokens
 * ----------------------------------------------------------------
 */

#define OAUTH_SECRETS "[\"client_id\", \"client_secret\", \"refresh_token\", \"private_key\"]"
#define OAUTH_URL "\"token_url\": \"https://login.test/token\""
#define OAUTH_CLIENT "\"client_id\": \"{{secret.client_id}}\", \"client_secret\": \"{{secret.client_secret}}\""

static HttpRequest
token_request(const Connector *connector)
{
	HttpRequest request;

	act_connector_render_token(connector, &scope, NOW, &request);
	return request;
}

static void
test_grants(void)
{
	Connector  *connector;
	HttpRequest request;

	set_secrets("client_id", "i d", "client_secret", "s+&t");
	connector = document(OAUTH_SECRETS, "{\"kind\": \"oauth2\", \"grant\": \"client_credentials\", " OAUTH_URL ", " OAUTH_CLIENT
						 ", \"scope\": \"a b\", \"audience\": \"https://api.test\", \"extra\": {\"realm\": \"x\"}}");
	CHECK(act_connector_needs_token(connector, &scope));
	CHECK(act_connector_rotating_secret(connector, &scope) == NULL);
	request = token_request(connector);
	CHECK_TEXT(request.url, "https://login.test/token");
	CHECK_TEXT(request.body, "grant_type=client_credentials&client_id=i%20d&client_secret=s%2B%26t&scope=a%20b"
			   "&audience=https%3A%2F%2Fapi.test&realm=x");
	CHECK_TEXT(act_request_header(&request, "Content-Type"), "application/x-www-form-urlencoded");
	CHECK_TEXT(linitial(act_connector_token_origins(connector, &scope)), "https://login.test:443");

	connector = document(OAUTH_SECRETS, "{\"kind\": \"oauth2\", \"grant\": \"client_credentials\", \"client_auth\": \"basic\", "
						 OAUTH_URL ", " OAUTH_CLIENT "}");
	request = token_request(connector);
	CHECK_TEXT(request.body, "grant_type=client_credentials");
	CHECK_TEXT(act_request_header(&request, "Authorization"), "Basic aSUyMGQ6cyUyQiUyNnQ=");

	secrets[2][0] = "refresh_token";
	secrets[2][1] = "r1";
	connector = document(OAUTH_SECRETS, "{\"kind\": \"oauth2\", \"grant\": \"refresh_token\", \"refresh_token\": \"{{secret.refresh_token}}\", "
						 OAUTH_URL ", " OAUTH_CLIENT "}");
	request = token_request(connector);
	CHECK_TEXT(request.body, "grant_type=refresh_token&refresh_token=r1&client_id=i%20d&client_secret=s%2B%26t");
	CHECK_TEXT(act_connector_rotating_secret(connector, &scope), "refresh_token");
	CHECK(request.at_most_once);
	CHECK(THROWS(document(OAUTH_SECRETS, "{\"kind\": \"oauth2\", \"grant\": \"refresh_token\", \"refresh_token\": \"r {{secret.refresh_token}}\", "
						  OAUTH_URL ", " OAUTH_CLIENT "}")));
	CHECK(strstr(stub_error.message, "/auth/0/refresh_token") != NULL);
	CHECK(THROWS(document(OAUTH_SECRETS, "{\"kind\": \"oauth2\", \"grant\": \"client_credentials\", \"jwt\": {}, " OAUTH_URL "}")));
	CHECK(strstr(stub_error.message, "which grant \"client_credentials\" does not have") != NULL);
	CHECK(THROWS(document(OAUTH_SECRETS, "{\"kind\": \"oauth2\", \"grant\": \"client_credentials\", "
						  "\"token_url\": \"https://{{secret.client_id}}/\", " OAUTH_CLIENT "}")));
	CHECK(strstr(stub_error.message, "outside \"auth\"") != NULL);
}

#define JWT_GRANT "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="

static EVP_PKEY *signing_key;

static char *
made_key(void)
{
	BIO		   *bio = BIO_new(BIO_s_mem());
	char	   *data;
	long		len;
	char	   *pem;

	PEM_write_bio_PrivateKey(bio, signing_key, NULL, NULL, 0, NULL, NULL);
	len = BIO_get_mem_data(bio, &data);
	pem = pnstrdup(data, len);
	BIO_free(bio);
	return pem;
}

static size_t
unbase64url(const char *text, size_t len, unsigned char *out)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned int bits = 0;
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		bits = bits << 6 | (strchr(letters, text[i]) - letters);
		if (i % 4 != 0)
			out[n++] = (unsigned char) (bits >> (6 - i % 4 * 2));
	}
	return n;
}

static void
test_jwt(void)
{
	char	   *pem = made_key();
	const char *problem = NULL;
	char	   *jwt;
	char	   *claims;
	char	   *sign;
	unsigned char bytes[2048];
	size_t		len;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	Connector  *connector;

	set_secrets("client_id", "svc@x", "private_key", pem);
	connector = document(OAUTH_SECRETS, "{\"kind\": \"oauth2\", \"grant\": \"jwt_bearer\", " OAUTH_URL ","
						 " \"jwt\": {\"key\": \"{{secret.private_key}}\", \"ttl\": \"1 hour\", \"header\": {\"kid\": \"k1\"},"
						 " \"claims\": {\"iss\": \"{{secret.client_id}}\", \"aud\": \"https://login.test\"}}}");
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), NULL);
	jwt = token_request(connector).body;
	CHECK(strncmp(jwt, JWT_GRANT, strlen(JWT_GRANT)) == 0);
	jwt += strlen(JWT_GRANT);
	claims = strchr(jwt, '.') + 1;
	sign = strchr(claims, '.') + 1;
	len = unbase64url(jwt, claims - 1 - jwt, bytes);
	bytes[len] = '\0';
	CHECK_TEXT((char *) bytes, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}");
	len = unbase64url(claims, sign - 1 - claims, bytes);
	bytes[len] = '\0';
	CHECK_TEXT((char *) bytes, "{\"iss\":\"svc@x\",\"aud\":\"https://login.test\",\"iat\":1440938160,\"exp\":1440941760}");
	len = unbase64url(sign, strlen(sign), bytes);
	CHECK(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, signing_key) == 1);
	CHECK(EVP_DigestVerify(context, bytes, len, (unsigned char *) jwt, sign - 1 - jwt) == 1);
	bytes[3] ^= 1;
	CHECK(EVP_DigestVerify(context, bytes, len, (unsigned char *) jwt, sign - 1 - jwt) != 1);
	EVP_MD_CTX_free(context);

	/* As files of service accounts have it. */
	{
		StringInfoData escaped;

		initStringInfo(&escaped);
		for (const char *c = pem; *c != '\0'; c++)
			appendStringInfo(&escaped, *c == '\n' ? "\\n" : "%c", *c);
		CHECK(act_jwt_sign("{}", "{}", escaped.data, &problem) != NULL);
	}
	CHECK(act_jwt_sign("{}", "{}", "nonsense", &problem) == NULL);
	CHECK_TEXT(problem, "is no private key in PEM form without a passphrase");
	set_secrets("client_id", "svc@x", "private_key", "nonsense");
	CHECK_TEXT(act_connector_secret_problem(connector, &scope),
			   "the value of the secret that tokens are signed with is no private key in PEM form without a passphrase");
}

static ConnectorToken
token_of(const Connector *connector, int status, const char *body)
{
	HttpResponse response = {.transport = HTTP_ANSWERED,.status = status,.body = pstrdup(body)};
	ConnectorToken token;

	response.body_len = strlen(body);
	act_connector_read_token(connector, &scope, &response, NOW, &token);
	return token;
}

static Connector *
refreshing(void)
{
	set_secrets("client_id", "i", "client_secret", "s");
	secrets[2][0] = "refresh_token";
	secrets[2][1] = "r1";
	return document(OAUTH_SECRETS, "{\"kind\": \"oauth2\", \"grant\": \"refresh_token\", \"refresh_token\": \"{{secret.refresh_token}}\", "
					OAUTH_URL ", " OAUTH_CLIENT ", \"keep\": {\"instance_url\": \"/instance_url\", \"session_id\": \"/id\"}}");
}

static void
test_answers(void)
{
	Connector  *connector = refreshing();
	ConnectorToken token = token_of(connector, 200, "{\"access_token\":\"a1\",\"expires_in\":3600,\"refresh_token\":\"r2\","
									"\"instance_url\":\"https://eu1.test\",\"id\":123456789012345678}");

	CHECK_TEXT(token.problem, NULL);
	CHECK(token.expires_s == NOW + 3540);
	CHECK_TEXT(token.refresh_token, "r2");
	CHECK(list_length(token.values) == 3 && list_length(token.secrets) == 2);
	CHECK_TEXT(((HttpHeader *) list_nth(token.values, 2))->value, "123456789012345678");
	scope.token = token.values;
	{
		HttpRequest request = authorized(connector, "GET", "https://eu1.test/", NULL);

		CHECK_TEXT(act_request_header(&request, "Authorization"), "Bearer a1");
	}
	scope.token = NIL;

	CHECK(token_of(connector, 200, "{\"access_token\":\"a\",\"expires_in\":\"20\"}").expires_s == NOW + 10);
	CHECK(token_of(connector, 200, "{\"access_token\":\"a\",\"expires_in\":1e300}").expires_s == NOW + 366 * 86400 - 60);
	CHECK(token_of(connector, 200, "{\"access_token\":\"a\",\"expires_in\":-5}").expires_s == 0);
	CHECK(token_of(connector, 200, "{\"access_token\":\"a\"}").expires_s == 0);
	CHECK_TEXT(token_of(connector, 200, "{\"token\":\"a\"}").problem, "the token endpoint's answer has no token at /access_token");
	CHECK_TEXT(token_of(connector, 200, "{\"access_token\":\"a\\nb\"}").problem,
			   "the token endpoint's answer has a value of \"access_token\" that cannot be used");
	CHECK(strstr(token_of(connector, 200, psprintf("{\"access_token\":\"%0*d\"}", 17000, 1)).problem, "16384 bytes") != NULL);
	CHECK(strstr(token_of(connector, 200, "<html>").problem, "cannot be read") != NULL);
	CHECK(strstr(token_of(connector, 200, "{\"access_token\":{}}").problem, "no token") != NULL);

	token = token_of(connector, 400, "{\"error\":\"invalid_grant\",\"error_description\":\"expired\"}");
	CHECK_TEXT(token.problem, "the token endpoint answered 400 invalid_grant: expired");
	CHECK_TEXT(token.code, "invalid_grant");
	CHECK(!token.later);
	token = token_of(connector, 200, "{\"error\":\"invalid_client\"}");
	CHECK_TEXT(token.code, "invalid_client");
	CHECK(token_of(connector, 503, "busy").later);
	CHECK_TEXT(token_of(connector, 503, "busy").problem, "the token endpoint answered 503");
}

/* false: it cannot be had here */
static bool
enter_latin1(void)
{
	char		directory[] = "/tmp/auth_test.XXXXXX";
	bool		entered;

	if (mkdtemp(directory) == NULL)
		return false;
	entered = system(psprintf("localedef -i en_US -f ISO-8859-1 %s/en_US.ISO-8859-1 >/dev/null 2>&1", directory)) >= 0 &&
		setenv("LOCPATH", directory, 1) == 0 && setlocale(LC_CTYPE, "en_US.ISO-8859-1") != NULL;
	unsetenv("LOCPATH");
	return system(psprintf("rm -rf %s", directory)) == 0 && entered;
}

/* given a database whose locale knows letters beyond ASCII, then what is signed and sent is the same */
static void
test_locale_changes_nothing(void)
{
	static const char url[] = "https://h/%C3%A9t%C3%A9?a=%C3%A9";
	static const char auth[] = "{\"kind\": \"oauth2\", \"grant\": \"client_credentials\", " OAUTH_URL ", " OAUTH_CLIENT "}";
	List	   *plain = header(header(NIL, "host", "h"), "x-amz-date", AWS_TIME);
	const char *wanted = signature("s3", "GET", url, NULL, AWS_TIME, plain);

	if (!enter_latin1())
	{
		printf("auth_test: no locale of one byte can be made here, not tested\n");
		return;
	}
	CHECK_TEXT(signature("s3", "GET", url, NULL, AWS_TIME, plain), wanted);
	set_secrets("client_id", "i", "client_secret", "\xc3\xa9");
	CHECK(strstr(token_request(document(OAUTH_SECRETS, auth)).body, "client_secret=%C3%A9") != NULL);
	setlocale(LC_CTYPE, "C");
}

static char *
hide(void *arg, const char *text)
{
	const char *secret = arg;
	char	   *hidden = pstrdup(text);
	char	   *at;

	while ((at = strstr(hidden, secret)) != NULL)
		hidden = psprintf("%.*s***%s", (int) (at - hidden), hidden, at + strlen(secret));
	return hidden;
}

/* given credentials in what a token endpoint says, wherever that is cut, then no part of them stays */
static void
test_secrets_go_before_the_cut(void)
{
	const char *secret = "Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7";
	Connector  *connector = refreshing();

	act_connector_set_redactor(connector, hide, (void *) secret);
	for (int before = 360; before < 420; before++)
	{
		char	   *filler = psprintf("%0*d", before, 0);
		ConnectorToken token = token_of(connector, 400, psprintf("{\"error_description\":\"%s%s is unknown\"}", filler, secret));

		if (strstr(token.problem, "Zq") != NULL)
			check_at(false, __LINE__, psprintf("%d bytes before the secret", before));
		checks++;
	}
}

/* The same credentials at the same place, whatever the time. */
static void
test_digest(void)
{
	uint8		one[32];
	uint8		other[32];
	char	   *pem = made_key();
	Connector  *connector = refreshing();

	act_connector_token_digest(connector, &scope, one);
	act_connector_token_digest(connector, &scope, other);
	CHECK(memcmp(one, other, 32) == 0);
	secrets[2][1] = "r2";
	act_connector_token_digest(connector, &scope, other);
	CHECK(memcmp(one, other, 32) != 0);

	set_secrets("client_id", "svc@x", "private_key", pem);
	connector = document(OAUTH_SECRETS, "{\"kind\": \"oauth2\", \"grant\": \"jwt_bearer\", " OAUTH_URL ","
						 " \"jwt\": {\"key\": \"{{secret.private_key}}\", \"claims\": {\"iss\": \"x\"}}}");
	act_connector_token_digest(connector, &scope, one);
	secrets[1][1] = pstrdup(pem);
	act_connector_token_digest(connector, &scope, other);
	CHECK(memcmp(one, other, 32) == 0);
}

static void
test_token_request(void)
{
	Connector  *connector;
	HttpRequest request;
	ConnectorToken token;

	set_secrets("username", "u\"1", "password", "p");
	connector = document("[\"username\", \"password\"]",
						 "{\"kind\": \"token_request\", \"request\": {\"path\": \"/auth/login\", \"body\": {\"email\": \"{{secret.username}}\","
						 " \"password\": \"{{secret.password}}\"}}, \"token\": \"/data/access_token\", \"expires_in\": \"/data/ttl\","
						 " \"header\": \"X-Token: {{token.access_token}}\"}");
	request = token_request(connector);
	CHECK_TEXT(request.url, "https://api.test/v1/auth/login");
	CHECK_TEXT(request.body, "{\"email\":\"u\\\"1\",\"password\":\"p\"}");
	token = token_of(connector, 200, "{\"data\":{\"access_token\":\"t1\",\"ttl\":900}}");
	CHECK(token.expires_s == NOW + 840);
	scope.token = token.values;
	request = authorized(connector, "GET", "https://api.test/", NULL);
	CHECK_TEXT(act_request_header(&request, "X-Token"), "t1");
	scope.token = NIL;
	CHECK(act_connector_token_origins(connector, &scope) == NIL);
	CHECK(THROWS(authorized(connector, "GET", "https://api.test/", NULL)));
}

/* A key that is the user: of such APIs the password is empty, which a secret must not be. */
static void
test_basic_without_password(void)
{
	Connector  *connector;
	HttpRequest request;

	set_secrets("username", "abc123", "password", NULL);
	connector = document("[\"username\", \"password\"]",
						 "{\"kind\": \"basic\", \"username\": \"{{secret.username}}\", \"password\": \"\"}");
	CHECK(act_connector_secret_problem(connector, &scope) == NULL);
	request = authorized(connector, "GET", "https://api.test/", NULL);
	CHECK_TEXT(act_request_header(&request, "Authorization"), "Basic YWJjMTIzOg==");
	set_secrets("username", "abc123", "password", "");
	connector = document("[\"username\", \"password\"]",
						 "{\"kind\": \"basic\", \"username\": \"{{secret.username}}\", \"password\": \"{{secret.password}}\"}");
	CHECK_TEXT(act_connector_secret_problem(connector, &scope), "the value of secret \"password\" is empty");
}

/* A secret at the end of the address, which is a part of its path or its query. */
static void
test_end_of_address(void)
{
	Connector  *connector = document("[\"api_key\"]", "{\"kind\": \"url\", \"path\": \"{{secret.api_key}}\"}");
	HttpRequest request;

	set_secrets("api_key", "?key=a", "x", "y");
	request = authorized(connector, "GET", "https://api.test/v1", NULL);
	CHECK_TEXT(request.url, "https://api.test/v1?key=a");
	request = authorized(connector, "GET", "https://api.test/v1/?b=c", NULL);
	CHECK_TEXT(request.url, "https://api.test/v1/?key=a&b=c");
	set_secrets("api_key", "/T1/B2", "x", "y");
	request = authorized(connector, "GET", "https://api.test/v1/", NULL);
	CHECK_TEXT(request.url, "https://api.test/v1/T1/B2");
}

/* Whatever stands in an answer, it is read or refused in words. */
static void
test_broken_answers(void)
{
	static const char answer[] = "{\"access_token\":\"a1\",\"expires_in\":3600,\"refresh_token\":\"r2\","
		"\"instance_url\":\"https://eu1.test\",\"error\":{\"message\":\"x\"},\"id\":[1,2]}";
	const char *fuzz = getenv("FUZZ");
	const char *seed = getenv("SEED");
	int			count = fuzz ? atoi(fuzz) : 20000;

	srand(seed ? atoi(seed) : 7);
	for (int i = 0; i < count; i++)
	{
		char		body[sizeof(answer)];
		ConnectorToken token;
		Connector  *connector = refreshing();

		memcpy(body, answer, sizeof(answer));
		for (int n = rand() % 4; n >= 0; n--)
			body[rand() % (sizeof(answer) - 1)] = (char) (rand() % 255 + 1);
		if (rand() % 4 == 0)
			body[rand() % sizeof(answer)] = '\0';
		token = token_of(connector, rand() % 3 == 0 ? 400 : 200, body);
		if ((token.problem == NULL) == (token.values == NIL))
			CHECK(token.problem != NULL);
		stub_reset();
	}
}

int
main(void)
{
	signing_key = EVP_RSA_gen(2048);
	test_kinds();
	test_headers_not_shared();
	test_hmac();
	test_aws_vectors();
	test_aws_spellings();
	test_locale_changes_nothing();
	test_aws_kind();
	test_grants();
	test_jwt();
	test_answers();
	test_secrets_go_before_the_cut();
	test_digest();
	test_token_request();
	test_basic_without_password();
	test_end_of_address();
	test_broken_answers();
	stub_reset();
	EVP_PKEY_free(signing_key);
	printf("auth_test: %d checks, %d failed\n", checks, failures);
	return failures == 0 ? 0 : 1;
}
