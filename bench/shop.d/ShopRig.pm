# The rig of bench/shop: a throw-away primary with the extension and the shop's data, its
# standby, a PgBouncer in front of both, and pgbench.  What is general is bench/regret's.
package ShopRig;

use strict;
use warnings;

use File::Temp qw(tempdir);
use List::Util qw(sum0);
use Time::HiRes qw(time usleep);

use Rig;
use Shop;

our ($server, $shop, $admin);	# psql sessions: extension's database, the shop's, PgBouncer's console
our %scripts;
my $PRIMARY = 5432;
my $STANDBY = 5433;
my $POOLER = 6432;
my $STATE_TIMEOUT = 60;

my (%sizes, %runs, $pooler);

# ---------- start and end ----------

# Scripts: name => text.
sub start
{
	my ($pg_config, $scale, $scripts) = @_;

	chomp($Rig::bin = `$pg_config --bindir`);
	$Rig::work = tempdir('pool_shop.XXXXXX', TMPDIR => 1);
	delete @ENV{ grep { /^PG/ } keys %ENV };
	@ENV{qw(PGHOST LC_ALL)} = ($Rig::work, 'C');
	%sizes = Shop::sizes($scale);
	%scripts = %$scripts;
	mkdir "$Rig::work/scripts" or die "$Rig::work: $!\n";
	Rig::write_file("$Rig::work/scripts/$_.sql", $scripts{$_}) foreach keys %scripts;
	start_primary();
	start_standby();
	start_pooler();
	return;
}

sub stop
{
	return unless defined $Rig::work;
	foreach my $name (keys %runs)
	{
		system "$Rig::bin/pg_ctl -D $Rig::work/$name -m immediate -w stop >>$Rig::work/commands.log 2>&1";
	}
	Rig::stop();
	return;
}

sub start_server
{
	my ($name) = @_;
	my $log = $name eq 'data' ? 'server' : $name;

	Rig::run("$Rig::bin/pg_ctl -D $Rig::work/$name -l $Rig::work/$log.log -t 300 -w start");
	$runs{$name} = 1;
	return;
}

sub stop_server
{
	my ($name) = @_;

	Rig::run("$Rig::bin/pg_ctl -D $Rig::work/$name -m fast -t 300 -w stop");
	delete $runs{$name};
	return;
}

sub start_primary
{
	my $data = "$Rig::work/data";

	Rig::run("$Rig::bin/initdb -D $data -U postgres -A trust --no-sync --no-locale -E UTF8");
	Rig::write_file("$data/postgresql.conf", <<"C");
listen_addresses = ''
unix_socket_directories = '$Rig::work'
port = $PRIMARY
max_connections = 100
shared_preload_libraries = 'pool_optimizer'
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
# Neither the disk nor a second processor for one session is what is measured.
fsync = off
jit = off
max_parallel_workers_per_gather = 0
C
	start_server('data');
	connect_primary();
	$server->query('CREATE EXTENSION pool_optimizer');
	$server->query('CREATE DATABASE shop');
	$server->query("CREATE ROLE $_ LOGIN") foreach @Shop::services;
	# The least there is: a run has seconds where a server has days.
	$server->query("SELECT pool_set_sizing('*', evaluation_interval => '1s')");
	my $set = join ' ', map { "-v $_=$sizes{$_}" } sort keys %sizes;

	Rig::run("$Rig::bin/psql -X -q -v ON_ERROR_STOP=1 $set -p $PRIMARY -U postgres "
		. "-f $Rig::work/scripts/schema.sql shop");
	$shop = Psql->new($PRIMARY, 'postgres', 'shop');
	$shop->query('CREATE EXTENSION IF NOT EXISTS pg_prewarm') if has_prewarm();
	# Asked in the shop's database, a finding can name its tables.
	$shop->query('CREATE EXTENSION pool_optimizer');
	$shop->query('VACUUM ANALYZE');
	return;
}

sub has_prewarm
{
	return $server->query("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_prewarm'") > 0;
}

sub connect_primary
{
	$server = Psql->new($PRIMARY, 'postgres', 'postgres');
	return;
}

sub start_standby
{
	my $data = "$Rig::work/standby";

	Rig::run("$Rig::bin/pg_basebackup -D $data -p $PRIMARY -U postgres -R -c fast --no-sync");
	Rig::write_file("$data/postgresql.conf", "port = $STANDBY\nshared_buffers = 256MB\n");
	start_server('standby');
	return;
}

