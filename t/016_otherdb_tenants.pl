# Names: more tenants than there is room for, names of any bytes, and the view from
# other databases and of plain roles.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	-name => 'names',
	'pool_optimizer.max_tenants' => 10,
	'pool_optimizer.tenant' => q{'%a'});
my $super = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(r_any r_plain));

# psql's own sessions are a tenant like any other; this is how they are called.
my $own = $node->safe_psql('postgres', 'SHOW application_name');

sub app
{
	my ($name, %opt) = @_;

	return open_session($node, 'r_any', application_name => $name, %opt);
}

# ---------- a flood of names ----------

# One that has policies but was never seen, one that is here already.
$node->safe_psql('postgres', q{
	SELECT pool_set_quota('vip', max_connections => 1);
	SELECT pool_set_quota('old', max_connections => 2)});
wait_sync($node);

my $old = app('old');
my $log_before = -s $node->logfile;
my @flood = map { app("flood $_") } 1 .. 30;

ok($_->is_admitted, 'the flood is let in') foreach $flood[0], $flood[-1];
my @lines = log_since($node, $log_before) =~
  /LOG:.*pool_optimizer knows 10 tenants, further ones are accounted as "\(other\)"/g;

is(scalar @lines, 1, 'one LOG line says that there is no room for more tenants');
is(cluster_stat($node, 'tenants'), '10', 'max_tenants is kept');

my $known = $node->safe_psql('postgres',
	q{SELECT count(*) FROM pool_stats WHERE tenant LIKE 'flood %'});

# Old, vip and psql have their places, which leaves seven.
is($known, '7', 'what there was room for is told apart');
is(stat_of($node, '(other)', 'sessions'), 30 - $known, 'the rest is accounted as (other)');
is(cluster_stat($node, 'overflow_logins'), 30 - $known, 'and counted');
# One that leaves is gone from both a moment later.
ok($node->poll_query_until('postgres', q{SELECT sessions = (SELECT sum(sessions) FROM pool_stats)
		FROM pool_stats_cluster}), 'none is lost');

my $old2 = app('old');

ok($old2->is_admitted, 'a known tenant has its quota as before');
is(refused_sqlstate($node, 'r_any', application_name => 'old'), '53300', 'and its limit');
my $vip = app('vip');

ok($vip->is_admitted, 'a tenant with a policy of its own has its place');
is(stat_of($node, 'vip', q{sessions || ' ' || max_connections}), '1 1', 'under its own name');
is(refused_sqlstate($node, 'r_any', application_name => 'vip'), '53300', 'with its quota');

# A policy for a name after the flood: there is no room to count it, which must be told.
$node->safe_psql('postgres', q{SELECT pool_set_quota('late', max_connections => 0)});
wait_sync($node);
ok($node->poll_query_until('postgres', q{
		SELECT last_error LIKE '%1 tenant %not fit in pool_optimizer.max_tenants%'
		FROM pool_stats_cluster}), 'a policy for which there is no room is told in last_error');
$node->safe_psql('postgres', q{SELECT pool_drop_policy('late')});
ok($node->poll_query_until('postgres', 'SELECT last_error IS NULL FROM pool_stats_cluster'),
	'until it is dropped');

# Those of (other) share what is said of it.
$node->safe_psql('postgres', sprintf q{SELECT pool_set_quota('(other)', max_connections => %d)},
	30 - $known);
wait_sync($node);
like(refused($node, 'r_any', application_name => 'yet another'),
	qr/^FATAL:  53300: too many connections for tenant "\(other\)"/,
	'(other) can have a quota');
close_all(@flood);
ok(wait_sessions($node, '(other)', 0), 'sessions leave (other) as any tenant');
close_all(splice @{ [ $old, $old2, $vip ] });

# ---------- odd names ----------

$node->append_conf('postgresql.conf',
	"pool_optimizer.max_tenants = 200\npool_optimizer.tenant = '%a|%L'");
$node->restart;

# What is given at connect (application, label) and what the tenant must be called.
# The application's name reaches us with what is not ASCII as '?': core's doing.
my $long = 'x' x 9000;
my $clipped = 'x' x 63;
my $euros = "\xe2\x82\xac" x 30;		# 3 bytes each
my @odd = (
	[ q{it's "quoted"}, q{la'b"el}, q{it's "quoted"|la'b"el} ],
	[ '%u@%d', '%L%%', '%u@%d|%L%%' ],
	[ '$1 \\ {} <b>', q{'; DROP TABLE x; --}, q{$1 \\ {} <b>|'; DROP TABLE x; --} ],
	# The application's part as core cleans it: from 16 on it escapes.
	[ "new\nline\ttab", "a\x01b\x7fc\r\nd",
		($node->pg_version >= 16 ? 'new\x0aline\x09tab' : 'new?line?tab') . '|a?b?c??d' ],
	[ $long, 'l', "$clipped|l" ],
	[ 'a', $long, "a|$clipped" ],
	[ 'b', "gr\xc3\xbc\xc3\x9fe \xe6\x97\xa5\xe6\x9c\xac", "b|gr\xc3\xbc\xc3\x9fe \xe6\x97\xa5\xe6\x9c\xac" ],
	[ 'c', $euros, 'c|' . "\xe2\x82\xac" x 21 ],
	[ undef, undef, '[unknown]|[unknown]' ],
	[ '', '', '[unknown]|[unknown]' ],
	[ '*', '*', '*|*' ]);

