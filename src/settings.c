/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The module's configuration parameters.
 *
 * All that reach outside the database are set by whoever may edit the
 * configuration; allowed_hosts and ddl_protection are SUSET so that a
 * superuser can set them for a session, and progress_interval is anybody's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "address.h"
#include "settings.h"

bool		act_enabled = true;
char	   *act_allowed_hosts = NULL;
char	   *act_secrets_directory = NULL;
char	   *act_key_file = NULL;
char	   *act_environment = NULL;
char	   *act_hosts = NULL;
char	   *act_approver_role = NULL;
char	   *act_databases = NULL;
int			act_max_workers = 4;
int			act_naptime = 60000;
int			act_run_retention = 30 * 24 * 60;
int			act_request_log_retention = 7 * 24 * 60;
int			act_max_in_flight = 64;
int			act_max_response_bytes = 1024 * 1024;
int			act_progress_interval = 1000;
bool		act_ddl_protection = true;

static bool
check_allowed_hosts(char **newval, void **extra, GucSource source)
{
	char	   *problem = NULL;

	if (*newval == NULL || act_address_list_valid(*newval, &problem))
		return true;
	GUC_check_errdetail("%s", problem);
	GUC_check_errhint("A list of host, host:port, *.domain, CIDR or *, separated by commas.");
	return false;
}

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char	   *copy;
	List	   *names;
	bool		valid;

	if (*newval == NULL)
		return true;
	copy = pstrdup(*newval);
	valid = SplitIdentifierString(copy, ',', &names);
	list_free(names);
	pfree(copy);
	if (!valid)
		GUC_check_errdetail("A list of names of databases separated by commas, or * for all.");
	return valid;
}

bool
act_databases_include(const char *name)
{
	char	   *copy = pstrdup(act_databases);
	List	   *names;
	ListCell   *cell;
	bool		included = false;

	if (SplitIdentifierString(copy, ',', &names))
	{
		foreach(cell, names)
		{
			const char *listed = lfirst(cell);

			if (strcmp(listed, "*") == 0 || strcmp(listed, name) == 0)
				included = true;
		}
	}
	list_free(names);
	pfree(copy);
	return included;
}

static void
define_workers(void)
{
	DefineCustomStringVariable("pg_activate.databases",
							   "Databases that the background workers serve; *: all.",
							   NULL, &act_databases, "*", PGC_SIGHUP, GUC_LIST_INPUT,
							   check_databases, NULL, NULL);
	DefineCustomIntVariable("pg_activate.max_workers",
							"Runs that background workers have under way at the same time.",
							NULL, &act_max_workers, 4, 1, 1024, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_activate.naptime",
							"Longest time between two looks of the background workers at what is to do.",
							NULL, &act_naptime, 60000, 1000, 3600000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_activate.run_retention",
							"How long runs and events are kept.",
							"Of each sync what its status goes by stays.",
							&act_run_retention, 30 * 24 * 60, 1, 100 * 365 * 24 * 60,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_activate.request_log_retention",
							"How long requests of the view requests are kept.",
							NULL, &act_request_log_retention, 7 * 24 * 60, 1, 100 * 365 * 24 * 60,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

static void
define_texts(void)
{
	DefineCustomStringVariable("pg_activate.allowed_hosts",
							   "Private hosts and plain http hosts that destinations may be at.",
							   "A list of host, host:port, *.domain, CIDR or *, separated by commas.",
							   &act_allowed_hosts, "", PGC_SUSET, GUC_LIST_INPUT,
							   check_allowed_hosts, NULL, NULL);
	DefineCustomStringVariable("pg_activate.secrets_directory",
							   "Directory that options naming a file are relative to.",
							   NULL, &act_secrets_directory, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_activate.key_file",
							   "File with the key that secrets in the database are sealed with.",
							   "Lines of 64 hexadecimal digits: the first seals, the others open what is older.",
							   &act_key_file, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_activate.environment",
							   "Environment of this server; destinations that name another one are refused.",
							   NULL, &act_environment, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_activate.hosts",
							   "Names of the hosts that may send; empty: the one recorded with each sync; *: any.",
							   NULL, &act_hosts, "", PGC_SIGHUP, GUC_LIST_INPUT, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_activate.approver_role",
							   "Role whose members may approve held runs; empty: whoever owns the sync.",
							   NULL, &act_approver_role, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
}

void
act_settings_define(void)
{
	DefineCustomBoolVariable("pg_activate.enabled",
							 "Whether anything is sent at all.",
							 NULL, &act_enabled, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_texts();
	define_workers();
	DefineCustomIntVariable("pg_activate.max_in_flight",
							"Requests that one run may have under way.",
							NULL, &act_max_in_flight, 64, 1, 1024, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("pg_activate.max_response_bytes",
							"Bytes of an answer's decoded body beyond which it is given up.",
							NULL, &act_max_response_bytes, 1024 * 1024, 1024, INT_MAX / 4,
							PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_activate.progress_interval",
							"Time between two INFO lines of a run in a session; 0: none.",
							NULL, &act_progress_interval, 1000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("pg_activate.ddl_protection",
							 "Whether syncs with on_model_change refuse keep their models from being broken.",
							 NULL, &act_ddl_protection, true, PGC_SUSET, 0, NULL, NULL, NULL);
}
