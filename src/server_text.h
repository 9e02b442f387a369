/*-------------------------------------------------------------------------
 *
 * server_text.h
 *	  Text between the server's encoding and UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SERVER_TEXT_H
#define ACT_SERVER_TEXT_H

/* In the current memory context; what cannot be converted is left out, never an error. */
extern char *act_server_text_utf8(const char *text);

/* The same, cut at a character where it is longer; an ellipsis says so. */
extern char *act_server_text_clip(const char *utf8, size_t limit);

/* UTF-8 text of a stranger in the server's encoding; '?' for what it lacks. */
extern char *act_text_to_server(const char *utf8);

/* The same, with \u20ac for what it lacks, for people to read. */
extern char *act_text_to_server_escaped(const char *utf8);

/* The same of what must not lose a character, an id: NULL where it would, and for NULL. */
extern char *act_text_to_server_exact(const char *utf8);

#endif							/* ACT_SERVER_TEXT_H */
