# scripts/top on a real terminal (tmux): what it shows at 80 and at 200 columns, its keys,
# other sizes, names that would like to be escape sequences, a server that goes away, and
# that it leaves the terminal as it was, however it ends.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Encode ();
use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my ($tmux) = grep { -x } map { "$_/tmux" } split(/:/, $ENV{PATH}), '/usr/bin', '/usr/local/bin';

plan skip_all => 'tmux is not installed' if !defined $tmux;
plan skip_all => 'there is no locale C.UTF-8'
  if (run_command([ 'locale', '-a' ]))[0] !~ /^C\.utf-?8$/mi;

my $top = "$FindBin::RealBin/../scripts/top";
my $node = new_node(-name => 'top', max_connections => 50, 'pool_optimizer.max_tenants' => 2600);
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $n_panes = 0;
my $pane;

# Only one server of tmux, on a socket of its own, is ever ended.
sub tmux
{
	my @arguments = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ $tmux, '-S', "$dir/tmux", '-f', '/dev/null', @arguments ], '<', \'', '>', \$out, '2>', \$err);
	return Encode::decode('UTF-8', $out);
}

# Also when the test is told to end.
$SIG{TERM} = $SIG{HUP} = $SIG{INT} = sub { die "ended by a signal\n" };
END
{
	my $status = $?;

	tmux('kill-server') if defined $dir && -S "$dir/tmux";
	$? = $status;
}

$ENV{LC_ALL} = 'C.UTF-8';
delete @ENV{qw(NO_COLOR COLUMNS LINES TMUX)};
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
delete @ENV{qw(PGDATABASE PGSERVICE PGUSER PGAPPNAME)};

# A shell in a pane runs top, and notes its exit status, what it complained of, and the
# terminal's settings before and after.  Returns the pane's name.
sub start_top
{
	my ($columns, $rows, @arguments) = @_;
	my $name = 'p' . ++$n_panes;
	my $file = "$dir/$name";

	append_to_file("$file.sh", "cd '$dir'; stty -g >$name.before\n"
		. "'$^X' '$top' @arguments 2>$name.err\n"
		. "echo \$? >$name.rc; stty -g >$name.after; echo \"that was all\"; exec cat\n");
	tmux('new-session', '-d', '-s', $name, '-x', $columns, '-y', $rows, "sh $file.sh");
	$pane = $name;
	return $name;
}

sub screen { return tmux('capture-pane', '-p', '-t', "$pane:"); }
sub press { tmux('send-keys', '-t', "$pane:", @_); return; }
sub resize { tmux('resize-window', '-t', "$pane:", '-x', $_[0], '-y', $_[1]); return; }

# Waits until the screen looks so; ok() of it.
sub sees
{
	my ($pattern, $what) = @_;
	my $text;
	my $found = wait_until(sub { $text = screen(); $text =~ $pattern }, $what);

	diag("the screen:\n" . Encode::encode('UTF-8', $text)) unless $found;
	return ok($found, $what);
}

sub slurp { my ($name) = @_; return -e "$dir/$name" ? slurp_file("$dir/$name") : ''; }

# top has ended, with this status, silently, and the terminal is what it was.
sub ended_well
{
	my ($status, $what) = @_;

	ok(wait_until(sub { slurp("$pane.after") =~ /\n/ }, $what), "$what: it ends");
	is(slurp("$pane.rc"), "$status\n", "$what: exit status $status");
	is(slurp("$pane.after"), slurp("$pane.before"), "$what: the terminal's settings are back");
	is(slurp("$pane.err"), '', "$what: no complaint");
	wait_until(sub { screen() =~ /that was all/ });
	unlike(screen(), qr/sorted by/, "$what: the screen is back");
	is(tmux('display-message', '-p', '-t', "$pane:", '#{alternate_on} #{cursor_flag} #{wrap_flag}'),
		"0 1 1\n", "$what: cursor and wrapping are back");
	ok($node->poll_query_until('postgres',
			"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pool_optimizer top'"),
		"$what: its session has ended");
	return;
}

# The pid of the top in the pane.
sub top_pid
{
	my $shell = tmux('display-message', '-p', '-t', "$pane:", '#{pane_pid}') + 0;
	my ($pids) = run_command([ 'ps', '-o', 'pid=', '--ppid', $shell ]);

	return $pids =~ /(\d+)/ ? $1 : undef;
}

