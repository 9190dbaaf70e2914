# The report in a real browser: an empty cluster, one tenant, and one with much trouble, at
# three widths, light, dark and printed.  Nothing may overlap or leave the page, what is
# read has contrast, nothing is loaded or run, and names are text.
#
# POOL_REPORT_SHOTS names a directory to leave pages and pictures in.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Chromium;
use Encode qw(decode_utf8);
use PoolTest;
use PostgreSQL::Test::Utils;
use ReportTest;
use Test::More;

plan skip_all => 'Chromium is not installed' unless Chromium::program();

my $shots = $ENV{POOL_REPORT_SHOTS};
my $dir = PostgreSQL::Test::Utils::tempdir();
my $script = slurp_file("$FindBin::RealBin/report_page.js");
my $node = new_node(-name => 'look', cluster_name => "'orders-eu'", max_connections => 60);
my $browser = Chromium->new;

sub keep
{
	my ($name, $bytes) = @_;
	my $file = ($shots // $dir) . "/$name";

	open(my $handle, '>:raw', $file) or die "$file: $!";
	print $handle $bytes;
	close $handle;
	return $file;
}

sub check_layout
{
	my ($what, $open) = @_;
	my $problems = $browser->value("$script($open)");

	is(scalar @$problems, 0, "$what: nothing overlaps, is cut off, unreadable or missing")
	  or diag(join("\n", @$problems));
	return;
}

# An ordinary width is looked at in all ways, the others once each.
sub look
{
	my ($name, $page) = @_;
	my $file = keep("$name.html", $page);

	foreach my $view ([ 360, 'light' ], [ 360, 'dark' ], [ 800, 'light' ], [ 1280, 'light' ],
		[ 1280, 'dark' ])
	{
		my ($width, $scheme) = @$view;
		my $what = "$name, $width px, $scheme";

		$browser->set_window(width => $width, scheme => $scheme);
		$browser->open_file($file);
		check_layout($what, 'false');
		check_picture("$name-$width-$scheme.png", $what, $scheme);
		check_layout("$what, with all tables", 'true') if $width != 800;
		is_deeply([ $browser->requests ], ["file://$file"], "$what: asks for nothing else");
		is_deeply([ $browser->messages ], [], "$what: the console is silent");
	}
	$browser->set_window(width => 720, media => 'print', scheme => 'dark');
	$browser->open_file($file);
	check_layout("$name, printed", 'false');
	like($browser->pdf, qr/^%PDF-/, "$name: can be printed");
	$browser->set_window(width => 1280);
	return;
}

# The picture itself: as wide as the window, light or dark as asked for, and not empty.
sub check_picture
{
	my ($name, $what, $scheme) = @_;
	my $png = $browser->screenshot;

	keep($name, $png) if $shots;
	my ($width, $height) = unpack('x16 NN', $png);

	is(substr($png, 1, 3), 'PNG', "$what: a picture");
	cmp_ok(length $png, '>', 10_000, "$what: with something in it");
	ok($width == $browser->value('innerWidth') && $height >= 900, "$what: of the whole page");
	my $light = $browser->value(q{(c => c.split(/[(,)]/)[1] > 128)(
		getComputedStyle(document.body).backgroundColor)});

	is(!!$light, $scheme eq 'light', "$what: its background is $scheme");
	return;
}

sub count { my ($selector) = @_; return $browser->value("document.querySelectorAll('$selector').length"); }
sub text { my ($selector) = @_; return $browser->value("document.querySelector('$selector').textContent"); }

my @sections = qw(verdict utilization tenants what-if uses leaks refusals holders changes);

sub check_sections
{
	my ($name) = @_;

	is_deeply($browser->value("[...document.querySelectorAll('main > section')].map(s => s.id)"),
		\@sections, "$name: all sections are there, in order");
	return;
}

# ---------- an empty cluster ----------

wait_sync($node);
look('empty', report($node));
check_sections('empty');
like(text('#verdict-h'), qr/^Nothing is wrong\.$/, 'empty: nothing is wrong');
is(count('.findings li'), 0, 'empty: nothing to do');
like(text('#changes'), qr/There is no history of/, 'empty: says what cannot be compared');
is(count('#what-if figure'), 0, 'empty: no curve without a load');

# ---------- one tenant ----------

create_roles($node, 'single');
my $single = open_session($node, 'single');

$node->safe_psql('postgres', q{SELECT pool_set_quota('single@postgres', 2)});
wait_sync($node);
$single->query('BEGIN');
ok($node->poll_query_until('postgres', q{SELECT count(*) >= 5 AND sum(busy_max) > 3
	FROM pool_stats_history('1 s', now() - interval '1 min') WHERE tenant = 'single@postgres'}),
	'one: history has begun');
look('one', report($node));
check_sections('one');
is(count('#utilization figure svg[role=img]'), 1, 'one: a plot of utilization');
is($browser->value(q{[...document.querySelectorAll('#utilization path')].map(p =>
	p.className.baseVal).join(' ')}), 'peak open busy limit',
	'one: most, mean, busy, and what is usable');
like(text('#utilization .lead'), qr/History begins at/, 'one: since when there is history');
is($browser->value(q{[...document.querySelectorAll('#tenants figure.tile')].filter(t =>
	t.querySelector('h3').textContent === 'single@postgres' && t.querySelector('path.busy') &&
	t.querySelector('path.limit')).length}), 1, 'one: a small plot of it, with its quota');
cmp_ok(count('#utilization tbody tr'), '>=', 5, 'one: the numbers are in a table');
$single->close_and_wait;

# ---------- trouble ----------

stand_in($node);
my @sessions = trouble($node);
my @tenants = map { "$_\@postgres" } 'shop', 'reports', 'billing', @ODD;

fill_history($node, 9, @tenants, 'gone@postgres');
plant_findings($node, @tenants);
my $trouble = report($node);

look('trouble', $trouble);
# Where it is noon, the time axes have a label at their very end.
my $minutes = (720 - (gmtime)[2] * 60 - (gmtime)[1]) % 1440;
$browser->set_window(width => 720, media => 'print', scheme => 'light');
$browser->open_file(keep('noon.html', report($node, zone => sprintf('<X>-%d:%02d', $minutes / 60, $minutes % 60))));
check_layout('trouble, at noon, printed', 'false');
$browser->set_window(width => 1280);
# The same once more: a recommendation does not outlive its load for long.
$browser->open_file(keep('trouble.html', $trouble));
check_sections('trouble');
like(text('#verdict-h'), qr/^Act now: /, 'trouble: says so first');
cmp_ok(count('.findings li'), '>=', 5, 'trouble: several findings');
cmp_ok(count('.findings pre'), '>=', 4, 'trouble: with what to run');
cmp_ok(count('#utilization tbody tr'), '>', 100, 'trouble: a day of history');
is($browser->value(q{document.querySelector('#utilization path.open').getAttribute('d')
	.split('M').length - 1}), 2, 'trouble: a gap is a gap');
is(count('#tenants figure.tile'), 1 + @tenants, 'trouble: a small plot of each tenant');
is(count('#what-if figure.curve'), 1, 'trouble: the curve of the one that is known');
is(count('#what-if line.today') - 1, 2, 'trouble: today is marked in both plots');
is(count('#what-if line.advice') - 1, 2, 'trouble: so is the recommended size');
is(count('#uses .scroll:first-of-type tbody tr'), 20, 'trouble: the dearest findings');
cmp_ok(count('#uses .scroll:last-of-type tbody tr'), '>=', 8, 'trouble: and statements');
is(count('#leaks tbody tr'), 5 + @ODD, 'trouble: each leak has a row');
is(count('#leaks strong'), 1, 'trouble: who blocks others is marked');
is(count('#refusals > .scroll tbody tr'), 2, 'trouble: who was refused, by client');
is(count('#changes tbody:first-of-type tr') > 3, 1, 'trouble: what changed since last week')
  or diag(text('#changes'));

my $names = $browser->value(
	q{[...document.querySelectorAll('#tenants h3')].map(h => h.textContent)});

# What would turn text around is written by its number.
my @shown = map { decode_utf8($_) =~ s/\x{202e}/\x{27e8}U+202E\x{27e9}/r } @tenants;

is_deeply([ sort grep { $_ ne 'gone@postgres' } @$names ], [ sort @shown ],
	'trouble: every name is shown as it is');

# ---------- the keyboard ----------

$browser->press('Tab', 9);
is($browser->value('document.activeElement.className'), 'skip', 'Tab: first a way to skip');
ok($browser->value(q{document.activeElement.getBoundingClientRect().left >= 0}),
	'which is seen when it has the focus');
my %reached;

foreach (1 .. 400)
{
	$browser->press('Tab', 9);
	my $tag = $browser->value(q{document.activeElement.tagName});

	last if $tag eq 'BODY';
	$reached{$tag}++;
}
is($reached{SUMMARY}, count('summary'), 'Tab reaches all tables behind plots');
is($reached{PRE}, count('pre'), 'and all statements');
$browser->value(q{document.querySelector('#utilization summary').focus()});
$browser->press('Enter', 13);
ok($browser->value(q{document.querySelector('#utilization details').open}),
	'Enter opens a table');
ok($browser->value(q{getComputedStyle(document.activeElement).outlineStyle !== 'none'}),
	'what has the focus is seen to have it');

# ---------- even unescaped ----------

# The page's policy: what came in unescaped would not run.
my $planted = report($node) =~ s{(<h1>)}{$1<script>console.error("ran")</script>}r;

$browser->open_file(keep('planted.html', $planted));
unlike(join("\n", $browser->messages), qr/"ran"/, 'a script would not run');
like(join("\n", $browser->messages), qr/Content Security Policy/, 'the policy forbids it');

close_all(@sessions);
stop_clean($node);
done_testing();
