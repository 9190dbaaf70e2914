/*
 * po_shmem.h
 *		What backends and workers share, and who may touch it.
 *
 * While a lock here is held nothing else happens: no allocation, no catalog, no
 * log line, no second lock, no signal.  Each lock is taken in one file only:
 *
 *		lock				guards									taken in
 *		PO_LOCK_ADMISSION	tenants' and scopes' counters, the		po_registry.c
 *							queue, the policies in force
 *		PO_LOCK_STATS		tenants' statistics, merged accounts	po_stats.c
 *		PO_LOCK_EVENTS		both rings of events					po_events.c
 *		PO_LOCK_STATUS		last_error of PoShared					po_shmem.c
 *		PO_LOCK_POOLERS		what poolers said						po_pooler_table.c
 *		PO_LOCK_METRICS		which tenants have metrics of their own	po_metrics.c
 *		PO_LOCK_HISTORY		rings of history, open buckets			po_history_rings.c
 *		PO_LOCK_CLIENTS		applications and their instances		po_client_table.c
 *		PO_LOCK_ALERTS		alerts raised, what was told of them,	po_alert_table.c
 *							the rules in force
 *		PO_LOCK_STATEMENTS	statements, their texts, what has		po_statement.c
 *							been merged of sessions' accounts
 *		PO_LOCK_FINDINGS	findings								po_finding_table.c
 *
 * What is not under a lock is an atomic with the writer named at the field, or
 * belongs to one process.
 */
#ifndef PO_SHMEM_H
#define PO_SHMEM_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#include "model/po_alert_rule.h"
#include "model/po_baseline.h"
#include "model/po_brake.h"
#include "model/po_event_kind.h"
#include "model/po_finding.h"
#include "model/po_histogram.h"
#include "model/po_history.h"
#include "model/po_instances.h"
#include "model/po_listing.h"
#include "model/po_names.h"
#include "model/po_policy.h"
#include "model/po_pooler_clients.h"
#include "model/po_pooler_rows.h"
#include "model/po_recommend.h"
#include "model/po_search.h"
#include "model/po_warmup.h"

typedef enum PoLock
{
	PO_LOCK_ADMISSION,
	PO_LOCK_STATS,
	PO_LOCK_EVENTS,
	PO_LOCK_STATUS,
	PO_LOCK_POOLERS,
	PO_LOCK_METRICS,
	PO_LOCK_HISTORY,
	PO_LOCK_CLIENTS,
	PO_LOCK_ALERTS,
	PO_LOCK_STATEMENTS,
	PO_LOCK_FINDINGS
} PoLock;

#define PO_N_LOCKS			11
#define PO_ERROR_LEN		256

/* ---------- a session ---------- */

typedef enum PoSlotPhase
{
	PO_SLOT_FREE,
	PO_SLOT_QUEUED,				/* waits for a place */
	PO_SLOT_REFUSED,			/* was in the queue, but must not come in any more */
	PO_SLOT_ADMITTED,			/* holds a place */
	PO_SLOT_EXEMPT				/* in, but takes no quota */
} PoSlotPhase;

/* Why a session is never ended; the first that applies. */
typedef enum PoExempt
{
	PO_EXEMPT_NO,
	PO_EXEMPT_SUPERUSER,
	PO_EXEMPT_ROLE,
	PO_EXEMPT_REPLICATION,
	PO_EXEMPT_SELF,
	PO_EXEMPT_UNKNOWN,			/* not seen at login, or its state is not reported */
	PO_EXEMPT_BACKUP,
	PO_EXEMPT_LISTEN,
	PO_EXEMPT_HELD_CURSOR,
	PO_EXEMPT_TEMP_TABLE,
	PO_EXEMPT_ADVISORY_LOCK
} PoExempt;

/* What the owner notes of its own state that nobody else can see. */
#define PO_KEEPS_LISTEN			0x01u
#define PO_KEEPS_HELD_CURSOR	0x02u
#define PO_KEEPS_BACKUP			0x04u	/* noted when it is to end, see po_act.c */

/* Scopes with counters of their own; tenant and cluster count in the registry. */
#define PO_N_COUNTED	4
#define PO_COUNTED(scope)	((int) (scope) - (int) PO_SCOPE_DATABASE)

/*
 * Words that one process writes, and others read at any time: it adds without a lock and without
 * the bus's.  A plain addition where a word is stored whole, which is one instruction instead
 * of the three of an atomic read and write.
 */
static inline void
po_count_own(pg_atomic_uint64 *to, uint64 n)
{
#ifdef PG_HAVE_8BYTE_SINGLE_COPY_ATOMICITY
	*unvolatize(uint64 *, &to->value) += n;
#else
	pg_atomic_write_u64(to, pg_atomic_read_u64(to) + n);
#endif
}

static inline void
po_count_own32(pg_atomic_uint32 *to, uint32 n)
{
	*unvolatize(uint32 *, &to->value) += n;
}

/* Exact accounting.  Written by the owner alone, without a lock; each word is read
 * by whoever merges it (po_stats.c) and only grows until the session ends. */
typedef struct PoAccount
{
	pg_atomic_uint64 transactions;
	pg_atomic_uint64 rollbacks;
	pg_atomic_uint64 errors;
	pg_atomic_uint64 service_us;
	pg_atomic_uint64 service_sq;	/* a double's bits: sum of squares, s^2 */
	pg_atomic_uint64 last_error_at;
	pg_atomic_uint32 last_sqlstate;
	uint32		service[PO_HISTOGRAM_BUCKETS];
	uint32		gaps[PO_HISTOGRAM_BUCKETS];
} PoAccount;

