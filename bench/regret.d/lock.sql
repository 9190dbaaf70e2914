-- Takes the hot row first and keeps it for three round trips.
\set account random(1, :accounts)
\set branch random(1, :rows)
BEGIN;
UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = :branch;
SELECT abalance FROM pgbench_accounts WHERE aid = :account;
UPDATE pgbench_accounts SET abalance = abalance - 1 WHERE aid = :account;
COMMIT;
