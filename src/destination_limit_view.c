/*-------------------------------------------------------------------------
 *
 * destination_limit_view.c
 *	  What is known of a destination in shared memory: behind the view
 *	  destinations.
 *
 * To those who may use the server, and members of pg_monitor.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "destination_limit.h"

PG_FUNCTION_INFO_V1(act_destination_limits);

static bool
may_see(Oid server)
{
	Oid			user = GetUserId();

	/* May have been dropped meanwhile. */
	if (!SearchSysCacheExists1(FOREIGNSERVEROID, ObjectIdGetDatum(server)))
		return false;
	return has_privs_of_role(user, ROLE_PG_MONITOR) ||
		act_compat_server_aclcheck(server, user, ACL_USAGE) == ACLCHECK_OK;
}

/*
 * activate.destination_limits(server oid): one row, or none where nothing was
 * sent to it since the server started, or nothing is shared.
 */
Datum
act_destination_limits(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LimitView	view;
	Interval	p95 = {0};

	act_compat_materialize(fcinfo);
	if (PG_ARGISNULL(0) || !may_see(PG_GETARG_OID(0)) || !act_limit_view(PG_GETARG_OID(0), &view))
		return (Datum) 0;
	p95.time = (TimeOffset) (view.p95_ms * 1000);
	{
		Datum		values[] = {
			CStringGetTextDatum(view.breaker),
			TimestampTzGetDatum(view.throttled_until),
			Int32GetDatum(view.in_flight),
			Int64GetDatum(view.requests),
			Int64GetDatum(view.retries),
			Int64GetDatum(view.throttled),
			Int64GetDatum(view.failed),
			IntervalPGetDatum(&p95),
			Int64GetDatum(view.day_used),
		};
		bool		nulls[] = {
			false, view.throttled_until == 0, false, false, false, false, false,
			view.p95_ms < 0, view.day_used < 0
		};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
