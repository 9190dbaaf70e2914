# Behind PgBouncer in transaction mode: its pools are tenants by role and database, a
# refusal reaches the client, and a size for the pool appears.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Debian has it in sbin, which is not in everybody's path.
my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin',
  '/usr/local/sbin', '/usr/local/bin';

plan skip_all => 'pgbouncer is not installed' if !defined $pgbouncer;
plan skip_all => 'pgbouncer refuses to run as root' if $> == 0;

my $node = new_node(-name => 'bouncer');

create_roles($node, qw(r_shop r_small r_none));
$node->safe_psql('postgres', q{
	CREATE TABLE t (a int);
	GRANT ALL ON t TO PUBLIC;
	SELECT pool_set_sizing('*', evaluation_interval => '1s');
	SELECT pool_set_quota('r_small@postgres', max_connections => 2);
	SELECT pool_set_quota('r_none@postgres', max_connections => 0)});
wait_sync($node);

# ---------- the pooler ----------

my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();

append_to_file("$dir/users.txt", join('', map { qq{"$_" ""\n} } qw(r_shop r_small r_none)));
append_to_file("$dir/pgbouncer.ini", <<"INI");
[databases]
postgres = host=127.0.0.1 port=${\ $node->port } dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $dir/users.txt
pool_mode = transaction
default_pool_size = 6
max_client_conn = 200
server_login_retry = 1
query_wait_timeout = 120
logfile = $dir/pgbouncer.log
pidfile = $dir/pgbouncer.pid
INI

my ($in, $out) = ('', '');
my $bouncer = IPC::Run::start([ $pgbouncer, "$dir/pgbouncer.ini" ], '<', \$in, '>&', \$out);

sub through
{
	my ($role, $sql) = @_;
	my ($stdout, $stderr) = ('', '');
	my $ok = IPC::Run::run(
		[
			'psql', '-X', '-A', '-t', '-v', 'VERBOSITY=verbose', '-h', '127.0.0.1',
			'-p', $port, '-U', $role, '-d', 'postgres', '-c', $sql
		], '<', \'', '>', \$stdout, '2>', \$stderr);

	chomp $stdout;
	return ($ok, $stdout, $stderr);
}

if (!wait_until(sub { (through('r_shop', 'SELECT 1'))[1] eq '1' }, 'pgbouncer'))
{
	$bouncer->pump_nb;
	diag($out);
	BAIL_OUT('pgbouncer does not answer');
}

sub pgbench
{
	my ($role, $file, @options) = @_;

	return [
		'pgbench', '-n', '-f', $file, '-h', '127.0.0.1', '-p', $port, '-U', $role,
		@options, 'postgres'
	];
}

sub run_pgbench
{
	my $command = pgbench(@_);
	my ($stdout, $stderr) = ('', '');
	my $ok = IPC::Run::run($command, '<', \'', '>', \$stdout, '2>', \$stderr);

	diag($stderr) if !$ok;
	return $ok;
}

# ---------- accounting through the pooler ----------

append_to_file("$dir/mixed.sql",
	"BEGIN;\nINSERT INTO t VALUES (1);\nCOMMIT;\nBEGIN;\nINSERT INTO t VALUES (2);\nROLLBACK;\n");

my $counts = q{SELECT transactions || ' ' || rollbacks FROM pool_stats
	WHERE tenant = 'r_shop@postgres'};

# PgBouncer's own first query is over when the pool is quiet.
my @before = split / /, $node->safe_psql('postgres', $counts);

ok(run_pgbench('r_shop', "$dir/mixed.sql", '-c', 24, '-j', 2, '-t', 50),
	'24 clients of the pooler work');

# Whatever a session has done last is carried over by the next sample.
ok($node->poll_query_until('postgres', sprintf(q{SELECT transactions >= %d FROM pool_stats
		WHERE tenant = 'r_shop@postgres'}, $before[0] + 2400)), 'their transactions are seen');
my @after = split / /, $node->safe_psql('postgres', $counts);

is($after[1] - $before[1], 1200, 'rollbacks are exact');
cmp_ok($after[0] - $before[0], '>=', 2400, 'no transaction is missing');
# server_check_query may run once for each connection that rested.
cmp_ok($after[0] - $before[0], '<=', 2400 + 24, 'none but those that PgBouncer adds');
cmp_ok(stat_of($node, 'r_shop@postgres', 'peak_sessions'), '<=', 6,
	'the tenant is the pool: six server connections');
is(stat_of($node, 'r_shop@postgres', 'rejected'), '0', 'none was refused');

# ---------- a size for the pool ----------

append_to_file("$dir/work.sql",
	"SELECT pg_sleep(0.01);\n\\set pause random(1, 79)\n\\sleep :pause ms\n");
my ($pgbench_in, $pgbench_out) = ('', '');
my $run = IPC::Run::start(pgbench('r_shop', "$dir/work.sql", '-c', 12, '-T', 600),
	'<', \$pgbench_in, '>&', \$pgbench_out);

# 12 clients, busy 10 of 50 ms: 2.4 connections on average.
ok($node->poll_query_until('postgres', q{SELECT method IN ('queueing', 'burst')
		AND recommended_size > 0 AND computed_at IS NOT NULL AND arrival_rate > 0
		FROM pool_recommendations WHERE tenant = 'r_shop@postgres'}),
	'a size is recommended while they work');
is($node->safe_psql('postgres', q{
		SELECT recommended_size BETWEEN 2 AND 6 AND recommended_size = (
				SELECT recommended_size FROM pool_stats WHERE tenant = 'r_shop@postgres')
			AND busy_max <= 6
		FROM pool_recommendations WHERE tenant = 'r_shop@postgres'}), 't',
	'enough for 2.4 busy on average, no more than the pool had')
  or diag($node->safe_psql('postgres',
		q{SELECT * FROM pool_recommendations WHERE tenant = 'r_shop@postgres'}));
note($node->safe_psql('postgres',
		q{SELECT reason FROM pool_recommendations WHERE tenant = 'r_shop@postgres'}));
$run->signal('TERM');
$run->finish;

# ---------- quotas through the pooler ----------

my ($ok, $stdout, $stderr) = through('r_none', 'SELECT 1');

ok(!$ok, 'a quota of 0: the client gets an error');
like($stderr, qr/too many connections for tenant "r_none\@postgres"/,
	"with the server's own words");
cmp_ok(stat_of($node, 'r_none@postgres', 'rejected'), '>=', 1, 'the refusal is counted');

# The pool would open six; two are let in and serve all the clients.
ok(run_pgbench('r_small', "$dir/mixed.sql", '-c', 12, '-j', 2, '-t', 40),
	'a quota smaller than the pool: every client is served');
is(stat_of($node, 'r_small@postgres', 'peak_sessions'), '2', 'by two server connections');
cmp_ok(stat_of($node, 'r_small@postgres', 'rejected'), '>=', 1, 'more were refused');
ok($node->poll_query_until('postgres', q{SELECT rollbacks = 480 FROM pool_stats
		WHERE tenant = 'r_small@postgres'}), 'the work was done and counted');

# A raised quota is obeyed by the next login, without a word to PgBouncer.
$node->safe_psql('postgres', q{SELECT pool_set_quota('r_none@postgres', max_connections => 1)});
wait_sync($node);
ok(wait_until(sub { (through('r_none', 'SELECT 1'))[1] eq '1' }, 'the raised quota'),
	'after the quota was raised the client is served');

$bouncer->signal('INT');
$bouncer->finish;
stop_clean($node);
done_testing();