/* What of an account is in the tenant's statistics already.  PO_LOCK_STATS. */
typedef struct PoMerged
{
	uint64		transactions;
	uint64		rollbacks;
	uint64		errors;
	uint64		service_us;
	double		service_sq;
	uint32		service[PO_HISTOGRAM_BUCKETS];
	uint32		gaps[PO_HISTOGRAM_BUCKETS];
} PoMerged;

/* The order to a session to end itself, see po_act.h. */
typedef enum PoOrderPhase
{
	PO_ORDER_NONE,
	PO_ORDER_WRITING,			/* claimed by whoever writes the order */
	PO_ORDER_ARMED,				/* complete; the session decides */
	PO_ORDER_ACCEPTED,			/* the session ends itself */
	PO_ORDER_DECLINED			/* it had moved on */
} PoOrderPhase;

#define PO_REASON_LEN	240
#define PO_DETAIL_LEN	512

typedef struct PoOrder
{
	pg_atomic_uint32 phase;		/* by compare-and-swap */
	/* Written while PO_ORDER_WRITING, read while ARMED or ACCEPTED. */
	int			pid;
	TimestampTz backend_start;
	TimestampTz state_change;	/* 0 = whatever it does now (drain after its grace) */
	bool		in_client_read; /* must be waiting for its client */
	char		reason[PO_REASON_LEN];
	char		detail[PO_DETAIL_LEN];
} PoOrder;

typedef struct PoSlot
{
	/* Written by the owner at login, before phase leaves PO_SLOT_FREE. */
	int			pid;
	int			procno;			/* index of its PGPROC */
	TimestampTz backend_start;
	PoExempt	exempt;			/* as known at login */
	bool		may_use_reserved;	/* reserved_connections; likewise */
	char		role[PO_PART_LEN];
	char		database[PO_PART_LEN];
	char		application[PO_PART_LEN];
	char		address[PO_PART_LEN];
	char		label[PO_PART_LEN];
	PoCidr		cidr;
	int			client_pid;		/* of the client's process; 0 = not known */

	/* PO_LOCK_ADMISSION, the phase is also read without. */
	pg_atomic_uint32 phase;		/* PoSlotPhase */
	int			tenant;			/* constant while not free */
	int			counter[PO_N_COUNTED];
	int			queue_next;
	int			queue_previous;

	/* Written by the owner, read by anyone. */
	pg_atomic_uint32 keeps;		/* PO_KEEPS_* */
	PoAccount	account;

	PoMerged	merged;			/* PO_LOCK_STATS */
	PoOrder		order;
} PoSlot;

/* ---------- what the sampler keeps of a session ---------- */

typedef enum PoVerdict
{
	PO_VERDICT_KEEP,
	PO_VERDICT_EXEMPT,
	PO_VERDICT_WOULD_TERMINATE, /* observe, or no policy asks for it */
	PO_VERDICT_TERMINATE,
	PO_VERDICT_RATE_LIMITED,
	PO_VERDICT_BREAKER_OPEN
} PoVerdict;

/*
 * Written by the sampler alone; others read it after they have seen pid,
 * backend_start and state_change agree.  Durations rest on the monotonic clock, so
 * that a step of the wall clock makes nobody look idle.
 */
typedef struct PoWatch
{
	int			pid;
	bool		seen;			/* was there at the last pass */
	uint8		state;			/* PoState */
	TimestampTz backend_start;
	pg_atomic_uint64 state_change;
	pg_atomic_uint32 finding;	/* PoClass << 8 | PoVerdict */
	uint8		reported_class; /* would_terminate told, for reported_for */

	TimestampTz reported_for;
	int64		state_seen_at;	/* monotonic us, when first seen in this state */
	int64		state_before;	/* us in this state before that */
	int64		start_seen_at;	/* the same for the session */
	int64		start_before;
	int64		client_read_since;	/* monotonic us; 0 = does not wait for its client */
	int64		progress;		/* bytes of COPY when last looked at */
	double		growth_probability;
} PoWatch;

#define PO_FINDING(class, verdict)	(((uint32) (class) << 8) | (uint32) (verdict))
#define PO_FINDING_CLASS(finding)	((PoClass) ((finding) >> 8))
#define PO_FINDING_VERDICT(finding) ((PoVerdict) ((finding) & 0xFF))

/* ---------- tenants ---------- */

#define PO_TENANT_OTHER		0
#define PO_TENANT_OTHER_NAME	"(other)"

/* PO_LOCK_ADMISSION */
typedef struct PoTenant
{
	char		name[PO_NAME_LEN];
	uint32		hash;
	int			next;			/* in its bucket or in the free list, -1 = last */
	bool		in_use;
	int			used;			/* sessions admitted against the quota */
	int			exempt;			/* sessions that take none */
	int			waiting;
	int			peak_sessions;
	uint64		admitted;
	uint64		rejected;
	uint64		would_reject;
	uint64		failed_logins;	/* refused by core after we had admitted them */
	TimestampTz first_seen;
	TimestampTz last_used;
	TimestampTz last_refused_at;
	uint32		generation;		/* of the policies that fields were resolved from */
	PoPolicyFields fields;
	int			guarantee_counted;	/* as it is in the registry's sums */
	PoMode		guarantee_mode;
	/* What the history has not been told yet, see po_registry_take_news. */
	bool		has_news;		/* is in the list of PoRegistry.news */
	int			next_news;
	int			news_peak;		/* most sessions since */
	int			news_waiting;	/* most that waited */
	uint64		told_rejected;	/* counters as they were told last */
	uint64		told_failed;
	bool		touched;		/* is in the list of PoRegistry.touched */
	int			next_touched;
} PoTenant;

