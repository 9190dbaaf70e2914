# PgBouncers are read and resized live: what their consoles say is shown and matched to
# tenants; one that is down, slow, refuses, restarts or talks nonsense harms nothing and is
# told once; pools follow the recommendation by SET, RECONNECT or the include file where a
# policy says "auto", and in mode observe only on paper; no password gets anywhere.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use BouncerTest;
use POSIX ();
use PoolTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

need_pgbouncer();

my $WRONG = 'nOt-that-4711';

my $node = new_node(
	-name => 'pooled',
	max_connections => 100,
	# The tests' default would log what must not be logged, in statements as such.
	log_statement => 'none',
	'pool_optimizer.mode' => 'observe');

create_roles($node, qw(r_shop r_batch r_other));
$node->safe_psql('postgres', q{
	CREATE DATABASE second;
	SELECT pool_set_sizing('*', evaluation_interval => '1s')});
wait_sync($node);
visit_from($node);

# ---------------------------------------------------------------------------
# The setting takes no passwords, and nobody else sees it
# ---------------------------------------------------------------------------

my $other_port = PostgreSQL::Test::Cluster::get_free_port();
my $A = new_bouncer('a',
	databases => [
		'postgres = host=127.0.0.1 port=' . $node->port . ' dbname=postgres',
		"replica = host=127.0.0.1 port=$other_port dbname=postgres",
		'second = host=127.0.0.1 port=' . $node->port . ' dbname=second min_pool_size=0'
	],
	settings => ['default_pool_size = 8']);
my $start_of_log = -s $node->logfile;

foreach my $bad (
	"host=a password=$WRONG",
	"host=b;host=a password = ''$WRONG''",
	"postgresql://console:$WRONG\@127.0.0.1/pgbouncer",
	"postgresql://console\@127.0.0.1/pgbouncer?password=$WRONG",
	"host=a sslpassword=$WRONG",
	"host=a $WRONG",
	"host=a password=''$WRONG",
	join(';', ("host=$WRONG") x 17))
{
	my ($rc, undef, $stderr) = $node->psql('postgres',
		"ALTER SYSTEM SET pool_optimizer.pgbouncer_conninfo = '$bad'");

	isnt($rc, 0, 'refused: ' . $bad =~ s/\Q$WRONG\E/.../gr);
	unlike($stderr, qr/\Q$WRONG/, 'not quoted');
	like($stderr, qr/Connection string \d+: /, 'but said which');
}
$node->append_conf('postgresql.conf',
	"pool_optimizer.pgbouncer_conninfo = 'host=a password=$WRONG'");
