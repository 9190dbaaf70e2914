# A client that speaks PostgreSQL's protocol by itself, over the node's socket.
#
# Tests of sessions need dozens of them in one process, any bytes as startup
# parameters, half-finished COPYs, and the error that ended a session with all its
# fields; psql gives none of these.  Authentication must be trust.

package PoolWire;

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;
use IO::Socket::INET;
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(time);

use PostgreSQL::Test::Utils;

# Connects; croaks only if there is no server.  Options: user, dbname,
# application_name, params (further startup parameters), nowait (return once the
# startup packet is sent), address (TCP instead of the node's socket) and port.
# A refused login gives an object with ->{fatal} and ->{ended}.
sub connect
{
	my ($class, $node, %opt) = @_;
	my $port = $opt{port} // $node->port;
	my $sock =
	  defined $opt{address}
	  ? IO::Socket::INET->new(PeerAddr => $opt{address}, PeerPort => $port)
	  : IO::Socket::UNIX->new(
		Type => SOCK_STREAM,
		Peer => ($opt{host} // $node->host) . "/.s.PGSQL.$port");
	die "cannot connect: $!" if !defined $sock;

	my %params = (
		user => $opt{user} // 'postgres',
		database => $opt{dbname} // 'postgres',
		%{ $opt{params} // {} });
	$params{application_name} = $opt{application_name}
	  if defined $opt{application_name};
	my $body = pack('N', 196608)
	  . join('', map { "$_\0$params{$_}\0" } sort keys %params) . "\0";

	my $self = bless {
		sock => $sock,
		buffer => '',
		ready => 0,
		ended => 0,
		copying => 0,
		parameters => {}
	}, $class;
	$self->_write(pack('N', 4 + length $body) . $body);
	$self->wait_ready if !$opt{nowait};
	return $self;
}

sub _write
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';

	# The server may have closed already; reading tells.
	while (length $bytes)
	{
		my $n = syswrite($self->{sock}, $bytes);
		last if !defined $n;
		substr($bytes, 0, $n) = '';
	}
	return;
}

# Takes in what has come, waiting at most $seconds for something; false if nothing.
sub _read
{
	my ($self, $seconds) = @_;

	return 0 if $self->{ended};
	return 0
	  if !IO::Select->new($self->{sock})->can_read($seconds);
	my $n = sysread($self->{sock}, $self->{buffer}, 65536, length $self->{buffer});
	$self->_parse;
	if (!$n)
	{
		$self->{ended} = 1;
		close $self->{sock};
	}
	return 1;
}

sub _fields
{
	my ($body) = @_;
	my %f;
	$f{ substr($_, 0, 1) } = substr($_, 1) foreach grep { length } split /\0/, $body;
	return {
		severity => $f{V},
		sqlstate => $f{C},
		message => $f{M},
		detail => $f{D},
		hint => $f{H}
	};
}

sub _parse
{
	my ($self) = @_;

	while (length $self->{buffer} >= 5)
	{
		my ($type, $length) = unpack('a1 N', $self->{buffer});
		last if length $self->{buffer} < 1 + $length;
		my $body = substr($self->{buffer}, 5, $length - 4);
		substr($self->{buffer}, 0, 1 + $length) = '';

		if ($type eq 'Z') { $self->{ready} = 1; $self->{status} = $body; }
		elsif ($type eq 'K') { ($self->{pid}, $self->{key}) = unpack('NN', $body); }
		elsif ($type eq 'S')
		{
			my ($name, $value) = split /\0/, $body;
			$self->{parameters}{$name} = $value;
		}
		elsif ($type eq 'E')
		{
			my $e = _fields($body);
			if ($e->{severity} eq 'ERROR') { $self->{error} = $e; }
			else { $self->{fatal} = $e; }
		}
		elsif ($type eq 'D')
		{
			my $n = unpack('n', $body);
			my $at = 2;
			my @row;
			for (1 .. $n)
			{
				my $len = unpack('l>', substr($body, $at, 4));
				push @row, $len < 0 ? undef : substr($body, $at + 4, $len);
				$at += 4 + ($len < 0 ? 0 : $len);
			}
			push @{ $self->{rows} }, \@row;
			$self->{answers}++;
		}
		elsif ($type eq 'C' || $type eq 'T') { $self->{answers}++; }
		elsif ($type eq 'G') { $self->{copying} = 1; }
	}
	return;
}

# Sends a query and returns at once.
sub send
{
	my ($self, $sql) = @_;

	$self->{ready} = 0;
	$self->{rows} = [];
	$self->{answers} = 0;
	$self->{error} = undef;
	$self->_write(pack('a1 N', 'Q', 5 + length $sql) . $sql . "\0");
	return $self;
}

# The same in the extended protocol, without parameters.
sub send_extended
{
	my ($self, $sql) = @_;

	$self->{ready} = 0;
	$self->{rows} = [];
	$self->{answers} = 0;
	$self->{error} = undef;
	my $parse = "\0$sql\0" . pack('n', 0);
	my $bind = "\0\0" . pack('nnn', 0, 0, 0);
	my $execute = "\0" . pack('N', 0);
	$self->_write(
		join('',
			map { pack('a1 N', $_->[0], 4 + length $_->[1]) . $_->[1] }
			  ([ 'P', $parse ], [ 'B', $bind ], [ 'E', $execute ], [ 'S', '' ])));
	return $self;
}

# Takes in whatever has come without waiting; true if ready, or ended.
sub poll
{
	my ($self) = @_;

	while ($self->_read(0)) { }
	return $self->{ready} || $self->{ended};
}

# Waits for the end of the query (or of the login, or of the session).
sub wait_ready
{
	my ($self) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while (!$self->{ready} && !$self->{ended})
	{
		die 'timed out waiting for an answer' if time() > $deadline;
		$self->_read(1);
	}
	return $self;
}

# Runs a query; the first column of the first row, undef on error or without rows.
sub query
{
	my ($self, $sql) = @_;

	$self->send($sql)->wait_ready;
	return $self->{rows}[0][0];
}

# Starts COPY ... FROM STDIN and waits until the server asks for data.
sub copy_in
{
	my ($self, $sql) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	$self->{copying} = 0;
	$self->send($sql);
	while (!$self->{copying} && !$self->{ready} && !$self->{ended})
	{
		die 'timed out waiting for COPY' if time() > $deadline;
		$self->_read(1);
	}
	return $self;
}

sub copy_data
{
	my ($self, $bytes) = @_;
	$self->_write(pack('a1 N', 'd', 4 + length $bytes) . $bytes);
	return;
}

sub copy_done
{
	my ($self) = @_;
	$self->_write(pack('a1 N', 'c', 4));
	return $self->wait_ready;
}

# Has the server ended the session?  Does not wait.
sub has_ended
{
	my ($self) = @_;
	$self->poll;
	return $self->{ended};
}

# Waits until the server ends the session; the SQLSTATE that it gave.
sub wait_end
{
	my ($self) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while (!$self->{ended})
	{
		die "session $self->{pid} was not ended" if time() > $deadline;
		$self->_read(1);
	}
	return defined $self->{fatal} ? $self->{fatal}{sqlstate} : 'none';
}

# Ends the session politely.
sub close
{
	my ($self) = @_;

	return if $self->{ended};
	$self->_write(pack('a1 N', 'X', 4));
	CORE::close $self->{sock};
	$self->{ended} = 1;
	return;
}

# Goes without a word, as a crashed client would.
sub drop
{
	my ($self) = @_;

	return if $self->{ended};
	CORE::close $self->{sock};
	$self->{ended} = 1;
	return;
}

1;
