# Findings as alerts: raised and cleared once each by the rules of alerts, left out while they are
# acknowledged, told without the text of any statement, also on a standby.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use JSON::PP;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	-name => 'primary',
	wal_level => 'replica',
	max_wal_senders => 3,
	log_statement => 'none',
	'pool_optimizer.mode' => 'observe',
	'pool_optimizer.notify_channel' => 'pager',
	'pool_optimizer.slow_statement' => '100ms',
	'pool_optimizer.very_slow_statement' => '1s');
my $super = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(a_slow a_noted a_wait a_look a_other a_new));
my $admin = open_session($node, $super);
my $listener = open_session($node, $super);

$listener->query('LISTEN pager');
$admin->query('GRANT a_other TO a_slow');

# Nobody is to read this word in a log.  Half of all statements have a query id below 0.
my $slow = 'SELECT pg_sleep(1.05) AS hush';

foreach (1 .. 64)
{
	last if is_below_zero($slow);
	$slow .= ', 1';
}
$slow .= ";\n";

# ---------- helpers ----------

sub is_below_zero
{
	my ($statement) = @_;

	return grep { $_->[0] =~ /^Query Identifier: -/ } @{ $admin->query("EXPLAIN (VERBOSE) $statement") };
}

sub at_once
{
	my ($kind, $tenant, $more) = @_;

	$admin->value("SELECT count(pool_set_alert('$kind', s, '$tenant', for_duration => '0', clear_after => '0'$more))
		FROM unnest(ARRAY['warning', 'critical']) s") // die $admin->error_text;
	return;
}

# "severity" of an alert of a tenant, '' when it is not raised.
sub raised
{
	my ($role, $kind, $column) = @_;

	$column //= 'severity';
	return $admin->value("SELECT coalesce((SELECT ($column)::text FROM pool_alerts
		WHERE tenant = '$role\@postgres' AND alert = '$kind'), '')");
}

