/*-------------------------------------------------------------------------
 *
 * connector_token.h
 *	  Tokens that credentials are exchanged for: how they are asked for,
 *	  what an answer says, and where they go.
 *
 * Like the rest of the engine it touches neither database nor network;
 * token.c asks, and keeps what came.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CONNECTOR_TOKEN_H
#define ACT_CONNECTOR_TOKEN_H

#include "connector_private.h"

/* The order is that of grant_names[]. */
typedef enum TokenGrant
{
	GRANT_CLIENT_CREDENTIALS,
	GRANT_REFRESH_TOKEN,
	GRANT_JWT_BEARER
} TokenGrant;

typedef struct KeptValue
{
	const char *name;
	const JsonPointer *at;
	bool		is_secret;
} KeptValue;

struct TokenSource
{
	bool		is_request;		/* token_request; else oauth2 */
	TokenGrant	grant;
	const Template *url;
	bool		basic;			/* who asks stands in a header, not in the body */
	const Template *client_id;
	const Template *client_secret;
	const Template *refresh_token;
	bool		rotates;
	const char *refresh_secret; /* the secret that refresh_token is, or NULL */
	const Template *scope;
	const Template *audience;
	NamedTemplates extra;
	const Template *jwt_key;
	const Template *jwt_header;	/* an object, or NULL */
	const Template *jwt_claims;
	int			jwt_ttl_ms;

	const RequestTemplate *request;
	const JsonPointer *token;
	const JsonPointer *expires_in;
	int			ttl_ms;			/* 0: until it is refused */
	int			nkept;
	KeptValue  *kept;
	const char *header_name;
	const Template *header;
};

/* Of the credentials that are set; NULL: they need no token. */
extern const TokenSource *act_token_source(const Connector *connector, const ConnectorScope *scope);

/* connector_token_answer.c: a copy of both, as HttpHeader. */
extern List *act_token_add_value(List *values, const char *name, const char *value);

/* connector_token.c, for connector_auth.c */
extern const char *const act_token_oauth2_members[];
extern const char *const act_token_request_members[];
extern const TokenSource *act_token_compile_oauth2(const Document *document, const cJSON *at);
extern const TokenSource *act_token_compile_request(const Document *document, const cJSON *at);

/* What is wrong with the values of secrets, without showing any; NULL: nothing. */
extern char *act_token_secret_problem(const TokenSource *source, const ConnectorScope *scope);

/* Throws where the scope has no token: it is asked for before anything is sent. */
extern void act_token_authorize(const Connector *connector, const TokenSource *source, TemplateInput *input,
								HttpRequest *request);

/* connector_jwt.c: header.claims.signature of RS256; NULL, with *problem: the key is none. */
extern char *act_jwt_sign(const char *header, const char *claims, const char *key, const char **problem);

#endif							/* ACT_CONNECTOR_TOKEN_H */
