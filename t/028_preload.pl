# Preloaded together with other libraries, in both orders: each still does its job,
# quotas hold and the accounting is right.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $A = 'r_a@postgres';

sub quota_holds
{
	my ($node, $n, $what) = @_;
	my @in = map { open_session($node, 'r_a') } 1 .. $n;

	is((scalar grep { $_->is_admitted } @in), $n, "$what: $n get in");
	is(refused_sqlstate($node, 'r_a'), '53300', "$what: one more is refused");
	close_all(@in);
	return ok(wait_sessions($node, $A, 0), "$what: all have left");
}

# Is there such a library?
my $libdir;

sub installed
{
	my ($node, $library) = @_;

	$libdir //= $node->config_data('--pkglibdir');
	return -e "$libdir/$library.so" || -e "$libdir/$library.dylib";
}

# ---------- modules of core, and of others ----------

my $node = new_node(
	-name => 'preload',
	'auto_explain.log_min_duration' => 0,
	'auth_delay.milliseconds' => 400,
	'pg_stat_statements.track' => 'all',
	max_worker_processes => 20);
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
my %have = map { $_ => installed($node, $_) }
  qw(pg_stat_statements auto_explain auth_delay passwordcheck pg_wait_sampling);
# In the order in which they would stand in postgresql.conf.
my @others = grep { $have{$_} }
  qw(pg_stat_statements auto_explain auth_delay passwordcheck pg_wait_sampling);

plan skip_all => 'no module of contrib is installed' unless $have{pg_stat_statements};
create_roles($node, 'r_a', 'r_b');
$node->safe_psql('postgres', q{
	CREATE ROLE r_password LOGIN PASSWORD 'not-a-word-1';
	CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC;
	GRANT pg_read_all_stats TO r_b});
# Only this role has to authenticate.
my $hba = $node->data_dir . '/pg_hba.conf';
my $trust = slurp_file($hba);

open(my $handle, '>', $hba) or die "open $hba: $!";
print $handle "local all r_password scram-sha-256\nhost all r_password 0.0.0.0/0 scram-sha-256\n",
  $trust;
close $handle or die "close $hba: $!";

sub login_with_password
{
	my ($password) = @_;

	local $ENV{PGPASSWORD} = $password;
	return psql_as($node, 'r_password', 'SELECT 1');
}

# What every combination must do; the settings are as above.
sub everything_works
{
	my ($order) = @_;
	my $offset = -s $node->logfile;
	my $s;

	$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 2)");
	wait_sync($node);
	quota_holds($node, 2, $order);

	# Accounting: exact counts of ours and of pg_stat_statements for the same work.
	$node->safe_psql('postgres',
		q{SELECT pg_stat_statements_reset(); SELECT pool_reset_stats('r_a@postgres')});
	$s = open_session($node, 'r_a');
	$s->value('SELECT count(*) FROM t WHERE a = 12345') for 1 .. 7;
	$s->query('BEGIN; INSERT INTO t VALUES (1); ROLLBACK');
	$s->query('SELECT 1/0');
	$s->query('LISTEN x');
	ok(wait_until(sub { stat_of($node, $A, 'transactions') == 10 }),
		"$order: transactions are counted exactly")
	  or diag(stat_of($node, $A, 'transactions'));
	is(stat_of($node, $A, 'rollbacks || $$ $$ || errors'), '2 1',
		"$order: so are rollbacks and errors");
	is($node->safe_psql('postgres', q{
			SELECT calls FROM pg_stat_statements WHERE query ~ '^SELECT count.*FROM t WHERE'}),
		'7', "$order: pg_stat_statements counts");
	is($node->safe_psql('postgres', q{
			SELECT calls FROM pg_stat_statements WHERE query ~ '^LISTEN'}),
		'1', "$order: utility statements, too");
	ok($node->poll_query_until('postgres', sprintf(
				q{SELECT exempt = 'listen' FROM pool_stats_session WHERE pid = %d}, $s->pid)),
		"$order: the session that listens is known");
	$s->close_and_wait;
	if ($have{auto_explain})
	{
		like(log_since($node, $offset), qr/plan:\s+Query Text: SELECT count\(\*\) FROM t WHERE a/,
			"$order: auto_explain logs");
	}
	check_authentication($order, $offset) if $have{auth_delay};
	if ($have{passwordcheck})
	{
		my (undef, undef, $err) = psql_as($node, $superuser, q{ALTER ROLE r_b PASSWORD 'r_b'});

		like($err, qr/ERROR:.*password/, "$order: passwordcheck refuses");
	}
	if ($have{pg_wait_sampling})
	{
		my $waits = open_session($node, 'r_b');

		$waits->send_query('SELECT pg_sleep(3600)');
		ok($node->poll_query_until('postgres', sprintf(
					q{SELECT count(*) > 0 FROM pg_wait_sampling_profile
					  WHERE pid = %d AND event = 'PgSleep'}, $waits->pid)),
			"$order: pg_wait_sampling samples");
		$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . $waits->pid . ')');
		$waits->wait_closed;
	}
	is(cluster_stat($node, q{worker_errors || ' ' || unready_logins}), '0 0',
		"$order: no step of ours failed");
	unlike(log_since($node, $offset), qr/PANIC|was terminated by signal/, "$order: no crash");
	return;
}

