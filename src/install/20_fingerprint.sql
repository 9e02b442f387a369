-- What a row of a model is, in 128 bits.  STABLE, since labels of enums and
-- names behind OID aliases enter it.
CREATE FUNCTION activate.fingerprint(seed pg_catalog.uuid, VARIADIC "values" pg_catalog."any")
RETURNS pg_catalog.uuid
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'act_fingerprint';

COMMENT ON FUNCTION activate.fingerprint(pg_catalog.uuid, pg_catalog."any") IS
'128 bits over the exact values, whatever the session''s settings: differs where what would be sent differs. Null where the seed is null; for more than 99 values, the seed is the fingerprint of those before.';