sub start_pooler
{
	my $path = Rig::pooler_program();

	write_pools();
	Rig::write_file("$Rig::work/users", join '', map { "\"$_\" \"\"\n" } 'pgbouncer', @Shop::services);
	Rig::write_file("$Rig::work/pgbouncer.ini", <<"C");
%include $Rig::work/pools.ini
[pgbouncer]
listen_addr =
unix_socket_dir = $Rig::work
listen_port = $POOLER
auth_type = trust
auth_file = $Rig::work/users
admin_users = pgbouncer
pool_mode = transaction
max_client_conn = 2000
query_wait_timeout = 0
server_login_retry = 1
logfile = $Rig::work/pgbouncer.log
pidfile = $Rig::work/pgbouncer.pid
C
	$pooler = Rig::start_child('pgbouncer', sub { exec $path, '-q', "$Rig::work/pgbouncer.ini" });
	my $deadline = time() + 30;

	until (-S "$Rig::work/.s.PGSQL.$POOLER")
	{
		die "shop: pgbouncer does not start\n" . Rig::tail("$Rig::work/pgbouncer.log")
		  if time() > $deadline;
		usleep(20_000);
	}
	$admin = Psql->new($POOLER, 'pgbouncer', 'pgbouncer');
	return;
}

# A pool for each service, so that each can have its own size: shop_web, ..., and shop_standby.
sub write_pools
{
	my (%size) = @_;

	unlink "$Rig::work/pools.ini";
	Rig::write_file("$Rig::work/pools.ini", join '', "[databases]\n",
		"shop_standby = host=$Rig::work port=$STANDBY dbname=shop\n",
		map { "shop_$_ = host=$Rig::work port=$PRIMARY dbname=shop pool_size=" . ($size{$_} // 20)
			. "\n" } @Shop::services);
	return;
}

sub set_sizes
{
	write_pools(@_);
	$admin->query('RELOAD');
	# What is open beyond the size is closed.
	$admin->query("RECONNECT shop_$_") foreach @Shop::services;
	return;
}

# As a server that has just begun to be watched: statistics and findings of the run before are
# gone, windows are empty, the data are in memory.
sub start_anew
{
	$server->query('SELECT pool_reset_stats()');
	$_->end foreach $server, $shop;
	stop_server('data');
	start_server('data');
	connect_primary();
	$shop = Psql->new($PRIMARY, 'postgres', 'shop');
	$shop->query("SELECT sum(pg_prewarm(oid)) FROM pg_class WHERE relkind IN ('r', 'i') "
		. "AND relnamespace = 'public'::regnamespace") if has_prewarm();
	$server->query('SELECT pool_reset_stats()');
	return;
}

# ---------- load ----------

sub database_of
{
	my ($p) = @_;

	return $p->{pooled} ? 'shop_' . ($p->{standby} ? 'standby' : $p->{service}) : 'shop';
}

sub port_of
{
	my ($p) = @_;

	return $p->{pooled} ? $POOLER : $p->{standby} ? $STANDBY : $PRIMARY;
}

# One pgbench: a service's scripts, by one way.
sub start_clients
{
	my (%p) = @_;
	my $out = "$Rig::work/pgbench.$p{service}." . ($p{standby} ? 'standby' : 'primary');
	my $rate = 0;
	my @files;

	foreach my $script (sort keys %{ $p{load} })
	{
		my $weight = int(100 * $p{load}{$script} + 0.5);

		next if $weight <= 0;
		$rate += $p{load}{$script};
		push @files, '-f', "$Rig::work/scripts/$script.sql\@$weight";
	}
	return () unless @files;
	# This PgBouncer may be one that does not know prepared statements.
	my @command = ("$Rig::bin/pgbench", '-n', '-M', $p{pooled} ? 'extended' : 'prepared',
		'-p', port_of(\%p), '-U', $p{service},
		'-c', $p{clients}, '-R', $rate, '-T', $p{seconds}, '--random-seed=1',
		$p{churn} ? '-C' : (), @files,
		map({ ('-D', "$_=$sizes{$_}") } sort keys %sizes),
		'-D', "trip=$p{trip}", '-D', "payment=$Shop::PAYMENT_MS",
		database_of(\%p));

	unlink $out;
	my $pid = Rig::start_child('pgbench', sub {
		open STDOUT, '>>', $out or die $!;
		open STDERR, '>&', \*STDOUT or die $!;
		exec @command;
	});

	return { service => $p{service}, standby => $p{standby}, pid => $pid, out => $out, rate => $rate };
}

# Of one pgbench that has ended: how much of its load it carried, and how fast (ms).
sub result_of
{
	my ($clients, $seconds) = @_;
	my $text = Rig::contents($clients->{out});
	my ($n) = $text =~ /^number of transactions actually processed: (\d+)/m;
	my ($latency) = $text =~ /^latency average = ([\d.]+) ms/m;

	die "shop: pgbench of $clients->{service} has failed\n" . Rig::tail($clients->{out})
	  if !defined $n || $text =~ /aborted|error:/;
	return { carried => $n / ($clients->{rate} * $seconds), latency_ms => $latency };
}

# Waits for the end of all; those that cannot keep up with their schedule are ended.
sub finish
{
	my ($deadline, @clients) = @_;

	foreach my $clients (@clients)
	{
		usleep(20_000) until waitpid($clients->{pid}, POSIX::WNOHANG()) != 0 || time() > $deadline;
		Rig::stop_child($clients->{pid});
	}
	return;
}

# ---------- many clients ----------

# Value of an expression of a script without variables but those that are given for all.
sub constant
{
	my ($text) = @_;

	$text =~ s/:(\w+)/$sizes{$1} \/\/ die "shop: no constant: $1\n"/ge;
	$text =~ /^[-+*\/() \d]*$/ or die "shop: no constant: $text\n";
	return int(eval "use integer; $text");
}

# A pgbench script as a plan of clients.c.
sub plan_of
{
	my ($script, $p) = @_;
	my %given = (%sizes, trip => $p->{trip}, payment => $Shop::PAYMENT_MS);
	my (%number, @lines);
	my $variable = sub { return $number{ $_[0] } //= keys %number };

	foreach my $line (split /\n/, $scripts{$script})
	{
		if ($line =~ /^\\set (\w+) random\((.*), (.*)\)(?: \* (\d+))?$/)
		{
			my ($name, $least, $most, $times) = ($1, $2, $3, $4);
			my $v = $variable->($name);

			push @lines, "random $v " . constant($least) . ' ' . constant($most);
			push @lines, "linear $v $v $times 0" if $times;
		}
		elsif ($line =~ /^\\set (\w+) :(\w+) (.*)$/)
		{
			push @lines, 'linear ' . $variable->($1) . ' ' . $variable->($2) . ' 1 ' . constant("0 $3");
		}
		elsif ($line =~ /^\\sleep :(\w+) (us|ms)$/)
		{
			push @lines, 'sleep ' . $given{$1} * ($2 eq 'ms' ? 1000 : 1);
		}
		elsif ($line =~ /^([^\\-].*?)(?:;| \\gset)$/)
		{
			my $sql = $1;
			my $result = $line =~ /gset$/ ? $variable->('id') : -1;
			my @parameters;

			$sql =~ s/(?<!:):(\w+)/push @parameters, $1; '$' . @parameters/ge;
			push @lines, map { 'random ' . $variable->($_) . " $sizes{$_} $sizes{$_}" }
			  grep { exists $sizes{$_} && !exists $number{$_} } @parameters;
			push @lines, join ' ', "query $result", scalar @parameters,
			  map({ $variable->($_) } @parameters), $sql;
		}
		elsif ($line !~ /^--/) { die "shop: $script: $line\n"; }
	}
	return @lines;
}

# Of one service by one way, so many clients for each request a second.
sub plan_of_service
{
	my (%p) = @_;
	my %load = map { $p{load}{$_} > 0.001 ? ($_ => $p{load}{$_}) : () } keys %{ $p{load} };
	my $rate = sum0(values %load);

	return () unless $rate > 0;
	return (sprintf("service %s %d %.3f %d host=%s port=%d user=%s dbname=%s", $p{service}
			. ($p{standby} ? '_standby' : ''), $p{many}, $p{many} / $rate, $p{churn} ? 1 : 0,
			$Rig::work, port_of(\%p), $p{service}, database_of(\%p)),
		map { ("script $load{$_}", plan_of($_, \%p)) } sort keys %load);
}

sub build_clients
{
	my ($pg_config, $source) = @_;
	my ($include, $lib) = map { my $dir = `$pg_config $_`; chomp $dir; $dir } qw(--includedir --libdir);

	Rig::write_file("$Rig::work/clients.c", $source);
	Rig::run(($ENV{CC} // 'cc') . " -O2 -Wall -Wextra -I$include -L$lib -o $Rig::work/clients "
		. "$Rig::work/clients.c -lpq -lm");
	return;
}

sub start_many
{
	my ($name, $seconds, $warm_up, @plan) = @_;
	my $out = "$Rig::work/clients.$name";

	Rig::write_file("$out.plan", join '', map { "$_\n" } @plan);
	return { out => $out, pid => Rig::start_child('clients', sub {
		open STDIN, '<', "$out.plan" or die $!;
		open STDOUT, '>', $out or die $!;
		open STDERR, '>', "$out.err" or die $!;
		exec "$Rig::work/clients", $seconds, $warm_up;
	}) };
}

# What each service's clients had, and all.
sub result_of_many
{
	my ($many) = @_;
	my @names = qw(service clients let_in done refused failed p50 p95 p99);
	my %of;

	foreach my $line (split /\n/, Rig::contents($many->{out}))
	{
		my %row;

		@row{@names} = split ' ', $line;
		$of{ $row{service} } = \%row;
	}
	$of{all} or die "shop: clients have failed\n" . Rig::tail("$many->{out}.err");
	return \%of;
}

# The query id that the server itself gives a statement.
sub queryid_of
{
	my ($script, $mark) = @_;
	my $text = Shop::statement($scripts{$script}, $mark);
	my $n = 0;

	$n++ while $text =~ /\$\d+/g;
	my $values = $n ? '(' . join(', ', ('NULL') x $n) . ')' : '';

	$shop->query("PREPARE shop_asks AS $text");
	my @lines = map { values %$_ } @{ $shop->rows("EXPLAIN (VERBOSE) EXECUTE shop_asks$values") };
	my ($queryid) = map { /^Query Identifier: (-?\d+)/ } @lines;

	$shop->query('DEALLOCATE shop_asks');
	defined $queryid or die "shop: no query id of $script\n";
	return $queryid;
}

1;
