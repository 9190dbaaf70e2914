# BouncerTest.pm
#		What the tests of PgBouncers share: PgBouncers, what only looks like one, their clients.
package BouncerTest;

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;
use IPC::Run;
use POSIX ();
use PoolTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  $SECRET $dir $passfile need_pgbouncer visit_from write_text write_passfile end_process
  new_bouncer start_bouncer console config start_pooled_load start_listener start_talker
  start_console message columns row set_poolers poolers_are events method_is event_comes
  wait_evaluations
);

our $SECRET = 'hUsh-0815';
our $dir = PostgreSQL::Test::Utils::tempdir_short();
our $passfile = "$dir/pgpass";

# Debian has it in sbin, which is not in everybody's path.
my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin',
  '/usr/local/sbin', '/usr/local/bin';
my $node;

sub need_pgbouncer
{
	plan skip_all => 'pgbouncer is not installed' if !defined $pgbouncer;
	plan skip_all => 'pgbouncer refuses to run as root' if $> == 0;
	return;
}

# The server that all that follows is about.
sub visit_from
{
	($node) = @_;

	append_to_file("$dir/work.sql", "SELECT pg_sleep(0.01);\n");
	append_to_file("$dir/long.sql", "SELECT pg_sleep(0.05);\n");
	return;
}

# What is started is ended, also when the test dies.
my @running;
END
{
	my $status = $?;

	kill 'KILL', grep { defined } map { $_->{pid} } @running;
	waitpid $_->{pid}, 0 foreach grep { defined $_->{pid} } @running;
	$? = $status;
}

sub write_text
{
	my ($file, $text, $mode) = @_;

	open(my $handle, '>', $file) or die "$file: $!";
	print $handle $text;
	close($handle) or die "$file: $!";
	chmod($mode // 0600, $file);
	return;
}

# With the right password for these.
sub write_passfile
{
	my (@bouncers) = @_;

	write_text($passfile, join '', map { "127.0.0.1:$_->{port}:pgbouncer:console:$SECRET\n" } @bouncers);
	return;
}

# Runs a program; its output goes to a file.
sub start_process
{
	my ($log, @command) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $log);
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or POSIX::_exit(1);
	}
	push @running, { pid => $pid };
	return $running[-1];
}

sub end_process
{
	my ($process, $signal) = @_;

	kill $signal // 'KILL', $process->{pid};
	waitpid $process->{pid}, 0;
	$process->{pid} = undef;
	return;
}