$node->reload;
ok(wait_until(sub { log_since($node, $start_of_log) =~ /invalid value for parameter "pool_opt/ },
		'the log'), 'refused in the file, too');
unlike(log_since($node, $start_of_log), qr/\Q$WRONG/, 'no password in the log');
is($node->safe_psql('postgres', 'SHOW pool_optimizer.pgbouncer_conninfo'), '', 'nothing is set');
my ($rc, $told, $stderr) = $node->psql('postgres', q{SELECT applied, error FROM pg_file_settings
	WHERE name = 'pool_optimizer.pgbouncer_conninfo'});

is("$rc: $told", '0: f|setting could not be applied',
	'pg_file_settings tells that the file is wrong') or diag($stderr);

my (undef, undef, $relative) = $node->psql('postgres',
	"ALTER SYSTEM SET pool_optimizer.pgbouncer_include = 'databases.ini'");
like($relative, qr/An absolute path is needed/, 'the include file needs an absolute path');
my (undef, undef, $long) = $node->psql('postgres',
	"ALTER SYSTEM SET pool_optimizer.pgbouncer_include = '/" . 'x' x 1022 . q{'});
like($long, qr/The path is longer than/, 'with room for the name of another file beside it');

# Who switches on what cannot work is told.
my (undef, undef, $idle) = $node->psql('postgres',
	q{SELECT pool_set_sizing('r_shop@postgres', auto => true)});
like($idle, qr/NOTICE:  auto resizes no pool, as no PgBouncer is known\nHINT:/, 'auto without PgBouncer');
$node->safe_psql('postgres', q{SELECT pool_drop_policy('r_shop@postgres')});

# ---------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------

write_passfile($A);
start_bouncer($A);
my $load = start_pooled_load($A, 'r_shop', 'postgres', 24);
set_poolers($A);
poolers_are(q{state = 'ok' AND tenant = 'r_shop@postgres' AND datname = 'postgres'
	AND usename = 'r_shop' AND pool_mode = 'transaction' AND pool_size = 8 AND min_pool_size = 0
	AND reserve_pool_size = 0 AND cl_active = 8 AND cl_waiting = 16 AND sv_active = 8
	AND sv_idle = 0 AND maxwait_ms > 0 AND xact_rate > 0 AND query_rate > 0
	AND avg_xact_ms >= 9 AND avg_wait_ms > 0 AND seen_at > now() - interval '1 minute'
	AND error IS NULL AND version ~ '^1\.' AND pooler = '} . $A->{label} . q{'},
	'the pool is shown, and whose it is');
poolers_are(q{cl_instances = 1 AND cl_applications ~ '^#_pooler.pl: 24 clients of 1 instance, \d+ waits?$'},
	'and who its clients are');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pool_stats_pooler'), '1',
	'not the console itself');

is(psql_as($node, 'r_shop', 'SELECT DISTINCT tenant FROM pool_stats_pooler'),
	'r_shop@postgres', 'a plain role sees its own pools');
is(psql_as($node, 'r_shop', 'SELECT cl_instances, cl_applications IS NULL FROM pool_stats_pooler'), '1|t',
	'but not what clients call themselves');
is(psql_as($node, 'r_other', 'SELECT count(*) FROM pool_stats_pooler'), '0', 'and no others');
is(psql_as($node, 'r_shop', q{SELECT count(*) FROM pg_settings
	WHERE name ~ '^pool_optimizer.pgbouncer'}), '0', 'nor the setting');
my (undef, undef, $denied) = psql_as($node, 'r_shop', 'SHOW pool_optimizer.pgbouncer_conninfo');
like($denied, qr/must be superuser|permission denied/, 'not by SHOW either');

# It keeps its connection.
my $logins = () = slurp_file("$dir/a.log") =~ /login attempt: db=pgbouncer user=console/g;
my $seen = $node->safe_psql('postgres', 'SELECT seen_at FROM pool_stats_pooler');
poolers_are("seen_at > timestamptz '$seen' + interval '1 second'", 'it is asked again and again');
is(() = slurp_file("$dir/a.log") =~ /login attempt: db=pgbouncer user=console/g, $logins,
	'over one connection');

# ---------------------------------------------------------------------------
# Auto, first on paper
# ---------------------------------------------------------------------------

# Wherever the recommendation would like to be, it must go down.
my (undef, undef, $paper) = $node->psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres',
	max_size => 3, scale_down_step => 4, auto => true)});
like($paper, qr/NOTICE:  auto resizes no pool, as pool_optimizer.mode is not enforce/,
	'that it is on paper only is told');
wait_sync($node);
event_comes('pool would be resized 8 -> [1-7]', 'would_resize', 'mode observe: it is told');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_events WHERE kind = 'would_resize'
	AND tenant = 'r_shop@postgres' AND detail ?& '{pooler,database,user,from,to,how}'
	AND detail->>'pooler' = '} . $A->{label} . q{' AND detail->>'how' = 'SET default_pool_size'
	AND detail->>'user' = 'r_shop' AND (detail->>'from')::int = 8}) > 0, 1, 'with the evidence');
is(config($A, 'default_pool_size'), '8', 'nothing is touched');
is(events('.', 'resize'), '0', 'and nothing else told');

# ---------------------------------------------------------------------------
# Then for good: SET, in steps, and connections let go although all of them are busy
# ---------------------------------------------------------------------------

$node->append_conf('postgresql.conf', 'pool_optimizer.mode = enforce');
$node->reload;
event_comes('pool resized 8 -> [4-7] .SET default_pool_size', 'resize', 'a step of 4 at most');
ok(wait_until(sub { config($A, 'default_pool_size') <= 3 }, 'size'), 'down to the size wanted');
event_comes('RECONNECT', 'resize', 'busy connections beyond it are let go');
poolers_are('pool_size <= 3 AND sv_active BETWEEN 1 AND 3 AND cl_waiting > 0',
	'so that the pool is as small as it is to be');

# And up.
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres', min_size => 6,
	max_size => 6)});
wait_sync($node);
poolers_are('pool_size = 6 AND sv_active = 6', 'it grows again');
cmp_ok(config($A, 'min_pool_size'), '<=', 6, 'min_pool_size is not above it');
is(events('not resized'), '0', 'nothing was in the way');

# What is to be kept open follows, too, when the size stays.
console($A, 'SET min_pool_size = 0');
event_comes('min_pool_size set 0 -> [1-6] .SET default_pool_size', 'resize',
	'min_pool_size alone is set');
poolers_are('pool_size = 6 AND min_pool_size BETWEEN 1 AND 6', 'and is in force');