/* A name within a scope; free when nobody is counted.  PO_LOCK_ADMISSION. */
typedef struct PoCounter
{
	PoScope		scope;
	char		name[PO_PART_LEN];
	uint32		hash;
	int			next;			/* in its bucket, or in the free list */
	int			used;
	uint32		generation;
	PoPolicyFields fields;
} PoCounter;

/* The policies in force, sorted by po_policy_compare.  PO_LOCK_ADMISSION */
typedef struct PoPolicySet
{
	int			n;
	int			first[PO_N_SCOPES];
	int			n_exact[PO_N_SCOPES];
	int			n_scope[PO_N_SCOPES];
	PoPolicy	policy[FLEXIBLE_ARRAY_MEMBER];
} PoPolicySet;

/* PO_LOCK_ADMISSION */
typedef struct PoRegistry
{
	int			n_tenants;		/* places used so far, the free ones among them included */
	int			free_tenant;	/* first of those, -1 = none */
	int			n_free_tenants;
	uint64		overflow_logins;	/* that found no place for their tenant */
	bool		overflow_logged;
	int			admitted;
	int			exempt;
	int			waiting;
	uint64		unready;		/* let in because something failed in the hook */
	/* Unused guarantees, by the quota_mode of the tenant that has them. */
	int			unused_enforce;
	int			unused_observe;
	int			guaranteed_total;
	double		guarantee_scale;	/* below 1: the stored ones do not fit */
	bool		any_queueing;	/* some policy lets logins wait */
	PoPolicyFields cluster;		/* resolved for scope cluster */
	int			queue_head;
	int			queue_tail;
	int			free_counter;
	int			n_no_room;		/* exact names of policies without a place as tenant */
	int			news;			/* first tenant with news, -1 = none */
	int			news_peak;		/* most sessions since it was asked for news */
	int			news_waiting;
	int			touched;		/* first tenant that the alerts have to look at, -1 = none */
	uint32		generation;		/* counts changes of the set, from 1 */
	uint32		recounts;		/* after which sessions are counted in other places */
} PoRegistry;

/* Sums that are forgotten exponentially, like the levels beside them. */
typedef struct PoWindow
{
	double		transactions;
	double		errors;			/* how many of these failed; of recent only */
	double		service_us;
	double		service_sq;
	double		wait_us[PO_N_WAITS];
	double		elapsed_us;		/* in which they were counted, sampled or not */
} PoWindow;

/* What has been told to the history of counters that only grow. */
typedef struct PoStatsTold
{
	uint64		transactions;
	uint64		xact_errors;
	uint64		terminated;
} PoStatsTold;

/* PO_LOCK_STATS */
typedef struct PoTenantStats
{
	uint64		transactions;
	uint64		rollbacks;
	uint64		xact_errors;
	uint64		terminated;
	uint64		would_terminate;
	double		service_us;
	PoHistogram service;
	PoSmallHistogram gaps;		/* shares count, see po_histogram_share_small */
	PoSmallHistogram waits;		/* of logins in the queue */
	uint64		n_waits;		/* how many these are */
	uint64		waited_us;		/* their sum */
	int			active;			/* as of the last sample, see counts_tick */
	int			idle_in_transaction;
	uint64		counts_tick;
	int			peak_busy;
	char		last_error[96];
	TimestampTz last_error_at;
	/* for the recommendation */
	PoLevels	busy;
	TimestampTz busy_at;		/* up to when levels are complete; 0 = never */
	PoWindow	window;
	PoWindow	recent;			/* the same since then */
	PoPoolerQueue queue;		/* of its poolers, when that began */
	int			recent_most;	/* most that were busy at once since then */
	int			calm;			/* see po_recommend_memory */
	double		drift;			/* of the load, see po_stats.c */
	PoWarmup	warmup;
	PoSearch	search;
	TimestampTz observed_since;
	TimestampTz evaluated_at;
	TimestampTz recent_since;	/* the same, or when the size asked for was there; 0 = never */
	int64		recent_ticks;	/* the same, monotonic us */
	TimestampTz computed_at;	/* the same by the wall clock */
	PoRecommendation recommendation;
	PoSizingInput input;		/* that it rests on */
	int			standstill_size;	/* of a pool that stood still; 0 = none */
	TimestampTz standstill_at;	/* the last time, by the wall clock */
	PoBreaker	breaker;
	PoStatsTold told;
	PoBaseline	usual;			/* of how many are busy, for the alert "anomaly" */
	PoSeason	season;			/* of the hour season_start; by the keeper */
} PoTenantStats;

/* Of all tenants, since the server started.  PO_LOCK_STATS */
typedef struct PoStatsTotal
{
	uint64		transactions;
	uint64		xact_errors;
	uint64		terminated;
	PoHistogram service;
	PoStatsTold told;
} PoStatsTotal;

