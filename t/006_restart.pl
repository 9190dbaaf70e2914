# What outlives a restart: policies from the very first login on, statistics, and events.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(max_prepared_transactions => 2);
my $A = 'regress_pool_a@other';
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, 'regress_pool_a');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pool_optimizer');

sub stats
{
	return $node->safe_psql('other', qq{
		SELECT admitted, rejected, transactions, rollbacks, peak_sessions, first_seen,
			xact_mean_ms, xact_p50_ms, xact_p95_ms, xact_p99_ms, wait_p99_ms IS NULL
		FROM pool_stats WHERE tenant = '$A'});
}

# Events so far, one to a line; all that is in them.
sub events
{
	my ($until) = @_;
	my $rows = $node->safe_psql('other', "SELECT concat_ws('|', extract(epoch FROM at), kind, tenant,
		pid, reason, detail) FROM pool_events " . (defined $until ? "WHERE at <= '$until'" : '') .
		' ORDER BY 1');

	return [ split /\n/, $rows ];
}

# The quota of 2 must hold from the first login on: no statement runs before.
sub quota_holds
{
	my ($what) = @_;

	return check_quota($node, 'regress_pool_a', 2, $what, dbname => 'other');
}

$node->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 2)");
wait_sync($node);
quota_holds('before');
my $s = open_session($node, 'regress_pool_a', dbname => 'other');
$s->value("SELECT pg_sleep($_ / 1000.0)") for 1 .. 10;
$s->query('ROLLBACK') if $s->query('BEGIN; SELECT 1');
close_all($s);

# ---------- the tests themselves, while a server is not there ----------

# A psql that cannot connect may be gone before it has been given its statement.
foreach my $method (qw(safe_psql poll_query_until))
{
	my $run = \&IPC::Run::run;
	my $broken = 0;

	no warnings 'redefine';
	local *IPC::Run::run = sub {
		die "ack Broken pipe: write( 13, 'SELECT' )" if $broken++ < 3;
		goto &$run;
	};
	my $result = eval { $node->$method('postgres', 'SELECT true') } // "died: $@";
	ok($result =~ /^[t1]$/ && $broken == 4, "$method tries again after a broken pipe: $result");
}

# ---------- a clean restart ----------

my $before = stats();
like($before, qr/^3\|1\|11\|1\|2\|/, 'there is something to keep: ' . $before);
my $until = $node->safe_psql('other', 'SELECT clock_timestamp()');
my $events = events($until);
cmp_ok(scalar(grep { /\|reject\|/ } @$events), '>=', 1, 'there is a refusal to keep');
cmp_ok(scalar(grep { /\|policy\|/ } @$events), '>=', 1, 'and a policy');
$node->restart;
is(stats(), $before, 'counters, histograms and first_seen survive a clean restart exactly');
is_deeply(events($until), $events, 'events, too: each once, as it was');
quota_holds('after a clean restart');

# ---------- nobody can read the policies ----------

# A prepared transaction keeps its lock over a restart.
$node->safe_psql('postgres', q{
	BEGIN; LOCK TABLE pool_policies; PREPARE TRANSACTION 'regress_pool_lock'});
$node->restart;
quota_holds('with the table locked');
ok($node->poll_query_until('other', q{
		SELECT last_error ~ 'keeper: canceling statement due to lock timeout'
		FROM pool_stats_cluster}),
	'last_error says that the keeper cannot read');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'regress_pool_lock'});
ok(wait_sync($node), 'it can when the lock has gone');
is(cluster_stat($node, q{coalesce(last_error, '')}), '', 'last_error is cleared');

$node->safe_psql('other', 'ALTER DATABASE postgres ALLOW_CONNECTIONS false');
$node->restart;
quota_holds('with the database closed');
ok($node->poll_query_until('other', q{
		SELECT last_error ~ 'keeper: database "postgres" is not currently accepting connections'
		FROM pool_stats_cluster}),
	'last_error says so');
$node->safe_psql('other', 'ALTER DATABASE postgres ALLOW_CONNECTIONS true');
ok(wait_sync($node, dbname => 'other'), 'the keeper comes back by itself');

# ---------- an immediate stop ----------

