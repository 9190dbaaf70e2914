# The report of 1,000 tenants: below 2 MB, in time, and still to be read.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Chromium;
use POSIX ();
use PoolTest;
use PostgreSQL::Test::Utils;
use ReportTest;
use Test::More;

my $N = 1000;
my $node = new_node(-name => 'many', max_connections => 60,
	'pool_optimizer.max_tenants' => 1100);
my @roles = map { sprintf('app_of_customer_%04d', $_) } 1 .. $N;

stand_in($node);
create_roles($node, @roles[ 0 .. 39 ]);
# A policy makes a tenant known; so does a login.
$node->safe_psql('postgres', q{INSERT INTO pool_policies (tenant, max_connections)
	SELECT format('app_of_customer_%s@postgres', lpad(i::text, 4, '0')),
		CASE WHEN i <= 5 THEN 1 ELSE 2 + i % 7 END
	FROM generate_series(1, 1000) i});
wait_sync($node);
my @sessions = map { open_session($node, $_) } @roles[ 0 .. 39 ];

foreach my $i (0 .. 4)
{
	refused($node, $roles[$i]) foreach 0 .. $i;
	$_->query('BEGIN') foreach $sessions[$i];
}
fill_history($node, 2, map { "$_\@postgres" } @roles);
plant_findings($node, map { "$_\@postgres" } @roles);
# As many statements as there is room for.
$sessions[$_]->query(join '; ', map { 'SELECT ' . join ', ', (1) x ($_ + 1) } 1 .. 120) foreach 0 .. 39;
my $session = open_session($node, $node->safe_psql('postgres', 'SELECT current_user'));

# Of the session's process, in ticks; it does all by itself.
sub cpu_time
{
	my ($stat) = slurp_file('/proc/' . $session->pid . '/stat') =~ /\) (.*)/s;

	return (split / /, $stat)[11] + (split / /, $stat)[12];
}

$session->query('SET max_parallel_workers_per_gather = 0');
my $began = cpu_time();
my $page = $session->value(q{SELECT pool_report('1 day')});
my $took = cpu_time() - $began;
my $tick = POSIX::sysconf(POSIX::_SC_CLK_TCK());

note(sprintf('%d bytes in %.2f s of CPU', length $page, $took / $tick));
cmp_ok(length $page, '<', 2_000_000, 'below 2 MB');
cmp_ok(length $page, '>', 200_000, 'with all tenants in it');
is(scalar(() = $page =~ /customer_\d{4}\@/g) > $N, 1, 'each is told at least once');

# How long it takes is for a bench to tell; that it is not out of all proportion, for this.
# Reading the same history with one plain statement is the measure.
$began = cpu_time();
$session->query(q{SELECT count(*), sum(busy_avg) FROM pool_stats_history('10 min',
	now() - interval '1 day', now(), NULL)});
my $plain = cpu_time() - $began;

note(sprintf('one plain statement: %.2f s', $plain / $tick));
cmp_ok($took, '<', 20 * ($plain + 0.5 * $tick), 'in time');

SKIP:
{
	skip 'Chromium is not installed', 6 unless Chromium::program();
	my $browser = Chromium->new;
	my $script = slurp_file("$FindBin::RealBin/report_page.js");
	my $file = ($ENV{POOL_REPORT_SHOTS} // PostgreSQL::Test::Utils::tempdir()) . '/many.html';

	open(my $handle, '>:raw', $file) or die "$file: $!";
	print $handle $page;
	close $handle;
	foreach my $width (360, 800, 1280)
	{
		$browser->set_window(width => $width);
		$browser->open_file($file);
		my $problems = $browser->value("$script(" . ($width == 800 ? 'true' : 'false') . ')');

		is(scalar @$problems, 0, "$width px: nothing overlaps, is cut off or missing")
		  or diag(join("\n", @$problems));
		is_deeply([ $browser->messages ], [], "$width px: the console is silent");
		if ($ENV{POOL_REPORT_SHOTS})
		{
			open($handle, '>:raw', "$file-$width.png");
			print $handle $browser->screenshot;
			close $handle;
		}
	}
	is($browser->value(q{document.querySelectorAll('#tenants figure.tile').length}), 24,
		'the busiest have a plot each');
	is($browser->value(q{document.querySelectorAll('#tenants details:last-of-type tr').length}),
		$N + 2, 'all of them are in a table');
	like($browser->value(q{document.querySelector('#tenants .lead').textContent}),
		qr/^The 24 busiest of 1,001 tenants/, 'which is said');
	cmp_ok($browser->value(q{document.querySelectorAll('.findings > li').length}), '<=', 40,
		'what is wrong is not told a thousand times');
	like($browser->value(q{document.querySelector('#verdict').textContent}),
		qr/more tenants? (?:is|are) in one of these situations/, 'but that there are more');
}

close_all(@sessions);
stop_clean($node);
done_testing();