/* ---------- history ---------- */

/* Lengths of buckets: a second, ten, and a minute. */
#define PO_HISTORY_LEVELS	3
#define PO_HISTORY_MINUTE	(PO_HISTORY_LEVELS - 1)
#define PO_HISTORY_FINE		PO_HISTORY_MINUTE	/* so many below it */
#define PO_HISTORY_CLUSTER	(-1)	/* tenant of the rows of the whole cluster */

/*
 * A ring of rows, in the order of their buckets; the cluster's is the last of each bucket
 * and shows that the bucket was watched and is complete.  Minutes have a row of every
 * tenant with sessions or with something to tell; finer ones of their members only, and only
 * if something happened.  PO_LOCK_HISTORY, written by the sampler
 */
typedef struct PoHistoryLevel
{
	/* Immutable after startup */
	int			n_rows;
	int			n_members;

	uint64		written;		/* rows so far */
	uint64		start;			/* those before are not valid any more */
	bool		whole;			/* nothing was thrown out since the server started */
	bool		running;		/* has an open bucket */
	uint32		tick;			/* of the open bucket */
	int64		began;			/* since when it is watched, us since the history's epoch */
	int64		seen;			/* and up to when */
	int64		sampled;		/* us of it that samples stand for */

	/* The minute before, while tenants' rows of it are still open. */
	bool		closing;
	uint32		closing_tick;
	int64		closing_began;
	int64		closing_end;
	int64		closing_sampled;
	int			cursor;			/* the next tenant */

	/* Of minutes, after the clock was set back: those up to this tick have been lived
	 * before, and as long as the ring has such rows no finer ones can stand for them. */
	uint32		lived;
	uint64		lived_rows;		/* rows up to which they are */
	uint32		restored;		/* those up to this are of the state file; 0 = none */
	uint32		resumed;		/* the first after these */
	PoHistoryRow total;			/* the cluster's, which comes last */
} PoHistoryLevel;

/* Who has rows of a fine level.  PO_LOCK_HISTORY, written by the sampler */
typedef struct PoHistoryMember
{
	int			tenant;			/* -1 = nobody; the first is the cluster's */
	uint32		since;			/* first bucket */
	float		score;			/* how busy it was, as of the last choice */
	PoHistoryOpen open;
} PoHistoryMember;

/* ---------- events ---------- */

typedef struct PoEvent
{
	TimestampTz at;
	PoEventKind kind;
	bool		notify;			/* listeners are to hear of it */
	int			pid;			/* 0 = none */
	char		tenant[PO_NAME_LEN];
	char		reason[PO_REASON_LEN];
	char		detail[PO_DETAIL_LEN];	/* a JSON object */
} PoEvent;

/* Logins have a ring of their own, so that a storm of them displaces nothing else. */
#define PO_RING_LOGINS	0
#define PO_RING_OTHERS	1
#define PO_N_RINGS		2

/* PO_LOCK_EVENTS */
typedef struct PoRing
{
	uint64		written;
	uint64		to_notify;		/* number after the last that listeners are to hear of */
	uint64		notified;		/* those before were, or nobody is to hear of them */
	uint64		lost;			/* overwritten before they were */
} PoRing;

/* How many of a kind listeners heard of in this minute; written by whoever adds one. */
typedef struct PoNotifyRate
{
	pg_atomic_uint64 taken;		/* minute of the monotonic clock << 32 | how many */
	pg_atomic_uint64 suppressed;	/* for the rate, until the keeper tells so */
} PoNotifyRate;

/* ---------- alerts ---------- */

#define PO_ALERT_MESSAGE_LEN	160

/* An alert; value and message are as of the last look, or, when it is over, the worst. */
typedef struct PoAlertRecord
{
	uint64		id;				/* unique, growing; 0 = a free place */
	PoAlertKind kind;
	PoSeverity	severity;
	int			tenant;			/* -1 = the cluster's */
	uint32		subject;		/* hash of its name: places of tenants are used again */
	TimestampTz since;
	double		value;
	double		worst;			/* value since it was raised */
	double		threshold;
	uint64		queryid;		/* the statement that it is about, 0 = none */
	char		message[PO_ALERT_MESSAGE_LEN];
} PoAlertRecord;

/* One that is raised. */
typedef struct PoAlertRaised
{
	PoAlertRecord record;
	uint64		worst_queryid;	/* as of its worst value */
	char		worst_message[PO_ALERT_MESSAGE_LEN];
} PoAlertRaised;

/* What is told of one: to listeners by the keeper, and in pool_alerts_history. */
typedef struct PoAlertEntry
{
	PoAlertRecord record;
	PoAlarmChange change;
	TimestampTz at;
} PoAlertEntry;

/* PO_LOCK_ALERTS; the sampler writes all but what is said */
typedef struct PoAlertTable
{
	uint64		last_id;
	uint64		written;		/* entries so far; the ring has the last of them */
	uint64		delivered;		/* of these, to listeners; by the keeper */
	uint64		lost;			/* overwritten before they were */
	int			used;			/* places of tenants below it are not free */
	uint32		rules_generation;	/* 0 = not read yet; by the keeper, as the next */
	int			n_rules;
} PoAlertTable;

/* ---------- poolers ---------- */

#define PO_POOLER_NAME_LEN		128
#define PO_POOLER_VERSION_LEN	32

