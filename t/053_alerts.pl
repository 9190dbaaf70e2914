# Alerts: rules set by SQL, raised and cleared once each, in the view, as event and LOG line;
# what comes and goes is not told again and again; the sampler may be killed in between.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PoolTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(max_connections => 40);
my $super = $node->safe_psql('postgres', 'SELECT current_user');

create_roles($node, qw(r_app r_wait r_other r_calm r_quota));
my $admin = open_session($node, $super);

# A rule that acts at once and clears at once, so that nothing has to be waited for.
sub at_once
{
	my ($alert, %opt) = @_;
	my $tenant = $opt{tenant} // '*';
	my $more = join '', map { ", $_ => $opt{$_}" } grep { $_ ne 'tenant' } sort keys %opt;

	return map { "SELECT pool_set_alert('$alert', '$_', '$tenant', for_duration => '0',
		clear_after => '0'$more);" } qw(warning critical);
}

sub set_rules
{
	$node->safe_psql('postgres', join "\n", @_);
	return wait_sync($node);
}

# What pool_alerts says of an alert: "severity value threshold", '' when it is not raised.
sub raised
{
	my ($alert, $tenant) = @_;
	my $whose = defined $tenant ? "tenant = '$tenant'" : 'tenant IS NULL';

	return $admin->value("SELECT coalesce((SELECT concat_ws(' ', severity,
		round(value::numeric, 3)::float8, threshold) FROM pool_alerts
		WHERE alert = '$alert' AND $whose), '')");
}

sub raised_is
{
	my ($alert, $tenant, $expected, $what) = @_;

	return ok(wait_until(sub { raised($alert, $tenant) eq $expected },
			"$alert: '" . raised($alert, $tenant) . "'"), $what);
}

