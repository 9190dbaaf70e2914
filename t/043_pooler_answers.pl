# What PgBouncers of other versions and sizes than this machine's tell, and how they run, and what auto
# makes of it: consoles that are none, mostly.
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

my $node = new_node(-name => 'told', max_connections => 100);

create_roles($node, qw(r_shop r_batch));
$node->safe_psql('postgres', q{SELECT pool_set_sizing('*', evaluation_interval => '1s')});
wait_sync($node);
visit_from($node);

# So that the tenant's size is known whatever the consoles say, and a session to be that of their pools.
my $load = start_pooled_load({ name => 'direct', port => $node->port }, 'r_shop', 'postgres', 12);
my $shop = open_session($node, 'r_shop');
my $file = "$dir/include.ini";

sub want
{
	my ($size) = @_;

	$node->safe_psql('postgres', "SELECT pool_set_sizing('r_shop\@postgres', min_size => $size,
		max_size => $size, scale_up_step => 0, scale_down_step => 0, auto => true)");
	return method_is('r_shop@postgres', "recommended_size = $size", "$size connections are to be had");
}

sub set_include
{
	my ($text) = @_;

	write_text($file, $text) if defined $text;
	$node->safe_psql('postgres', "ALTER SYSTEM SET pool_optimizer.pgbouncer_include = '" .
		  (defined $text ? $file : '') . "'");
	$node->reload;
	return;
}

sub marked
{
	my ($section, $entry) = @_;

	return "[$section]\n; pool_optimizer begin\n$entry\n; pool_optimizer end\n";
}

# What the entry of the include file says.
sub in_file
{
	return slurp_file($file) =~ /pool_size=(\d+)/ ? $1 : undef;
}

# A console that notes what it is told; what it has no answer to is answered as of one pool of r_shop in
# the database "app", whose connection is our session.
sub start_noting
{
	my ($name, $answer, $version) = @_;
	my %usual = (
		'SHOW DATABASES' => [ [qw(name database pool_size)], [qw(app postgres 8)] ],
		'SHOW POOLS' => [ [qw(database user cl_active cl_waiting sv_active sv_idle)], [qw(app r_shop 5 0 1 0)] ],
		'SHOW STATS' => [ ['database'], ['app'] ],
		'SHOW SERVERS' => [ [qw(database user remote_pid)], [ qw(app r_shop), $shop->pid ] ]);

	write_text("$dir/$name.told", '');
	my $console = start_console(sub {
		my ($command) = @_;

		append_to_file("$dir/$name.told", "$command\n");
		return $answer->($command) // $usual{$command} // 'error';
	}, $version);
	$console->{told} = "$dir/$name.told";
	return $console;
}

# Until it has been visited so many more times.
sub wait_visits
{
	my ($console, $n) = @_;
	my $visits = sub { return scalar(() = slurp_file($console->{told}) =~ /^SHOW POOLS$/mg) };
	my $until = $visits->() + $n;

	return wait_until(sub { $visits->() >= $until }, "$n visits");
}

sub end_console
{
	my ($console) = @_;

	set_poolers();
	end_process($console->{process});
	return;
}

# ---------------------------------------------------------------------------
# A size in [users]: to let go what is beyond it would close the connections of all the database's pools
# ---------------------------------------------------------------------------

want(4);
set_include(marked('users', 'r_shop = pool_size=8'));
# What another server is just writing, which has the same file by mistake.
write_text("$file.pool_optimizer", 'half of it');
write_text("$file.pool_optimizer.1", 'half of it');
my $size = 8;
my $users = start_noting('users', sub {
	my ($command) = @_;

	$size = in_file() if $command eq 'RELOAD';
	return '' if $command =~ /^RE/;
	return [ [qw(name pool_size)], [ 'r_shop', $size ] ] if $command eq 'SHOW USERS';
	return [ [qw(database user cl_active cl_waiting sv_active sv_idle)], [qw(app r_shop 8 4 8 0)],
		-e "$dir/alone" ? () : [qw(app r_batch 1 0 1 0)] ] if $command eq 'SHOW POOLS';
	return undef;
}, '1.26.0');

set_poolers($users);
poolers_are(q{usename = 'r_shop' AND pool_size = 4 AND sv_active = 8}, 'a size in [users] is changed');
is_deeply([ map { [ $_, slurp_file($_) ] } glob("$file.pool_optimizer*") ],
	[ map { [ "$file.pool_optimizer$_", 'half of it' ] } '', '.1' ], 'without touching what another server writes');
wait_visits($users, 2);
like(slurp_file($users->{told}), qr/^RELOAD\n(SHOW (?!CONFIG).*\n)+SHOW STATS\n(SHOW (?!POOLS).*\n)+SHOW CONFIG\n/m,
	'what it has read again is asked for at the next visit');
