/*-------------------------------------------------------------------------
 *
 * curl_command.h
 *	  A request as a command that a person can run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CURL_COMMAND_H
#define ACT_CURL_COMMAND_H

#include "http.h"

/* One command for a shell, in the current memory context. */
extern char *act_curl_command(const HttpRequest *request);

#endif							/* ACT_CURL_COMMAND_H */
