# PoolTest.pm
#		What the TAP tests of pool_optimizer share.
#
# Sessions are held by PoolTest::Session, which speaks the wire protocol itself: a
# test can hold hundreds of them without a psql process each, start a login without
# waiting for its end, see SQLSTATE, DETAIL and HINT of a refusal, and go away
# without a word.  Nothing here sleeps for a fixed time to let something happen:
# whatever takes time is waited for with a deadline.
package PoolTest;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(basename);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  new_node create_roles new_tenant psql_as open_session start_login refused refused_sqlstate
  check_quota wait_sync wait_until wait_samples wait_for_evaluations stat_of cluster_stat wait_sessions
  close_all log_since
  stop_clean start_load stop_load build_clock set_clock start_on_clock certificate
);

our $TIMEOUT = $PostgreSQL::Test::Utils::timeout_default || 180;

my $n_nodes = 0;

# A started node that has the extension.  Keys are settings; these begin with '-':
#	-name, -preload => 0, -extension => 0, -start => 0
sub new_node
{
	my %conf = @_;
	my $name = delete $conf{-name} // 'node' . ++$n_nodes;
	my $preload = delete $conf{-preload} // 1;
	my $extension = delete $conf{-extension} // 1;
	my $start = delete $conf{-start} // 1;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my %all = (
		max_connections => 60,
		listen_addresses => "'127.0.0.1'",
		# Autovacuum's catalog snapshots must not disturb what is measured.
		autovacuum => 'off',
		restart_after_crash => 'on');

	$node->init;
	if ($preload)
	{
		$all{shared_preload_libraries} = "'pool_optimizer'";
		$all{'pool_optimizer.mode'} = 'enforce';
		$all{'pool_optimizer.sample_interval'} = '10ms';
	}
	%all = (%all, %conf);
	$node->append_conf('postgresql.conf',
		join("\n", map { "$_ = $all{$_}" } sort keys %all));
	return $node unless $start;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer') if $extension;
	return $node;
}

# Plain login roles: superusers are exempt, so they show nothing.
sub create_roles
{
	my ($node, @roles) = @_;

	$node->safe_psql('postgres', join('', map { "CREATE ROLE $_ LOGIN;\n" } @roles));
	return;
}

my $n_roles = 0;

# A role that is a tenant of its own, so that each part of a test begins with no rows.
sub new_tenant
{
	my ($node) = @_;
	my $role = 'r_' . ++$n_roles;

	create_roles($node, $role);
	return $role;
}

# Runs SQL in a session of its own; in list context (exit code, stdout, stderr), else
# stdout.  %opt: dbname.
sub psql_as
{
	my ($node, $role, $sql, %opt) = @_;
	my ($out, $err) = ('', '');
	my $rc = $node->psql($opt{dbname} // 'postgres', $sql, stdout => \$out, stderr => \$err,
		extra_params => [ '-U', $role ]);

	return wantarray ? ($rc, $out, $err) : $out;
}

# A psql that is refused, or comes while the server restarts after a crash, may end before
# it has been given its statement, and core's functions die of that ("Broken pipe").  The
# statement has not run, so it is safe to try again.
foreach my $name (qw(psql poll_query_until))
{
	my $core = PostgreSQL::Test::Cluster->can($name);

	no strict 'refs';    ## no critic: a method of core is replaced by its name
	no warnings 'redefine';
	*{"PostgreSQL::Test::Cluster::$name"} = sub {
		my @args = @_;
		my $want_list = wantarray;

		foreach my $try (1 .. 10)
		{
			my @result = eval { $want_list ? $core->(@args) : scalar $core->(@args) };

			return $want_list ? @result : $result[0] if $@ eq '';
			die $@ if $@ !~ /Broken pipe/ || $try == 10;
			usleep(100_000);
		}
	};
}

# Logs in and waits until it is known whether that succeeded.  %opt: dbname, options,
# application_name, host (127.0.0.1 or ::1 for TCP), from (the client's address then), tls (to a
# server with a certificate; 'closing' to say goodbye to it when it vanishes), startup =>
# { further parameters }.
sub open_session
{
	my ($node, $role, %opt) = @_;
	my $session = start_login($node, $role, %opt);

	$session->wait_login;
	return $session;
}

