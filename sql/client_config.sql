--
-- pool_client_config: its arguments, sizes, contradictions and texts.  That pooler and
-- drivers take the texts is the matter of t/040_client_config.pl.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pool_optimizer;
RESET client_min_messages;
DELETE FROM pool_policies;

-- A tenant that is known by its policy alone: the size is the policy's.
SELECT count(*) FROM
	pool_set_quota('regress_shop@shop', 40) AS a,
	pool_set_sizing('regress_shop@shop', min_size => 20, max_size => 20) AS b;
SELECT pool_sync('60s');

-- The text without what depends on the machine and on the moment.
CREATE FUNCTION regress_config(tenant text, client text, instances int = 1) RETURNS text
	LANGUAGE sql AS $$
	SELECT string_agg(replace(line, current_setting('port'), '5432'), E'\n' ORDER BY n)
	FROM regexp_split_to_table(pool_client_config(tenant, client, instances), '\n')
		WITH ORDINALITY AS l (line, n)
	WHERE line !~ '^(#|//|;) (Why|Note: confidence|transactions and|when pool_rec|Recommended)'
$$;
-- Only the remarks, each in a line again.
CREATE FUNCTION regress_remarks(tenant text, client text, instances int = 1)
	RETURNS SETOF text LANGUAGE sql AS $$
	SELECT m[1] FROM regexp_matches(regexp_replace(pool_client_config(tenant, client, instances),
		'\n(#|//|;) (?!CONTRADICTION|Note|Tenant|Recommended|Why|Each|Allowed|The server|A prop)',
		' ', 'g'), '((?:CONTRADICTION|Note): [^\n]*)', 'g') AS m
	WHERE m[1] !~ 'confidence is low'
$$;

--
-- Arguments.
--
\pset format unaligned
\pset tuples_only on
SELECT pool_client_config(NULL, 'pgx');
SELECT pool_client_config('regress_shop@shop', NULL);
SELECT pool_client_config('regress_nobody@shop', 'pgx');
SELECT pool_client_config('regress_shop@*', 'pgx');
SELECT pool_client_config('regress_shop@shop', 'c3p0');
SELECT pool_client_config('regress_shop@shop', 'pgx', 0);
SELECT pool_client_config('regress_shop@shop', 'pgx', -1);
SELECT pool_client_config('regress_shop@shop', 'pgx', 100001);
\set VERBOSITY sqlstate
SELECT pool_client_config(NULL, 'pgx');
SELECT pool_client_config('regress_nobody@shop', 'pgx');
SELECT pool_client_config('regress_shop@shop', 'c3p0');
SELECT pool_client_config('regress_shop@shop', 'pgx', 0);
\set VERBOSITY default
SELECT pool_client_config('regress_shop@shop', 'pgx', NULL) =
	pool_client_config('regress_shop@shop', 'pgx', 1);
SELECT pool_client_config(tenant => 'regress_shop@shop', client => 'pgx') =
	pool_client_config('regress_shop@shop', 'pgx', 1);
SELECT length(pool_client_config('regress_shop@shop', 'pgx', 100000)) > 0;

--
-- Every client: 20 for four processes, of which a deploy has five; poolers are not doubled.
--
SELECT regress_config('regress_shop@shop', 'pgbouncer', 4);
SELECT regress_config('regress_shop@shop', 'odyssey', 4);
SELECT regress_config('regress_shop@shop', 'pgdog', 4);
SELECT regress_config('regress_shop@shop', 'prisma', 4);
SELECT regress_config('regress_shop@shop', 'hikaricp', 4);
SELECT regress_config('regress_shop@shop', 'node-postgres', 4);
SELECT regress_config('regress_shop@shop', 'sqlalchemy', 4);
SELECT regress_config('regress_shop@shop', 'pgx', 4);
SELECT regress_config('regress_shop@shop', 'npgsql', 4);

--
-- What does not fit together is said.
--
SELECT regress_remarks('regress_shop@shop', 'prisma', 1);
SELECT regress_remarks('regress_shop@shop', 'prisma', 11);
SELECT regress_remarks('regress_shop@shop', 'prisma', 36);
SELECT regress_remarks('regress_shop@shop', 'prisma', 50);
SELECT regress_remarks('regress_shop@shop', 'prisma', 100000);
SELECT count(*) FROM pool_set_quota('regress_shop@shop', 20, 10);
SELECT pool_sync('60s');
SELECT regress_remarks('regress_shop@shop', 'prisma', 4);
SELECT count(*) FROM pool_set_quota('regress_shop@shop', 15);
SELECT pool_sync('60s');
SELECT regress_remarks('regress_shop@shop', 'prisma', 1);
SELECT count(*) FROM pool_set_quota('regress_shop@shop', 0, 0);
SELECT pool_sync('60s');
SELECT regress_remarks('regress_shop@shop', 'pgbouncer');
-- A quota that is off is none: what is left is what the server has.
SELECT count(*) FROM pool_set_quota('regress_shop@shop', mode => 'off');
SELECT pool_sync('60s');
SELECT regress_remarks('regress_shop@shop', 'pgbouncer', 60);
SELECT count(*) FROM pool_set_quota('regress_shop@shop', -1, mode => 'enforce');

