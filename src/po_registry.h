/*
 * po_registry.h
 *		Who is in: tenants, counters, the queue and the policies in force.
 *
 * Every function takes PO_LOCK_ADMISSION for itself and copies in and out; no
 * pointer into the registry leaves it.  All that happens at login and exit is
 * O(1) in sessions and tenants; a change of the policies is not.
 */
#ifndef PO_REGISTRY_H
#define PO_REGISTRY_H

#include "model/po_admission.h"
#include "po_shmem.h"

/* What became of a login. */
typedef enum PoEntry
{
	PO_ENTRY_ADMITTED,
	PO_ENTRY_QUEUED,
	PO_ENTRY_QUEUE_FULL,		/* had to wait, but max_waiting do already */
	PO_ENTRY_NO_ROOM,			/* the same, but clients have all connections they can */
	PO_ENTRY_REJECTED
} PoEntry;

typedef struct PoTicket
{
	PoEntry		entry;
	PoAdmission admission;
	int			tenant;
	char		tenant_name[PO_NAME_LEN];	/* "(other)" when it did not fit */
	bool		overflowed;		/* first login that found max_tenants reached */
	bool		is_new;			/* first login of its tenant */
} PoTicket;

/*
 * Asks for a place for the session of a slot whose identity is filled in; exempt
 * ones are let in without.  Takes all counters or none.
 */
extern void po_registry_enter(int slot, const char *tenant_name, PoTicket *ticket);

/*
 * Leaves the queue after a timeout or because the client left.  False if the place
 * was handed over in this moment: the session is in.
 */
extern bool po_registry_leave_queue(int slot);

/* What a login that is to be refused is up against now. */
extern void po_registry_decide_again(int slot, PoAdmission *admission);

/* Counts a login that was queued and not let in. */
extern void po_registry_count_rejection(int tenant);

/* Gives back all that a slot holds; failed: core refused after we had admitted. */
extern void po_registry_release(int slot, bool failed);

/*
 * Hands places to those in the queue that may have one by the mode that the calling process
 * knows: for the sampler, after it has read the settings.
 */
extern void po_registry_serve_queue(void);

/* Was let in because something failed in the hook. */
extern void po_registry_count_unready(void);

/* ---------- policies ---------- */

typedef struct PoPublished
{
	bool		changed;
	int			n_policies;
	uint32		generation;
	int			n_no_room;		/* exact names that found no place as tenants */
	double		guarantee_scale;
} PoPublished;

/*
 * Puts a set of policies in force, unless it is what already is; sorts the array.
 *
 * requested: what changes_requested said before the set was read.  If it has been
 * counted up since, what was read may be older than what is in force: false, and
 * nothing is done.  0 = whoever calls has just committed this very set; it is counted
 * as one more change, which the keeper confirms.
 */
extern bool po_registry_publish(PoPolicy *policies, int n, uint64 requested,
								PoPublished *result);

/* Copies the policies in force for the state file; returns their number. */
extern int	po_registry_copy_policies(PoPolicy *to, int max);

/* The fields that hold for a name in scope tenant. */
extern void po_registry_resolve_tenant(const char *name, PoPolicyFields *fields);

/* ---------- looking ---------- */

extern void po_registry_copy_totals(PoRegistry *totals);

/* Copies a tenant with its fields as they are in force; false when there is none at i. */
extern bool po_registry_copy_tenant(int i, PoTenant *tenant);

/* Its index, -1 when unknown. */
extern int	po_registry_find_tenant(const char *name);

typedef struct PoIdentityCopy
{
	PoSlotPhase phase;
	int			pid;
	int			procno;
	TimestampTz backend_start;
	PoExempt	exempt;
	int			tenant;
	int			counter[PO_N_COUNTED];
	char		role[PO_PART_LEN];
	char		database[PO_PART_LEN];
	char		application[PO_PART_LEN];
	char		address[PO_PART_LEN];
} PoIdentityCopy;

/* The session of a slot; false when it holds none. */
extern bool po_registry_copy_session(int slot, PoIdentityCopy *copy);

