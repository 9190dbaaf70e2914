# Direct clients: whose processes have sessions, how many overlap while a deploy runs, and
# what the pool in each should have; and how many connections are kept open, by how fast
# demand rises and how long a login takes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Few places, so that they can be filled.
my $node = new_node(-name => 'clients', -start => 0, -extension => 0, max_connections => 40,
	'pool_optimizer.max_tenants' => 10);

$node->append_conf('pg_hba.conf', "host all all 127.0.0.0/8 trust\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pool_optimizer;
	SELECT pool_set_sizing('*', evaluation_interval => '1s')});
create_roles($node, qw(r_shop r_quota r_load r_burst r_many r_two));
wait_sync($node);

# A session of a client at an address, as an application.
sub client
{
	my ($role, $application, $from) = @_;

	return open_session($node, $role, application_name => $application, host => '127.0.0.1',
		from => $from);
}

# The columns of an application's row, joined by spaces.
sub row_of
{
	my ($role, $application, $columns) = @_;

	return $node->safe_psql('postgres', "SELECT concat_ws(' ', $columns)
		FROM pool_recommendations_client WHERE tenant = '$role\@postgres'
		AND application = '$application'");
}

sub becomes
{
	my ($role, $application, $columns, $expected, $what) = @_;
	my $row;
	my $did = wait_until(sub { $row = row_of($role, $application, $columns); $row eq $expected }, $what);

	diag("$columns: $row, not $expected") unless $did;
	return ok($did, $what);
}

# ---------------------------------------------------------------------------
# Whose are they
# ---------------------------------------------------------------------------

my @old = map { client('r_shop', 'api', $_) } qw(127.0.0.2 127.0.0.2 127.0.0.3 127.0.0.3 127.0.0.3);

becomes('r_shop', 'api', 'instances, instances_seen, peak_overlap, sessions, most_sessions, addresses, told_by',
	'2 2 2 5 3 2 address', 'instances are told apart by address');
like(row_of('r_shop', 'api', 'reason'), qr/each address is taken for one instance/, 'and it says so');

# A rolling deploy: the new ones come before the old ones go.
my @new = map { client('r_shop', 'api', $_) } qw(127.0.0.4 127.0.0.5);

becomes('r_shop', 'api', 'instances, peak_overlap', '4 4', 'old and new ones overlap');
my $peak_at = row_of('r_shop', 'api', 'peak_at');
close_all(@old);
becomes('r_shop', 'api', 'instances, instances_seen, peak_overlap, sessions', '2 4 4 2', 'the peak is remembered');
is(row_of('r_shop', 'api', 'peak_at'), $peak_at, 'and when it was');
like(row_of('r_shop', 'api', 'reason'), qr/as many as 4 were there at once/, 'and told');

# One that comes back is not another one.
push @new, client('r_shop', 'api', '127.0.0.2');
becomes('r_shop', 'api', 'instances, instances_seen, peak_overlap', '3 4 4', 'one that comes back is known');

# Processes that share an address, but say who they are.
my @puma = map { client('r_shop', "puma: cluster worker $_: 471$_ [shop]", '127.0.0.6') } 0 .. 2;

becomes('r_shop', 'puma: cluster worker #: # [shop]', 'instances, sessions, addresses, told_by', '3 3 1 name',
	'process ids in application_name tell instances apart');
# And those that do not.
my @alike = map { client('r_shop', 'node', '127.0.0.6') } 0 .. 2;

becomes('r_shop', 'node', 'instances, sessions, told_by', '1 3 address', 'those alike are one');
like(row_of('r_shop', 'node', 'reason'), qr/cannot be told apart/, 'and it says that they may be more');

# By a socket of this machine the server sees the process.
my ($in, @psql) = ('');
{
	local $ENV{PGAPPNAME} = 'local';

	push @psql, IPC::Run::start([ 'psql', '-X', '-q', '-h', $node->host, '-p', $node->port, '-U', 'r_shop', 'postgres' ],
		'<', \$in, '>', \my $ignored, '2>', \my $neither) foreach 1 .. 2;
}
my @mine = map { open_session($node, 'r_shop', application_name => 'local') } 1 .. 3;

becomes('r_shop', 'local', 'instances, sessions, most_sessions, told_by', '3 5 3 process',
	'processes of the same machine are told apart');
cmp_ok(row_of('r_shop', 'node', 'confidence < (SELECT max(confidence) FROM pool_recommendations_client) OR confidence = 0'),
	'eq', 't', 'confidence is lower where they cannot be');

# ---------------------------------------------------------------------------
# Rights; a sampler that is started again; statistics that are reset
# ---------------------------------------------------------------------------

my $plain = $mine[0];

is($plain->value("SELECT count(DISTINCT tenant) FROM pool_recommendations_client"), 1, 'a plain role sees its tenant only');
is($plain->value("SELECT string_agg(application, ' ') FROM pool_recommendations_client"), 'local',
	'and of applications the name of its own');
is($plain->value("SELECT count(*) FROM pool_recommendations_client"), 4, 'while all of its tenant are told');

my $sampler = cluster_stat($node, 'sampler_pid');

kill 'TERM', $sampler;
ok($node->poll_query_until('postgres', "SELECT sampler_pid <> $sampler FROM pool_stats_cluster"), 'another sampler');
becomes('r_shop', 'api', 'instances, instances_seen, peak_overlap, sessions', '3 4 4 3', 'which counts the same');
becomes('r_shop', 'local', 'instances, sessions', '3 5', 'also of processes');
close_all(@alike);
becomes('r_shop', 'node', 'instances, instances_seen, sessions', '0 1 0', 'and sees who leaves');

$node->safe_psql('postgres', q{SELECT pool_reset_stats('r_shop@postgres')});
is(row_of('r_shop', 'api', 'instances, instances_seen, peak_overlap'), '3 3 3', 'reset: what is now remains');
is(row_of('r_shop', 'node', 'instances'), '', 'and who was before is forgotten');

$_->finish foreach @psql;
close_all(@new, @puma, @mine);

# ---------------------------------------------------------------------------
# Sizes
# ---------------------------------------------------------------------------

my @quota = map { client('r_quota', 'job', $_) } ('127.0.0.2', '127.0.0.2', '127.0.0.2', '127.0.0.3');

becomes('r_quota', 'job', 'size_per_instance, limited_by, instances', '3 present 2', 'nothing known: what is');
$node->safe_psql('postgres', q{SELECT pool_set_quota('r_quota@postgres', 6)});
wait_sync($node);
# Two instances, and room for a third in a deploy: two each.
becomes('r_quota', 'job', 'size_per_instance, limited_by', '2 quota', 'a quota bounds all of them together');
like(row_of('r_quota', 'job', 'reason'), qr/so that 3 instances at once stay below 6, the quota \(max_connections\)/, 'and it says so');
$node->safe_psql('postgres', q{SELECT pool_set_quota('r_quota@postgres', 2)});
wait_sync($node);
becomes('r_quota', 'job', 'size_per_instance, limited_by', '1 one_each', 'one is the least');
$node->safe_psql('postgres', q{SELECT pool_drop_policy('r_quota@postgres')});
close_all(@quota);

# By load: four sessions of two instances at work for a quarter of the time.
my @load = map { client('r_load', 'shop', $_) } qw(127.0.0.2 127.0.0.2 127.0.0.3 127.0.0.3);
my $rounds = 0;

ok(wait_until(sub {
		$_->query('SELECT pg_sleep(0.02)') foreach @load;
		return ++$rounds % 10 == 0 && row_of('r_load', 'shop', 'limited_by') =~ /^(?:load|recommended_size)$/;
	}), 'enough is known to size by load');
is($node->safe_psql('postgres', q{
	SELECT size_per_instance BETWEEN 1 AND recommended_size AND min_per_instance <= size_per_instance
		AND abs(c.busy_mean - r.busy_mean) < 0.7 AND c.confidence > 0 AND c.confidence < r.confidence
	FROM pool_recommendations_client c JOIN pool_recommendations r USING (tenant)
	WHERE tenant = 'r_load@postgres' AND application = 'shop'}), 't', 'and what is told fits together');

# A driver's text has the same, as one process cannot borrow of the other's pool.
my $sizes;
ok(wait_until(sub {
		$_->query('SELECT pg_sleep(0.02)') foreach @load;
		$sizes = $node->safe_psql('postgres', q{
			SELECT size_per_instance, (regexp_match(pool_client_config(tenant, 'pgx', 2), 'MaxConns = (\d+)'))[1]
			FROM pool_recommendations_client WHERE tenant = 'r_load@postgres' AND limited_by = 'load'});
		return $sizes =~ /^(\d+)\|\1$/;
	}), 'and is what a driver is told') or diag($sizes);

# As many instances at once as there were before are expected of the next deploy.
like($node->safe_psql('postgres', q{SELECT replace(pool_client_config('r_load@postgres', 'pgx', 2), E'\n//', '')}),
	qr/with a quarter more, rounded up, 3:/, 'a deploy as usual');
my @deploy = map { client('r_load', 'shop', $_) } qw(127.0.0.4 127.0.0.5);
becomes('r_load', 'shop', 'peak_overlap', '4', 'until one is seen');
close_all(@deploy);
like($node->safe_psql('postgres', q{SELECT replace(pool_client_config('r_load@postgres', 'pgx', 2), E'\n//', '')}),
	qr/with as many more as were seen at once, 4:/, 'which the next text has room for');

# Two threads in each that need two connections at once, and some: a floor that only people know.
$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_load@postgres', min_size => 18)});
wait_sync($node);
becomes('r_load', 'shop', 'size_per_instance', '9', 'min_size is divided among instances');
ok(wait_until(sub {
		$_->query('SELECT pg_sleep(0.02)') foreach @load;
		return $node->safe_psql('postgres', q{SELECT pool_client_config('r_load@postgres', 'pgx', 2)})
		  =~ /config\.MaxConns = 9\b/;
	}), 'and so a driver is told');
close_all(@load);

# ---------------------------------------------------------------------------
# Several applications of a tenant, and a text for one of them
# ---------------------------------------------------------------------------

# The text in one line, without what begins its comments.
sub config_of
{
	my ($session, @arguments) = @_;

	return $session->value(q{SELECT replace(pool_client_config('r_two@postgres', }
		  . join(', ', @arguments) . q{), E'\n// ', ' ')});
}

$node->safe_psql('postgres', q{
	SELECT pool_set_quota('r_two@postgres', 24);
	SELECT pool_set_sizing('r_two@postgres', min_size => 20, max_size => 20)});
wait_sync($node);
my @api = map { client('r_two', 'api', $_), client('r_two', 'api', $_) } map { "127.0.0.$_" } 2 .. 5;
my @worker = map { client('r_two', 'worker', $_), client('r_two', 'worker', $_), client('r_two', 'worker', $_) }
  '127.0.0.2', '127.0.0.3';
my $asking = client('r_two', 'psql', '127.0.0.6');
my ($more, $shared, $said) = (qr/CONTRADICTION: [^:]*other applications/, qr/Note: this tenant has \d+ applications/,
	qr/Note: [^:]*instances have sessions now/);

becomes('r_two', $_->[0], 'instances, sessions', $_->[1], "$_->[0]: there")
  foreach [ 'api', '4 8' ], [ 'worker', '2 6' ], [ 'psql', '1 1' ];
# Four each, five processes of them while a deploy runs: that is 20 of 24, or with more that were
# seen while they came, three each.
my $text = config_of($asking, q{'pgx'}, 4);
like($text, qr/CONTRADICTION: up to (?:20|21|24) connections by this text and the 6 that other applications of this tenant have now are more than 24: the quota \(max_connections\)\./,
	'a text for one application says that the others have some, too');
like($text, qr/Note: this tenant has 2 applications, with 6 instances, .*size_per_instance/, 'and who tells the part of each');
unlike($text, $said, 'with as many instances as there are');
like(config_of($asking, q{'pgx'}), qr/Note: 2 instances have sessions now .* this text is for 1:/, 'with fewer it says so');
unlike(config_of($asking, q{'pgbouncer'}), qr/$more|$shared|$said/, 'a pooler is for all of them');
close_all(@worker);
becomes('r_two', 'worker', 'instances', '0', 'the other application has gone');
$text = config_of($asking, q{'pgx'}, 4);
unlike($text, qr/$more|$shared|$said/, 'then nothing is said: who asks is no application by that');
like(config_of($asking, q{'pgx'}, 3), qr/Note: 4 instances have sessions now .* this text is for 3:/, 'but fewer instances still are');
close_all(@api, $asking);

# ---------------------------------------------------------------------------
# More applications than there is room for
# ---------------------------------------------------------------------------

my $seen = 0;
my $kept = client('r_many', 'kept', '127.0.0.2');

foreach my $batch ('a' .. 'l')
{
	my @many = map { client('r_many', "x-$batch-$_", '127.0.0.2') } 'a' .. 'l';

	$seen++ if wait_until(sub {
		$node->safe_psql('postgres', "SELECT count(*) FROM pool_recommendations_client
			WHERE application ~ '^x-$batch-' AND instances = 1") == @many;
	});
	close_all(@many);
}
is($seen, 12, '144 applications, twelve at a time');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM pool_recommendations_client'), '<', 144,
	'are not all remembered');
becomes('r_many', 'kept', 'instances, sessions', '1 1', 'one that is there is not forgotten for them');
becomes('r_many', 'x-l-l', 'instances, instances_seen', '0 1', 'nor those of late');
close_all($kept);

# ---------------------------------------------------------------------------
# Warm-up
# ---------------------------------------------------------------------------

sub burst_is
{
	my ($columns) = @_;

	return $node->safe_psql('postgres',
		"SELECT concat_ws(' ', $columns) FROM pool_recommendations WHERE tenant = 'r_burst\@postgres'");
}

$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_burst@postgres', target_wait => '1 us')});
wait_sync($node);
my @burst = map { client('r_burst', 'burst', '127.0.0.2') } 1 .. 8;

# All at once, then nobody.
sub bursts_until
{
	my ($condition) = @_;
	my $n = 0;

	return wait_until(sub {
		$_->send_query('SELECT pg_sleep(0.1)') foreach @burst;
		$_->result foreach @burst;
		$burst[0]->query('SELECT 1') foreach 1 .. 3;
		return $node->safe_psql('postgres', "SELECT $condition FROM pool_recommendations
			WHERE tenant = 'r_burst\@postgres'") eq 't';
	});
}

ok(bursts_until("busy_rise >= 4 AND login_ms > 0 AND method NOT IN ('none', 'too_little_data')
	AND reason ~ 'to keep open, as \\d+ more can get busy within'"), 'bursts and logins are observed');
is($node->safe_psql('postgres', q{SELECT recommended_min = least(busy_p50 + busy_rise, recommended_size)
	FROM pool_recommendations WHERE tenant = 'r_burst@postgres'}), 't', 'what they rise by is kept open');
like(burst_is('reason'), qr/and a login takes [\d.]+ m?s/, 'as logins are slower than the target');
my ($min) = $node->safe_psql('postgres', q{SELECT pool_client_config('r_burst@postgres', 'pgx')}) =~ /config\.MinConns = (\d+)/;
ok(wait_until(sub {
		($min) = $node->safe_psql('postgres', q{SELECT pool_client_config('r_burst@postgres', 'pgx')})
		  =~ /config\.MinConns = (\d+)/;
		return $min == burst_is('recommended_min');
	}), 'which a driver is told, too');

$node->safe_psql('postgres', q{SELECT pool_set_sizing('r_burst@postgres', target_wait => '1 hour', min_size => 1)});
wait_sync($node);
ok(bursts_until(q{reason ~ 'to keep open, as a login takes [\d.]+ m?s, no longer than the target'
	OR (recommended_size = 1 AND predicted_wait_ms > 1)}),
	'with an hour to wait nothing has to be open for bursts');
is($node->safe_psql('postgres', q{SELECT recommended_min = greatest(least(busy_p50, recommended_size), 1)
	FROM pool_recommendations WHERE tenant = 'r_burst@postgres'}), 't', 'but what is usually busy');

# What was learnt outlives a restart.
close_all(@burst);
$node->restart;
is($node->safe_psql('postgres', q{SELECT login_ms > 0 AND busy_rise >= 4 FROM pool_recommendations
	WHERE tenant = 'r_burst@postgres'}), 't', 'after a restart it is still known');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pool_recommendations_client
	WHERE tenant <> current_user || '@postgres'}), 0,
	'while clients are met anew');

stop_clean($node);
done_testing();
