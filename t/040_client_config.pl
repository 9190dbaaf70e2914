# The texts of pool_client_config are taken by what they are for: each pooler and driver
# that is installed reads ours, tells the values it took, and logs in by it to a database
# and as a role whose names have quotes, backslashes, comment signs and other scripts.
#
# What is not installed is skipped.  Packages of npm are looked for in the directory that
# POOL_CLIENTS_NODE_MODULES names, else in those of NODE_PATH (scripts/test unpacks pg into
# one), else where Debian and npm -g put them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Encode qw(decode_utf8 encode_utf8);
use IPC::Run;
use PoolTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(-name => 'clients', 'pool_optimizer.sample_interval' => "'100ms'");
my $dir = PostgreSQL::Test::Utils::tempdir_short();

# Bytes of UTF-8 everywhere here.
my $role = encode_utf8("ro\"le'\\ %s\$x;#=&<\x{e9}\x{65e5}\x{1f418}");
my $db = encode_utf8("sh\"o'p\\ %d\${x}?/\@[a]+\x{e9}\x{1f418}");
my $tenant = "$role\@$db";

sub ident { my ($name) = @_; return '"' . $name =~ s/"/""/gr . '"'; }
sub quote { my ($text) = @_; return "'" . $text =~ s/'/''/gr . "'"; }

# standard_conforming_strings is on: backslashes are themselves.
$node->safe_psql('postgres', 'CREATE ROLE ' . ident($role) . ' LOGIN');
$node->safe_psql('postgres', 'CREATE DATABASE ' . ident($db)
	  . q{ TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'});
$node->safe_psql('postgres', sprintf(q{
	SELECT pool_set_quota(%1$s, 24, on_full => 'wait', wait_timeout => '7 s');
	SELECT pool_set_sizing(%1$s, min_size => 12, max_size => 12);
	SELECT pool_set_timeouts(%1$s, idle => '5 min', idle_in_transaction => '50 s',
		lifetime => '1000 s')}, quote($tenant)));
wait_sync($node);

# What the policy means for three processes: 4 each (16 of 24 while a deploy has four);
# logins queue for 7 s, and 5 s are added; 4/5 of the server's limits, less the time
# between two looks of the client.
my %plan = (each => 4, acquire => 12, connect => 12, lifetime => 800, idle_in_transaction => 40);

sub config_for
{
	my ($client, $name) = @_;

	return $node->safe_psql('postgres',
		sprintf('SELECT pool_client_config(%s, %s, 3)', quote($name // $tenant), quote($client)));
}

# A tenant with one connection, and a minute to wait for it: 100 x target_wait.  A role that is
# not there, too.
create_roles($node, 'retrying');
$node->safe_psql('postgres', q{
	SELECT pool_set_quota(t, 1, on_full => 'reject')
		FROM unnest('{retrying@postgres,absent@postgres}'::text[]) AS t;
	SELECT pool_set_sizing(t, target_wait => '1 s')
		FROM unnest('{retrying@postgres,absent@postgres}'::text[]) AS t});
wait_sync($node);

# A tenant whose connections are kept open, and which had more at work at once than it has now:
# for three processes three each, and for a pooler two more when its clients wait.
create_roles($node, 'warm');
$node->safe_psql('postgres', q{
	SELECT pool_set_sizing('warm@postgres', min_size => 9, max_size => 15,
		evaluation_interval => '1 s')});
wait_sync($node);
{
	my @at_work = map { open_session($node, 'warm') } 1 .. 15;

	ok(wait_until(
			sub {
				$_->send_query('SELECT pg_sleep(0.5)') foreach @at_work;
				$_->result foreach @at_work;
				return $node->safe_psql('postgres', q{SELECT busy_max FROM pool_recommendations
					WHERE tenant = 'warm@postgres'}) eq '15';
			}, 'at work'), 'fifteen at work');
	close_all(@at_work);
	ok($node->poll_query_until('postgres', q{SELECT recommended_size = 9 AND recommended_min = 9
			AND recommended_max = 15 FROM pool_recommendations WHERE tenant = 'warm@postgres'}),
		'of which nine are to be kept');
}

# A client is refused, and gets in when the connection that there is has been given back.
sub retries
{
	my ($what, @command) = @_;
	my ($out, $err) = ('', '');
	my $holder = open_session($node, 'retrying');
	my $before = stat_of($node, 'retrying@postgres', 'rejected');
	my $client = IPC::Run::start(\@command, '<', \'', '>', \$out, '2>', \$err,
		IPC::Run::timeout($PoolTest::TIMEOUT));

	ok(wait_until(sub {
				$client->pump_nb;
				return stat_of($node, 'retrying@postgres', 'rejected') > $before
				  || !$client->pumpable;
			}, "$what is refused") && $client->pumpable, "$what is refused, and tries again");
	close_all($holder);
	eval { $client->finish };
	is($out, "in as retrying\n", "$what gets in") or diag($err);
	wait_sessions($node, 'retrying@postgres', 0);
	return;
}

# A client gives up while the connection is held; what it says of that.
sub gives_up
{
	my ($what, $want, @command) = @_;
	my $holder = open_session($node, 'retrying');
	my ($ok, $out) = run_client(@command);

	is($out, $want, "$what gives up");
	close_all($holder);
	return;
}

# The text with this server in place of what is left open.
sub filled
{
	my ($text) = @_;

	$text =~ s/<host>|<pooler>/127.0.0.1/g;
	$text =~ s/<password>/secret/g;
	return $text;
}

sub write_file
{
	my ($path, $text) = @_;

	open(my $handle, '>:raw', $path) or die "$path: $!";
	print $handle $text;
	close($handle) or die "$path: $!";
	return $path;
}

# (success, stdout); says why when it failed.
sub run_client
{
	my (@command) = @_;
	my ($out, $err) = ('', '');
	my $ok = eval {
		IPC::Run::run(\@command, '<', \'', '>', \$out, '2>', \$err,
			IPC::Run::timeout($PoolTest::TIMEOUT));
	};

	diag(join(' ', @command) . ":\n$out$err" . ($@ // '')) if !$ok;
	return ($ok, $out);
}

# Lines "key=value" of a client's answer.
sub values_of
{
	my ($out) = @_;

	return { map { /^(\w+)=(.*)$/ ? ($1 => $2) : () } split /\n/, $out };
}

sub is_values
{
	my ($got, $want, $name) = @_;

	is_deeply({ map { $_ => $got->{$_} } keys %$want }, $want, $name);
	return;
}

# So that the client does not meet settings of whoever runs the tests.
local @ENV{qw(PGPASSWORD PGCLIENTENCODING)} = ('secret', 'UTF8');
delete local @ENV{qw(PGHOST PGPORT PGUSER PGDATABASE)};
my ($pghost, $pgport) = ($node->host, $node->port);

sub program
{
	my ($name) = @_;

	return (grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/bin')[0];
}

# ---------- names that try to break out ----------

# Control characters are '?' in any tenant's name; these end or turn lines, too.
my $breakout = encode_utf8("x\x{2028}y\x{2029}z\x{202e}");

$node->safe_psql('postgres',
	sprintf(q{SELECT pool_set_quota(%s, 5)}, quote("$breakout\@$db")));
wait_sync($node);
foreach my $client (
	qw(pgbouncer odyssey pgdog prisma hikaricp node-postgres sqlalchemy pgx npgsql))
{
	my $text = decode_utf8(config_for($client, "$breakout\@$db"));

	unlike($text, qr/[\x{2028}\x{2029}\x{202e}]/, "$client: nothing that ends a line unseen");
}

# ---------- PgBouncer ----------

SKIP:
{
	my $pgbouncer = program('pgbouncer');

	skip 'pgbouncer is not installed', 1 if !defined $pgbouncer;
	skip 'pgbouncer refuses to run as root', 1 if $> == 0;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($in, $log) = ('', '');
	# No version takes other characters in a key, so that the text has an alias.
	my $key = decode_utf8($db) =~ s/[^A-Za-z0-9_.-]/_/gr;

	write_file("$dir/users.txt", ident($role) . qq{ ""\n"admin" ""\n});
	my ($warm) = filled(config_for('pgbouncer', 'warm@postgres')) =~ /^(postgres = .*\n)/m;

	write_file("$dir/pgbouncer.ini",
		filled(config_for('pgbouncer')) =~ s/^\[databases\]\n/$&$warm/mr . <<"INI");

listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = trust
auth_file = $dir/users.txt
admin_users = admin
INI
	my $bouncer =
	  IPC::Run::start([ $pgbouncer, "$dir/pgbouncer.ini" ], '<', \$in, '>&', \$log);
	my $ask = sub {
		my ($user, $dbname, $sql) = @_;
		my ($out, $err) = ('', '');
		my $name = "dbname='" . $dbname =~ s/([\\'])/\\$1/gr . "'";

		IPC::Run::run([ 'psql', '-X', '-A', '-h', '127.0.0.1', '-p', $port, '-U', $user, '-d',
				$name, '-P', 'footer=off', '-c', $sql ], '<', \'', '>', \$out, '2>', \$err);
		return $out eq '' ? $err : $out;
	};

	ok(wait_until(
			sub {
				$bouncer->pump_nb;
				return $ask->('admin', 'pgbouncer', 'SHOW VERSION') =~ /PgBouncer/
				  || !$bouncer->pumpable;
			}, 'pgbouncer') && $bouncer->pumpable, 'PgBouncer starts with the text')
	  or diag($log);
	my @lines = map { [ split /\|/, $_, -1 ] }
	  split /\n/, $ask->('admin', 'pgbouncer', 'SHOW DATABASES');
	my ($mine) = grep { $_->[0] eq $key } @lines;
	my %column;
	@column{ @{ $lines[0] } } = @{ $mine // [] };

	# It is reserve_pool until 1.23.
	is_values({ %column, reserve => $column{reserve_pool_size} // $column{reserve_pool} },
		{ host => '127.0.0.1', port => $pgport, database => $db, pool_mode => 'transaction',
			pool_size => $plan{each}, min_pool_size => 0, reserve => 0 },
		'PgBouncer: SHOW DATABASES');
	my ($kept) = grep { $_->[0] eq 'postgres' } @lines;

	@column{ @{ $lines[0] } } = @{ $kept // [] };
	is_values({ %column, reserve => $column{reserve_pool_size} // $column{reserve_pool} },
		{ pool_size => 3, min_pool_size => 3, reserve => 2 }, 'PgBouncer: what is kept, and in reserve');
	my %config = map { (split /\|/)[ 0, 1 ] }
	  split /\n/, $ask->('admin', 'pgbouncer', 'SHOW CONFIG');
	my %want = (
		query_wait_timeout => 120, reserve_pool_timeout => 2,
		server_connect_timeout => $plan{connect}, server_login_retry => 1,
		server_idle_timeout => 239, server_lifetime => 400,
		idle_transaction_timeout => $plan{idle_in_transaction});
	# Some versions show times with fractions.
	is_values({ map { $_ => $config{$_} + 0 } keys %want }, \%want, 'PgBouncer: SHOW CONFIG');
	is($ask->($role, $key, 'SELECT current_user, current_database()'),
		"current_user|current_database\n$role|$db\n", 'PgBouncer: logs in');
	$bouncer->signal('TERM') if $bouncer->pumpable;
	$bouncer->finish;
}

# ---------- Odyssey ----------

SKIP:
{
	my $odyssey = program('odyssey');

	skip 'odyssey is not installed', 1 if !defined $odyssey;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $plain = 'plain@postgres';
	my ($in, $log) = ('', '');

	# Its strings know no escape, so the wild names are routes "default".
	create_roles($node, 'plain');
	$node->safe_psql('postgres', "
		SELECT pool_set_quota('$plain', 24, on_full => 'wait', wait_timeout => '7 s');
		SELECT pool_set_sizing('$plain', min_size => 12, max_size => 12);
		SELECT pool_set_timeouts('$plain', idle => '5 min', lifetime => '1000 s')");
	wait_sync($node);
	foreach my $name ($plain, $tenant)
	{
		my $text = filled(config_for('odyssey', $name));

		$text =~ s/authentication "scram-sha-256"\n\s*password "secret"/authentication "none"/;
		write_file("$dir/odyssey.conf", $text . <<"CONF");

listen {
	host "127.0.0.1"
	port $port
}
log_to_stdout yes
log_format "%p %t %l [%i %s] (%c) %m\\n"
log_config yes
locks_dir "$dir"
CONF
		$log = '';
		my $process =
		  IPC::Run::start([ $odyssey, "$dir/odyssey.conf" ], '<', \$in, '>&', \$log);
		my ($user, $dbname) = $name eq $plain ? ('plain', 'postgres') : ($role, $db);
		my $answer = '';
		my $ok = wait_until(
			sub {
				my $err = '';

				$process->pump_nb;
				$answer = '';
				IPC::Run::run(
					[ 'psql', '-X', '-A', '-t', '-h', '127.0.0.1', '-p', $port, '-d', "dbname='"
						  . $dbname =~ s/([\\'])/\\$1/gr . "'", '-U', $user, '-c',
						'SELECT current_user, current_database()' ],
					'<', \'', '>', \$answer, '2>', \$err);
				return $answer ne '' || !$process->pumpable;
			}, 'odyssey');

		is($answer, "$user|$dbname\n", "Odyssey: logs in as $user") or diag($log);
		$process->pump_nb;
		# What it took, in its log; it does not tell server_lifetime.
		foreach my $setting (
			'pool size 4', 'min pool size 0', 'pool timeout 12000', 'pool ttl 239',
			'pool transaction', 'server_login_retry 1000', 'backend_connect_timeout_ms 12000')
		{
			my $pattern = $setting =~ s/ (\w+)$/ +$1/r;

			like($log, qr/\) +$pattern$/m, "Odyssey: $setting");
		}
		$process->signal('KILL') if $process->pumpable;
		$process->finish;
	}
}

# ---------- PgDog, as far as its files are TOML ----------

my $python = '/usr/bin/python3';

SKIP:
{
	my $has_toml = -x $python && system("$python -c 'import tomllib' 2>/dev/null") == 0;

	my ($head, $toml, $users) = split /^# ==== .*\n/m, filled(config_for('pgdog'));

	like($toml, qr/^#server_lifetime_jitter = 80000$/m, 'PgDog: jitter, for those that know it');
	skip 'python3 has no tomllib (3.11)', 1 if !$has_toml;

	write_file("$dir/pgdog.toml", $toml);
	write_file("$dir/users.toml", $users);
	my ($ok, $out) = run_client($python, '-c', <<'PYTHON', $dir);
import json, sys, tomllib
with open(sys.argv[1] + "/pgdog.toml", "rb") as f: pgdog = tomllib.load(f)
with open(sys.argv[1] + "/users.toml", "rb") as f: users = tomllib.load(f)
values = pgdog["general"] | {"db_" + k: v for k, v in pgdog["databases"][0].items()} \
    | users["users"][0]
sys.stdout.buffer.write("".join(f"{k}={v}\n" for k, v in values.items()).encode())
PYTHON
	is_values(values_of($out),
		{ connect_timeout => 12000, connect_attempt_delay => 1000, checkout_timeout => 12000,
			idle_timeout => 239000, server_lifetime => 800000,
			client_idle_in_transaction_timeout => 40000,
			db_name => $db, db_host => '127.0.0.1', db_port => $pgport, name => $role,
			database => $db, pool_size => $plan{each}, min_pool_size => 0,
			pooler_mode => 'transaction' }, 'PgDog: the files');
	like(config_for('pgdog', 'warm@postgres'), qr/^pool_size = 3\nmin_pool_size = 3$/m,
		'PgDog: what is kept');
}

# ---------- node-postgres and Prisma ----------

my $js = program('node');
my @module_dirs = grep { defined && -d } $ENV{POOL_CLIENTS_NODE_MODULES},
  split(/:/, $ENV{NODE_PATH} // ''), '/usr/share/nodejs', '/usr/lib/node_modules',
  '/usr/local/lib/node_modules';

# Where a package of npm is; imports look for node_modules beside the file.
sub link_modules
{
	my ($package) = @_;
	my ($found) = grep { -d "$_/$package" } @module_dirs;

	return 0 if !defined $found;
	unlink "$dir/node_modules";
	symlink($found, "$dir/node_modules") or die "symlink: $!";
	return 1;
}

SKIP:
{
	skip 'node is not installed', 1 if !defined $js;
	skip 'the package pg of npm is not installed', 1 if !link_modules('pg');
	write_file("$dir/pg.cjs", filled(config_for('node-postgres')) . <<'JS');

(async () => {
	const client = await connect();
	const { rows } = await client.query('SELECT current_user AS u, current_database() AS d');
	client.release();
	const o = pool.options;
	for (const key of ['max', 'min', 'idleTimeoutMillis', 'connectionTimeoutMillis',
		'maxLifetimeSeconds']) console.log(`${key}=${o[key]}`);
	console.log(`user=${rows[0].u}\ndatabase=${rows[0].d}`);
	await pool.end();
})();
JS
	my ($ok, $out) = run_client($js, "$dir/pg.cjs");
	is_values(values_of($out),
		{ max => $plan{each}, min => 0, idleTimeoutMillis => 240_000,
			connectionTimeoutMillis => 12_000, maxLifetimeSeconds => $plan{lifetime},
			user => $role, database => $db }, 'node-postgres: options, and logs in');

	write_file("$dir/warm.cjs", filled(config_for('node-postgres', 'warm@postgres')) . <<'JS');

console.log(`max=${pool.options.max}\nmin=${pool.options.min}`);
pool.end();
JS
	is_values(values_of((run_client($js, "$dir/warm.cjs"))[1]), { max => 3, min => 3 },
		'node-postgres: what is kept');

	my $text = filled(config_for('node-postgres', 'retrying@postgres'));

	write_file("$dir/retry.cjs", $text . <<'JS');

(async () => {
	const client = await connect();
	const { rows } = await client.query('SELECT current_user AS u');
	console.log(`in as ${rows[0].u}`);
	client.release();
	await pool.end();
})();
JS
	retries('node-postgres', $js, "$dir/retry.cjs");
	# On a clock that goes 10 s each time that it is read: at the start, and after a refusal.
	write_file("$dir/giveup.cjs", $text . <<'JS');

let now = 0, tries = 0;
const there = pool.connect.bind(pool);
pool.connect = () => { tries++; return there(); };
Date.now = () => now += 10000;
Math.random = () => 0;
connect().then(() => console.log('in'), (e) => console.log(`${e.code} after ${tries} tries`))
	.finally(() => pool.end());
JS
	gives_up('node-postgres', "53300 after 7 tries\n", $js, "$dir/giveup.cjs");
}

SKIP:
{
	skip 'node is not installed', 1 if !defined $js;
	my ($head, $env, $schema6, $schema7, $migrate, $client) =
	  split m{^(?:#|//) ==== .*\n}m, filled(config_for('prisma'));

	# Node's own reader of .env files, and the URL as the standard has it.
	my ($has_env) = map { $_ eq "function\n" }
	  (run_client($js, '-e', 'console.log(typeof require("util").parseEnv)'))[1];

	skip 'node has no util.parseEnv (20.12)', 1 if !$has_env;
	write_file("$dir/.env", $env);
	write_file("$dir/env.cjs", <<'JS');
const { readFileSync } = require('fs');
const values = require('util').parseEnv(readFileSync(process.argv[2], 'utf8'));
for (const name of ['DATABASE_URL', 'DIRECT_URL']) {
	const url = new URL(values[name]);
	const prefix = name === 'DIRECT_URL' ? 'direct_' : '';
	console.log(`${prefix}user=${decodeURIComponent(url.username)}`);
	console.log(`${prefix}database=${decodeURIComponent(url.pathname.slice(1))}`);
	console.log(`${prefix}port=${url.port}`);
	for (const [key, value] of url.searchParams) console.log(`${prefix}${key}=${value}`);
}
JS
	my ($ok, $out) = run_client($js, "$dir/env.cjs", "$dir/.env");
	my $values = values_of($out);

	is_values($values,
		{ user => $role, database => $db, port => 6432, pgbouncer => 'true',
			connection_limit => $plan{each}, pool_timeout => $plan{acquire} + 5,
			connect_timeout => $plan{connect}, max_idle_connection_lifetime => 240,
			max_connection_lifetime => $plan{lifetime} }, 'Prisma: DATABASE_URL');
	is_values($values,
		{ direct_user => $role, direct_database => $db, direct_port => $pgport,
			direct_connect_timeout => $plan{connect} }, 'Prisma: DIRECT_URL');
	ok(!exists $values->{direct_pgbouncer}, 'Prisma: migrations go past the pooler');

	# Its adapter, as of 6.16 on and of 7, to the server instead of a pooler.
	SKIP:
	{
		skip 'the package @prisma/adapter-pg of npm is not installed', 1
		  if !link_modules('@prisma/adapter-pg');
		write_file("$dir/client.mjs", $client =~ s/port: 6432/port: $pgport/r);
		write_file("$dir/prisma.mjs", <<'JS');
import { adapter, transactionOptions } from './client.mjs';
console.log(`wait=${transactionOptions.maxWait}\ntimeout=${transactionOptions.timeout}`);
const connection = await adapter.connect();
const { rows } = await connection.queryRaw({ sql: 'SELECT current_user::text, '
	+ 'current_database()::text', args: [], argTypes: [] });
const o = connection.underlyingDriver().options;
for (const key of ['max', 'idleTimeoutMillis', 'connectionTimeoutMillis', 'maxLifetimeSeconds'])
	console.log(`${key}=${o[key]}`);
console.log(`user=${rows[0][0]}\ndatabase=${rows[0][1]}`);
await connection.dispose();
JS
		($ok, $out) = run_client($js, "$dir/prisma.mjs");
		is_values(values_of($out),
			{ max => $plan{each}, idleTimeoutMillis => 240_000,
				connectionTimeoutMillis => 17_000, maxLifetimeSeconds => $plan{lifetime},
				wait => 17_000, timeout => 5_000, user => $role, database => $db },
			'Prisma: the pool of its adapter, and logs in');

		# The errors that the text names, with a pool of one.
		my $one = filled(config_for('prisma', 'retrying@postgres')) =~ s{.*^// ==== .*?\n}{}msr;

		write_file("$dir/client.mjs",
			$one =~ s/port: 6432/port: $pgport/r =~ s/(connectionTimeoutMillis): \d+/$1: 200/r);
		write_file("$dir/full.mjs", <<'JS');
import { adapter } from './client.mjs';
const connection = await adapter.connect();
const pool = connection.underlyingDriver();
const ask = () => connection.queryRaw({ sql: 'SELECT 1', args: [], argTypes: [] });
await ask().catch((e) => console.log(e.cause.kind));
if (process.argv[2]) {
	const held = await pool.connect();
	await ask().catch((e) => console.log(e.message));
	held.release();
}
await connection.dispose();
JS
		gives_up('Prisma', "TooManyConnections\n", $js, "$dir/full.mjs");
		wait_sessions($node, 'retrying@postgres', 0);
		$one =~ s{\n// }{ }g;
		is((run_client($js, "$dir/full.mjs", 'held'))[1] =~ s/\n//r,
			$one =~ /the Error "([^"]*)"/ ? $1 : 'none', 'Prisma: none is free in its pool');
		wait_sessions($node, 'retrying@postgres', 0);
	}

	# Its own reader of schemas: 7 refuses what 6 needs.
	SKIP:
	{
		skip 'the package @prisma/prisma-schema-wasm of npm is not installed', 1
		  if !link_modules('@prisma/prisma-schema-wasm');
		write_file("$dir/.env", $env);
		write_file("$dir/6.prisma", $schema6);
		write_file("$dir/7.prisma", $schema7);
		write_file("$dir/schema.cjs", <<'JS');
const { readFileSync } = require('fs');
const wasm = require('@prisma/prisma-schema-wasm');
const env = require('util').parseEnv(readFileSync(`${__dirname}/.env`, 'utf8'));
const { version } = require('@prisma/prisma-schema-wasm/package.json');
const is6 = parseInt(version, 10) < 7;
const schema = readFileSync(`${__dirname}/${is6 ? 6 : 7}.prisma`, 'utf8');
const answer = JSON.parse(wasm.get_config(JSON.stringify({
	prismaSchema: [['schema.prisma', schema]], datasourceOverrides: {},
	ignoreEnvVarErrors: false, env })));
const source = (answer.config ?? answer).datasources[0];
console.log(`errors=${(answer.errors ?? []).length}`);
console.log(`provider=${source.activeProvider}`);
console.log(`url=${is6 ? source.url.fromEnvVar + ' ' + source.directUrl.fromEnvVar
	: 'in prisma.config.ts'}`);
JS
		($ok, $out) = run_client($js, "$dir/schema.cjs");
		like($out, qr{^errors=0\nprovider=postgresql\n
			url=(?:DATABASE_URL\ DIRECT_URL|in\ prisma\.config\.ts)$}mx,
			'Prisma: the schema of its version');
	}
}

# ---------- SQLAlchemy ----------

SKIP:
{
	skip 'sqlalchemy or psycopg2 is not installed for python3', 1
	  if !-x $python || system("$python -c 'import sqlalchemy, psycopg2' 2>/dev/null") != 0;
	write_file("$dir/engine.py", filled(config_for('sqlalchemy')) . <<'PYTHON');

import sys
with connect() as connection:
    user, database = connection.exec_driver_sql(
        "SELECT current_user, current_database()").one()
    timeout = connection.connection.dbapi_connection.get_dsn_parameters()["connect_timeout"]
pool = engine.pool
sys.stdout.buffer.write(f"""class={type(pool).__name__}
size={pool.size()}
overflow={pool._max_overflow}
timeout={pool._timeout:g}
recycle={pool._recycle}
ping={pool._pre_ping}
lifo={pool._pool.use_lifo}
connect={timeout}
user={user}
database={database}
""".encode())
PYTHON
	my ($ok, $out) = run_client($python, "$dir/engine.py");
	is_values(values_of($out),
		{ class => 'QueuePool', size => $plan{each}, overflow => 0, timeout => $plan{acquire},
			recycle => $plan{lifetime}, ping => 'True', lifo => 'True',
			connect => $plan{connect}, user => $role, database => $db },
		'SQLAlchemy: the pool, and logs in');

	my $text = filled(config_for('sqlalchemy', 'retrying@postgres'));

	write_file("$dir/retry.py", $text . <<'PYTHON');

with connect() as connection:
    print("in as", connection.exec_driver_sql("SELECT current_user").scalar())
PYTHON
	retries('SQLAlchemy', $python, "$dir/retry.py");
	# On a clock that goes by pauses only, each as long as it may be: 0.1 s, 0.2 s and so on up
	# to 5 s, so that 16 of them are 56.3 s of the minute.
	my $tries = <<'PYTHON';

now, tries = 0, 0
def pass_by(seconds):
    global now
    now += seconds
def count(*ignored):
    global tries
    tries += 1
from sqlalchemy import event
event.listen(engine, "do_connect", count)
random.random = lambda: 1
time.monotonic = lambda: now
time.sleep = pass_by
try:
    connect()
    print("in")
except exc.OperationalError as error:
    print("too many" in str(error), "after", tries, "tries")
PYTHON
	write_file("$dir/giveup.py", $text . $tries);
	gives_up('SQLAlchemy', "True after 17 tries\n", $python, "$dir/giveup.py");
	# What is no refusal for want of a connection is not tried again.
	write_file("$dir/absent.py", filled(config_for('sqlalchemy', 'absent@postgres')) . $tries);
	is((run_client($python, "$dir/absent.py"))[1], "False after 1 tries\n",
		'SQLAlchemy: a role that is not there');
	# A drained tenant is told in other words.
	$node->safe_psql('postgres', q{SELECT pool_drain('retrying@postgres')});
	wait_sync($node);
	write_file("$dir/drained.py", $text . $tries =~ s/"too many"/"drained"/r);
	is((run_client($python, "$dir/drained.py"))[1], "True after 17 tries\n",
		'SQLAlchemy: a drained tenant');
	$node->safe_psql('postgres', q{SELECT pool_resume('retrying@postgres')});
	wait_sync($node);
}

# ---------- HikariCP ----------

SKIP:
{
	my $javac = program('javac');
	my @jars = map { "/usr/share/java/$_.jar" } qw(HikariCP postgresql slf4j-api);

	skip 'no JDK, or HikariCP, pgjdbc and slf4j are not in /usr/share/java', 1
	  if !defined $javac || grep { !-e } @jars;
	write_file("$dir/hikari.properties", filled(config_for('hikaricp')));
	write_file("$dir/Check.java", <<'JAVA');
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.PrintStream;
import java.sql.Connection;
import java.sql.ResultSet;

public class Check
{
	public static void main(String[] args) throws Exception
	{
		PrintStream out = new PrintStream(System.out, true, "UTF-8");
		HikariConfig c = new HikariConfig(args[0]);
		try (HikariDataSource source = new HikariDataSource(c);
			Connection connection = source.getConnection();
			ResultSet r = connection.createStatement().executeQuery(
				"SELECT current_user, current_database()"))
		{
			r.next();
			out.println("max=" + source.getMaximumPoolSize());
			out.println("min=" + source.getMinimumIdle());
			out.println("connection=" + source.getConnectionTimeout());
			out.println("fail=" + source.getInitializationFailTimeout());
			out.println("idle=" + source.getIdleTimeout());
			out.println("lifetime=" + source.getMaxLifetime());
			out.println("leak=" + source.getLeakDetectionThreshold());
			out.println("user=" + r.getString(1) + "\ndatabase=" + r.getString(2));
		}
	}
}
JAVA
	my ($ok, $out) = run_client($javac, '-cp', join(':', @jars), '-d', $dir, "$dir/Check.java");
	($ok, $out) = run_client($javac =~ s/javac$/java/r, '-cp', join(':', $dir, @jars), 'Check',
		"$dir/hikari.properties")
	  if $ok;
	# Less half a minute between two looks.
	is_values(values_of($out),
		{ max => $plan{each}, min => 0, connection => 12_000, fail => 12_000, idle => 210_000,
			lifetime => 800_000, leak => 40_000, user => $role, database => $db },
		'HikariCP: the pool, and logs in');

	# What it keeps is beside what is at work.
	my $warm = filled(config_for('hikaricp', 'warm@postgres'));
	my ($idle) = $warm =~ /^minimumIdle=([1-3])$/m;

	write_file("$dir/warm.properties", $warm);
	($ok, $out) = run_client($javac =~ s/javac$/java/r, '-cp', join(':', $dir, @jars), 'Check',
		"$dir/warm.properties")
	  if $ok;
	is_values(values_of($out), { max => 3, min => $idle, user => 'warm' }, 'HikariCP: what is kept');
}

# ---------- pgx ----------

SKIP:
{
	my $go = program('go');
	my ($version) = grep { -d "/usr/share/gocode/src/github.com/jackc/pgx/$_" } qw(v5 v4);

	skip 'go or the sources of pgx are not installed', 1 if !defined $go || !defined $version;
	# Compiling for the first time takes a processor for half a minute.
	local $PoolTest::TIMEOUT = 3 * $PoolTest::TIMEOUT;

	# The text is for version 5.  4 has an older name for the same, and no jitter yet.
	my $program_for = sub {
		my $text = filled(config_for('pgx', @_));

		if ($version eq 'v4')
		{
			$text =~ s{pgx/v5/pgconn}{pgconn};
			$text =~ s{pgx/v5}{pgx/v4}g;
			$text =~ s/pgxpool\.NewWithConfig/pgxpool.ConnectConfig/;
			$text =~ s/\n\tconfig\.MaxConnLifetimeJitter = \d+ \* time\.Millisecond\n/\n/;
		}
		return $text =~ s/^import \(/package main\n\nimport (\n\t"fmt"/mr;
	};
	my $text = $program_for->();

	like(config_for('pgx'), qr/\n\tconfig\.MaxConnLifetimeJitter = 80000 \* time\.Millisecond\n/,
		'pgx: jitter');
	mkdir "$dir/go";
	write_file("$dir/go/main.go", $text . <<'GO');

func main() {
	ctx := context.Background()
	pool, err := newPool(ctx)
	if err != nil {
		panic(err)
	}
	conn, err := acquire(ctx, pool)
	if err != nil {
		panic(err)
	}
	var user, database string
	err = conn.QueryRow(ctx, "SELECT current_user::text, current_database()::text").
		Scan(&user, &database)
	if err != nil {
		panic(err)
	}
	c := pool.Config()
	fmt.Printf("max=%d\nmin=%d\nlifetime=%s\nidle=%s\ncheck=%s\nconnect=%s\n", c.MaxConns,
		c.MinConns, c.MaxConnLifetime, c.MaxConnIdleTime, c.HealthCheckPeriod,
		c.ConnConfig.ConnectTimeout)
	fmt.Printf("user=%s\ndatabase=%s\n", user, database)
	conn.Release()
	pool.Close()
}
GO
	local @ENV{qw(GO111MODULE GOPATH GOCACHE GOFLAGS GOPROXY)} =
	  ('off', '/usr/share/gocode', "$dir/gocache", '', 'off');
	my ($ok, $out) = run_client($go, 'run', "$dir/go/main.go");
	is_values(values_of($out),
		{ max => $plan{each}, min => 0, lifetime => '13m20s', idle => '3m0s', check => '1m0s',
			connect => '12s', user => $role, database => $db }, 'pgx: the pool, and logs in');

	write_file("$dir/go/main.go",
		$program_for->('warm@postgres') . "\n"
		  . slurp_file("$dir/go/main.go") =~ s/.*?(?=^func main)//msr);
	($ok, $out) = run_client($go, 'run', "$dir/go/main.go");
	is_values(values_of($out), { max => 3, min => 3, user => 'warm' }, 'pgx: what is kept');

	$text = $program_for->('retrying@postgres');
	# The pool of 4 opens its first connection when it is made, unless told.
	$text =~ s/\tconfig\.MinConns/\tconfig.LazyConnect = true\n$&/ if $version eq 'v4';
	mkdir "$dir/go/$_" foreach qw(retry giveup);
	write_file("$dir/go/retry/main.go", $text . <<'GO');

func main() {
	ctx := context.Background()
	pool, err := newPool(ctx)
	if err != nil {
		panic(err)
	}
	conn, err := acquire(ctx, pool)
	if err != nil {
		panic(err)
	}
	var user string
	if err = conn.QueryRow(ctx, "SELECT current_user::text").Scan(&user); err != nil {
		panic(err)
	}
	fmt.Println("in as", user)
	conn.Release()
	pool.Close()
}
GO
	($ok) = run_client($go, 'build', '-o', "$dir/go/retry/retry", "$dir/go/retry/main.go");
	retries('pgx', "$dir/go/retry/retry") if $ok;
	# The caller's patience is the shorter one.
	write_file("$dir/go/giveup/main.go", $text . <<'GO');

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	pool, err := newPool(context.Background())
	if err != nil {
		panic(err)
	}
	conn, err := acquire(ctx, pool)
	fmt.Println(conn == nil, err != nil, ctx.Err())
	pool.Close()
}
GO
	($ok) = run_client($go, 'build', '-o', "$dir/go/giveup/giveup", "$dir/go/giveup/main.go")
	  if $ok;
	gives_up('pgx', "true true context deadline exceeded\n", "$dir/go/giveup/giveup") if $ok;
}

# ---------- Npgsql, as far as its string is one of ADO.NET ----------

# No .NET is at hand: C#'s escapes and ADO.NET's quotes by their definitions.
{
	my ($string) = config_for('npgsql') =~ /var connectionString =\s+"((?:[^"\\]|\\.)*)";/;
	my %got;

	$string =~ s/\\u([0-9A-F]{4})|\\(["\\])/defined $1 ? "\0$1" : $2/ge;
	$string =~ s/\0(D[89AB]..)\0(D[C-F]..)/
		chr(0x10000 + (((hex($1) - 0xD800) << 10) | (hex($2) - 0xDC00)))/gex;
	$string =~ s/\0(....)/chr(hex($1))/ge;
	while ($string =~ /\G([^=;]+)=(?:"((?:[^"]|"")*)"|([^;"]*))(?:;|$)/g)
	{
		my ($key, $quoted, $plain) = ($1, $2, $3);

		$got{$key} = encode_utf8(defined $quoted ? $quoted =~ s/""/"/gr : $plain);
	}
	is_deeply(\%got,
		{ Host => '<host>', Port => $pgport, Database => $db, Username => $role,
			'Maximum Pool Size' => $plan{each}, 'Minimum Pool Size' => 0,
			# Four fifths of 300 s, less the 10 s between two looks.
			'Connection Idle Lifetime' => 153, 'Connection Pruning Interval' => 10,
			'Connection Lifetime' => $plan{lifetime}, Timeout => $plan{acquire} },
		'Npgsql: the connection string');
	like(config_for('npgsql', 'warm@postgres'), qr/;Maximum Pool Size=3;Minimum Pool Size=3;/,
		'Npgsql: what is kept');
}

# ---------- in other encodings ----------

$node->safe_psql('postgres', "CREATE DATABASE $_->[0] TEMPLATE template0 ENCODING '$_->[1]'
	LOCALE 'C'") foreach [ 'latin', 'LATIN1' ], [ 'bytes', 'SQL_ASCII' ];
foreach my $name ('latin', 'bytes')
{
	$node->safe_psql($name, 'CREATE EXTENSION pool_optimizer');
	my $text = $node->safe_psql($name,
		q{SELECT pool_client_config(tenant, 'pgx', 3) FROM pool_stats WHERE tenant LIKE 'ro%'});

	like($text, qr/MaxConns = 4\b/, "asked from a database with other characters: $name");
}

stop_clean($node);
done_testing();