# How often a change was told, as an event.
sub told
{
	my ($alert, $state, $tenant) = @_;
	my $whose = defined $tenant ? "tenant = '$tenant'" : 'tenant IS NULL';

	return $admin->value("SELECT count(*) FROM pool_events WHERE kind = 'alert'
		AND detail->>'alert' = '$alert' AND detail->>'state' = '$state' AND $whose");
}

sub app { return map { open_session($node, 'r_app') } 1 .. $_[0]; }

# ---------- rules ----------

my $kinds = $admin->value(q{SELECT regexp_replace(
	col_description('pool_alerts'::regclass, 2), '^which: ', '')});
my @kinds = split /, /, $kinds;

cmp_ok(scalar @kinds, '>=', 4, 'the view says which alerts there are');
foreach my $kind (@kinds)
{
	is($admin->value("SELECT (pool_set_alert('$kind', threshold => 0.5)).threshold"), '0.5',
		"$kind can be set");
}
$admin->query('SELECT pool_set_alert(\'nonsense\')');
is($admin->sqlstate, '22023', 'an alert that is not known');
like($admin->error->{H}, qr/\Q$kinds\E/, 'the hint names those that are');

my @bad = (
	[ q{NULL}, '22023' ], [ q{'refusals', NULL}, '22023' ], [ q{'refusals', 'none'}, '22023' ],
	[ q{'refusals', tenant => NULL}, '22023' ], [ q{'refusals', tenant => ''}, '22023' ],
	[ q{'refusals', tenant => repeat('x', 256)}, '22023' ],
	[ q{'refusals', threshold => -1}, '22023' ], [ q{'refusals', threshold => 'NaN'}, '22023' ],
	[ q{'refusals', threshold => 'Infinity'}, '22023' ],
	[ q{'tenant_utilization', threshold => 80}, '22023' ],
	[ q{'cluster_utilization', tenant => 'a'}, '22023' ],
	[ q{'refusals', for_duration => '-1s'}, '22023' ],
	[ q{'refusals', for_duration => '2 days'}, '22023' ],
	[ q{'refusals', clear_after => '1 year'}, '22023' ],
	[ q{'refusals', hysteresis => 1.5}, '22023' ]);

foreach my $bad (@bad)
{
	my ($arguments, $state) = @$bad;

	$admin->query("SELECT pool_set_alert($arguments)");
	is($admin->sqlstate, $state, "pool_set_alert($arguments)");
}
$admin->query(q{INSERT INTO pool_alert_rules VALUES ('refusals', 'warning', 'x', -1)});
is($admin->sqlstate, '22023', 'plain DML is checked, too');
is($admin->value(q{SELECT r::text FROM pool_set_alert('refusals', 'critical', 'a"b%s<script>@*',
		threshold => 7, hysteresis => 0.5) r}),
	'(refusals,critical,"a""b%s<script>@*",7,,,0.5,)', 'the setter returns the rule');
is($admin->value(q{SELECT r::text FROM pool_set_alert('refusals', 'critical', 'a"b%s<script>@*',
		enabled => false) r}),
	'(refusals,critical,"a""b%s<script>@*",7,,,0.5,f)', 'what is left out keeps what is set');
is($admin->value(q{SELECT r::text FROM pool_drop_alert('refusals', 'critical',
		'a"b%s<script>@*', field => 'threshold') r}),
	'(refusals,critical,"a""b%s<script>@*",,,,0.5,f)', 'one field can be dropped');
$admin->query(q{SELECT pool_drop_alert('refusals', 'critical', 'a"b%s<script>@*', field => 'alert')});
is($admin->sqlstate, '22023', 'of the key none can');
$admin->query(q{SELECT pool_drop_alert('refusals', 'critical', 'a"b%s<script>@*',
	field => f) FROM unnest(ARRAY['hysteresis', 'enabled']) f});
is($admin->value(q{SELECT count(*) FROM pool_alert_rules WHERE tenant LIKE 'a%'}), '0',
	'a rule without any field left is gone');
$admin->query(q{SELECT pool_drop_alert('refusals', 'critical', 'nobody')});
is($admin->sqlstate, '42704', 'a rule that is not there');
is($admin->value(q{SELECT pool_drop_alert('refusals', 'critical', 'nobody', if_exists => true)}),
	undef, 'is nothing with if_exists');

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pool_optimizer');
my ($rc, $out, $err) = psql_as($node, $super,
	"\\set VERBOSITY verbose\nSELECT pool_set_alert('refusals', threshold => 1)", dbname => 'other');
like($err, qr/ERROR:  55000: .*alert rules.*"postgres"/, 'in another database: 55000');

my $room = $admin->value(q{SELECT current_setting('pool_optimizer.max_tenants')::int / 8 + 64});
$admin->query("INSERT INTO pool_alert_rules (alert, severity, tenant, enabled)
	SELECT 'refusals', 'warning', 'many' || i, true FROM generate_series(1, $room) i");
is($admin->sqlstate, '53400', 'more rules than there is room for');
$admin->query(q{TRUNCATE pool_alert_rules});
ok(wait_sync($node), 'no rule is left');

# ---------- utilization of a tenant ----------

set_rules(at_once('tenant_utilization'), q{SELECT pool_set_quota('r_app@postgres', 10);});
my @app = app(7);

ok(wait_sessions($node, 'r_app@postgres', 7), '7 of 10');
wait_samples($admin, 250);
is(raised('tenant_utilization', 'r_app@postgres'), '', 'are no alert');
my $log_before = -s $node->logfile;

push @app, app(1);
raised_is('tenant_utilization', 'r_app@postgres', 'warning 0.8 0.8', '8 are a warning');
is($admin->value(q{SELECT message FROM pool_alerts}), '8 of 10 connections are in use (80 %)',
	'which says why');
push @app, app(1);
raised_is('tenant_utilization', 'r_app@postgres', 'critical 0.9 0.9', '9 are critical');
push @app, app(1);
raised_is('tenant_utilization', 'r_app@postgres', 'critical 1 0.9', 'the value is kept up to date');
ok(wait_until(sub { told('tenant_utilization', 'escalated', 'r_app@postgres') > 0 }), 'told');
is(told('tenant_utilization', $_, 'r_app@postgres'), '1', "$_ once") foreach qw(raised escalated);
is($admin->value(q{SELECT count(*) FROM pool_events WHERE kind = 'alert'
		AND tenant = 'r_app@postgres' AND (detail->>'used')::int BETWEEN 8 AND 9
		AND (detail->>'max_connections')::int = 10
		AND (detail->>'id')::bigint = (SELECT id FROM pool_alerts)}), '2', 'events have the evidence');
like(log_since($node, $log_before), qr/LOG:  pool_optimizer, tenant "r_app\@postgres": 8 of 10 connections are in use \(80 %\)\n.*DETAIL:  Alert tenant_utilization, warning, raised/,
	'the log has a line');
close_all(splice @app, 0, 3);
ok(wait_sessions($node, 'r_app@postgres', 7), '7 of 10 again');
raised_is('tenant_utilization', 'r_app@postgres', '', 'below the hysteresis it is cleared');
ok(wait_until(sub { told('tenant_utilization', 'cleared', 'r_app@postgres') > 0 }), 'told');
is(told('tenant_utilization', 'cleared', 'r_app@postgres'), '1', 'which is told once');
is($admin->value(q{SELECT concat_ws(' ', severity, value, threshold, cleared_at > raised_at,
		duration_ms > 0, message) FROM pool_alerts_history WHERE alert = 'tenant_utilization'}),
	'critical 1 0.9 t t 10 of 10 connections are in use (100 %)',
	'the history has it, with its worst value');

# Only for others: a pattern, then the exact name.
set_rules(q{SELECT pool_set_alert('tenant_utilization', s, 'r_app@*', enabled => false)
	FROM unnest(ARRAY['warning', 'critical']) s;});
push @app, app(3);
ok(wait_sessions($node, 'r_app@postgres', 10), 'all 10 are in use');
set_rules(q{SELECT pool_set_alert('tenant_utilization', 'critical', 'r_app@postgres',
	threshold => 1, enabled => true);});
raised_is('tenant_utilization', 'r_app@postgres', 'critical 1 1',
	'the exact name comes before the pattern, which had switched it off');
set_rules(q{SELECT pool_drop_alert('tenant_utilization', 'critical', 'r_app@postgres');});
raised_is('tenant_utilization', 'r_app@postgres', '', 'without the rule it is cleared');
set_rules('TRUNCATE pool_alert_rules;', at_once('tenant_utilization'));
raised_is('tenant_utilization', 'r_app@postgres', 'critical 1 0.9', 'rules work for who is there');

# Of a quota of 0 any use is all of it; what is said is brought up to date all the same.
sub message_is
{
	my ($message, $what) = @_;

	return ok(wait_until(sub { $admin->value(q{SELECT message FROM pool_alerts
		WHERE tenant = 'r_app@postgres'}) eq $message }, $what), $what);
}
set_rules(q{SELECT pool_set_quota('r_app@postgres', 0, mode => 'observe');});
message_is('10 of 0 connections are in use (100 %)', 'a quota of 0');
pop(@app)->close_and_wait;
message_is('9 of 0 connections are in use (100 %)', 'one less');
set_rules(q{SELECT pool_set_quota('r_app@postgres', 10, mode => 'enforce');});
push @app, app(1);
message_is('10 of 10 connections are in use (100 %)', 'and as before');

# Settings: the built-in thresholds come from them.  Another tenant, as one that has had an
# alert just now is held for longer.
set_rules(q{SELECT pool_set_quota('r_quota@postgres', 2);});
my @quota = map { open_session($node, 'r_quota') } 1, 2;

raised_is('tenant_utilization', 'r_quota@postgres', 'critical 1 0.9', 'a quota that is used up');
$node->append_conf('postgresql.conf', 'pool_optimizer.critical_threshold = 100');
$node->reload;
raised_is('tenant_utilization', 'r_quota@postgres', 'critical 1 1', 'a reload is enough');
$node->append_conf('postgresql.conf', 'pool_optimizer.critical_threshold = 90');
$node->reload;

# A quota that is raised ends it, without anybody coming or going.
set_rules(q{SELECT pool_set_quota('r_quota@postgres', 100);});
raised_is('tenant_utilization', 'r_quota@postgres', '', 'a larger quota is enough');
set_rules(q{SELECT pool_set_quota('r_quota@postgres', 2);});
raised_is('tenant_utilization', 'r_quota@postgres', 'critical 1 0.9', 'a smaller one, too');
close_all(@quota);

# ---------- refusals ----------

set_rules(at_once('refusals', threshold => 3));
is(refused_sqlstate($node, 'r_app'), '53300', 'refused') for 1 .. 2;
wait_samples($admin, 250);
is(raised('refusals', 'r_app@postgres'), '', 'two are below the threshold');
is(refused_sqlstate($node, 'r_app'), '53300', 'refused once more');
ok(wait_until(sub { raised('refusals', 'r_app@postgres') =~ /^critical [3-9] 3$/ }), 'three are not');
like($admin->value(q{SELECT message FROM pool_alerts WHERE alert = 'refusals'}),
	qr/^[3-9] logins were refused in the last minute$/, 'it says how many');
is($admin->value(q{SELECT count(*) FROM pool_alerts WHERE alert = 'refusals'}), '1',
	'no other tenant has it');

# ---------- waits ----------

set_rules(at_once('waits'), q{
	SELECT pool_set_quota('r_wait@postgres', 1, on_full => 'wait', wait_timeout => '1min');
	SELECT pool_set_sizing('r_wait@postgres', target_wait => '1ms');});
my $holder = open_session($node, 'r_wait');
my $waiter = start_login($node, 'r_wait');

ok(wait_until(sub { stat_of($node, 'r_wait@postgres', 'waiting') == 1 }), 'a login waits');
$holder->close_and_wait;
$waiter->wait_login;
ok($waiter->is_admitted, 'and is let in');
ok(wait_until(sub { raised('waits', 'r_wait@postgres') =~ /^(warning|critical) [\d.e+]+ (1|10)$/ }),
	'it has waited for longer than the target');
like($admin->value(q{SELECT message FROM pool_alerts WHERE alert = 'waits'}),
	qr/^1 login waited \d+ ms on average in the last minute, the target is 1 ms$/, 'it says so');
$waiter->close_and_wait;

# ---------- the cluster ----------

set_rules(at_once('cluster_utilization'));
my $usable = $admin->value('SELECT max_connections FROM pool_stats_cluster');
my @other;

# Those that are on their way out are not counted on.
sub fill_up
{
	my ($share) = @_;

	return wait_until(sub {
			push @other, open_session($node, 'r_other')
			  if $admin->value('SELECT sessions FROM pool_stats_cluster') < $share * $usable;
			return $admin->value('SELECT sessions FROM pool_stats_cluster') >= $share * $usable;
		});
}
ok(fill_up(0.8), '80 % are taken');
ok(wait_until(sub { raised('cluster_utilization') =~ /^warning/ }), 'connections get scarce');
my $n_other = @other;

like($admin->value(q{SELECT message FROM pool_alerts WHERE alert = 'cluster_utilization'}),
	qr/^\d+ of $usable connections are taken; most by "r_other\@postgres" \($n_other\)/,
	'it says who has them');
ok(fill_up(0.9), '90 % are');
ok(wait_until(sub { raised('cluster_utilization') =~ /^critical/ }), 'and scarcer');

# ---------- the sampler is killed ----------

my $before = $admin->value(q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM pool_alerts});
my $pid = $admin->value('SELECT sampler_pid FROM pool_stats_cluster');

kill 'TERM', $pid;
ok(wait_until(sub {
			$admin->value("SELECT coalesce(sampler_pid, $pid) <> $pid FROM pool_stats_cluster") eq 't';
		}), 'a new sampler');
my $samples = $admin->value('SELECT samples FROM pool_stats_cluster');
ok(wait_until(sub { $admin->value('SELECT samples FROM pool_stats_cluster') > $samples + 200 }), 'which works');
is($admin->value(q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM pool_alerts
		WHERE alert ~ 'utilization'}),
	$admin->value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM pool_alerts
		WHERE id IN (@{[ join ', ', split / /, $before ]}) AND alert ~ 'utilization'"),
	'alerts stay those that were raised');
