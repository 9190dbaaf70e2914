# The rig: a throw-away cluster with the extension, a PgBouncer in front of it, and pgbench.
#
# Everything is in one directory and listens on sockets there.  Each child is the leader of a
# process group of its own, so that what it has started ends with it.
package Rig;

use strict;
use warnings;

use Errno qw(EINTR);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IPC::Open2 ();
use List::Util qw(max min sum sum0);
use POSIX ();
use Time::HiRes qw(time usleep);

our $NAME = 'regret';			# whose messages these are
our ($work, $bin, $keep);
our ($server, $admin);			# psql sessions: superuser in the server, PgBouncer's console
our $accounts;					# rows of pgbench_accounts
our $SETTLE = 1;				# seconds after a change of sizes that do not count
our $n_not_there = 0;			# how often pools did not get their sizes in time
our $MOST_CLIENTS = 500;
our $OTHERS = 0.1;				# more CPU than this for others spoils a measurement,
our $TRIES = 3;					# which is done so often at most
my $LATE_MS = 100;				# a transaction of an arrival rate is not begun any more
my $SCALE = 16;					# as many branches can be hot
my $PORT = 5432;
my $POOLER_PORT = 6432;
my $FILL_TIMEOUT = 6;			# for the pool to reach a new size
my $POOLS = 2;					# entries pool0, pool1 in PgBouncer's [databases]
my $ROLES = 2000;				# names that PgBouncer knows: role1, role2, ...
my $LIFE = 3600;				# no pgbench lives longer (seconds)
my $FIELD = "\x1f";

my (%child, $pooler, $server_runs, @sizes, $n_roles);
my $gauge;						# speed's standard input, with the end of which it ends
my $main_pid = $$;

# ---------- start and end ----------

# Scripts: name => text.  With the text of speed.c, measurements tell what a round of it took.
sub start
{
	my ($pg_config, $scripts, $speed) = @_;

	chomp($bin = `$pg_config --bindir`);
	$work = tempdir('pool_regret.XXXXXX', TMPDIR => 1);
	delete @ENV{ grep { /^PG/ } keys %ENV };
	@ENV{qw(PGHOST LC_ALL)} = ($work, 'C');
	mkdir "$work/scripts" or die "$work: $!\n";
	write_file("$work/scripts/$_.sql", $scripts->{$_}) foreach keys %$scripts;
	start_gauge($speed) if defined $speed;
	start_server();
	start_pooler();
	return;
}

sub stop
{
	return if $$ != $main_pid || !defined $work;
	stop_child($_) foreach keys %child;
	if (defined $pooler)
	{
		kill 'KILL', $pooler;
		waitpid $pooler, 0;
	}
	system "$bin/pg_ctl -D $work/data -m immediate -w stop >>$work/commands.log 2>&1"
	  if $server_runs;
	if ($keep) { print STDERR "files are in $work\n"; }
	else { remove_tree($work); }
	undef $work;
	return;
}

sub start_server
{
	run("$bin/initdb -D $work/data -U postgres -A trust --no-sync --no-locale -E UTF8");
	write_file("$work/data/postgresql.conf", <<"C");
listen_addresses = ''
unix_socket_directories = '$work'
port = $PORT
max_connections = 250
shared_preload_libraries = 'pool_optimizer'
# No outliers that belong to no size: housekeeping is done between the measurements.
autovacuum = off
checkpoint_timeout = 1h
max_wal_size = 8GB
shared_buffers = 512MB
fsync = off
jit = off
# A report is one session's work.
max_parallel_workers_per_gather = 0
C
	run("$bin/pg_ctl -D $work/data -l $work/server.log -t 120 -w start");
	$server_runs = 1;
	$server = Psql->new($PORT, 'postgres', 'postgres');
	$server->query('CREATE EXTENSION pool_optimizer');
	$server->query('CREATE DATABASE bench');
	run("$bin/pgbench -i -q -s $SCALE -F 60 -p $PORT -U postgres bench");
	$accounts = 100_000 * $SCALE;
	my $bench = Psql->new($PORT, 'postgres', 'bench');

	$bench->query('GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC');
	$bench->query("CREATE EXTENSION IF NOT EXISTS $_") foreach available('pg_prewarm');
	$bench->query("SELECT pg_prewarm('pgbench_accounts'), pg_prewarm('pgbench_accounts_pkey')")
	  if available('pg_prewarm');
	$bench->end;
	return;
}

