# What listeners hear: alerts, and events of kinds that were asked for, as JSON that any
# client can read whatever the names are; at least once, also when the keeper is ended in
# between or cannot connect; the listeners of examples/alerts; summary lines.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use JSON::PP;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = new_node(max_connections => 60, 'pool_optimizer.notify_channel' => "'pool_optimizer'");
my $super = $node->safe_psql('postgres', 'SELECT current_user');
my $json = JSON::PP->new->utf8;
my ($rc, $out, $err);

create_roles($node, qw(r_app r_b r_c r_quiet));
my $admin = open_session($node, $super);

sub listener
{
	my (%opt) = @_;
	my $session = open_session($node, $super, %opt);

	$session->query('LISTEN pool_optimizer');
	return $session;
}

# Everything that was heard so far, decoded.
my @heard;
my $listener = listener();

sub hear
{
	push @heard, map { $json->decode($_) } $listener->notifications;
	return @heard;
}

# Those for which a condition holds.
sub heard
{
	my ($condition) = @_;

	return grep { $condition->($_) } hear();
}

sub hears
{
	my ($condition, $what) = @_;

	return ok(wait_until(sub { heard($condition) > 0 }, $what), $what)
	  || diag(join "\n", map { $json->encode($_) } @heard);
}

sub is_alert
{
	my ($n, $alert, $state, $tenant) = @_;

	return $n->{kind} eq 'alert' && ($n->{alert} // '') eq $alert && $n->{state} eq $state
	  && ($n->{tenant} // '') eq ($tenant // '');
}

# Utilization is told at once, and is over at once.
$node->safe_psql('postgres', q{
	SELECT pool_set_alert('tenant_utilization', s, for_duration => '0', clear_after => '0')
	FROM unnest(ARRAY['warning', 'critical']) s;
	SELECT pool_set_quota('r_app@postgres', 2);
	SELECT pool_set_quota('r_b@postgres', 1)});
wait_sync($node);

# Whoever knows the channel can listen to it: its name is not for everybody.
psql_as($node, 'r_app', 'SELECT 1');
($rc, $out, $err) = psql_as($node, 'r_app', 'SHOW pool_optimizer.notify_channel');
isnt($rc, 0, 'a plain role is not told the channel');

# ---------- an alert ----------

# One that is still leaving would be the second for a moment, and the alert raised twice.
ok($node->poll_query_until('postgres', q{
		SELECT sessions = 0 FROM pool_stats WHERE tenant = 'r_app@postgres'}), 'nobody is there');
my @app = map { open_session($node, 'r_app') } 1, 2;

hears(sub { is_alert($_[0], 'tenant_utilization', 'raised', 'r_app@postgres') }, 'raised');
my ($raised) = heard(sub { $_[0]{kind} eq 'alert' });

is(join(' ', sort keys %$raised),
	'alert at id kind message severity since state tenant threshold value', 'all of it');
is($raised->{value}, 1, 'its value');
is($raised->{threshold}, 0.9, 'its threshold');
is($raised->{severity}, 'critical', 'its severity');
is($raised->{message}, '2 of 2 connections are in use (100 %)', 'its message');
like($raised->{since}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'since when, in UTC');
is($admin->value("SELECT id FROM pool_alerts"), $raised->{id}, 'the id is that of the view');
is($admin->value("SELECT since = '$raised->{since}' FROM pool_alerts"), 't', 'the time, too');
close_all(@app);
hears(sub { is_alert($_[0], 'tenant_utilization', 'cleared', 'r_app@postgres') }, 'cleared');
my ($cleared) = heard(sub { ($_[0]{state} // '') eq 'cleared' });

is($cleared->{id}, $raised->{id}, 'it is the same alert');
is($admin->value(qq{SELECT abs(extract(epoch FROM cleared_at - raised_at) * 1000
		- $cleared->{duration_ms}) <= 1 FROM pool_alerts_history WHERE id = $cleared->{id}}), 't',
	'with its duration');
is(scalar @heard, 2, 'and nothing else is told');

# ---------- other kinds: off by default ----------

($rc, $out, $err) = $node->psql('postgres',
	q{ALTER SYSTEM SET pool_optimizer.notify_events = 'connect, nonsense'});

like($err, qr/invalid value.*\n.*There is no kind of event "nonsense"/, 'a kind that is none');
($rc, $out, $err) = $node->psql('postgres',
	q{ALTER SYSTEM SET pool_optimizer.notify_events = 'alert'});
like($err, qr/invalid value/, 'alerts are not asked for here');
($rc, $out, $err) = $node->psql('postgres',
	"ALTER SYSTEM SET pool_optimizer.notify_channel = '" . ('x' x 64) . "'");
like($err, qr/invalid value.*\n.*shorter than 64 bytes/, 'a channel that is too long');

sub set
{
	my (%setting) = @_;

	foreach my $name (sort keys %setting)
	{
		$node->safe_psql('postgres', "ALTER SYSTEM SET pool_optimizer.$name = '$setting{$name}'");
	}
	$node->reload;
	# Who logs in has them from the postmaster, which reads them when it likes.
	foreach my $name (sort keys %setting)
	{
		$node->poll_query_until('postgres', "SELECT current_setting('pool_optimizer.$name') = '$setting{$name}'");
	}
	return;
}

my $before = $admin->value('SELECT count(*) FROM pool_events');

set(notify_events => 'connect, disconnect error,tenant,policy,terminate, reject', notify_rate => 1000);
my $first = open_session($node, 'r_c', application_name => 'first');

hears(sub { $_[0]{kind} eq 'tenant' && $_[0]{tenant} eq 'r_c@postgres' }, 'a tenant is seen first');
hears(sub { $_[0]{kind} eq 'connect' && $_[0]{pid} == $first->pid
		  && $_[0]{detail}{application} eq 'first' && $_[0]{detail}{role} eq 'r_c' },
	'a session comes');
$first->query('SELECT 1/0');
hears(sub { $_[0]{kind} eq 'error' && $_[0]{pid} == $first->pid && $_[0]{detail}{sqlstate} eq '22012' },
	'a transaction fails');
$first->close_and_wait;
hears(sub { $_[0]{kind} eq 'disconnect' && $_[0]{pid} == $first->pid
		  && $_[0]{reason} =~ /^disconnected after [\d.]+ s and \d+ transactions$/ },
	'it goes');
my @again = map { open_session($node, 'r_c') } 1, 2;

$node->safe_psql('postgres', q{SELECT pool_set_timeouts('r_quiet@postgres', idle => '10ms');});
hears(sub { $_[0]{kind} eq 'policy' && $_[0]{tenant} && $_[0]{tenant} eq 'r_quiet@postgres' },
	'a policy changes');
my $quiet = open_session($node, 'r_quiet');

$quiet->query('SELECT 1');
$quiet->wait_closed;
hears(sub { $_[0]{kind} eq 'terminate' && $_[0]{tenant} eq 'r_quiet@postgres'
		  && $_[0]{detail}{class} eq 'idle_too_long' }, 'a session is ended');
my $b = open_session($node, 'r_b');

is(refused_sqlstate($node, 'r_b'), '53300', 'refused');
hears(sub { $_[0]{kind} eq 'reject' && $_[0]{tenant} eq 'r_b@postgres' }, 'which is told');
is(scalar heard(sub { $_[0]{kind} eq 'tenant' && $_[0]{tenant} eq 'r_c@postgres' }), 1,
	'a tenant is new once');
is(scalar heard(sub { $_[0]{kind} eq 'tenant' && $_[0]{tenant} eq 'r_app@postgres' }), 0,
	'one that was there before is not');
close_all($b, @again);

# ---------- rate ----------

# At most so many of a kind in a minute; two minutes may be touched.
set(notify_events => 'connect', notify_rate => 5);
@heard = ();
my $n_events = $admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'connect'});

for (1 .. 40) { open_session($node, 'r_quiet')->close_and_wait; }
hear();
my $told = $admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'connect'}) - $n_events;

cmp_ok($told, '<=', 10, 'the rate limits what is told');
set(notify_events => 'connect', notify_rate => 1000);
open_session($node, 'r_quiet')->close_and_wait;
# Where the forty took more than a minute, that is told in parts.
ok(wait_until(sub {
			my $suppressed = 0;

			$suppressed += $_->{suppressed} // 0 foreach heard(sub { $_[0]{kind} eq 'connect' });
			return $suppressed >= 20;
		}, 'suppressed'), 'how many were not told is told with the next one');
set(notify_events => '', notify_rate => 60);

# ---------- odd names ----------

# Each is a role, and listeners of several encodings hear of it.
my @odd = (q{"}, q{\\}, q{%s%n}, q{<script>alert(1)</script>}, q{'; DROP TABLE x; --}, "\x{e9}\x{20ac}",
	"\x{1f600}\x{10ffff}", 'x' x 63, "\x{fffd}" x 21, q{null}, q{\u0000});
my %latin = map { $_ => listener(startup => { client_encoding => $_ }) } qw(LATIN1 SQL_ASCII UTF8);

@heard = ();
foreach my $odd (@odd)
{
	my $bytes = $odd;
	my $quoted;

	utf8::encode($bytes);
	$quoted = $bytes =~ s/"/""/gr;
	$admin->query("CREATE ROLE \"$quoted\" LOGIN");
	is($admin->sqlstate, '', 'a role with an odd name');
	$admin->query('SELECT pool_set_quota($x$' . $bytes . '@postgres$x$, 1)');
	is($admin->sqlstate, '', 'its quota');
}
wait_sync($node);
my @guests = map { my $bytes = $_; utf8::encode($bytes); open_session($node, $bytes) } @odd;

is((scalar grep { $_->is_admitted } @guests), scalar @odd, 'all of them come');
foreach my $odd (@odd)
{
	hears(sub { is_alert($_[0], 'tenant_utilization', 'raised', "$odd\@postgres") },
		'its alert is told, with its name');
}
foreach my $encoding (sort keys %latin)
{
	my @lines;

	ok(wait_until(sub { push @lines, $latin{$encoding}->notifications; return @lines >= @odd; }),
		"$encoding: all are heard");
	is((scalar grep { /[^\x20-\x7e]/ } @lines), 0, "$encoding: as ASCII");
	is((scalar grep { length > 7999 } @lines), 0, "$encoding: none is too long");
	ok($latin{$encoding}->is_alive && $latin{$encoding}->value('SELECT 1') == 1,
		"$encoding: the listener lives on");
}
close_all(@guests, values %latin);

# Names that are longest, of characters that are longest as JSON.
set(tenant => '%u/%d/%a/%L');
$admin->query('SELECT pool_set_quota($$r_app/*$$, 1)');
wait_sync($node);
my $long = open_session($node, 'r_app', startup => {
		application_name => "\xf0\x9f\x98\x80" x 15,
		'pool_optimizer.label' => "\xf0\x9f\x98\x80" x 15 });

ok($long->is_admitted, 'a session with a long name');
hears(sub { $_[0]{kind} eq 'alert' && $_[0]{state} eq 'raised' && ($_[0]{tenant} // '') =~ /^r_app\/.*\x{1f600}/ },
	'its alert comes through');
$long->close_and_wait;
$admin->query('SELECT pool_drop_policy($$r_app/*$$)');
set(tenant => '%u@%d');

# ---------- the keeper is ended in the middle ----------

@heard = ();
my $b_rounds = 30;
my %expected;

$admin->query(q{SELECT pool_set_quota('k' || i || '@postgres', 1) FROM generate_series(1, 30) i});
$admin->query(join ';', map { "CREATE ROLE k$_ LOGIN" } 1 .. $b_rounds);
wait_sync($node);

# Ends the first 20 keepers that it sees, wherever they are.
$node->safe_psql('postgres', q{
	CREATE TABLE ended (pid integer);
	CREATE FUNCTION end_keepers() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE keeper integer; n integer := 0;
	BEGIN
		WHILE n < 20 LOOP
			SELECT keeper_pid INTO keeper FROM pool_stats_cluster;
			IF keeper IS NOT NULL AND pg_terminate_backend(keeper) THEN
				n := n + 1;
			END IF;
		END LOOP;
		INSERT INTO ended VALUES (n);
	END $$});
my $killer = open_session($node, $super);

$killer->send_query('SELECT end_keepers()');
for my $i (1 .. $b_rounds)
{
	my $k = open_session($node, "k$i");

	ok($k->is_admitted, "round $i") or diag($k->error_text);
	wait_until(sub {
			return $admin->value("SELECT count(*) FROM pool_alerts WHERE tenant = 'k$i\@postgres'") == 1;
		});
	close_all($k);
}
is(scalar @{ $killer->result // [] }, 1, 'keepers were ended');
foreach my $i (1 .. $b_rounds)
{
	foreach my $state (qw(raised cleared))
	{
		hears(sub { is_alert($_[0], 'tenant_utilization', $state, "k$i\@postgres") },
			"k$i: $state is heard all the same");
	}
}
my %times;

$times{"$_->{id} $_->{state}"}++ foreach grep { ($_->{tenant} // '') =~ /^k\d/ } @heard;
is(scalar(keys %times), 2 * $b_rounds, 'each alert has one number');
is($admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'alert' AND tenant ~ '^k\d'}),
	2 * $b_rounds, 'as events each came once');

# ---------- a table that cannot be read, a database that is not there, no channel ----------

$node->safe_psql('postgres', 'ALTER TABLE pool_policies RENAME guaranteed TO was');
ok($node->poll_query_until('postgres', q{SELECT pool_sync('10ms') IS NOT NULL AND
		last_error LIKE 'keeper: column "guaranteed"%' FROM pool_stats_cluster}), 'policies cannot be read');
@heard = ();
@app = map { open_session($node, 'r_app') } 1, 2;
hears(sub { is_alert($_[0], 'tenant_utilization', 'raised', 'r_app@postgres') }, 'alerts are told all the same');
close_all(@app);
hears(sub { is_alert($_[0], 'tenant_utilization', 'cleared', 'r_app@postgres') }, 'until they are over');
$node->safe_psql('postgres', 'ALTER TABLE pool_policies RENAME was TO guaranteed');
wait_sync($node);

# Others, as one that had an alert just now is held for longer.
$admin->query(join ';', map { "CREATE ROLE $_ LOGIN" } qw(e1 e2 py1 py2 js1 js2));
$admin->query(q{SELECT pool_set_quota(t || '@postgres', 1) FROM unnest(ARRAY['e1', 'e2', 'py1', 'py2',
	'js1', 'js2']) t});
wait_sync($node);

set(database => 'nowhere');
@heard = ();
$b = open_session($node, 'e1');
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_alerts WHERE tenant = 'e1@postgres'}) == 1 }),
	'an alert while the keeper cannot connect');
ok($node->poll_query_until('postgres', q{SELECT last_error LIKE '%"nowhere"%' FROM pool_stats_cluster}),
	'which is told');
is(scalar(heard(sub { $_[0]{kind} eq 'alert' })), 0, 'nothing is heard yet');
set(database => 'postgres');
hears(sub { is_alert($_[0], 'tenant_utilization', 'raised', 'e1@postgres') }, 'then it is');

set(notify_channel => '');
@heard = ();
my $c = open_session($node, 'e2');

ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_alerts WHERE tenant = 'e2@postgres'}) == 1 }),
	'an alert without a channel');