# With a session of its own besides: sizes are tried by the connections of the pool, and no
# size is asked for because it was seen.
# Nor does a step down from all of them, of less than these, lead up.
my @listen = map { open_session($node, 'r_shop') } 1 .. 2;
$_->query('LISTEN something') foreach @listen;
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres', min_size => 2,
	max_size => 50, scale_down_step => 1)});
wait_sync($node);
poolers_are('pool_size BETWEEN 16 AND 24', 'up to what its 24 clients can use');
my (%evaluated, $largest);
ok(wait_until(sub {
			my ($at, $size) = split /\|/, $node->safe_psql('postgres', q{
				SELECT r.computed_at, p.pool_size FROM pool_recommendations r
				JOIN pool_stats_pooler p USING (tenant) WHERE r.tenant = 'r_shop@postgres'});

			$evaluated{$at} = 1;
			$largest = $size if $size > ($largest // 0);
			return keys %evaluated > 25;
		}, 'evaluations'), 'evaluated again and again');
cmp_ok($largest, '<=', 24, 'and never asks for more');
$_->close_and_wait foreach @listen;
# What was set by hand is not taken for ours.
console($A, 'RELOAD');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres', min_size => 6,
	max_size => 6, scale_down_step => 4)});
wait_sync($node);
poolers_are('pool_size = 6 AND sv_active = 6', 'and back');

# RELOAD just after SET takes that back, which does not mean that SET is of no use.
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres', min_size => 5,
	max_size => 5)});
ok(wait_until(sub { config($A, 'default_pool_size') == 5 }, 'SET'), 'a size is SET');
console($A, 'RELOAD');
is(config($A, 'default_pool_size'), '8', 'and taken back by hand');
poolers_are('pool_size = 5 AND auto_problem IS NULL', 'it is SET again');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres', min_size => 6,
	max_size => 6)});
poolers_are('pool_size = 6 AND sv_active = 6', 'and again');

# With a second pool SET would change that, too; what was set is taken back.
my $batch = start_pooled_load($A, 'r_batch', 'postgres', 2);
poolers_are(q{tenant = 'r_batch@postgres' AND pool_size = 8}, 'a second pool has what was configured');
event_comes('pool resized 6 -> 8 .SET default_pool_size back', 'resize', 'which is told');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres', min_size => 4,
	max_size => 4)});
wait_sync($node);
event_comes('not resized: there are others', 'alert', 'two pools: SET is not used');
is(config($A, 'default_pool_size'), '8', 'the size stays');
is(config($A, 'min_pool_size'), '0', 'that of connections kept open, too');
end_process($batch, 'TERM');

# A pool whose names are ours, but whose connections are another server's, is nobody's.
my $other = PostgreSQL::Test::Cluster->new('elsewhere', port => $other_port);
$other->init;
$other->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'");
$other->start;
$other->safe_psql('postgres', 'CREATE ROLE r_other LOGIN');
is(refused($node, 'r_other'), '', 'a tenant of that name is known here');
my $elsewhere = start_pooled_load($A, 'r_other', 'replica', 2);
poolers_are(q{datname = 'replica' AND sv_active > 0 AND tenant IS NULL},
	'a pool of another server is nobody\'s');
end_process($elsewhere, 'TERM');
$other->stop('fast');

# ---------------------------------------------------------------------------
# Two clients that each find a connection at once: all of the pool is busy, and is enough
# ---------------------------------------------------------------------------

my $pair = start_pooled_load($A, 'r_batch', 'second', 2, "$dir/long.sql");
method_is('r_batch@second', q{current_size = 2 AND busy_p50 = 2 AND recommended_size = 2
	AND method IN ('queueing', 'burst')}, 'whose clients do not wait is no pool to be enlarged');
method_is('r_shop@postgres', q{method IN ('trying', 'throughput', 'saturated')},
	'one whose clients wait is the limit');
# Who else waits for the sessions that no pooler has opened is told by nobody.
my $direct = start_login($node, 'r_batch', dbname => 'second');
$direct->wait_login;
$direct->send_query('SELECT pg_sleep(3600)');
method_is('r_batch@second', q{current_size = 3 AND method IN ('trying', 'throughput', 'saturated')},
	'with another busy session that is not the pooler\'s it is not known who waits');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE query = 'SELECT pg_sleep(3600)' AND pid <> pg_backend_pid()");
end_process($pair, 'TERM');
unlike(slurp_file("$dir/a.r_batch.second.load"), qr/ERROR|FATAL|aborted|failed to/,
	'nor has any client of the other noticed');

# ---------------------------------------------------------------------------
# Restarted in the middle
# ---------------------------------------------------------------------------

