# Whoever drops, copies, renames or moves the policy database, or drops the extension
# and creates it again, is not kept waiting by the keeper and breaks nothing: what is
# in force stays so until there is something else to read, last_error says what is
# missing, sessions and logins go on, and whatever comes back is found without help.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use List::Util qw(max sum);
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# How often the keeper gets a chance to be in the way, in all.
my $n_tries = $ENV{PO_DDL_TRIES} // 50;

sub share
{
	my ($part) = @_;

	return max(1, int($n_tries * $part));
}

my $node = new_node('pool_optimizer.database' => "'policies'",
	allow_in_place_tablespaces => 'on', -extension => 0);
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
my $A = 'regress_pool_a@postgres';
my $B = 'regress_pool_b@postgres';

# Everything is looked at from database postgres; the policy database has no session
# but those that are named.
create_roles($node, 'regress_pool_a', 'regress_pool_b', 'regress_pool_c');
$node->safe_psql('postgres', 'CREATE ROLE regress_pool_owner LOGIN CREATEDB');
$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');
$node->safe_psql('postgres', 'CREATE DATABASE policies OWNER regress_pool_owner');
my $admin = open_session($node, $superuser);

sub run
{
	my ($session, @sql) = @_;

	for my $sql (@sql)
	{
		$session->query($sql) // die "\"$sql\" failed: " . $session->error_text;
	}
	return;
}

# In the policy database, and out of it again: wait_closed waits for the process.
sub in_policies
{
	my (@sql) = @_;
	my $session = open_session($node, $superuser, dbname => 'policies');

	run($session, @sql);
	$session->close_and_wait;
	return;
}

sub set_good_policies
{
	return ("SELECT pool_set_quota('$A', max_connections => 1)",
		"SELECT pool_set_quota('$B', max_connections => 7)");
}

sub last_error
{
	return $admin->value('SELECT last_error FROM pool_stats_cluster') // '';
}

sub limit_of
{
	my ($tenant) = @_;

	return $admin->value("SELECT max_connections FROM pool_stats WHERE tenant = '$tenant'");
}

sub sync
{
	my $done = $admin->value("SELECT pool_sync('${PoolTest::TIMEOUT}s')");

	die 'the keeper could not read' unless $done eq 't';
	return;
}

# A reload ends the pause after a failure.
sub reload
{
	$admin->value('SELECT pg_reload_conf()');
	return;
}

# A holds its only session all the time.
sub good_are_in_force
{
	my ($what) = @_;

	is(join(' ', limit_of($A), limit_of($B), refused_sqlstate($node, 'regress_pool_a')),
		'1 7 53300', "$what: the quotas are in force");
	return;
}

sub is_told
{
	my ($pattern, $what) = @_;

	$admin->value(q{SELECT pool_sync('0')});
	return ok(wait_until(sub { last_error() =~ $pattern }, $what), $what);
}

in_policies('CREATE EXTENSION pool_optimizer', set_good_policies());
sync();
my $held = open_session($node, 'regress_pool_a');
my $held_b = open_session($node, 'regress_pool_b');
ok($held->is_admitted, 'the first session is admitted');
good_are_in_force('at first');

# ---------- commands that need the database for themselves ----------

# Keeps keepers coming, one after the other, which is as bad as it can get.
my $syncer = open_session($node, $superuser);

sub keep_keepers_busy
{
	$syncer->update;
	if ($syncer->is_alive && $syncer->{state} eq 'ready')
	{
		$syncer->send_query("SELECT pool_sync('1h') FROM generate_series(1, 1000)");
	}
	return;
}

# Runs it again and again right after a change of policies that only a keeper can put
# in force, as the session that commits has rolled back to a savepoint before.
sub try_often
{
	my ($what, $n, @commands) = @_;
	my (@seconds, @failures);

	for my $i (1 .. $n)
	{
		in_policies('BEGIN', "SELECT pool_set_quota('$B', max_connections => 7, weight => $i)",
			'SAVEPOINT s', "SELECT pool_set_quota('$B', max_connections => 8)",
			'ROLLBACK TO s', 'COMMIT');
		keep_keepers_busy();
		for my $command (@commands)
		{
			my $start = time();		# for the note only

			# Core gives up after 5 s with "is being accessed by other users".
			push @failures, $admin->error_text unless defined $admin->query($command);
			push @seconds, time() - $start;
		}
	}
	is("@failures", '', "$what: $n of $n succeeded while keepers came and went");
	note(sprintf '%s: mean %.0f ms, longest %.0f ms, %d of %d longer than 100 ms', $what,
		1000 * sum(@seconds) / @seconds, 1000 * max(@seconds), scalar(grep { $_ > 0.1 } @seconds),
		scalar @seconds);
	return;
}

