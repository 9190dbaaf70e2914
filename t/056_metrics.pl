# pool_metrics(): what Prometheus reads it as, that its numbers are those of the views, who
# sees what, names nobody would choose, and counters that do not fall when tenants come and
# go, statistics are reset, or the server crashes.  pool_health() and its one-liner.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(-name => 'metrics');

create_roles($node, qw(m_a m_b m_c m_d m_wait));
$node->safe_psql('postgres', q{
	CREATE ROLE m_monitor LOGIN IN ROLE pg_monitor;
	CREATE ROLE "m""q\\n{}=,'%s" LOGIN;
	CREATE ROLE "<script>alert(1)</script>" LOGIN;
	CREATE ROLE "m_ü☃" LOGIN;
	CREATE ROLE "m_line
feed" LOGIN;
	SELECT pool_set_quota('m_b@postgres', 1);
	SELECT pool_set_quota('m_wait@postgres', 1, on_full => 'wait', wait_timeout => '60s');
	SELECT pool_set_timeouts('m_c@postgres', idle_in_transaction => '1h')});
wait_sync($node);

# ---------------------------------------------------------------------------
# Reading it as Prometheus does
# ---------------------------------------------------------------------------

sub unescape
{
	my ($text) = @_;
	my %char = (n => "\n", '\\' => '\\', '"' => '"');

	die "wrong escape in $text" if $text =~ /(?<!\\)(?:\\\\)*\\[^\\n"]/;
	return $text =~ s/\\(.)/$char{$1}/gr;
}

# { name => { type, help, samples => { labels => value } } }; dies of what is not right.
sub parse
{
	my ($text) = @_;
	my (%metric, $now);

	die 'the last line does not end' unless $text =~ /\n\z/;
	foreach my $line (split /\n/, $text)
	{
		if ($line =~ /^# HELP ([a-z0-9_]+) (.+)$/)
		{
			die "$1 twice" if $metric{$1};
			$now = $1;
			$metric{$now} = { help => $2, samples => {} };
			next;
		}
		if ($line =~ /^# TYPE ([a-z0-9_]+) (gauge|counter|histogram)$/)
		{
			die "TYPE of $1 after HELP of $now" if $1 ne $now;
			$metric{$now}{type} = $2;
			next;
		}
		die "what is this: $line"
		  unless $line =~ /^([a-z0-9_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)+)\})? (\S+)$/;
		my ($name, $labels, $value) = ($1, $2 // '', $3);
		my $base = $metric{$now}{type} eq 'histogram' ? $name =~ s/_(bucket|sum|count)$//r : $name;

		die "$name among those of $now" if $base ne $now;
		die "value $value of $name" unless $value =~ /^(-?\d+(\.\d+)?(e[-+]\d+)?|\+Inf)$/;
		my @labels;

		push @labels, $1 . '=' . unescape($2) while $labels =~ /([a-z]+)="((?:[^"\\]|\\.)*)"/g;
		my $key = join '|', $name, sort @labels;

		die "$key twice" if exists $metric{$now}{samples}{$key};
		$metric{$now}{samples}{$key} = $value;
	}
	return \%metric;
}

