-- Quotas, timeouts and sizes of this platform's tenants, as a migration.
--
-- Run it in the database that pool_optimizer.database names, as a role that may
-- set policies (docs/guides/tuning-from-migrations.md has the three GRANT lines):
--
--     psql -v ON_ERROR_STOP=1 -d postgres -f 001_quotas.sql
--
-- It may run twice: every setter says what is to be, not what is to change.
-- Leave out BEGIN and COMMIT where your tool opens the transaction itself.

BEGIN;

-- Everybody: a ceiling, and what is to become of forgotten transactions.
SELECT pool_set_quota('*', max_connections => 20, on_full => 'wait', wait_timeout => '2s');
SELECT pool_set_timeouts('*', idle_in_transaction => '5min', never_used => '30min');

-- The shop: more than the others, and five connections that nobody takes away.
SELECT pool_set_quota('shop@app', max_connections => 30, guaranteed => 5);
SELECT pool_set_sizing('shop@app', min_size => 4, max_size => 24, target_wait => '5ms');

-- Batch jobs in any database: two at a time, and told at once when there is no place.
SELECT pool_set_quota('batch@*', max_connections => 2, on_full => 'reject');

-- All tenants of one database together.
SELECT pool_set_quota('app', max_connections => 60, scope => 'database');

-- A tenant that has moved out.
SELECT pool_drop_policy('tenant_17@app', if_exists => true);

COMMIT;
