# Chromium.pm
#		A headless Chromium that tests look at pages with.
#
# Speaks the DevTools protocol over a pipe (file descriptors 3 and 4, messages end in NUL),
# so that nothing but Perl is needed.  The browser has no network: no name resolves.
package Chromium;

use strict;
use warnings;

use File::Temp ();
use IO::Select;
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use POSIX ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(time);

my $json = JSON::PP->new->utf8->allow_nonref;

# The program; undef when there is none.
sub program
{
	my @names = defined $ENV{CHROMIUM} ? $ENV{CHROMIUM}
	  : map { "/usr/bin/$_" } qw(chromium chromium-browser google-chrome);

	return (grep { -x $_ } @names)[0];
}

sub new
{
	my ($class) = @_;
	my $home = File::Temp->newdir('chromium-XXXXXX', TMPDIR => 1);
	my $self = bless { home => $home, next => 1, buffer => '', events => [] }, $class;

	pipe(my $to_read, my $to_write) or die "pipe: $!";
	pipe(my $from_read, my $from_write) or die "pipe: $!";
	$self->{log} = "$home/log";
	$self->{pid} = fork() // die "fork: $!";
	if ($self->{pid} == 0)
	{
		run_browser($self, $to_read, $from_write);
		POSIX::_exit(127);
	}
	close $to_read;
	close $from_write;
	$self->{to} = $to_write;
	$self->{from} = $from_read;
	my $target = $self->call('Target.createTarget', { url => 'about:blank' })->{targetId};

	$self->{session} = $self->call('Target.attachToTarget',
		{ targetId => $target, flatten => JSON::PP::true })->{sessionId};
	$self->call("$_.enable") foreach qw(Page Runtime Log Network);
	return $self;
}

# In the child: its ends of the pipes become 3 and 4, wherever they were.
sub run_browser
{
	my ($self, $to_read, $from_write) = @_;
	my $in = POSIX::dup2(fileno($to_read), 20);
	my $out = POSIX::dup2(fileno($from_write), 21);

	POSIX::setsid();
	POSIX::dup2(20, 3);
	POSIX::dup2(21, 4);
	$ENV{HOME} = "$self->{home}";
	delete $ENV{DBUS_SESSION_BUS_ADDRESS};
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>', $self->{log});
	open(STDERR, '>&', \*STDOUT);
	# Pages are our own; a sandbox needs rights that containers do not give.
	exec(program(), qw(--headless --remote-debugging-pipe --no-sandbox --disable-gpu
		--no-first-run --disable-dev-shm-usage --disable-background-networking
		--disable-component-update --disable-sync --hide-scrollbars
		--force-color-profile=srgb --lang=en-US --font-render-hinting=none),
		'--host-resolver-rules=MAP * ~NOTFOUND', "--user-data-dir=$self->{home}/profile",
		'about:blank') or return;
}