sub raised_is
{
	my ($role, $kind, $expected, $what) = @_;

	return ok(wait_until(sub { raised($role, $kind) eq $expected }, $what), $what)
	  || diag(join "\n", map { join ' ', map { $_ // '' } @$_ }
		@{ $admin->query("SELECT * FROM pool_findings WHERE tenant = '$role\@postgres'") });
}

sub told
{
	my ($role, $kind, $state) = @_;

	return $admin->value("SELECT count(*) FROM pool_events WHERE kind = 'alert'
		AND tenant = '$role\@postgres' AND detail->>'alert' = '$kind' AND detail->>'state' = '$state'");
}

# Until the finding has been seen so many more times; each is a look at it.
sub wait_seen
{
	my ($role, $kind, $times) = @_;
	my $seen = "SELECT coalesce((SELECT max(last_seen)::text FROM pool_findings
		WHERE tenant = '$role\@postgres' AND kind = '$kind'), '')";

	foreach (1 .. $times)
	{
		my $last = $admin->value($seen);

		return 0 unless wait_until(sub { $admin->value($seen) ne $last }, "$kind is seen again");
	}
	return 1;
}

sub finding { return $admin->value("SELECT $_[2] FROM pool_findings WHERE tenant = '$_[0]\@postgres' AND kind = '$_[1]'"); }

sub acknowledge
{
	my ($role, $kind) = @_;

	$admin->value("SELECT count(pool_acknowledge(tenant, kind, queryid, 'known')) FROM pool_findings
		WHERE tenant = '$role\@postgres' AND kind = '$kind'") // die $admin->error_text;
	return;
}

# ---------- rules ----------

my $kinds = join ', ', qw(slow_statement n_plus_one client_wait unpaged_result sequential_scan repeated_read hot_row churn);

is($admin->value(q{SELECT count(*) FROM unnest(string_to_array('} . $kinds . q{', ', ')) k
		WHERE (pool_set_alert(k, threshold => 0.7)).threshold = 0.7}), '8', 'each kind has a rule');
$admin->query("SELECT pool_set_alert('$_')") foreach qw(read_only session_state);
is($admin->sqlstate, '22023', 'what is only noted has none');
$admin->query('TRUNCATE pool_alert_rules');
at_once($_, '*', '') foreach qw(slow_statement client_wait churn);
wait_sync($node);

# ---------- raised ----------

start_load($node, 'a_slow', 2, $slow);
start_load($node, 'a_noted', 2, "SELECT pg_sleep(0.15) AS hush;\n");
start_load($node, 'a_wait', 2, "BEGIN;\nSELECT 1 AS hush;\n\\sleep 100 ms\nCOMMIT;\n");

raised_is('a_slow', 'slow_statement', 'warning', 'a very slow statement is an alert');
raised_is('a_wait', 'client_wait', 'warning', 'so are transactions that wait for their clients');
ok(wait_seen('a_noted', 'slow_statement', 2), 'one that is slow but not very slow is found');
is(finding('a_noted', 'slow_statement', 'severity'), 'info', 'as a note');
is(raised('a_noted', 'slow_statement'), '', 'which is no alert');
is(raised('a_slow', 'read_only'), '', 'nor is reading');
like(raised('a_slow', 'slow_statement', 'message'),
	qr/^\d\.\d\d connections are spent on a statement that is slow in 100 % of its calls, with \d{4,} ms each$/,
	'it says what costs how much');
like(raised('a_wait', 'client_wait', 'message'),
	qr/^\d\.\d\d connections are spent on waiting for clients in their transactions, \d+ ms after each call of a statement$/,
	'and for what');
my $queryid = finding('a_slow', 'slow_statement', 'queryid');

cmp_ok($queryid, '<', 0, 'about a statement whose query id is below 0');
is(raised('a_slow', 'slow_statement', 'queryid'), $queryid, 'with the statement that pool_findings names');
is($admin->value(q{SELECT string_agg(DISTINCT queryid::text, ' ') FROM pool_alerts_history
		WHERE tenant = 'a_slow@postgres' AND alert = 'slow_statement'}), $queryid, 'also in the history');
is(told('a_slow', 'slow_statement', 'raised'), '1', 'it is told once');
cmp_ok(abs(raised('a_slow', 'slow_statement', 'value') - finding('a_slow', 'slow_statement', 'connections_spent')),
	'<', 1, 'the value is the cost');

my $log = log_since($node, 0);

like($log, qr/LOG:  pool_optimizer, tenant "a_slow\@postgres": \d\.\d\d connections are spent on .*\n.*DETAIL:  Alert slow_statement, warning, raised: value [\d.]+, threshold 0, queryid $queryid\.\n.*HINT:  It is slow in 100 % of its calls, .* statement_timeout\)\. If it is to stay: SELECT pool_acknowledge\('a_slow\@postgres', 'slow_statement', $queryid, reason => '\.\.\.'\)\./,
	'the log says which statement, what to do, and how to acknowledge it');

my @payloads;

sub heard
{
	my ($role, $kind, $state) = @_;

	push @payloads, $listener->notifications;
	return (grep { $_->{tenant} eq "$role\@postgres" && $_->{alert} eq $kind && $_->{state} eq $state }
		map { decode_json($_) } @payloads)[0];
}

ok(wait_until(sub { defined heard('a_slow', 'slow_statement', 'raised') }, 'listener'), 'listeners hear of it');
my $payload = heard('a_slow', 'slow_statement', 'raised');

is($payload->{queryid}, $queryid, 'with the statement');
like($payload->{advice}, qr/^It is slow in 100 % of its calls/, 'what to do');
is($payload->{acknowledge}, "SELECT pool_acknowledge('a_slow\@postgres', 'slow_statement', $queryid, reason => '...')",
	'and how to acknowledge it');
unlike(join("\n", @payloads), qr/hush/, 'and no text');

# ---------- who sees it ----------

is(psql_as($node, 'a_look', 'SELECT count(*) FROM pool_alerts'), '0', 'another tenant does not see it');
like(psql_as($node, 'a_slow', 'SELECT alert, queryid FROM pool_alerts'), qr/^slow_statement\|$queryid$/,
	'its own does');
is(psql_as($node, 'a_slow', "SET ROLE a_other;\nSELECT alert, queryid IS NULL FROM pool_alerts") =~ s/SET\s//r,
	'slow_statement|t', 'but not the statement of another role');
is(psql_as($node, 'a_slow', "SET ROLE a_other;\nSELECT alert, queryid IS NULL FROM pool_alerts_history") =~ s/SET\s//r,
	'slow_statement|t', 'nor in the history');

# ---------- a restart ----------

my $id = raised('a_slow', 'slow_statement', 'id');
stop_load($node, $_) foreach PoolTest::running_loads();
close_all($admin, $listener);
$node->restart;
start_load($node, 'a_slow', 2, $slow);
start_load($node, 'a_new', 8, $slow);
$admin = open_session($node, $super);
$listener = open_session($node, $super);
$listener->query('LISTEN pager');
ok(wait_seen('a_slow', 'slow_statement', 1), 'after a restart it is found again');
is(raised('a_slow', 'slow_statement', 'id'), $id, 'and is the same alert');
is(told('a_slow', 'slow_statement', $_->[0]), $_->[1], "$_->[0] $_->[1]") foreach ([ raised => 1 ], [ cleared => 0 ]);

# ---------- over ----------

raised_is('a_wait', 'client_wait', '', 'what has stopped is over');
is(told('a_wait', 'client_wait', $_), '1', "$_ once") foreach qw(raised cleared);
is($admin->value(q{SELECT count(*) FROM pool_findings WHERE tenant = 'a_wait@postgres'
		AND kind = 'client_wait'}), '1',
	'although it can still be read');
is($admin->value(q{SELECT count(*) FROM pool_alerts_history WHERE tenant = 'a_wait@postgres' AND cleared_at IS NOT NULL
		AND queryid IS NOT NULL AND message ~ 'waiting for clients'}), '1', 'and is in the history');

# ---------- acknowledged ----------

is($admin->value(q{SELECT count(pool_acknowledge(tenant, alert, queryid, 'known')) FROM pool_alerts
		WHERE tenant = 'a_slow@postgres' AND alert = 'slow_statement'}) // $admin->error_text, '1',
	'an alert can be acknowledged as it is read');
raised_is('a_slow', 'slow_statement', '', 'what is acknowledged is over');
is(finding('a_slow', 'slow_statement', 'acknowledged'), 't', 'the view says so, too');
ok(wait_seen('a_slow', 'slow_statement', 2), 'it is found again');
is(raised('a_slow', 'slow_statement'), '', 'and not raised');
is(told('a_slow', 'slow_statement', $_), '1', "$_ once") foreach qw(raised cleared);

# As if it had been acknowledged when it cost less; plain DML counts, too.
$admin->query('BEGIN');
$admin->query('UPDATE pool_acknowledged SET connections_spent = 0.01');
$admin->query('ROLLBACK');
ok(wait_sync($node) && wait_seen('a_slow', 'slow_statement', 1), 'a change that is rolled back');
is(raised('a_slow', 'slow_statement'), '', 'is none');
$admin->query('UPDATE pool_acknowledged SET connections_spent = 0.01');
raised_is('a_slow', 'slow_statement', 'warning', 'what got dearer comes back');
is(finding('a_slow', 'slow_statement', 'acknowledged'), 'f', 'also in the view');
acknowledge('a_slow', 'slow_statement');
raised_is('a_slow', 'slow_statement', '', 'acknowledged again');

$admin->query(q{UPDATE pool_acknowledged SET until = clock_timestamp() + interval '1 s'});
raised_is('a_slow', 'slow_statement', 'warning', 'it comes back when its time is over');

# ---------- rules, and what is the worse ----------

at_once('slow_statement', 'a_slow@*', ', enabled => false');
raised_is('a_slow', 'slow_statement', '', 'a rule that is switched off ends it at once');
stop_load($node, 'a_slow');

raised_is('a_new', 'slow_statement', 'critical', 'for another tenant it is still on');
cmp_ok(raised('a_new', 'slow_statement', 'value'), '>=', 5, 'many connections are critical');
at_once('slow_statement', 'a_new@*', ', threshold => 1000');
raised_is('a_new', 'slow_statement', '', 'a threshold that it does not meet ends it');
at_once('slow_statement', 'a_new@*', ', threshold => 2');
raised_is('a_new', 'slow_statement', 'critical', 'one that it meets raises it again');
$admin->query(q{SELECT pool_reset_stats('a_new@postgres')});
ok(wait_until(sub { told('a_new', 'slow_statement', 'cleared') == 2 }, 'reset'),
	'without the finding there is no alert');

# ---------- a standby ----------

acknowledge('a_slow', 'slow_statement');
at_once('slow_statement', 'a_slow@*', ', enabled => true');
stop_load($node, 'a_new');
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');

$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
start_load($standby, $_, 2, $slow) foreach qw(a_slow a_new);
ok($standby->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pool_alerts
		WHERE tenant = 'a_new@postgres' AND alert = 'slow_statement'}), 'a standby has its own alerts');
ok($standby->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pool_findings
		WHERE tenant = 'a_slow@postgres' AND kind = 'slow_statement' AND acknowledged}),
	'and knows what is acknowledged on the primary');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pool_alerts WHERE tenant = 'a_slow@postgres'
		AND alert = 'slow_statement'}), '0', 'which is no alert');
stop_load($standby, $_) foreach PoolTest::running_loads();

# ---------- the end ----------

unlike(log_since($_, 0), qr/hush/, 'no text of a statement is in the log of the ' . $_->name)
  foreach ($node, $standby);
is($admin->value(q{SELECT count(*) FROM pool_events WHERE reason ~ 'hush' OR detail::text ~ 'hush'}), '0',
	'nor in an event');
is(cluster_stat($_, 'worker_errors'), '0', 'no error was met on the way') foreach ($node, $standby);
close_all($admin, $listener);
stop_clean($standby);
stop_clean($node);
done_testing();
