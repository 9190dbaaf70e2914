-- A short transaction, then the client thinks outside of it.
\set account random(1, :accounts)
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :account;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :account;
COMMIT;
\set pause random(:pause_us / 2, :pause_us * 3 / 2)
\sleep :pause us
