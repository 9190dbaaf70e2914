# Two published adaptive limits on concurrency, from their descriptions.  Each looks, once per
# window, at the mean time that a transaction held its connection (not at the wait for one: a
# limiter's clock starts when it lets a request in) and at how many were let in.
#
# gradient2: Netflix' concurrency-limits, class Gradient2Limit, with the defaults of the
#	library but for the least limit (20 there, which is what we compare); windows of 1 s.
#	E. Landau, W. Thurston, T. Bozarth, "Performance Under Load", Netflix Technology Blog,
#	2018; https://github.com/Netflix/concurrency-limits.
# vegas: L. S. Brakmo, S. W. O'Malley, L. L. Peterson, "TCP Vegas: New Techniques for
#	Congestion Detection and Avoidance", SIGCOMM 1994, congestion avoidance with alpha = 2
#	and beta = 4; a window here is what a round trip is there.
package Limiters;

use strict;
use warnings;

use List::Util qw(max min);

our @names = qw(gradient2 vegas);

sub new
{
	my ($class, $name, $start, $most) = @_;

	return bless { name => $name, limit => $start, most => $most, n => 0 }, $class;
}

# Takes a window, returns the limit for the next.
sub update
{
	my ($self, $rtt, $in_flight) = @_;
	my $method = $self->{name};

	$self->$method($rtt, $in_flight) if $rtt > 0;
	return int($self->{limit});
}

sub gradient2
{
	my ($self, $rtt, $in_flight) = @_;
	my ($warm_up, $long_window, $queue, $smoothing, $tolerance) = (10, 600, 4, 0.2, 1.5);
	my $limit = $self->{limit};

	# The long average: plain while it warms up, exponential from then on.
	$self->{n}++;
	my $share = $self->{n} <= $warm_up ? 1 / $self->{n} : 2 / ($long_window + 1);
	$self->{long} = ($self->{long} // $rtt) * (1 - $share) + $rtt * $share;
	# Back from a long overload faster than the average forgets.
	$self->{long} *= 0.95 if $self->{long} > 2 * $rtt;

	# The clients do not use what they may: nothing to be learnt.
	return if $in_flight < $limit / 2;

	my $gradient = max(0.5, min(1, $tolerance * $self->{long} / $rtt));
	my $new = $limit * (1 - $smoothing) + ($limit * $gradient + $queue) * $smoothing;

	$self->{limit} = max(1, min($self->{most}, $new));
	return;
}

sub vegas
{
	my ($self, $rtt, $in_flight) = @_;
	my ($alpha, $beta) = (2, 4);

	$self->{base} = min($self->{base} // $rtt, $rtt);
	return if $in_flight < $self->{limit} / 2;

	# Expected less actual rate, times the base: requests that queue somewhere.
	my $queued = $self->{limit} * (1 - $self->{base} / $rtt);
	my $step = $queued < $alpha ? 1 : $queued > $beta ? -1 : 0;

	$self->{limit} = max(1, min($self->{most}, $self->{limit} + $step));
	return;
}

1;
