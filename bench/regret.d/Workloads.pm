# What is run.  Each workload is a hash:
#
#	about		one line for the table
#	tenants		names; one if left out.  Each has a pool of its own
#	loads		programs of the clients, each:
#		tenant		index into tenants (0)
#		files		[ file, weight, ... ]
#		set			variables of the scripts
#		clients		how many
#		rate		transactions a second that arrive (as many as the clients can); one that is 0.1 s
#					late is not made any more, or what a small pool left over would be
#					measured with the next one
#		on, off		run for so many seconds, pause for so many (always)
#		after		seconds after the start of the loop (0); in the sweep all are there at once
#	before		loads of an earlier phase, in which the loop has to settle first
#	settings	of the server
#	sizes		per tenant, to be swept (all)
#	changing	is not stationary
package Workloads;

use strict;
use warnings;

our $CLIENTS = 64;

sub all_clients
{
	my ($file, %set) = @_;

	return [ { files => [ $file, 1 ], set => \%set, clients => $CLIENTS } ];
}

our %workload = (
	hot => { about => 'one hot row, one round trip', loads => all_clients('hot', rows => 1) },
	lock1 => { about => '1 hot row, held for three round trips',
		loads => all_clients('lock', rows => 1) },
	lock4 => { about => '4 of them', loads => all_clients('lock', rows => 4) },
	lock16 => { about => '16 of them', loads => all_clients('lock', rows => 16) },
	'think0.5' => { about => 'client thinks 0.5 ms in the transaction',
		loads => all_clients('think', think_us => 500) },
	think2 => { about => 'client thinks 2 ms', loads => all_clients('think', think_us => 2000) },
	think5 => { about => 'client thinks 5 ms', loads => all_clients('think', think_us => 5000) },
	think20 => { about => 'client thinks 20 ms', loads => all_clients('think', think_us => 20000) },
	cpu => { about => 'CPU only', loads => all_clients('cpu') },
	io => { about => 'waits in the server, off the CPU', loads => all_clients('io') },
	commit => { about => 'commits wait for the disk', loads => all_clients('commit'),
		settings => { fsync => 'on' } },
	select => { about => 'one row by its key', loads => all_clients('select') },
	mixed => { about => '95 % of 0.1 ms, 5 % of 10 ms',
		loads => [ { files => [ 'select', 95, 'report', 5 ], set => { span => 30000 },
			clients => $CLIENTS } ] },
	pause => { about => 'clients think 30 ms outside of the transaction',
		loads => all_clients('pause', pause_us => 30000) },
	rate => { about => '800 transactions a second arrive, client thinks 2 ms',
		loads => [ { files => [ 'think', 1 ], set => { think_us => 2000 }, clients => $CLIENTS,
			rate => 800 } ] },
	tenants => { about => 'analytics beside short transactions with 1 ms of thinking',
		tenants => [ 'oltp', 'analytics' ],
		sizes => [ [ 1, 2, 4, 8, 16, 32 ], [ 1, 2, 4, 8 ] ],
		loads => [
			{ tenant => 0, files => [ 'think', 1 ], set => { think_us => 1000 }, clients => 48 },
			{ tenant => 1, files => [ 'report', 1 ], set => { span => 200000 }, clients => 16 } ] },
	burst => { about => '3 s of 60 clients, 3 s of 4', changing => 1,
		loads => [
			{ files => [ 'select', 1 ], clients => 4, rate => 200 },
			{ files => [ 'think', 1 ], set => { think_us => 1000 }, clients => 60,
				on => 3, off => 3 } ] },
	ramp => { about => '8 more clients every 3 s, client thinks 2 ms', changing => 1,
		loads => [ map { { files => [ 'think', 1 ], set => { think_us => 2000 }, clients => 8,
			after => 3 * $_ } } 0 .. 7 ] },
	'step-up' => { about => 'from 4 locked rows to thinking 5 ms', changing => 1,
		before => all_clients('lock', rows => 4), loads => all_clients('think', think_us => 5000) },
	'step-down' => { about => 'from thinking 5 ms to 1 locked row', changing => 1,
		before => all_clients('think', think_us => 5000), loads => all_clients('lock', rows => 1) },
);

# In this order, from fixed to changing.
our @names = qw(hot lock1 lock4 lock16 think0.5 think2 think5 think20 cpu io commit select mixed
	pause rate tenants burst ramp step-up step-down);

1;
