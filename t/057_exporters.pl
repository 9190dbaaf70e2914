# The files of monitoring/ with the real programs: node_exporter, postgres_exporter,
# sql_exporter and Prometheus, as Debian has them, against a server with load.  Each way
# gives the metrics of pool_metrics(), and Prometheus knows, through each, every metric
# that the dashboard and the alert rules name.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use POSIX ();
use PoolTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %program;

# By job of prometheus.yml: what is scraped, and the port that stands there.
my %job = (
	textfile => [ 'prometheus-node-exporter', 9100 ],
	postgres_exporter => [ 'prometheus-postgres-exporter', 9187 ],
	sql_exporter => [ 'prometheus-sql-exporter', 9237 ]);

foreach my $name ('prometheus', 'pgbouncer', map { $_->[0] } values %job)
{
	($program{$name}) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin';
}
my @jobs = grep { defined $program{ $job{$_}[0] } } sort keys %job;

foreach my $name (qw(prometheus pgbouncer))
{
	plan skip_all => "$name is not installed" unless defined $program{$name};
}
plan skip_all => 'no exporter is installed' unless @jobs;
plan skip_all => 'pgbouncer refuses to run as root' if $> == 0;

my $files = "$FindBin::RealBin/../monitoring";
my $dir = PostgreSQL::Test::Utils::tempdir();

# ---------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------

# What is started is ended, also when the test dies, and if it is killed.
my %running;
END
{
	my $status = $?;

	kill 'KILL', values %running;
	waitpid $_, 0 foreach values %running;
	$? = $status;
}

sub start_process
{
	my ($name, %opt) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		%ENV = (%ENV, %{ $opt{env} // {} });
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', "$dir/$name.log");
		open(STDERR, '>&', \*STDOUT);
		chdir $dir;
		exec('setpriv', '--pdeathsig', 'KILL', $program{$name}, @{ $opt{arguments} })
		  or POSIX::_exit(1);
	}
	$running{$name} = $pid;
	return;
}

sub write_text
{
	my ($file, $text) = @_;

	open(my $handle, '>', $file) or die "$file: $!";
	print $handle $text;
	close($handle) or die "$file: $!";
	return;
}

# The body, undef if nobody answers; and the status.
sub get
{
	my ($port, $path) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port,
		Proto => 'tcp', Timeout => $PoolTest::TIMEOUT) or return;

	print $socket "GET $path HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
	my $answer = do { local $/ = undef; <$socket> } // '';

	return unless $answer =~ m{^HTTP/1\.\d (\d+).*?\r\n\r\n(.*)\z}s;
	return wantarray ? ($2, $1) : $2;
}

sub encode
{
	return $_[0] =~ s/([^A-Za-z0-9_.~-])/sprintf('%%%02X', ord $1)/ger;
}

# ---------------------------------------------------------------------------
# A server, its tenants, a PgBouncer
# ---------------------------------------------------------------------------

my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } keys %program;
my $odd = 'x"\\{}=<script>\'%s';
my $node = new_node(
	-name => 'watched',
	max_connections => 80,
	log_statement => 'none',
	'pool_optimizer.pgbouncer_conninfo' =>
	  "'host=127.0.0.1 port=$port{pgbouncer} user=e_console'");

create_roles($node, qw(e_busy e_small e_wait e_leak e_console));
$node->safe_psql('postgres', <<'SQL');
	CREATE ROLE prometheus LOGIN IN ROLE pg_monitor;
	CREATE ROLE "x""\{}=<script>'%s" LOGIN;
	SELECT pool_set_sizing('*', evaluation_interval => '1s');
	SELECT pool_set_quota('e_small@postgres', 1);
	SELECT pool_set_quota('e_wait@postgres', 1, on_full => 'wait', wait_timeout => '60s');
	SELECT pool_set_timeouts('e_leak@postgres', idle_in_transaction => '1ms', mode => 'observe')
