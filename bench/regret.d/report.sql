-- Long: aggregates a piece of the table.
\set from random(1, :accounts - :span)
SELECT bid, count(*), avg(abalance), min(aid) FROM pgbench_accounts WHERE aid BETWEEN :from AND :from + :span GROUP BY bid ORDER BY 3;