typedef enum PoPoolerState
{
	PO_POOLER_NEW,				/* not asked yet */
	PO_POOLER_OK,
	PO_POOLER_UNREACHABLE,		/* does not answer, or not in time */
	PO_POOLER_REFUSED,			/* answers with an error */
	PO_POOLER_UNREADABLE		/* answers what is not understood */
} PoPoolerState;

/* PO_LOCK_POOLERS, written by the worker of po_pooler.c */
typedef struct PoPoolerSeen
{
	char		name[PO_POOLER_NAME_LEN];	/* host:port */
	PoPoolerState state;
	char		version[PO_POOLER_VERSION_LEN];
	char		error[PO_ERROR_LEN];
	TimestampTz seen_at;		/* the last good answer; 0 = never */
	int64		next_by;		/* monotonic us: the next one is to be there by then */
} PoPoolerSeen;

/* A pool of one of them.  PO_LOCK_POOLERS, by the same */
typedef struct PoPoolSeen
{
	int			pooler;
	int			tenant;			/* -1 = none of ours */
	PoPoolerPool pool;
	int			pool_size;		/* of this and the next two, -1 = unknown */
	int			min_pool_size;
	int			reserve_pool_size;
	int			obtainable;		/* connections that it gets, though it wants more; 0 = no bound */
	uint8		problem;		/* PoResizeProblem: what keeps "auto" from resizing it */
	int			n_servers;		/* its connections, those that are no sessions of ours, too */
	int			n_sessions;		/* of its tenant, at the same time */
	PoPoolerRates rates;		/* of its database */
	PoPoolerQueue queue;		/* the same */
	int			instances;		/* of all applications of its clients; -1 = unknown */
	int			least_instances;	/* of the application that has fewest */
	int			text;			/* place among PoPoolerTexts + 1; 0 = none */
	int			next;			/* place of the tenant's next pool + 1; 0 = it has no more */
} PoPoolSeen;

/* Who the clients of pools are, for the first of those that have any. */
#define PO_POOLER_TEXTS		128

typedef struct PoPoolerTexts
{
	int			n;
	char		text[PO_POOLER_TEXTS][PO_CALLERS_TEXT_LEN];
} PoPoolerTexts;

/* PO_LOCK_POOLERS */
typedef struct PoPoolers
{
	int			n_poolers;
	int			n_seen;			/* places of po_pools in use, by pooler and database */
	PoPoolerSeen pooler[PO_POOLER_MOST];
	PoPoolerTexts texts;
} PoPoolers;

/* ---------- metrics ---------- */

/*
 * PO_LOCK_METRICS.  Who changes the listing, or resets a tenant, has to read counters that
 * other locks guard; so it says when it begins and when it is done, and whoever read
 * counters meanwhile does so again.
 */
typedef struct PoMetricsState
{
	uint64		changes_begun;
	uint64		changes_done;
	PoListing	listing;
} PoMetricsState;

/* ---------- direct clients ---------- */

/*
 * An application of a tenant.  Written by the sampler (and by who resets statistics)
 * under PO_LOCK_CLIENTS; live and in_use are read by the sampler without.
 */
typedef struct PoClientApplication
{
	uint64		key;			/* hash of tenant and name */
	int			tenant;
	int			next;			/* in its bucket, or in the free list; -1 = last */
	bool		in_use;
	int			first_instance; /* -1 = none */
	int			sessions;
	int			live;			/* instances with sessions */
	PoOverlap	overlap;
	TimestampTz peak_at;
	TimestampTz first_seen;
	int64		memory_us;
	PoPresence	presence;
	char		name[PO_PART_LEN];
} PoClientApplication;

/* An instance of it: see po_instances.h.  Likewise */
typedef struct PoClientInstance
{
	uint64		key;			/* hash of all that tells it from others */
	int64		last_seen;		/* monotonic us, when a session came or went */
	int			application;	/* constant while in use */
	int			next;			/* in its bucket, or in the free list; -1 = last */
	int			after;			/* among those of its application; -1 = last */
	int			before;			/* -1 = first */
	int			sessions;
	uint32		address;		/* hash */
	uint8		told;			/* PoToldBy */
	bool		in_use;
} PoClientInstance;

/* PO_LOCK_CLIENTS, written by the sampler */
typedef struct PoClients
{
	int			free_application;	/* -1 = none */
	int			free_instance;
} PoClients;

/* ---------- statements ---------- */

/* What a session counts of its statements: sets of accounts, by queryid. */
#define PO_STATEMENT_SETS		8
#define PO_STATEMENT_WAYS		4
#define PO_STATEMENT_ACCOUNTS	(PO_STATEMENT_SETS * PO_STATEMENT_WAYS)
#define PO_STATEMENT_UNKNOWN	PO_STATEMENT_ACCOUNTS	/* of those without a queryid */
#define PO_STATEMENT_ENDS		256 /* a power of two */

/*
 * Of one statement.  Written by the owner alone, without a lock: words that only grow
 * as long as the queryid stays, which it changes under PO_LOCK_STATEMENTS.
 */