my $sampler = cluster_stat($node, 'sampler_pid');

end_process($load, 'TERM');
unlike(slurp_file("$dir/a.r_shop.postgres.load"), qr/ERROR|FATAL|aborted|failed to/,
	'no client has noticed any of this');
end_process($A->{process});
event_comes('cannot be reached', 'alert', 'a PgBouncer that is gone is an alert');
poolers_are(q{state = 'unreachable' AND datname IS NULL AND error IS NOT NULL}, 'and is shown');
start_bouncer($A);
event_comes('answers again', 'alert', 'one that is back is told');
is(events('cannot be reached'), '1', 'each once');

# ---------------------------------------------------------------------------
# Wrong password, down, slow, nonsense: besides one that is well
# ---------------------------------------------------------------------------

my $B = new_bouncer('b');
my $down = {
	label => '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port() };
my $slow = start_listener(sub { return 1 });
my $http = start_listener(
	sub {
		my ($client) = @_;

		sysread($client, my $startup, 8192);
		syswrite($client, "HTTP/1.1 400 Bad Request\r\n\r\n");
		return 0;
	});
my $end = message('C', "SHOW\0");
my $columns = start_talker(columns('x') . $end . message('Z', 'I'));
my $databases = columns(qw(name database pool_size));
# A second answer that has more columns than anybody has room for, or fewer than the first.
my ($more, $fewer) = map {
	start_talker($databases . $end . columns(map { "c$_" } 1 .. $_) . row(('x') x $_) . $end .
		  message('Z', 'I'))
} 1500, 1;
my $endless = start_talker($databases . row(qw(x x 1)) x 500, 1);
# A message of a gigabyte, of which nothing more comes.
my $huge = start_talker('D' . pack('N', 1 << 30) . 'x');

write_text($passfile, "127.0.0.1:$A->{port}:pgbouncer:console:$SECRET\n" .
	  "127.0.0.1:$B->{port}:pgbouncer:console:$WRONG\n");
$down->{conninfo} = "host=127.0.0.1 user=console port=" . $down->{label} =~ s/.*://r;
start_bouncer($B);
set_poolers($A, $B, $down, $slow, $http, $columns, $more, $fewer, $endless, $huge);
poolers_are("pooler = '$B->{label}' AND state = 'refused' AND error ~ 'authentication'",
	'a wrong password');
poolers_are("pooler = '$down->{label}' AND state = 'unreachable'", 'nobody there');
poolers_are("pooler = '$slow->{label}' AND state = 'unreachable' AND error ~ 'in time'",
	'no answer');
poolers_are("pooler = '$http->{label}' AND state <> 'ok' AND error IS NOT NULL",
	'another protocol');
poolers_are("pooler = '$columns->{label}' AND state = 'unreadable' AND error ~ 'columns'",
	'other columns');
poolers_are("pooler = '$_->{label}' AND state = 'unreadable' AND error ~ 'columns'",
	'two sets of rows') foreach $more, $fewer;
poolers_are("pooler = '$endless->{label}' AND state = 'unreadable' AND error ~ 'too'",
	'rows without end');
poolers_are("pooler = '$huge->{label}' AND state IN ('unreachable', 'unreadable')",
	'a message that never ends');
foreach my $b ($B, $down, $slow, $http, $columns, $more, $fewer, $endless, $huge)
{
	# Alerts are looked at once a second.
	ok(wait_until(sub { events("PgBouncer $b->{label} ") eq '1' }, $b->{label}),
		"one alert for $b->{label}");
}
$seen = $node->safe_psql('postgres', 'SELECT now()');
poolers_are("pooler = '$A->{label}' AND state = 'ok' AND seen_at > '$seen'",
	'the one that is well is still asked');
is(cluster_stat($node, 'sampler_pid'), $sampler, 'the sampler has not noticed');
is(cluster_stat($node, 'worker_errors'), '0', 'no error in it');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_other@postgres', max_size => 9)});
ok(wait_sync($node), 'policies take effect meanwhile');
is(psql_as($node, 'r_shop', 'SELECT count(*) FROM pool_stats_pooler'), '0',
	'who has no pool is told of no pooler');

# The right password, and a reload: at once.
write_passfile($A, $B);
$node->reload;
poolers_are("pooler = '$B->{label}' AND state = 'ok'", 'with the right password it is let in');
ok(wait_until(sub { events("PgBouncer $B->{label} answers again") eq '1' }, 'again'),
	'which is told');
end_process($_->{process}) foreach $slow, $http, $columns, $more, $fewer, $endless, $huge;

# ---------------------------------------------------------------------------
# A pool of another server, where one pid is by chance that of a session here
# ---------------------------------------------------------------------------

my $here = open_session($node, 'r_other');
my @far = map { [ qw(far r_other), 4_000_000 + $_ ] } 1 .. 4;
my %answers = (
	'SHOW DATABASES' => [ [qw(name database pool_size)], [qw(far postgres 20)] ],
	'SHOW POOLS' => [ [qw(database user cl_active cl_waiting sv_active sv_idle)],
		[qw(far r_other 5 0 5 0)] ],
	'SHOW STATS' => [ [qw(database)], ['far'] ],
	'SHOW SERVERS' => [ [qw(database user remote_pid)], [ qw(far r_other), $here->pid ], @far ]);
my $chance = start_console(\%answers);
$answers{'SHOW SERVERS'} = [ @{ $answers{'SHOW SERVERS'} }[0, 1], [ qw(far r_other), 4_000_001 ],
	[ qw(far r_other), $here->pid ] ];
my $same = start_console(\%answers);

set_poolers($chance, $same);
poolers_are("pooler = '$same->{label}' AND sv_active = 5 AND tenant = 'r_other\@postgres'",
	'a pool is whose most of its connections are');
poolers_are("pooler = '$chance->{label}' AND sv_active = 5 AND tenant IS NULL",
	'one of five is by chance');
end_process($_->{process}) foreach $chance, $same;

# Who the clients of a pool are: of too many it is not asked, and what cannot be read does no harm.
sub client
{
	my ($user, $state, $address, $application) = @_;

	return [ 'far', $user, $state, $address, $application ];
}

$answers{'SHOW CLIENTS'} = [ [qw(database user state addr application_name)],
	(map { client('r_other', 'active', "10.0.0.$_", 'web') } 1 .. 3),
	client('r_other', 'waiting', '10.0.0.3', 'web'),
	(map { client('r_other', 'active', "10.0.0.$_", "w\xc3\n%s'") } 4, 5),
	(map { client('r_other', 'active', "10.0.0.$_", '') } 4, 4, 6),
	client('r' x 70, 'active', '10.0.0.5', 'long'), client('nobody', 'active', '10.0.0.5', 'no pool') ];
my $callers = start_console(\%answers);
my $asked_at = -s $node->logfile;
my %crowd = (%answers, 'SHOW POOLS' => [ $answers{'SHOW POOLS'}[0], [qw(far r_other 4000 2000 5 0)] ]);
my $crowd = start_console(\%crowd);

set_poolers($callers, $crowd);
poolers_are("pooler = '$callers->{label}' AND tenant = 'r_other\@postgres' AND cl_instances = 7 AND error IS NULL AND
	cl_applications = 'web: 4 clients of 3 instances, 1 waits; (no name): 3 clients of 2 instances; ' ||
		'w??%s'': 2 clients of 2 instances'", 'clients by application');
poolers_are("pooler = '$crowd->{label}' AND cl_active = 4000 AND cl_instances IS NULL AND cl_applications IS NULL",
	'of six thousand it is not asked who they are');
like($node->safe_psql('postgres', q{SELECT pool_client_config('r_other@postgres', 'sqlalchemy', 1)}) =~ s/\n# / /gr,
	qr/Note: 2 instances are clients of its poolers \(cl_instances of pool_stats_pooler\), and this text is for 1\./,
	'the text for a driver knows who is behind the pooler');
unlike(log_since($node, $asked_at), qr/ERROR|FATAL|PANIC/, 'no error');
end_process($_->{process}) foreach $callers, $crowd;
$here->close_and_wait;
set_poolers($A, $B);
poolers_are("pooler = '$B->{label}' AND state = 'ok'", 'back to those that are');

# ---------------------------------------------------------------------------
# Session mode: a connection is a client's as long as that is there
# ---------------------------------------------------------------------------

my $S = new_bouncer('s', settings => ['pool_mode = session', 'default_pool_size = 8']);
write_passfile($A, $B, $S);
start_bouncer($S);
my $sessions = start_pooled_load($S, 'r_batch', 'postgres', 6);
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_batch@postgres', max_size => 3, auto => true)});
wait_sync($node);
set_poolers($S);
event_comes('pool not resized: its pool_mode is session', 'alert', 'a pool in session mode is left alone');
is(config($S, 'default_pool_size'), '8', 'its size stays');
poolers_are(q{pool_mode = 'session' AND auto_problem ~ 'pool_mode is session'}, 'the view says why');
is($node->safe_psql('postgres', 'SELECT stalled_pools, unresized_pools FROM pool_metrics_pooler()'), '0|1',
	'as metrics do');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_batch@postgres', auto => false)});
poolers_are(q{pool_mode = 'session' AND auto_problem IS NULL}, 'until it is not to be resized any more');
end_process($sessions, 'TERM');
end_process($S->{process}, 'INT');

# ---------------------------------------------------------------------------
# An entry with a min_pool_size of its own, which SET does not change: tried once
# ---------------------------------------------------------------------------

my $M = new_bouncer('m', settings => ['default_pool_size = 4'],
	databases => [ 'postgres = host=127.0.0.1 port=' . $node->port . ' dbname=postgres min_pool_size=0' ]);
write_passfile($A, $B, $M);
start_bouncer($M);
my $few = start_pooled_load($M, 'r_batch', 'postgres', 6);
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_batch@postgres', min_size => 4, max_size => 4,
	auto => true)});
