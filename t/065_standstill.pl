# A pool deadlocked by its own clients: each holds a connection in a transaction and waits for a
# second one.  It is told, the recommendation rises above that size, and with auto the pool is
# enlarged and its clients go on.  Clients that merely think in their transactions, or a pool
# that is only full, are none.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IO::Socket::INET;
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

my $node = new_node(
	-name => 'standstill',
	'pool_optimizer.mode' => 'observe',
	'pool_optimizer.sample_interval' => '20ms');

create_roles($node, qw(r_nested r_think));
$node->safe_psql('postgres', q{
	SELECT pool_set_sizing('*', evaluation_interval => '1s');
	SELECT pool_set_sizing('r_nested@postgres', max_size => 8, auto => true)});
wait_sync($node);

my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $bouncer;
my $load;

END
{
	my $status = $?;

	$_->kill_kill foreach grep { defined } $load, $bouncer;
	$? = $status;
}

# What sessions connect to.
{
	package Bouncer;

	sub port { my ($self) = @_; return $self->{port}; }
}

my $pool = bless { port => $port }, 'Bouncer';

sub through
{
	my ($role, $database) = @_;

	return open_session($pool, $role, host => '127.0.0.1', dbname => $database);
}

# Two pools, each of a database of its own, so that each has a size of its own.
sub include_text
{
	my ($size) = @_;

	return <<"INI";
; pool_optimizer begin
[databases]
nested = host=127.0.0.1 port=@{[ $node->port ]} dbname=postgres pool_size=$size
think = host=127.0.0.1 port=@{[ $node->port ]} dbname=postgres pool_size=2
; pool_optimizer end
INI
}

append_to_file("$dir/users", qq{"r_nested" ""\n"r_think" ""\n"console" ""\n});
append_to_file("$dir/include.ini", include_text(2));
append_to_file("$dir/bouncer.ini", <<"INI");
%include $dir/include.ini
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $dir/users
admin_users = console
pool_mode = transaction
query_wait_timeout = 0
server_login_retry = 1
logfile = $dir/bouncer.log
pidfile = $dir/bouncer.pid
INI
my ($in, $out) = ('', '');

$bouncer = IPC::Run::start([ $pgbouncer, "$dir/bouncer.ini" ], '<', \$in, '>&', \$out);
ok(wait_until(sub { IO::Socket::INET->new("127.0.0.1:$port") }, 'PgBouncer'), 'PgBouncer is there')
  or BAIL_OUT($out);
$node->safe_psql('postgres', "ALTER SYSTEM SET pool_optimizer.pgbouncer_conninfo = "
	  . "'host=127.0.0.1 port=$port user=console'");
$node->safe_psql('postgres',
	"ALTER SYSTEM SET pool_optimizer.pgbouncer_include = '$dir/include.ini'");
$node->reload;

sub recommended
{
	my ($role, $column) = @_;

	return $node->safe_psql('postgres',
		"SELECT $column FROM pool_recommendations WHERE tenant = '$role\@postgres'");
}

sub standstills
{
	my ($role) = @_;

	return $node->safe_psql('postgres', "SELECT count(*) FROM pool_events
		WHERE kind = 'alert' AND tenant = '$role\@postgres' AND reason ~ '^standstill: '");
}

# ---------- a size that rests on something ----------

append_to_file("$dir/work.sql", "\\sleep 5 ms\nSELECT 1;\n");
my ($no_input, $said) = ('', '');

$load = IPC::Run::start(
	[
		'pgbench', '-n', '-c', 2, '-f', "$dir/work.sql", '-T', 900, '-h', '127.0.0.1', '-p', $port,
		'-U', 'r_nested', 'nested'
	], '<', \$no_input, '>&', \$said);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pool_recommendations
	WHERE tenant = 'r_nested@postgres' AND confidence > 0.3
		AND method IN ('queueing', 'burst')}), 'a pool of two, well known');
$load->signal('TERM');
$load->finish;
undef $load;
cmp_ok(recommended('r_nested', 'recommended_size'), '<=', 2, 'and two are enough for it');

# ---------- a deadlock of the pool ----------

# Two clients with one connection each want a second one.
my @first = map { through('r_nested', 'nested') } 1 .. 2;
my @second = map { through('r_nested', 'nested') } 1 .. 2;

# Two others hold a pool of two and a third waits, but they go on.
my @thinking = map { through('r_think', 'think') } 1 .. 2;
my $waiting = through('r_think', 'think');

$_->query('BEGIN') foreach @first, @thinking;
$_->send_query('SELECT 4711') foreach @second, $waiting;

my $last = time();
my $longest = 0;

ok(wait_until(sub {
			$_->query('SELECT 1') foreach @thinking;
			my $now = time();

			$longest = $now - $last if $now - $last > $longest;
			$last = $now;
			return standstills('r_nested') > 0;
		}), 'the standstill is told');
like($node->safe_psql('postgres', q{SELECT reason FROM pool_events
	WHERE kind = 'alert' AND tenant = 'r_nested@postgres' AND reason ~ '^standstill: '}),
	qr/^standstill: 2 sessions, all idle in transaction for 10 s, while 2 clients wait at the pooler/,
	'with what was seen');
is($node->safe_psql('postgres', q{SELECT detail FROM pool_events
	WHERE kind = 'alert' AND tenant = 'r_nested@postgres' AND reason ~ '^standstill: '}),
	'{"waiting": 2, "sessions": 2}',
	'and the numbers');
SKIP:
{
	skip 'the test itself stood still', 1 if $longest > 5;

	is(standstills('r_think'), '0', 'who goes on does not stand still');
}
$_->query('COMMIT') foreach @thinking;
is($waiting->result->[0][0], '4711', 'whoever waits for them has to wait for a moment only');
ok($node->poll_query_until('postgres', q{SELECT recommended_size = 3
		AND reason LIKE '%at least 3, as a pool of 2 stood still%'
		FROM pool_recommendations WHERE tenant = 'r_nested@postgres'}),
	'one connection more is recommended, and why');
is($second[0]->{state} . $second[1]->{state}, 'busybusy', 'nothing has moved meanwhile');
is(standstills('r_nested'), '1', 'it is told once');

# ---------- with auto ----------

$node->append_conf('postgresql.conf', 'pool_optimizer.mode = enforce');
$node->reload;
is($_->result->[0][0], '4711', 'the pool is enlarged and the clients go on') foreach @second;
is(slurp_file("$dir/include.ini") =~ s/ min_pool_size=\d+//gr, include_text(3),
	'to three connections');
$_->query('COMMIT') foreach @first;
$_->quit foreach @first, @second, @thinking, $waiting;

# ---------- later ----------

$node->restart;
ok($node->poll_query_until('postgres', q{SELECT recommended_size = 3
		AND computed_at > pg_postmaster_start_time()
		FROM pool_recommendations WHERE tenant = 'r_nested@postgres'}),
	'a restart does not forget it');
$node->safe_psql('postgres', q{SELECT pool_reset_stats('r_nested@postgres')});
my $again = through('r_nested', 'nested');

$again->query('SELECT 1');
ok($node->poll_query_until('postgres', q{SELECT computed_at IS NOT NULL AND reason !~ 'stood still'
		FROM pool_recommendations WHERE tenant = 'r_nested@postgres'}),
	'pool_reset_stats does');
$again->quit;
$bouncer->signal('INT');
$bouncer->finish;
undef $bouncer;
stop_clean($node);
done_testing();