is(told('cluster_utilization', 'raised'), '1', 'nothing is told twice');
is($admin->value(q{SELECT count(DISTINCT id) = count(*) FROM pool_alerts_history}), 't',
	'the history has each once');
close_all(@other);
raised_is('cluster_utilization', undef, '', 'it takes them over, and clears them');
is(told('cluster_utilization', 'cleared'), '1', 'once');

# ---------- what comes and goes ----------

set_rules('TRUNCATE pool_alert_rules;', at_once('tenant_utilization', hysteresis => 0),
	q{SELECT pool_set_quota('r_calm@postgres', 1);});
for my $round (1 .. 12)
{
	my $calm = open_session($node, 'r_calm');
	my $n = told('tenant_utilization', 'raised', 'r_calm@postgres');

	# One that is held is raised still when the next one comes.
	ok(wait_until(sub { raised('tenant_utilization', 'r_calm@postgres') ne '' }), "round $round: raised");
	$calm->close_and_wait;
	ok(wait_sessions($node, 'r_calm@postgres', 0), 'and over');
}
cmp_ok(told('tenant_utilization', 'raised', 'r_calm@postgres'), '<=', 4,
	'what comes and goes is not told each time');

# ---------- for whom ----------

my $app = $app[0];

is($app->value(q{SELECT string_agg(alert, ' ') FROM pool_alerts WHERE alert = 'tenant_utilization'}),
	'tenant_utilization', 'a plain role sees the alerts of its own tenant');