typedef struct PoStatementAccount
{
	uint64		queryid;		/* 0 = free */
	pg_atomic_uint64 calls;
	pg_atomic_uint64 busy_us;
	pg_atomic_uint64 wait_us;	/* for the client, in the transaction after it */
	pg_atomic_uint64 rows;
	pg_atomic_uint64 max_us;
	Oid			role;			/* who ran it first; as queryid */
	uint32		used_at;		/* the owner's alone: ends when it was last used */
	uint32		tag;			/* constant: which one, as in PO_STATEMENT_END */
	pg_atomic_uint32 wants_text;	/* set under PO_LOCK_STATEMENTS, cleared by the owner */
	pg_atomic_uint32 hinted;	/* counts changes of its PoHintAccount */
} PoStatementAccount;

/* What of an account is in the table already.  PO_LOCK_STATEMENTS */
typedef struct PoStatementMerged
{
	uint64		calls;
	uint64		busy_us;
	uint64		wait_us;
	uint64		rows;
	uint32		hinted;
} PoStatementMerged;

/* What hints at waste in it, see PoStatementHints.  As the account that it is of; parent
 * is of the last loop. */
typedef struct PoHintAccount
{
	pg_atomic_uint64 slow_us;
	pg_atomic_uint64 parent;
	pg_atomic_uint32 slow;
	pg_atomic_uint32 very_slow;
	pg_atomic_uint32 loops;
	pg_atomic_uint32 loop_calls;
	pg_atomic_uint32 reads;
	pg_atomic_uint32 rereads[PO_N_CACHE_TTLS];
} PoHintAccount;

/* PO_LOCK_STATEMENTS */
typedef struct PoHintMerged
{
	uint64		slow_us;
	uint32		slow;
	uint32		very_slow;
	uint32		loops;
	uint32		loop_calls;
	uint32		reads;
	uint32		rereads[PO_N_CACHE_TTLS];
} PoHintMerged;

/* Of the session's transactions, see PoTenantHints.  Written by the owner alone, without a
 * lock; words that only grow. */
typedef struct PoSessionHints
{
	/* Most transactions are looked at, and only read.  So those that are not are counted, and
	 * taken from what PoAccount has of all. */
	pg_atomic_uint64 unseen;		/* transactions, while nothing is looked for */
	pg_atomic_uint64 unseen_us;
	pg_atomic_uint64 not_read_only_us;	/* of the others */
	pg_atomic_uint64 uses[PO_N_STATE_USES];
	pg_atomic_uint64 use_example[PO_N_STATE_USES];	/* queryid */
} PoSessionHints;

/* PO_LOCK_STATEMENTS */
typedef struct PoSessionMerged
{
	uint64		transactions;
	uint64		held_us;
	uint64		read_only_us;
	uint64		uses[PO_N_STATE_USES];
} PoSessionMerged;

typedef struct PoStatementSession
{
	/* Written by the owner, read by whoever merges. */
	pg_atomic_uint64 current;	/* queryid of what runs, or ran last in the transaction */
	pg_atomic_uint32 ends;		/* statements that ended so far */
	volatile uint16 end[PO_STATEMENT_ENDS]; /* the last of them, PO_STATEMENT_END */
	PoStatementAccount account[PO_STATEMENT_ACCOUNTS + 1];
	PoHintAccount hint[PO_STATEMENT_ACCOUNTS + 1];
	PoSessionHints hints;

	/* PO_LOCK_STATEMENTS */
	Oid			database;
	uint32		merged_ends;
	PoStatementMerged merged[PO_STATEMENT_ACCOUNTS + 1];
	PoHintMerged merged_hint[PO_STATEMENT_ACCOUNTS + 1];
	PoSessionMerged merged_hints;
} PoStatementSession;

/* Account and bucket of the duration, in one word. */
#define PO_STATEMENT_TAG(account)			((uint32) (account) << 8)
#define PO_STATEMENT_END(tag, bucket)		((uint16) ((tag) | (uint32) (bucket)))
#define PO_STATEMENT_END_ACCOUNT(end)		((end) >> 8)
#define PO_STATEMENT_END_BUCKET(end)		((end) & 0xFF)

typedef struct PoStatementSums
{
	uint64		calls;
	uint64		busy_us;
	uint64		wait_us;
	uint64		lock_us;		/* sampled */
	uint64		rows;
} PoStatementSums;

/* What hints at waste in a statement. */
typedef struct PoStatementHints
{
	uint64		slow;			/* calls of at least slow_statement, very_slow among them */
	uint64		very_slow;
	uint64		slow_us;		/* that slow ones took */
	uint64		loops;			/* transactions or bursts that called it too often */
	uint64		loop_calls;		/* in these */
	uint64		reads;			/* of which it was known whether they repeat others */
	uint64		rereads[PO_N_CACHE_TTLS];	/* within so long */
} PoStatementHints;

#define PO_SCAN_COLUMNS			3

/* Among PO_PLAN_...: it calls a function that makes use of a session's state. */
#define PO_PLAN_USE(use)		(1u << (8 + (use)))
#define PO_PLAN_USES			(PO_PLAN_USE(PO_N_STATE_USES) - PO_PLAN_USE(0))

/* What a statement is by the plan that was seen last. */
typedef struct PoStatementPlan
{
	TimestampTz seen;			/* 0 = none was */
	uint32		flags;			/* PO_PLAN_... */
	Oid			scan_table;		/* of the dearest sequential scan; 0 = none */
	int16		scan_column[PO_SCAN_COLUMNS];	/* of its condition, 0 = no more */
	float4		scan_share;		/* of the plan's cost */
	float4		scan_rows;		/* of the table */
} PoStatementPlan;