close_all($b);
ok(wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_alerts WHERE tenant = 'e1@postgres'}) == 0 }),
	'another one is over');
is(scalar(hear()), 0, 'nobody hears of them');
set(notify_channel => 'Other "channel"');
my $other = open_session($node, $super);

$other->query('LISTEN "Other ""channel"""');
hears_on_other('e2@postgres', 'who is raised is told again when there is one');

sub hears_on_other
{
	my ($tenant, $what) = @_;
	my @lines;

	# It may have been told before we listened: then the next one is.
	return ok(wait_until(sub {
				push @lines, map { $json->decode($_) } $other->notifications;
				return 1 if grep { is_alert($_, 'tenant_utilization', 'raised', $tenant) } @lines;
				set(notify_channel => '');
				set(notify_channel => 'Other "channel"');
				return 0;
			}), $what);
}
close_all($c, $other);
set(notify_channel => 'pool_optimizer');

# ---------- the examples ----------

# $tenant is the beginning of the names of two with a quota of 1.
sub run_listener
{
	my ($name, $tenant, @command) = @_;
	my ($in, $lines) = ('', '');
	my @env = (PGHOST => $node->host, PGPORT => $node->port, PGUSER => $super, PGDATABASE => 'postgres');
	local %ENV = (%ENV, @env);
	my $process = IPC::Run::start([ @command, '', 'pool_optimizer' ], '<', \$in, '>', \$lines, '2>', \$lines);
	my $says = sub {
		my ($pattern, $what) = @_;

		return ok(wait_until(sub { $process->pump_nb; return $lines =~ $pattern; }, $what), "$name: $what")
		  || diag($lines);
	};
	my $already = open_session($node, "${tenant}1");

	wait_until(sub { $admin->value(q{SELECT count(*) FROM pool_alerts WHERE tenant = '}  . "${tenant}1\@postgres'") == 1 });
	$says->(qr/^listening$/m, 'it listens');
	$says->(qr/^RAISED critical tenant_utilization ${tenant}1\@postgres - 1 of 1 connections are in use/m,
		'what is raised is told');
	my $second = open_session($node, "${tenant}2");

	$says->(qr/^RAISED critical tenant_utilization ${tenant}2\@postgres - 1 of 1 connections/m, 'what comes is told');
	close_all($second);
	$says->(qr/^CLEARED critical tenant_utilization ${tenant}2\@postgres/m, 'and that it is over');
	is(scalar(() = $lines =~ /^RAISED critical tenant_utilization ${tenant}1/mg), 1, "$name: once");

	# The connection is lost, and with it what comes meanwhile.
	$admin->query(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^(LISTEN|SELECT id, alert)'
		AND pid <> pg_backend_pid() AND pid <> } . $listener->pid);
	$says->(qr/^lost: /m, 'it notices that the connection is lost');
	close_all($already);
	$says->(qr/^listening\n(?:.*\n)*listening$/m, 'it connects again');
	$says->(qr/^CLEARED critical (?:tenant_utilization ${tenant}1\@postgres|alert \d+)/m, 'and hears of what is over');
	$process->signal('TERM');
	$process->finish;
	return;
}

my $examples = "$FindBin::RealBin/../examples/alerts";

SKIP:
{
	my $python = '/usr/bin/python3';

	skip "no $python with psycopg2", 1
	  unless -x $python && system("$python -c 'import psycopg2' 2>/dev/null") == 0;
	run_listener('Python', 'py', $python, "$examples/listen.py");
}
SKIP:
{
	# Debian has its modules where its own node looks; another one has to be told.
	local $ENV{NODE_PATH} = join ':', grep { defined } $ENV{NODE_PATH}, '/usr/share/nodejs';

	skip 'no node with module pg', 1 unless system(q{node -e 'require("pg")' 2>/dev/null}) == 0;
	run_listener('Node', 'js', 'node', "$examples/listen.js");
}

# ---------- summary lines ----------

my $log_before = -s $node->logfile;
my $busy = open_session($node, 'r_c');

set(log_interval => '200ms');
ok(wait_until(sub {
			$busy->query('SELECT 1') for 1 .. 10;
			return log_since($node, $log_before) =~
			  /LOG:  pool_optimizer, tenant "r_c\@postgres", last \d+ s: 1 sessions, [\d.]+ busy on average and \d+ at most, [1-9]\d* transactions \([\d.]+\/s, [\d.]+ ms on average\), 0 errors, 0 refused, 0 ended, recommended size \d+\n/;
		}), 'a busy tenant has its line');
unlike(log_since($node, $log_before), qr/pool_optimizer, tenant "e2\@postgres", last/, 'one that is not has none');
set(log_interval => '0');
my $quiet_since = -s $node->logfile;

$busy->query('SELECT 1');
my $samples = cluster_stat($node, 'samples');

ok($node->poll_query_until('postgres', "SELECT samples > $samples + 50 FROM pool_stats_cluster"), 'time passes');
unlike(log_since($node, $quiet_since), qr/, last \d+ s: /, 'none at all when it is off');
close_all($busy);

# ---------- a standby ----------

# Nothing can be told with NOTIFY there; views, events and the log work.
$node->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 4\nhot_standby = on\n"
	  . "wal_keep_size = 256MB\n");
close_all($admin, $listener);
$node->restart;
$node->backup('standby');
my $standby = PostgreSQL::Test::Cluster->new('standby');

$standby->init_from_backup($node, 'standby', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', q{
	CREATE ROLE st1 LOGIN; CREATE ROLE st2 LOGIN;
	SELECT pool_set_quota(t || '@postgres', 1) FROM unnest(ARRAY['st1', 'st2']) t;
	SELECT pool_set_alert('tenant_utilization', s, 'st1@postgres', threshold => 0.5)
	FROM unnest(ARRAY['warning', 'critical']) s});
$node->wait_for_catchup($standby);
wait_sync($standby);
my $st1 = open_session($standby, 'st1');

ok($standby->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pool_alerts
		WHERE tenant = 'st1@postgres' AND severity = 'critical' AND threshold = 0.5}),
	'on a standby an alert is raised, by the rules of the primary');
