-- Short, one round trip, all of it on a few hot rows.
\set account random(1, :accounts)
\set teller random(1, 10 * :rows)
\set branch random(1, :rows)
\set delta random(-100, 100)
BEGIN\; UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :account\; UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :teller\; UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :branch\; INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:teller, :branch, :account, :delta, now())\; COMMIT;