SQL
wait_sync($node);
write_text("$dir/users.txt", qq{"e_busy" ""\n"e_console" ""\n});
write_text("$dir/pgbouncer.ini", <<"INI");
[databases]
postgres = host=127.0.0.1 port=${\ $node->port } dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port{pgbouncer}
unix_socket_dir =
auth_type = trust
auth_file = $dir/users.txt
stats_users = e_console
pool_mode = transaction
logfile =
pidfile =
INI
start_process('pgbouncer', arguments => ["$dir/pgbouncer.ini"]);

my @held = map { open_session($node, $_) } 'e_small', $odd;
my $first = open_session($node, 'e_wait');
my $second = start_login($node, 'e_wait');
my $leak = open_session($node, 'e_leak');

$leak->query('BEGIN');
is(refused_sqlstate($node, 'e_small'), '53300', 'one is refused') for 1 .. 4;
$first->close_and_wait;
$second->wait_login;
ok($node->poll_query_until('postgres', q{SELECT count(*) >= 1 FROM pool_stats_session
		WHERE tenant = 'e_leak@postgres' AND class = 'idle_in_transaction'}), 'one is leaked');

sub work
{
	my $busy = open_session($node, 'e_busy');

	$busy->query($_) for 'SELECT 1', 'SELECT 1/0', 'BEGIN', 'ROLLBACK';
	$busy->close_and_wait;
	refused($node, 'e_small');
	system("PGCONNECT_TIMEOUT=10 psql -XAtq -h 127.0.0.1 -p $port{pgbouncer} -U e_busy "
		  . '-d postgres -c "SELECT 1" >/dev/null 2>&1');
	return;
}

work();
ok(wait_until(sub { work();
		$node->safe_psql('postgres', q{SELECT count(*) FROM pool_metrics_pooler()
			WHERE up = 1 AND pools > 0}) eq '1' }), 'PgBouncer is seen');
# An exporter does not tell of what has no value yet.
ok($node->poll_query_until('postgres',
		'SELECT cpu_speed_ratio IS NOT NULL FROM pool_metrics_cluster()'),
	'and how fast the processors are');

# ---------------------------------------------------------------------------
# Exporters, with our files as they are but for ports and times
# ---------------------------------------------------------------------------

# Not all of them may be installed.
sub start_exporter
{
	my ($job, @options) = @_;
	my $name = $job{$job}[0];

	SKIP:
	{
		skip "$name is not installed", 1 unless grep { $_ eq $job } @jobs;
		start_process($name, @options);
		pass("$name starts");
	}
	return;
}

mkdir "$dir/textfile";
start_exporter('textfile', arguments => [
	"--web.listen-address=127.0.0.1:$port{'prometheus-node-exporter'}",
	'--collector.disable-defaults', '--collector.textfile',
	"--collector.textfile.directory=$dir/textfile" ]);
start_exporter('postgres_exporter',
	env => { DATA_SOURCE_NAME => 'user=prometheus dbname=postgres sslmode=disable host='
		. '127.0.0.1 port=' . $node->port },
	arguments => [ "--web.listen-address=127.0.0.1:$port{'prometheus-postgres-exporter'}",
		"--extend.query-path=$files/postgres_exporter.yml", '--disable-default-metrics',
		'--disable-settings-metrics' ]);

my $sql = slurp_file("$files/sql_exporter.yml");

ok($sql =~ s/127\.0\.0\.1:5432/'127.0.0.1:' . $node->port/e, 'sql_exporter.yml: connection');
ok($sql =~ s/interval: 15s/interval: 1s/, 'sql_exporter.yml: interval');
write_text("$dir/sql_exporter.yml", $sql);
start_exporter('sql_exporter', arguments => [ "-config.file=$dir/sql_exporter.yml",
	"-web.listen-address=127.0.0.1:$port{'prometheus-sql-exporter'}" ]);

# The command of the guide, with another directory.
my ($command) = slurp_file("$FindBin::RealBin/../docs/guides/monitoring.md") =~
  /^(psql .*pool_metrics.*)$/m;

like($command, qr{/var/lib/prometheus/node-exporter/}, 'the guide has a command');
$command =~ s{/var/lib/prometheus/node-exporter/}{$dir/textfile/}g;

sub write_textfile
{
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;

	return system($command) == 0;
}

