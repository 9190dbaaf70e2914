/*
 * po_alert_table.c
 *		The alerts that are raised, what was told of them, and the rules in force;
 *		PO_LOCK_ALERTS is taken here and nowhere else.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "po_alert_table.h"

/* Places that tenants' alerts leave to those of the cluster. */
#define RESERVED	32

static inline void
lock_alerts(LWLockMode mode)
{
	LWLockAcquire(po_shmem_lock(PO_LOCK_ALERTS), mode);
}

static inline void
unlock_alerts(void)
{
	LWLockRelease(po_shmem_lock(PO_LOCK_ALERTS));
}

static inline PoAlertTable *
table(void)
{
	return &po_shared->alerts;
}

/* ---------- telling ---------- */

static PoAlertEntry *
entry_of(uint64 number)
{
	return &po_alert_entries[number % po_shared->n_alert_entries];
}

static void
add_entry(const PoAlertRecord *record, PoAlarmChange change, TimestampTz at)
{
	PoAlertEntry *entry = entry_of(table()->written);

	if (table()->written - table()->delivered >= po_shared->n_alert_entries)
	{
		table()->delivered++;
		table()->lost++;
	}
	entry->record = *record;
	entry->change = change;
	entry->at = at;
	table()->written++;
}

/* ---------- by the sampler ---------- */

/* Below PoAlertTable.used none of tenants' places is free, so that a full table is not
 * searched again and again. */
static int
free_place(bool of_tenant)
{
	int			first = of_tenant ? Max(table()->used, RESERVED) : 0;
	int			place = first;

	while (place < po_shared->n_alerts && po_alerts[place].record.id != 0)
		place++;
	if (of_tenant)
		table()->used = place;
	return place < po_shared->n_alerts ? place : -1;
}

static void
note_worst(PoAlertRaised *raised, const PoAlertRecord *record)
{
	raised->worst_queryid = record->queryid;
	memcpy(raised->worst_message, record->message, sizeof(record->message));
}

int
po_alert_table_raise(PoAlertRecord *record)
{
	TimestampTz now = GetCurrentTimestamp();
	int			place;

	lock_alerts(LW_EXCLUSIVE);
	place = free_place(record->tenant >= 0);
	if (place >= 0)
	{
		/* By the clock, so that it stays unique when the last one was forgotten. */
		record->id = Max(table()->last_id + 1, (uint64) Max(now, 1));
		record->since = now;
		table()->last_id = record->id;
		po_alerts[place].record = *record;
		note_worst(&po_alerts[place], record);
		add_entry(record, PO_ALARM_RAISED, now);
	}
	unlock_alerts();
	return place;
}

void
po_alert_table_update(int place, PoAlertRecord *record, bool escalated)
{
	TimestampTz now = escalated ? GetCurrentTimestamp() : 0;
	PoAlertRecord *alert = &po_alerts[place].record;

	lock_alerts(LW_EXCLUSIVE);
	if (record->value == record->worst)
		note_worst(&po_alerts[place], record);
	record->id = alert->id;
	record->since = alert->since;
	alert->severity = record->severity;
	alert->value = record->value;
	alert->worst = record->worst;
	alert->threshold = record->threshold;
	alert->queryid = record->queryid;
	memcpy(alert->message, record->message, sizeof(alert->message));
	if (escalated)
		add_entry(alert, PO_ALARM_ESCALATED, now);
	unlock_alerts();
}

void
po_alert_table_clear(int place, PoAlertRecord *record)
{
	TimestampTz now = GetCurrentTimestamp();

	lock_alerts(LW_EXCLUSIVE);
	*record = po_alerts[place].record;
	record->value = record->worst;
	record->queryid = po_alerts[place].worst_queryid;
	memcpy(record->message, po_alerts[place].worst_message, sizeof(record->message));
	po_alerts[place].record.id = 0;
	table()->used = Min(table()->used, place);
	add_entry(record, PO_ALARM_CLEARED, now);
	unlock_alerts();
}

void
po_alert_table_skip(void)
{
	lock_alerts(LW_EXCLUSIVE);
	table()->delivered = table()->written;
	unlock_alerts();
}

void
po_alert_table_tell_again(void)
{
	TimestampTz now = GetCurrentTimestamp();

	lock_alerts(LW_EXCLUSIVE);
	for (int i = 0; i < po_shared->n_alerts; i++)
	{
		if (po_alerts[i].record.id != 0)
			add_entry(&po_alerts[i].record, PO_ALARM_RAISED, now);
	}
	unlock_alerts();
}

/* ---------- by the keeper ---------- */

bool
po_alert_table_next(uint64 *number, PoAlertEntry *entry)
{
	bool		found;

	lock_alerts(LW_SHARED);
	*number = Max(*number, table()->delivered);
	found = *number < table()->written;
	if (found)
		*entry = *entry_of(*number);
	unlock_alerts();
	return found;
}

uint64
po_alert_table_delivered(uint64 number)
{
	uint64		lost;

	lock_alerts(LW_EXCLUSIVE);
	table()->delivered = Max(table()->delivered, Min(number, table()->written));
	lost = table()->lost;
	table()->lost = 0;
	unlock_alerts();
	return lost;
}

