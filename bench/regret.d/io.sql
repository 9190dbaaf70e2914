-- Waits in the server, off the CPU, as for a foreign server or a slow disk.
\set ms random(2, 12)
SELECT pg_sleep(:ms / 1000.0), sum(g) FROM generate_series(1, 300) g;