-- Of the role, the database and the cluster, core's and ours.
CREATE ROLE regress_shop CONNECTION LIMIT 18;
SELECT pool_sync('60s');
SELECT regress_remarks('regress_shop@shop', 'prisma', 1);
SELECT count(*) FROM pool_set_quota('shop', 17, scope => 'database');
SELECT pool_sync('60s');
SELECT regress_remarks('regress_shop@shop', 'prisma', 1);
SELECT count(*) FROM pool_set_quota('regress_shop', 16, scope => 'role');
SELECT pool_sync('60s');
SELECT regress_remarks('regress_shop@shop', 'prisma', 1);
SELECT count(*) FROM pool_set_quota('*', 14, scope => 'cluster');
SELECT pool_sync('60s');
SELECT regress_remarks('regress_shop@shop', 'prisma', 1);
SELECT count(*) FROM pool_drop_policy('*', 'cluster') AS a,
	pool_drop_policy('shop', 'database') AS b, pool_drop_policy('regress_shop', 'role') AS c;
DROP ROLE regress_shop;

-- Timeouts of the server against those of the clients.
SELECT count(*) FROM pool_set_timeouts('regress_shop@shop', idle => '40 s',
	idle_in_transaction => '10 s', never_used => '50 s', lifetime => '30 s',
	leak_probability => 0.99);
SELECT pool_sync('60s');
SELECT client, regress_remarks('regress_shop@shop', client)
	FROM unnest('{pgbouncer,hikaricp,sqlalchemy,npgsql}'::text[]) AS client;
SELECT regress_config('regress_shop@shop', 'pgbouncer');
SELECT regress_config('regress_shop@shop', 'hikaricp');
-- Rules that are off are none.
SELECT count(*) FROM pool_set_timeouts('regress_shop@shop', mode => 'off');
SELECT pool_sync('60s');
SELECT client, regress_remarks('regress_shop@shop', client)
	FROM unnest('{pgbouncer,hikaricp,sqlalchemy,npgsql}'::text[]) AS client;
SELECT count(pool_drop_policy('regress_shop@shop', field => f))
	FROM unnest('{idle,idle_in_transaction,never_used,lifetime,leak_probability}'::text[]) AS f;

-- A login that queues.
SELECT count(*) FROM pool_set_quota('regress_shop@shop', 40, on_full => 'wait',
	wait_timeout => '20 s');
SELECT pool_sync('60s');
SELECT client, regress_remarks('regress_shop@shop', client)
	FROM unnest('{pgbouncer,prisma,hikaricp}'::text[]) AS client;
SELECT regress_config('regress_shop@shop', 'npgsql') ~ 'Timeout=25"';
SELECT count(*) FROM pool_set_quota('regress_shop@shop', wait_timeout => '2 min');
SELECT pool_sync('60s');
SELECT regress_remarks('regress_shop@shop', 'hikaricp');

--
-- Names with all that could end a string, a line or a comment.
--
SELECT count(*) FROM pool_set_quota(E'a"b''c\\d;#\$\{e\}%41=f&g@h"i''j\\k [l]?/:', 5);
SELECT pool_sync('60s');
SELECT client, line
	FROM unnest('{pgbouncer,odyssey,pgdog,prisma,hikaricp,node-postgres,sqlalchemy,pgx,npgsql}'
		::text[]) WITH ORDINALITY AS c (client, i),
		regexp_split_to_table(regress_config(E'a"b''c\\d;#\$\{e\}%41=f&g@h"i''j\\k [l]?/:',
		client), '\n') WITH ORDINALITY AS l (line, j)
	WHERE line ~ 'a.*b.*c.*d.*e.*41|h.*i.*j.*k|default|cannot' AND line !~ 'The default|const '
	ORDER BY i, j;

--
-- What PgBouncer takes in single quotes only.
--
SELECT count(*) FROM pool_set_quota('regress_shop@my shop', 5);
SELECT pool_sync('60s');
SELECT replace(regress_config('regress_shop@my shop', 'pgbouncer'), E'\n; ', ' ') ~
	'as a key from 1.25 on, in single quotes; here its clients connect to my_shop\.';

--
-- With another template names come from the sessions; without any they are left open.
--
SELECT count(*) FROM pool_set_quota('regress', 5);
SELECT pool_sync('60s');
SELECT line FROM regexp_split_to_table(regress_config('regress', 'pgbouncer'), '\n') AS line
	WHERE line ~ 'host=';
SELECT line FROM regexp_split_to_table(regress_config('regress', 'prisma'), '\n') AS line
	WHERE line ~ '^DIRECT_URL';

--
-- A plain role asks for its own tenant only, and does not learn of others.
--
CREATE ROLE regress_pool_a LOGIN;
SELECT session_user AS me \gset
\c - regress_pool_a
SELECT pool_client_config('regress_pool_a@contrib_regression', 'pgx') ~ 'postgres://regress_pool_a@';
SELECT pool_client_config('regress_shop@shop', 'pgx');
SELECT pool_client_config('regress_nobody@shop', 'pgx');
\set VERBOSITY sqlstate
SELECT pool_client_config('regress_shop@shop', 'pgx');
\set VERBOSITY default
\c - :me
SELECT provolatile, proparallel FROM pg_proc WHERE proname = 'pool_client_config';

DELETE FROM pool_policies;
SELECT pool_sync('60s');
DROP ROLE regress_pool_a;
DROP FUNCTION regress_config, regress_remarks;
