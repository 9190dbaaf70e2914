# Alert rules and dashboard: promtool finds nothing wrong with the rules, each rule is held
# by its tests (one that never or always fires fails them), the guide says what to do about
# each alert, and the dashboard is what Grafana imports, with metrics that exist.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my ($promtool) = grep { -x } map { "$_/promtool" } split /:/, $ENV{PATH};

plan skip_all => 'promtool is not installed' unless defined $promtool;

my $root = "$FindBin::RealBin/..";
my $dir = PostgreSQL::Test::Utils::tempdir();
my $rules = slurp_file("$root/monitoring/rules.yml");
my $tests = slurp_file("$root/monitoring/rules_test.yml");
my $guide = slurp_file("$root/docs/guides/monitoring.md");
my $reference = slurp_file("$root/docs/reference.md");

sub write_text
{
	my ($file, $text) = @_;

	open(my $handle, '>', $file) or die "$file: $!";
	print $handle $text;
	close($handle) or die "$file: $!";
	return;
}

sub promtool
{
	my $output = '';

	IPC::Run::run([ $promtool, @_ ], '<', \'', '>&', \$output);
	return wantarray ? ($? >> 8, $output) : $? >> 8;
}

# ---------- rules ----------

foreach (
	[ 'check', 'rules', "$root/monitoring/rules.yml" ],
	[ 'check', 'config', "$root/monitoring/prometheus.yml" ],
	[ 'test', 'rules', "$root/monitoring/rules_test.yml" ])
{
	my ($status, $output) = promtool(@$_);

	is($status, 0, "promtool @$_[0, 1]") or diag($output);
}
my %known = map { $_ => 1 } $reference =~ /^\| `(pool_optimizer_\w+)` \|/mg;

# Series of histograms.
foreach my $name ($reference =~ /^\| `(pool_optimizer_\w+)` \| histogram/mg)
{
	$known{"${name}_$_"} = 1 foreach qw(bucket sum count);
}
cmp_ok(scalar keys %known, '>', 60, 'the reference has metrics');
foreach my $file (qw(rules.yml rules_test.yml grafana.json))
{
	my @unknown = grep { !$known{$_} }
	  slurp_file("$root/monitoring/$file") =~ /\b(pool_optimizer_\w+)/g;

	is("@unknown", '', "$file names only metrics that exist");
}

my @parts = split /^(?=  - alert:)/m, $rules;
my $head = shift @parts;
my @alerts = map { /^  - alert: (\w+)$/m } @parts;

cmp_ok(scalar @alerts, '>=', 15, 'there are rules');
is(scalar(@alerts), scalar(@parts), 'each has a name');
is(join(' ', grep { $guide !~ /^\|[^|]*`$_`/m } @alerts), '', 'the guide has each alert');
is(join(' ', grep { my $a = $_; !grep { $_ eq $a } @alerts } $guide =~ /`(Pool[A-Z]\w+)`/g), '',
	'and no other');
foreach my $i (0 .. $#parts)
{
	like($parts[$i], qr/severity: (info|warning|critical)\n.*summary: .*\n.*description: /s,
		"$alerts[$i]: severity, summary, description");
	foreach my $changed ('vector(1) > 2', 'vector(1)')
	{
		my @other = @parts;

		# The expression is up to the next key.
		$other[$i] =~ s/^    expr: .*?(?=^    \w)/    expr: $changed\n/ms or die $alerts[$i];
		write_text("$dir/rules.yml", join '', $head, @other);
		write_text("$dir/rules_test.yml", $tests);
		is(promtool('test', 'rules', "$dir/rules_test.yml"), 1, "$alerts[$i]: not $changed");
	}
}

# ---------- the dashboard ----------

my $dashboard = decode_json(slurp_file("$root/monitoring/grafana.json"));
my @panels = @{ $dashboard->{panels} };
my %variable = map { $_->{name} => $_ } @{ $dashboard->{templating}{list} };

is(join(' ', map { $_->{name} } @{ $dashboard->{templating}{list} }), 'datasource instance tenant',
	'variables');
is($variable{datasource}{type}, 'datasource', 'one chooses the data source');
my %ids = map { $_->{id} => 1 } @panels;

is(scalar keys %ids, scalar @panels, 'each panel has an id of its own');
ok(!defined $dashboard->{id}, 'none of a server it came from');
my $n_expressions = 0;

foreach my $panel (grep { $_->{type} ne 'row' } @panels)
{
	my %ref = map { $_->{refId} => 1 } @{ $panel->{targets} };

	$n_expressions += keys %ref;
	is(join(' ', grep { $_ ne '${datasource}' } map { $_->{datasource}{uid} } $panel,
			@{ $panel->{targets} }) . ' ' . (@{ $panel->{targets} } - keys %ref), ' 0',
		"panel $panel->{title}: asks the chosen source, each by a letter of its own");
	is(join(' ', grep { !/\$instance/ && !/^ALERTS/ } map { $_->{expr} } @{ $panel->{targets} }), '',
		"panel $panel->{title}: of the chosen servers");
}
cmp_ok($n_expressions, '>', 40, 'there are expressions');

# No two panels in one place; widths fit.
my %taken;
my @overlaps;

foreach my $panel (@panels)
{
	my $at = $panel->{gridPos};

	push @overlaps, "$panel->{title} is too wide" if $at->{x} + $at->{w} > 24;
	foreach my $x ($at->{x} .. $at->{x} + $at->{w} - 1)
	{
		foreach my $y ($at->{y} .. $at->{y} + $at->{h} - 1)
		{
			push @overlaps, "$panel->{title} on $taken{$x}{$y}" if $taken{$x}{$y};
			$taken{$x}{$y} = $panel->{title} // 'a row';
		}
	}
}
is(join("\n", @overlaps), '', 'panels do not lie on each other');

# What a dashboard of pools has to have.
my $all = join "\n", map { $_->{expr} } map { @{ $_->{targets} // [] } } @panels;

foreach my $metric (qw(pool_optimizer_utilization_ratio
	pool_optimizer_tenant_limit_connections pool_optimizer_tenant_recommended_connections
	pool_optimizer_tenant_active_sessions pool_optimizer_tenant_rejected_logins_total
	pool_optimizer_tenant_login_wait_seconds_bucket
	pool_optimizer_tenant_transaction_duration_seconds_bucket
	pool_optimizer_tenant_leaked_sessions pool_optimizer_tenant_terminated_sessions_total
	ALERTS pool_optimizer_sampler_age_seconds))
{
	like($all, qr/\b$metric\b/, "the dashboard has $metric");
}

done_testing();
