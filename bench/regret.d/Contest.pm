# Statistics of sizes that were measured side by side.
#
# A contest is { size => [ [ throughput, round_us ] of each round ] }: in each round each size
# was measured once, in the same minute of the same machine.  A size that was left out after some
# rounds has the first ones only.
package Contest;

use strict;
use warnings;

use List::Util qw(max min sum);
use POSIX qw(ceil floor);

our $NEAR = 0.95;				# n* keeps so much of the best throughput
our $MOST_RATIO = 1.5;			# of n*, which a recommended size shall not exceed
our $RESAMPLES = 400;			# of the rounds, for the intervals
my $CONFIDENCE = 0.95;
my $LEAST_FREE = 10;			# degrees of freedom, to tell what depends on the machine's speed
my $MOST_ELASTICITY = 2;		# more than this is chance
my $LEAST = 1e-3;				# transactions a second, so that there is a logarithm

# Virtual processors get more or less done in a second from one moment to the next, a third here.
# What speed.c does at the same time tells how much: the throughputs are what they would have
# been at the mean speed, as a control variate (Lavenberg and Welch 1981).  How much a workload
# depends on it is what its own measurements say, of how they differ from those of the same size
# and from those of the same round: one that waits for its clients does not.  Returns the power
# of the speed, and which share of the differences it is.
sub elasticity
{
	my ($result) = @_;
	my @measured = complete(values %$result);
	my $n_rounds = @{ $measured[0] };
	my @x = without_means(map { [ map { log $_->[1] } @$_ ] } @measured);
	my @y = without_means(map { [ map { log max($_->[0], $LEAST) } @$_ ] } @measured);
	my ($xy, $xx, $yy) = (product_of(\@x, \@y), product_of(\@x, \@x), product_of(\@y, \@y));

	return (0, 0)
	  if ($n_rounds - 1) * $#measured < $LEAST_FREE || $xx <= 0 || $yy <= 0 || $xy >= 0;
	return (min(-$xy / $xx, $MOST_ELASTICITY), $xy**2 / ($xx * $yy));
}

# Those that were measured in all rounds.
sub complete
{
	my $n_rounds = max(map { scalar @$_ } @_);

	return grep { @$_ == $n_rounds } @_;
}

