/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The module's configuration parameters (design 2.6).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_SETTINGS_H
#define ACT_SETTINGS_H

extern bool act_enabled;
extern char *act_allowed_hosts;
extern char *act_secrets_directory;
extern char *act_key_file;
extern char *act_environment;
extern char *act_hosts;
extern char *act_approver_role;
extern char *act_databases;
extern int	act_max_workers;
extern int	act_naptime;		/* milliseconds */
extern int	act_run_retention;	/* minutes */
extern int	act_request_log_retention;	/* minutes */
extern int	act_max_in_flight;
extern int	act_max_response_bytes;
extern int	act_progress_interval;	/* milliseconds; 0: no INFO lines */
extern bool act_ddl_protection;

extern void act_settings_define(void);

/* Whether pg_activate.databases names this one. */
extern bool act_databases_include(const char *name);

#endif							/* ACT_SETTINGS_H */