# The clean stop before wrote this much; what came after may be lost, up to a minute.
$until = $node->safe_psql('other', 'SELECT clock_timestamp()');
$events = events($until);
$node->restart;
my ($admitted) = split /\|/, stats();
quota_holds('before an immediate stop');
$node->stop('immediate');
$node->start;
quota_holds('after an immediate stop');
my ($now) = split /\|/, stats();
cmp_ok($now, '>=', $admitted + 2, 'only the last minute is lost');
cmp_ok($now, '<=', $admitted + 4, 'and nothing is invented');

is_deeply(events($until), $events, 'events of before the last write are there, each once');

# ---------- rings of events that are too small for what was kept ----------

$node->append_conf('postgresql.conf', 'pool_optimizer.history_events = 16');
my @keep = map { open_session($node, 'regress_pool_a', dbname => 'other') } 1 .. 2;
is(refused_sqlstate($node, 'regress_pool_a', dbname => 'other'), '53300', 'one of many refusals')
  foreach 1 .. 20;
close_all(@keep);
$events = events();
my @logins = grep { /\|reject\|/ } @$events;
$node->restart;
is_deeply([ grep { /\|reject\|/ } @{ events() } ], [ @logins[ -16 .. -1 ] ],
	'the newest logins are kept, in their order');
cmp_ok(scalar(@{ events() }), '<=', 32, 'not more than there is room for');
is(refused_sqlstate($node, 'regress_pool_a', dbname => 'other'), '',
	'logins go on after it');
$node->restart;
is_deeply([ grep { /\|reject\|/ } @{ events() } ], [ @logins[ -16 .. -1 ] ],
	'a ring that was full is so after two restarts');

# ---------- a damaged file ----------

my $file = $node->data_dir . '/pg_stat/pool_optimizer.stat';

sub rewrite
{
	my ($contents) = @_;

	open(my $handle, '>:raw', $file) or die "open $file: $!";
	print $handle $contents;
	close $handle or die "close $file: $!";
	return;
}

sub flip_bit
{
	my ($contents, $at) = @_;

	substr($contents, $at, 1) = chr(ord(substr($contents, $at, 1)) ^ 16);
	return $contents;
}

my @damages = (
	[ 'empty', sub { '' } ],
	[ 'cut in the header', sub { substr($_[0], 0, 10) } ],
	[ 'cut in the middle', sub { substr($_[0], 0, length($_[0]) / 2) } ],
	[ 'cut by its last byte', sub { substr($_[0], 0, -1) } ],
	[ 'one bit flipped in the middle', sub { flip_bit($_[0], length($_[0]) / 2) } ],
	[ 'one bit flipped in the checksum', sub { flip_bit($_[0], length($_[0]) - 2) } ],
	[ 'another magic', sub { flip_bit($_[0], 0) } ],
	[ 'another format', sub { flip_bit($_[0], 4) } ],
	# n_tenants and n_policies are the sixth and seventh of the header's words.
	[ 'an impossible count of tenants',
		sub { substr($_[0], 0, 20) . "\xff\xff\xff\xff" . substr($_[0], 24) } ],
	[ 'an impossible count of policies',
		sub { substr($_[0], 0, 24) . "\xff\xff\xff\xff" . substr($_[0], 28) } ],
	# The last of the header's 17 words.
	[ 'an impossible count of statements',
		sub { substr($_[0], 0, 64) . "\xff\xff\xff\xff" . substr($_[0], 68) } ]);

foreach my $damage (@damages)
{
	my ($what, $code) = @$damage;
	my $contents;
	my $offset;
	my $lines;

	$node->stop;
	ok(-s $file, "$what: a clean stop leaves a file");
	$contents = slurp_file($file);
	rewrite($code->($contents));
	$offset = -s $node->logfile;
	$node->start;
	$lines = () = log_since($node, $offset) =~ /LOG:  ignoring file "pg_stat\/pool_optimizer\.stat"/g;
	is($lines, 1, "$what: one LOG line");
	is($node->safe_psql('other', qq{
			SELECT coalesce(sum(admitted), 0) FROM pool_stats WHERE tenant = '$A'}), '0',
		"$what: starts empty");
	wait_sync($node);
	quota_holds("$what: policies are back from the table");
}

# No file is no damage.
$node->stop;
unlink $file or die "unlink $file: $!";
my $offset = -s $node->logfile;
$node->start;
unlike(log_since($node, $offset), qr/pool_optimizer\.stat/, 'a missing file is nothing to tell');
wait_sync($node);
quota_holds('without a file');
$node->stop;
ok(-s $file, 'the next clean stop writes one');

done_testing();
