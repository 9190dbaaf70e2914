# A client that means harm, at the login: labels, application names, roles and databases
# made to break what shows them or to pass for somebody else; options and startup packets
# of every malformed kind; storms of logins; connections that never authenticate.  Nobody
# else is kept out or miscounted, whatever is shown stays text, no line of the log can be
# forged, and it is told who fills the server.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# Logins at the same time in a storm.
my $STORM = $ENV{POOL_TEST_STORM} // 150;

my $node = new_node(
	-name => 'hostile',
	max_connections => $STORM + 50,
	'pool_optimizer.tenant' => q{'%L|%u'},
	'pool_optimizer.history_events' => 5000,
	log_line_prefix => q{'[%p] '},
	log_connections => 'on');
my $super = $node->safe_psql('postgres', 'SELECT current_user');
my $admin = open_session($node, $super);

create_roles($node, qw(r_any r_calm r_storm));

# Sessions but that of the administrator.
sub others
{
	return $admin->value('SELECT sessions FROM pool_stats_cluster') - 1;
}

sub all_gone
{
	my ($what) = @_;

	return ok(wait_until(sub { others() == 0 }), "$what: all are counted out");
}

# ---------- options ----------

# What is given in options, and the label that core takes from it; undef = core refuses
# the login, after we have admitted it.
my @options = (
	[ '-c pool_optimizer.label=a', 'a' ],
	[ '-cpool_optimizer.label=a', 'a' ],
	[ '--pool_optimizer.label=a', 'a' ],
	[ '--pool-optimizer.label=a', 'a' ],
	[ '--Pool_Optimizer.LABEL=a', 'a' ],
	[ '-c pool_optimizer.label=a --pool_optimizer.label=b', 'b' ],
	[ '--pool_optimizer.label=a -c work_mem=64kB -c pool_optimizer.label=b', 'b' ],
	[ "  \t-c\n\tpool_optimizer.label=a  ", 'a' ],
	[ q{-c pool_optimizer.label='a}, q{'a} ],
	[ q{-c pool_optimizer.label="a}, q{"a} ],
	[ q{-c pool_optimizer.label=a=b=}, 'a=b=' ],
	[ '-c pool_optimizer.label=a\\ b\\\\c\\', 'a b\\c' ],
	[ '-c pool_optimizer.label=\\-c\\ x', '-c x' ],
	[ '-c pool_optimizer.label=-c', '-c' ],
	[ '-c pool_optimizer.label=%L%u%%', '%L%u%%' ],
	[ '-c pool_optimizer.label=', '' ],
	[ ' ' x 5000, '' ],
	[ '-c work_mem=64kB ' x 500 . '-c pool_optimizer.label=last', 'last' ],
	[ '-c pool_optimizer.label=first ' . '-c work_mem=64kB ' x 500, 'first' ],
	[ '-c pool_optimizer.label=x ' x 300 . '-c pool_optimizer.label=y', 'y' ],
	[ '-c pool_optimizer.label=' . 'z' x 9000, 'z' x 9000 ],
	[ '\\', undef ],
	[ '-c', undef ],
	[ '-c ' x 3000, undef ],
	[ '--', '' ],
	[ '-', undef ],
	[ '-- -c pool_optimizer.label=a', undef ],
	[ '-c pool_optimizer.label', undef ],
	[ '--pool_optimizer.label', undef ],
	[ '-c =a', undef ],
	[ '-c pool_optimizer.label=a -c', undef ],
	[ '-c pool_optimizer.label=a x', undef ],
	[ '-c pool_optimizer.labels=a', undef ],
	[ '\\' x 9000, undef ],
	[ "'" x 9000, undef ],
	[ '-' x 9000, undef ],
	[ '-c pool_optimizer.mode=off', undef ],
	[ '-c pool_optimizer.tenant=%a', undef ],
	[ '-c pool_optimizer.exempt_roles=r_any', undef ],
	[ '-c pool_optimizer.spare_stateful=off', undef ],
	[ '-c pool_optimizer.sample_interval=60000', undef ]);
my $failed = 0;
my $log_before = -s $node->logfile;