ok(write_textfile(), 'it works');

# Names with type and help, of ours only.
sub metrics_of
{
	my ($text) = @_;
	my %of;

	$of{$1}[0] = $2 while $text =~ /^# TYPE (pool_optimizer_\w+) (\w+)$/mg;
	$of{$1}[1] = $2 while $text =~ /^# HELP (pool_optimizer_\w+) (.*)$/mg;
	return join "\n", map { "$_ $of{$_}[0] $of{$_}[1]" } sort keys %of;
}

my $own = metrics_of($node->safe_psql('postgres', 'SELECT pool_metrics()'));

cmp_ok(scalar(() = $own =~ /\n/g), '>', 50, 'pool_metrics has many');
foreach my $name (map { $job{$_}[0] } grep { $_ ne 'sql_exporter' } @jobs)
{
	my $told = '';

	ok(wait_until(sub { ($told = metrics_of(get($port{$name}, '/metrics') // '')) eq $own }),
		"$name tells the same metrics, types and help")
	  or diag("$told\n", slurp_file("$dir/$name.log"));
}
ok(wait_until(sub { (get($port{'prometheus-sql-exporter'}, '/metrics') // '')
			=~ /^sql_pool_optimizer_tenant\{/m }), 'sql_exporter answers')
  or diag(slurp_file("$dir/prometheus-sql-exporter.log"))
  if grep { $_ eq 'sql_exporter' } @jobs;

# ---------------------------------------------------------------------------
# Prometheus
# ---------------------------------------------------------------------------

my $config = slurp_file("$files/prometheus.yml");

$config =~ s/_interval: 15s/_interval: 1s/g;
foreach my $job (sort keys %job)
{
	ok($config =~ s/127\.0\.0\.1:$job{$job}[1]'/127.0.0.1:$port{$job{$job}[0]}'/,
		"prometheus.yml: $job");
}
write_text("$dir/prometheus.yml", $config);
write_text("$dir/rules.yml", slurp_file("$files/rules.yml"));
start_process('prometheus', arguments => [ "--config.file=$dir/prometheus.yml",
	"--storage.tsdb.path=$dir/data", "--web.listen-address=127.0.0.1:$port{prometheus}",
	'--log.level=warn' ]);

# The result of a query; undef and a diagnostic if it is wrong.
sub ask
{
	my ($query) = @_;
	my ($body, $status) = get($port{prometheus}, '/api/v1/query?query=' . encode($query));

	return unless defined $body;
	my $answer = eval { decode_json($body) } // {};

	if (($answer->{status} // '') ne 'success')
	{
		diag("$query: $status $body") if $status && $status == 400;
		return;
	}
	return $answer->{data}{result};
}

sub value
{
	my $result = ask(@_);

	return defined $result && @$result == 1 ? $result->[0]{value}[1] : undef;
}

# Rates need two looks, and something that happens between them.
my %has;

sub scraped
{
	work();
	write_textfile();
	%has = map { $_ => value(qq(count_over_time(pool_optimizer_tenant_transactions_total{
			job="pool_optimizer_$_", tenant="e_busy\@postgres"}[10m]))) // 0 } @jobs;
	return !grep { $_ < 3 } values %has;
}

ok(wait_until(\&scraped), 'Prometheus has looked several times, at each')
  or diag(explain(\%has), slurp_file("$dir/prometheus.log"));

# What has been seen; one look may come to nothing where a processor is short.
sub value_is
{
	my ($query, $expected, $what) = @_;
	my $value;

	return ok(wait_until(sub {
				$value = value($query);
				return defined $value && $value == $expected;
			}, $what), $what) || diag("$query: " . ($value // 'none') . ", not $expected");
}
value_is('count(up == 1)', scalar @jobs, 'all are up');

# Every metric that the files name is there, by whatever way it came.
my $dashboard = decode_json(slurp_file("$files/grafana.json"));
my @expressions;

sub collect
{
	my ($part) = @_;

	if (ref $part eq 'HASH')
	{
		push @expressions, $part->{expr} if defined $part->{expr};
		collect($_) foreach values %$part;
	}
	elsif (ref $part eq 'ARRAY') { collect($_) foreach @$part; }
	return;
}

collect($dashboard);
my $rules = slurp_file("$files/rules.yml");
my %named = map { $_ => 1 } join(' ', @expressions, $rules) =~ /\b(pool_optimizer_\w+)/g;

cmp_ok(scalar @expressions, '>', 40, 'the dashboard has expressions');
cmp_ok(scalar keys %named, '>', 40, 'metrics are named');
foreach my $job (@jobs)
{
	my @missing = sort keys %named;

	wait_until(sub {
			@missing = grep { !(value(qq(count($_\{job="pool_optimizer_$job"}))) // 0) } @missing;
			return !@missing;
		}, "all, by $job");
	is(join(' ', @missing), '', "each is there, by $job");
}

# Each expression of the dashboard is answered, with something.
foreach my $expression (@expressions)
{
	my $query = $expression =~ s/\$__rate_interval/5m/gr =~ s/\$(?:instance|tenant)/.+/gr;
	my $result;

	# Alerts are pending a moment after the first look; policies do not change here.
	$query =~ s/ > 0$// if $query =~ /^changes/;
	wait_until(sub { $result = ask($query); defined $result && @$result > 0 }, $query);
	ok(defined $result && @$result > 0, "answered: $expression");
}

# ---------------------------------------------------------------------------
# What it knows is true
# ---------------------------------------------------------------------------

my $quoted = "$odd\@postgres" =~ s/(["\\])/\\$1/gr;
my %expected = split /[|\n]/, $node->safe_psql('postgres',
	q{SELECT 'sessions', sessions FROM pool_stats WHERE tenant = 'e_small@postgres'
	  UNION ALL SELECT 'limit_connections', max_connections FROM pool_stats
	  WHERE tenant = 'e_small@postgres'});

foreach my $job (@jobs)
{
	my $of = qq(job="pool_optimizer_$job");

	foreach my $name (sort keys %expected)
	{
		value_is(qq(pool_optimizer_tenant_$name\{$of, tenant="e_small\@postgres"}),
			$expected{$name}, "$name, by $job");
	}
	value_is(qq(pool_optimizer_tenant_sessions{$of, tenant="$quoted"}), 1,
		"a name typed in bad faith, by $job");
	value_is(qq(pool_optimizer_tenant_leaked_sessions{$of, tenant="e_leak\@postgres"}), 1,
		"a leak, by $job");
	value_is(qq(pool_optimizer_tenant_login_wait_seconds_bucket{$of,
			tenant="e_wait\@postgres", le="+Inf"}), 1, "a wait, by $job");
	value_is(qq(count(histogram_quantile(0.95, sum by (le)
			(pool_optimizer_tenant_transaction_duration_seconds_bucket{$of})) > 0)), 1,
		"a quantile, by $job");
	value_is(qq(pool_optimizer_build_info{$of, version="1.0"}), 1, "the version, by $job");
	value_is(qq(pool_optimizer_pooler_up{$of, pooler="127.0.0.1:$port{pgbouncer}"}), 1,
		"the pooler, by $job");
}

# Refusals, counted by those who were refused and by Prometheus.
my $refusals = 'sum by (job) (pool_optimizer_tenant_rejected_logins_total)';
my $refused = $node->safe_psql('postgres', q{SELECT sum(rejected) FROM pool_stats});

ok(wait_until(sub { write_textfile();
		my $result = ask($refusals) // [];
		@$result == @jobs && !grep { $_->{value}[1] != $refused } @$result }),
	"all $refused refusals are known, by each");

# An alert of our rules: logins of e_small are refused.
ok(wait_until(sub { work(); write_textfile();
		(value(q(count(ALERTS{alertname="PoolLoginsRefused", tenant="e_small@postgres"}))) // 0)
		> 0 }), 'the rules have it, too');

# The server goes: each way tells so, or at least nothing new.
close_all(@held, $second, $leak);
stop_clean($node);
ok(!write_textfile(), 'the command fails when nobody answers');

done_testing();
