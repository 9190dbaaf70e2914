# Quotas: who is refused, in which words, in every scope and mode.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IO::Socket::IP;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $has_ipv6 = defined IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
my $node = new_node(
	max_connections => 40,
	listen_addresses => $has_ipv6 ? "'127.0.0.1, ::1'" : "'127.0.0.1'");
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, map { "regress_pool_$_" } qw(a b exempt));
$node->safe_psql('postgres', 'CREATE DATABASE db2');

sub quota
{
	my ($arguments) = @_;

	$node->safe_psql('postgres', "SELECT pool_set_quota($arguments)");
	wait_sync($node);
	return;
}

sub drop_policies
{
	$node->safe_psql('postgres', 'DELETE FROM pool_policies');
	wait_sync($node);
	return;
}

# What pool_explain_admission expects of a login: the outcome that counts is the
# strictest of its rows.  %opt as for a login.
sub explained
{
	my ($role, %opt) = @_;
	my @arguments = ("role => '$role'", "database => '" . ($opt{dbname} // 'postgres') . "'",
		"application => '" . ($opt{application_name} // '') . "'");

	push @arguments, "address => '$opt{host}'" if defined $opt{host};
	return $node->safe_psql('postgres', sprintf(q{
		SELECT CASE WHEN bool_or(outcome = 'reject') THEN 'reject'
			WHEN bool_or(outcome = 'would_reject') THEN 'would_reject' ELSE 'admit' END
		FROM pool_explain_admission(%s)}, join(', ', @arguments)));
}

# A login that must be refused, and explained so before.
sub is_refused
{
	my ($what, $message, $role, %opt) = @_;
	my $text;

	is(explained($role, %opt), 'reject', "$what: explained as reject");
	$text = refused($node, $role, %opt);
	like($text, qr/^FATAL:  53300: $message$/m, "$what: refused with 53300");
	like($text, qr/^DETAIL:  .*\d/m, "$what: the detail has the numbers");
	like($text, qr/^HINT:  ./m, "$what: the hint says what to do");
	return $text;
}

# Returns the session.
sub is_admitted
{
	my ($what, $role, %opt) = @_;
	my $session;

	is(explained($role, %opt), 'admit', "$what: explained as admit");
	$session = open_session($node, $role, %opt);
	ok($session->is_admitted, "$what: admitted") or diag($session->error_text);
	return $session;
}

# ---------- scope tenant: the words of a refusal ----------

quota(q{'regress_pool_a@postgres', max_connections => 2});
my @held = map { is_admitted("tenant, session $_ of 2", 'regress_pool_a') } 1, 2;
my $log_start = -s $node->logfile;
my $text = is_refused('tenant', 'too many connections for tenant "regress_pool_a@postgres"',
	'regress_pool_a');

like($text, qr/^DETAIL:  2 of 2 connections are in use\.$/m, 'count and limit in the detail');
like($text, qr/^HINT:  .*retry.*pool_set_quota/m, 'retry and pool_set_quota in the hint');
like(log_since($node, $log_start), qr/FATAL:  too many connections for tenant/,
	'the refusal is in the log');
my ($rc, undef, $err) = psql_as($node, 'regress_pool_a', 'SELECT 1');
is($rc, 2, 'psql cannot connect either');
like($err, qr/FATAL:  too many connections for tenant.*\nDETAIL:.*\nHINT:/,
	'and shows message, detail and hint');
is(stat_of($node, 'regress_pool_a@postgres', 'sessions'), '2', 'refused logins hold nothing');
is(stat_of($node, 'regress_pool_a@postgres', 'rejected'), '2', 'both refusals are counted');
is(stat_of($node, 'regress_pool_a@postgres', 'utilization'), '1', 'the quota is used up');
like(stat_of($node, 'regress_pool_a@postgres', 'last_error'), qr/too many connections/,
	'last_error has it');
is($node->safe_psql('postgres', q{
	SELECT count(*), min(detail->>'used'), min(detail->>'limit'), min(detail->>'rule')
	FROM pool_events WHERE kind = 'reject' AND tenant = 'regress_pool_a@postgres'}),
	'2|2|2|tenant', 'one event each, with the evidence');
close_all(is_admitted('another role in the same database', 'regress_pool_b'),
	is_admitted('the same role in another database', 'regress_pool_a', dbname => 'db2'));
close_all(shift @held);
push @held, is_admitted('a place that became free', 'regress_pool_a');
close_all(@held);
drop_policies();

# ---------- the other scopes ----------

quota(q{'postgres', max_connections => 2, scope => 'database'});
@held = (is_admitted('database, first role', 'regress_pool_a'),
	is_admitted('database, second role', 'regress_pool_b'));
is_refused('database', 'too many connections for database "postgres"', 'regress_pool_b');
push @held, is_admitted('database: another one', 'regress_pool_b', dbname => 'db2');
close_all(@held);
drop_policies();

quota(q{'regress_pool_a', max_connections => 2, scope => 'role'});
@held = (is_admitted('role, first database', 'regress_pool_a'),
	is_admitted('role, second database', 'regress_pool_a', dbname => 'db2'));
is_refused('role', 'too many connections for role "regress_pool_a"', 'regress_pool_a',
	dbname => 'db2');
push @held, is_admitted('role: another one', 'regress_pool_b');
close_all(@held);
drop_policies();

quota(q{'report*', max_connections => 1, scope => 'application'});
@held = (is_admitted('application', 'regress_pool_a', application_name => 'report1'));
is_refused('application', 'too many connections for application "report1"', 'regress_pool_b',
	application_name => 'report1');
push @held, is_admitted('application: a pattern holds for each name by itself',
	'regress_pool_b', application_name => 'report2');
push @held, is_admitted('application: another one', 'regress_pool_b',
	application_name => 'web');
close_all(@held);
drop_policies();

quota(q{'127.0.0.0/8', max_connections => 1, scope => 'address'});
@held = (is_admitted('address', 'regress_pool_a', host => '127.0.0.1'));
is_refused('address', 'too many connections from address 127\.0\.0\.1', 'regress_pool_b',
	host => '127.0.0.1');
push @held, is_admitted('address: a Unix-domain socket', 'regress_pool_b');
# The CIDR goes while it is counted, and a narrower one comes.
drop_policies();
push @held, is_admitted('address: no limit any more', 'regress_pool_b', host => '127.0.0.1');
quota(q{'127.0.0.1', max_connections => 2, scope => 'address'});
is_refused('address: those open are counted anew',
	'too many connections from address 127\.0\.0\.1', 'regress_pool_b', host => '127.0.0.1');
close_all(@held);
drop_policies();

SKIP:
{
	skip 'no IPv6 here', 8 unless $has_ipv6;
	quota(q{'::/120', max_connections => 1, scope => 'address'});
	@held = (is_admitted('IPv6', 'regress_pool_a', host => '::1'));
	is_refused('IPv6', 'too many connections from address ::1', 'regress_pool_b', host => '::1');
	push @held, is_admitted('IPv6: an address of IPv4', 'regress_pool_b', host => '127.0.0.1');
	close_all(@held);
	drop_policies();
}

quota(q{'*', max_connections => 2, scope => 'cluster'});
@held = (is_admitted('cluster, first', 'regress_pool_a'),
	is_admitted('cluster, second', 'regress_pool_b', dbname => 'db2'));
is_refused('cluster', 'sorry, too many clients already', 'regress_pool_a');
close_all(@held);
drop_policies();

# All or none: a login that one scope refuses takes nothing in another.
quota(q{'regress_pool_a', max_connections => 1, scope => 'role'});
quota(q{'postgres', max_connections => 2, scope => 'database'});
@held = (is_admitted('two scopes', 'regress_pool_a'));
is_refused('two scopes', 'too many connections for role "regress_pool_a"', 'regress_pool_a')
  for 1 .. 3;
push @held, is_admitted('two scopes: the other one has lost no place', 'regress_pool_b');
close_all(@held);
drop_policies();

# ---------- max_connections 0, and no limit ----------

quota(q{'regress_pool_a@*', max_connections => 0});
$text = is_refused('quota 0', 'too many connections for tenant "regress_pool_a@db2"',
	'regress_pool_a', dbname => 'db2');
like($text, qr/^HINT:  .*quota is 0/m, 'quota 0: no hint to retry');
quota(q{'regress_pool_a@db2', max_connections => -1});
close_all(is_admitted('an exact name overrules the pattern', 'regress_pool_a',
		dbname => 'db2'));
drop_policies();

# ---------- exempt ----------

quota(q{'*', max_connections => 0, scope => 'cluster'});
quota(q{'*', max_connections => 0});
$node->append_conf('postgresql.conf', q{pool_optimizer.exempt_roles = 'regress_pool_exempt'});
$node->reload;
ok(wait_until(sub { refused($node, 'regress_pool_exempt') eq '' }, 'the reload'),
	'an exempt role gets in');
@held = (is_admitted('exempt role', 'regress_pool_exempt'),
	is_admitted('superuser', $superuser));
is_refused('everybody else', 'too many connections for tenant "regress_pool_a@postgres"',
	'regress_pool_a');
is($node->safe_psql('postgres', q{SELECT sessions, exempt_sessions, utilization
	FROM pool_stats WHERE tenant = 'regress_pool_exempt@postgres'}), '1|1|0',
	'an exempt session is seen, but not counted against a quota');
close_all(@held);
drop_policies();

# ---------- modes ----------

quota(q{'regress_pool_a@postgres', max_connections => 1, mode => 'observe'});
@held = (is_admitted('observe', 'regress_pool_a'));
my $before = stat_of($node, 'regress_pool_a@postgres', 'would_reject');
$log_start = -s $node->logfile;
is(explained('regress_pool_a'), 'would_reject', 'observe: explained as would_reject');
push @held, open_session($node, 'regress_pool_a');
ok($held[1]->is_admitted, 'observe: admitted over the quota');
is(stat_of($node, 'regress_pool_a@postgres', 'would_reject'), $before + 1,
	'observe: counted');
like(log_since($node, $log_start),
	qr/LOG:  pool_optimizer would refuse this login: too many connections/, 'observe: logged');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pool_events WHERE kind = 'would_reject'}), '1', 'observe: an event');
