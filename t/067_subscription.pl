# Logical replication of all tables, ours among them, between servers that both have the extension:
# what a subscription brings is written by nobody else, so nothing stops it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my %node = map {
	$_ => new_node(
		-name => $_,
		wal_level => 'logical',
		max_wal_senders => 5,
		max_replication_slots => 5,
		timezone => q{'UTC'})
} qw(publisher subscriber);

sub rows
{
	my ($name) = @_;

	# A reload makes the keeper look at once.
	$node{$name}->reload;
	return $node{$name}->safe_psql('postgres', q{SELECT count(*) || ' ' || max(computed_at)
		FROM pool_history_profile WHERE tenant = ''});
}

sub wait_rows
{
	my ($name, $what) = @_;

	return ok(wait_until(sub { rows($name) =~ /^168 / }, $name), $what);
}

wait_rows($_, "the $_ has told what is usual in each hour") foreach qw(publisher subscriber);

# A copy that finds rows fails, and is tried again.
my $publisher = $node{publisher}->connstr . ' dbname=postgres';

$node{publisher}->safe_psql('postgres', 'CREATE PUBLICATION all_of_it FOR ALL TABLES');
$node{subscriber}->safe_psql('postgres',
	"CREATE SUBSCRIPTION all_of_it CONNECTION '$publisher' PUBLICATION all_of_it");
$node{subscriber}->safe_psql('postgres', 'TRUNCATE pool_history_profile');
ok(wait_until(sub {
			$node{subscriber}->reload;
			$node{subscriber}->safe_psql('postgres', q{SELECT count(*) FROM pg_subscription_rel
				WHERE srsubstate NOT IN ('r', 's')}) eq '0';
		}, 'the copies'), 'once it is empty the table is copied');
is(rows('subscriber'), rows('publisher'), 'as the publisher has it');

my $log = -s $node{subscriber}->logfile;

# Both look whether an hour is missing, and it is the publisher that writes it.  With the second
# answer the keeper that gave the first one has come to its end.
$node{subscriber}->safe_psql('postgres', q{
	DELETE FROM pool_history_profile;
	INSERT INTO pool_history SELECT '2001-01-01',
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, ''});
wait_sync($node{subscriber}) foreach 1, 2;
is($node{subscriber}->safe_psql('postgres', q{SELECT (SELECT count(*) FROM pool_history_profile)
		|| ' ' || (SELECT count(*) FROM pool_history WHERE bucket_start < '2002-01-01')}), '0 1',
	'the subscriber writes nothing of its own, and prunes nothing');
$node{publisher}->safe_psql('postgres', 'DELETE FROM pool_history_profile');
wait_rows('publisher', 'the publisher writes it again');
ok(wait_until(sub { rows('subscriber') eq rows('publisher') }, 'the rows'),
	'which the subscriber gets');

# Triggers do not fire for these rows; the keeper finds them.
$node{publisher}->safe_psql('postgres',
	q{SELECT pool_set_quota('a@postgres', max_connections => 7)});
ok($node{subscriber}->poll_query_until('postgres',
		q{SELECT max_connections = 7 FROM pool_stats WHERE tenant = 'a@postgres'}),
	'a policy of the publisher is in force on the subscriber');
unlike(log_since($node{subscriber}, $log), qr/duplicate key value/, 'no row was in the way');

# What nobody brings any more is written here again.
$node{subscriber}->safe_psql('postgres', 'DROP SUBSCRIPTION all_of_it');
$node{subscriber}->safe_psql('postgres', 'DELETE FROM pool_history_profile');
wait_rows('subscriber', 'without the subscription the table is its own');

stop_clean($_) foreach @node{qw(subscriber publisher)};
done_testing();