/* What a login of this identity would meet; fills all of ticket but entry. */
typedef struct PoExplained
{
	PoAdmission admission;
	char		key[PO_N_RULES][PO_NAME_LEN];	/* what each rule counts */
	int			guaranteed;
	bool		queue_full;		/* nobody could wait now */
} PoExplained;

extern void po_registry_explain(const PoIdentity *who, const char *tenant_name,
								bool may_use_reserved, PoExplained *out);

/* ---------- for the sampler ---------- */

/* Why sessions that share a counter are to end. */
typedef enum PoExcessKind
{
	PO_EXCESS_QUOTA,			/* more than max_connections */
	PO_EXCESS_DRAIN,
	PO_EXCESS_EVICTION			/* logins wait for idle ones to go */
} PoExcessKind;

typedef struct PoExcess
{
	PoExcessKind kind;
	PoScope		scope;
	int			index;			/* tenant, or counter; unused for cluster */
	int			limit;
	int			count;			/* to end */
	PoMode		mode;
	TimestampTz drain_deadline;
	char		name[PO_NAME_LEN];
} PoExcess;

/*
 * Finds what is over its quota or draining, what is enforced first; returns how many (at
 * most max).  Reads every tenant and counter.  from: where to begin, 0 for anywhere; where
 * there was no room for all of them, it is set to where to go on, as those found may be
 * such that nothing can be ended of them.
 */
extern int	po_registry_excess(PoExcess *to, int max, int *from);

/* How often sessions were counted in other places than before: if it is the same before and
 * after, what was read in between goes together. */
extern uint32 po_registry_recounts(void);

/* Queued logins that want idle sessions ended, summed by what they wait for. */
extern int	po_registry_evictions(PoExcess *to, int max);

/* Lent connections to call back, 0 without pressure. */
typedef struct PoCalledBack
{
	int			enforced;		/* for guarantees in mode enforce alone */
	int			observed;		/* if those in mode observe were enforced, too; no fewer */
} PoCalledBack;

/*
 * Pressure is room below 0 beyond unused guarantees, or usage at or above the
 * critical threshold, in both cases while a guarantee is unused.
 */
extern void po_registry_called_back(PoCalledBack *count);

/* How many more than its guarantee a tenant has; with what mode. */
extern int	po_registry_lent(int tenant, PoMode *mode);

/* What happened to a tenant since the history was told. */
typedef struct PoTenantNews
{
	int			tenant;
	int			sessions;		/* now, exempt ones included */
	int			sessions_peak;	/* most at the same time in between */
	int			waiting;
	int			waiting_peak;
	uint64		rejected;		/* in between */
	uint64		failed;			/* logins that core refused after us */
} PoTenantNews;

typedef struct PoClusterNews
{
	int			sessions;
	int			sessions_peak;
	int			waiting;
	int			waiting_peak;
} PoClusterNews;

/*
 * Takes the news of up to max tenants; the others' are for the next call.  With 0 there is
 * no news and cluster is left alone.  O(tenants with news).
 */
extern int	po_registry_take_news(PoTenantNews *to, int max, PoClusterNews *cluster);

/* The quota in force for a tenant, -1 = none. */
extern int	po_registry_max_connections(int tenant);
/* What the alerts look at. */
typedef struct PoTenantGlance
{
	int			tenant;
	uint32		hash;			/* of its name */
	int			used;
	int			exempt;
	int			max_connections;
	PoMode		mode;			/* in force, of the quota */
	uint64		rejected;
	int64		target_wait_us;
	char		name[PO_NAME_LEN];
} PoTenantGlance;

/*
 * Tenants to which somebody has come, or who have lost somebody or were refused, since
 * this was asked before; up to max of them, the others the next time.
 */
extern int	po_registry_take_touched(PoTenantGlance *to, int max);

/* Any tenant; false when there is none. */
extern bool po_registry_glance(int tenant, PoTenantGlance *to);

/* Compares the counters with the slots and mends them; true if it had to. */
extern bool po_registry_reconcile(void);

/* ---------- state file, reset ---------- */

/* Puts a tenant back as it was saved; its index, -1 when there is no room. */
extern int	po_registry_restore_tenant(const PoTenant *saved);

/* Sets its counters to 0; was is what it had. */
extern void po_registry_reset_tenant(int i, PoTenant *was);

#endif							/* PO_REGISTRY_H */
