/*-------------------------------------------------------------------------
 *
 * cluster.h
 *	  A copy does not send (design decision 8): where a sync may run.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_CLUSTER_H
#define ACT_CLUSTER_H

struct Sync;
struct Run;

/*
 * Why a sync may not run here, or NULL: text, and what to do about it in
 * *hint.  The switch pg_activate.enabled is not looked at.
 */
extern const char *act_sync_home_problem(int64 system_identifier, Oid database_oid,
										 const char *host, const char **hint);

/* Workers found syncs that may not run here: an event, once for each copy. */
extern void act_cluster_note_fenced(const char *problem);

/* 55000 unless this cluster, database and host may run the sync. */
extern void act_sync_require_home(const struct Sync *sync);
extern void act_require_enabled(void);	/* the part of it that needs no sync */

/*
 * Whether this host is one that sends: pg_activate.hosts where it is set,
 * else the host recorded with the sync (NULL: none recorded, any host is).
 */
extern bool act_host_may_send(const char *host, const char *recorded);
extern int64 act_system_identifier(void);
extern int	act_timeline(void); /* of the WAL being written; not on a standby */
extern char *act_host_name(void);

/* Why the next run will put every row of a sync in doubt, or NULL. */
extern const char *act_cluster_doubt(const struct Sync *sync);

/*
 * At a run's start, with the run lock held, its table locked and its claims
 * settled: where this server may not know all that was sent, every row is put
 * in doubt.  Whether that is so.
 */
extern bool act_cluster_doubts(struct Run *run);

/* Somebody said what the destination has: there is nothing left to doubt. */
extern void act_cluster_trust(const struct Sync *sync);

/* 55000 for a run of some keys while the next run is to be seen as a whole. */
extern void act_cluster_require_released(const struct Sync *sync);

/* An approved run goes on: those after it need no approval. */
extern void act_cluster_release(struct Run *run);

#endif							/* ACT_CLUSTER_H */
