/*-------------------------------------------------------------------------
 *
 * iso_time.h
 *	  Dates and times as ISO 8601 has them, read from text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ACT_ISO_TIME_H
#define ACT_ISO_TIME_H

#include "datatype/timestamp.h"

/*
 * 2026-11-23, 2026-11-23T08:57 or 2026-11-23 08:57:33.5+01:00 (+0100, +01, Z;
 * without a zone it is UTC): when that is, in UTC.  false: it is none of them.
 */
extern bool act_iso_time_read(const char *text, Timestamp *time);

#endif							/* ACT_ISO_TIME_H */