my $generation = $admin->value('SELECT policy_generation FROM pool_stats_cluster');
run($admin, q{CREATE TABLESPACE regress_pool_space LOCATION ''});
try_often('CREATE DATABASE ... TEMPLATE, DROP DATABASE', share(0.2),
	'CREATE DATABASE copy TEMPLATE policies', 'DROP DATABASE copy');
try_often('ALTER DATABASE ... RENAME', share(0.44),
	'ALTER DATABASE policies RENAME TO renamed', 'ALTER DATABASE renamed RENAME TO policies');
try_often('ALTER DATABASE ... SET TABLESPACE', share(0.04),
	'ALTER DATABASE policies SET TABLESPACE regress_pool_space',
	'ALTER DATABASE policies SET TABLESPACE pg_default');
# What is dropped is the policy database itself, and a copy takes its place.
run($admin, 'CREATE DATABASE spare TEMPLATE policies');
try_often('DROP DATABASE', share(0.16),
	'DROP DATABASE policies', 'CREATE DATABASE policies TEMPLATE spare');
try_often('DROP DATABASE ... WITH (FORCE)', share(0.16),
	'DROP DATABASE policies WITH (FORCE)', 'CREATE DATABASE policies TEMPLATE spare');
run($admin, 'DROP DATABASE spare');
run($admin, "SELECT pg_cancel_backend(@{[ $syncer->pid ]})");
$syncer->result;
reload();
sync();
is(last_error(), '', 'after all that nothing is wrong');
cmp_ok($admin->value('SELECT policy_generation FROM pool_stats_cluster'), '>', $generation,
	'keepers have been at work all the time');
good_are_in_force('after all that');

# ---------- a keeper caught in the act ----------

# Leaves a keeper in the policy database that does not go on; returns its pid.
sub stopped_keeper
{
	my $locker = open_session($node, $superuser, dbname => 'policies');
	my $keeper = '';

	run($locker, 'BEGIN', 'LOCK TABLE pool_policies IN ACCESS EXCLUSIVE MODE');
	ok(wait_until(sub {
				$admin->value(q{SELECT pool_sync('0')});
				$keeper = $admin->value(q{SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
					WHERE backend_type = 'pool_optimizer keeper' AND NOT granted}) // '';
				return $keeper ne '' && kill 'STOP', $keeper;
			}), 'a keeper is stopped while it waits for the table');
	$locker->close_and_wait;
	return $keeper;
}