bool
po_alert_table_put_rules(PoAlertRule *rules, int n)
{
	bool		differ;

	n = Min(n, po_shared->n_alert_rules);
	qsort(rules, n, sizeof(PoAlertRule), po_alert_rule_compare);
	lock_alerts(LW_EXCLUSIVE);
	differ = table()->rules_generation == 0 || n != table()->n_rules ||
		memcmp(rules, po_alert_rules, n * sizeof(PoAlertRule)) != 0;
	if (differ)
	{
		memcpy(po_alert_rules, rules, n * sizeof(PoAlertRule));
		table()->n_rules = n;
		table()->rules_generation++;
	}
	unlock_alerts();
	return differ;
}

/* ---------- state file ---------- */

int
po_alert_table_save(PoAlertSaved *to)
{
	int			n = 0;
	uint64		oldest;

	lock_alerts(LW_SHARED);
	for (int i = 0; i < po_shared->n_alerts; i++)
	{
		if (po_alerts[i].record.id == 0)
			continue;
		memset(&to[n], 0, sizeof(to[n]));
		to[n].entry.record = po_alerts[i].record;
		to[n].worst_queryid = po_alerts[i].worst_queryid;
		memcpy(to[n].worst_message, po_alerts[i].worst_message, PO_ALERT_MESSAGE_LEN);
		n++;
	}
	oldest = table()->written - Min(table()->written, (uint64) po_shared->n_alert_entries);
	for (uint64 number = oldest; number < table()->written; number++)
	{
		memset(&to[n], 0, sizeof(to[n]));
		to[n].entry = *entry_of(number);
		to[n++].delivered = number < table()->delivered;
	}
	unlock_alerts();
	return n;
}

static bool
is_sound(const PoAlertSaved *saved)
{
	const PoAlertRecord *r = &saved->entry.record;

	return r->id != 0 && (unsigned int) r->kind < PO_N_ALERTS &&
		(r->severity == PO_SEVERITY_WARNING || r->severity == PO_SEVERITY_CRITICAL) &&
		(r->kind < PO_FIRST_TENANT_ALERT) == (r->tenant < 0) &&
		(unsigned int) saved->entry.change <= PO_ALARM_CLEARED;
}

static void
restore_raised(const PoAlertSaved *saved)
{
	int			place = free_place(saved->entry.record.tenant >= 0);

	if (place < 0)
		return;
	po_alerts[place].record = saved->entry.record;
	po_alerts[place].worst_queryid = saved->worst_queryid;
	memcpy(po_alerts[place].worst_message, saved->worst_message, PO_ALERT_MESSAGE_LEN);
	po_alerts[place].record.message[PO_ALERT_MESSAGE_LEN - 1] = '\0';
	po_alerts[place].worst_message[PO_ALERT_MESSAGE_LEN - 1] = '\0';
}

void
po_alert_table_restore(const PoAlertSaved *from, int n)
{
	lock_alerts(LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
	{
		const PoAlertEntry *entry = &from[i].entry;

		if (!is_sound(&from[i]))
			continue;
		table()->last_id = Max(table()->last_id, entry->record.id);
		if (entry->change == PO_ALARM_NOTHING)
		{
			restore_raised(&from[i]);
			continue;
		}
		add_entry(&entry->record, entry->change, entry->at);
		entry_of(table()->written - 1)->record.message[PO_ALERT_MESSAGE_LEN - 1] = '\0';
		/* They are in order: those that were delivered come first. */
		if (from[i].delivered)
			table()->delivered = table()->written;
	}
	table()->lost = 0;
	unlock_alerts();
}

/* ---------- by anyone ---------- */

uint64
po_alert_table_position(void)
{
	uint64		delivered;

	lock_alerts(LW_SHARED);
	delivered = table()->delivered;
	unlock_alerts();
	return delivered;
}

bool
po_alert_table_is_pending(void)
{
	bool		pending;

	lock_alerts(LW_SHARED);
	pending = table()->delivered < table()->written;
	unlock_alerts();
	return pending;
}

int
po_alert_table_copy(PoAlertRecord *alerts, PoAlertEntry *entries)
{
	uint64		written;
	int			n;

	lock_alerts(LW_SHARED);
	for (int i = 0; i < po_shared->n_alerts; i++)
		alerts[i] = po_alerts[i].record;
	written = table()->written;
	n = entries == NULL ? 0 : (int) Min(written, (uint64) po_shared->n_alert_entries);
	for (int i = 0; i < n; i++)
		entries[i] = *entry_of(written - n + i);
	unlock_alerts();
	return n;
}

uint32
po_alert_table_copy_rules(PoAlertRule *to, int *n)
{
	uint32		generation;

	lock_alerts(LW_SHARED);
	*n = table()->n_rules;
	memcpy(to, po_alert_rules, *n * sizeof(PoAlertRule));
	generation = table()->rules_generation;
	unlock_alerts();
	return generation;
}

uint32
po_alert_table_rules_generation(void)
{
	uint32		generation;

	lock_alerts(LW_SHARED);
	generation = table()->rules_generation;
	unlock_alerts();
	return generation;
}