foreach my $case (@options)
{
	my ($options, $label) = @$case;
	my $shown = length $options > 60 ? substr($options, 0, 60) . '...' : $options;
	my $session = open_session($node, 'r_any', options => $options);

	$shown =~ s/[^ -~]/./g;
	if (defined $label)
	{
		ok($session->is_admitted, "options \"$shown\": admitted")
		  or diag($session->error_text);
		next unless $session->is_admitted;
		my $tenant = ($label eq '' ? '[unknown]' : substr($label, 0, 63)) . '|r_any';

		is($session->value('SHOW pool_optimizer.label'), $label, 'core takes this label');
		is($admin->value('SELECT tenant FROM pool_stats_session WHERE pid = ' . $session->pid),
			$tenant, 'and so do we');
		$session->close_and_wait;
	}
	else
	{
		$failed++;
		ok($session->is_refused && $session->sqlstate ne '53300',
			"options \"$shown\": refused by core");
	}
}
all_gone('options');
is($admin->value(q{SELECT sum(errors) || ' ' || sum(rejected) FROM pool_stats}), "$failed 0",
	'what core refused is counted as that');

# Of both ways to give it the startup parameter is applied last.
my $both = open_session($node, 'r_any', options => '-c pool_optimizer.label=a',
	startup => { 'pool_optimizer.label' => 'b' });

is($both->value('SHOW pool_optimizer.label'), 'b', 'given twice: core takes the parameter');
is($both->value('SELECT tenant FROM pool_stats'), 'b|r_any', 'and so do we');
like($both->query(q{SET pool_optimizer.label = 'c'}) // $both->error_text, qr/55P02/,
	'it cannot be changed later');
close_all($both);

# ---------- startup packets ----------

# Sends bytes and reads to the end; what came, '' for silence or a closed connection.
sub send_raw
{
	my ($bytes) = @_;
	my $socket = PoolTest::Session::connect_to($node);
	my $answer = '';
	my $deadline = time() + $PoolTest::TIMEOUT;

	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, $bytes;
	shutdown $socket, 1;
	while (1)
	{
		die "timed out: the server does not close" if time() > $deadline;
		next if IO::Select->new($socket)->can_read(1) == 0;
		last unless sysread $socket, $answer, 8192, length $answer;
	}
	close $socket;
	return $answer;
}

