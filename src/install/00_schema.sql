/* The install script is built from these parts in the order of their names. */
\echo Use "CREATE EXTENSION pg_activate" to load this file. \quit

/*
 * Created here and not named in the control file: a schema of that name made
 * by somebody else before must fail the installation, not be adopted by it.
 */
CREATE SCHEMA activate;
COMMENT ON SCHEMA activate IS 'pg_activate: functions and views; USAGE on it is the door';

CREATE SCHEMA activate_data;
COMMENT ON SCHEMA activate_data IS 'pg_activate: one table per sync with what its destination accepted, owned by the owner of the sync';
GRANT USAGE ON SCHEMA activate_data TO PUBLIC;