wait_visits($users, 8);
unlike(slurp_file($users->{told}), qr/RECONNECT/, 'connections of others than its pool are not closed for that');
write_text("$dir/alone", '');
ok(wait_until(sub { slurp_file($users->{told}) =~ /^RECONNECT "app"$/m }, 'RECONNECT'), 'until there are none');
end_console($users);

# ---------------------------------------------------------------------------
# auth_user may change while the console stays connected
# ---------------------------------------------------------------------------

set_include(undef);
my %set = (default_pool_size => 8, min_pool_size => 0);
my $asks = start_noting('asks', sub {
	my ($command) = @_;
	my %config = (%set, auth_user => -e "$dir/asks" ? 'r_batch' : '');

	$set{$1} = $2 if $command =~ /^SET (\w+) = (\d+)/;
	return '' if $command =~ /^SET/;
	return [ [qw(name database pool_size)], [ 'app', 'postgres', $set{default_pool_size} ] ]
	  if $command eq 'SHOW DATABASES';
	return [ [qw(database user cl_active cl_waiting sv_active sv_idle)], [qw(app r_shop 5 0 1 0)],
		[qw(app r_batch 0 0 0 1)] ] if $command eq 'SHOW POOLS';
	return [ [qw(key value)], map { [ $_, $config{$_} ] } sort keys %config ] if $command eq 'SHOW CONFIG';
	return undef;
});

set_poolers($asks);
poolers_are(q{usename = 'r_shop' AND auto_problem ~ 'there are others'}, 'beside a pool of another user nothing is SET');
write_text("$dir/asks", '');
poolers_are(q{usename = 'r_shop' AND pool_size = 4 AND auto_problem IS NULL},
	'beside one that has come to be that of auth_user it is');
end_console($asks);

# ---------------------------------------------------------------------------
# Who the clients are: of a database with a user of its own, and by a Unix socket
# ---------------------------------------------------------------------------

my @clients = map { [ 'app', @$_ ] } [qw(alice 10.0.0.1 web 0)], [qw(bob 10.0.0.1 web 0)], [qw(bob 10.0.0.2 web 0)],
  [qw(alice unix web 4711)], [qw(bob unix web 4712)], [qw(bob unix web 4712)];
my $forced = start_noting('forced', sub {
	my ($command) = @_;

	return [ [qw(name database force_user pool_size)], [qw(app postgres r_shop 8)] ] if $command eq 'SHOW DATABASES';
	return [ [qw(database user state addr application_name remote_pid)],
		map { [ @$_[ 0, 1 ], 'active', @$_[ 2 .. 4 ] ] } @clients ] if $command eq 'SHOW CLIENTS';
	return undef;
});

set_poolers($forced);
poolers_are(q{usename = 'r_shop' AND cl_instances = 4 AND cl_applications = 'web: 6 clients of 4 instances'},
	'clients are those of the pool, whoever they log in as, and told apart by their processes');
end_console($forced);

# ---------------------------------------------------------------------------
# 1500 databases are configured, and the last one is used; a user's name is longer than a role's can be
# ---------------------------------------------------------------------------

my $many = start_noting('many', sub {
	my ($command) = @_;

	return [ [qw(name database pool_size)], (map { [ sprintf('a%04d', $_), 'postgres', 20 ] } 1 .. 1500),
		[qw(app postgres 8)] ] if $command eq 'SHOW DATABASES';
	return [ [qw(name pool_size)], map { [ $_, 5 ] } 'u' x 70, map { "u$_" } 1 .. 1500 ] if $command eq 'SHOW USERS';
	return undef;
});

$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_shop@postgres', auto => false)});
set_poolers($many);
poolers_are(q{datname = 'app' AND tenant = 'r_shop@postgres' AND pool_size = 8 AND state = 'ok' AND error IS NULL},
	'a pool of one database among many is seen as it is');
end_console($many);

# ---------------------------------------------------------------------------
# An include file that another role may read by an ACL, which the one that replaces it would not have
# ---------------------------------------------------------------------------

SKIP:
{
	# What "setfacl -m u:1:r" does: an owner who may write, user 1 and the mask who may read, nobody else.
	my $none = 0xFFFFFFFF;
	my $acl = pack('V' . 'vvV' x 5, 2, (1, 6, $none), (2, 4, 1), (4, 0, $none),
		(16, 4, $none), (32, 0, $none));
	my $attribute = 'system.posix_acl_access';

	set_include(marked('databases', 'app = host=x pool_size=8'));
	skip 'no ACLs', 3 unless eval {
		require 'syscall.ph';
		syscall(&SYS_setxattr, $file, $attribute, $acl, length $acl, 0) == 0 };
	is((stat $file)[2] & 07777, 0640, 'a file with an ACL');
	my $with_acl = start_noting('acl', sub { return undef });

	want(4);
	set_poolers($with_acl);
	poolers_are(q{usename = 'r_shop' AND auto_problem ~ 'has an ACL, which would be lost'}, 'is not replaced');
	is(in_file(), '8', 'nor changed');
	end_console($with_acl);
}
unlink $file;

