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
