/*-------------------------------------------------------------------------
 *
 * utility_hook.h
 *	  Statements about databases and the extension that workers must know of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_UTILITY_HOOK_H
#define ACT_UTILITY_HOOK_H

/* _PG_init, while preloading. */
extern void act_utility_hook_install(void);

#endif							/* ACT_UTILITY_HOOK_H */
