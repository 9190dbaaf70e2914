# What a package manager does while a server runs: an upgrade puts another library in
# the place of the one that is loaded, a removal takes it away.  The server goes on with
# what it has loaded, also in new sessions, in workers that start again and after a
# crash; without a file, functions and workers fail and quotas still hold.
#
# The library is a copy in a directory of the test's own.  What replaces it is none, so
# that whatever loaded it would fail.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Copy qw(copy);
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
my $installed = qx{$pg_config --pkglibdir} =~ s/\n\z//r . '/pool_optimizer.so';
my $directory = PostgreSQL::Test::Utils::tempdir();
my $library = "$directory/pool_optimizer.so";

copy($installed, $library) or die "$library: $!";

# Without $libdir, where the installed one would be found instead.
my $node = new_node(dynamic_library_path => "'$directory'");
my $A = 'regress_pool_a@postgres';
my $sampler = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pool_optimizer sampler'};

sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

# The functions look for it there, too.
query(q{UPDATE pg_proc SET probin = 'pool_optimizer' WHERE probin = '$libdir/pool_optimizer'});
like(query(q{SELECT pg_read_file('/proc/self/maps')}),
	qr/\Q$library\E/, 'the copy is what the server has loaded')
  if -r '/proc/self/maps';
create_roles($node, 'regress_pool_a');
query("SELECT pool_set_quota('$A', max_connections => 1)");
wait_sync($node);

sub quota_holds
{
	my ($what) = @_;
	my $in = open_session($node, 'regress_pool_a');

	ok($in->is_admitted, "$what: a login");
	is(refused_sqlstate($node, 'regress_pool_a'), '53300', "$what: one above the quota");
	close_all($in);
	return;
}

sub all_works
{
	my ($what) = @_;

	quota_holds($what);
	is(stat_of($node, $A, 'max_connections'), '1', "$what: views");
	is(query('SELECT pool_sync()'), 't', "$what: functions");
	return;
}

# Whatever ends the sampler, another one shows that it is over.
sub another_sampler_after
{
	my ($what) = @_;
	my $before = query($sampler);

	$what->($before);
	return $node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM ($sampler) s WHERE pid <> $before");
}

sub crash
{
	my $session = open_session($node, 'regress_pool_a');

	kill 'KILL', $session->pid or die "kill: $!";
	return;
}

all_works('before');

# ---------- an upgrade ----------

# As dpkg and rpm do it: under another name first.
open my $file, '>', "$library.new" or die "$library.new: $!";
print $file "This is not a library.\n";
close $file or die "$library.new: $!";
rename "$library.new", $library or die "$library: $!";
all_works('replaced');

ok(another_sampler_after(sub { query("SELECT pg_terminate_backend($_[0])") }),
	'the sampler comes back');
all_works('replaced, another sampler');

ok(another_sampler_after(\&crash), 'the server comes back from a crash');
wait_sync($node);
all_works('replaced, after a crash');

# ---------- a removal ----------

unlink $library or die "$library: $!";
quota_holds('removed');
my (undef, undef, $stderr) = $node->psql('postgres', 'SELECT * FROM pool_stats');
like($stderr, qr/could not access file "pool_optimizer"/, 'removed: views say what is missing');

$node->stop;
is($node->start(fail_ok => 1), 0, 'removed: the server does not start again');
like(slurp_file($node->logfile), qr/FATAL:  could not access file "pool_optimizer"/,
	'and says why');

# ---------- the new one ----------

copy($installed, $library) or die "$library: $!";
$node->start;
wait_sync($node);
all_works('installed again');
$node->stop;

done_testing();