# One call of the protocol; dies on an error.
sub call
{
	my ($self, $method, $parameters) = @_;
	my $id = $self->{next}++;
	my %message = (id => $id, method => $method, params => $parameters // {});

	$message{sessionId} = $self->{session} if defined $self->{session};
	my $bytes = $json->encode(\%message) . "\0";

	while (length $bytes)
	{
		my $n = syswrite($self->{to}, $bytes) // die "chromium: $!\n" . $self->log;
		substr($bytes, 0, $n) = '';
	}
	while (1)
	{
		my $answer = $self->receive;

		if (!defined $answer->{id}) { push @{ $self->{events} }, $answer; next; }
		next if $answer->{id} != $id;
		die "$method: $answer->{error}{message}" if defined $answer->{error};
		return $answer->{result};
	}
	return;
}

sub receive
{
	my ($self) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while ($self->{buffer} !~ /\0/)
	{
		my $left = $deadline - time();

		die "chromium does not answer\n" . $self->log if $left <= 0;
		next unless IO::Select->new($self->{from})->can_read($left);
		my $n = sysread($self->{from}, $self->{buffer}, 1 << 20, length $self->{buffer});

		die "chromium has ended\n" . $self->log unless $n;
	}
	$self->{buffer} =~ s/^([^\0]*)\0//;
	return $json->decode($1);
}

# Takes what has happened until an event of this name.
sub wait_event
{
	my ($self, $name) = @_;

	while (1)
	{
		foreach my $i (0 .. $#{ $self->{events} })
		{
			return splice(@{ $self->{events} }, $i, 1)
			  if $self->{events}[$i]{method} eq $name;
		}
		push @{ $self->{events} }, $self->receive;
	}
	return;
}

# Sets the size of the window, light or dark, screen or print.
sub set_window
{
	my ($self, %opt) = @_;

	$self->call('Emulation.setDeviceMetricsOverride',
		{
			width => $opt{width} + 0, height => ($opt{height} // 900) + 0,
			deviceScaleFactor => 1, mobile => JSON::PP::false
		});
	$self->call('Emulation.setEmulatedMedia',
		{
			media => $opt{media} // 'screen',
			features => [ { name => 'prefers-color-scheme', value => $opt{scheme} // 'light' } ]
		});
	return;
}

# Opens a file; what the page asks for and says is in requests() and messages() then.
sub open_file
{
	my ($self, $file) = @_;

	$self->{events} = [];
	$self->call('Page.navigate', { url => "file://$file" });
	$self->wait_back('Page.loadEventFired');
	return;
}

# The same, but keeps what came before.
sub wait_back
{
	my ($self, $name) = @_;

	until (grep { $_->{method} eq $name } @{ $self->{events} })
	{
		push @{ $self->{events} }, $self->receive;
	}
	return;
}

sub requests
{
	my ($self) = @_;

	return map { $_->{params}{request}{url} }
	  grep { $_->{method} eq 'Network.requestWillBeSent' } @{ $self->{events} };
}

# What is in the console: errors, warnings, violations of the page's policy.
sub messages
{
	my ($self) = @_;

	return map { $json->encode($_->{params}) }
	  grep { $_->{method} =~ /^(?:Runtime\.(?:consoleAPICalled|exceptionThrown)|Log\.entryAdded)$/ }
	  @{ $self->{events} };
}

# The value of an expression, as data.
sub value
{
	my ($self, $expression) = @_;
	my $result = $self->call('Runtime.evaluate',
		{ expression => $expression, returnByValue => JSON::PP::true,
		  awaitPromise => JSON::PP::true });

	die $json->encode($result->{exceptionDetails}) if defined $result->{exceptionDetails};
	return $result->{result}{value};
}

sub press
{
	my ($self, $key, $code) = @_;
	my %text = $key eq 'Enter' ? (text => "\r") : ();

	$self->call('Input.dispatchKeyEvent',
		{ type => $_, key => $key, code => $key, windowsVirtualKeyCode => $code + 0,
		  $_ eq 'keyDown' ? %text : () }) foreach qw(keyDown keyUp);
	return;
}

# Bytes of a PNG of the whole page.
sub screenshot
{
	my ($self) = @_;
	my $size = $self->call('Page.getLayoutMetrics')->{cssContentSize};
	my $shot = $self->call('Page.captureScreenshot',
		{
			format => 'png', captureBeyondViewport => JSON::PP::true,
			clip => { x => 0, y => 0, width => $size->{width}, height => $size->{height},
				scale => 1 }
		});

	return decode_base64($shot->{data});
}

# The page as it would be printed: bytes of a PDF.
sub pdf
{
	my ($self) = @_;

	return decode_base64($self->call('Page.printToPDF',
		{ printBackground => JSON::PP::false })->{data});
}

sub log
{
	my ($self) = @_;

	return -e $self->{log} ? PostgreSQL::Test::Utils::slurp_file($self->{log}) : '';
}

sub DESTROY
{
	my ($self) = @_;

	return unless $self->{pid};
	local ($@, $?, $!);
	# It ends with its pipe; its children are in its session.
	close $self->{to} if $self->{to};
	foreach my $signal (('TERM') x 50, 'KILL')
	{
		last if waitpid($self->{pid}, POSIX::WNOHANG()) != 0;
		kill $signal, -$self->{pid};
		Time::HiRes::usleep(100_000);
	}
	return;
}

1;
