/*-------------------------------------------------------------------------
 *
 * version.h
 *	  Of the library; that of the schema is pg_extension.extversion.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_VERSION_H
#define ACT_VERSION_H

#define ACT_VERSION "1.0"

#endif							/* ACT_VERSION_H */
