# The shop: its services, what each does how often, and the ways in which they can be wrong.
package Shop;

use strict;
use warnings;

# Each service is a role, thus a tenant.  "load": how often a script runs (1/s), "trip": time
# between two statements of a transaction (us), for the network and the object mapper.  "many":
# its clients when there are 1,000 of them.
our @services = qw(web checkout catalogue admin jobs feed);
our %service = (
	web => { clients => 25, many => 480, trip => 1000,
		load => { web_home => 60, web_product => 100, web_orders => 30, web_offers => 0.1 } },
	checkout => { clients => 20, many => 230, trip => 1500, load => { checkout_cart => 30, checkout_order => 60 } },
	catalogue => { clients => 15, many => 90, trip => 1500, load => { catalogue_page => 30, catalogue_price => 5 } },
	admin => { clients => 4, many => 20, trip => 500, load => { admin_tracking => 6, admin_sales => 0.2 } },
	jobs => { clients => 4, many => 30, trip => 500, load => { jobs_mail => 10 } },
	feed => { clients => 4, many => 20, trip => 500, load => { feed_prices => 6 } });

# Those of its reads that may be a little old go to a standby.
our $standby_script = 'catalogue_browse';
our $standby_rate = 100;
our $standby_many = 130;

our $PAYMENT_MS = 40;			# what the payment service takes

# Variables of the scripts and of schema.sql.
sub sizes
{
	my ($scale) = @_;

	return (customers => int(100_000 * $scale), products => int(50_000 * $scale),
		orders => 20 * int(20_000 * $scale));
}

# What can be planted.  "load" is added to the service's; "statement" is [ script, mark ];
# "finding" the kind that must be reported; "plant" and "undo" are SQL.
#
# "why" says how it is planted, "fix" what is done about it.  "advised" runs the SQL that the
# finding itself advises, "reads": it is one of a statement that reads, "direct": the service goes by the pooler, "churn": it logs in for each
# transaction, "standby": the reads that belong there come to the primary.
our @faults = qw(slow_statement n_plus_one client_wait unpaged_result sequential_scan repeated_read
	hot_row read_only churn session_state);
our %fault = (
	slow_statement => { reads => 1, service => 'admin', load => { admin_report => 0.25 },
		statement => [ 'admin_report', 'report' ],
		why => 'a report reads a sixth of all orders',
		fix => 'it reads a table of sums' },
	n_plus_one => { service => 'web', load => { web_orders => -30, web_orders_loop => 30 },
		statement => [ 'web_orders_loop', 'lines' ], parent => [ 'web_orders_loop', 'list' ],
		why => 'the lines of 20 orders are read one order after the other', fix => 'a JOIN' },
	client_wait => { service => 'checkout', load => { checkout_order => -20, checkout_order_wait => 20 },
		statement => [ 'checkout_order_wait', 'insert' ],
		why => "the payment service ($PAYMENT_MS ms) is called within the transaction",
		fix => 'it is called before' },
	unpaged_result => { reads => 1, service => 'catalogue', load => { catalogue_all => 20 },
		statement => [ 'catalogue_all', 'all' ],
		why => 'a department\'s 2,000 products in one result', fix => 'pages of 50' },
	sequential_scan => { reads => 1, service => 'admin', load => {},
		plant => 'DROP INDEX orders_tracking', undo => 'CREATE INDEX orders_tracking ON orders (tracking)',
		statement => [ 'admin_tracking', 'tracking' ], advised => 1,
		why => 'no index on the tracking number of orders', fix => 'the index, by the SQL advised' },
	repeated_read => { reads => 1, service => 'web', load => { web_offers => 45 },
		statement => [ 'web_offers', 'offers' ],
		why => 'each home page computes the offers', fix => 'a cache that reads them each 10 s' },
	hot_row => { service => 'checkout', load => { checkout_order => -40, checkout_order_hot => 40 },
		statement => [ 'checkout_order_hot', 'total' ],
		why => 'each order first adds to the one total', fix => 'added last, spread over 63 rows' },
	read_only => { service => 'catalogue', load => {}, standby => 1,
		why => 'browsing, which a standby had', fix => 'back to the standby' },
	churn => { service => 'feed', load => {}, churn => 1, direct => 1,
		why => 'a login for each transaction', fix => 'behind PgBouncer' },
	session_state => { service => 'jobs', load => { jobs_mail => -10, jobs_mail_session => 10 },
		direct => 1,
		uses => { listen => 'LISTEN mails', advisory_lock => 'SELECT pg_advisory_lock($1)',
			set => 'SET work_mem = $1', temp_table => 'CREATE TEMP TABLE IF NOT EXISTS batch (id int)' },
		why => 'LISTEN, SET, session advisory locks, a temporary table',
		fix => 'locks of the transaction, the rest left out; behind PgBouncer' });

# The text as pgbench prepares it, so that the server itself can be asked for its query id: each
# variable is a parameter, in the order they come.
sub statement
{
	my ($text, $mark) = @_;
	my $n = 0;

	$text =~ /^-- \@\Q$mark\E\n(?:\\.*\n)*(.*?)(?:;| \\gset)\n/m or die "shop: no statement \@$mark\n";
	return $1 =~ s/(?<!:):(\w+)/'$' . ++$n/ger;
}

1;
