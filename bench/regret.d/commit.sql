-- Commits that wait for the disk; run with fsync on.
\set account random(1, :accounts)
BEGIN\; SET LOCAL synchronous_commit = on\; INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, :account, 0, now())\; COMMIT;
