/*-------------------------------------------------------------------------
 *
 * change_id.c
 *	  Names for versions sent, which no receiver ever saw before.
 *
 * Needs no transaction and allocates nothing; throws when there is no
 * randomness to be had.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bswap.h"

#include "change_id.h"

/*
 * New for each version sent: a random number drawn by this process, and a
 * counter, so that no copy or restored backup ever makes the same one.
 */
void
act_change_id_new(uint8 *change_id)
{
	static uint64 nonce = 0;
	static uint64 counter = 0;
	static int	nonce_pid = 0;
	uint64		high;
	uint64		low;

	if (nonce_pid != MyProcPid)
	{
		if (!pg_strong_random(&nonce, sizeof(nonce)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		nonce_pid = MyProcPid;
	}
	high = pg_hton64(nonce);
	low = pg_hton64(++counter);
	memcpy(change_id, &high, sizeof(high));
	memcpy(change_id + sizeof(high), &low, sizeof(low));
}