# A login that fails to authenticate is auth_delay's and none of ours; one that succeeds
# meets the quota, whichever hook comes first.
sub check_authentication
{
	my ($order, $offset) = @_;
	my $password = 'r_password@postgres';
	my ($rc, undef, $err);
	my $started;

	($rc) = login_with_password('not-a-word-1');
	is($rc, 0, "$order: a right password lets in");
	my $admitted = stat_of($node, $password, 'admitted');

	# The delay is never shorter, however slow all else is.
	$started = Time::HiRes::time();
	($rc, undef, $err) = login_with_password('wrong');
	cmp_ok(Time::HiRes::time() - $started, '>=', 0.35, "$order: a wrong password is delayed");
	like($err, qr/password authentication failed/, "$order: and refused");
	is(stat_of($node, $password, 'admitted'), $admitted, "$order: it takes no place");
	is(stat_of($node, $password, 'sessions'), '0', "$order: nor keeps one");
	$node->safe_psql('postgres', "SELECT pool_set_quota('$password', max_connections => 0)");
	wait_sync($node);
	($rc, undef, $err) = login_with_password('not-a-word-1');
	like($err, qr/too many connections for tenant "\Q$password\E"/,
		"$order: a right password meets the quota");
	($rc, undef, $err) = login_with_password('wrong');
	like($err, qr/password authentication failed/, "$order: a wrong one never gets that far");
	is(stat_of($node, $password, 'rejected'), '1', "$order: one refusal is counted");
	$node->safe_psql('postgres',
		"SELECT pool_drop_policy('$password'); SELECT pool_reset_stats('$password')");
	wait_sync($node);
	return;
}

note("not installed: $_") foreach grep { !$have{$_} } sort keys %have;

foreach my $order ([ @others, 'pool_optimizer' ], [ 'pool_optimizer', reverse @others ])
{
	my $libraries = join(', ', @$order);

	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'");
	$node->restart;
	$node->safe_psql('postgres', "CREATE EXTENSION IF NOT EXISTS $_")
	  foreach grep { $have{$_} } qw(pg_stat_statements pg_wait_sampling);
	everything_works($libraries);
}

# ---------- named once more where it has no business ----------

$node->append_conf('postgresql.conf', q{session_preload_libraries = 'pool_optimizer'});
$node->reload;
ok(wait_until(sub { psql_as($node, $superuser, 'SHOW session_preload_libraries') =~ /pool/ }),
	'session_preload_libraries names it, too');
quota_holds($node, 2, 'preloaded for each session, too');
my ($rc, undef, $err) = psql_as($node, $superuser,
	q{LOAD 'pool_optimizer'; SELECT * FROM pool_stats});