is($app->value(q{SELECT count(*) FROM pool_alerts WHERE tenant IS DISTINCT FROM 'r_app@postgres'}), '0',
	'and no other');
is($app->value(q{SELECT count(*) FROM pool_alerts_history
	WHERE tenant IS DISTINCT FROM 'r_app@postgres'}), '0', 'nor of the past');
$node->safe_psql('postgres', q{SELECT pool_set_alert('refusals', tenant => t, enabled => true)
	FROM unnest(ARRAY['r_app@postgres', 'r_wait@postgres', 'r_w*', 'r_a*', '*']) t});
is($app->value(q{SELECT string_agg(tenant, ' ' ORDER BY tenant) FROM pool_alert_rules
	WHERE alert = 'refusals'}), '* r_a* r_app@postgres', 'of the rules those that apply to it');
foreach my $call (q{pool_set_alert('refusals')}, q{pool_drop_alert('refusals', if_exists => true)})
{
	$app->query("SELECT $call");
	is($app->sqlstate, '42501', "$call needs a grant");
}

# ---------- a restart ----------

my $history = $admin->value(q{SELECT string_agg(id || ' ' || coalesce(tenant, '-') || ' ' || message, E'\n'
	ORDER BY id) FROM pool_alerts_history WHERE cleared_at IS NOT NULL});