like(log_since($standby, 0), qr/LOG:  pool_optimizer, tenant "st1\@postgres": 1 of 1 connections are in use/,
	'with its line in the log');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pool_events WHERE tenant = 'st1@postgres'
		AND detail->>'state' = 'raised'}), '1', 'and its event');
is($standby->safe_psql('postgres', q{SELECT coalesce(last_error, '') FROM pool_stats_cluster}), '',
	'that nobody can be told is no error');
unlike(log_since($standby, 0), qr/cannot execute (?:NOTIFY|LISTEN)/, 'nor tried');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_alerts WHERE tenant = 'st1@postgres'}), '0',
	'the primary has alerts of its own');
($rc, $out, $err) = $standby->psql('postgres',
	q{\set VERBOSITY verbose
	SELECT pool_set_alert('refusals', threshold => 5)});
like($err, qr/ERROR:  25006:/, 'rules cannot be set there');
$standby->promote;
my $hears_it = open_session($standby, $super);
my @told;

$hears_it->query('LISTEN pool_optimizer');
my $st2 = open_session($standby, 'st2');

ok(wait_until(sub {
			push @told, map { $json->decode($_) } $hears_it->notifications;
			return grep { is_alert($_, 'tenant_utilization', 'raised', 'st2@postgres') } @told;
		}, 'promoted'), 'after the promotion alerts are told');