# Whether the command gets through although the keeper was there when it began.
sub gets_past_keeper
{
	my ($session, $command) = @_;
	my $keeper = stopped_keeper();
	my $is_at_work = sprintf q{SELECT count(*) FROM pg_stat_activity
		WHERE pid = %d AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Lock'},
	  $session->pid;

	$session->send_query($command);
	wait_until(sub {
			$session->update;
			return $session->{state} ne 'busy' || $admin->value($is_at_work) eq '1';
		}, 'the command to begin');
	kill 'CONT', $keeper;
	return ok(defined $session->result, "$command succeeds although a keeper was there")
	  || diag($session->error_text);
}

# Nobody needs to be superuser to get rid of our worker.
my $owner = open_session($node, 'regress_pool_owner');

run($admin, 'ALTER DATABASE policies OWNER TO regress_pool_owner',
	# For FORCE core demands this where it meets any worker, autovacuum's too.
	'GRANT pg_signal_backend TO regress_pool_owner');
gets_past_keeper($owner, 'CREATE DATABASE copy TEMPLATE policies');
gets_past_keeper($owner, 'ALTER DATABASE policies RENAME TO renamed');
run($owner, 'ALTER DATABASE renamed RENAME TO policies');
reload();
sync();
good_are_in_force('after the copy and the new name');
gets_past_keeper($owner, 'DROP DATABASE policies WITH (FORCE)');
$owner->close_and_wait;

# ---------- the database is gone ----------

is_told(qr/^keeper: database "policies" does not exist/, 'without the database: it is told');
good_are_in_force('without the database');
is($admin->query("SELECT pool_set_quota('$B', 9)"), undef,
	'without the database: nothing can be changed');
is($admin->sqlstate, '55000', 'with the SQLSTATE of the wrong database');
# No reload: it is found when the pause is over.
run($admin, 'ALTER DATABASE copy RENAME TO policies');
ok(wait_until(sub { last_error() eq '' }), 'a copy in its place is read without help');
good_are_in_force('with the copy');

run($admin, 'ALTER DATABASE policies RENAME TO moved');
is_told(qr/^keeper: database "policies" does not exist/, 'renamed: it is told');
good_are_in_force('renamed');
run($admin, q{ALTER SYSTEM SET pool_optimizer.database = 'moved'});
reload();
ok(wait_until(sub { last_error() eq '' }), 'with the new name in the setting it is read');
good_are_in_force('with the new name');
my $moved = open_session($node, $superuser, dbname => 'moved');
run($moved, "SELECT pool_set_quota('$B', max_connections => 9)");
is(limit_of($B), '9', 'and policies can be changed there');
run($moved, "SELECT pool_set_quota('$B', max_connections => 7)");
$moved->close_and_wait;
run($admin, 'ALTER DATABASE moved RENAME TO policies',
	'ALTER SYSTEM RESET pool_optimizer.database');
reload();
sync();

run($admin, 'ALTER DATABASE policies ALLOW_CONNECTIONS false');
is_told(qr/^keeper: database "policies" is not currently accepting connections/,
	'no connections allowed: it is told');
good_are_in_force('no connections allowed');
run($admin, 'ALTER DATABASE policies ALLOW_CONNECTIONS true');
reload();
sync();
is(last_error(), '', 'allowed again, nothing is wrong');

# Only a database that could be read and has no extension means: no policies.
run($admin, 'DROP DATABASE policies', 'CREATE DATABASE policies');
is_told(qr/^extension pool_optimizer is not in database "policies"/,
	'an empty database in its place: it is told');
is(join(' ', limit_of($A), limit_of($B)), '-1 -1', 'and has no policies');
in_policies('CREATE EXTENSION pool_optimizer', set_good_policies());
good_are_in_force('set again');
sync();
is(last_error(), '', 'and nothing is wrong');

# ---------- the extension is dropped and created again ----------

my $old = open_session($node, $superuser, dbname => 'policies');
my $ddl = open_session($node, $superuser, dbname => 'policies');
my @looks = ('EXECUTE stats', 'EXECUTE change', 'SELECT count(*) FROM pool_stats_session',
	'SELECT count(*) FROM pool_policies',
	q{SELECT health FROM pool_stats_cluster}, 'EXECUTE explain');

run($old, 'SET search_path = public, regress_pool_schema',
	"PREPARE stats AS SELECT max_connections FROM pool_stats WHERE tenant = '$B'",
	"PREPARE change AS SELECT (pool_set_quota('$B', max_connections => 7)).tenant",
	"PREPARE explain AS SELECT * FROM pool_explain_admission('postgres', 'regress_pool_b')",
	@looks);
run($ddl, 'SET search_path = public, regress_pool_schema', 'CREATE SCHEMA regress_pool_schema',
	'CREATE SCHEMA regress_pool_other');

# B may have 7 sessions and has one.
sub storm
{
	my ($role, $n) = @_;

	return map { start_login($node, $role) } 1 .. $n;
}

sub admitted_of
{
	my @sessions = @_;

	$_->wait_login for @sessions;
	my @in = grep { $_->is_admitted } @sessions;
	my @wrong = grep { !$_->is_admitted && $_->sqlstate ne '53300' } @sessions;

	is(scalar @wrong, 0, 'whoever was not admitted was refused by a quota')
	  || diag($wrong[0]->error_text);
	close_all(@in);
	wait_sessions($node, $B, 1);
	return scalar @in;
}

# Runs statements in one transaction, whose end a keeper waits for, under logins.
sub while_keeper_waits
{
	my ($what, @sql) = @_;
	my $keeps_policies = @sql > 1;

	run($ddl, 'BEGIN', @sql);
	# The table that there was, which only this transaction sees no more.
	my $syncing = open_session($node, $superuser);
	$syncing->send_query(q{SELECT pool_sync('1h')});
	ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pg_locks
				JOIN pg_stat_activity USING (pid)
				WHERE backend_type = 'pool_optimizer keeper' AND NOT granted}) eq '1' }),
		"$what: a keeper waits for it");
	my @logins = (storm('regress_pool_b', 10), storm('regress_pool_a', 3));
	run($ddl, 'COMMIT');
	push @logins, storm('regress_pool_b', 10);
	my $n = admitted_of(@logins);

	is($n, 6, "$what: the quotas have held for each login") if $keeps_policies;
	ok($syncing->result, "$what: a keeper has read what is there now");
	$syncing->close_and_wait;
	return;
}