wait_sync($node);
set_poolers($M);
method_is('r_batch@postgres', 'recommended_size = 4 AND recommended_min = 4', 'it is to have more');
poolers_are("pooler = '$M->{label}' AND pool_size = 4 AND min_pool_size = 0", 'and has not');
wait_evaluations('r_batch@postgres', 8);
cmp_ok(events("PgBouncer $M->{label}: min_pool_size", 'resize'), '<=', 1, 'and is not told so each time');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_batch@postgres', auto => false)});
end_process($few, 'TERM');
end_process($M->{process}, 'INT');

# ---------------------------------------------------------------------------
# A pool that gets fewer connections than its size says: no size is asked for that cannot come
# ---------------------------------------------------------------------------

my $L = new_bouncer('l', settings => ['default_pool_size = 8']);
write_passfile($A, $B, $L);
start_bouncer($L);
$node->safe_psql('postgres', 'ALTER ROLE r_other CONNECTION LIMIT 3');
my $held = start_pooled_load($L, 'r_other', 'postgres', 12);
set_poolers($L);
poolers_are("pooler = '$L->{label}' AND pool_size = 8 AND sv_active = 3 AND cl_waiting > 0 AND obtainable = 3",
	'a pool that a CONNECTION LIMIT holds is known');
is($node->safe_psql('postgres', 'SELECT stalled_pools, unresized_pools FROM pool_metrics_pooler()'), '1|0',
	'and counted');