# A table less the means of its rows and of its columns.
sub without_means
{
	my @rows = map { my $row = $_; my $mean = sum(@$row) / @$row; [ map { $_ - $mean } @$row ] } @_;

	foreach my $column (0 .. $#{ $rows[0] })
	{
		my $mean = sum(map { $_->[$column] } @rows) / @rows;

		$_->[$column] -= $mean foreach @rows;
	}
	return @rows;
}

sub product_of
{
	my ($x, $y) = @_;

	return sum(map { my $row = $_; map { $x->[$row][$_] * $y->[$row][$_] } 0 .. $#{ $x->[$row] } }
		0 .. $#$x);
}

# { size => [ throughput of each round ] } at the mean speed.
sub at_mean_speed
{
	my ($result, $elasticity) = @_;
	my @all = map { log $_->[1] } map { @$_ } values %$result;
	my $mean = exp(sum(@all) / @all);

	return { map {
		$_ => [ map { $_->[0] * ($_->[1] / $mean)**$elasticity } @{ $result->{$_} } ]
	} keys %$result };
}

# The mean of the middle half: what a neighbour did to one round in four does not move it.
sub midmean
{
	my @sorted = sort { $a <=> $b } @_;
	my $cut = floor(@sorted / 4);

	return sum(@sorted[ $cut .. $#sorted - $cut ]) / (@sorted - 2 * $cut);
}

# The values nearest to these that never fall (pool adjacent violators; Ayer et al. 1955).
sub rising
{
	my ($values, $weights) = @_;
	my @blocks;

	foreach my $i (0 .. $#$values)
	{
		push @blocks, [ $values->[$i], $weights->[$i], 1 ];
		while (@blocks > 1 && $blocks[-2][0] > $blocks[-1][0])
		{
			my $last = pop @blocks;
			my $weight = $blocks[-1][1] + $last->[1];

			$blocks[-1] = [ ($blocks[-1][0] * $blocks[-1][1] + $last->[0] * $last->[1]) / $weight,
				$weight, $blocks[-1][2] + $last->[2] ];
		}
	}
	return map { ($_->[0]) x $_->[2] } @blocks;
}

# The values nearest to these that rise up to one of them and fall from there.  Throughput does so
# with the size of a pool, and of sizes that do the same the luckiest would be the best without it.
sub unimodal
{
	my ($values, $weights) = @_;
	my ($least, @fit);

	foreach my $top (0 .. $#$values)
	{
		my @up = rising([ @$values[ 0 .. $top ] ], [ @$weights[ 0 .. $top ] ]);
		my @down = reverse rising([ reverse @$values[ $top + 1 .. $#$values ] ],
			[ reverse @$weights[ $top + 1 .. $#$weights ] ]);
		my @both = (@up, @down);
		my $error = sum(map { $weights->[$_] * ($both[$_] - $values->[$_])**2 } 0 .. $#both);

		($least, @fit) = ($error, @both) if !defined $least || $error < $least;
	}
	return @fit;
}

# What these rounds (numbers from 0, some perhaps more than once) say: { size => T/T* }.
# Sizes are those of one pool, in rising order; those of several pools are not in an order in
# which throughput would rise and fall.
sub estimate
{
	my ($result, $sizes, $rounds) = @_;
	my %taken = map {
		my $measured = $result->{$_};

		$_ => [ @$measured[ grep { $_ <= $#$measured } @$rounds ] ]
	} @$sizes;
	my ($elasticity) = elasticity(\%taken);
	my $log = sub { log(max($_[0][0], $LEAST)) + $elasticity * log $_[0][1] };
	my @all_through = grep { @{ $taken{$_} } == @$rounds } @$sizes;
	my %round;

	# What a round has in common: those that were in all of them tell.
	foreach my $r (@$rounds)
	{
		$round{$r} //= sum(map { $log->($result->{$_}[$r]) } @all_through) / @all_through;
	}
	my (@level, @weight);

	foreach my $size (@$sizes)
	{
		my @own = map { $log->($result->{$size}[$_]) - $round{$_} }
		  grep { $_ <= $#{ $result->{$size} } } @$rounds;

		push @level, @own ? midmean(@own) : undef;
		push @weight, scalar @own;
	}
	return ratios_of($sizes, \@level, \@weight);
}

sub ratios_of
{
	my ($sizes, $level, $weight) = @_;
	my @known = grep { defined $level->[$_] } 0 .. $#$level;
	my @size = @$sizes[@known];
	my @fit = @$level[@known];

	@fit = unimodal(\@fit, [ @$weight[@known] ]) if !grep { /\D/ } @size;
	my $best = max(@fit);

	return { map { $size[$_] => exp($fit[$_] - $best) } 0 .. $#size };
}

# n*, the least size near the best; between two that were measured, as if T were a straight line.
sub least_near
{
	my ($ratio, @sizes) = @_;

	@sizes = grep { defined $ratio->{$_} } @sizes;
	my ($i) = grep { $ratio->{ $sizes[$_] } >= $NEAR } 0 .. $#sizes;
	my $to = $sizes[$i];

	return $to if $to =~ /\D/ || $i == 0;
	my $from = $sizes[ $i - 1 ];
	my ($low, $high) = ($ratio->{$from}, $ratio->{$to});

	return ceil($from + ($to - $from) * ($NEAR - $low) / ($high - $low) - 1e-9);
}

# Where this share of the values is below.
sub quantile
{
	my ($share, @sorted) = @_;

	return $sorted[ min($#sorted, max(0, floor($share * @sorted))) ];
}

# Everything that is to be known: {
#	ratio	=> { size => { t, from, to } }, T/T* with its interval
#	least	=> { n, from, to }, n*
#	excess	=> { size => { n, from, to } }, n/n*
# }  The intervals are those of rounds that are drawn anew (percentile bootstrap; Efron 1979): of
# the ratio, of the best and of n* together.
sub judge
{
	my ($result, $size_of) = @_;
	my @sizes = sort { $size_of->($a) <=> $size_of->($b) || $a cmp $b } keys %$result;
	my $n_rounds = max(map { scalar @$_ } values %$result);
	my $ratio = estimate($result, \@sizes, [ 0 .. $n_rounds - 1 ]);
	my @drawn = map {
		estimate($result, \@sizes, [ map { int rand $n_rounds } 1 .. $n_rounds ])
	} 1 .. $RESAMPLES;
	my %bias = map { $_ => bias_of($_, $ratio, @drawn) } @sizes;
	my %t = map { $_ => min(1, $ratio->{$_} * $bias{$_}) } @sizes;

	foreach my $drawn (@drawn)
	{
		$drawn->{$_} = min(1, $drawn->{$_} * $bias{$_}**2) foreach keys %$drawn;
	}
	my @least = map { $size_of->(least_near($_, @sizes)) } @drawn;
	my $least = $size_of->(least_near(\%t, @sizes));

	return {
		ratio => { map {
			my $size = $_;

			$size => { t => $t{$size}, interval(map { $_->{$size} // () } @drawn) }
		} @sizes },
		least => { n => $least, interval(@least) },
		excess => { map {
			my $n = $size_of->($_);

			$_ => { n => $n / $least, interval(map { $n / $_ } @least) }
		} @sizes } };
}

# The best of several is too high, each time by what it was lucky, so ratios to it are too low:
# in rounds that are drawn anew as much below those of all rounds as these are below the truth.
sub bias_of
{
	my ($size, $ratio, @drawn) = @_;
	my @log = map { log $_->{$size} } grep { defined $_->{$size} } @drawn;

	return $ratio->{$size} / exp(sum(@log) / @log);
}

sub interval
{
	my @sorted = sort { $a <=> $b } @_;
	my $tail = (1 - $CONFIDENCE) / 2;

	return (from => quantile($tail, @sorted), to => quantile(1 - $tail, @sorted));
}

# Of T/T* and of n/n*: 1 if it is kept, 0 if it is not, undef if the rounds do not tell.
sub keeps
{
	my ($judged, $size) = @_;
	my ($t, $n) = ($judged->{ratio}{$size}, $judged->{excess}{$size});

	return ($t->{from} >= $NEAR ? 1 : $t->{to} < $NEAR ? 0 : undef,
		$n->{to} <= $MOST_RATIO ? 1 : $n->{from} > $MOST_RATIO ? 0 : undef);
}

# Which sizes more rounds would tell something about: the best three, and those around n*.
sub contenders
{
	my ($judged) = @_;
	my $ratio = $judged->{ratio};
	my @by_ratio = sort { $ratio->{$b}{t} <=> $ratio->{$a}{t} } keys %$ratio;
	my ($above, @below);

	foreach my $size (sort { $judged->{excess}{$a}{n} <=> $judged->{excess}{$b}{n} } keys %$ratio)
	{
		if ($judged->{excess}{$size}{n} < 1) { push @below, $size; }
		else { $above //= $size; }
	}
	return (@by_ratio[ 0 .. min(2, $#by_ratio) ], $above, @below[ max(0, $#below - 1) .. $#below ]);
}

1;
