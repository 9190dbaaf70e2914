/*
 * po_instances.h
 *		Direct clients: what the pool in each of their processes should have.
 *
 * Most drivers pool in the process, so a tenant's sessions are those of several pools.
 * An instance is such a process, as far as the server can tell one from another: by its
 * process id (Unix-domain sockets), else by what an application_name has in it that
 * only one process has, else by its address.  Instances whose names differ in such
 * parts only are of one application.
 *
 * The pool of an instance is sized for its own part of the load, which takes more
 * connections in all than one pool for everybody would; while instances overlap, as in
 * a rolling deploy, all of them together stay below what the tenant may have.
 *
 * A process whose threads each take several connections at once can deadlock a pool that is
 * smaller than threads x (connections each - 1) + 1.  Whether one does cannot be seen from
 * here.  That several of its sessions are in transactions at once, with one of them at work,
 * is what threads that think in their transactions look like as well: of eight that are
 * at work for 1 % of them, two are at work in one sample of 370.  To take these for a thread
 * that holds eight connections would keep every pool as large as it happens to be.  So the
 * floor is what one is told: min_size.
 */
#ifndef PO_INSTANCES_H
#define PO_INSTANCES_H

#include "model/po_client_size.h"
#include "model/po_recommend.h"

/* How instances are told apart; of several ways, the least certain is the one said. */
typedef enum PoToldBy
{
	PO_TOLD_BY_PROCESS,
	PO_TOLD_BY_NAME,
	PO_TOLD_BY_ADDRESS
} PoToldBy;

extern const char *po_told_by_name(PoToldBy told);

/*
 * The name of the application that an application_name belongs to: numbers of three
 * digits or more and words of letters and digits mixed, as process ids and the names of
 * containers are, become #; if there are any, so do shorter numbers.  True if there were.
 * family has room for PO_PART_LEN bytes.
 */
extern bool po_instances_family(const char *application, char *family);

/* ---------- levels over time ---------- */

/* Means that forget: what is longer ago than memory_us counts little. */
typedef struct PoPresence
{
	double		busy;			/* sessions x us */
	double		live;			/* instances x us, while there were any */
	double		us;
	double		live_us;
	int64_t		at;				/* up to when; 0 = not begun */
} PoPresence;

/* From the last call to now_us so many instances had sessions, and these were busy for
 * busy_us in all. */
extern void po_presence_pass(PoPresence *p, int live, double busy_us, int64_t now_us,
							 int64_t memory_us);
extern double po_presence_busy(const PoPresence *p);
extern double po_presence_live(const PoPresence *p);

/* Most at once, of this week and the one before. */
#define PO_OVERLAP_WEEK_US	(INT64_C(7) * 86400 * PO_US_PER_S)

typedef struct PoOverlap
{
	int			most;			/* in this week, */
	int			before;			/* in the one before */
	int64_t		week_from;
} PoOverlap;

/* True if it is more than is remembered. */
extern bool po_overlap_note(PoOverlap *o, int live, int64_t now_us);
extern int	po_overlap_most(const PoOverlap *o, int live, int64_t now_us);

/* ---------- sizes ---------- */

/* What bounds the size of an instance's pool. */
typedef enum PoInstanceRule
{
	PO_INSTANCE_PRESENT,		/* too little is known: what is */
	PO_INSTANCE_LOAD,			/* the wait target at its part of the load */
	PO_INSTANCE_RECOMMENDED,	/* its part of the recommended size: the server is the limit, or
								 * that was cut, or has more reasons than the load */
	PO_INSTANCE_LEAST,			/* its part of min_size, though its load asks for less */
	PO_INSTANCE_CEILING,		/* all together must stay below a ceiling */
	PO_INSTANCE_ONE				/* one connection is the least, though they do not fit */
} PoInstanceRule;

/* One application of a tenant. */
typedef struct PoApplication
{
	int			sessions;		/* now */
	int			most_sessions;	/* of one instance */
	int			live;			/* instances with sessions */
	double		usual;			/* instances, on average while there are any */
	int			peak;			/* instances at once */
	int			addresses;
	PoToldBy		told;
	double		busy;			/* sessions, on average */
	/* Results */
	int			instances;		/* that the size is for */
	int			overlap;		/* that have to fit at once */
	int			each;
	int			each_min;
	double		confidence;
	PoInstanceRule rule;
} PoApplication;

/* The tenant that they belong to. */
typedef struct PoInstancesTenant
{
	const PoRecommendation *recommendation;
	const PoSizingInput *input;
	int64_t		target_wait_us;
	int			min_size;		/* of the policy, for all of them */
	int			ceiling;		/* PO_UNLIMITED = none */
	PoCeiling	ceiling_by;
	bool		has_pooler;		/* some sessions are a pooler's */
} PoInstancesTenant;

/*
 * Connections for the pool of each of so many instances that have this part (0..1) of the
 * tenant's load together, whatever all of them may have; the rule says why.  present is
 * what it has now, for when too little is known.
 */
extern int	po_instances_each(const PoInstancesTenant *t, double part, int instances,
							  int present, PoInstanceRule *rule);

/* Fills in the results of all n applications of a tenant. */
extern void po_instances_plan(const PoInstancesTenant *t, PoApplication *application, int n);

/* "load", "quota" and so on. */
extern const char *po_instances_rule_name(const PoInstancesTenant *t, const PoApplication *a);

/* Writes the reason, one sentence, into text (at most size - 1 bytes). */
extern void po_instances_reason(const PoInstancesTenant *t, const PoApplication *a,
								char *text, size_t size);

#endif							/* PO_INSTANCES_H */
