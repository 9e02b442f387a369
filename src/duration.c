/*-------------------------------------------------------------------------
 *
 * duration.c
 *	  Durations as options of servers and documents of connectors write them.
 *
 * Pure: needs no transaction, allocates nothing, does not throw.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "duration.h"

bool
act_duration_parse(const char *value, int *ms)
{
	static const struct
	{
		const char *name;
		double		ms;
	}			units[] =
	{
		{"", 1000}, {"ms", 1}, {"millisecond", 1}, {"milliseconds", 1},
		{"s", 1000}, {"sec", 1000}, {"secs", 1000}, {"second", 1000}, {"seconds", 1000},
		{"m", 60000}, {"min", 60000}, {"mins", 60000}, {"minute", 60000}, {"minutes", 60000},
		{"h", ACT_HOUR_MS}, {"hour", ACT_HOUR_MS}, {"hours", ACT_HOUR_MS},
	};
	char	   *unit;
	double		number;

	if (value[0] < '0' || value[0] > '9')
		return false;
	number = strtod(value, &unit);
	while (*unit == ' ')
		unit++;
	for (int i = 0; i < lengthof(units); i++)
	{
		if (pg_strcasecmp(unit, units[i].name) == 0)
		{
			number *= units[i].ms;
			if (!(number >= 0 && number <= PG_INT32_MAX))
				return false;
			*ms = (int) number;
			return true;
		}
	}
	return false;
}
