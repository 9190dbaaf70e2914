# ReportTest.pm
#		What the tests of pool_report share: clusters worth a report.
package ReportTest;

use strict;
use warnings;

use Encode qw(encode_utf8);
use Exporter 'import';
use PoolTest;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(ident quote report fill_history stand_in plant_findings trouble @ODD);

# Names that want to be something else: bytes of UTF-8.
our @ODD = map { encode_utf8($_) } (
	q{<script>alert(1)</script>},
	q{"><img src=x onerror=alert(2)>},
	q{'; DROP TABLE users; --},
	q{</title></style><b>&amp;},
	"\x{65e5}\x{672c}\x{8a9e} %s %n",
	"a\x{202e}txt.exe",
	'back\\slash $x {{y}}');

sub ident { my ($name) = @_; return '"' . $name =~ s/"/""/gr . '"'; }
sub quote { my ($text) = @_; return "'" . $text =~ s/'/''/gr . "'"; }

sub report
{
	my ($node, %opt) = @_;
	my $since = $opt{since} // '1 day';

	return $node->safe_psql($opt{dbname} // 'postgres',
		($opt{zone} ? "SET timezone = '$opt{zone}'; " : '') . "SELECT pool_report('$since')",
		$opt{user} ? (extra_params => [ '-U', $opt{user} ]) : ());
}

# What rings in shared memory had to be watched for days for: history from a table that
# fill_history fills, told by functions in the place of the extension's.
sub stand_in
{
	my ($node, $db) = @_;

	$node->safe_psql($db // 'postgres', q{
		CREATE TABLE history (bucket_start timestamptz, tenant text, sessions_avg float8,
			sessions_max int, busy_avg float8, busy_max int, rejected bigint,
			transactions bigint, xact_p95_ms float8, max_connections int,
			recommended_size int);
		CREATE INDEX ON history (bucket_start);
		CREATE OR REPLACE FUNCTION pool_stats_history(
			resolution interval DEFAULT '1 min', since timestamptz DEFAULT NULL,
			until timestamptz DEFAULT NULL, for_tenant text DEFAULT NULL,
			OUT bucket_start timestamptz, OUT bucket_ms float8, OUT tenant text,
			OUT sessions_avg float8, OUT sessions_max integer, OUT busy_avg float8,
			OUT busy_max integer, OUT rejected bigint, OUT terminated bigint,
			OUT transactions bigint, OUT xact_p50_ms float8, OUT xact_p95_ms float8,
			OUT xact_p99_ms float8, OUT waiting_max integer, OUT errors bigint,
			OUT max_connections integer, OUT recommended_size integer)
		RETURNS SETOF record LANGUAGE sql STABLE AS $$
			SELECT date_bin(greatest(resolution, '5 min'), h.bucket_start, '2000-01-03') AS b,
				count(*) * 300000.0::float8, h.tenant, avg(h.sessions_avg), max(h.sessions_max),
				avg(h.busy_avg), max(h.busy_max), sum(h.rejected)::bigint, 0::bigint,
				sum(h.transactions)::bigint, NULL::float8, avg(h.xact_p95_ms), NULL::float8, 0,
				0::bigint, max(h.max_connections), max(h.recommended_size)
			FROM public.history h
			WHERE h.bucket_start >= date_bin(resolution, since, '2000-01-03')
				AND h.bucket_start < until AND (pg_has_role('pg_read_all_stats', 'USAGE')
					OR h.tenant = session_user || '@' || current_database())
			GROUP BY b, h.tenant $$;
		CREATE OR REPLACE FUNCTION pool_stats_cluster_history(
			resolution interval DEFAULT '1 min', since timestamptz DEFAULT NULL,
			until timestamptz DEFAULT NULL,
			OUT bucket_start timestamptz, OUT bucket_ms float8, OUT sessions_avg float8,
			OUT sessions_max integer, OUT utilization_max float8, OUT waiting_max integer,
			OUT max_connections integer, OUT busy_avg float8, OUT busy_max integer,
			OUT rejected bigint, OUT terminated bigint, OUT errors bigint,
			OUT transactions bigint, OUT xact_p50_ms float8, OUT xact_p95_ms float8,
			OUT xact_p99_ms float8)
		RETURNS SETOF record LANGUAGE sql STABLE AS $$
			SELECT h.bucket_start, max(h.bucket_ms), sum(h.sessions_avg),
				sum(h.sessions_max)::int, 0.5::float8, 0,
				(SELECT c.max_connections FROM public.pool_stats_cluster() c), sum(h.busy_avg),
				sum(h.busy_max)::int, sum(h.rejected)::bigint, 0::bigint, 0::bigint,
				sum(h.transactions)::bigint, NULL::float8, NULL::float8, NULL::float8
			FROM public.pool_stats_history(resolution, since, until, NULL) h GROUP BY 1 $$;
		CREATE TABLE found (tenant text, kind text, severity text, since timestamptz,
			last_seen timestamptz, evidence jsonb, connections_spent float8, advice text,
			queryid bigint);
		CREATE OR REPLACE FUNCTION pool_findings(
			OUT tenant text, OUT kind text, OUT severity text, OUT since timestamptz,
			OUT last_seen timestamptz, OUT evidence jsonb, OUT connections_spent float8,
			OUT advice text, OUT queryid bigint)
		RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
			SELECT * FROM public.found f WHERE pg_has_role('pg_read_all_stats', 'USAGE')
				OR f.tenant = session_user || '@' || current_database() $$;
		GRANT SELECT ON history, found TO PUBLIC});
	return;
}

# A finding of each kind for each tenant, with statements that want to be something else, and
# some of which nothing is known; every tenth is acknowledged.
sub plant_findings
{
	my ($node, @tenants) = @_;
	my $tenants = join(', ', map { quote($_) } @tenants);
	my $texts = join(', ', map { quote("SELECT '$_' FROM " . 'a_long_name_without_a_break' x 8) } @ODD);
	my $kinds = join(', ', map { "'$_'" } qw(slow_statement n_plus_one client_wait unpaged_result
		sequential_scan repeated_read hot_row read_only churn session_state));

	$node->safe_psql('postgres', qq{
		INSERT INTO found
		SELECT t, k, (ARRAY['info', 'warning', 'critical'])[1 + (i + j) % 3], now() - interval '3 h', now(),
			jsonb_build_object('statement', CASE WHEN j < 8 THEN (ARRAY[$texts])[1 + (i + j) % 7] END),
			CASE WHEN k = 'session_state' THEN 0 ELSE 30.0 / (i + j) END,
			'It is slow in 97 % of its calls: make it cheaper where EXPLAIN (ANALYZE, BUFFERS) shows the time, '
				|| 'and ask <b>' || t || '</b>', CASE WHEN j < 7 THEN i * 100 + j END
		FROM unnest(ARRAY[$tenants]) WITH ORDINALITY AS a(t, i), unnest(ARRAY[$kinds]) WITH ORDINALITY AS b(k, j);
		INSERT INTO pool_acknowledged
		SELECT tenant, kind, coalesce(queryid, 0), 'until <release> 42', NULL, 'me', now(), connections_spent, severity
		FROM found WHERE kind = 'churn'});
	return;
}

# Days like those of an office, in steps of 5 minutes: more by day than by night, with a
# gap of an hour, and a busier time since yesterday.
sub fill_history
{
	my ($node, $days, @tenants) = @_;
	my $values = join(', ', map { '(' . quote($_) . ')' } @tenants);

	$node->safe_psql('postgres', qq{
		INSERT INTO history
		SELECT at, tenant, 1.5 * level + 1, ceil(2 * level) + 1, level,
			ceil(1.6 * level), CASE WHEN level > 4 THEN (7 * level)::int ELSE 0 END,
			(level * 900)::bigint, 12 + level, CASE WHEN n = 1 THEN 9 ELSE -1 END, 4
		FROM (SELECT at, tenant, (0.3 + 2.4 / n) * (1.1 + sin((hour - 9) / 24 * 2 * pi())
				+ 0.15 * sin(hour * 7 + n) + 0.1 * sin(hour * 31 + 3 * n))
				* CASE WHEN at > now() - interval '1 day' THEN 1.4 ELSE 1 END AS level, n
			FROM (SELECT t.column1 AS tenant, row_number() OVER () AS n FROM (VALUES $values) t) t,
				(SELECT at, extract(epoch FROM at)::float8 / 3600 AS hour FROM generate_series(
					date_bin('5 min', now() - interval '$days days', 'epoch'), now(),
					'5 min') at) at
			WHERE at NOT BETWEEN now() - interval '15 h' AND now() - interval '14 h') x;
		ANALYZE history});
	return;
}

# Sessions that do what they should not: leaks, one of which blocks another, refusals, and
# one tenant whose load is known well enough for a recommendation.  Returns them: they end
# when they are let go.
sub trouble
{
	my ($node) = @_;
	my @sessions;

	create_roles($node, qw(shop reports billing), map { ident($_) } @ODD);
	$node->safe_psql('postgres', q{
		CREATE TABLE hot (n int);
		INSERT INTO hot VALUES (0);
		GRANT ALL ON hot TO PUBLIC;
		SELECT pool_set_sizing('*', evaluation_interval => '1s');
		SELECT pool_set_quota('reports@postgres', 6);
		SELECT pool_set_quota('shop@postgres', 9);
		SELECT pool_set_timeouts('*', idle_in_transaction => '100ms', mode => 'observe')});
	wait_sync($node);
	push @sessions, map { open_session($node, 'reports', application_name => 'dashboard') } 1 .. 6;
	refused($node, 'reports', application_name => 'dashboard', host => '127.0.0.1')
	  foreach 1 .. 5;
	refused($node, 'reports', application_name => '<img src=x>') foreach 1 .. 2;
	push @sessions, map { open_session($node, 'billing', application_name => 'invoices') } 1 .. 3;
	$_->query('BEGIN; UPDATE hot SET n = n') foreach $sessions[-1];
	$_->query('BEGIN; SELECT 1') foreach @sessions[ -3, -2 ];
	# Twice those that are to be among the worst.
	foreach my $odd (@ODD, @ODD[ 2, 5 ])
	{
		push @sessions, open_session($node, $odd, application_name => 'app of ' . $odd);
		$sessions[-1]->query('BEGIN');
	}
	my @shop = map { open_session($node, 'shop', application_name => 'shop-api') } 1 .. 4;

	push @sessions, @shop, open_session($node, 'shop', application_name => 'shop-job');
	$sessions[-1]->send_query('UPDATE hot SET n = n');
	wait_until(sub {
		foreach (1 .. 10) { $_->query('SELECT pg_sleep(0.002)') foreach @shop; }
		return ($node->safe_psql('postgres', q{SELECT method NOT IN ('none', 'too_little_data')
			AND recommended_size > 0 FROM pool_recommendations
			WHERE tenant = 'shop@postgres'}) eq 't');
	}, 'a recommendation for shop');
	$node->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE class =
		'idle_in_transaction') = 3 FROM pool_stats_session WHERE tenant = 'billing@postgres'});
	return @sessions;
}

1;
