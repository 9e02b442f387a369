/*-------------------------------------------------------------------------
 *
 * sealed.c
 *	  Bytes that are sealed with a key: AES-256-GCM.
 *
 * Called by stored_secret.c; touches neither database nor files.  Throws
 * XX000 where OpenSSL has no such cipher.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "sealed.h"

static const char key_id_text[] = "pg_activate key id";

static void
report_missing(void)
{
	ERR_clear_error();
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR), errmsg("AES-256-GCM is not available")));
}

static int
digit(char c)
{
	return isdigit((unsigned char) c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

bool
act_sealed_parse_key(const char *text, size_t len, uint8 *key)
{
	if (len != 2 * SEALED_KEY_LEN)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (!isxdigit((unsigned char) text[i]))
			return false;
	}
	for (int i = 0; i < SEALED_KEY_LEN; i++)
		key[i] = (uint8) (digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
	return true;
}

void
act_sealed_key_id(const uint8 *key, uint8 *id)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		EVP_DigestUpdate(context, key_id_text, sizeof(key_id_text)) == 1 &&
		EVP_DigestUpdate(context, key, SEALED_KEY_LEN) == 1 &&
		EVP_DigestFinal_ex(context, hash, NULL) == 1;

	EVP_MD_CTX_free(context);
	if (!ok)
		report_missing();
	memcpy(id, hash, SEALED_KEY_ID_LEN);
}

void
act_sealed_make(const uint8 *key, const uint8 *nonce, const char *bound, size_t bound_len,
				const char *text, size_t len, StringInfo sealed)
{
	EVP_CIPHER_CTX *context;
	unsigned char *out;
	int			n = 0;
	int			rest = 0;
	bool		ok;

	enlargeStringInfo(sealed, (int) (SEALED_NONCE_LEN + len + SEALED_TAG_LEN));
	appendBinaryStringInfo(sealed, (const char *) nonce, SEALED_NONCE_LEN);
	out = (unsigned char *) sealed->data + sealed->len;
	context = EVP_CIPHER_CTX_new();
	ok = context != NULL &&
		EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
		EVP_EncryptUpdate(context, NULL, &n, (const unsigned char *) bound, (int) bound_len) == 1 &&
		EVP_EncryptUpdate(context, out, &n, (const unsigned char *) text, (int) len) == 1 &&
		EVP_EncryptFinal_ex(context, out + n, &rest) == 1 &&
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, SEALED_TAG_LEN, out + n + rest) == 1;
	EVP_CIPHER_CTX_free(context);
	if (!ok)
		report_missing();
	sealed->len += n + rest + SEALED_TAG_LEN;
	sealed->data[sealed->len] = '\0';
}

bool
act_sealed_open(const uint8 *key, const char *bound, size_t bound_len,
				const char *sealed, size_t len, StringInfo text)
{
	EVP_CIPHER_CTX *context;
	unsigned char *out;
	unsigned char tag[SEALED_TAG_LEN];
	size_t		text_len;
	int			n = 0;
	int			rest = 0;
	bool		ok;

	if (len < SEALED_NONCE_LEN + SEALED_TAG_LEN)
		return false;
	text_len = len - SEALED_NONCE_LEN - SEALED_TAG_LEN;
	memcpy(tag, sealed + SEALED_NONCE_LEN + text_len, SEALED_TAG_LEN);
	enlargeStringInfo(text, (int) text_len + 1);
	out = (unsigned char *) text->data + text->len;
	context = EVP_CIPHER_CTX_new();
	if (context == NULL)
		report_missing();
	ok = EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, (const unsigned char *) sealed) == 1 &&
		EVP_DecryptUpdate(context, NULL, &n, (const unsigned char *) bound, (int) bound_len) == 1 &&
		EVP_DecryptUpdate(context, out, &n, (const unsigned char *) sealed + SEALED_NONCE_LEN, (int) text_len) == 1 &&
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, SEALED_TAG_LEN, tag) == 1 &&
		EVP_DecryptFinal_ex(context, out + n, &rest) == 1;
	EVP_CIPHER_CTX_free(context);
	ERR_clear_error();
	if (!ok)
	{
		explicit_bzero(out, text_len);
		text->data[text->len] = '\0';
		return false;
	}
	text->len += n + rest;
	text->data[text->len] = '\0';
	return true;
}