# A configured one; keys: databases, settings (lists of lines), users (of names), include (a line).
sub new_bouncer
{
	my ($name, %conf) = @_;
	my %b = (name => $name, port => PostgreSQL::Test::Cluster::get_free_port());
	my $to = 'host=127.0.0.1 port=' . $node->port;
	my $databases = join "\n", @{ $conf{databases} // ["postgres = $to dbname=postgres"] };
	my $settings = join "\n", @{ $conf{settings} // [] };
	my $include = $conf{include} // '';

	write_text("$dir/$name.users", join '', map { qq{"$_" "$SECRET"\n} }
		@{ $conf{users} // [qw(r_shop r_batch r_other console)] });
	write_text("$dir/$name.ini", <<"INI");
[databases]
$databases
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $b{port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $dir/$name.users
admin_users = console
pool_mode = transaction
max_client_conn = 200
server_login_retry = 1
logfile = $dir/$name.log
pidfile = $dir/$name.pid
$settings
$include
INI
	$b{label} = "127.0.0.1:$b{port}";
	$b{conninfo} = "host=127.0.0.1 port=$b{port} user=console passfile=$passfile";
	return \%b;
}

sub start_bouncer
{
	my ($b) = @_;

	$b->{process} = start_process("$dir/$b->{name}.out", $pgbouncer, "$dir/$b->{name}.ini");
	wait_until(sub { console($b, 'SHOW VERSION') =~ /PgBouncer/ }, "PgBouncer $b->{name}")
	  or BAIL_OUT("pgbouncer does not answer: " . slurp_file("$dir/$b->{name}.out"));
	return $b;
}

# The test's own way to the console.
sub console
{
	my ($b, $command) = @_;
	my ($stdout, $stderr) = ('', '');

	local $ENV{PGPASSWORD} = $SECRET;
	IPC::Run::run([ 'psql', '-X', '-A', '-t', '-h', '127.0.0.1', '-p', $b->{port}, '-U',
			'console', '-d', 'pgbouncer', '-c', $command ],
		'<', \'', '>', \$stdout, '2>', \$stderr);
	return $stdout;
}

sub config
{
	my ($b, $key) = @_;

	return console($b, 'SHOW CONFIG') =~ /^\Q$key\E\|([^|]*)/m ? $1 : undef;
}

# Clients that go on until they are stopped; what they say is in a file.
sub start_pooled_load
{
	my ($b, $role, $database, $clients, $script) = @_;

	local $ENV{PGPASSWORD} = $SECRET;
	my $load = start_process("$dir/$b->{name}.$role.$database.load",
		'pgbench', '-n', '-f', $script // "$dir/work.sql", '-h', '127.0.0.1', '-p', $b->{port}, '-U',
		$role, '-c', $clients, '-T', 3600, $database);

	return $load;
}

# Listens and answers each connection with a function, one after the other.
sub start_listener
{
	my ($answer) = @_;
	my $socket = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1', Proto => 'tcp')
	  or die "listen: $!";
	my $port = $socket->sockport;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		$SIG{PIPE} = 'IGNORE';
		my @kept;
		while (my $client = $socket->accept)
		{
			push @kept, $client if $answer->($client);
		}
		POSIX::_exit(0);
	}
	close $socket;
	push @running, { pid => $pid };
	return {
		process => $running[-1], label => "127.0.0.1:$port",
		conninfo => "host=127.0.0.1 port=$port user=console sslmode=disable"
	};
}

sub message
{
	my ($type, $body) = @_;

	return $type . pack('N', length($body) + 4) . $body;
}

# What a server says of its columns, and a row of them.
sub columns
{
	return message('T', pack('n', scalar @_) .
		  join '', map { "$_\0" . pack('NnNnNn', 0, 0, 25, 0xFFFF, 0xFFFFFFFF, 0) } @_);
}

sub row
{
	return message('D', pack('n', scalar @_) . join '', map { pack('N', length $_) . $_ } @_);
}

# Lets anybody in who comes.
sub let_in
{
	my ($client, $version) = @_;

	sysread($client, my $startup, 8192);
	syswrite($client, message('R', pack('N', 0)) . message('S', "server_version\0$version\0") .
		  message('Z', 'I'));
	return;
}

# Lets anybody in, then answers each query with the same bytes.
sub start_talker
{
	my ($bytes, $repeat) = @_;

	return start_listener(
		sub {
			my ($client) = @_;

			let_in($client, 'x');
			sysread($client, my $query, 8192);
			my $until = time() + 20;
			do
			{
				last unless syswrite($client, $bytes);
			} while ($repeat && time() < $until);
			# Until the other side has seen enough.
			1 while sysread($client, my $more, 8192);
			return 0;
		});
}

# Lets anybody in, and answers as a console: { command => [ [ column, ... ], [ value, ... ], ... ] }, or
# what a function of the command returns: such a list, '' for "done", 'error', or undef to say nothing.
sub start_console
{
	my ($answers, $version) = @_;

	# One client, until it goes.
	return start_listener(
		sub {
			my ($client) = @_;

			let_in($client, $version // '1.18.0');
			while (sysread($client, my $query, 8192))
			{
				my $command = substr($query, 5) =~ s/\0.*//sr;
				my $said = ref $answers eq 'CODE' ? $answers->($command) : $answers->{$command} // 'error';

				next if !defined $said;
				my $answer = $said eq '' ? message('C', "SET\0") : message('E', "SERROR\0C42601\0Mwhat?\0\0");
				if (ref $said)
				{
					my ($columns, @rows) = @$said;

					$answer = join '', columns(@$columns), (map { row(@$_) } @rows), message('C', "SHOW\0");
				}
				syswrite($client, $answer . message('Z', 'I'));
			}
			return 0;
		});
}

# ---------------------------------------------------------------------------
# What the tests look at
# ---------------------------------------------------------------------------

sub set_poolers
{
	my (@poolers) = @_;

	$node->safe_psql('postgres', 'ALTER SYSTEM SET pool_optimizer.pgbouncer_conninfo = ' .
		  "'" . join(' ; ', map { $_->{conninfo} } @poolers) . "'");
	$node->reload;
	return;
}

sub poolers_are
{
	my ($where, $what) = @_;

	return ok($node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pool_stats_pooler WHERE $where"), $what)
	  || diag(join "\n", $node->safe_psql('postgres', 'SELECT * FROM pool_stats_pooler'),
		map { "$_: " . substr(slurp_file($_), -1500) } glob("$dir/*.load"));
}

# So many events whose reason matches.
sub events
{
	my ($pattern, $kind) = @_;

	return $node->safe_psql('postgres', "SELECT count(*) FROM pool_events
		WHERE kind = '" . ($kind // 'alert') . "' AND reason ~ '$pattern'");
}

sub method_is
{
	my ($tenant, $where, $what) = @_;

	return ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pool_recommendations
		WHERE tenant = '$tenant' AND $where"), $what)
	  || diag($node->safe_psql('postgres', 'SELECT * FROM pool_recommendations'));
}

sub event_comes
{
	my ($pattern, $kind, $what) = @_;

	return ok(wait_until(sub { events($pattern, $kind) > 0 }, $what), $what)
	  || diag($node->safe_psql('postgres', 'SELECT kind, tenant, reason, detail FROM pool_events'));
}

# Until the tenant has been evaluated so many more times.
sub wait_evaluations
{
	my ($tenant, $n) = @_;

	return wait_for_evaluations($node, $tenant, $n);
}

1;