event_comes('clients wait, but the pool has got no more than 3 of 8 connections: see CONNECTION LIMIT',
	'alert', 'and told');
method_is('r_other@postgres', q{current_size = 3 AND recommended_size = 3
	AND reason ~ 'cut to 3, as the pooler has got no more for it'}, 'no more is asked for');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_other@postgres', auto => true)});
wait_sync($node);
wait_evaluations('r_other@postgres', 8);
is($node->safe_psql('postgres', "SELECT pool_size, obtainable FROM pool_stats_pooler WHERE pooler = '$L->{label}'"),
	'8|3', 'auto does not make it smaller for that, so that more is seen when there is more');
is(events("PgBouncer $L->{label}: .* clients wait"), '1', 'it is told once');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_other@postgres', auto => false)});
wait_sync($node);
$node->safe_psql('postgres', 'ALTER ROLE r_other CONNECTION LIMIT -1');
poolers_are("pooler = '$L->{label}' AND sv_active = 8 AND obtainable IS NULL", 'until it gets more');
end_process($held, 'TERM');
unlike(slurp_file("$dir/l.r_other.postgres.load"), qr/ERROR|FATAL|aborted|failed to/,
	'which no client has noticed');
end_process($L->{process}, 'INT');

# ---------------------------------------------------------------------------
# Two PgBouncers, of which one has nearly all clients: it gets what the other one does not use
# ---------------------------------------------------------------------------

my ($P, $Q) = map { new_bouncer($_, settings => ['default_pool_size = 4']) } qw(p q);
write_passfile($A, $B, $P, $Q);
start_bouncer($_) foreach $P, $Q;
my @uneven = (start_pooled_load($P, 'r_batch', 'postgres', 20), start_pooled_load($Q, 'r_batch', 'postgres', 1));
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_batch@postgres', min_size => 10, max_size => 10, auto => true)});
wait_sync($node);
set_poolers($P, $Q);
poolers_are("pooler = '$P->{label}' AND pool_size = 9 AND sv_active = 9", 'a pool gets what another does not use');
wait_evaluations('r_batch@postgres', 5);
is($node->safe_psql('postgres', "SELECT pool_size FROM pool_stats_pooler WHERE pooler = '$P->{label}'"), '9', 'and keeps it');
end_process($_, 'TERM') foreach @uneven;
end_process($_->{process}, 'INT') foreach $P, $Q;
unlike(slurp_file($_), qr/ERROR|FATAL|aborted|failed to/, 'no client has noticed') foreach glob("$dir/[pq].*.load");
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_batch@postgres', auto => false)});

