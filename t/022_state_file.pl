# The state file (pg_stat/pool_optimizer.stat), attacked: a clean stop keeps everything,
# a crash all but the last minute, whatever is wrong with the file is told in one LOG
# line, the server starts, policies come back from the table, and the next write puts a
# sound file in place.
#
# Faults of the disk, a kill at a chosen byte and the passing of a minute come from a
# small library that is compiled here and preloaded into the server.
#
# PO_FAULT_STEPS (default 12): lengths to cut the file to, and bits to flip in it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Errno qw(EIO ENOSPC);
use IPC::Run;
use PoolTest;
use POSIX qw(mkfifo);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $n_steps = $ENV{PO_FAULT_STEPS} // 12;
my $node = new_node(-start => 0, 'pool_optimizer.max_waiting' => 5);
my $A = 'regress_pool_a@other';
my $file = $node->data_dir . '/pg_stat/pool_optimizer.stat';
my $about_file = qr/LOG:.*pg_stat\/pool_optimizer\.stat/;
my $shim = '';
my $control = PostgreSQL::Test::Utils::tempdir() . '/control';

# ---------- faults on demand ----------

# What the control file has: microseconds that the monotonic clock is ahead, the point
# of the next fault, its errno (0 = SIGKILL), at which byte, how many there were.
my $shim_source = q{
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { NOTHING, WRITE, CLOSE, FSYNC, RENAME, RENAMED };
static struct { int64_t ahead_us; int32_t point; int32_t error; int64_t at; int64_t n; } *c;

__attribute__((constructor)) static void attach(void)
{
	const char *name = getenv("PO_FAULT_CONTROL");
	int fd = name == NULL ? -1 : open(name, O_RDWR);
	void *p = fd < 0 ? MAP_FAILED
		: mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	c = p == MAP_FAILED ? NULL : p;
}

static int is_ours(int fd)
{
	static const char end[] = "/pool_optimizer.stat.tmp";
	char link[64], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < (ssize_t) sizeof(end))
		return 0;
	path[n] = 0;
	return strcmp(path + n - (sizeof(end) - 1), end) == 0;
}

/* Once; true if the call has to fail. */
static int fault(void)
{
	c->point = NOTHING;
	c->n++;
	if (c->error == 0)
		kill(getpid(), SIGKILL);
	errno = c->error;
	return 1;
}

size_t fwrite(const void *p, size_t size, size_t n, FILE *f)
{
	static size_t (*next)(const void *, size_t, size_t, FILE *);
	if (next == NULL) next = dlsym(RTLD_NEXT, "fwrite");
	if (c != NULL && c->point == WRITE && is_ours(fileno(f)) &&
		ftell(f) + (long) (size * n) > c->at)
	{
		next(p, 1, c->at > ftell(f) ? c->at - ftell(f) : 0, f);
		fflush(f);
		if (fault())
			return 0;
	}
	return next(p, size, n, f);
}

int fclose(FILE *f)
{
	static int (*next)(FILE *);
	int ours = c != NULL && c->point == CLOSE && is_ours(fileno(f));
	int result;
	if (next == NULL) next = dlsym(RTLD_NEXT, "fclose");
	result = next(f);
	return ours && fault() ? EOF : result;
}

int fsync(int fd)
{
	static int (*next)(int);
	if (next == NULL) next = dlsym(RTLD_NEXT, "fsync");
	if (c != NULL && c->point == FSYNC && is_ours(fd) && fault())
		return -1;
	return next(fd);
}

int rename(const char *from, const char *to)
{
	static int (*next)(const char *, const char *);
	int ours = c != NULL && strstr(from, "pool_optimizer.stat.tmp") != NULL;
	int result;
	if (next == NULL) next = dlsym(RTLD_NEXT, "rename");
	if (ours && c->point == RENAME && fault())
		return -1;
	result = next(from, to);
	if (ours && c->point == RENAMED && result == 0)
		fault();
	return result;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*next)(clockid_t, struct timespec *);
	int result;
	if (next == NULL) next = dlsym(RTLD_NEXT, "clock_gettime");
	result = next(id, t);
	if (c != NULL && result == 0 && id == CLOCK_MONOTONIC)
		t->tv_sec += c->ahead_us / 1000000;
	return result;
}
};
my %point = (write => 1, close => 2, fsync => 3, rename => 4, renamed => 5);

