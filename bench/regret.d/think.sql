-- The client does something else for a while, within its transaction.
\set account random(1, :accounts)
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :account;
\sleep :think_us us
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :account;
COMMIT;