sub packet
{
	my ($body, $length) = @_;

	return pack('NN', $length // length($body) + 8, 196608) . $body;
}

my $as_any = "user\0r_any\0database\0postgres\0";

foreach my $case (
	[ 'nothing at all', '' ],
	[ 'half a length', "\0\0" ],
	[ 'a length of 0', pack('NN', 0, 196608) ],
	[ 'a length below 0', pack('NN', 0xFFFFFFFF, 196608) ],
	[ 'a length of 1 GB', packet($as_any . "\0", 1 << 30) ],
	[ 'a length beyond the packet', packet($as_any . "\0", 500) ],
	[ 'more than 10 kB', packet("${as_any}application_name\0" . 'x' x 11_000 . "\0\0") ],
	[ 'no end of parameters', packet($as_any) ],
	[ 'a parameter without a value', packet("${as_any}pool_optimizer.label\0") ],
	[ 'a value without an end', packet("${as_any}pool_optimizer.label\0abc") ],
	[ 'a parameter without a name', packet("${as_any}\0abc\0\0") ],
	[ 'a role without a name', packet("user\0\0database\0postgres\0\0") ],
	[ 'no role', packet("database\0postgres\0\0") ],
	[ 'a role of 9 kB', packet("user\0" . 'r' x 9000 . "\0database\0postgres\0\0") ],
	[ 'a database of 9 kB', packet("user\0r_any\0database\0" . 'd' x 9000 . "\0\0") ],
	[ 'a role that is not there', packet("user\0nobody\nLOG:  x\0database\0postgres\0\0") ],
	[ 'a database that is not there', packet("user\0r_any\0database\0none\nLOG:  x\0\0") ],
	[ 'control characters only', packet("${as_any}\1\2\0\3\4\0\0") ],
	[ 'a thousand unknown parameters', packet($as_any . join('', map { "x.$_\0y\0" } 1 .. 999)
			. "\0") ],
	[ 'no protocol', pack('NN', 8, 0xDEADBEEF) ],
	[ 'a cancel for nobody', pack('NNNN', 16, 80877102, 1 << 30, 12345) ],
	[ 'noise', pack('C*', map { int rand 256 } 1 .. 2000) ])
{
	my ($what, $bytes) = @$case;

	# An error, a question, or a closed connection; never a session.
	like(send_raw($bytes), qr/\A(?:\z|[EN]|R(?!.*Z\0\0\0\x{05}I\z))/s, "startup packet: $what");
}
all_gone('startup packets');
is($admin->value('SELECT unready_logins FROM pool_stats_cluster'), 0,
	'in none of this anything failed in our hook');

# The last of a parameter given twice counts, for core and for us.
my $twice = send_raw(packet("user\0nobody\0database\0none\0user\0r_any\0database\0postgres\0"
		. "pool_optimizer.label\0one\0pool_optimizer.label\0two\0\0")
	. 'Q' . pack('N', 4 + 27) . "SELECT tenant FROM pool_st" . "\0");

like($twice, qr/S\0\0\0/, 'parameters given twice: admitted');
ok(wait_until(sub {
		$admin->value(q{SELECT count(*) FROM pool_stats WHERE tenant = 'two|r_any'}) == 1;
	}), 'under the last ones');

# ---------- text ----------

# Labels: bytes as they come.  Application names: core cleans them from all but ASCII.
my @hostile = (
	"\n[1] LOG:  forged", "\r\n[1] LOG:  forged", "a\x0b\x0c\x1b[31mred\x08\x7f", q{"}, q{'},
	q{\\}, q{\\'; --}, '%', '%%', '%s%n%d$1', '{"a": 1}', q{","x":"}, '"' x 200, '\\' x 200,
	"\xff\xfe\xfd", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", 'x' x 62 . "\xc3\xa9",
	"\xc2\x85[1] LOG:  forged", "\xc2\x9b31mred", "\xe2\x80\xa8line", "gr\xc3\xbcn",
	"latin \xfc\xe9", "\x80\x81\x9b31m", 'y' x 4500, ' ', '*', '(other)', '[unknown]', 'acme*',
	'r_any|r_any', '|', '@', '../../etc/passwd', '<script>alert(1)</script>', "\xef\xbb\xbfbom");
my %databases = (utf => 'UTF8', latin => 'LATIN1', ascii => 'SQL_ASCII');

foreach my $database (sort keys %databases)
{
	$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$databases{$database}'
		LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
	$node->safe_psql($database, 'CREATE EXTENSION pool_optimizer');
}

# Each is in, leaves something idle in a transaction, and then is refused once.
my @in;

foreach my $i (0 .. $#hostile)
{
	my $session = open_session($node, 'r_any', application_name => $hostile[$i],
		startup => { 'pool_optimizer.label' => $hostile[$i] });

	ok($session->is_admitted, "hostile text $i is admitted") or diag($session->error_text);
	push @in, $session;
}
$admin->query(q{SELECT pool_set_quota('*', max_connections => 0)});
wait_sync($node);
my $n_refused = 0;

foreach my $text (@hostile)
{
	my $session = open_session($node, 'r_any', application_name => $text,
		startup => { 'pool_optimizer.label' => $text });

	$n_refused++ if $session->sqlstate eq '53300';
}
is($n_refused, @hostile, 'each is refused in its turn');
ok(wait_until(sub { !grep { $_->is_alive } @in }), 'and what was in is ended: events of all kinds');
$admin->query(q{SELECT pool_drop_policy('*')});
wait_sync($node);
@in = map {
	open_session($node, 'r_any', application_name => $_,
		startup => { 'pool_optimizer.label' => $_ })
} @hostile;

# Any byte is text in SQL_ASCII, but not for a client that expects UTF-8.
foreach my $database (sort keys %databases)
{
	my $encoding = $databases{$database};

	foreach my $client ($encoding, 'UTF8')
	{
		my $reader = open_session($node, $super, dbname => $database,
			startup => { client_encoding => $client });

		foreach my $view (qw(pool_stats pool_stats_cluster pool_stats_session
			pool_recommendations pool_events))
		{
			ok($reader->query("SELECT * FROM $view"), "$encoding, client $client: reads $view")
			  or diag($reader->error_text);
			is($reader->value(qq{
					SELECT bool_and(convert_from(convert_to(x::text, '$encoding'), '$encoding')
						= x::text) FROM $view x}), 't', 'all of it is sound')
			  or diag($reader->error_text);
		}
		is($reader->value(q{SELECT count(*) FROM pool_stats
				WHERE tenant ~ '[\x01-\x1f\x7f]'}), 0, 'without control characters');
		$reader->close_and_wait;
	}
}
# U+0080 to U+009F are control characters, too; a terminal obeys U+009B as it does ESC [.
my $utf = open_session($node, $super, dbname => 'utf');

is($utf->value(q{SELECT count(*) FROM pool_stats WHERE tenant ~ '[\u0080-\u009f]'}), 0,
	'nor those that UTF-8 has more');
is($utf->value(q{
		SELECT count(*) >= 2 FROM pool_stats WHERE tenant LIKE 'gr' || chr(252) || 'n|%'
			OR tenant LIKE '%' || chr(8232) || '%'}), 't', 'other characters are left alone');
is($utf->value(q{
		SELECT bool_and(detail->>'role' = 'r_any' AND detail->>'rule' = 'tenant')
		FROM pool_events WHERE kind = 'reject'}), 't', 'the detail of every refusal is whole');
close_all($utf, @in);
all_gone('hostile text');

my @lines = split /\n/, log_since($node, $log_before), -1;

is((scalar grep { !/^(?:\[\d+\] |\t|$)/ } @lines), 0, 'each line of the log has its prefix');
is((scalar grep { /^\[1\]/ } @lines), 0, 'none is forged');
is((scalar grep { /tenant "/ && /[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]/ } @lines), 0,
	'no control character of a label is in the log');

# ---------- long names ----------

# As long as the name of a tenant can be, and an odd number of bytes before two-byte characters:
# whoever cuts a sentence with it anywhere cuts a character.
my ($long_role, $long_database, $long_label) = map { $_ x 31 } "\xc3\xa9", "\xc3\xa8", "\xc3\xbc";
my $long_application = 'a' x 62;
my $long = "$long_role\@$long_database/$long_application/$long_label";
my @as_long = ($long_role, dbname => $long_database, application_name => $long_application,
	startup => { 'pool_optimizer.label' => $long_label });
my $reader = open_session($node, $super, dbname => 'utf', startup => { client_encoding => 'UTF8' });

sub reason_of
{
	my ($kind) = @_;

	return $reader->value(qq{SELECT reason FROM pool_events WHERE kind = '$kind'
		AND reason LIKE '%$long_role%' ORDER BY at DESC LIMIT 1}) // '';
}

$reader->query(qq{CREATE ROLE "$long_role" LOGIN});
$reader->query(qq{CREATE DATABASE "$long_database" ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'
	TEMPLATE template0});
$node->append_conf('postgresql.conf', q{pool_optimizer.tenant = '%u@%d/%a/%L'});
$node->reload;
ok(wait_until(sub { $admin->value('SHOW pool_optimizer.tenant') eq '%u@%d/%a/%L' }),
	'with a template of much');
my $surplus = open_session($node, @as_long);

ok($surplus->is_admitted, 'a long name is admitted') or diag($surplus->error_text);
my $setter = open_session($node, $super);

$setter->query(qq{SELECT pool_set_quota('$long', max_connections => 0)})
  or diag($setter->error_text);
wait_sync($node);
my ($said) = split /\n/, refused($node, @as_long);

is($said, qq{FATAL:  53300: too many connections for tenant "$long"},
	'who is refused is told all of it');
ok(wait_until(sub { !$surplus->is_alive }), 'who was in is ended');
like(reason_of('reject'), qr/^too many connections for tenant "\Q$long_role\E[^?]+$/,
	'the event of the refusal has whole characters');
like(reason_of('terminate'), qr/^surplus: tenant "\Q$long_role\E[^?]*" has .* idle for longest$/,
	'that of the end has all its words');
like(reason_of('policy'), qr/^policy of tenant "\Q$long_role\E[^?]+ set by role "\Q$super\E"$/,
	'and that of the policy');
is($reader->value(q{SELECT bool_and(convert_from(convert_to(reason, 'UTF8'), 'UTF8') = reason)
	FROM pool_events}), 't', 'and all are sound');
$setter->query(qq{SELECT pool_drop_policy('$long')});
wait_sync($node);
close_all($reader, $setter);

# ---------- names that look like something else ----------

$node->append_conf('postgresql.conf', q{pool_optimizer.tenant = '%u@%d'});
$node->reload;
ok(wait_until(sub { $admin->value('SHOW pool_optimizer.tenant') eq '%u@%d' }),
	'by role and database');

# 19 (its release candidate, too) allows no newline in the name of a role.
my $control = $node->pg_version->major >= 19 ? "line\x1bLOG:  x" : "line\nLOG:  x";

foreach my $role ('a@b', 'a', '*', '*@*', '%u', '(other)', '[unknown]', '"' x 63, '\\' x 63,
	$control)
{
	my $quoted = $role =~ s/"/""/gr;

	$admin->query(qq{CREATE ROLE "$quoted" LOGIN}) or die $admin->error_text;
}
foreach my $database ('c', 'b@c', '"' x 63)
{
	my $quoted = $database =~ s/"/""/gr;

	$admin->query(qq{CREATE DATABASE "$quoted"}) or die $admin->error_text;
}
$admin->query(q{
	SELECT pool_set_quota('r_any@postgres', max_connections => 1);
	SELECT pool_set_quota('x*@postgres', max_connections => 0)});
wait_sync($node);

# A name is put together as the template says, so these two are one: documented.
my @one = (
	open_session($node, 'a@b', dbname => 'c'),
	open_session($node, 'a', dbname => 'b@c'));

is(stat_of($node, 'a@b@c', 'sessions'), 2, 'role a@b in c and role a in b@c are one tenant');
my @named = map { open_session($node, $_) } '*', '*@*', '%u', '(other)', '[unknown]';
my $any = open_session($node, 'r_any');

is((scalar grep { !$_->is_admitted } @named), 0, 'roles named as patterns and escapes get in');
ok($any->is_admitted, 'and take nothing from others');
is(refused_sqlstate($node, 'r_any'), '53300', 'whose quota holds');
is($admin->value(q{SELECT string_agg(tenant, ' ' ORDER BY tenant COLLATE "C") FROM pool_stats
		WHERE tenant LIKE '%@postgres' AND sessions = 1 AND tenant NOT LIKE 'r\_%'
			AND exempt_sessions = 0}),
	'%u@postgres (other)@postgres *@*@postgres *@postgres [unknown]@postgres',
	'each is the tenant of its name');
my $odd = open_session($node, $control);

# Core knows it by its own name, the template by what it becomes.
is($odd->value('SELECT tenant FROM pool_explain_admission() LIMIT 1'), $control =~ s/[\n\x1b]/?/r . '@postgres',
	'one with a control character is told what holds for it');
is($admin->value("SELECT count(DISTINCT tenant) FROM pool_explain_admission(role => '$control') WHERE scope = 'tenant'"),
	'1', 'also when it is given');
close_all(@one, @named, $any, $odd);

# The longest names there can be: everything in the event's detail has its place.
$admin->query(q{SELECT pool_set_quota('*', max_connections => 0)});
wait_sync($node);
foreach my $role ('"' x 63, '\\' x 63)
{
	is(refused_sqlstate($node, $role, dbname => '"' x 63, application_name => '"' x 63), '53300',
		'a name of quotes or backslashes is refused');
	is($admin->value(q{
			SELECT detail->>'rule' || ' ' || (detail->>'limit') FROM pool_events
			WHERE kind = 'reject' ORDER BY at DESC LIMIT 1}), 'tenant 0',
		'its event has a detail');
}
is(refused_sqlstate($node, $control), '53300', 'a role with a control character in its name');
is((scalar grep { !/^(?:\[\d+\] |\t|$)/ } split /\n/, log_since($node, $log_before), -1), 0,
	'still each line of the log has its prefix');
$admin->query(q{SELECT pool_drop_policy(tenant) FROM pool_policies});
wait_sync($node);
all_gone('names');

# ---------- storms ----------

$node->append_conf('postgresql.conf', q{pool_optimizer.tenant = '%u'});
$node->reload;
ok(wait_until(sub { $admin->value('SHOW pool_optimizer.tenant') eq '%u' }), 'by role');
$admin->query(q{SELECT pool_set_quota('r_storm', max_connections => 3)});
wait_sync($node);
my @held = map { open_session($node, 'r_storm') } 1 .. 3;
my ($n_stormed, $n_calm, $calm_failed) = (0, 0, 0);
my %met;

# Others log in while all of the storm is on its way.
sub calm
{
	my ($n) = @_;

	foreach (1 .. $n)
	{
		my $session = open_session($node, 'r_calm');

		$n_calm++;
		$calm_failed++ unless $session->is_admitted && $session->value('SELECT 1') == 1;
		$session->close_and_wait unless $session->is_refused;
	}
	return;
}

foreach (1 .. 3)
{
	my @storm = map { start_login($node, 'r_storm') } 1 .. $STORM;

	calm(5);
	$_->wait_login foreach @storm;
	$n_stormed += @storm;
	$met{ $_->error_text =~ /too many connections for tenant "r_storm"/ ? 'quota' : 'else' }++
	  foreach @storm;
}
is($met{quota}, $n_stormed, "all $n_stormed logins of the storm are refused by the quota");
is(stat_of($node, 'r_storm', 'rejected'), $n_stormed, 'and counted');
is("$calm_failed of $n_calm", "0 of $n_calm", 'no login of another tenant failed');

# Those that would wait: as many as there is room for in the queue, no more.
$admin->query(q{SELECT pool_set_quota('r_storm', on_full => 'wait', wait_timeout => '50s')});
wait_sync($node);
my $max_waiting = int(($STORM + 50) / 10);
my @waiting = map { start_login($node, 'r_storm') } 1 .. $STORM;

ok(wait_until(sub { $STORM - $max_waiting <= grep { $_->is_refused } @waiting }),
	'a storm of logins that would wait');
is($admin->value('SELECT waiting FROM pool_stats_cluster'), $max_waiting,
	'max_waiting of them wait, the others are refused at once');
($n_calm, $calm_failed) = (0, 0);
calm(10);
is($calm_failed, 0, 'others are admitted meanwhile');
$_->vanish foreach @waiting;
ok(wait_until(sub { $admin->value('SELECT waiting FROM pool_stats_cluster') == 0 }),
	'clients that go away leave the queue');
close_all(@held);
all_gone('storms');
unlike(log_since($node, $log_before), qr/has corrected its count/, 'no count was off');
close_all($admin);
stop_clean($node);

# ---------- connections that do not authenticate ----------

my $MAX = 30;
my $USABLE = $MAX - 3;

$node = new_node(
	-name => 'silent',
	max_connections => $MAX,
	superuser_reserved_connections => 3,
	authentication_timeout => '600s');
create_roles($node, qw(r_calm r_scram));
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', q{
local all all trust
host all r_scram 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
});
$node->reload;
$admin = open_session($node, $super);

sub tcp
{
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $node->port,
		Proto => 'tcp');

	return $socket // die "cannot connect: $!";
}

# As far as the server's question for a password; undef when it said something else.
sub until_password
{
	my $socket = tcp();
	my $answer = '';

	syswrite $socket, packet("user\0r_scram\0database\0postgres\0\0");
	while (length $answer < 9 && IO::Select->new($socket)->can_read($PoolTest::TIMEOUT))
	{
		last unless sysread $socket, $answer, 8192, length $answer;
	}
	return $answer =~ /^R....\0\0\0\x0a/s ? $socket : undef;
}

sub half_open
{
	my ($n, $to) = @_;

	return ok(wait_until(sub {
			my $socket = until_password();

			push @$to, $socket if defined $socket;
			return @$to == $n;
		}), "$n connections are asked for a password and say nothing");
}

sub authenticating_is
{
	my ($n, $what) = @_;

	return ok(wait_until(sub {
			$admin->value('SELECT authenticating FROM pool_stats_cluster') == $n;
		}), $what);
}

# Before the startup packet a connection has a process, but no slot.
authenticating_is(0, 'nobody authenticates');
my @silent = map { tcp() } 1 .. $MAX;
my @calm;

ok(wait_until(sub {
		my $session = open_session($node, 'r_calm');

		push @calm, $session if $session->is_admitted;
		return @calm == $USABLE - 1;
	}), "$MAX connections that send nothing take no slot: all others can be had");
is($admin->value('SELECT sessions FROM pool_stats_cluster'), $USABLE, 'as is counted');
ok(wait_until(sub {
		$admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'alert'
			AND reason LIKE '% connections are taken%' AND reason NOT LIKE '%authenticating%'}) == 1;
	}), 'of which an alert comes');
close_all(@calm);
all_gone('silent connections');
close $_ foreach @silent;
ok(wait_until(sub {
		$admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'alert'
			AND reason LIKE 'connections are free again: %'}) == 1;
	}), 'and is over');

