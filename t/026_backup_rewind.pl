# Core's tools on a data directory with our state file in it: backups of a primary and
# of a standby, pg_verifybackup, pg_rewind, pg_checksums, pg_resetwal, single-user mode,
# initdb and postgres -C.  None is disturbed by the file, and none disturbs it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run ();
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $A = 'r_a@postgres';
my $FILE = 'pg_stat/pool_optimizer.stat';
my $COMPLAINT = qr/pool_optimizer\.stat|PANIC|pool_optimizer has corrected/;

my $primary = new_node(
	-name => 'primary',
	max_wal_senders => 10,
	wal_level => 'replica',
	hot_standby => 'on',
	wal_log_hints => 'on',		# pg_rewind needs this or checksums
	wal_keep_size => '256MB');
my $superuser = $primary->safe_psql('postgres', 'SELECT current_user');

create_roles($primary, qw(r_a r_b));
$primary->safe_psql('postgres', qq{
	CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC;
	SELECT pool_set_quota('$A', max_connections => 2)});

sub state_file
{
	my ($node) = @_;

	return $node->data_dir . "/$FILE";
}

sub write_file
{
	my ($path, $contents) = @_;

	open(my $handle, '>:raw', $path) or die "open $path: $!";
	print $handle $contents;
	close $handle or die "close $path: $!";
	return;
}

sub counters
{
	my ($node) = @_;

	return $node->safe_psql('postgres', qq{
		SELECT sessions, admitted, rejected, transactions, peak_sessions, first_seen
		FROM pool_stats WHERE tenant = '$A'});
}

sub quota_holds
{
	my ($node, $n, $what) = @_;

	check_quota($node, 'r_a', $n, $what);
	return ok(wait_sessions($node, $A, 0), "$what: all have left");
}