# Now the quota falls below what is open: in mode observe that is told only.
quota(q{'regress_pool_a@postgres', max_connections => 0});
ok($node->poll_query_until('postgres', q{
	SELECT would_terminate = 2 FROM pool_stats WHERE tenant = 'regress_pool_a@postgres'}),
	'observe: surplus sessions are told');
ok($held[0]->is_alive && $held[1]->is_alive, 'observe: nobody is ended');

quota(q{'regress_pool_a@postgres', mode => 'off'});
push @held, is_admitted('off', 'regress_pool_a');
is(stat_of($node, 'regress_pool_a@postgres', 'would_reject'), $before + 1,
	'off: nothing is counted');
close_all(@held);
quota(q{'regress_pool_a@postgres', max_connections => 1, mode => 'enforce'});
@held = (is_admitted('enforce', 'regress_pool_a'));
is_refused('enforce', 'too many connections for tenant "regress_pool_a@postgres"',
	'regress_pool_a');

# The setting is the lower of the two.
$node->append_conf('postgresql.conf', q{pool_optimizer.mode = 'observe'});
$node->reload;
ok(wait_until(sub { explained('regress_pool_a') eq 'would_reject' }, 'the reload'),
	'the setting observe lowers a policy that says enforce');
push @held, open_session($node, 'regress_pool_a');
ok($held[1]->is_admitted, 'and the login gets in');
close_all(@held);
$node->append_conf('postgresql.conf', q{pool_optimizer.mode = 'enforce'});
$node->reload;
ok(wait_until(sub { cluster_stat($node, 'mode') eq 'enforce' }), 'enforce again');
drop_policies();