is("$rc$err", '0', 'LOAD of what is loaded does nothing');
stop_clean($node);

my $late = new_node(-name => 'late', -preload => 0, -extension => 0);

create_roles($late, 'r_a');
$late->append_conf('postgresql.conf', q{session_preload_libraries = 'pool_optimizer'});
$late->reload;
ok(wait_until(sub { psql_as($late, $superuser, 'SHOW session_preload_libraries') =~ /pool/ }),
	'session_preload_libraries alone');
$late->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');
foreach my $load ('', q{LOAD 'pool_optimizer';})
{
	($rc, undef, $err) = psql_as($late, $superuser,
		"\\set VERBOSITY verbose\n$load SELECT * FROM pool_stats_cluster");
	like($err, qr/ERROR:  55000: .*must be loaded via shared_preload_libraries.*HINT:  Add this/s,
		'is not enough: the views say what to do' . ($load && ', after LOAD, too'));
}
is(refused($late, 'r_a'), '', 'sessions are let in');
stop_clean($late);

# ---------- pg_cron ----------

SKIP:
{
	skip 'pg_cron is not installed', 1 unless installed($node, 'pg_cron');
	foreach my $background ('off', 'on')
	{
		foreach my $libraries ('pg_cron, pool_optimizer', 'pool_optimizer, pg_cron')
		{
			check_cron($background, $libraries);
		}
	}
}

# Jobs over connections are sessions of their role, those in workers are none.
sub check_cron
{
	my ($background, $libraries) = @_;
	my $what = "$libraries, background workers $background";
	my $cron = new_node(
		-name => "cron_${background}_" . ($libraries =~ /^pg_cron/ ? 'first' : 'last'),
		shared_preload_libraries => "'$libraries'",
		'cron.use_background_workers' => $background,
		max_worker_processes => 20,
		-start => 0,
		-extension => 0);

	$cron->append_conf('postgresql.conf', "cron.host = '" . $cron->host . "'");
	$cron->start;
	create_roles($cron, 'r_a');
	$cron->safe_psql('postgres', qq{
		CREATE EXTENSION pool_optimizer;
		CREATE EXTENSION pg_cron;
		CREATE TABLE ran (at timestamptz DEFAULT clock_timestamp());
		GRANT ALL ON ran TO r_a;
		GRANT USAGE ON SCHEMA cron TO r_a;
		SELECT pool_set_quota('$A', max_connections => 2)});
	wait_sync($cron);
	quota_holds($cron, 2, $what);
	is((psql_as($cron, 'r_a',
			q{SELECT cron.schedule('job', '1 second', 'INSERT INTO ran DEFAULT VALUES')}))[0], 0,
		"$what: a job is scheduled");
	my $admitted = stat_of($cron, $A, 'admitted');

	ok($cron->poll_query_until('postgres', 'SELECT count(*) >= 2 FROM ran'), "$what: it runs");
	if ($background eq 'on')
	{
		is(stat_of($cron, $A, 'admitted'), $admitted, "$what: a worker is no session");
	}
	else
	{
		ok($cron->poll_query_until('postgres',
				"SELECT admitted > $admitted FROM pool_stats WHERE tenant = '$A'"),
			"$what: its logins are counted");
		# A quota of none stops its connections, and pg_cron goes on.
		$cron->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 0)");
		wait_sync($cron);
		my $rejected = stat_of($cron, $A, 'rejected');

		ok($cron->poll_query_until('postgres',
				"SELECT rejected > $rejected FROM pool_stats WHERE tenant = '$A'"),
			"$what: the quota refuses jobs");
		$cron->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 2)");
		my $n = $cron->safe_psql('postgres', 'SELECT count(*) FROM ran');

		ok($cron->poll_query_until('postgres', "SELECT count(*) > $n FROM ran"),
			"$what: they run again when there is room");
	}
	is(cluster_stat($cron, 'worker_errors'), '0', "$what: no step of ours failed");
	stop_clean($cron);
	return;
}

done_testing();
