# What auto may touch in PgBouncers, and what it leaves behind: a place that serves another
# tenant, too, or has no effect, is left alone, and what SET has changed is given back.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use BouncerTest;
use PoolTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

need_pgbouncer();

my $node = new_node(-name => 'sized', max_connections => 100);

create_roles($node, qw(r_shop r_batch));
$node->safe_psql('postgres', qq{
	CREATE ROLE r_auth LOGIN SUPERUSER;
	ALTER ROLE r_shop PASSWORD '$SECRET';
	SELECT pool_set_sizing('*', evaluation_interval => '1s')});
wait_sync($node);
visit_from($node);

my $to = 'host=127.0.0.1 port=' . $node->port;
my $down = {
	label => '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port() };
$down->{conninfo} = 'host=127.0.0.1 user=console port=' . $down->{label} =~ s/.*://r;

# r_shop is to have just so many connections.
sub want
{
	my ($size) = @_;

	$node->safe_psql('postgres', "SELECT pool_set_sizing('r_shop\@postgres', min_size => $size,
		max_size => $size, scale_up_step => 0, scale_down_step => 0, auto => true)");
	return wait_sync($node);
}

# An include file with an entry for shop.
sub new_include
{
	my ($name, $entry) = @_;

	write_text("$dir/$name", "[databases]\n; pool_optimizer begin\n" .
		  "shop = $to dbname=postgres$entry\n; pool_optimizer end\n");
	return "$dir/$name";
}

sub set_include
{
	my ($file) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET pool_optimizer.pgbouncer_include = '$file'");
	$node->reload;
	return;
}

sub reloads
{
	my ($b) = @_;

	return scalar(() = slurp_file("$dir/$b->{name}.log") =~ /RELOAD command issued/g);
}

# ---------------------------------------------------------------------------
# An include file that PgBouncer does not read: told once, and not tried at every evaluation
# ---------------------------------------------------------------------------

my $file = new_include('unread.ini', '');
my $F = new_bouncer('f', databases => ["shop = $to dbname=postgres pool_size=8"]);

write_passfile($F);
start_bouncer($F);
my $load = start_pooled_load($F, 'r_shop', 'shop', 12);
want(4);
set_include($file);
set_poolers($F);
poolers_are("pooler = '$F->{label}' AND pool_size = 8 AND auto_problem ~ 'had no effect on it: does PgBouncer'",
	'a file that is not read');
want(5);
wait_evaluations('r_shop@postgres', 8);
cmp_ok(reloads($F), '<=', 2, 'is not loaded again each time');
is(events('pool not resized'), '1', 'and told once');
my $n_reloads = reloads($F);
append_to_file($file, "; mended\n");
ok(wait_until(sub { reloads($F) > $n_reloads }, 'RELOAD'), 'once it is changed it is tried again');
end_process($load, 'TERM');
end_process($F->{process}, 'INT');

# ---------------------------------------------------------------------------
# An entry that another tenant uses, in this PgBouncer or in one that is silent
# ---------------------------------------------------------------------------

$file = new_include('shared.ini', ' pool_size=8');
my ($C, $D) = map { new_bouncer($_, databases => [], include => "%include $file",
	settings => ['server_idle_timeout = 2']) } qw(c d);

write_passfile($C, $D);
start_bouncer($_) foreach $C, $D;
want(4);
set_include($file);
set_poolers($C);
$load = start_pooled_load($C, 'r_shop', 'shop', 12);
poolers_are(q{usename = 'r_shop' AND pool_size = 4 AND auto_problem IS NULL}, 'an entry of one tenant is used');
my $batch = start_pooled_load($C, 'r_batch', 'shop', 2);
poolers_are(q{usename = 'r_batch' AND sv_active > 0}, 'another one comes');
want(6);
poolers_are(q{usename = 'r_shop' AND pool_size = 4 AND auto_problem ~ 'its entry .* is also that of other pools'},
	'then it is left alone, and the way out is no entry there');
end_process($batch, 'TERM');
# Of which min_pool_size keeps some open.
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'r_batch'});
poolers_are(q{usename = 'r_shop' AND pool_size = 6}, 'until that one has gone');

