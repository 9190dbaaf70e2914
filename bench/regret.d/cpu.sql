-- Nothing but CPU, some milliseconds of it.
\set rows random(8000, 16000)
SELECT max(rank) FROM (SELECT row_number() OVER (ORDER BY hashint8(g * 7919)) AS rank FROM generate_series(1, :rows) g) s;