# Sends the login and comes back at once.
sub start_login
{
	my ($node, $role, %opt) = @_;

	return PoolTest::Session->new($node, $role, %opt);
}

# Tries a login.  '' if it was admitted, else the message as psql prints it in
# verbose mode: "FATAL:  53300: ...\nDETAIL:  ...\nHINT:  ...".
sub refused
{
	my ($node, $role, %opt) = @_;
	my $session = open_session($node, $role, %opt);
	my $text = $session->error_text;

	# So that a next attempt does not meet this one on its way out.
	$session->close_and_wait unless $session->is_refused;
	return $session->is_refused ? $text : '';
}

sub refused_sqlstate
{
	my ($node, $role, %opt) = @_;

	return refused($node, $role, %opt) =~ /^FATAL:  (\w{5}):/ ? $1 : '';
}

# A quota of $n holds: so many get in, one more is refused; no statement runs before.
sub check_quota
{
	my ($node, $role, $n, $what, %opt) = @_;
	my @in = map { open_session($node, $role, %opt) } 1 .. $n;

	is((scalar grep { $_->is_admitted } @in), $n, "$what: $n get in");
	is(refused_sqlstate($node, $role, %opt), '53300', "$what: one more is refused");
	close_all(@in);
	return;
}

# Policies take effect after COMMIT; this waits for it.
sub wait_sync
{
	my ($node, %opt) = @_;
	my $done = $node->safe_psql($opt{dbname} // 'postgres', "SELECT pool_sync('${TIMEOUT}s')");

	die "policies did not take effect within $TIMEOUT s" unless $done eq 't';
	return 1;
}

# Polls a condition; false (and a diagnostic) if it never came true.
sub wait_until
{
	my ($condition, $what) = @_;
	my $deadline = time() + $TIMEOUT;

	while (!$condition->())
	{
		if (time() > $deadline)
		{
			diag('gave up waiting' . (defined $what ? ": $what" : ''));
			return 0;
		}
		usleep(20_000);
	}
	return 1;
}

# A column (or expression) of a tenant's row in pool_stats; undef without that row.
sub stat_of
{
	my ($node, $tenant, $column, %opt) = @_;
	my $value = $node->safe_psql($opt{dbname} // 'postgres',
		"SELECT coalesce(($column)::text, '(null)') FROM pool_stats WHERE tenant = '$tenant'");

	return $value eq '' ? undef : $value;
}

sub cluster_stat
{
	my ($node, $column, %opt) = @_;

	return $node->safe_psql($opt{dbname} // 'postgres',
		"SELECT $column FROM pool_stats_cluster");
}

# Until the tenant has been evaluated so many more times, each of them seen.
sub wait_for_evaluations
{
	my ($node, $tenant, $n) = @_;
	my %at;

	return wait_until(sub {
			$at{ $node->safe_psql('postgres', "SELECT computed_at FROM pool_recommendations
				WHERE tenant = '$tenant'") } = 1;
			return keys %at > $n;
		}, "$n evaluations");
}

# A client that leaves is gone from the counters a moment later only.
sub wait_sessions
{
	my ($node, $tenant, $n, %opt) = @_;

	return $node->poll_query_until($opt{dbname} // 'postgres',
		"SELECT coalesce((SELECT sessions FROM pool_stats WHERE tenant = '$tenant'), 0) = $n");
}

# Closes sessions and waits until the server has ended each.
sub close_all
{
	my @sessions = grep { defined } @_;

	$_->quit for @sessions;
	$_->wait_closed for @sessions;
	return;
}

# The server's log from an offset (-s $node->logfile, taken before).
sub log_since
{
	my ($node, $offset) = @_;

	return PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset // 0);
}

# Until the sampler has taken so many more samples.
sub wait_samples
{
	my ($session, $n) = @_;
	my $taken = 'SELECT samples FROM pool_stats_cluster';
	my $until = $session->value($taken) + $n;

	return wait_until(sub { $session->value($taken) >= $until }, 'samples');
}

# Stops the node at the end of a test, and checks that no process of it crashed.  A stop
# that fails is shown with the server's last words instead of ending the whole suite.
sub stop_clean
{
	my ($node) = @_;
	my $stopped = $node->stop('fast', fail_ok => 1);
	my $log = log_since($node);

	diag("pg_ctl stop failed; the server's log ends in:\n" . substr($log, -2000))
	  unless $stopped;
	unlike($log, qr/PANIC:|was terminated by signal/, 'no process of the server crashed');
}

# Settings of a server that speaks TLS; nothing without openssl, whose s_client the
# sessions need as well.
sub certificate
{
	my $path = PostgreSQL::Test::Utils::tempdir() . '/server';

	system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
		. " -subj /CN=localhost -keyout $path.key -out $path.crt >/dev/null 2>&1") == 0 or return;
	chmod 0600, "$path.key";
	return (ssl => 'on', ssl_cert_file => "'$path.crt'", ssl_key_file => "'$path.key'");
}

# ---------- load ----------

my %load;

# Clients of a role that run a script of pgbench until they are stopped; bounded in any case.
sub start_load
{
	my ($node, $role, $clients, $script, @options) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$role.sql";
	my ($out, $err) = ('', '');

	PostgreSQL::Test::Utils::append_to_file($file, $script);
	$load{$role} = IPC::Run::start([
			'pgbench', '-n', '-f', $file, '-h', $node->host, '-p', $node->port, '-U', $role,
			'-M', 'simple', '-c', $clients, '-T', 600, @options, 'postgres'
		], '<', \undef, '>', \$out, '2>', \$err);
	return;
}

sub stop_load
{
	my ($node, $role) = @_;

	$load{$role}->signal('TERM');
	eval { $load{$role}->finish };
	delete $load{$role};
	wait_sessions($node, "$role\@postgres", 0);
	return;
}

# Of roles.
sub running_loads { return sort keys %load; }

# ---------- a wall clock that a test can set (clock.c) ----------

# Each test's own: others run at the same time.
sub clock_file
{
	return "$PostgreSQL::Test::Utils::tmp_check/clock_" . basename($0, '.pl');
}

sub pg_config
{
	my ($what) = @_;
	my $value = `@{[ $ENV{PG_CONFIG} // 'pg_config' ]} $what`;

	chomp $value;
	return $value;
}

# Compiles it and sets it right; false without a compiler.
sub build_clock
{
	my ($directory) = __FILE__ =~ m{^(.*)/};
	my ($cc) = split / /, pg_config('--cc');

	$cc = 'cc' if system("command -v '$cc' >/dev/null 2>&1") != 0;
	return 0 if system("command -v '$cc' >/dev/null 2>&1") != 0;
	system($cc, qw(-shared -fPIC -O2 -o), clock_file() . '.so', "$directory/clock.c") == 0
	  or die 'cannot compile clock.c';
	set_clock(0);
	return 1;
}

# By so much the server's clock is ahead, in seconds.  All its processes see it at once.
sub set_clock
{
	my ($ahead) = @_;

	# In place: the server has mapped it.
	open my $file, -e clock_file() ? '+<' : '>', clock_file() or die "cannot set the clock: $!";
	syswrite($file, pack('q', $ahead)) == 8 or die "cannot set the clock: $!";
	close $file;
	return;
}

# Only what is started here sees that clock.
sub start_on_clock
{
	my ($node) = @_;

	local %ENV = (%ENV, LD_PRELOAD => clock_file() . '.so', CLOCK_FILE => clock_file());
	$node->start;
	return;
}

package PoolTest::Session;

use strict;
use warnings;

use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::IP;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM);
use Time::HiRes qw(time);

use constant PROTOCOL_3 => 196608;

sub new
{
	my ($class, $node, $role, %opt) = @_;
	my $self = bless {
		role => $role,
		state => 'login',		# login, ready, busy, closed
		buffer => '',
		rows => [],
		notifications => [],	# payloads
		error => undef,			# of the login, the statement, or the end
		reached_ready => 0,
		pid => undef,
	}, $class;
	my %startup = (
		user => $role,
		database => $opt{dbname} // 'postgres',
		%{ $opt{startup} // {} });

	$startup{application_name} = $opt{application_name} if defined $opt{application_name};
	$startup{options} = $opt{options} if defined $opt{options};
	$self->{socket} = $opt{tls} ? $self->connect_encrypted($node, $opt{tls})
	  : connect_to($node, $opt{host}, $opt{from});
	my $body = pack('N', PROTOCOL_3) . join('', map { "$_\0$startup{$_}\0" } sort keys %startup)
	  . "\0";
	$self->write_all(pack('N', length($body) + 4) . $body);
	return $self;
}

sub connect_to
{
	my ($node, $host, $from) = @_;
	my $deadline = time() + $PoolTest::TIMEOUT;

	# A full listen queue answers EAGAIN on a Unix-domain socket.
	while (1)
	{
		my $socket = defined $host
		  ? ($host =~ /:/ ? 'IO::Socket::IP' : 'IO::Socket::INET')->new(PeerAddr => $host,
			PeerPort => $node->port, Proto => 'tcp',
			(defined $from ? (LocalAddr => $from) : ()))
		  : IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port);

		return $socket if defined $socket;
		die "cannot connect: $!" if $! != EAGAIN || time() > $deadline;
		Time::HiRes::usleep(10_000);
	}
	return;
}

# By a process that encrypts what we say.
sub connect_encrypted
{
	my ($self, $node, $how) = @_;
	my @command = ('openssl', 's_client', '-quiet', '-starttls', 'postgres',
		'-connect', '127.0.0.1:' . $node->port, $how eq 'closing' ? '-no_ign_eof' : ());

	socketpair(my $ours, my $its, AF_UNIX, SOCK_STREAM, 0) or die "no socket: $!";
	$self->{tls} = $how;
	$self->{encrypter} = fork // die "cannot fork: $!";
	if ($self->{encrypter} == 0)
	{
		open(STDIN, '<&', $its);
		open(STDOUT, '>&', $its);
		open(STDERR, '>', '/dev/null');
		exec @command or POSIX::_exit(127);
	}
	close $its;
	return $ours;
}

# Closes the connection.
sub disconnect
{
	my ($self) = @_;

	$self->{state} = 'closed';
	close $self->{socket};
	return unless $self->{encrypter};
	kill 'KILL', $self->{encrypter} unless $self->{tls} eq 'closing';
	waitpid delete $self->{encrypter}, 0;
	return;
}

sub write_all
{
	my ($self, $bytes) = @_;

	local $SIG{PIPE} = 'IGNORE';
	while (length $bytes)
	{
		my $n = syswrite($self->{socket}, $bytes);

		next if !defined $n && $! == EINTR;
		return 0 if !defined $n;
		substr($bytes, 0, $n) = '';
	}
	return 1;
}

# Reads what is there, waiting up to $seconds for something; false when nothing came.
sub receive
{
	my ($self, $seconds) = @_;

	return 0 if $self->{state} eq 'closed';
	return 0 unless IO::Select->new($self->{socket})->can_read($seconds);
	my $n = sysread($self->{socket}, my $bytes, 65536);
	if (!$n)
	{
		return 0 if !defined $n && ($! == EINTR || $! == EAGAIN || $! == EWOULDBLOCK);
		$self->disconnect;
		return 1;
	}
	$self->{buffer} .= $bytes;
	$self->take_message while $self->has_message;
	return 1;
}

sub has_message
{
	my ($self) = @_;

	return 0 if length($self->{buffer}) < 5;
	return length($self->{buffer}) >= 1 + unpack('N', substr($self->{buffer}, 1, 4));
}

sub take_message
{
	my ($self) = @_;
	my ($type, $length) = unpack('aN', $self->{buffer});
	my $body = substr($self->{buffer}, 5, $length - 4);

	substr($self->{buffer}, 0, 1 + $length) = '';
	if ($type eq 'Z')
	{
		$self->{state} = 'ready';
		$self->{reached_ready} = 1;
		$self->{transaction} = $body;
	}
	elsif ($type eq 'E') { $self->{error} = parse_error($body); }
	elsif ($type eq 'K') { $self->{pid} = unpack('N', $body); }
	elsif ($type eq 'A')
	{
		my ($channel, $payload) = split /\0/, substr($body, 4), -1;

		push @{ $self->{notifications} }, $payload;
	}
	elsif ($type eq 'D') { push @{ $self->{rows} }, parse_row($body); }
	elsif ($type eq 'R' && unpack('N', $body) != 0) { die 'authentication other than trust'; }
	return;
}

sub parse_error
{
	my ($body) = @_;
	my %field;

	for my $part (split /\0/, $body)
	{
		$field{ substr($part, 0, 1) } = substr($part, 1) if length $part;
	}
	return \%field;
}

sub parse_row
{
	my ($body) = @_;
	my $n = unpack('n', $body);
	my $at = 2;
	my @row;

	for (1 .. $n)
	{
		my $length = unpack('l>', substr($body, $at, 4));

		$at += 4;
		push @row, $length < 0 ? undef : substr($body, $at, $length);
		$at += $length if $length > 0;
	}
	return \@row;
}

sub wait_state
{
	my ($self, $what, $is_there) = @_;
	my $deadline = time() + $PoolTest::TIMEOUT;

	until ($is_there->())
	{
		die "timed out waiting for $what of a session of $self->{role}" if time() > $deadline;
		$self->receive(0.5);
	}
	return $self;
}

# Takes in whatever the server has sent until now.
sub update
{
	my ($self) = @_;

	1 while $self->receive(0);
	return $self;
}

sub wait_login
{
	my ($self) = @_;

	return $self->wait_state('the login',
		sub { $self->{state} ne 'login' });
}

sub wait_closed
{
	my ($self) = @_;

	return $self->wait_state('the end', sub { $self->{state} eq 'closed' });
}

# Starts a statement; result() waits for it.
sub send_query
{
	my ($self, $sql) = @_;

	$self->update;
	die "session is $self->{state}" unless $self->{state} eq 'ready';
	$self->{rows} = [];
	$self->{error} = undef;
	$self->{state} = 'busy';
	$self->write_all('Q' . pack('N', length($sql) + 5) . "$sql\0");
	return $self;
}

# Rows of the statement that was sent, as array reference; undef on error.
sub result
{
	my ($self) = @_;

	$self->wait_state('a result', sub { $self->{state} ne 'busy' });
	return defined $self->{error} || $self->{state} eq 'closed' ? undef : $self->{rows};
}

sub query
{
	my ($self, $sql) = @_;

	return $self->send_query($sql)->result;
}

# First column of the first row; dies on an error.
sub value
{
	my ($self, $sql) = @_;
	my $rows = $self->query($sql);

	die "\"$sql\" failed: " . $self->error_text unless defined $rows;
	return @$rows ? $rows->[0][0] : undef;
}

sub pid { my ($self) = @_; return $self->{pid}; }
sub is_admitted { my ($self) = @_; $self->update; return $self->{reached_ready}; }
sub is_waiting { my ($self) = @_; $self->update; return $self->{state} eq 'login'; }

sub is_refused
{
	my ($self) = @_;

	$self->update;
	return !$self->{reached_ready} && $self->{state} eq 'closed';
}

# Has the server not ended it, as far as it has told until now?  The message comes
# before the place is given back, the end of the connection after.
sub is_alive
{
	my ($self) = @_;

	$self->update;
	return $self->{state} ne 'closed'
	  && !(defined $self->{error} && $self->{error}{S} eq 'FATAL');
}

# Payloads that NOTIFY has brought since this was asked before.
sub notifications
{
	my ($self) = @_;

	$self->update;
	return splice @{ $self->{notifications} };
}

sub error { my ($self) = @_; return $self->{error}; }
sub sqlstate { my ($self) = @_; return defined $self->{error} ? $self->{error}{C} : ''; }

sub error_text
{
	my ($self) = @_;
	my $e = $self->{error};

	return '' unless defined $e;
	return "$e->{S}:  $e->{C}: $e->{M}"
	  . (defined $e->{D} ? "\nDETAIL:  $e->{D}" : '')
	  . (defined $e->{H} ? "\nHINT:  $e->{H}" : '');
}

# Says goodbye; the server closes, see wait_closed.
sub quit
{
	my ($self) = @_;

	$self->update;
	$self->write_all('X' . pack('N', 4)) if $self->{state} ne 'closed';
	return;
}

sub close_and_wait
{
	my ($self) = @_;

	$self->quit;
	$self->wait_closed;
	return;
}

# Goes away without a word, as a client that dies.
sub vanish
{
	my ($self) = @_;

	$self->disconnect if $self->{state} ne 'closed';
	return;
}

1;
