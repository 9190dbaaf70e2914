# The statistics of bench/regret: what they say of measurements whose truth is known.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../bench/regret.d";

use List::Util qw(max);
use Test::More;

use Contest;

my $PI = 4 * atan2(1, 1);

sub gauss { return sqrt(-2 * log(1 - rand)) * cos(2 * $PI * rand); }

# { size => T/T* } measured in so many rounds: each has something of its own, each measurement a
# speed of the machine that it depends on, and noise.
sub rounds_of
{
	my ($n_rounds, $noise, %truth) = @_;
	my %result;

	foreach (1 .. $n_rounds)
	{
		my $round = 0.2 * gauss();

		foreach my $size (sort keys %truth)
		{
			my $speed = 0.1 * gauss();

			push @{ $result{$size} }, [
				1000 * $truth{$size} * exp($round + $noise * gauss() - 0.8 * $speed), exp $speed ];
		}
	}
	return \%result;
}

sub identity { return $_[0]; }

# ---------- its parts ----------

srand 1;
is_deeply([ Contest::rising([ 1, 3, 2, 5, 4, 4 ], [ (1) x 6 ]) ],
	[ 1, 2.5, 2.5, (13 / 3) x 3 ], 'what falls is levelled');
is_deeply([ Contest::rising([ 4, 1 ], [ 1, 3 ]) ], [ 1.75, 1.75 ], 'by weight');
is_deeply([ Contest::unimodal([ 1, 3, 2, 4, 3, 1 ], [ (1) x 6 ]) ], [ 1, 2.5, 2.5, 4, 3, 1 ],
	'up to the best, and down');
is_deeply([ Contest::unimodal([ 1, 2, 3 ], [ (1) x 3 ]) ], [ 1, 2, 3 ], 'up only');
is_deeply([ Contest::unimodal([ 3, 2, 1 ], [ (1) x 3 ]) ], [ 3, 2, 1 ], 'down only');
is(Contest::midmean(1, 2, 3, 1000), 2.5, 'one of four that is far off does not matter');
is(Contest::midmean(7), 7, 'one alone');
is(Contest::least_near({ 4 => 0.8, 8 => 1 }, 4, 8), 7, 'n* is between sizes that were measured');
is(Contest::least_near({ 4 => 0.96, 8 => 1 }, 4, 8), 4, 'or the first of them');
is(Contest::least_near({ '1+4' => 0.9, '2+4' => 1 }, '1+4', '2+4'), '2+4',
	'of several pools only what was measured');

# ---------- without noise ----------

my %truth = (2 => 0.70, 3 => 0.85, 4 => 0.93, 5 => 0.97, 6 => 0.99, 8 => 1, 12 => 0.99, 16 => 0.96,
	20 => 0.92, 64 => 0.70);
my $exact = Contest::judge(rounds_of(8, 0, %truth), \&identity);

is(sprintf('%.3f', $exact->{ratio}{$_}{t}), sprintf('%.3f', $truth{$_}), "T/T* of $_")
  foreach sort { $a <=> $b } keys %truth;
is($exact->{least}{n}, 5, 'n*');
is_deeply([ Contest::keeps($exact, 6) ], [ 1, 1 ], 'near the best and near n*');
is_deeply([ Contest::keeps($exact, 3) ], [ 0, 1 ], 'too small');
is_deeply([ Contest::keeps($exact, 16) ], [ 1, 0 ], 'too large');

# One that is in the first rounds only is compared with the others of these rounds.
my $some = rounds_of(12, 0, %truth);

splice @{ $some->{64} }, 4;
is(sprintf('%.2f', Contest::judge($some, \&identity)->{ratio}{64}{t}), '0.70', 'left out early');

# ---------- with noise ----------

my $RUNS = 40;
my (%inside, %sum, %wrong, $least_inside);

$Contest::RESAMPLES = 200;
foreach (1 .. $RUNS)
{
	my $judged = Contest::judge(rounds_of(15, 0.08, %truth), \&identity);

	foreach my $size (keys %truth)
	{
		my $r = $judged->{ratio}{$size};
		my ($keeps) = Contest::keeps($judged, $size);

		$sum{$size} += $r->{t} / $RUNS;
		$inside{$size}++ if $r->{from} <= $truth{$size} + 1e-9 && $r->{to} >= $truth{$size} - 1e-9;
		$wrong{$size}++ if defined $keeps && $keeps != ($truth{$size} >= $Contest::NEAR);
	}
	$least_inside++ if $judged->{least}{from} <= 5 && $judged->{least}{to} >= 5;
}
# An interval of 95 % that holds the truth less often than 75 % of 40 times would be a chance of
# one in ten thousand; those of a bootstrap are a little too narrow.
foreach my $size (sort { $a <=> $b } keys %truth)
{
	cmp_ok(abs($sum{$size} - $truth{$size}), '<', 0.02, "T/T* of $size has no bias to speak of");
	cmp_ok($inside{$size} // 0, '>=', 0.75 * $RUNS, '... and is in its interval');
	cmp_ok($wrong{$size} // 0, '<=', 0.1 * $RUNS, '... and is seldom judged wrongly');
}
cmp_ok($least_inside // 0, '>=', 0.8 * $RUNS, 'so is n*');

# Sizes that all do the same: the luckiest is not the best.
my $flat = Contest::judge(rounds_of(15, 0.08, map { $_ => 1 } 2 .. 11), \&identity);

cmp_ok($flat->{ratio}{5}{t}, '>', 0.95, 'a flat curve is flat');

done_testing();