/* Of a tenant.  PO_LOCK_STATEMENTS */
typedef struct PoTenantHints
{
	uint64		transactions;
	uint64		held_us;		/* that they held connections */
	uint64		read_only_us;	/* of held_us, by those that wrote nothing */
	uint64		sessions;		/* that have ended */
	uint64		brief_sessions; /* of few transactions */
	uint64		login_us;		/* that the logins of these took */
	uint64		uses[PO_N_STATE_USES];	/* statements */
	uint64		use_example[PO_N_STATE_USES];	/* queryid of the last; 0 = not known */
} PoTenantHints;

#define PO_STATEMENT_TEXT_LEN	1024

/* A statement of a tenant.  PO_LOCK_STATEMENTS */
typedef struct PoStatement
{
	uint64		queryid;
	int			tenant;
	bool		in_use;
	bool		blocker_is_foreign; /* is of another tenant */
	int			next;			/* in its bucket or in the free list, -1 = last */
	int			text;			/* -1 = none */
	Oid			role;			/* whose text it is */
	Oid			database;		/* where it was seen first */
	PoStatementSums sums;
	uint64		max_us;
	uint64		use;			/* calls and milliseconds, halved every ten minutes */
	TimestampTz first_seen;
	TimestampTz last_seen;
	PoBrief		durations;
	PoStatementHints hints;
	PoStatementPlan plan;
	uint64		parent;			/* what ran before the first call of the last loop; 0 = nothing */
	uint64		blocker;		/* whose transaction it was last seen waiting for; 0 = not known */
} PoStatement;

/* A text, for all statements that have the same.  PO_LOCK_STATEMENTS */
typedef struct PoStatementText
{
	uint64		hash;
	int			references;		/* 0 = free */
	int			length;
	int			first;			/* cell */
	int			next;			/* in its bucket or in the free list */
} PoStatementText;

#define PO_STATEMENT_CELL_LEN	124

typedef struct PoStatementCell
{
	int			next;			/* of the text or in the free list, -1 = last */
	char		bytes[PO_STATEMENT_CELL_LEN];
} PoStatementCell;

typedef struct PoStatementTable
{
	/* Immutable after startup */
	int			n_statements;	/* and texts */
	int			n_cells;
	int			n_buckets;		/* a power of two */
	int			n_reads;		/* the same */
	Size		size;

	/* PO_LOCK_STATEMENTS */
	int			n_places;		/* used so far, the free ones among them included */
	int			n_in_use;
	int			free_statement;
	int			free_text;
	int			free_cell;
	int			n_free_cells;
	int			hand;			/* where to look next for one that makes room */
	uint64		evicted;
} PoStatementTable;

/* ---------- findings ---------- */

/* Evidence is as of when it was last seen.  PO_LOCK_FINDINGS, written by the sampler (and by
 * who resets statistics) */
typedef struct PoFindingRecord
{
	bool		in_use;
	bool		blocker_is_foreign; /* as in PoStatement */
	PoFindingKind kind;
	PoFindingSeverity severity;
	int			tenant;
	uint32		subject;		/* hash of its name: places of tenants are used again */
	uint64		queryid;		/* 0 = of a tenant */
	TimestampTz since;
	TimestampTz last_seen;
	int64		seen_ticks;		/* the same, monotonic us */
	double		connections;
	int			ttl;			/* see PoFound */
	PoStatementEvidence s;
	PoTenantEvidence t;
	PoStatementPlan plan;
	uint64		parent;			/* as in PoStatement */
	uint64		blocker;
	uint64		use_example[PO_N_STATE_USES];
} PoFindingRecord;

/*
 * A row of pool_acknowledged.  64 bits of the tenant's name: that two of the thousands of a
 * cluster have the same is less likely than that the memory errs.
 */
typedef struct PoAcknowledged
{
	uint64		tenant;			/* hash of its name */
	uint64		queryid;
	TimestampTz until;			/* 0 = no end */
	double		connections;
	PoFindingKind kind;
	PoFindingSeverity severity;
} PoAcknowledged;

/* PO_LOCK_FINDINGS */
typedef struct PoFindingTable
{
	int			n_findings;		/* immutable after startup; of acknowledgements as many */
	uint32		acknowledged_generation;	/* 0 = not read yet; by the keeper, as the next */
	int			n_acknowledged;
	int			used;			/* places below it are or were in use */
	uint64		dropped;		/* for which there was no room */
} PoFindingTable;

/* ---------- the whole ---------- */