# Of two rules the one that only observes takes nothing from the other: 3 are too many for it,
# 2 for the one that is enforced, and those idle for longest are the same.
quota(q{'regress_pool_a@db2', max_connections => 3, mode => 'observe'});
@held = map { open_session($node, 'regress_pool_a', dbname => 'db2') } 1 .. 6;
$_->value('SELECT 1') foreach @held;
quota(q{'db2', max_connections => 4, scope => 'database'});
ok(wait_until(sub { 4 == grep { $_->is_alive } @held }, 'the end of the surplus'),
	'what is enforced ends its surplus beside a rule that observes');
ok(!$held[0]->is_alive && !$held[1]->is_alive, 'those idle for longest');
close_all(grep { $_->is_alive } @held);
drop_policies();

# While the last of many are judged, the first of them are gone already.
@held = map { open_session($node, 'regress_pool_a', dbname => 'db2') } 1 .. 30;
quota(q{'db2', max_connections => 8, scope => 'database'});
ok(wait_until(sub { 8 >= grep { $_->is_alive } @held }, 'the end of the surplus'),
	'the surplus of a database ends');
my $watching = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));

wait_samples($watching, 20);
is(scalar(grep { $_->is_alive } @held), 8, 'and not one more');
close_all(grep { $_->is_alive } @held);
drop_policies();

