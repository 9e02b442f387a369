/*-------------------------------------------------------------------------
 *
 * server_text.h
 *	  Text in the server's encoding, for those that want UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SERVER_TEXT_H
#define ACT_SERVER_TEXT_H

/* In the current memory context; what cannot be converted is left out, never an error. */
extern char *act_server_text_utf8(const char *text);

/* The same, cut at a character where it is longer; an ellipsis says so. */
extern char *act_server_text_clip(const char *utf8, size_t limit);

#endif							/* ACT_SERVER_TEXT_H */
