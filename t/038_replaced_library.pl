# What a package manager does while a server runs: an upgrade puts another library in
# the place of the one that is loaded, a removal takes it away.  The server goes on with
# what it has loaded, also in new sessions, workers that start again, and after a crash.
#
# The server loads a copy in a directory of the test's own; the functions are bound to
# that copy, too.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use File::Copy qw(copy);
use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
my $installed = qx{$pg_config --pkglibdir};
my $directory = PostgreSQL::Test::Utils::tempdir();
my $library = "$directory/pool_optimizer_copy.so";

chomp $installed;
copy("$installed/pool_optimizer.so", $library) or die "$library: $!";

my $node = new_node(-extension => 0, conf => qq{
	dynamic_library_path = '$directory:\$libdir'
	shared_preload_libraries = 'pool_optimizer_copy'
});