sub once
{
	my @arguments = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ $^X, $top, '-U', 'r_admin', '-1', '-i', '0.1', @arguments ], '<', \'', '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

# ---------------------------------------------------------------------------
# A server with something to see
# ---------------------------------------------------------------------------

my $evil = "evil\e[31mred\e]0;title\a\xc2\x9b31m\xe2\x80\xae";
my $kanji = "\xe6\xbc\xa2\xe5\xad\x97";

create_roles($node, qw(r_busy r_idle r_plain), $kanji);
$node->safe_psql('postgres', qq{
	CREATE ROLE r_admin LOGIN SUPERUSER;
	CREATE ROLE "$evil" LOGIN;
	CREATE DATABASE without;
	SELECT pool_set_timeouts('r_busy\@postgres', idle_in_transaction => '1ms', mode => 'observe');
	SELECT pool_set_quota('r_idle\@postgres', max_connections => 4)});
wait_sync($node);

my @busy = map { open_session($node, 'r_busy', application_name => "shop $_") } 1 .. 3;
my @idle = map { open_session($node, 'r_idle') } 1 .. 4;
my @odd = (open_session($node, $evil, application_name => '%s%n$(id)`id`'), open_session($node, $kanji));

$_->query('BEGIN') foreach @busy[ 0, 1 ];
is(refused_sqlstate($node, 'r_idle'), '53300', 'one is refused');

# ---------------------------------------------------------------------------
# Without a terminal
# ---------------------------------------------------------------------------

my ($status, $out, $err) = once('--columns', 100);

is($status, 0, '-1: exit status');
is($err, '', '-1: no complaint');
like($out, qr/^\d\d:\d\d:\d\d  r_admin\@postgres/m, '-1: who looks at what');
like($out, qr/\d+% (?:healthy|warning|critical) \d+ of 47 connections/, '-1: utilization and health');
like($out, qr/^mode enforce; sampler \d+, \S+ us a sample, \d+ missed, last \S+ ago$/m, '-1: mode and sampler');
like($out, qr/^r_idle\@postgres +4 +0 +4 +0 +0 +4 100% +1 /m, '-1: sessions by state, quota, utilization, refused');
ok((grep { length Encode::decode('UTF-8', $_) <= 100 } split /\n/, $out) == split(/\n/, $out), '-1: no wider than asked');
unlike($out, qr/[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae/, '-1: no control character');
like($out, qr/^evil\?\[31mred\?\]0;title\?/m, '-1: a hostile name is shown harmless');
like($out, qr/^$kanji\@postgres/m, '-1: a name in UTF-8 is shown');
($status, $out) = once('-n', 2, '-s', 'tenant');
is(scalar(() = $out =~ /\@postgres +\d/g), 2, '-n: so many tenants');
($status, $out) = once('-f', 'R_I');
is(join(' ', $out =~ /^(\S+\@postgres) +\d/mg), 'r_idle@postgres', '-f: only those');
{
	local $ENV{LC_ALL} = 'C';

	($status, $out) = once();
	unlike($out, qr/[^\x20-\x7e\n]/, 'in locale C there is nothing but ASCII');
}
($status, $out) = once('-U', 'r_plain');
like($out, qr/^Shown is your own tenant only: role r_plain is no member of pg_read_all_stats$/m,
	'a plain role is told that it sees its own');
unlike($out, qr/r_busy|r_idle/, 'and does');
($status, $out, $err) = once('-d', 'without');
is($status, 1, 'a database without the extension: exit status');
like($err, qr/has no extension pool_optimizer/, 'and what is to be done');
($status, $out, $err) = once('-p', '1');
is($status, 2, 'no server: exit status');
like($err, qr/^top: .*No such file or directory/, 'and why');
($status, $out, $err) = once('-s', 'nonsense');
is($status, 1, 'no such column: exit status');
($status, $out, $err) = once('--nonsense');
is($status, 1, 'no such option: exit status');

# One frame on a terminal: once its session is idle it waits for the second look.
sub start_once
{
	my ($interval) = @_;

	start_top(80, 24, '-U', 'r_admin', '-1', '-i', $interval);
	return ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity
		WHERE application_name = 'pool_optimizer top' AND state = 'idle'
		AND query ~ 'COPY \(SELECT .Z., 2\)'}), '-1: it waits');
}