$batch = start_pooled_load($D, 'r_batch', 'shop', 2);
set_poolers($C, $D);
poolers_are(q{usename = 'r_batch' AND tenant = 'r_batch@postgres' AND sv_active > 0}, 'the same in two PgBouncers');
end_process($D->{process});
end_process($batch, 'TERM');
poolers_are("pooler = '$D->{label}' AND state = 'unreachable'", 'of which one is silent now');
want(5);
wait_evaluations('r_shop@postgres', 4);
like(slurp_file($file), qr/pool_size=6/, 'what its pools were is not forgotten');
poolers_are(q{usename = 'r_shop' AND auto_problem ~ 'is also that of other pools'}, 'and told');
set_poolers($C, $down);
want(4);
wait_evaluations('r_shop@postgres', 4);
like(slurp_file($file), qr/pool_size=6/, 'of one that was never read nobody knows');
poolers_are(q{usename = 'r_shop' AND auto_problem ~ 'has not been read yet'}, 'which is told, too');
set_poolers($C);
poolers_are(q{usename = 'r_shop' AND pool_size = 4 AND auto_problem IS NULL}, 'without it the entry is free');
end_process($load, 'TERM');
end_process($C->{process}, 'INT');

# ---------------------------------------------------------------------------
# Logins that PgBouncer asks the server for: the pool it does that with is nobody's
# ---------------------------------------------------------------------------

$file = new_include('auth.ini', '');
my $U = new_bouncer('u', databases => [], include => "%include $file", users => [qw(r_auth console)],
	settings => [ 'default_pool_size = 8', 'auth_user = r_auth',
		'auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1' ]);

write_passfile($U);
start_bouncer($U);
set_include('');
$load = start_pooled_load($U, 'r_shop', 'shop', 12);
set_poolers($U);
poolers_are(q{usename = 'r_auth' AND sv_idle > 0}, 'a pool that only asks for passwords');
poolers_are(q{usename = 'r_shop' AND pool_size = 4}, 'does not keep SET from being used');
is(config($U, 'min_pool_size'), '0', 'and gets no more connections by it');
wait_evaluations('r_shop@postgres', 3);
is(events("PgBouncer $U->{label}: .* back", 'resize'), '0', 'nor is that given back');
set_include($file);
want(5);
poolers_are(q{usename = 'r_shop' AND pool_size = 5}, 'nor an entry');
like(slurp_file($file), qr/pool_size=5/, 'which has changed');
end_process($load, 'TERM');
end_process($U->{process}, 'INT');
set_include('');

# ---------------------------------------------------------------------------
# SET: what was there before is known as long as the worker is
# ---------------------------------------------------------------------------

my ($A, $B) = map { new_bouncer($_, settings => [ 'default_pool_size = 8', 'server_idle_timeout = 2' ]) } qw(a b);

write_passfile($A, $B);
start_bouncer($_) foreach $A, $B;
want(6);
set_poolers($A);
$load = start_pooled_load($A, 'r_shop', 'postgres', 24);
poolers_are(q{usename = 'r_shop' AND pool_size = 6}, 'SET');
set_poolers($A, $down);
poolers_are("pooler = '$down->{label}' AND state = 'unreachable'", 'there is another PgBouncer');
$batch = start_pooled_load($A, 'r_batch', 'postgres', 2);
poolers_are(q{usename = 'r_batch' AND pool_size = 8}, 'and yet a second pool has what was configured');
is(config($A, 'default_pool_size'), '8', 'again');
end_process($batch, 'TERM');
poolers_are(q{usename = 'r_shop' AND pool_size = 6}, 'SET again when that has gone');
set_poolers($B);
ok(wait_until(sub { config($A, 'default_pool_size') == 8 && config($A, 'min_pool_size') == 0 }, 'back'),
	'one that is visited no more has what was configured');