# A node from a backup; a standby of $root with streaming => 1.
sub from_backup
{
	my ($name, $root, $backup, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($root, $backup, has_streaming => $opt{streaming} // 0);
	return $node;
}

# A program that the distribution may not have put beside the others.
sub have
{
	my ($program) = @_;

	return -x $primary->config_data('--bindir') . "/$program";
}

# ---------- a backup of a server at work ----------

quota_holds($primary, 2, 'on the primary');
$primary->restart;
ok(-s state_file($primary), 'the primary has a state file');

my $saved = counters($primary);
my @in = map { open_session($primary, 'r_a') } 1, 2;

# As a crash in the middle of writing leaves it.
write_file(state_file($primary) . '.tmp', 'half a file');
$primary->backup('running');

my $backup = $primary->backup_dir . '/running';

ok(-s "$backup/$FILE", 'pg_basebackup takes the file along');
SKIP:
{
	skip 'no pg_verifybackup', 1 unless have('pg_verifybackup');
	$primary->command_ok([ 'pg_verifybackup', $backup ], 'pg_verifybackup agrees with the backup');
}

my $copy = from_backup('copy', $primary, 'running');

$copy->start;
quota_holds($copy, 2, 'a server from the backup, from its first login on');

my @saved = split /\|/, $saved;
my @now = split /\|/, counters($copy);

is($now[0], '0', 'the sessions of the primary are not counted there');
is($now[1], $saved[1] + 2, 'counters are those in the file');
is($now[5], $saved[5], 'first_seen, too');
unlike(log_since($copy), $COMPLAINT, 'nothing is complained about');
stop_clean($copy);
ok(!-e state_file($copy) . '.tmp', 'what a crash left is gone with the next writing');

# An administrator may leave the file out.
my $without = from_backup('without', $primary, 'running');

unlink state_file($without), state_file($without) . '.tmp';
$without->start;
wait_sync($without);
quota_holds($without, 2, 'from a backup without the file');
is((split /\|/, counters($without))[1], '2', 'counters start at zero');
unlike(log_since($without), $COMPLAINT, 'nothing is complained about');
stop_clean($without);
close_all(@in);

# ---------- a backup of a standby ----------

my $standby = from_backup('standby', $primary, 'running', streaming => 1);

$standby->start;
$primary->wait_for_catchup($standby);
quota_holds($standby, 2, 'a standby from the backup');
$standby->restart;
$standby->backup('standby');
SKIP:
{
	skip 'no pg_verifybackup', 1 unless have('pg_verifybackup');
	$standby->command_ok([ 'pg_verifybackup', $standby->backup_dir . '/standby' ],
		'pg_verifybackup agrees with a backup of a standby');
}

my $cascade = from_backup('cascade', $standby, 'standby', streaming => 1);

$cascade->start;
$primary->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 3)");
$primary->wait_for_catchup($standby);
$standby->wait_for_catchup($cascade, 'replay', $standby->lsn('replay'));
wait_sync($cascade);
quota_holds($cascade, 3, 'a standby of the standby follows');
unlike(log_since($cascade), $COMPLAINT, 'nothing is complained about');
stop_clean($cascade);

# ---------- before the end of the backup is reached ----------

# Only what was written up to the checkpoint of the backup is there to be replayed, so
# recovery goes on and is not consistent until the rest comes.
$primary->backup('torn', backup_options => [ '--wal-method', 'none' ]);

my $torn = from_backup('torn', $primary, 'torn');
my $label = slurp_file($torn->data_dir . '/backup_label');
my ($segment_name) = $label =~ /START WAL LOCATION: .* \(file (\w+)\)/;
my ($checkpoint) = $label =~ m{CHECKPOINT LOCATION: \w+/(\w+)};
my $segment = slurp_file($primary->data_dir . "/pg_wal/$segment_name");
my $at = hex($checkpoint) % length($segment);
# A record begins with its length; the next one, aligned to 8, is the backup's end.
my $end = ($at + unpack('L', substr($segment, $at, 4)) + 7) & ~7;

write_file($torn->data_dir . "/pg_wal/$segment_name",
	substr($segment, 0, $end) . "\0" x (length($segment) - $end));
$torn->set_standby_mode;

{
	# pg_ctl would wait for consistency.
	local $ENV{PGCTLTIMEOUT} = 1;

	is($torn->start(fail_ok => 1), 0, 'a server before the end of its backup is not ready');
}
ok(wait_until(sub {
			my (undef, undef, $err) = psql_as($torn, $superuser, 'SELECT 1');

			return $err =~ /not yet accepting connections|starting up/;
		}), 'it lets nobody in');
unlike(log_since($torn), qr/ERROR|PANIC|keeper|sampler|without policies/,
	'nothing of ours runs or complains there');
# Core looks again every five seconds.
write_file($torn->data_dir . "/pg_wal/$segment_name", $segment);
# Until then psql is refused, maybe before it has been given its statement, which dies.
ok(wait_until(sub {
			(eval { $torn->safe_psql('postgres', q{
				SELECT sampler_pid IS NOT NULL AND samples > 3 FROM pool_stats_cluster}) } // '')
			  eq 't'
		}),
	'with the rest of the WAL it is consistent, and the sampler starts by itself');
quota_holds($torn, 3, 'then');
stop_clean($torn);

# ---------- pg_rewind ----------

$primary->safe_psql('postgres', 'INSERT INTO t VALUES (1)');
$primary->wait_for_catchup($standby);
$standby->promote;
$standby->safe_psql('postgres',
	"INSERT INTO t VALUES (2); SELECT pool_set_quota('$A', max_connections => 1)");
# The old primary goes its own way, in the policies, too.
$primary->safe_psql('postgres',
	"INSERT INTO t VALUES (3); SELECT pool_set_quota('$A', max_connections => 9); CHECKPOINT");
$primary->stop;
ok(-s state_file($primary), 'the old primary has a state file');
write_file(state_file($_) . '.tmp', 'half a file') foreach $primary, $standby;
ok(-s state_file($standby), 'the new one, too');
$standby->safe_psql('postgres', 'CHECKPOINT');

my $conf = $primary->data_dir . '/postgresql.conf';
my $kept_conf = slurp_file($conf);

$primary->command_ok([
		'pg_rewind', '--target-pgdata', $primary->data_dir, '--source-server',
		$standby->connstr('postgres'), '--no-sync' ],
	'pg_rewind works with a state file and a temporary one on both sides');
# It copies the settings of the source, too.
write_file($conf, $kept_conf);
$primary->enable_streaming($standby);

my $offset = -s $primary->logfile;

$primary->start;
$standby->wait_for_catchup($primary);
wait_sync($primary);
is($primary->safe_psql('postgres', 'SELECT string_agg(a::text, \',\' ORDER BY a) FROM t'), '1,2',
	'the old primary follows the new one');
quota_holds($primary, 1, 'the old primary');
$standby->safe_psql('postgres', "SELECT pool_set_quota('$A', max_connections => 2)");
$standby->wait_for_catchup($primary);
wait_sync($primary);
quota_holds($primary, 2, 'a policy set on the new primary');
unlike(log_since($primary, $offset), $COMPLAINT, 'nothing is complained about');
stop_clean($primary);

# ---------- tools for a server that is stopped ----------

my $node = $standby;

quota_holds($node, 2, 'the new primary');
$node->stop;
unlink state_file($node) . '.tmp';

my $data = $node->data_dir;
my $contents = slurp_file(state_file($node));

# Checksums are on by default from 18 on.
my ($control) = run_command([ 'pg_controldata', $data ]);
my @calls = $control =~ /Data page checksum version:\s+0/
  ? ('--enable', '--check', '--disable')
  : ('--check', '--disable', '--enable');

$node->command_ok([ 'pg_checksums', $_, '--pgdata', $data ], "pg_checksums $_") foreach @calls;
$node->command_ok([ 'pg_resetwal', '--pgdata', $data ], 'pg_resetwal');
foreach my $setting (qw(pool_optimizer.mode shared_memory_size shared_preload_libraries))
{
	$node->command_like([ 'postgres', '-D', $data, '-C', $setting ], qr/^\w+$/m,
		"postgres -C $setting");
}
is(slurp_file(state_file($node)), $contents, 'none of them has touched the file');
$node->start;
quota_holds($node, 2, 'after them');
my $before = counters($node);
$node->stop;

# ---------- single-user mode ----------

# Runs statements, each in a line, without a postmaster; returns exit code and output.
sub single_user
{
	my ($dir, @sql) = @_;
	my $input = join('', map { "$_\n" } @sql);
	my $output = '';

	IPC::Run::run([ 'postgres', '--single', '-D', $dir, 'postgres' ], '<', \$input,
		'>&', \$output);
	return ($? >> 8, $output);
}

my ($rc, $output) = single_user($data,
	"SELECT 'limit ' || max_connections FROM pool_stats WHERE tenant = '$A'",
	"SELECT 'sessions ' || count(*) FROM pool_stats_session",
	"SELECT 'sampler ' || (sampler_pid IS NULL) FROM pool_stats_cluster",
	"SELECT pool_set_quota('$A', max_connections => 1)",
	"SELECT 'limit ' || max_connections FROM pool_stats WHERE tenant = '$A'");

is($rc, 0, 'single-user mode ends well');
unlike($output, qr/ERROR|FATAL|PANIC|WARNING/, 'and without a complaint') or diag($output);
like($output, qr/"limit 2".*"sessions 0".*"sampler true".*"limit 1"/s,
	'policies can be looked at and changed there');
$node->start;
is(counters($node), $before, 'counters are as they were before');
quota_holds($node, 1, 'a policy set in single-user mode');

# Someone who locked himself out has this way back.
$node->safe_psql('postgres', q{SELECT pool_set_quota('*', max_connections => 0)});
$node->stop;
($rc, $output) = single_user($data, 'DROP EXTENSION pool_optimizer');
is($rc, 0, 'single-user mode drops the extension');
unlike($output, qr/ERROR|FATAL|PANIC/, 'without a complaint') or diag($output);
$offset = -s $node->logfile;
$node->start;
ok(wait_until(sub { log_since($node, $offset) =~ /works without policies/ }),
	'the next start has read that there are no policies');
is(refused($node, 'r_b'), '', 'nobody is refused');
stop_clean($node);

# ---------- initdb ----------

SKIP:
{
	my $new = PostgreSQL::Test::Utils::tempdir() . '/new';
	my ($help) = run_command([ 'initdb', '--help' ]);

	skip 'initdb has no option -c', 3 unless $help =~ /^\s*-c,/m;
	command_ok([
			'initdb', '--no-sync', '-A', 'trust', '-D', $new, '-c',
			'shared_preload_libraries=pool_optimizer', '-c', 'pool_optimizer.mode=enforce' ],
		'initdb with the library preloaded');
	($rc, $output) = single_user($new, 'CREATE EXTENSION pool_optimizer',
		q{SELECT 'mode ' || mode FROM pool_stats_cluster});
	is($rc, 0, 'what it made starts');
	like($output, qr/"mode enforce"/, 'with the library') or diag($output);
}

done_testing();
