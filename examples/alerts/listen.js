#!/usr/bin/env node
// Tells of alerts of pool_optimizer as they are raised and cleared.
//
// usage: listen.js CONNECTION_STRING CHANNEL
//
// CONNECTION_STRING is a URI, or empty for the variables of libpq (PGHOST, ...); CHANNEL is what
// pool_optimizer.notify_channel says.
//
// Needs pg (Debian: node-pg).  Put your pager into page().  The role needs CONNECT to the
// database of pool_optimizer.database, and pg_read_all_stats to be told at the start what is
// raised already.
'use strict';

const { Client } = require('pg');

const RETRY_MS = 5000;

const raised = new Map();	// id -> severity, of what was told and is not over

// Your pager's API goes here.
function page(what, alert)
{
	console.log(what, alert.severity, alert.alert, alert.tenant || '(cluster)', '-', alert.message);
}

// A notification may come twice: what is known by its id is not told again.
function take(alert)
{
	const id = String(alert.id);

	if (alert.state === 'cleared')
	{
		if (raised.delete(id))
			page('CLEARED', alert);
	}
	else if (raised.get(id) !== alert.severity)
	{
		raised.set(id, alert.severity);
		page(alert.state.toUpperCase(), alert);
	}
}

// What happened while nobody listened.
async function catchUp(client)
{
	const { rows } = await client.query('SELECT id, alert, severity, tenant, message FROM pool_alerts');
	const now = new Set(rows.map((row) => String(row.id)));

	rows.forEach((row) => take({ ...row, state: 'raised' }));
	for (const [id, severity] of [...raised])
		if (!now.has(id))
		{
			console.log('CLEARED', severity, 'alert', id);
			raised.delete(id);
		}
}

function heard(message)
{
	if (message.kind === 'alert' && message.id !== undefined)
		take(message);
	else if (message.kind === 'alert')
		console.log('NOTE', message.reason);
	else
		console.log('EVENT', message.kind, message.tenant, '-', message.reason);
}

async function listen()
{
	const [uri, channel] = process.argv.slice(2);
	const client = new Client({ connectionString: uri || undefined, keepAlive: true });
	const lost = new Promise((_, reject) => {
		client.on('error', reject);
		client.on('end', () => reject(new Error('the connection was closed')));
	});

	client.on('notification', (n) => heard(JSON.parse(n.payload)));
	await client.connect();
	await client.query(`LISTEN ${client.escapeIdentifier(channel)}`);
	await catchUp(client);	// after LISTEN, so that nothing is missed in between
	console.log('listening');
	await lost;
}

(async () => {
	if (process.argv.length !== 4)
	{
		console.error('usage: listen.js CONNECTION_STRING CHANNEL');
		process.exit(1);
	}
	for (;;)
	{
		await listen().catch((error) => console.error('lost:', error.message));
		await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
	}
})();
