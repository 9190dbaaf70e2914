-- A migration that fails, and so changes nothing.
--
-- The first change is sound.  The second contradicts 001_quotas.sql, which
-- guarantees the shop five connections: it is refused with SQLSTATE 22023 and a
-- message that names the number to change.  The transaction is rolled back, and the
-- first change with it: no login and no session ever meets it.
--
--     psql -v ON_ERROR_STOP=1 -d postgres -f 002_rolls_back.sql
--
-- ends with exit status 3.

BEGIN;

SELECT pool_set_timeouts('*', idle => '1s');
SELECT pool_set_quota('shop@app', max_connections => 3);

COMMIT;