set_poolers($A);
poolers_are(q{usename = 'r_shop' AND pool_size = 6}, 'until it is');
set_poolers();
ok(wait_until(sub { config($A, 'default_pool_size') == 8 && config($A, 'min_pool_size') == 0 }, 'back'),
	'so it does when the setting is empty');

# The operator writes the same size into the configuration.
set_poolers($A);
poolers_are(q{usename = 'r_shop' AND pool_size = 6 AND min_pool_size > 0}, 'SET');
write_text("$dir/a.ini", slurp_file("$dir/a.ini") =~ s/(default_pool_size =) 8/$1 6/r);
console($A, 'RELOAD');
$batch = start_pooled_load($A, 'r_batch', 'postgres', 2);
poolers_are(q{usename = 'r_batch' AND sv_active > 0 AND min_pool_size = 0}, 'a second pool');
wait_evaluations('r_shop@postgres', 3);
is(config($A, 'default_pool_size'), '6', 'what the operator has configured stays');
end_process($batch, 'TERM');
set_poolers();

# ---------------------------------------------------------------------------
# Consoles that are none; the load goes on beside, so that the tenant's size is known
# ---------------------------------------------------------------------------

my $shop = open_session($node, 'r_shop');

# What they say beside databases and pools: that session is their pool's, and what was SET.
sub shows_session
{
	my ($command, %now) = @_;

	return [ [qw(database user remote_pid)], [ qw(one r_shop), $shop->pid ] ] if $command eq 'SHOW SERVERS';
	return [ ['database'], ['one'] ] if $command eq 'SHOW STATS';
	return [ [qw(key value)], map { [ $_, $now{$_} ] } keys %now ] if $command eq 'SHOW CONFIG';
	return 'error';
}

# One whose second pool is shown once SET min_pool_size has got no answer.
sub start_losing
{
	my ($log) = @_;
	my %now = (default_pool_size => 8, min_pool_size => 0);
	my $lost = 0;

	return start_console(sub {
		my ($command) = @_;
		my ($key, $value) = $command =~ /^SET (\w+) = (\d+)/;

		append_to_file($log, "$command\n") if defined $key;
		return undef if defined $key && $key eq 'min_pool_size' && !$lost++;
		$now{$key} = $value if defined $key;
		return '' if defined $key;
		return [ [qw(name database pool_size)], [ 'one', 'postgres', $now{default_pool_size} ] ]
		  if $command eq 'SHOW DATABASES';
		return [ [qw(database user cl_active cl_waiting sv_active sv_idle)],
			([qw(one r_shop 5 0 1 0)], [qw(one r_batch 1 0 1 0)])[ 0 .. ($lost ? 1 : 0) ] ]
		  if $command eq 'SHOW POOLS';
		return shows_session($command, %now);
	});
}

my $losing = start_losing("$dir/losing.log");

want(4);
method_is('r_shop@postgres', 'recommended_size = 4', 'a size to be SET');
set_poolers($losing);
ok(wait_until(sub { -e "$dir/losing.log" && slurp_file("$dir/losing.log") =~
		/\ASET default_pool_size = 4\nSET min_pool_size = \d+\n(.*\n)*SET default_pool_size = 8\nSET min_pool_size = 0\n/ },
		'back'), 'a console lost over SET: what was set is given back when it is there again')
  or diag(slurp_file("$dir/losing.log"));
set_poolers();
end_process($losing->{process});