# ---------------------------------------------------------------------------
# A console that takes nearly all the time there is to answer: what is applied has time of its own
# ---------------------------------------------------------------------------

want(4);
set_include(marked('databases', 'app = host=x pool_size=8'));
$size = 8;
my $slow = start_noting('slow', sub {
	my ($command) = @_;

	sleep($command eq 'RELOAD' ? 2 : $command eq 'SHOW DATABASES' ? 4 : 0);
	$size = in_file() if $command eq 'RELOAD';
	return '' if $command eq 'RELOAD';
	return [ [qw(name database pool_size)], [ 'app', 'postgres', $size ] ] if $command eq 'SHOW DATABASES';
	return undef;
});

set_poolers($slow);
event_comes("PgBouncer $slow->{label}: pool resized 8 -> 4 .\\[databases\\].\$", 'resize',
	'a RELOAD late in a visit is waited for');
end_console($slow);
set_include(undef);

# ---------------------------------------------------------------------------
# One PgBouncer reads the include file, another one has an entry of the same name of its own
# ---------------------------------------------------------------------------

my $to = 'host=127.0.0.1 port=' . $node->port . ' dbname=postgres';
my $reads = new_bouncer('reads', databases => [], settings => ['server_idle_timeout = 2'], include => "%include $file");
my $own = new_bouncer('own', databases => ["shop = $to"],
	settings => [ 'default_pool_size = 8', 'server_idle_timeout = 2' ]);

sub reloads
{
	my ($b) = @_;

	return scalar(() = slurp_file("$dir/$b->{name}.log") =~ /RELOAD command issued/g);
}

# Both pools have that size.
sub both_have
{
	my ($n, $what) = @_;

	return ok($node->poll_query_until('postgres', "SELECT count(*) = 2 FROM pool_stats_pooler
		WHERE usename = 'r_shop' AND pool_size = $n AND auto_problem IS NULL"), $what)
	  || diag($node->safe_psql('postgres', 'SELECT * FROM pool_stats_pooler'));
}

end_process($load, 'TERM');
set_include(marked('databases', "shop = $to pool_size=8"));
write_passfile($reads, $own);
start_bouncer($_) foreach $reads, $own;
my @loads = map { start_pooled_load($_, 'r_shop', 'shop', 12) } $reads, $own;
want(6);
set_poolers($reads, $own);
both_have(3, 'one that does not read the file is SET');
my $n_reloads = reloads($own);
cmp_ok($n_reloads, '<=', 1, 'after the file was tried with it');
want(4);
both_have(2, 'and again');
want(10);
both_have(5, 'and again');
is(reloads($own), $n_reloads, 'which is not tried again whenever it changes for the other one');
set_poolers();
end_process($_, 'TERM') foreach @loads;
end_process($_->{process}, 'INT') foreach $reads, $own;
set_include(undef);

# ---------------------------------------------------------------------------
# so_reuseport: by TCP one of several processes answers, by its Unix socket a certain one
# ---------------------------------------------------------------------------

my $one = new_bouncer('one', settings => [ 'default_pool_size = 8', 'so_reuseport = 1', "unix_socket_dir = $dir" ]);

write_passfile($one);
append_to_file($passfile, "*:$one->{port}:pgbouncer:console:$SECRET\n");
start_bouncer($one);
my $of_many = start_pooled_load($one, 'r_shop', 'postgres', 12);
want(4);
set_poolers($one);
poolers_are("pooler = '$one->{label}' AND usename = 'r_shop' AND auto_problem ~ 'name each one .* its own Unix socket'",
	'one of several processes is not resized');
wait_evaluations('r_shop@postgres', 3);
is(config($one, 'default_pool_size'), '8', 'its size stays');
set_poolers({ conninfo => $one->{conninfo} =~ s/host=\S+/host=$dir/r });
poolers_are("pooler = '$dir:$one->{port}' AND pool_size = 4 AND auto_problem IS NULL", 'one that was named by its socket is');
set_poolers();
end_process($of_many, 'TERM');
end_process($one->{process}, 'INT');

# ---------------------------------------------------------------------------
# The end
# ---------------------------------------------------------------------------

$shop->close_and_wait;
stop_clean($node);
done_testing();