# safe_psql takes the last line feed away.
sub metrics_text
{
	return $node->safe_psql($_[0] // 'postgres', 'SELECT pool_metrics()') . "\n";
}

sub metrics { return parse(metrics_text(@_)); }

# A metric of the cluster, or one of a tenant.
sub value_of
{
	my ($metrics, $name, $tenant) = @_;
	my $full = defined $tenant ? "pool_optimizer_tenant_$name" : "pool_optimizer_$name";
	my $base = $metrics->{$full} ? $full : $full =~ s/_(bucket|sum|count)$//r;

	return $metrics->{$base}{samples}{ defined $tenant ? "$full|tenant=$tenant" : $full };
}

sub tenants_of
{
	my ($metrics) = @_;

	return sort map { /tenant=(.*)/s ? $1 : () }
	  keys %{ $metrics->{pool_optimizer_tenant_sessions}{samples} };
}

# ---------------------------------------------------------------------------
# A load, and what is told of it
# ---------------------------------------------------------------------------

my @odd = ("m\"q\\n{}=,'%s", '<script>alert(1)</script>', "m_\xC3\xBC\xE2\x98\x83",
	"m_line\nfeed");
my @held = map { open_session($node, $_) } 'm_a', 'm_a', 'm_b', 'm_wait', @odd;

ok($_->is_admitted, 'admitted') or diag($_->error_text) foreach @held;
is(refused_sqlstate($node, 'm_b'), '53300', 'one is refused') for 1 .. 3;
my $waiting = start_login($node, 'm_wait');

ok(wait_until(sub { stat_of($node, 'm_wait@postgres', 'waiting') eq '1' }), 'one waits');
is(value_of(metrics(), 'waiting_logins', 'm_wait@postgres'), 1, 'and is told');
$held[3]->close_and_wait;
$waiting->wait_login;
ok($waiting->is_admitted, 'it comes in');
my $open = open_session($node, 'm_c');

$open->query('SELECT 1') for 1 .. 5;
$open->query('SELECT 1/0');
$open->query('BEGIN');
ok($node->poll_query_until('postgres', q{SELECT transactions = 6 AND idle_in_transaction = 1
		FROM pool_stats WHERE tenant = 'm_c@postgres'}), 'transactions are merged');

my $text = metrics_text();
my $m = parse($text);
my %stat = map { my @c = split /\|/, $_; $c[0] => \@c } split /\n/, $node->safe_psql('postgres',
	q{SELECT tenant, sessions, active, idle, idle_in_transaction, exempt_sessions, guaranteed,
		admitted, rejected, would_reject, terminated, transactions, rollbacks,
		CASE WHEN max_connections < 0 THEN 57 ELSE max_connections END
	  FROM pool_stats WHERE tenant LIKE 'm\_%'});
my @column = qw(sessions active_sessions idle_sessions idle_in_transaction_sessions
  exempt_sessions guaranteed_connections admitted_logins_total rejected_logins_total
  would_reject_logins_total terminated_sessions_total transactions_total rollbacks_total
  limit_connections);

foreach my $tenant (qw(m_a@postgres m_b@postgres m_c@postgres m_wait@postgres))
{
	is(join(' ', map { value_of($m, $_, $tenant) // 'none' } @column),
		join(' ', @{ $stat{$tenant} }[ 1 .. @column ]), "$tenant: as in pool_stats");
}
is(value_of($m, 'rejected_logins_total', 'm_b@postgres'), 3, 'refusals');
is(value_of($m, 'transaction_errors_total', 'm_c@postgres'), 1, 'an error');
is(value_of($m, 'transaction_duration_seconds_count', 'm_c@postgres'), 6, 'durations');
is(value_of($m, 'login_wait_seconds_count', 'm_wait@postgres'), 1, 'a wait');
cmp_ok(value_of($m, 'login_wait_seconds_sum', 'm_wait@postgres'), '>', 0, 'of some time');
is(value_of($m, 'mode'), 2, 'mode');
is(value_of($m, 'usable_connections'), 57, 'usable connections');
is(value_of($m, 'sampler_up'), 1, 'the sampler is up');
cmp_ok(value_of($m, 'samples_total'), '>', 0, 'samples');
is(value_of($m, 'listed_tenants'), (() = tenants_of($m)) - 1, 'all tenants but (other)');

# Histograms: cumulative, and the last is the count.
my $n_histograms = 0;

foreach my $name (grep { $m->{$_}{type} eq 'histogram' } sort keys %$m)
{
	my $samples = $m->{$name}{samples};

	foreach my $tenant (tenants_of($m))
	{
		my @le = sort { $a <=> $b }
		  map { /^\Q${name}_bucket|\Ele=(.+)\|tenant=\Q$tenant\E$/ ? $1 : () } keys %$samples;
		my @counts = map { $samples->{"${name}_bucket|le=$_|tenant=$tenant"} } @le;

		$n_histograms++ if @le > 10 && $le[-1] eq '+Inf'
		  && $counts[-1] == $samples->{"${name}_count|tenant=$tenant"}
		  && !grep { $counts[$_] < $counts[ $_ - 1 ] } 1 .. $#counts;
	}
}
is($n_histograms, 2 * (() = tenants_of($m)), 'histograms are sound');
is(join(' ', grep { ($m->{$_}{type} eq 'counter') != /_total$/ } sort keys %$m), '',
	'counters and nothing else end in _total');

# Names that have been typed in bad faith.
foreach my $role (@odd)
{
	my $tenant = $role =~ s/\n/?/r . '@postgres';

	is(value_of($m, 'sessions', $tenant), 1, "tenant $tenant") or diag(join "\n", tenants_of($m));
}

my ($promtool) = grep { -x } map { "$_/promtool" } split /:/, $ENV{PATH};

SKIP:
{
	skip 'promtool is not installed', 1 unless defined $promtool;
	my ($out, $err) = ('', '');

	IPC::Run::run([ $promtool, 'check', 'metrics' ], '<', \$text, '>', \$out, '2>', \$err);
	is($? . $out . $err, '0', 'promtool check metrics has nothing to say');
}

# ---------------------------------------------------------------------------
# Alerts
# ---------------------------------------------------------------------------

# How many are raised, as a role is told: "alert severity number, ...", with those of none left out.
sub alerts_told
{
	my ($metrics) = @_;
	my $samples = $metrics->{pool_optimizer_alerts}{samples};

	return join ', ', map { join(' ', /alert=(\w+)\|severity=(\w+)/) . " $samples->{$_}" }
	  grep { $samples->{$_} > 0 } sort keys %$samples;
}

sub alerts_raised
{
	return $node->safe_psql('postgres', q{SELECT string_agg(format('%s %s %s', alert, severity, n), ', '
		ORDER BY alert COLLATE "C", severity COLLATE "C")
		FROM (SELECT alert, severity, count(*) AS n FROM pool_alerts GROUP BY 1, 2) x});
}

$node->safe_psql('postgres', q{SELECT pool_set_alert('tenant_utilization', 'critical', for_duration => '0')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pool_alerts
		WHERE alert = 'tenant_utilization' AND severity = 'critical'}), 'two quotas are used up');
# It may be another one by now.
ok(wait_until(sub { alerts_told(metrics()) eq alerts_raised() }), 'as many alerts as in pool_alerts');
like(alerts_told(metrics()), qr/tenant_utilization critical 2/, 'those two, too');
is(scalar keys %{ $m->{pool_optimizer_alerts}{samples} }, 40, 'of each alert and severity there is a series');
is(scalar keys %{ $m->{$_}{samples} }, 30, "$_: of each kind and severity, too")
  foreach qw(pool_optimizer_findings_open pool_optimizer_findings_connections);
like(alerts_told(parse($held[2]->value('SELECT pool_metrics()'))), qr/tenant_utilization critical 1(?:, |$)/,
	'a plain role is told of those of its own tenant');
is(alerts_told(parse($held[0]->value('SELECT pool_metrics()'))), '', 'which may be none');

# ---------------------------------------------------------------------------
# Text, rows and the documentation agree
# ---------------------------------------------------------------------------

my %family = (pool_metrics_cluster => 'pool_optimizer_',
	pool_metrics_alert => 'pool_optimizer_',
	pool_metrics_finding => 'pool_optimizer_findings_',
	pool_metrics_tenant => 'pool_optimizer_tenant_',
	pool_metrics_pooler => 'pool_optimizer_pooler_');
my %of_rows;

foreach my $function (sort keys %family)
{
	my @names = split / /, $node->safe_psql('postgres',
		"SELECT array_to_string(proargnames, ' ') FROM pg_proc WHERE proname = '$function'");

	$of_rows{"$family{$function}$_"} = 1
	  foreach grep { !/^(tenant|pooler|alert|finding|severity)$/ && !/_(bucket|sum|count)$/ } @names;
}
my $reference = slurp_file("$FindBin::RealBin/../docs/reference.md");
my ($section) = $reference =~ /^## Metrics\n(.*?)^## /ms;
my %documented = $section =~ /^\| `(pool_optimizer\w+)` \| (\w+) \|/mg;
my %told = map { $_ => $m->{$_}{type} } keys %$m;

is(join(' ', sort keys %documented), join(' ', sort keys %of_rows, 'pool_optimizer_build_info'),
	'the reference has every metric');
is(join(' ', grep { $documented{$_} ne $told{$_} } sort keys %told), '', 'with its type');
is(join(' ', grep { !/^pool_optimizer_pooler_/ && !$told{$_} } sort keys %of_rows), '',
	'rows and text have the same');
is(($section =~ /A tenant has (\d+) series/)[0],
	scalar(() = $text =~ /\{tenant="m_b\@postgres"/g), 'as many series as it says');
is($node->safe_psql('postgres', q{SELECT tenant, sessions, rejected_logins_total,
		transaction_duration_seconds_count >= transaction_duration_seconds_bucket[20],
		array_length(transaction_duration_seconds, 1), array_length(login_wait_seconds, 1)
		FROM pool_metrics_tenant() WHERE tenant = 'm_b@postgres'}),
	'm_b@postgres|1|3|t|20|17', 'the row of a tenant');

# ---------------------------------------------------------------------------
# Who sees what
# ---------------------------------------------------------------------------

my $plain = parse($held[0]->value('SELECT pool_metrics()'));

is(join(' ', tenants_of($plain)), 'm_a@postgres', 'a plain role is told of its own tenant');
is(value_of($plain, 'sessions', 'm_a@postgres'), 2, 'of all its sessions');
cmp_ok(value_of($plain, 'sessions'), '>=', @held - 1, 'and of the cluster');
is(scalar(keys %{ $plain->{pool_optimizer_error}{samples} }), 0, 'but not of its errors');
my $monitor = open_session($node, 'm_monitor');

is(scalar(my @seen = tenants_of(parse($monitor->value('SELECT pool_metrics()')))),
	scalar(my @all = tenants_of(metrics())), 'pg_monitor is told of all');
$monitor->close_and_wait;

# ---------------------------------------------------------------------------
# Few have series of their own; what comes and goes does not let a counter fall
# ---------------------------------------------------------------------------

sub set_listed
{
	my ($n) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET pool_optimizer.metrics_tenants = $n");
	$node->reload;
	$node->poll_query_until('postgres',
		"SELECT current_setting('pool_optimizer.metrics_tenants') = '$n'");
	# Who asks first changes the listing, who asks next is told.
	scrape();
	return;
}

# A scraper: adds up what counters grow by.  One that falls has been reset: all of it is new.
my (%was, %grown, @fallen);

sub scrape
{
	my $now = metrics();

	foreach my $name (grep { /^pool_optimizer_tenant_/ && $now->{$_}{type} ne 'gauge' } keys %$now)
	{
		my $samples = $now->{$name}{samples};

		foreach my $key (keys %$samples)
		{
			my $before = $was{$name}{$key};

			push @fallen, "$key: $before to $samples->{$key}"
			  if defined $before && $before > $samples->{$key};
			$grown{ $key =~ s/\|.*//sr } += $samples->{$key}
			  - (defined $before && $before <= $samples->{$key} ? $before : 0);
		}
		$was{$name} = $samples;
	}
	return $now;
}

my $total = q{SELECT sum(admitted) || ' ' || sum(rejected) || ' ' || sum(transactions)
	FROM pool_stats};

sub grown
{
	return join ' ', map { $grown{"pool_optimizer_tenant_$_"} }
	  qw(admitted_logins_total rejected_logins_total transactions_total);
}

# Everybody does something, and all of it is merged.
sub something_happens
{
	foreach my $role (qw(m_a m_c m_d))
	{
		my $session = open_session($node, $role);

		$session->value('SELECT 1') for 1 .. 3;
		$session->close_and_wait;
	}
	refused($node, 'm_b');
	return;
}

# Without this observer, who logs in for each question.
my $mine = open_session($node, 'm_monitor');

scrape();
my $other = sub { value_of($_[0], $_[1], '(other)') };

is($other->(metrics(), 'admitted_logins_total'), 0, 'nothing is in (other) as long as all fit');
foreach my $n (3, 0, 2, 5, 1, 100, 2)
{
	set_listed($n);
	scrape();
	something_happens();
	my $now = scrape();

	my @tenants = tenants_of($now);
	my $sum = 0;

	cmp_ok(scalar @tenants, '<=', $n + 1, "at most $n tenants, and (other)");
	$sum += value_of($now, 'sessions', $_) foreach @tenants;
	cmp_ok(abs($sum - value_of($now, 'sessions')), '<=', 1, 'together they have all sessions');
}
is(join("\n", grep { /tenant=\(other\)/ } @fallen), '', 'no counter of (other) has fallen');
# Of those of which something is known: of (other) itself nothing is, nor of who was never there.
set_listed(1);
my ($told, $least);
ok(wait_until(sub {
			my $now = scrape();
			my $listed = join ', ', map { "'$_'" } tenants_of($now);

			$told = $other->($now, 'recommendation_confidence_ratio');
			$least = $mine->value("SELECT min(confidence) FROM pool_recommendations
				WHERE confidence > 0 AND tenant NOT IN ($listed)") || 0;
			return $least > 0 && abs($told - $least) < 0.001;
		}, 'confidence'), 'the least confidence of those in (other)') or diag("$told, $least");
set_listed(4);
scrape();
@fallen = ();
my ($listed) = grep { /^m_a/ } tenants_of(scrape());

is($listed, 'm_a@postgres', 'who has most sessions is listed');
ok(!(grep { $_ eq 'm_d@postgres' } tenants_of(scrape())), 'who has none is not');
my $other_before = $other->(scrape(), 'transactions_total');

$node->safe_psql('postgres', q{SELECT pool_reset_stats('m_d@postgres')});
cmp_ok($other->(scrape(), 'transactions_total'), '>=', $other_before,
	'a reset of one that is not listed does not let (other) fall');
is(join("\n", @fallen), '', 'nor anything else');
$node->safe_psql('postgres', q{SELECT pool_reset_stats('m_a@postgres')});
my $reset = scrape();

is(value_of($reset, 'rejected_logins_total', 'm_a@postgres')
	+ value_of($reset, 'admitted_logins_total', 'm_a@postgres'), 0, 'its own begin anew');
is(join("\n", grep { !/tenant=m_a\@/ } @fallen), '', 'others do not');
@fallen = ();
$node->safe_psql('postgres', 'SELECT pool_reset_stats()');
cmp_ok($other->(scrape(), 'transactions_total'), '>=', $other_before, 'a reset of all: the same');
is(join("\n", grep { /tenant=\(other\)/ } @fallen), '', 'no counter of (other) has fallen');
$mine->close_and_wait;

# What a scraper has added up is what happened, though tenants come and go.
%was = %grown = ();
scrape();
my @before = split / /, $node->safe_psql('postgres', $total);
%grown = ();
foreach my $n (1, 4, 0, 3)
{
	something_happens();
	scrape();
	set_listed($n);
}
scrape();
my @after = split / /, $node->safe_psql('postgres', $total);
my @grown = split / /, grown();

# The question itself logs in, and runs, between the two looks.
is($grown[1], $after[1] - $before[1], 'each refusal is counted once, in one series');
cmp_ok(abs($grown[$_] - ($after[$_] - $before[$_])), '<=', 2, 'so is all else') foreach 0, 2;

# ---------------------------------------------------------------------------
# Restarts
# ---------------------------------------------------------------------------

set_listed(2);
close_all(grep { $_->is_alive } @held, $open, $waiting);
foreach my $mode (qw(fast immediate))
{
	# So that there is a state file to come back to.
	my $old = $node->safe_psql('postgres', q{SELECT sum(admitted) FROM pool_stats});

	$node->stop($mode);
	$node->start;
	cmp_ok($node->safe_psql('postgres', q{SELECT sum(admitted) FROM pool_stats}), '>', 20,
		"$mode stop: statistics are back");
	my $now = metrics();
	my $sum = 0;

	$sum += value_of($now, 'admitted_logins_total', $_) foreach tenants_of($now);
	cmp_ok($sum, '<', 20, 'counters of metrics begin anew, not where they may have been ahead');
	cmp_ok($other->($now, 'admitted_logins_total'), '>=', 0, '(other), too');
}

# ---------------------------------------------------------------------------
# Names that a database cannot show
# ---------------------------------------------------------------------------

set_listed(20);
$node->safe_psql('postgres',
	q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
$node->safe_psql('latin', qq{SET client_encoding = 'LATIN1'; CREATE ROLE "m_\xE9" LOGIN;
	CREATE ROLE "m_\xE8" LOGIN; CREATE EXTENSION pool_optimizer});
my @latin = map { open_session($node, $_, dbname => 'latin') } "m_\xE9", "m_\xE8";

ok($_->is_admitted, 'admitted') or diag($_->error_text) foreach @latin;
my @same = grep { /^m_\?/ } tenants_of(metrics());

is(join(' ', @same), 'm_?@latin m_?@latin #2', 'names that look alike are told apart');
$node->safe_psql('postgres', q{ALTER ROLE ALL SET client_encoding = 'UTF8'});
is(join(' ', grep { /\@latin$/ && /^m_/ } tenants_of(metrics('latin'))),
	"m_\xC3\xA8\@latin m_\xC3\xA9\@latin", 'where they can be shown they are');
close_all(@latin);

# ---------------------------------------------------------------------------
# Health
# ---------------------------------------------------------------------------

my ($one_liner) = slurp_file("$FindBin::RealBin/../docs/guides/monitoring.md") =~
  /^(psql .*pool_health.*)$/m;

sub exit_status
{
	local $ENV{PGHOST} = $_[0] // $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';

	return system("$one_liner >/dev/null 2>&1") >> 8;
}

like($one_liner, qr/pool_health/, 'the guide has a one-liner');
is($node->safe_psql('postgres', 'SELECT health, utilization < 0.8, free_connections > 11,
		in_recovery FROM pool_health()'), 'healthy|t|t|f', 'healthy');
is(exit_status(), 0, 'the one-liner succeeds');
my @full = map { open_session($node, 'm_a') } 1 .. 53;

is(join(' ', split /\|/, $node->safe_psql('postgres',
	q{SELECT health, reason ~ '^5[3-7] of 57 connections are taken$' FROM pool_health()})),
	'critical t', 'critical when full');
is(value_of(metrics(), 'health'), 2, 'as metric');
isnt(exit_status(), 0, 'the one-liner fails');
close_all(@full[ 5 .. $#full ]);
ok(wait_until(sub { exit_status() == 0 }), 'and succeeds when there is room again');
isnt(exit_status('/nowhere'), 0, 'it fails if nobody answers');
close_all(@full[ 0 .. 4 ]);

# The sampler is gone for a moment.
my $sampler = cluster_stat($node, 'sampler_pid');

kill 'TERM', $sampler;
ok($node->poll_query_until('postgres',
		"SELECT sampler_pid <> $sampler FROM pool_stats_cluster"), 'a sampler is back');
is(value_of(metrics(), 'sampler_up'), 1, 'and told');

# How fast the processors are is measured while somebody is at work.
my $at_work = open_session($node, 'm_a');

$at_work->value('BEGIN; SELECT 1');
ok($node->poll_query_until('postgres',
		'SELECT cpu_speed_ratio > 0 AND cpu_speed_ratio <= 1 FROM pool_metrics_cluster()'),
	'the speed of the processors is known');
$at_work->close_and_wait;

# The extension goes while somebody asks: an error, no more.
my $asking = open_session($node, 'm_monitor');

ok(defined $asking->value('SELECT pool_metrics()'), 'there');
$node->safe_psql('postgres', 'DROP EXTENSION pool_optimizer');
is($asking->query('SELECT pool_metrics()'), undef, 'gone');
is($asking->sqlstate, '42883', 'as any function');
$asking->close_and_wait;
stop_clean($node);

done_testing();
