/*-------------------------------------------------------------------------
 *
 * pg_activate.c
 *	  Module initialization.
 *
 * Works without shared_preload_libraries: loaded by the first call of a
 * function.  libcurl is initialized by the first request, never here, which
 * with preload is the postmaster.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "fault.h"
#include "settings.h"
#include "shared_state.h"
#include "utility_hook.h"
#include "version.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(act_version);

void		_PG_init(void);

void
_PG_init(void)
{
	act_settings_define();
#ifdef ACT_TEST
	act_fault_define_settings();
#endif
	MarkGUCPrefixReserved("pg_activate");
	if (process_shared_preload_libraries_in_progress)
	{
		act_shared_state_init();
		act_utility_hook_install();
	}
}

/* activate.version(): of the library, which can be newer than the schema. */
Datum
act_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(ACT_VERSION));
}