# ---------- a lowered quota ----------

my ($oldest, $middle, $newest, $busy) = map { open_session($node, 'regress_pool_a') } 1 .. 4;

# Who was idle for longest is made by statements, not by the order of the logins.
$_->value('SELECT 1') for $middle, $oldest, $newest;
$busy->value('BEGIN; SELECT 1');
quota(q{'regress_pool_a@postgres', max_connections => 2});
ok(wait_sessions($node, 'regress_pool_a@postgres', 2), 'a lowered quota ends the surplus');
ok(!$middle->is_alive && !$oldest->is_alive, 'those idle for longest are ended');
ok($newest->is_alive, 'the one idle for less is not');
ok($busy->is_alive, 'nor the one in a transaction');
like($middle->error_text, qr/^FATAL:  57P01: /, 'an ended session is told as by core');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pool_events WHERE kind = 'terminate'
	AND tenant = 'regress_pool_a@postgres' AND reason ~ 'max_connections of 2'}), '2',
	'with an event each that names the quota');

# Two statements run; the quota of 1 must leave both until one is idle.
$newest->value('BEGIN; SELECT 1');
quota(q{'regress_pool_a@postgres', max_connections => 1});
my $sampled = cluster_stat($node, 'samples');
ok($node->poll_query_until('postgres',
		"SELECT samples > $sampled + 20 FROM pool_stats_cluster"),
	'the sampler has looked many times');
ok($newest->is_alive && $busy->is_alive, 'busy sessions are left alone');
is($busy->value('SELECT 42'), '42', 'and work on');
$busy->query('COMMIT');
ok(wait_until(sub { !$busy->is_alive }, 'the end of the idle one'),
	'the first that is idle goes');
is($newest->value('SELECT 43'), '43', 'the other one is within the quota');
close_all($newest);
drop_policies();

# ---------- the tenant's template ----------

sub template
{
	my ($template) = @_;

	$node->append_conf('postgresql.conf', "pool_optimizer.tenant = '$template'");
	$node->reload;
	wait_until(sub { $node->safe_psql('postgres', 'SHOW pool_optimizer.tenant') eq $template },
		"the template $template");
	return;
}