sub available
{
	my ($extension) = @_;

	return map { $_->{name} } @{ $server->rows(
		"SELECT name FROM pg_available_extensions WHERE name = '$extension'") };
}

sub pooler_program
{
	my ($path) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin',
	  '/usr/local/sbin';

	defined $path or die "$NAME: there is no pgbouncer\n";
	return $path;
}

sub start_pooler
{
	my $path = pooler_program();

	write_file("$work/users", join '', map { "\"$_\" \"\"\n" } 'pgbouncer', 'postgres',
		map { "role$_" } 1 .. $ROLES);
	@sizes = (20) x $POOLS;
	write_pools();
	write_file("$work/pgbouncer.ini", <<"C");
%include $work/pools.ini
[pgbouncer]
listen_addr =
unix_socket_dir = $work
listen_port = $POOLER_PORT
auth_type = trust
auth_file = $work/users
admin_users = pgbouncer
stats_users = postgres
pool_mode = transaction
max_client_conn = $MOST_CLIENTS
query_wait_timeout = 0
logfile = $work/pgbouncer.log
pidfile = $work/pgbouncer.pid
C
	$pooler = start_child(0, sub { exec $path, '-q', "$work/pgbouncer.ini" });
	delete $child{$pooler};		# ended last
	my $deadline = time() + 30;

	until (-S "$work/.s.PGSQL.$POOLER_PORT")
	{
		die "regret: pgbouncer does not start\n" . tail("$work/pgbouncer.log")
		  if time() > $deadline;
		usleep(20_000);
	}
	$admin = Psql->new($POOLER_PORT, 'pgbouncer', 'pgbouncer');
	# Releases that can look at poolers themselves shall see this one.
	set_server('pool_optimizer.pgbouncer_conninfo',
		"host=$work port=$POOLER_PORT user=pgbouncer dbname=pgbouncer")
	  if has_setting('pool_optimizer.pgbouncer_conninfo');
	return;
}

sub version { return scalar $admin->query('SHOW VERSION'); }

sub has_setting
{
	my ($name) = @_;

	return $server->query("SELECT count(*) FROM pg_settings WHERE name = '$name'") > 0;
}

sub set_server
{
	my ($name, $value) = @_;

	$server->query('ALTER SYSTEM '
		. (defined $value ? "SET $name = '$value'" : "RESET $name"));
	$server->query('SELECT pg_reload_conf()');
	return;
}

# Between two loads: what autovacuum and the checkpointer would have done.
sub housekeeping
{
	my $bench = Psql->new($PORT, 'postgres', 'bench');

	$bench->query('TRUNCATE pgbench_history');
	$bench->query('VACUUM pgbench_branches, pgbench_tellers, pgbench_accounts');
	$bench->query('CHECKPOINT');
	$bench->end;
	return;
}

# ---------- files and processes ----------

sub write_file
{
	my ($file, $text) = @_;

	open my $out, '>>', $file or die "$NAME: $file: $!\n";
	print $out $text;
	close $out or die "$NAME: $file: $!\n";
	return;
}

sub contents
{
	my ($file) = @_;

	open my $in, '<', $file or return '';
	local $/;
	return <$in> // '';
}

sub tail
{
	my ($file) = @_;
	my $text = contents($file);

	return length $text > 2000 ? substr($text, -2000) : $text;
}

sub run
{
	my ($command) = @_;

	system("$command >>$work/commands.log 2>&1") == 0
	  or die "$NAME: failed: $command\n" . tail("$work/commands.log");
	return;
}

sub start_child
{
	my ($name, $code) = @_;
	my $pid = fork() // die "$NAME: fork: $!\n";

	if ($pid == 0)
	{
		POSIX::setpgid(0, 0);
		$SIG{$_} = 'DEFAULT' foreach qw(INT TERM HUP ALRM);
		eval { $code->(); 1 } or print STDERR "$NAME: $@";
		POSIX::_exit(1);
	}
	POSIX::setpgid($pid, $pid);
	$child{$pid} = $name;
	return $pid;
}