is(cluster_stat($standby, 'worker_errors'), '0', 'no error was met on the way');
close_all($st1, $st2, $hears_it);
stop_clean($standby);
is(cluster_stat($node, 'worker_errors'), '0', 'no error was met on the way');
stop_clean($node);

# ---------- nothing is lost that nobody was to hear of ----------

$node = new_node(
	'pool_optimizer.notify_channel' => "'pool_optimizer'",
	'pool_optimizer.notify_events' => "'tenant'",
	'pool_optimizer.history_events' => 16);
create_roles($node, 'first', 'second');

my $listens = open_session($node, $super);
my @names;

$listens->query('LISTEN pool_optimizer');

sub is_told
{
	my ($role) = @_;

	return ok(wait_until(sub {
				push @names, map { $json->decode($_)->{tenant} } $listens->notifications;
				return grep { $_ eq "$role\@postgres" } @names;
			}, $role), "$role is told");
}

sub hears_of
{
	my ($role) = @_;
	my $session = open_session($node, $role);

	is_told($role);
	$session->close_and_wait;
	return;
}

hears_of('first');
$listens->query(q{SELECT pool_set_quota('first@postgres', max_connections => 1)});

my $only = open_session($node, 'first');

is(refused_sqlstate($node, 'first'), '53300', 'refused') foreach 1 .. 40;
hears_of('second');
unlike(log_since($node, 0), qr/events are lost to them/,
	'more refusals than events are kept were no loss to those who hear of tenants');