sub tenant_of
{
	my (%opt) = @_;
	my $session = open_session($node, 'regress_pool_a', %opt);
	my $tenant = $node->safe_psql('postgres',
		'SELECT tenant FROM pool_stats_session WHERE pid = ' . $session->pid);

	close_all($session);
	return $tenant;
}

my $old = open_session($node, 'regress_pool_a');

template('100%%:%L/%a/%h');
is(tenant_of(), '100%:[unknown]/[unknown]/[local]', 'empty parts, a socket, and %%');
is(tenant_of(host => '127.0.0.1', application_name => 'web',
		options => '-c pool_optimizer.label=acme'),
	'100%:acme/web/127.0.0.1', 'label, application and address');
SKIP:
{
	skip 'no IPv6 here', 1 unless $has_ipv6;
	is(tenant_of(host => '::1'), '100%:[unknown]/[unknown]/::1', 'an address of IPv6');
}
template('%L');
is(tenant_of(options => '--pool_optimizer.label=acme'), 'acme', 'a label by --name=value');
is(tenant_of(options => '-cpool_optimizer.label=acme'), 'acme', 'a label by -cname=value');
is(tenant_of(options => '-c geqo=off -c pool_optimizer.label=ac\\ me -c work_mem=1MB'),
	'ac me', 'a label with a blank, among other options');
is(tenant_of(startup => { 'pool_optimizer.label' => 'acme' }), 'acme',
	'a label as a startup parameter');
is(tenant_of(options => '-c pool_optimizer.label=one -c pool_optimizer.label=two'), 'two',
	'the last one wins, as for any setting');
# In the startup packet names and values come in turn.
is(tenant_of(options => '-c pool_optimizer.label=acme',
		startup => { application_name => 'pool_optimizer.label',
			client_encoding => 'UTF8' }),
	'acme', 'a value that reads like the name of the label is none');
quota(q{'acme', max_connections => 1});
@held = (open_session($node, 'regress_pool_a', options => '-c pool_optimizer.label=acme'));
is($held[0]->value('SHOW pool_optimizer.label'), 'acme', 'the session shows its label');
my $changed = $held[0]->query(q{SET pool_optimizer.label = 'other'});
ok(!defined $changed, 'a session cannot change its label');
is(refused_sqlstate($node, 'regress_pool_b', options => '-c pool_optimizer.label=acme'), '53300',
	'a quota by label holds over roles');
push @held, open_session($node, 'regress_pool_b', options => '-c pool_optimizer.label=emca');
ok($held[1]->is_admitted, 'another label is another tenant');
is($node->safe_psql('postgres',
		'SELECT tenant FROM pool_stats_session WHERE pid = ' . $old->pid),
	'regress_pool_a@postgres', 'a session keeps the tenant that it logged in with');
close_all(@held);

$log_start = -s $node->logfile;
foreach my $bad (
	[ '%u-%x', qr/unknown escape "%x"/ ],
	[ '%u%', qr/ends in "%"/ ],
	[ '', qr/must not be empty/ ])
{
	$node->append_conf('postgresql.conf', "pool_optimizer.tenant = '$bad->[0]'");
	$node->reload;
	ok(wait_until(sub { log_since($node, $log_start) =~ $bad->[1] }, $bad->[0]),
		"the template '$bad->[0]' is refused in the log");
}
like(log_since($node, $log_start),
	qr/invalid value for parameter "pool_optimizer\.tenant"/, 'in the words of core');
is(tenant_of(options => '-c pool_optimizer.label=acme'), 'acme', 'and the old one stays');
template('%u@%d');
ok($old->is_alive, 'nobody was disturbed by all that');
close_all($old);

# ---------- the end ----------

ok(wait_until(sub {
			$node->safe_psql('postgres', q{
				SELECT coalesce(sum(sessions - exempt_sessions), 0) FROM pool_stats}) eq '0';
		}),
	'in the end nothing is counted any more');

done_testing();