my $id = $admin->value(q{SELECT id FROM pool_alerts WHERE alert = 'tenant_utilization'
	AND tenant = 'r_app@postgres'});

set_rules(q{SELECT pool_set_alert('tenant_utilization', 'critical', 'r_app@*', threshold => 0.95);});
$node->restart;
$admin = open_session($node, $super);
ok(wait_until(sub { $admin->value("SELECT count(*) FROM pool_events WHERE kind = 'alert'
			AND detail->>'state' = 'cleared' AND (detail->>'id')::bigint = $id") == 1 }),
	'an alert that was raised before a restart is over after it, which is told');
is($admin->value("SELECT cleared_at IS NOT NULL FROM pool_alerts_history WHERE id = $id"), 't',
	'and in the history');
foreach my $line (split /\n/, $history)
{
	my ($was, $tenant, $message) = split / /, $line, 3;

	is($admin->value("SELECT coalesce(tenant, '-') || ' ' || message FROM pool_alerts_history
		WHERE id = $was"), "$tenant $message", 'with what was there before');
}
like(log_since($node, 0), qr/alert rules are in force/, 'rules were told');
# Before the keeper can have read the table: it must wait for it.
$node->safe_psql('postgres', 'ALTER TABLE pool_alert_rules RENAME threshold TO was_threshold');
$node->restart;
$admin = open_session($node, $super);
@app = app(10);
raised_is('tenant_utilization', 'r_app@postgres', 'critical 1 0.95',
	'the rules of before are in force although their table cannot be read');
cmp_ok($admin->value("SELECT id FROM pool_alerts WHERE alert = 'tenant_utilization'"), '>', $id,
	'a new alert has another number');
$node->safe_psql('postgres', 'ALTER TABLE pool_alert_rules RENAME was_threshold TO threshold');

# ---------- the table is damaged, the extension dropped ----------

set_rules(q{SELECT pool_drop_alert('tenant_utilization', 'critical', 'r_app@*');
	SELECT pool_set_alert('tenant_utilization', s, threshold => 0.99)
	FROM unnest(ARRAY['warning', 'critical']) s;});
raised_is('tenant_utilization', 'r_app@postgres', 'critical 1 0.99', 'a rule is in force');
$node->safe_psql('postgres', 'ALTER TABLE pool_alert_rules RENAME threshold TO was_threshold');
ok($node->poll_query_until('postgres', q{SELECT pool_sync('10ms') IS NOT NULL AND
		last_error LIKE 'keeper: column "threshold" of table "pool_alert_rules" is missing%'
		FROM pool_stats_cluster}), 'a table that cannot be read is told');
is(raised('tenant_utilization', 'r_app@postgres'), 'critical 1 0.99', 'the rules stay in force');
$node->safe_psql('postgres', q{SELECT pool_set_quota('r_app@postgres', 11)});
ok(wait_until(sub { stat_of($node, 'r_app@postgres', 'max_connections') == 11 }),
	'policies take effect all the same');
$node->safe_psql('postgres', 'ALTER TABLE pool_alert_rules RENAME was_threshold TO threshold');
$node->safe_psql('postgres', q{
	ALTER TABLE pool_alert_rules DISABLE TRIGGER USER;
	UPDATE pool_alert_rules SET threshold = 7 WHERE severity = 'warning';
	ALTER TABLE pool_alert_rules ENABLE TRIGGER USER;
	SELECT pool_set_quota('r_app@postgres', 10)});
ok($node->poll_query_until('postgres', q{SELECT pool_sync('10ms') IS NOT NULL AND
		last_error LIKE 'alert rule of tenant "*": "threshold" must be between 0 and 1%'
		FROM pool_stats_cluster}), 'a rule that is not sound is left out, and told');
raised_is('tenant_utilization', 'r_app@postgres', 'critical 1 0.99', 'the other counts');
$admin->query('DROP EXTENSION pool_optimizer');
ok($node->poll_query_until('other', q{SELECT count(*) = 0 FROM pool_alerts
		WHERE alert = 'tenant_utilization'}), 'without the extension there are no quotas to fill');
is(cluster_stat($node, 'worker_errors', dbname => 'other'), '0', 'no error was met on the way');
stop_clean($node);
done_testing();
