/*-------------------------------------------------------------------------
 *
 * pg_stub.h
 *	  As much of a server as code without a database needs: memory,
 *	  StringInfo, lists, ereport.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PG_STUB_H
#define PG_STUB_H

/* What the last ERROR said; empty strings where it said nothing. */
typedef struct StubError
{
	int			sqlstate;
	char		message[2000];
	char		detail[2000];
	char		hint[2000];
} StubError;

extern StubError stub_error;

/* How often interrupts were looked for while InterruptPending was set. */
extern int	stub_interrupts;

/* Frees everything palloc()ed so far. */
extern void stub_reset(void);

#endif							/* PG_STUB_H */