# ---------------------------------------------------------------------------
# What is usual in this hour of the week finds its pool ready, however little is known just before
# ---------------------------------------------------------------------------

append_to_file("$dir/rare.sql", "SELECT pg_sleep(2);\n");
my $S = new_bouncer('s', settings => ['default_pool_size = 2']);
write_passfile($A, $B, $S);
start_bouncer($S);
$node->safe_psql('postgres', q{SELECT pool_reset_stats('r_other@postgres');
	SELECT pool_set_sizing('r_other@postgres', auto => true)});
wait_sync($node);
my $rare = start_pooled_load($S, 'r_other', 'postgres', 1, "$dir/rare.sql");
set_poolers($S);
poolers_are("pooler = '$S->{label}' AND tenant = 'r_other\@postgres' AND pool_size = 2", 'a quiet pool');
method_is('r_other@postgres', q{method = 'too_little_data'}, 'of which too little is known');
# The next hour as well, as one may begin meanwhile.
$node->safe_psql('postgres', q{
	INSERT INTO pool_history SELECT date_trunc('hour', now()) - w * interval '7 days' + i * interval '5 min',
		1, 0, 0, 0, 300000, b, b, 99, 99, 0, -1, 0, 1, 1, 1, 1, 1, t
	FROM (VALUES ('', 0::real), ('r_other@postgres', 6)) v (t, b), generate_series(0, 23) i,
		generate_series(1, 4) w ON CONFLICT DO NOTHING;
	DELETE FROM pool_history_profile});
poolers_are("pooler = '$S->{label}' AND pool_size = 6 AND min_pool_size = 6",
	'gets what is usual at this time');
method_is('r_other@postgres', q{method = 'too_little_data' AND reason ~ 'at least 6 are kept ready'},
	'and why is told');
end_process($rare, 'TERM');
end_process($S->{process}, 'INT');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_other@postgres', auto => false)});

# ---------------------------------------------------------------------------
# The include file; a tenant that two poolers share
# ---------------------------------------------------------------------------

my $to = 'host=127.0.0.1 port=' . $node->port;
my $include = "$dir/include.ini";
my $text = <<"INI";
; ours: password='; pool_optimizer begin'
[databases]
outside = $to dbname=postgres pool_size=7
; pool_optimizer begin
shop = $to dbname=postgres application_name='a ''b' pool_size=9 connect_query='SELECT 1'
second = $to dbname=second
; pool_optimizer end
[users]
; pool_optimizer begin
r_other = pool_mode=transaction
; pool_optimizer end
INI

write_text($include, $text, 0640);
my $C = new_bouncer('c', databases => [], settings => ['default_pool_size = 5'],
	include => "%include $include");
write_passfile($A, $B, $C);
start_bouncer($C);
$node->safe_psql('postgres', qq{
	SELECT pool_set_sizing('r_shop\@postgres', min_size => 4, max_size => 4,
		scale_down_step => 0);
	SELECT pool_set_sizing('r_batch\@second', min_size => 2, max_size => 2, auto => true);
	ALTER SYSTEM SET pool_optimizer.pgbouncer_include = '$dir/pipe'});
wait_sync($node);
POSIX::mkfifo("$dir/pipe", 0600) or die "mkfifo: $!";
set_poolers($C, $B);
my @loads = (start_pooled_load($C, 'r_shop', 'shop', 12));
event_comes('pool_optimizer.pgbouncer_include is no regular file', 'alert', 'nor waits for a pipe');
$node->safe_psql('postgres', qq{ALTER SYSTEM SET pool_optimizer.pgbouncer_include = '$include'});
$node->reload;
push @loads, (
	start_pooled_load($C, 'r_batch', 'second', 6),
	start_pooled_load($C, 'r_other', 'outside', 2));
poolers_are(q{datname = 'shop' AND tenant = 'r_shop@postgres' AND pool_size = 4},
	'the entry of one pool is changed');
poolers_are(q{datname = 'second' AND tenant = 'r_batch@second' AND pool_size = 2},
	'one is added to an entry without');
poolers_are(q{datname = 'outside' AND tenant = 'r_other@postgres' AND pool_size = 7},
	'what is not ours stays');
is(slurp_file($include) =~ s/ min_pool_size=\d+//gr,
	$text =~ s/pool_size=9/pool_size=4/r =~ s/(dbname=second)/$1 pool_size=2/r,
	'nothing else in the file has changed');
