# What pool_report says, to whom, and that it says it under any circumstances.  How it looks
# is t/060_report_look.pl.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Encode qw(encode_utf8 decode_utf8);
use PoolTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ReportTest;
use Test::More;

my $node = new_node(-name => 'report', max_connections => 60, max_wal_senders => 4,
	wal_level => 'replica', hot_standby => 'on');
my $super = $node->safe_psql('postgres', 'SELECT current_user');

stand_in($node);

# Rows in the place of those of a function of the extension; returns its definition, which
# brings it back.
sub instead_of
{
	my ($function, $select, $db) = @_;
	my $oid = "'$function()'::regprocedure";

	$db //= 'postgres';
	my $definition = $node->safe_psql($db, "SELECT pg_get_functiondef($oid)");
	my $arguments = $node->safe_psql($db, "SELECT pg_get_function_arguments($oid)");

	$node->safe_psql($db, "CREATE OR REPLACE FUNCTION $function($arguments)
		RETURNS SETOF record LANGUAGE sql STABLE AS \$f\$ $select \$f\$");
	return $definition;
}

# A recommendation of one tenant, for sure or (size 0) not computed yet.
sub recommend
{
	my ($tenant, $size) = @_;
	my $computed_at = $size > 0 ? 'now()' : 'NULL::timestamptz';

	return instead_of('pool_recommendations', "SELECT '$tenant', 0, 0, $size, $size, 1, $size, $size,
		1::float8, 1::float8, 'client', 0::float8, 0.9::float8, 'queueing', 'so', $computed_at,
		1::float8, 0, 0::float8, 0, 0::float8, 0");
}

# ---------- arguments ----------

foreach my $bad ('NULL', q{'0'}, q{'-1 day'}, q{'59 s'}, q{'367 days'}, q{'178000000 years'})
{
	my ($rc, $out, $err) = psql_as($node, $super,
		"\\set VERBOSITY verbose\nSELECT pool_report($bad)");

	like($err, qr/ERROR:  22023: .*since/, "since => $bad is refused with 22023");
}
foreach my $good ('1 min', '90 s', '1 hour', '24 hours', '7 days', '1 month', '366 days')
{
	like(report($node, since => $good), qr/^<!DOCTYPE html>.*<\/html>\s*$/s,
		"since => '$good' is a page");
}
like($node->safe_psql('postgres', 'SELECT pool_report()'), qr/in the last 24 hours/,
	'without an argument: the last day');

# Whatever its schema is called.
$node->safe_psql('postgres', 'CREATE DATABASE odd_schema');
$node->safe_psql('odd_schema', q{CREATE SCHEMA "o'n@e""il";
	CREATE EXTENSION pool_optimizer SCHEMA "o'n@e""il"});
like($node->safe_psql('odd_schema', q{SELECT "o'n@e""il".pool_report()}), qr/^<!DOCTYPE html>/,
	'in a schema with an odd name');
$node->safe_psql('postgres', 'DROP DATABASE odd_schema');

my $none = report($node);

like($none, qr/There is no history yet/, 'without history: says so');
unlike($none, qr/<figure/, 'and has no plot without anything to plot');

# ---------- much trouble ----------

my @sessions = trouble($node);
my @tenants = map { "$_\@postgres" } 'shop', 'reports', 'billing', @ODD;

fill_history($node, 9, @tenants);
my $page = report($node);

# Every tag is closed, in the right order; nothing but tags and text.
sub well_formed
{
	my ($html) = @_;
	my @open;
	my %void = map { $_ => 1 } qw(meta wbr);

	$html =~ s/^<!DOCTYPE html>//;
	$html =~ s{<style>.*?</style>}{}s;
	while ($html =~ /\G(?:[^<>&]|&(?:amp|lt|gt|quot|#\d+|#x[0-9A-F]+);)*(?:<([^<>]*)>|$)/gc)
	{
		my $tag = $1 // last;

		return "$tag is no tag" unless $tag =~ m{^(/?)([a-z0-9]+)((?:\s+[a-zA-Z0-9-]+="[^"]*")*)\s*(/?)$};
		if ($1) { my $last = pop @open // 'nothing'; return "$tag closes $last" if $last ne $2; }
		elsif (!$4 && !$void{$2}) { push @open, $2; }
	}
	return 'odd text at ' . substr($html, pos($html) // 0, 60) if (pos($html) // 0) < length $html;
	return @open ? "open: @open" : '';
}

is(well_formed($page), '', 'the page is well formed, whatever names there are');
is(well_formed('<!DOCTYPE html><p>a<b></p></b>'), '/p closes b', '(the check can fail)');
unlike($page, qr/[^\x0a\x20-\x7e]/, 'it is ASCII, and so right in any encoding');
unlike($page, qr/<(?:script|img|link|iframe)/i, 'nobody came in as a tag');
unlike($page, qr/(?:src|href)="(?!#)/, 'nothing is loaded, no link leads away');
unlike($page =~ s/[^<]*<style>//r, qr/url\(|\@import/, 'nor by its style');

# The words of a part of the page, as a browser would show them.
sub words
{
	my ($html) = @_;

	$html =~ s/<[^>]*>//g;
	return plain($html) =~ s/\s+/ /gr;
}

sub plain
{
	my ($html) = @_;
	my %named = (amp => '&', lt => '<', gt => '>', quot => '"');

	$html =~ s/&(?:#(\d+)|#x([0-9A-F]+)|(\w+));/
		defined $1 ? chr($1) : defined $2 ? chr(hex $2) : $named{$3}/ge;
	return $html;
}

sub section
{
	my ($html, $id) = @_;

	return $html =~ m{<section id="$id"(.*?)</section>}s ? words($1) : '';
}

like(section($page, 'verdict'), qr/Act now: .* of .* (?:were refused|are leaked)/,
	'the verdict comes first');
like(section($page, 'verdict'), qr/\d+ logins of reports\@postgres were refused.*quota of 6 was full/,
	'who was refused and why');
like(section($page, 'verdict'), qr/3 sessions of billing\@postgres are leaked.*1 session waits/,
	'who leaks, and who waits for that');
like(section($page, 'refusals'), qr/reports\@postgres5its quota was full: 6reportsdashboard127\.0\.0\.1/,
	'refusals by client');
like(section($page, 'leaks'), qr/billing\@postgres\d+idle in a transaction.*invoices/,
	'leaks with application');
like(section($page, 'holders'), qr/reports\@postgres6006|reports\@postgres6/, 'who holds connections');
like(section($page, 'changes'), qr/policy of tenant "reports\@postgres" set/, 'which policies changed');
like(section($page, 'what-if'), qr/shop\@postgres.*Transactions per second/, 'a curve');
like(section($page, 'uses'), qr/Nothing was found that need not be/, 'no finding');
like(section($page, 'uses'), qr/shop\@postgresSELECT pg_sleep\(\$1\)\d+/, 'what shop runs, without constants');

# ---------- what is advised can be run ----------

my @sql = map { encode_utf8(plain($_)) } $page =~ m{<pre[^>]*><code>(.*?)</code></pre>}sg;

cmp_ok(scalar @sql, '>=', 5, 'there is advice in SQL');
foreach my $sql (@sql)
{
	my $safe = $sql =~ s/dry_run => false/dry_run => true/gr;
	my ($rc, $out, $err) = psql_as($node, $super, $safe =~ /ALTER SYSTEM/ ? 'SELECT 1'
		: "\\set ON_ERROR_STOP 1\nBEGIN;\n$safe\nROLLBACK;");

	is($rc, 0, 'runs: ' . (split /\n/, $sql)[0]) or diag($err);
}

# The odd one by whose name text would run backwards, and the one with quotes.
foreach my $odd ($ODD[2], $ODD[5])
{
	my $name = "$odd\@postgres";
	my ($set) = grep { /pool_set_timeouts/ && ($odd eq $ODD[5] ? /\\u202E/ : /''; DROP/) } @sql;

	my ($call) = ($set // '') =~ /^SELECT (pool_set_timeouts\(.*\));/ms;

	is($node->safe_psql('postgres',
			'SELECT (r).tenant FROM (SELECT ' . ($call // 'NULL') . ' AS r) x'),
		$name, 'it means the tenant that is meant');
}

# A quota that was too small: what was recommended is advised, but nothing that lowers what
# somebody has raised since.
my $recommendations = recommend('reports@postgres', 8);

like(plain(report($node)), qr/pool_set_quota\('reports\@postgres',\s+max_connections => 8\);/,
	'a larger quota than the one that was full');
$node->safe_psql('postgres', q{SELECT pool_set_quota('reports@postgres', 50)});
wait_sync($node);
my $raised = report($node);

like(section($raised, 'verdict'), qr/of reports\@postgres were refused.*of 6 was full.*now it is 50/,
	'a quota that was raised since: is said to be');
unlike(plain($raised), qr/pool_set_quota\('reports\@postgres'/, 'and nobody is told to lower it');
$node->safe_psql('postgres', q{SELECT pool_set_quota('reports@postgres', -1)});
wait_sync($node);
like(section(report($node), 'verdict'), qr/of reports\@postgres were refused.*now it has none/,
	'nor where there is none any more');
$node->safe_psql('postgres', q{SELECT pool_set_quota('reports@postgres', 6)});
wait_sync($node);
$node->safe_psql('postgres', $recommendations);

# ---------- the week before ----------

# The times that the changes are against.
sub compared { return $_[0] =~ /id="changes".*?datetime="([^"]*)".*?datetime="([^"]*)"/s; }

foreach my $days (7, 14)
{
	my ($from, $to) = compared(report($node, since => "$days days"));

	is($node->safe_psql('postgres', "SET timezone = 'UTC'; SELECT '$to'::timestamptz
			BETWEEN now() - interval '$days days 2 h' AND now() - interval '$days days -2 h'"),
		't', "$days days are compared with those right before");
}

# A zone whose clocks were set forward three days ago.
my $forward = $node->safe_psql('postgres', q{SELECT format('AAA5BBB4,J%s/0,J%s/0',
	least(extract(doy FROM now() - interval '3 days'), 365),
	extract(doy FROM now() + interval '60 days') % 365 + 1)});
my $zoned = report($node, zone => $forward);
my ($shown_now) = $zoned =~ /<h1>.* to <time datetime="[^T]*T([\d:]*)/;

is(((compared($zoned))[1] // '') =~ /T([\d:]*)/ && $1, $shown_now,
	'the same hours are those of the clock on the wall');

# ---------- who sees what ----------

create_roles($node, 'mine', 'stats');
$node->safe_psql('postgres', 'GRANT pg_read_all_stats TO stats');
my $mine = report($node, user => 'mine');

is(well_formed($mine), '', 'a plain role: a page');
unlike($mine, qr/billing|reports\@|alert\(1\)/, 'a plain role sees no other tenant');
like($mine, qr/mine\@<wbr>postgres/, 'but its own');
like(words($mine), qr/its own tenant, and what is told to everybody/, 'which the page says');
unlike($mine, qr/pool_terminate_leaked\('\*'/, 'and is not advised what it cannot do');
my $stats = report($node, user => 'stats');

like(words($stats), qr/billing\@postgres/, 'pg_read_all_stats sees all');
like(words($stats), qr/Your role may not run it/, 'but may not set policies, which the page says');
unlike(words($page), qr/Your role may not run it/, 'a superuser may');

# Statements are for those who ran them.
my $shop = report($node, user => 'shop');

like(section($shop, 'uses'), qr/SELECT pg_sleep\(\$1\)/, 'a tenant\'s own role sees what it has run');
unlike(section($shop, 'uses'), qr/billing/, 'and nothing of others');
unlike(section($mine, 'uses'), qr/hot|pg_sleep/, 'nor does another');

# ---------- findings ----------

plant_findings($node, 'mine@postgres', @tenants);
$page = report($node);
is(well_formed($page), '', 'findings: a page, whatever the statements are');
unlike($page, qr/[^\x0a\x20-\x7e]|<(?:script|img)/, 'which is ASCII, and nobody came in as a tag');
like(section($page, 'uses'), qr/the dearest 20 of 110/, 'the dearest of many');
like(section($page, 'uses'), qr/slow statementcritical15\.00SELECT '.*?\.\.\.It is slow in 97 %/s, 'what, how much, which, and what to do');
$mine = report($node, user => 'mine');
unlike(section($mine, 'uses'), qr/shop|billing/, 'a plain role has its own only');
like(section($mine, 'uses'), qr/sessions that come and goacknowledged: until <release> 42/, 'what is acknowledged is said to be');
ok($mine =~ /acknowledged: .*$/s && $& !~ /gravity/, 'and comes last');
like(section($mine, 'uses'), qr/one statement for each row of another \(N\+1\)Note/, 'what is no warning is a note');
$node->safe_psql('postgres', q{TRUNCATE found; TRUNCATE pool_acknowledged});

# ---------- in whatever a caller set ----------

foreach my $set (q{timezone = 'Asia/Kolkata'}, q{timezone = 'America/St_Johns'},
	q{datestyle = 'SQL, DMY'}, q{intervalstyle = 'iso_8601'}, q{extra_float_digits = -5},
	q{client_encoding = 'LATIN1'}, q{client_encoding = 'SQL_ASCII'},
	q{standard_conforming_strings = off}, q{search_path = ''},
	q{default_transaction_read_only = on}, q{transaction_isolation = 'serializable'},
	q{enable_hashjoin = off}, q{work_mem = '64kB'}, q{row_security = off})
{
	# 19 knows no other strings.
	next if $set =~ /standard_conforming/ && $node->pg_version >= 19;
	my $html = $node->safe_psql('postgres',
		"BEGIN; SET LOCAL $set; SELECT public.pool_report('2 h'); ROLLBACK");

	is(well_formed($html), '', "SET $set");
	like($html, qr/\+05:30"/, 'times are those of the session') if $set =~ /Kolkata/;
	like($html, qr/-0[23]:30"/, 'west of Greenwich, too') if $set =~ /St_Johns/;
}
is(well_formed($node->safe_psql('postgres', q{
		DO $$ BEGIN PERFORM pool_report('1 h'); EXCEPTION WHEN OTHERS THEN RAISE; END $$;
		SELECT pool_report('1 h') FROM generate_series(1, 1)})), '', 'within other functions');

# Names that stand in the way of ours.
$node->safe_psql('postgres', q{
	CREATE FUNCTION public.trap() RETURNS text LANGUAGE plpgsql AS
		'BEGIN RAISE EXCEPTION ''trapped''; END';
	CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE sql AS 'SELECT length(trap())';
	CREATE FUNCTION public.max(text) RETURNS text LANGUAGE sql AS 'SELECT trap()';
	CREATE FUNCTION public.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS
		'BEGIN RAISE EXCEPTION ''trapped''; END';
	CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.eq)});
is(well_formed($node->safe_psql('postgres',
		q{SET search_path = public, pg_catalog; SELECT pool_report('2 h')})), '',
	'what others put into the search path is not called');
$node->safe_psql('postgres', q{DROP OPERATOR public.= (text, text);
	DROP FUNCTION public.eq, public.count(text), public.max(text), public.trap});

my ($rc, $out, $err) = psql_as($node, $super,
	"\\set VERBOSITY verbose\nSET statement_timeout = 1; SELECT pool_report('9 days');");

like($err, qr/ERROR:  57014/, 'it can be cancelled');

# What it took it gives back.
my $session = open_session($node, 'stats');
my $memory = q{SELECT sum(total_bytes) FROM pg_backend_memory_contexts};

$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION pg_get_backend_memory_contexts TO stats;
	GRANT SELECT ON pg_backend_memory_contexts TO stats');
$session->value(q{SELECT length(pool_report('1 h'))}) foreach 1 .. 3;
my $before = $session->value($memory);

$session->value(q{SELECT length(pool_report('1 h'))}) foreach 1 .. 12;
cmp_ok($session->value($memory), '<', $before + 200_000, 'its memory is given back');
$session->close_and_wait;

# ---------- encodings ----------

foreach my $encoding ('SQL_ASCII', 'LATIN1', 'WIN1252', 'EUC_JP')
{
	my $db = lc "db_$encoding";

	$node->safe_psql('postgres',
		"CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	$node->safe_psql($db, 'CREATE EXTENSION pool_optimizer');
	my $html = report($node, dbname => $db);

	is(well_formed($html), '', "a database of encoding $encoding");
	like(section($html, 'verdict'), qr/Run what sets policies in database postgres/,
		"$encoding: says where policies are set");
	unlike($html, qr/[^\x0a\x20-\x7e]/, "$encoding: ASCII, too");
}

# A statement is cut between characters, also where the server knows of bytes only.
instead_of('pool_findings', q{SELECT 'x@y', 'churn', 'info', now(), now(),
	jsonb_build_object('statement', 'SELECT ' || repeat(chr(195) || chr(169), 300)), 1::float8,
	'Keep them.', 1::bigint}, 'db_sql_ascii');
like(plain(report($node, dbname => 'db_sql_ascii')),
	qr/<code>SELECT \xe9{243}\.\.\.<\/code>/, 'a long statement in SQL_ASCII');

# A byte that stands for no character there is no reason to fail.
my $odd = open_session($node, 'mine', dbname => 'db_win1252',
	startup => { application_name => 'x' });

$odd->query("SET application_name = 'caf\xe9 \x81'");
like(report($node, dbname => 'db_win1252'), qr/mine\@<wbr>db_win1252/, 'nor is an odd byte');
$odd->close_and_wait;

# Nor a name that the database of another encoding made.
$node->safe_psql('postgres',
	"CREATE DATABASE db_utf8 TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
$node->safe_psql('db_utf8', 'CREATE EXTENSION pool_optimizer');
$node->safe_psql('db_latin1', "CREATE ROLE \"x\xe9\" LOGIN");
$odd = open_session($node, "x\xe9", dbname => 'db_utf8');
like($odd->value(q{SELECT pool_report('1 h')}), qr/As role <bdi>x\?<\/bdi> sees it/,
	'nor a name that is not valid in UTF-8');
$odd->close_and_wait;

# ---------- states of the server ----------

close_all(@sessions);
$recommendations = recommend('reports@postgres', 4);
ok($node->poll_query_until('postgres', q{SELECT sessions = 0 FROM pool_stats
	WHERE tenant = 'reports@postgres'}), 'nobody is left');
like(section(report($node), 'verdict'),
	qr/reports\@postgres were refused(?!.*mostly idle).*It has 0 sessions/,
	'nobody is not called idle');
$node->safe_psql('postgres', $recommendations);
$node->safe_psql('postgres', 'TRUNCATE history; SELECT pool_reset_stats()');
$node->append_conf('postgresql.conf', q{pool_optimizer.mode = 'observe'});
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT mode = 'observe' FROM pool_stats_cluster}),
	'mode observe');
my @over = map { open_session($node, 'reports') } 1 .. 8;

like(section(report($node), 'verdict'),
	qr/only watched: the mode is observe.*2 logins would have been refused/,
	'mode observe: what enforce would have done');
like(section(report($node), 'refusals'), qr/let in by mode observe, but its quota was full: 6/,
	'and why');
close_all(@over);

# ---------- each kind of finding ----------

$node->append_conf('postgresql.conf', q{pool_optimizer.mode = 'enforce'});
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT mode = 'enforce' FROM pool_stats_cluster}),
	'mode enforce');

# What the verdict says once it says this; and what it advises.
sub verdict_says
{
	my ($pattern, $sql, $what) = @_;
	my $html;

	ok(wait_until(sub { $html = report($node); section($html, 'verdict') =~ $pattern }, $what),
		"finding: $what")
	  or diag(section($html, 'verdict'));
	like(plain($html), $sql, "advice: $what");
	return $html;
}

@sessions = map { open_session($node, 'shop') } 1 .. 9;
verdict_says(qr/shop\@postgres uses 100 % of its quota of 9.*None has been refused/,
	qr/pool_stats/, 'a quota that is full');
$node->safe_psql('postgres', q{SELECT pool_set_quota('shop@postgres', on_full => 'wait',
	wait_timeout => '1 h')});
wait_sync($node);
my $waiting = start_login($node, 'shop');

verdict_says(qr/1 login of shop\@postgres queues for a place/,
	qr/WHERE tenant = 'shop\@postgres'/, 'a login that waits');
$waiting->vanish;
$node->safe_psql('postgres', q{SELECT pool_drain('mine@postgres', '1 h')});
wait_sync($node);
verdict_says(qr/mine\@postgres is being drained/, qr/SELECT pool_resume\('mine\@postgres'\);/,
	'a drain');
$node->safe_psql('postgres', q{SELECT pool_resume('mine@postgres')});
push @sessions, map { open_session($node, 'stats') } 1 .. 43;
verdict_says(qr/Act now: 5\d of 57 usable connections are taken \(9\d %\).*stats\@postgres has 43 of/,
	qr/FROM pool_recommendations|pool_set_quota\('stats\@postgres'/,
	'connections that run out');
# Of one that has come just now nothing is known.
$recommendations = recommend('stats@postgres', 0);
my $full = section(report($node), 'verdict');

like($full, qr/stats\@postgres has 43 of them.*43 idle/, 'a newcomer holds most');
unlike($full, qr/never had more than|'stats\@postgres', *max_connections|sessions are in use/,
	'and no size is made up for it');
recommend('stats@postgres', 4);
verdict_says(qr/stats\@postgres has 43.*It never had more than 4 busy at once/,
	qr/'stats\@postgres',\s+max_connections => 4, on_full => 'wait'/, 'mostly idle sessions');
# More than was seen when the size was computed.
my @busy = @sessions[ -43 .. -14 ];

$_->send_query('SELECT pg_sleep(600)') foreach @busy;
ok($node->poll_query_until('postgres', q{SELECT active = 30 AND peak_busy = 30 FROM pool_stats
	WHERE tenant = 'stats@postgres'}), '30 are busy');
verdict_says(qr/stats\@postgres has 43.*It never had more than 30 busy at once/,
	qr/'stats\@postgres',\s+max_connections => 30, on_full => 'wait'/, 'a burst');
recommend('stats@postgres', 50);
verdict_says(qr/stats\@postgres has 43.*Its sessions are in use/, qr/FROM pool_recommendations/,
	'sessions in use');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity
	WHERE query ~ '^SELECT pg_sleep'});
ok($node->poll_query_until('postgres', q{SELECT active = 0 FROM pool_stats
	WHERE tenant = 'stats@postgres'}), 'none is busy');
recommend('stats@postgres', 4);
verdict_says(qr/stats\@postgres has 43.*It never had more than 30 busy at once/,
	qr/'stats\@postgres',\s+max_connections => 30, on_full => 'wait'/, 'a burst that is over');
recommend('stats@postgres', 50);
unlike(section(report($node), 'verdict'), qr/sessions are in use/, 'idle sessions are not in use');
$node->safe_psql('postgres', $recommendations);
close_all(@sessions);
$node->append_conf('postgresql.conf', qq{pool_optimizer.database = 'nowhere\xe9'
pool_optimizer.pgbouncer_conninfo = 'host=127.0.0.1 port=1 user=x'});
$node->reload;
verdict_says(
	qr/in database nowhere\?\..*reports an error.*database "nowhere\?" does not exist/,
	qr/SELECT last_error/, 'an error');
verdict_says(qr/PgBouncer 127\.0\.0\.1:1 is unreachable/, qr/FROM pool_stats_pooler/,
	'a pooler that does not answer');
$node->append_conf('postgresql.conf', qq{pool_optimizer.database = 'postgres'
pool_optimizer.pgbouncer_conninfo = ''});
$node->reload;
wait_sync($node);
# The sampler stands still: what it says is old, and the page says so.
my $sampler = cluster_stat($node, 'sampler_pid');

kill 'STOP', $sampler;
ok(wait_until(sub { section(report($node), 'verdict') =~ /Nobody has looked at the sessions since/ },
		'the sampler to be missed'), 'a sampler that does not sample is told first');
$node->safe_psql('postgres', q{SELECT pool_set_alert('sampler_late', 'critical', threshold => 1e-6)});
kill 'CONT', $sampler;
ok(wait_until(sub { section(report($node), 'verdict') !~ /Nobody has looked/ }, 'the sampler'),
	'until it does again');

$node->append_conf('postgresql.conf', q{pool_optimizer.track_findings = off});
$node->reload;
ok(wait_until(sub { section(report($node), 'uses') =~ /Findings are not looked for: pool_optimizer.track_findings is off/ }),
	'findings that are not looked for are said not to be');
$node->append_conf('postgresql.conf', q{pool_optimizer.track_statements = off});
$node->reload;
ok(wait_until(sub { section(report($node), 'uses') =~ /Statements are not counted: pool_optimizer.track_statements is off/ }),
	'statements that are not counted are said not to be');

# What no other finding tells.
verdict_says(qr/Act now the sampler is late: \d+ samples \(\d+ %\) of the last minute were not taken Alert sampler_late since/,
	qr/sampler_late/, 'an alert');

# More than there is room for.
my $alerts = instead_of('pool_alerts', q{SELECT 'app' || i, 'refusals', 'critical', now(),
	1::float8, 1::float8, 'alert ' || i, i::bigint, NULL::bigint FROM generate_series(1, 80) i});
my $many = section(report($node), 'verdict');

cmp_ok($many =~ /Act now: .*?\(and (\d+) more\)/ ? $1 : 0, '>=', 79, 'all alerts are counted');
like($many, qr/30 more alerts are not shown here/, 'and those beyond are told of');
$node->safe_psql('postgres', $alerts);

# ---------- a standby ----------

$node->safe_psql('postgres', q{SELECT pool_set_quota('reports@postgres', 5)});
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');

$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $there = report($standby);

is(well_formed($there), '', 'a standby: a page');
like(words($there), qr/a standby/, 'which says that it is one');
$standby->stop;

# ---------- after a restart ----------

$node->restart;
is(well_formed(report($node)), '', 'after a restart');
stop_clean($node);
done_testing();