# An alert that comes back soon is held for longer; a restarted sampler starts afresh.
sub restart_sampler
{
	my $pid = $admin->value('SELECT sampler_pid FROM pool_stats_cluster');

	kill 'TERM', $pid;
	return ok(wait_until(sub {
			$admin->value("SELECT coalesce(sampler_pid, $pid) <> $pid FROM pool_stats_cluster")
			  eq 't';
		}), 'the sampler is restarted');
}

restart_sampler();
my @half;

half_open($USABLE - 3, \@half);
authenticating_is($USABLE - 3, 'they hold slots, which pool_stats_cluster tells');
@calm = map { open_session($node, 'r_calm') } 1, 2;
is((scalar grep { $_->is_admitted } @calm), 2, 'others get in while there is a slot');
is($admin->value(q{SELECT utilization || ' ' || health FROM pool_stats_cluster}), '1 critical',
	'all that is usable is taken');
ok(wait_until(sub {
		$admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'alert' AND tenant IS NULL
			AND reason ~ '^\d+ of \d+ connections are taken, \d+ of them still authenticating'
			AND (detail->>'authenticating')::int >= 20
			AND (detail->>'sessions')::int <= 5}) == 1;
	}), 'an alert says that it is connections that still authenticate');
like(log_since($node, 0),
	qr/LOG: .* of them still authenticating.*\n(?:.*DETAIL: .*\n)?.*HINT: .*authentication_timeout/,
	'so does the log, with a hint');