sub compile_shim
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my ($out, $ok);

	PostgreSQL::Test::Utils::append_to_file("$dir/shim.c", $shim_source);
	PostgreSQL::Test::Utils::append_to_file($control, "\0" x 32);
	$ok = eval {
		IPC::Run::run([ qw(cc -O -Wall -shared -fPIC -o), "$dir/shim.so", "$dir/shim.c", '-ldl' ],
			'>&', \$out);
	};
	diag('no library for faults: ' . ($out // $@)) unless $ok;
	return $ok ? "$dir/shim.so" : '';
}

sub control_write
{
	my ($offset, $bytes) = @_;

	open(my $handle, '+<:raw', $control) or die "open $control: $!";
	seek($handle, $offset, 0);
	print $handle $bytes;
	close $handle or die "close $control: $!";
	return;
}

sub arm
{
	my ($p, $errno, $at) = @_;

	# The point last of all: from then on it holds.
	control_write(12, pack('l<q<q<', $errno, $at, 0));
	control_write(8, pack('l<', $point{$p}));
	return;
}

sub n_faults { return unpack('q<', substr(slurp_file($control), 24, 8)); }

my $ahead = 0;

# Has the sampler write the file, as it does once a minute.
sub minute_passes
{
	$ahead += 61;
	control_write(0, pack('q<', $ahead * 1_000_000));
	return;
}

# ---------- the server ----------

sub start
{
	# A sanitizer's library must stay the first one.
	local $ENV{LD_PRELOAD} = join(':', grep { length } $ENV{LD_PRELOAD} // '', $shim);
	local $ENV{PO_FAULT_CONTROL} = $control;
	my $deadline = time() + $PoolTest::TIMEOUT;

	# After a kill of the postmaster its children take a moment to notice, and whoever
	# inherited it a moment to see its end.
	while (1)
	{
		my $offset = -e $node->logfile ? -s $node->logfile : 0;

		return if $node->start(fail_ok => 1);
		my $log = log_since($node, $offset);
		BAIL_OUT("the server does not start: $log") if time() > $deadline
		  || $log !~ /pre-existing shared memory block|"postmaster\.pid" already exists/;
		usleep(100_000);
	}
	return;
}

# From the next start on.  On only where it is tested: syncing all at the start after a
# crash takes minutes on a busy disk.
sub set_fsync
{
	my ($value) = @_;

	$node->append_conf('postgresql.conf', "fsync = $value");
	return;
}

# Without a postmaster: the same reading at start and writing at exit, but a tenth of the
# time.  (exit code, output, log)
sub single
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');

	# There a line is a statement.
	$sql =~ s/\s+/ /g;
	IPC::Run::run([ 'postgres', '--single', '-D', $node->data_dir, 'postgres' ],
		'<', \"$sql\n", '>', \$out, '2>', \$err,
		IPC::Run::timeout($PoolTest::TIMEOUT));
	return ($? >> 8 || $? & 127, $out, $err);
}

sub value_in
{
	my ($out, $column) = @_;

	return $out =~ /\b\Q$column\E = "(.*?)"\t\(typeid/s ? $1 : '(none)';
}

# Whole rows, but for the superuser's tenant, who asks, and (other).
my $rows = q{SELECT string_agg(s::text, ';' ORDER BY tenant) AS r FROM pool_stats s
	WHERE tenant ~ '^regress_pool'};

sub stats { return $node->safe_psql('other', $rows); }

# Two get in, the third is refused; no statement runs before.
sub quota_holds
{
	my ($what) = @_;

	return check_quota($node, 'regress_pool_a', 2, $what, dbname => 'other');
}

sub rewrite
{
	my ($contents) = @_;

	# Whatever an earlier step has left there.
	unlink $file;
	open(my $handle, '>:raw', $file) or die "open $file: $!";
	print $handle $contents;
	close $handle or die "close $file: $!";
	return;
}

sub lines_about_file
{
	my ($log) = @_;
	my @lines = grep { /$about_file/ } split /\n/, $log;

	return @lines;
}

# Stops, and gives back what the log says about the file meanwhile.
sub stop
{
	my ($mode) = @_;
	my $offset = -s $node->logfile;

	$node->stop($mode // 'fast');
	return lines_about_file(log_since($node, $offset));
}

$shim = compile_shim();
start();
$node->safe_psql('postgres', 'CREATE EXTENSION pool_optimizer');
create_roles($node, qw(regress_pool_a regress_pool_b));
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pool_optimizer');
$node->safe_psql('postgres', qq{
	SELECT pool_set_quota('$A', max_connections => 2, guaranteed => 1);
	SELECT pool_set_quota('regress_pool_b@*', max_connections => 1, on_full => 'wait',
		wait_timeout => '20ms', weight => 2.5);
	SELECT pool_set_timeouts('$A', idle => '1d', mode => 'observe');
	SELECT pool_set_quota('127.0.0.0/8', 50, scope => 'address');
	-- so that the file is larger than a buffer of the C library
	INSERT INTO pool_policies (tenant, max_connections)
		SELECT 'tenant_' || i, 5 FROM generate_series(1, 30) i});
wait_sync($node);

# ---------- a clean stop keeps everything ----------

{
	my $a = open_session($node, 'regress_pool_a', dbname => 'other');
	my $b = open_session($node, 'regress_pool_b', dbname => 'other');

	# Durations over three orders of magnitude, so that percentiles differ.
	$a->value("SELECT pg_sleep($_ / 1000.0)") for 0, 0, 0, 0, 0, 1, 2, 5, 20, 60;
	$a->query('SELECT 1/0');
	$a->query('BEGIN; SELECT 1');
	$a->query('ROLLBACK');
	is(refused_sqlstate($node, 'regress_pool_b', dbname => 'other'), '53300',
		'one has waited in vain');
	# Only with a size to recommend there is something to compare.
	ok($node->poll_query_until('other',
			"SELECT computed_at IS NOT NULL FROM pool_recommendations WHERE tenant = '$A'"),
		'a size was computed');
	close_all($a, $b);
}
quota_holds('before all');
ok(wait_sessions($node, $A, 0, dbname => 'other'), 'nobody is in');

my $kept = stats();
my $recommended = q{SELECT string_agg(r::text, ';' ORDER BY tenant) AS r
	FROM pool_recommendations r WHERE tenant ~ '^regress_pool'};
my $sizes = '';
my $sizes_kept = '';

# A sampler that hardly looks does not compute again between the question and the stop.
$node->append_conf('postgresql.conf', 'pool_optimizer.sample_interval = 60s');
$node->reload;
for (1 .. 5)
{
	$sizes = $node->safe_psql('other', $recommended);
	is_deeply([ stop() ], [], 'a clean stop has nothing to tell about the file');
	$sizes_kept = value_in((single($recommended))[1], 'r');
	last if $sizes eq $sizes_kept || $_ == 5;
	start();
}
is($sizes_kept, $sizes, 'every column of pool_recommendations outlives a clean stop');
{
	my ($rc, $out, $err) = single($rows);

	is($rc, 0, 'single-user mode ends well');
	like($kept, qr/regress_pool_a.*;.*regress_pool_b/s, 'there are rows to compare');
	is(value_in($out, 'r'), $kept, 'every column of pool_stats does');
	is_deeply([ lines_about_file($err) ], [], 'and nothing is told about the file');
}
$node->append_conf('postgresql.conf', 'pool_optimizer.sample_interval = 10ms');

# ---------- a file that is not what was written ----------

my $good = slurp_file($file);
my $size = length $good;
my $admitted = q{SELECT coalesce(sum(admitted), 0) AS r FROM pool_stats WHERE tenant ~ '^regress'};

sub flip_bit
{
	my ($bit) = @_;
	my $bytes = $good;

	substr($bytes, $bit >> 3, 1) = chr(ord(substr($bytes, $bit >> 3, 1)) ^ (1 << ($bit & 7)));
	return $bytes;
}

sub with_word
{
	my ($i, $value) = @_;
	my $bytes = $good;

	substr($bytes, 4 * $i, 4) = pack('L', $value);
	return $bytes;
}

sub word { my ($i) = @_; return unpack('L', substr($good, 4 * $i, 4)); }

# name => contents.  The 17 words of the header, every length and bit at regular
# distances (odd ones, not to meet the same field of every record), and more at the end.
my @damages;
push @damages, map { [ "cut to $_ bytes", substr($good, 0, $_), qr/too short|checksum|counts/ ] }
  0, 1, 67, 68, $size - 4, $size - 1, map { int($_ * ($size - 1) / ($n_steps + 1)) } 1 .. $n_steps;
push @damages, map { [ "bit $_ flipped", flip_bit($_), qr/version|checksum|counts|short/ ] }
  map { int($_ * (8 * $size - 1) / $n_steps) } 0 .. $n_steps;
push @damages, [ 'with a byte more', "$good\0", qr/checksum/ ];
push @damages, [ 'with a page of zeros more', $good . "\0" x 8192, qr/checksum/ ];
push @damages, [ 'zeros only', "\0" x $size, qr/version/ ];
push @damages, [ 'twice itself', $good x 2, qr/checksum/ ];
push @damages, map { [ "of another version (word $_)", with_word($_, word($_) + 8), qr/version/ ] }
  0 .. 4, 7 .. 11;
push @damages, map { [ "one more in count $_", with_word($_, word($_) + 1), qr/checksum|short/ ] }
  5, 6, 12 .. 16;

foreach my $damage (@damages)
{
	my ($what, $bytes, $reason) = @$damage;

	rewrite($bytes);
	my ($rc, $out, $err) = single($admitted);
	my @lines = lines_about_file($err);
	# Without a server process to read the table it stays at that: nothing is in force.
	my $is_right = $rc == 0 && @lines == 1
	  && $lines[0] =~ /ignoring file "pg_stat\/pool_optimizer\.stat": .*$reason/
	  && value_in($out, 'r') eq '0' && slurp_file($file) ne $bytes;

	ok($is_right, "$what: one LOG line that says why, starts empty, is replaced")
	  or diag("exit code $rc, $out\n$err");
}
is_deeply([ lines_about_file((single('SELECT 1'))[2]) ], [], 'what replaced it is sound');

# ---------- something else in its place ----------

# what, how, what the start says, what the stop after it says (nothing = it is replaced)
my @obstacles = (
	[ 'no right to read it', sub { chmod 0, $file },
		qr/could not read file .*: Permission denied/ ],
	[ 'a link to nowhere', sub { unlink $file; symlink "$file.nowhere", $file },
		qr/could not read file .*: No such file or directory/ ],
	[ 'a link to itself', sub { unlink $file; symlink $file, $file },
		qr/could not read file .*: Too many levels/ ],
	[ 'a pipe', sub { unlink $file; mkfifo($file, 0600) },
		qr/ignoring file .*: it is not a regular file/ ],
	[ 'a link to a device', sub { unlink $file; symlink '/dev/zero', $file },
		qr/ignoring file .*: it is not a regular file/ ],
	[ 'a directory', sub { unlink $file; mkdir $file },
		qr/ignoring file .*: it is not a regular file/, qr/LOG:.*: Is a directory/ ]);

foreach my $obstacle (@obstacles)
{
	my ($what, $put, $at_start, $at_stop) = @$obstacle;

	rewrite($good);
	$put->() or die "$what: $!";
	my $offset = -s $node->logfile;
	start();
	my @lines = lines_about_file(log_since($node, $offset));
	is(scalar @lines, 1, "$what: one LOG line");
	like($lines[0] // '', $at_start, "$what: it says why");
	wait_sync($node);
	quota_holds("$what: policies are back from the table");
	@lines = stop();
	if (defined $at_stop)
	{
		is(scalar @lines, 1, "$what: the stop has one LOG line, too");
		like($lines[0] // '', $at_stop, "$what: it says why");
		rmdir $file or die "rmdir $file: $!";
		single('SELECT 1');
	}
	else
	{
		is_deeply(\@lines, [], "$what: the next write succeeds");
	}
	ok(-f $file && !-l $file && -s $file, "$what: a file is in place again");
	ok(!-e "$file.tmp", "$what: nothing temporary is left");
}

# ---------- it cannot be written ----------

# The one that is there must stay as it is, and is what the next start has.
sub write_fails
{
	my ($what, $reason, $break, $mend) = @_;
	my ($before, @lines);

	start();
	open_session($node, 'regress_pool_a', dbname => 'other')->close_and_wait;
	$break->();
	# Not before that: where all is slow, a minute may have passed and written it again.
	$before = slurp_file($file);
	@lines = grep { !/pgstat\.stat/ } stop();
	is(scalar @lines, 1, "$what: one LOG line");
	like($lines[0] // '', $reason, "$what: it says why");
	$mend->();
	ok(slurp_file($file) eq $before, "$what: the file is the one before");
	ok(!-e "$file.tmp" && !-l "$file.tmp", "$what: nothing temporary is left");
	my ($rc, $out, $err) = single($rows);
	is_deeply([ lines_about_file($err) ], [], "$what: it is read");
	ok(slurp_file($file) ne '', "$what: and the next write succeeds");
	return;
}

my $pg_stat = $node->data_dir . '/pg_stat';

rewrite($good);
write_fails('a full device', qr/could not write file .*: No space left on device/,
	sub { symlink '/dev/full', "$file.tmp" or die $! }, sub { });
write_fails('a directory that is read-only', qr/could not write file .*: Permission denied/,
	sub { chmod 0500, $pg_stat or die $! }, sub { chmod 0700, $pg_stat or die $! });

SKIP:
{
	skip 'no C compiler for the library that makes faults', 1 if $shim eq '';

	# In the header, within and at the end of a buffer of the C library, near the end.
	foreach my $at (0, 68, 4096, 5000, int($size * 0.9))
	{
		write_fails("no space at byte $at", qr/could not write file .*: No space left/,
			sub { arm('write', ENOSPC, $at) }, sub { is(n_faults(), 1, 'a fault') });
	}
	write_fails('no space when closed', qr/could not write file .*: No space left/,
		sub { arm('close', ENOSPC, 0) }, sub { is(n_faults(), 1, 'a fault') });
	# No PANIC: this file is not worth the server.
	set_fsync('on');
	write_fails('fsync fails', qr/could not fsync file .*tmp": Input\/output error/,
		sub { arm('fsync', EIO, 0) }, sub { is(n_faults(), 1, 'a fault') });
	set_fsync('off');
	write_fails('rename fails', qr/could not rename file .*: Input\/output error/,
		sub { arm('rename', EIO, 0) }, sub { is(n_faults(), 1, 'a fault') });

	# ---------- the postmaster is killed while it writes ----------

	foreach my $where ([ write => 0 ], [ write => 4097 ], [ write => int($size * 0.9) ],
		[ close => 0 ], [ fsync => 0 ], [ rename => 0 ], [ renamed => 0 ])
	{
		my $what = "killed at $where->[0] $where->[1]";
		my ($before, $after);

		set_fsync($where->[0] eq 'fsync' ? 'on' : 'off');
		start();
		$before = stats();
		quota_holds($what);
		wait_sessions($node, $A, 0, dbname => 'other');
		$after = stats();
		isnt($after, $before, "$what: something has come");
		arm($where->[0], 0, $where->[1]);
		my $pid = $node->{_pid};
		PostgreSQL::Test::Utils::system_log('pg_ctl', '-D', $node->data_dir, '--no-wait',
			'-m', 'fast', 'stop');
		ok(wait_until(sub { n_faults() == 1 }), "$what: killed in the middle of a clean stop");
		ok(wait_until(sub { !kill(0, $pid) }), "$what: it has gone");
		$node->{_pid} = undef;
		my $offset = -s $node->logfile;
		start();
		is(stats(), $where->[0] eq 'renamed' ? $after : $before,
			"$what: the start has one of the two states, whole");
		quota_holds("$what: and the policies");
		is_deeply([ lines_about_file(log_since($node, $offset)) ], [],
			"$what: nothing to tell about the file");
		is_deeply([ stop() ], [], "$what: the next write succeeds");
		ok(!-e "$file.tmp", "$what: nothing temporary is left");
	}

	# ---------- a crash loses no more than the last minute ----------

	start();
	my $inode = (stat $file)[1];
	quota_holds('in the first minute');
	wait_sessions($node, $A, 0, dbname => 'other');
	my $saved = stats();
	minute_passes();
	ok(wait_until(sub { (stat $file)[1] != $inode }), 'after a minute the file is written');
	quota_holds('in the second minute');
	wait_sessions($node, $A, 0, dbname => 'other');
	isnt(stats(), $saved, 'which has something to lose');
	my $pid = $node->{_pid};
	$node->kill9;
	ok(wait_until(sub { !kill(0, $pid) }), 'then the postmaster gets SIGKILL');
	start();
	is(stats(), $saved, 'everything is as of the last write');
	quota_holds('policies are in force from the first login on');

	# The sampler is killed while it writes: the server restarts itself.
	foreach my $where ([ write => int($size / 2) ], [ rename => 0 ])
	{
		my $what = "sampler killed at $where->[0]";

		my $client = open_session($node, 'regress_pool_b', dbname => 'other');
		my $offset = -s $node->logfile;
		arm($where->[0], 0, $where->[1]);
		minute_passes();
		$client->wait_closed;
		is(n_faults(), 1, "$what: as ordered");
		ok($node->poll_query_until('other', 'SELECT samples > 2 FROM pool_stats_cluster'),
			"$what: the server comes back");
		is(stats(), $saved, "$what: everything is as of the last write");
		quota_holds("$what: policies are in force");
		is_deeply([ lines_about_file(log_since($node, $offset)) ], [],
			"$what: nothing to tell about the file");
	}

	# A disk that is full for a while: told each minute, and over when it is.
	my $offset = -s $node->logfile;
	$inode = (stat $file)[1];
	arm('write', ENOSPC, 0);
	minute_passes();
	$node->wait_for_log(qr/could not write file .*: No space left on device/, $offset);
	is((stat $file)[1], $inode, 'full for a minute: the file stays');
	is(cluster_stat($node, 'worker_errors'), '0', 'full for a minute: no error of the sampler');
	minute_passes();
	ok(wait_until(sub { (stat $file)[1] != $inode }), 'then it is written again');
	is(scalar(lines_about_file(log_since($node, $offset))), 1, 'all that with one LOG line');
	is_deeply([ stop() ], [], 'and a clean stop');
}

# ---------- a disk that is full ----------

# A small tmpfs over pg_stat, in a mount namespace of the server's own.
SKIP:
{
	my $uid = $<;
	my $gid = (split ' ', $()[0];
	my @enter = ('unshare', '-rm', 'sh', '-c',
		'mount -t tmpfs -o size=64k tmpfs "$0" && dd if=/dev/zero of="$0"/filler bs=1k 2>/dev/null;'
		  . " exec unshare -U --map-user=$uid --map-group=$gid \"\$@\"", $pg_stat);
	my $out = '';
	my $possible = eval { IPC::Run::run([ @enter, 'true' ], '>&', \$out) };

	skip 'a user may not mount a tmpfs here', 1 unless $possible;
	my $offset = -s $node->logfile;
	ok(PostgreSQL::Test::Utils::system_log(@enter, 'pg_ctl', '-w', '-D', $node->data_dir,
			'-l', $node->logfile, 'start') == 0, 'full disk: the server starts');
	$node->_update_pid(1);
	wait_sync($node);
	quota_holds('full disk: policies are back from the table');
	my @lines = grep { !/pgstat\.stat/ } stop();
	is(scalar @lines, 1, 'full disk: one LOG line');
	like($lines[0] // '', qr/could not write file .*: No space left on device/,
		'full disk: it says why');
}
unlike(log_since($node), qr/PANIC:|signal (?:6|11)\b/, 'no process of the server has crashed');

done_testing();