is((stat $include)[2] & 07777, 0640, 'nor its mode');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_events WHERE kind = 'resize'
	AND detail->>'how' = '[databases]' AND tenant = 'r_shop@postgres'
	AND detail->>'database' = 'shop' AND (detail->>'to')::int = 4}), '1', 'it is told, once');
is_deeply([ glob("$include.pool_optimizer*") ], [], 'no other file is left');
poolers_are(q{datname = 'shop' AND sv_active = 4 AND cl_waiting > 0}, 'connections follow');

# Another PgBouncer reads the same file, and another tenant's pool is of that entry: it is left alone.
my $D = new_bouncer('d', databases => [], settings => ['default_pool_size = 5'],
	include => "%include $include");
write_passfile($A, $B, $C, $D);
start_bouncer($D);
my $same_entry = start_pooled_load($D, 'r_batch', 'shop', 2);
set_poolers($C, $B, $D);
poolers_are("pooler = '$D->{label}' AND datname = 'shop' AND tenant = 'r_batch\@postgres'",
	'an entry that two tenants use');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres', min_size => 6, max_size => 6)});
wait_sync($node);
poolers_are("pooler = '$C->{label}' AND datname = 'shop' AND pool_size = 4 AND auto_problem ~ 'that of other pools'",
	'in different PgBouncers is not changed for one of them');
end_process($same_entry, 'TERM');
end_process($D->{process}, 'INT');
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres', min_size => 4, max_size => 4)});
wait_sync($node);
set_poolers($C, $B);
poolers_are("pooler = '$C->{label}' AND datname = 'shop' AND pool_size = 4 AND auto_problem IS NULL",
	'and nothing is in the way without it');

# A user with an entry: that counts, where PgBouncer gets sizes of users right (1.26).
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_other@postgres', min_size => 3,
	max_size => 3, auto => true)});
wait_sync($node);
my ($minor) = console($C, 'SHOW VERSION') =~ /PgBouncer 1\.(\d+)/;
if (!defined $minor || $minor >= 26)
{
	poolers_are(q{datname = 'outside' AND tenant = 'r_other@postgres' AND pool_size = 3},
		'the entry of a user is changed');
	like(slurp_file($include), qr/^r_other = pool_mode=transaction pool_size=3$/m,
		'in the file, too');
}
else
{
	ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pool_events
		WHERE tenant = 'r_other@postgres' AND reason ~ 'not resized: there are others'}),
		'without sizes of users: an alert');
	unlike(slurp_file($include), qr/^r_other.*pool_size/m, 'and nothing in the file');
}

# The same tenant in two poolers: each gets its part.
push @loads, start_pooled_load($B, 'r_shop', 'postgres', 12);
poolers_are(q{datname = 'shop' AND pool_size = 2}, 'half of it here');
poolers_are("pooler = '$B->{label}' AND tenant = 'r_shop\@postgres' AND pool_size = 2",
	'half of it there');

# One that does not tell us goes on serving its clients: the others do not take its part.
kill 'STOP', $B->{process}{pid};
poolers_are("pooler = '$B->{label}' AND state = 'unreachable'", 'one tells no more');
wait_evaluations('r_shop@postgres', 4);
poolers_are(q{datname = 'shop' AND pool_size = 2}, 'the other keeps its half');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_events WHERE kind = 'resize'
	AND detail->>'database' = 'shop' AND (detail->>'from')::int = 2}), '0', 'all the time');
end_process($loads[-1], 'TERM');
end_process($B->{process});
poolers_are(q{datname = 'shop' AND pool_size = 4}, 'until that one and its connections have gone');

end_process($_, 'TERM') foreach grep { defined $_->{pid} } @loads;
unlike(slurp_file($_), qr/ERROR|FATAL|aborted|failed to/, 'no client has noticed')
  foreach glob("$dir/[bc].*.load");

# ---------------------------------------------------------------------------
# The end
# ---------------------------------------------------------------------------

set_poolers();
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pool_stats_pooler'),
	'without the setting nothing is shown');
my $log = log_since($node);
unlike($log, qr/\Q$SECRET\E|\Q$WRONG\E/, 'no password in the log');
is($node->safe_psql('postgres', "SELECT count(*) FROM pool_events
	WHERE reason || detail::text ~ '$SECRET|$WRONG'"), '0', 'nor in an event');
is(cluster_stat($node, 'sampler_pid'), $sampler, 'still the same sampler');
end_process($_->{process}, 'INT') foreach $A, $C;
stop_clean($node);
done_testing();