while_keeper_waits('dropped and created in one transaction', 'DROP EXTENSION pool_optimizer',
	'CREATE EXTENSION pool_optimizer', set_good_policies());
is(last_error(), '', 'nothing is wrong');
good_are_in_force('created again');
run($old, @looks);
pass('a session that was there before works with the new one');

while_keeper_waits('dropped and created in another schema', 'DROP EXTENSION pool_optimizer',
	'CREATE EXTENSION pool_optimizer SCHEMA regress_pool_schema', set_good_policies());
is(last_error(), '', 'nothing is wrong');
good_are_in_force('created in another schema');
run($old, @looks);
pass('a session that was there before works with that one');

# The table is locked as well, so that a keeper meets the change half-way.
while_keeper_waits('moved to another schema',
	'LOCK TABLE pool_policies IN ACCESS EXCLUSIVE MODE',
	'ALTER EXTENSION pool_optimizer SET SCHEMA regress_pool_other');
is(last_error(), '', 'nothing is wrong');
good_are_in_force('moved to another schema');
run($old, 'SET search_path = regress_pool_other', @looks);
pass('a session that was there before works with the moved one');

# Who reads a table of history meets the change between finding it and having its lock.
sub while_reader_waits
{
	my ($what, $sql, @ddl) = @_;
	my $reader = open_session($node, $superuser, dbname => 'policies');
	my $log = -s $node->logfile;

	run($_, 'SET search_path = public, regress_pool_schema, regress_pool_other')
	  foreach $reader, $ddl;
	run($ddl, 'BEGIN', 'LOCK TABLE pool_history, pool_history_hour IN ACCESS EXCLUSIVE MODE', @ddl);
	$reader->send_query($sql);
	ok(wait_until(sub { $admin->value('SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = '
				  . $reader->pid) eq '1' }), "$what: a reader of history waits for it");
	run($ddl, 'COMMIT');
	ok($reader->result, "$what: the reader gets an answer") || diag($reader->error_text);
	unlike(log_since($node, $log), qr/table "pool_history\w*" is missing/,
		"$what: from the table that is there now");
	$reader->close_and_wait;
	return;
}

my $history = q{SELECT count(*) FROM pool_stats_history('1h')};

while_reader_waits('created in another schema', $history, 'DROP EXTENSION pool_optimizer',
	'CREATE EXTENSION pool_optimizer SCHEMA regress_pool_schema', set_good_policies());
while_reader_waits('moved', $history,
	'ALTER EXTENSION pool_optimizer SET SCHEMA regress_pool_other');

while_keeper_waits('dropped', 'DROP EXTENSION pool_optimizer');
reload();
sync();
like(last_error(), qr/^extension pool_optimizer is not in database "policies"/,
	'dropped: it is told');
is(join(' ', limit_of($A), limit_of($B)), '-1 -1', 'dropped: there are no policies');
is($old->query('EXECUTE stats'), undef, 'dropped: a session that was there before sees nothing');
is($old->sqlstate, '42P01', 'and is told so');
run($ddl, 'CREATE EXTENSION pool_optimizer SCHEMA regress_pool_other',
	'SET search_path = regress_pool_other', set_good_policies());
run($old, @looks);
good_are_in_force('created again after that');
sync();
is(last_error(), '', 'nothing is wrong');

# The same with nothing coordinated, as fast as it goes.  Whoever got in while there
# were no policies may be ended for being surplus when there are some again.
my @logins;
for my $round (1 .. 10)
{
	keep_keepers_busy();
	push @logins, storm('regress_pool_c', 2);
	run($ddl, 'DROP EXTENSION pool_optimizer');
	push @logins, storm('regress_pool_c', 2);
	run($ddl, 'CREATE EXTENSION pool_optimizer SCHEMA regress_pool_other', set_good_policies(),
		q{SELECT pool_set_quota('regress_pool_c@postgres', max_connections => 2)});
}
run($admin, "SELECT pg_cancel_backend(@{[ $syncer->pid ]})");
$syncer->result;
admitted_of(@logins);
ok(wait_sessions($node, 'regress_pool_c@postgres', 0), 'all who came have left');
reload();
sync();
good_are_in_force('dropped and created ten times under load');
is($held->value('SELECT 42') . $held_b->value('SELECT 42'), '4242',
	'sessions that were open all the time have noticed nothing');
run($old, @looks);
is($admin->value('SELECT worker_errors FROM pool_stats_cluster'), '0',
	'and the sampler has met no error');

close_all($held, $held_b, $old, $ddl, $syncer, $admin);
stop_clean($node);
done_testing();