# ---------- nobody waits for history ----------

create_roles($node, 'third');
# These are a day back, so hours that end meanwhile are others.
my $summed = q{SELECT count(*) FROM pool_history_hour
	WHERE tenant = '' AND bucket_start < now() - interval '12 h'};

$node->safe_psql('postgres', q{INSERT INTO pool_history
	SELECT date_bin('1 h', now() - interval '1 day', '2000-01-03') - i * interval '1 h',
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, '' FROM generate_series(1, 2000) i});
# The keeper is held when it begins, so that there is something to tell in the midst of it.
my $holder = open_session($node, $super);

$holder->query('BEGIN; LOCK TABLE pool_history_hour IN SHARE MODE');
# At once, and not in ten seconds.
$node->reload;
ok(wait_until(sub { $holder->value(q{SELECT count(*) FROM pg_locks
			WHERE relation = 'pool_history_hour'::regclass AND NOT granted}) > 0 }, 'the keeper'),
	'a keeper sums up hours');
my $third = open_session($node, 'third');

$holder->query('COMMIT');
is_told('third');
cmp_ok($holder->value($summed), '<', 2000,
	'a listener does not wait until it has done all of them');
$node->reload;
ok(wait_until(sub { $holder->value($summed) == 2000 }, 'all hours'), 'they are done in the end');
close_all($listens, $only, $holder, $third);
stop_clean($node);
done_testing();