typedef struct PoShared
{
	/* Immutable after startup */
	int			n_slots;		/* one per possible backend */
	int			n_tenants;		/* with (other) */
	int			n_counters;
	int			n_policies;
	int			n_events;		/* of each ring */
	int			n_pools;		/* of all poolers */
	int			n_client_applications;
	int			n_client_instances;
	int			n_client_buckets;	/* of each of these two, a power of two */
	int			n_alerts;		/* raised at the same time */
	int			n_alert_entries;
	int			n_alert_rules;
	int			n_buckets;		/* of tenants and of counters, a power of two */
	int			usable;			/* connections that plain clients can have */
	int			max_waiting;
	Size		size;

	/* Written by the sampler */
	pg_atomic_uint32 sampler_pid;
	pg_atomic_uint32 sampler_procno;	/* PGPROC index + 1; 0 = none runs */
	pg_atomic_uint64 samples;
	pg_atomic_uint64 missed_samples;
	pg_atomic_uint64 sample_ns; /* sum over samples */
	pg_atomic_uint64 last_sample;
	pg_atomic_uint64 watched;	/* us that samples stand for; begins with the wall clock */
	pg_atomic_uint64 last_pass; /* start of the last look at all, monotonic us; 0 = none */
	pg_atomic_uint64 worker_errors;
	pg_atomic_uint64 cpu_speed_ppm; /* see po_speed.h; 0 = not known yet */
	pg_atomic_uint32 keeper_reads;	/* is the keeper to read tables, or only to notify? */

	/* Written by the keeper */
	pg_atomic_uint32 keeper_pid;
	pg_atomic_uint64 changes_applied;
	/* Up to when pool_history is written, as the history counts; 0 = not yet.  By the
	 * keeper. */
	pg_atomic_uint64 history_written;
	/* When the hour begins that tenants' season is of, as the history counts, 0 = none; and how
	 * often that was set.  By the keeper. */
	pg_atomic_uint64 season_start;
	pg_atomic_uint64 seasons;
	pg_atomic_uint32 extension_found;	/* 0 not read yet, 1 no, 2 yes */

	/* Written by the worker that visits poolers */
	pg_atomic_uint32 pooler_pid;

	/* Counted up by whoever changed policies, or wants them read */
	pg_atomic_uint64 changes_requested;

	/* PO_LOCK_STATUS */
	char		last_error[PO_ERROR_LEN];
	TimestampTz last_error_at;

	PoRate		rate;			/* of terminations.  PO_LOCK_STATS */
	PoRing		ring[PO_N_RINGS];	/* PO_LOCK_EVENTS */
	PoNotifyRate notify_rate[PO_N_EVENT_KINDS];	/* atomics */
	PoRegistry	registry;		/* PO_LOCK_ADMISSION */
	PoPoolers	poolers;		/* PO_LOCK_POOLERS */
	PoStatsTotal total;			/* PO_LOCK_STATS */
	PoHistoryLevel history[PO_HISTORY_LEVELS];	/* PO_LOCK_HISTORY */
	PoClients	clients;		/* PO_LOCK_CLIENTS */
	PoAlertTable alerts;		/* PO_LOCK_ALERTS */
} PoShared;

/* NULL in a process where the library was not preloaded. */
extern PoShared *po_shared;
extern PoSlot *po_slots;
extern PoWatch *po_watches;
extern PoTenant *po_tenants;
extern PoTenantStats *po_tenant_stats;
extern PoCounter *po_counters;
extern int *po_tenant_buckets;
extern int *po_counter_buckets;
extern PoPolicySet *po_policy_set;
extern PoEvent *po_events;
extern PoPoolSeen *po_pools;
extern int *po_tenant_pools;	/* places of the first + 1, by tenant; 0 = it has none */
extern PoMetricsState *po_metrics_state;
extern bool *po_metrics_summed; /* per tenant: is_summed of po_listing.h.  PO_LOCK_METRICS */
extern PoHistoryRow *po_history_rows[PO_HISTORY_LEVELS];
extern PoHistoryMember *po_history_members[PO_HISTORY_FINE];
extern PoHistoryOpen *po_history_open;	/* of the minute: tenants, then the cluster */
extern PoClientApplication *po_client_applications;
extern PoClientInstance *po_client_instances;
extern int *po_application_buckets;
extern int *po_instance_buckets;
extern PoAlertRaised *po_alerts;
extern PoAlertEntry *po_alert_entries;
extern PoAlertRule *po_alert_rules;

/* Of statements, in a segment of its own. */
extern PoStatementTable *po_statement_table;
extern PoStatementSession *po_statement_sessions;	/* per slot */
extern PoStatementSums *po_statement_others;	/* per tenant: what is in no statement */
/* Per tenant: all that was counted since the start or a reset.  PO_LOCK_STATEMENTS */
extern PoStatementSums *po_statement_totals;
extern PoTenantHints *po_tenant_hints;	/* per tenant */
extern PoStatement *po_statement_places;
extern PoStatementText *po_statement_texts;
extern PoStatementCell *po_statement_cells;
extern int *po_statement_buckets;
extern int *po_statement_text_buckets;
extern PoFindingTable *po_finding_table;
extern PoFindingRecord *po_findings;
extern PoAcknowledged *po_acknowledged;
/* Reads that came lately, by their hash: words of po_repeats.h, by anyone, without a lock. */
extern pg_atomic_uint64 *po_statement_reads;

/* Hooks that ask for the memory and lay it out. */
extern void po_shmem_install(void (*after_startup) (void));

/* The lock itself; see the table above for who may. */
extern LWLock *po_shmem_lock(PoLock lock);

/* Does nobody hold any of them?  For the postmaster, which cannot wait for one. */
extern bool po_shmem_is_unlocked(void);

/* ERROR 55000 with the line to add to postgresql.conf, unless preloaded. */
extern void po_shmem_require(void);

/* What pool_stats_cluster.last_error says; "" clears. */
extern void po_shmem_set_error(const char *message);
extern void po_shmem_get_error(char *message, Size size, TimestampTz *at);

/* The clock that nobody sets; the same for all processes. */
extern int64 po_shmem_monotonic_us(void);

/* Have the sampler look now. */
extern void po_shmem_wake_sampler(void);

#endif							/* PO_SHMEM_H */
