/*-------------------------------------------------------------------------
 *
 * connector_jwt.c
 *	  JSON Web Tokens signed with RS256.
 *
 * Called by connector_token.c for each token that is asked for.  Touches
 * neither database nor network; what OpenSSL allocates is free when it
 * returns, and it throws nothing but for want of memory before that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "connector_token.h"

/* Below that, receivers refuse them, and rightly. */
#define MIN_KEY_BITS 2048
#define MAX_KEY_BITS 16384

static void
append_base64url(StringInfo buf, const void *data, size_t len)
{
	int			start = buf->len;

	act_base64_append(buf, data, len);
	for (int i = start; i < buf->len; i++)
	{
		if (buf->data[i] == '+')
			buf->data[i] = '-';
		else if (buf->data[i] == '/')
			buf->data[i] = '_';
		else if (buf->data[i] == '=')
		{
			buf->len = i;
			buf->data[i] = '\0';
		}
	}
}

/* Files of service accounts have keys as JSON: with \n for line ends. */
static char *
with_line_ends(const char *key)
{
	char	   *copy = palloc(strlen(key) + 1);
	char	   *out = copy;

	for (; *key != '\0'; key++)
	{
		if (key[0] == '\\' && key[1] == 'n')
		{
			*out++ = '\n';
			key++;
		}
		else
			*out++ = *key;
	}
	*out = '\0';
	return copy;
}

/* A key behind a passphrase is none to us; without this, OpenSSL asks the terminal. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	return 0;
}

static EVP_PKEY *
read_key(const char *text, const char **problem)
{
	char	   *pem = with_line_ends(text);
	BIO		   *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY   *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);

	BIO_free(bio);
	explicit_bzero(pem, strlen(pem));
	ERR_clear_error();
	if (key == NULL)
		*problem = "is no private key in PEM form without a passphrase";
	else if (EVP_PKEY_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_bits(key) < MIN_KEY_BITS ||
			 EVP_PKEY_bits(key) > MAX_KEY_BITS)
	{
		*problem = "is no RSA key of 2048 bits or more";
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

char *
act_jwt_sign(const char *header, const char *claims, const char *key_text, const char **problem)
{
	StringInfoData jwt;
	unsigned char signature[MAX_KEY_BITS / 8];
	size_t		len = sizeof(signature);
	EVP_PKEY   *key;
	EVP_MD_CTX *context;
	bool		ok;

	initStringInfo(&jwt);
	append_base64url(&jwt, header, strlen(header));
	appendStringInfoChar(&jwt, '.');
	append_base64url(&jwt, claims, strlen(claims));

	key = read_key(key_text, problem);
	if (key == NULL)
		return NULL;
	context = EVP_MD_CTX_new();
	ok = context != NULL &&
		EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestSign(context, signature, &len, (const unsigned char *) jwt.data, jwt.len) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	ERR_clear_error();
	if (!ok)
	{
		*problem = "cannot be signed with";
		return NULL;
	}
	appendStringInfoChar(&jwt, '.');
	append_base64url(&jwt, signature, len);
	return jwt.data;
}