# Invalid UTF-8 is shown with '?' for what is not ASCII.
my @invalid = (
	[ 'd', "bad\xff\xfeend", 'd|bad??end' ],
	[ 'e', "cut\xe2\x82", 'e|cut??' ],
	[ 'f', "\xc0\x80over", 'f|??over' ]);
my @held;

foreach my $case (@odd, @invalid)
{
	my ($application, $label, $tenant) = @$case;
	my %startup;
	my $shown = substr(defined $label ? $label : '(none)', 0, 20) =~ s/[^ -~]/./gr;

	$startup{'pool_optimizer.label'} = $label if defined $label;
	my $session = app($application, startup => \%startup);

	ok($session->is_admitted, "admitted with label \"$shown\"")
	  or diag($session->error_text);
	push @held, $session;
	$case->[3] = $session->pid;
	is($node->safe_psql('postgres',
			"SELECT tenant FROM pool_stats_session WHERE pid = $case->[3]"), $tenant,
		'and shown safely');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_stats WHERE tenant ~ '[[:cntrl:]]'}),
	'0', 'no control character is shown');
is($node->safe_psql('postgres', q{SELECT sum(octet_length(tenant)) > 0 FROM pool_stats}), 't',
	'the view can be read');

# A label in options, with what escapes a blank there.
my $options = app('g', options => '-c pool_optimizer.label=two\\ words -c work_mem=64kB');

is($node->safe_psql('postgres', 'SELECT tenant FROM pool_stats_session WHERE pid = '
			. $options->pid), 'g|two words', 'a label in options');
push @held, $options;

# Refused: the names go through the message, the log and the event.  (Two were called
# [unknown]|[unknown], so one of them is surplus now.)
$node->safe_psql('postgres', q{SELECT pool_set_quota('*', max_connections => 1, scope => 'tenant')});
wait_sync($node);
foreach my $case (@odd, @invalid)
{
	my ($application, $label, $tenant, $pid) = @$case;
	my %startup = defined $label ? ('pool_optimizer.label' => $label) : ();

	like(refused($node, 'r_any', application_name => $application, startup => \%startup),
		qr/^FATAL:  53300: too many connections for tenant ".*/, 'refused under an odd name');
}
is($node->safe_psql('postgres', q{
		SELECT count(*) >= 14, bool_and(jsonb_typeof(detail) = 'object'),
			bool_and(detail->>'role' = 'r_any') FROM pool_events WHERE kind = 'reject'
			AND at > (SELECT pg_postmaster_start_time())}), 't|t|t',
	'each has its event, with sound JSON');
my $log = log_since($node, $log_before);

unlike($log, qr/^line\ttab/m, 'no name breaks a line of the log');
$node->safe_psql('postgres', q{SELECT pool_drop_policy('*')});
wait_sync($node);

# ---------- other databases ----------

$node->safe_psql('postgres', q{
	CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0});
$node->safe_psql('latin', 'CREATE EXTENSION pool_optimizer');
foreach my $view (qw(pool_stats pool_stats_session pool_stats_cluster pool_events
	pool_recommendations))
{
	my ($rc, $out, $err) = psql_as($node, $super, "SELECT * FROM $view", dbname => 'latin');

	is($rc, 0, "$view can be read in a database of another encoding") or diag($err);
}
is($node->safe_psql('latin', q{SELECT count(*) FROM pool_stats_session WHERE usename = 'r_any'}),
	scalar(grep { $_->is_alive } @held), 'it shows the sessions of all databases');
my ($rc, $out, $err) = psql_as($node, $super,
	"\\set VERBOSITY verbose\nSELECT pool_set_quota('x', max_connections => 1)",
	dbname => 'latin');

like($err, qr/ERROR:  55000: .*"postgres"/, 'setters work in the configured database only');

# ---------- plain roles ----------

# Two tenants, both with an error to tell.
my $mine = open_session($node, 'r_plain', application_name => 'mine');
my $theirs = open_session($node, 'r_any', application_name => 'theirs');

$_->query('SELECT 1/0') foreach $mine, $theirs;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pool_stats
		WHERE tenant IN ('mine|[unknown]', 'theirs|[unknown]')
			AND last_error = 'transaction ended by SQLSTATE 22012'}),
	'the administrator sees the last errors');
is(join(' ', map { $_ // 'null' } @{ $mine->query(
				'SELECT tenant, last_error, errors FROM pool_stats')->[0] }),
	'mine|[unknown] null 1', 'a plain role sees its own tenant, without last_error');
is(scalar @{ $mine->query('SELECT * FROM pool_stats') }, 1, 'and no other');
is($mine->value('SELECT last_error IS NULL FROM pool_stats_cluster'), 't',
	'nor what is wrong with the cluster');
is($mine->value('SELECT count(*) FROM pool_stats_session'), '1', 'nor sessions of others');

stop_clean($node);
done_testing();