start_once(5);
my $once = top_pid();
kill $_, $once foreach qw(WINCH TSTP CONT);
ended_well(0, '-1, resized and stopped');
like(screen(), qr/^r_idle\@postgres +4 /m, 'there is a frame');

# Ended while it waits for an answer, which a lock keeps from it.
my $locking = open_session($node, 'r_admin');

start_once(5);
$once = top_pid();
$locking->query('BEGIN; LOCK TABLE pool_stats IN ACCESS EXCLUSIVE MODE');
wait_until(sub { $locking->value(q{SELECT count(*) FROM pg_stat_activity
	WHERE application_name = 'pool_optimizer top' AND wait_event_type = 'Lock'}) }, 'a lock');
# Before lock_timeout ends the wait.
kill 'TERM', $once;
ended_well(143, '-1, SIGTERM without an answer');
$locking->close_and_wait;

# A password is asked for on the plain terminal, which a resize leaves alone.
start_top(80, 24, '-U', 'r_admin', '-W');
sees(qr/^Password/m, 'psql asks for the password');
resize(90, 24);
press('Enter');
sees(qr/h: help/, 'it comes up');
press('q');
ended_well(0, 'after a password');
like(screen(), qr/^Password/m, 'the prompt was still there');

# What the server cannot cut right, as it does not know the encoding.
$node->safe_psql('postgres',
	q{CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'});
$node->safe_psql('bytes', q{CREATE EXTENSION pool_optimizer;
	CREATE OR REPLACE FUNCTION pool_findings(OUT tenant text, OUT kind text, OUT severity text, OUT since timestamptz,
		OUT last_seen timestamptz, OUT evidence jsonb, OUT connections_spent float8, OUT advice text, OUT queryid bigint)
	RETURNS SETOF record LANGUAGE sql VOLATILE AS $f$
		SELECT 'r_busy@postgres', 'churn', 'info', now(), now(),
			jsonb_build_object('statement', '|' || repeat(chr(195) || chr(169), 400)), 1::float8,
			'Keep them.', NULL::bigint $f$});
start_top(200, 24, '-U', 'r_admin', '-d', 'bytes');
sees(qr/h: help/, 'it comes up');
press('f');
sees(qr/^    \|\xe9{194}~?\n?.*\n    Keep them\.$/m, 'a long statement in a database SQL_ASCII');
press('Escape', 'q');
ended_well(0, 'SQL_ASCII');

# ---------------------------------------------------------------------------
# 80 x 24
# ---------------------------------------------------------------------------

start_top(80, 24, '-U', 'r_admin');
sees(qr/h: help/, 'it comes up');
sees(qr/^r_busy\@postgres +3 +\d +1 +2 /m, 'sessions by state at 80 columns');
sees(qr/^r_idle\@postgres .* 4 100% +1 /m, 'quota, utilization, refused at 80 columns');
sees(qr/^tenant +sess +act +idle +itx +wait +quota +util +refused +leak +rec/m, 'what fits into 80 columns');
sees(qr/^sessions: \d+ active, \d+ idle, 2 in transaction \(idle\), 0 other; 2 leaked$/m, 'states and leaks of all');
sees(qr/^evil\?\[31mred\?\]0;title\?/m, 'a hostile name');
sees(qr/^\Q@{[ Encode::decode('UTF-8', $kanji) ]}\E\@postgres +1 /m, 'a wide name keeps its column');
unlike(tmux('display-message', '-p', '-t', "$pane:", '#{pane_title}'), qr/^title/, 'nobody set the title');

press('n');
sees(qr/sorted by tenant/, 'n: sorted by name');
sees(qr/^TENANT/m, 'its title says so');
sees(qr/\nevil(?s:.*)\nr_admin(?s:.*)\nr_busy.*\nr_idle/, 'and they are');
press('R');
sees(qr/r_idle.*\nr_busy(?s:.*)\nr_admin(?s:.*)\nevil/, 'R: reversed');
press('R', 'u');
sees(qr/UTIL(?s:.*?)\nr_idle/, 'u: the fullest first');
press('<');
sees(qr/sorted by quota/, '<: the column to the left');
press('>');
sees(qr/sorted by util/, '>: back');
press('x');
sees(qr/LEAK.*\nr_busy/, 'x: leaks first');

press('/');
press('-l', 'IDL');
sees(qr/filter: IDL_/, 'a filter while it is typed');
press('Enter');
sees(qr/\A(?!.*r_busy).*r_idle.*1 of \d+ tenants with "IDL"/s, 'only what matches');
press('Escape');
sees(qr/r_busy/, 'Esc ends the filter');

press('Down', 'Up', 'Enter');
sees(qr/^r_busy\@postgres$/m, 'Enter: the tenant first in the list');
sees(qr/^recommended \d+ \(\d+ to \d+\), \d+% sure, by \w+/m, 'its recommendation');
sees(qr/transactions?/, 'the reason');
my $pid = $busy[0]->pid;
sees(qr/^ +$pid shop 1 +idle in tr\S* .* idle_in_transaction +would_terminate$/m, 'its sessions with class and verdict');
sees(qr/would_terminate $pid: idle in transaction for/, 'what happened');
press('f');
sees(qr/^what connections of r_busy\@postgres are spent on(?s:.*)^no finding$/m, 'f: its findings, of which there are none');
press('f');
sees(qr/^recommended \d+/m, 'f: back to the detail');
press('PageDown', 'PageUp', 'h');
sees(qr/^keys$/m, 'h: help');
press('q');
sees(qr/sorted by leak/, 'q: back to the list');

press('Space');
sees(qr/^PAUSED, as of/m, 'space: pause');
push @idle, open_session($node, $kanji);
my ($clock) = screen() =~ /^(\d\d:\d\d:\d\d)  /m;
ok($node->poll_query_until('postgres', "SELECT clock_timestamp() > current_date + time '$clock' + interval '3 seconds'
	OR clock_timestamp() < current_date + time '$clock' - interval '1 hour'"), 'time passes');
like(screen(), qr/^\Q$clock\E  /m, 'and the screen stands still');
press('Space');
sees(qr/^\Q@{[ Encode::decode('UTF-8', $kanji) ]}\E\@postgres +2 /m, 'space: on it goes');

# ---------------------------------------------------------------------------
# Findings
# ---------------------------------------------------------------------------

# What takes minutes to be found, told by a function in the place of the extension's.
$node->safe_psql('postgres', qq{
	CREATE OR REPLACE FUNCTION pool_findings(OUT tenant text, OUT kind text, OUT severity text, OUT since timestamptz,
		OUT last_seen timestamptz, OUT evidence jsonb, OUT connections_spent float8, OUT advice text, OUT queryid bigint)
	RETURNS SETOF record LANGUAGE sql VOLATILE AS \$f\$
		SELECT 'r_busy\@postgres', 'n_plus_one', 'warning', now(), now(), jsonb_build_object('statement',
			E'SELECT price\\n\\tFROM "lines\\x1b[31m" WHERE "order" = \$1 AND ' || repeat('x = \$2 AND ', 60) || 'true'), 3.14159,
			'It runs 20 times in a row: fetch all by a JOIN in the statement before it, or call this once with all keys.', 77
		UNION ALL SELECT 'r_idle\@postgres', 'read_only', 'info', now(), now(), '{}', 0.6, 'A standby could.', NULL
		UNION ALL SELECT 'r_idle\@postgres', 'churn', 'critical', now(), now(), '{}', 7.5, 'Keep them in a pool.', NULL \$f\$;
	INSERT INTO pool_acknowledged VALUES ('r_idle\@postgres', 'churn', 0, 'until release 42', NULL, 'r_admin', now(), 7.5, 'critical')});
press('f');
sees(qr/^warning r_busy\@postgres since \d\d-\d\d \d\d:\d\d: n_plus_one, 3\.14 connections$/m, 'f: findings at 80 columns');
sees(qr/^    SELECT price FROM "lines\?\[31m" WHERE "order" = \$1 AND x = \$2 AND/m, 'the statement, harmless');
is(scalar(() = screen() =~ /^    .*x = \$2/mg), 3, 'and no more than three lines of it');
sees(qr/^    It runs 20 times in a row: fetch all by a JOIN in the statement before it,\n    or call this once/m, 'what to do');
sees(qr/^info r_idle(?s:.*)^acknowledged r_idle.*churn, 7\.50 connections\n    until release 42$/m, 'what is acknowledged comes last, with its reason');
resize(200, 50);
sees(qr/^    It runs 20 times in a row: .* call this once with all keys\.$/m, 'findings at 200 columns');
press('f');
sees(qr/sorted by leak/, 'f: back to the list');
press('Home', 'Enter');
sees(qr/^1 finding \(f: see them\): 3\.14 connections are spent on n_plus_one$/m, 'the detail tells of its dearest');
press('f');
sees(qr/^what connections of r_busy\@postgres are spent on(?s:.*)n_plus_one/m, 'f: those of the tenant');
unlike(screen(), qr/read_only/, 'and of no other');
# With the next answer it knows those only, and no other comes.
my $top_session = $node->safe_psql('postgres',
	"SELECT pid FROM pg_stat_activity WHERE application_name = 'pool_optimizer top'");
kill 'STOP', $top_session;
sees(qr/^The server has not answered for \d+ s$/m, 'no answer any more');
press('f');
sees(qr/^recommended \d+/m, 'f: the detail is as it was');
kill 'CONT', $top_session;
press('Escape');
sees(qr/sorted by leak/, 'Esc, Esc: the list');
resize(80, 24);

# ---------------------------------------------------------------------------
# Other sizes
# ---------------------------------------------------------------------------

resize(200, 50);
sees(qr/^tenant.*LEAK.*tx\/s.*p95ms.*guar.*errors.*bound +why this size/m, 'what fits into 200 columns');
sees(qr/\n[^\n]*q: quit[^\n]*\s*\z/, 'the last of 50 lines is the bar');
is(scalar(() = screen() =~ /sorted by/g), 1, 'nothing is left of the smaller one');
resize(20, 5);
# Alerts come before the time.
sees(qr/\A(?:\d\d:\d\d:\d\d |\d+% \w+ )/, 'at 20 x 5');
sees(qr/^r_busy/m, 'there is still a tenant');
resize(3, 2);
press('Down', 'Enter', 'q', 'C-l');
resize(80, 24);
sees(qr/sorted by leak(?s:.*)\z/, 'and back');

# ---------------------------------------------------------------------------
# Trouble
# ---------------------------------------------------------------------------

$node->stop('fast');
sees(qr/^NO CONNECTION: .*trying again/m, 'the server is gone, and it says so');
sees(qr/r_busy/, 'what was seen last is still there');
$node->start;
sees(qr/\A(?!.*NO CONNECTION).*sess(?s:.*)r_admin\@postgres +1 /s, 'the server is back, and so is the view');

$node->safe_psql('postgres', 'DROP EXTENSION pool_optimizer CASCADE');
sees(qr/^ERROR: this database has no extension/m, 'the extension is gone');
$node->safe_psql('postgres', 'CREATE SCHEMA "Odd ""place"; CREATE EXTENSION pool_optimizer SCHEMA "Odd ""place"');
sees(qr/\A(?!.*ERROR:).*sess/s, 'the extension is back, in another schema');

# An alert of a tenant whose name would like to blink.
my $blinking = "al\x1b[5mert";

$node->safe_psql('postgres', qq{
	CREATE ROLE "$blinking" LOGIN;
	SELECT "Odd ""place".pool_set_alert('tenant_utilization', 'critical', for_duration => '0');
	SELECT "Odd ""place".pool_set_quota('$blinking\@postgres', 1)});
$node->poll_query_until('postgres', q{SELECT "Odd ""place".pool_sync('10s')});
my $alerting = open_session($node, $blinking);

sees(qr/^critical \d\d-\d\d \d\d:\d\d:\d\d al\?\[5mert\@postgres, tenant_utilization: 1 of 1/m, 'an alert');
press('a');
sees(qr/^critical .* al\?\[5mert\@postgres(?s:.*)1 of 1 connections are in use(?s:.*)Esc: back/m, 'a: all alerts');
press('Escape');
sees(qr/sorted by/, 'Esc: the list');

# ---------------------------------------------------------------------------
# Ends
# ---------------------------------------------------------------------------

press('q');
ended_well(0, 'q');

start_top(80, 24, '-U', 'r_admin');
sees(qr/h: help/, 'it comes up');
press('C-c');
ended_well(0, 'Ctrl-C');

foreach my $signal ([ 'TERM', 143 ], [ 'HUP', 129 ], [ 'INT', 0 ])
{
	start_top(80, 24, '-U', 'r_admin');
	sees(qr/h: help/, 'it comes up');
	kill $signal->[0], top_pid();
	ended_well($signal->[1], "SIG$signal->[0]");
}

# While the server does not answer at all.
start_top(80, 24, '-U', 'r_admin');
sees(qr/h: help/, 'it comes up');
$pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'pool_optimizer top'");
kill 'STOP', $pid;
sees(qr/^The server has not answered for \d+ s$/m, 'a server that is silent is told');
press('h');
sees(qr/^keys$/m, 'and keys work');
press('q', 'q');
ok(wait_until(sub { slurp("$pane.after") =~ /\n/ }), 'it can be left');
kill 'CONT', $pid;
ended_well(0, 'q without an answer');

# The terminal goes away.
start_top(80, 24, '-U', 'r_admin');
sees(qr/h: help/, 'it comes up');
$pid = top_pid();
tmux('kill-session', '-t', $pane);
ok(wait_until(sub { !kill 0, $pid }), 'without its terminal it ends');
ok($node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pool_optimizer top'"),
	'and so does its session');

# Keys do not take the interval to where an option has not been.
start_top(80, 24, '-U', 'r_admin', '-i', '0.1');
sees(qr/, every 0\.1 s/, 'every 0.1 s');
press('+', 'n');
sees(qr/sorted by tenant, every 0\.1 s/, '+: not less often');
press('-', 'u');
sees(qr/sorted by util, every 0\.2 s/, '-: less often');
press('q');
ended_well(0, 'q after 0.1 s');
start_top(80, 24, '-U', 'r_admin', '-i', 3600);
sees(qr/, every 3600 s/, 'every hour');
press('-', 'n');
sees(qr/sorted by tenant, every 3600 s/, '-: not more often');
press('+', 'u');
sees(qr/sorted by util, every 1800 s/, '+: more often');
press('q');
ended_well(0, 'q after an hour');

# Stopped and continued, as by a shell with job control.
tmux('new-session', '-d', '-s', 'job', '-x', 80, '-y', 24, 'bash --norc --noprofile -i');
$pane = 'job';
sees(qr/\$\s*\z/, 'a shell');
press('-l', "'$^X' '$top' -U r_admin");
press('Enter');
sees(qr/h: help/, 'it comes up');
press('C-z');
sees(qr/Stopped/, 'Ctrl-Z: the shell is back');
press('-l', 'fg');
press('Enter');
sees(qr/h: help/, 'fg: the screen is back');
press('q');
sees(qr/\$\s*\z/, 'and ends');

# ---------------------------------------------------------------------------
# More tenants than are fetched
# ---------------------------------------------------------------------------

create_roles($node, 'r_zzz');
$node->safe_psql('postgres', q{
	INSERT INTO "Odd ""place".pool_policies (tenant, max_connections)
		SELECT format('app_%s@postgres', i), 1000 + i FROM generate_series(1, 2500) i;
	SELECT "Odd ""place".pool_set_quota('r_zzz@postgres', 0, mode => 'observe');
	SELECT "Odd ""place".pool_sync('60s')});
open_session($node, 'r_zzz')->close_and_wait;
($status, $out) = once('-s', 'would', '-n', 1);
like($out, qr/^r_zzz\@postgres/m, 'more than 2,000: sorted by a column that the server has');
like($out, qr/^Only 2000 tenants are fetched, by the column/m, 'which is said');
($status, $out) = once('-s', 'quota', '-n', 1);
like($out, qr/^app_2500\@postgres/m, 'the largest quota');
($status, $out) = once('-s', 'tx/s', '-n', 1);
like($out, qr/^Only 2000 tenants are fetched, the busiest/m, 'by one that it has not: the busiest');
start_top(80, 24, '-U', 'r_admin', '-s', 'tenant');
sees(qr/^TENANT.*\n\S*al\?/m, 'the first names');
press('R');
sees(qr/^TENANT.*\n.*\nr_zzz/m, 'R: the last names');
press('q');
ended_well(0, 'many tenants');

close_all(@idle, @odd, @busy);
stop_clean($node);
done_testing();