# From 1.21 on PgBouncer fills up pools of databases with a user of their own, whether used or not.
sub start_forced
{
	my ($log) = @_;
	my %now = (default_pool_size => 8, min_pool_size => 0);

	return start_console(sub {
		my ($command) = @_;

		append_to_file($log, "$command\n") if $command =~ /^SET/;
		$now{$1} = $2 if $command =~ /^SET (\w+) = (\d+)/;
		return '' if $command =~ /^SET/;
		return [ [qw(name database force_user pool_size min_pool_size)],
			map { [ @$_, @now{qw(default_pool_size min_pool_size)} ] } [ 'one', 'postgres', '' ],
			[qw(two postgres r_batch)] ] if $command eq 'SHOW DATABASES';
		return [ [qw(database user cl_active cl_waiting sv_active sv_idle)], [qw(one r_shop 5 0 1 0)] ]
		  if $command eq 'SHOW POOLS';
		return shows_session($command, %now);
	});
}

my $forced = start_forced("$dir/forced.log");

set_poolers($forced);
poolers_are(q{datname = 'one' AND pool_size = 4}, 'beside a database with a user of its own the size is SET');
wait_evaluations('r_shop@postgres', 3);
is(slurp_file("$dir/forced.log"), "SET default_pool_size = 4\n", 'and nothing kept open');
set_poolers();
end_process($forced->{process});

# ---------------------------------------------------------------------------
# A PgBouncer that lets us look and no more
# ---------------------------------------------------------------------------

$file = new_include('looked.ini', ' pool_size=8');
my $V = new_bouncer('v', databases => [], include => "%include $file",
	settings => [ 'admin_users =', 'stats_users = console' ]);

write_passfile($V);
start_bouncer($V);
set_include($file);
my $looked = start_pooled_load($V, 'r_shop', 'shop', 6);
set_poolers($V);
event_comes('pool resized 8 -> 4 .\[databases\], not yet in force', 'resize', 'a file that was written is an event');
like(slurp_file($file), qr/pool_size=4/, 'although RELOAD is refused');
poolers_are(q{usename = 'r_shop' AND pool_size = 8 AND auto_problem IS NOT NULL}, 'which is told');
want(5);
wait_evaluations('r_shop@postgres', 4);
like(slurp_file($file), qr/pool_size=4/, 'nor is it written as long as that is so');
end_process($looked, 'TERM');
end_process($V->{process}, 'INT');

# ---------------------------------------------------------------------------
# On paper, 300 pools and a large file: it is read once in a visit
# ---------------------------------------------------------------------------

my @many = map { "d$_" } 1 .. 300;
my $many = start_console({
	'SHOW DATABASES' => [ [qw(name database pool_size)], map { [ $_, 'postgres', 20 ] } @many ],
	'SHOW POOLS' => [ [qw(database user cl_active cl_waiting sv_active sv_idle)],
		map { [ $_, qw(r_shop 5 0 1 0) ] } @many ],
	'SHOW STATS' => [ [qw(database)], map { [$_] } @many ],
	'SHOW SERVERS' => [ [qw(database user remote_pid)], map { [ $_, 'r_shop', $shop->pid ] } @many ]});

append_to_file($file, '; ' . 'x' x 2_000_000 . "\n");
$node->append_conf('postgresql.conf', 'pool_optimizer.mode = observe');
set_poolers($many);
poolers_are("pooler = '$many->{label}' AND datname = 'd300' AND auto_problem IS NOT NULL", 'many pools');
SKIP:
{
	my $postmaster = $node->{_pid};

	skip 'no /proc to read', 1 unless -r "/proc/$postmaster/status";
	# It has no database, and so pg_stat_activity does not show it.
	my ($visitor) = grep { defined && /^PPid:\s+$postmaster$/m } map {
		my $process = $_;

		eval { slurp_file("$process/cmdline") =~ /pool_optimizer pooler/ ? slurp_file("$process/status") : undef }
	} glob('/proc/[0-9]*');
	my ($most) = $visitor =~ /^VmHWM:\s+(\d+) kB/m;

	cmp_ok($most, '<', 60_000, 'memory does not grow by their number');
}

end_process($load, 'TERM');
$shop->close_and_wait;
set_poolers();
stop_clean($node);
done_testing();
