/*-------------------------------------------------------------------------
 *
 * server_text.h
 *	  Text of a stranger, always UTF-8, in the server's encoding.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SERVER_TEXT_H
#define ACT_SERVER_TEXT_H

/* '?' for what it lacks. */
extern char *act_text_to_server(const char *utf8);

#endif							/* ACT_SERVER_TEXT_H */
