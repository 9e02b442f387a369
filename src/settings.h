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
extern char *act_environment;
extern char *act_hosts;
extern char *act_approver_role;
extern int	act_max_in_flight;
extern int	act_max_response_bytes;
extern int	act_progress_interval;	/* milliseconds; 0: no INFO lines */

extern void act_settings_define(void);

#endif							/* ACT_SETTINGS_H */