sub stop_child
{
	my ($pid) = @_;

	return unless delete $child{$pid};
	kill 'TERM', -$pid, $pid;
	waitpid $pid, 0;
	return;
}

# ---------- the machine's speed ----------

# Runs speed.c for as long as we do.
sub start_gauge
{
	my ($text) = @_;

	write_file("$work/speed.c", $text);
	run(($ENV{CC} // 'cc') . " -O2 -o $work/speed $work/speed.c");
	pipe my $its, $gauge or die "$NAME: pipe: $!\n";
	$gauge->autoflush(1);
	start_child('speed', sub {
		close $gauge;
		open STDIN, '<&', $its or die $!;
		open STDOUT, '>', "$work/speed.out" or die $!;
		exec "$work/speed";
	});
	close $its;
	return;
}

# What a round of speed.c took during each measurement: the geometric mean, microseconds of CPU
# time, of what was granted of it.
sub add_speed
{
	my (@measured) = @_;
	my @rounds = map { [split] } grep { /^[\d.]+ [\d.]+$/ } split /\n/, contents("$work/speed.out");

	foreach my $m (@measured)
	{
		my @took = map { log $_->[1] }
		  grep { $_->[0] >= $m->{from} && $_->[0] <= $m->{to} && $_->[1] > 0 } @rounds;

		die "$NAME: speed says nothing\n" . tail("$work/speed.out") unless @took;
		$m->{round_us} = exp(sum(@took) / @took) / $m->{granted};
	}
	return;
}

# ---------- roles and pools ----------

# A role that was never there before, so a tenant of which nothing is known.
sub new_role
{
	my $role = 'role' . ++$n_roles;

	die "regret: no more than $ROLES tenants\n" if $n_roles > $ROLES;
	$server->query("CREATE ROLE $role LOGIN");
	return $role;
}

sub write_pools
{
	open my $out, '>', "$work/pools.new" or die "regret: $!\n";
	print $out "[databases]\n; pool_optimizer begin\n", (map {
		"pool$_ = host=$work port=$PORT dbname=bench pool_size=$sizes[$_]\n" } 0 .. $POOLS - 1),
	  "; pool_optimizer end\n";
	close $out or die "regret: $!\n";
	rename "$work/pools.new", "$work/pools.ini" or die "regret: $!\n";
	return;
}

# Of a pool: server connections, those of them that log in, waiting clients.
sub pool_state
{
	my ($tenant, $role) = @_;
	my ($connected, $in_login, $waiting) = (0, 0, 0);

	foreach my $row (@{ $admin->rows('SHOW POOLS') })
	{
		next unless $row->{database} eq "pool$tenant" && $row->{user} eq $role;
		$waiting += $row->{cl_waiting};
		$in_login += $row->{sv_login};
		$connected += sum map { $row->{$_} } grep { /^sv_/ } keys %$row;
	}
	return ($connected, $in_login, $waiting);
}

# What PgBouncer says that the first so many pools may have.
sub sizes_now
{
	my ($n) = @_;
	my %of = map { $_->{name} => $_->{pool_size} } @{ $admin->rows('SHOW DATABASES') };

	return map { $of{"pool$_"} } 0 .. $n - 1;
}

# From now on the extension writes the sizes itself, or not any more.
sub let_server_resize
{
	my ($on) = @_;

	set_server('pool_optimizer.pgbouncer_include', $on ? ("$work/pools.ini") : ());
	set_server('pool_optimizer.mode', $on ? ('enforce') : ());
	$server->query("SELECT pool_set_sizing('*', auto => " . ($on ? 'true' : 'false') . ')');
	$server->query('SELECT pool_sync()');
	@sizes = sizes_now($POOLS);
	return;
}

# What the pools have from now on.  They get there by themselves when they grow.
sub announce_sizes
{
	@sizes[ 0 .. $#_ ] = @_;
	write_pools();
	$admin->query('RELOAD');
	return;
}

# Gives pools their sizes and waits until they have them.
#
# PgBouncer closes what is too much only when it sees it idle, which in a busy pool may be
# never; RECONNECT has each server connection closed at the end of its transaction, and no
# more than the size are opened again.  Not while one logs in: that one would be cut off, which
# PgBouncer takes for a failed login, so that it opens no other for server_login_retry and
# turns away clients.  As long as there are too many none begins to log in.
#
# Returns how many RECONNECT it took.
sub set_sizes
{
	my ($load, @new) = @_;
	my $n_reconnects = 0;
	my $deadline = time() + $FILL_TIMEOUT;
	my %reconnected_at;

	announce_sizes(@new);
	while (time() < $deadline)
	{
		my $done = 1;

		foreach my $i (0 .. $#new)
		{
			my ($connected, $in_login, $waiting) = pool_state($i, $load->{roles}[$i]);

			$done = 0 if $connected > $new[$i] || $connected < $new[$i] && $waiting > 0;
			next if $connected <= $new[$i] || $in_login > 0
			  || time() - ($reconnected_at{$i} // 0) < 1;
			$admin->query("RECONNECT pool$i");
			$reconnected_at{$i} = time();
			$n_reconnects++;
		}
		return $n_reconnects if $done;
		usleep(50_000);
	}
	$n_not_there++;
	return $n_reconnects;
}

# ---------- load ----------

# Starts the programs of a load; the roles are those of the tenants, the sizes those of their
# pools.
sub start_load
{
	my ($programs, $roles, $sizes, $with_delays) = @_;
	my $load = { roles => $roles, started => time(), programs => [] };

	announce_sizes(@$sizes);
	foreach my $program (@$programs)
	{
		my $n = @{ $load->{programs} };
		my $out = sprintf '%s/pgbench.%s.%d.%d', $work, $roles->[0], $n, $load->{started};
		my $delay = $with_delays ? $program->{after} // 0 : 0;

		push @{ $load->{programs} }, {
			tenant => $program->{tenant} // 0,
			delay => $delay,
			pauses => defined $program->{on},
			out => $out,
			pid => start_child("pgbench", sub { be_clients($program, $roles, $out, $delay) }) };
	}
	return $load;
}

# Runs in a child.
sub be_clients
{
	my ($program, $roles, $out, $delay) = @_;
	my $tenant = $program->{tenant} // 0;
	my %set = (accounts => $accounts, %{ $program->{set} // {} });
	my @files = @{ $program->{files} };
	my @command = ("$bin/pgbench", '-n', '-p', $POOLER_PORT, '-U', $roles->[$tenant],
		'-c', $program->{clients}, '-P', 1, '--progress-timestamp',
		$program->{rate} ? ('-R', $program->{rate}, '-L', $LATE_MS) : (),
		map { ('-D', "$_=$set{$_}") } sort keys %set);

	push @command, '-f', "$work/scripts/" . shift(@files) . '.sql@' . shift @files while @files;
	open STDOUT, '>>', $out or die $!;
	open STDERR, '>&', \*STDOUT or die $!;
	usleep($delay * 1e6) if $delay > 0;
	exec @command, '-T', $LIFE, "pool$tenant" if !defined $program->{on};

	my $end = time() + $LIFE;

	while (time() < $end)
	{
		system @command, '-T', $program->{on}, "pool$tenant";
		usleep($program->{off} * 1e6);
	}
	return;
}

sub stop_load
{
	my ($load) = @_;

	my $deadline = time() + $FILL_TIMEOUT;

	stop_child($_->{pid}) foreach @{ $load->{programs} };
	# What is left of its pools is idle, and closed at once.
	foreach my $i (0 .. $#{ $load->{roles} })
	{
		usleep(20_000) while (pool_state($i, $load->{roles}[$i]))[1] > 0 && time() < $deadline;
		$admin->query("RECONNECT pool$i");
	}
	return;
}

sub check_load
{
	my ($load) = @_;

	foreach my $program (@{ $load->{programs} })
	{
		die "regret: pgbench has ended\n" . tail($program->{out}) . tail("$work/pgbouncer.log")
		  if waitpid($program->{pid}, POSIX::WNOHANG()) == $program->{pid};
		die "regret: pgbench has failed\n" . tail($program->{out})
		  if contents($program->{out}) =~ /aborted|error:/;
	}
	return;
}

# ---------- neighbours ----------

# Jiffies of CPU since the start: of all (what a hypervisor took counts as used), used, and
# used by us, that is by our descendants and the server's.  What runs at a lowered priority
# gives way to us and is not counted, nor are processors that we may not use (taskset).
sub cpu_use
{
	my @all = (0) x 8;
	my %parent;
	my %jiffies;

	foreach my $cpu (allowed_cpus())
	{
		my ($line) = contents('/proc/stat') =~ /^cpu$cpu +(.*)/m or return;
		my @cpu = split ' ', $line;

		$all[$_] += $cpu[$_] foreach 0 .. 7;
	}
	foreach my $file (glob '/proc/[0-9]*/stat')
	{
		my ($pid, $rest) = contents($file) =~ /^(\d+) \(.*\) (.*)/s or next;
		my @field = split ' ', $rest;

		# With those of its children that have ended.
		($parent{$pid}, $jiffies{$pid}) = ($field[1], sum @field[ 11 .. 14 ]);
	}
	my ($postmaster) = split /\n/, contents("$work/data/postmaster.pid");
	my %ours = ($main_pid => 1, $postmaster // 0 => 1);
	my $n_before = 0;

	while ($n_before < keys %ours)
	{
		$n_before = keys %ours;
		$ours{$_} = 1 foreach grep { $ours{ $parent{$_} } } keys %parent;
	}
	return {
		all => sum(@all[ 0 .. 7 ]),
		used => sum(@all[ 0, 2, 5 .. 7 ]),
		stolen => $all[7],
		ours => sum0(map { $jiffies{$_} // 0 } keys %ours) };
}

# The numbers of the processors that we may use.
sub allowed_cpus
{
	my ($list) = contents('/proc/self/status') =~ /^Cpus_allowed_list:\s*(\S+)/m or return;

	return map { /(\d+)-(\d+)/ ? $1 .. $2 : $_ } split /,/, $list;
}

# The share of our processors' time that went to others between the two.
sub share_of_others
{
	my ($from, $to) = @_;

	return 0 unless $from && $to && $to->{all} > $from->{all};
	my $others = ($to->{used} - $from->{used}) - ($to->{ours} - $from->{ours});

	return max(0, $others / ($to->{all} - $from->{all}));
}

# Of the time that our processors were wanted for, the share that the machine's host granted.
sub share_granted
{
	my ($from, $to) = @_;

	return 1 unless $from && $to && $to->{used} > $from->{used};
	return 1 - min(0.99, max(0, $to->{stolen} - $from->{stolen}) / ($to->{used} - $from->{used}));
}

sub share_of_us
{
	my ($from, $to) = @_;

	return 0 unless $from && $to && $to->{all} > $from->{all};
	return ($to->{ours} - $from->{ours}) / ($to->{all} - $from->{all});
}

# Counters of each tenant's pool at PgBouncer: transactions, microseconds in them.
sub counters
{
	my ($load) = @_;
	my $asked = time();
	my %of = map { $_->{database} => $_ } @{ $admin->rows('SHOW STATS_TOTALS') };
	my %now = (at => ($asked + time()) / 2);

	foreach my $i (0 .. $#{ $load->{roles} })
	{
		push @{ $now{transactions} }, $of{"pool$i"}{xact_count} // 0;
		push @{ $now{xact_us} }, $of{"pool$i"}{xact_time} // 0;
		push @{ $now{wait_us} }, $of{"pool$i"}{wait_time} // 0;
	}
	return \%now;
}

# Sets sizes, leaves out what comes first, measures for so many seconds.  While others take
# more than $OTHERS of the CPU it is done again, up to $TRIES times in all; the calmest counts.
sub measure
{
	my ($load, $seconds, @new) = @_;
	my $calmest;

	set_sizes($load, @new);
	usleep($SETTLE * 1e6);
	foreach my $try (1 .. $TRIES)
	{
		my $m = measure_once($load, $seconds, @new);

		$calmest = $m if !$calmest || $m->{others} < $calmest->{others};
		last if $calmest->{others} <= $OTHERS;
	}
	check_load($load);
	return $calmest;
}

sub measure_once
{
	my ($load, $seconds, @new) = @_;
	my $with_pauses = grep { $_->{pauses} } @{ $load->{programs} };
	my $cpu = cpu_use();
	my $from = counters($load);

	# Half a second more, so that as many of pgbench's lines are wholly inside; but whole cycles
	# of what pauses.
	usleep(($seconds + ($with_pauses ? 0 : 0.5)) * 1e6);
	my $to = counters($load);
	my $cpu_then = cpu_use();

	return {
		others => share_of_others($cpu, $cpu_then),
		granted => share_granted($cpu, $cpu_then),
		sizes => [@new], from => $from->{at}, to => $to->{at},
		pooler_tps => [ map {
			($to->{transactions}[$_] - $from->{transactions}[$_]) / ($to->{at} - $from->{at})
		} 0 .. $#new ] };
}

# What pgbench itself says about these measurements, per tenant: its lines of progress that
# begin half a second before at most (so half a second after the change at least) and end
# within.  Where programs pause, there are gaps between the lines, and PgBouncer's count has
# to do.
sub add_pgbench_tps
{
	my ($load, @measured) = @_;
	my %lines = map { $_->{pid} => lines_of($_->{out}) } @{ $load->{programs} };
	my $with_pauses = grep { $_->{pauses} } @{ $load->{programs} };

	foreach my $m (@measured)
	{
		$m->{pgbench_tps} = [ (0) x @{ $load->{roles} } ];
		foreach my $program (@{ $load->{programs} })
		{
			my @within = grep { $_->[0] >= $m->{from} - 0.5 && $_->[1] <= $m->{to} }
			  @{ $lines{ $program->{pid} } };

			next unless @within;
			$m->{pgbench_tps}[ $program->{tenant} ] +=
			  sum(map { $_->[2] * ($_->[1] - $_->[0]) } @within)
			  / sum(map { $_->[1] - $_->[0] } @within);
		}
		$m->{tps} = $with_pauses ? $m->{pooler_tps} : $m->{pgbench_tps};
	}
	return;
}

# [ from, to, tps ] of each line.
sub lines_of
{
	my ($file) = @_;
	my ($before, @lines);

	foreach (split /\n/, contents($file))
	{
		/^progress: ([\d.]+) s, ([\d.]+) tps/ or next;
		push @lines, [ $before // $1 - 1, $1, $2 ];
		$before = $1;
	}
	return \@lines;
}

# ---------- psql that stays ----------

package Psql;

sub new
{
	my ($class, $port, $user, $database) = @_;
	my $self = bless { name => $database }, $class;

	$self->{pid} = IPC::Open2::open2($self->{out}, $self->{in}, "$bin/psql", '-XAq',
		'-F', $FIELD, '-P', 'footer=off', '-v', 'ON_ERROR_STOP=1', '-p', $port, '-U', $user,
		$database);
	$child{ $self->{pid} } = "psql";
	$self->{in}->autoflush(1);
	return $self;
}

# The rows, each a hash by the names of its columns.
sub rows
{
	my ($self, $sql) = @_;
	my (@names, @rows);

	print { $self->{in} } "$sql;\n\\echo =done=\n";
	while (defined(my $line = readline $self->{out}))
	{
		chomp $line;
		return \@rows if $line eq '=done=';
		my @fields = split /$FIELD/, $line, -1;

		if (!@names) { @names = @fields; }
		else { push @rows, { map { $names[$_] => $fields[$_] } 0 .. $#names }; }
	}
	die "$Rig::NAME: psql has ended: $sql\n" . Rig::tail("$work/server.log");
}

# The first field of the first row.
sub query
{
	my ($self, $sql) = @_;
	my $rows = $self->rows($sql);

	return @$rows ? (values %{ $rows->[0] })[0] : undef;
}

sub end
{
	my ($self) = @_;

	close $self->{in};
	delete $child{ $self->{pid} };
	waitpid $self->{pid}, 0;
	return;
}

1;