# They take the reserved slots as well: who is what is known after the password only.
half_open($MAX - 3, \@half);
like(refused($node, $super), qr/^FATAL:  53300: sorry, too many clients already/,
	'the last slots are gone, too');
is($admin->value('SELECT authenticating FROM pool_stats_cluster'), $MAX - 3,
	'who is in can see why');
is((scalar grep { $_->is_alive && $_->value('SELECT 1') == 1 } @calm), 2, 'and goes on working');
close $_ foreach splice @half;
authenticating_is(0, 'when they go away their slots are free');
is(refused($node, 'r_calm'), '', 'and others get in');
close_all(@calm);

# The server's own means against it.
$node->append_conf('postgresql.conf', q{authentication_timeout = '2s'});
$node->reload;
ok(wait_until(sub { $admin->value('SHOW authentication_timeout') eq '2s' }),
	'with a short authentication_timeout');
my $before = -s $node->logfile;

# On a slow machine the first may be gone before the last has come.
foreach (1 .. $USABLE - 3)
{
	my $socket = until_password();

	push @half, $socket if defined $socket;
}
cmp_ok(scalar @half, '>', 0, 'connections are asked for a password and say nothing');
my $n_closed = 0;

foreach my $socket (@half)
{
	my $answer;

	$n_closed++ if IO::Select->new($socket)->can_read($PoolTest::TIMEOUT)
	  && !sysread $socket, $answer, 8192;
}
is($n_closed, @half, 'the server ends them');
like(log_since($node, $before), qr/canceling authentication due to timeout/, 'for that reason');
authenticating_is(0, 'and their slots are free');
my $last = open_session($node, 'r_calm');

ok($last->is_admitted, 'others get in');
close_all($last);
all_gone('authentication');
is($admin->value(q{SELECT unready_logins || ' ' || worker_errors FROM pool_stats_cluster}), '0 0',
	'nothing failed on our side');
close_all($admin);
stop_clean($node);
done_testing();
