/*
 * po_instances.c
 *		Direct clients: what the pool in each of their processes should have.
 */
#include "model/po_instances.h"

#include <math.h>
#include <string.h>

#include "model/po_queueing.h"
#include "model/po_sentence.h"

#define MANY_DIGITS			3	/* an ordinal or a version has fewer */
#define MANY_CHANGES		3	/* between letters and digits: x2x4z has four, h264 one */
#define MOST_COUNT			262143
#define MOST_US				1e15

/* How sure it is that an instance is one process. */
#define SURE_BY_NAME		0.9
#define SURE_BY_ADDRESS		0.8
#define SURE_BY_ONE_ADDRESS	0.5
#define MOST_LITTLE_DATA	0.2

/* ---------- names ---------- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The length of the word of letters and digits at text, and what it is made of. */
static size_t
word_at(const char *text, int *longest_number, int *changes)
{
	size_t		n = 0;
	int			digits = 0;

	*longest_number = *changes = 0;
	for (; is_digit(text[n]) || is_letter(text[n]); n++)
	{
		if (n > 0 && is_digit(text[n]) != is_digit(text[n - 1]))
			(*changes)++;
		digits = is_digit(text[n]) ? digits + 1 : 0;
		if (digits > *longest_number)
			*longest_number = digits;
	}
	return n;
}

static bool
has_own_part(const char *application)
{
	while (*application != '\0')
	{
		int			longest;
		int			changes;
		size_t		n = word_at(application, &longest, &changes);

		if (longest >= MANY_DIGITS || changes >= MANY_CHANGES)
			return true;
		application += n > 0 ? n : 1;
	}
	return false;
}

/* A word as it is in the family's name: never longer than it was. */
static size_t
put_word(char *out, const char *word, size_t n, int changes)
{
	size_t		at = 0;

	if (changes >= MANY_CHANGES)
	{
		out[0] = '#';
		return 1;
	}
	for (size_t i = 0; i < n; i++)
	{
		if (!is_digit(word[i]))
			out[at++] = word[i];
		else if (i == 0 || !is_digit(word[i - 1]))
			out[at++] = '#';
	}
	return at;
}

bool
po_instances_family(const char *application, char *family)
{
	bool		own = has_own_part(application);
	size_t		at = 0;

	while (*application != '\0' && at + 1 < PO_PART_LEN)
	{
		int			longest;
		int			changes;
		size_t		n = own ? word_at(application, &longest, &changes) : 0;

		if (n > PO_PART_LEN - 1 - at)
			n = PO_PART_LEN - 1 - at;
		if (n == 0)
			family[at++] = *application++;
		else
		{
			at += put_word(family + at, application, n, changes);
			application += n;
		}
	}
	family[at] = '\0';
	return own;
}

const char *
po_told_by_name(PoToldBy told)
{
	static const char *const names[] = {"process", "name", "address"};

	return (unsigned int) told <= PO_TOLD_BY_ADDRESS ? names[told] : "unknown";
}

/* ---------- levels over time ---------- */

static double
sane(double x, double highest)
{
	return x > 0 ? fmin(x, highest) : 0;
}

void
po_presence_pass(PoPresence *p, int live, double busy_us, int64_t now_us, int64_t memory_us)
{
	double		passed = p->at > 0 && now_us > p->at ? (double) now_us - (double) p->at : 0;
	double		memory = memory_us > 0 ? (double) memory_us : 1;
	double		kept = exp(-passed / memory);
	double		counts = memory * (1 - kept);	/* what this time still counts by its end */

	p->at = now_us;
	if (passed <= 0)
		return;
	p->busy = p->busy * kept + sane(busy_us, MOST_US) / passed * counts;
	p->us = p->us * kept + counts;
	if (live <= 0)
		return;
	/* Means of what is there only now and then are not forgotten meanwhile. */
	p->live = p->live * kept + live * counts;
	p->live_us = p->live_us * kept + counts;
}

double
po_presence_busy(const PoPresence *p)
{
	return p->us > 0 ? sane(p->busy / p->us, MOST_COUNT) : 0;
}

double
po_presence_live(const PoPresence *p)
{
	return p->live_us > 0 ? sane(p->live / p->live_us, MOST_COUNT) : 0;
}

static void
turn_weeks(PoOverlap *o, int64_t now_us)
{
	int64_t		passed = now_us - o->week_from;

	if (o->week_from > 0 && passed < PO_OVERLAP_WEEK_US && passed >= 0)
		return;
	o->before = o->week_from > 0 && passed < 2 * PO_OVERLAP_WEEK_US ? o->most : 0;
	o->most = 0;
	o->week_from = now_us;
}

bool
po_overlap_note(PoOverlap *o, int live, int64_t now_us)
{
	bool		more;

	turn_weeks(o, now_us);
	more = live > o->most && live > o->before;
	if (live > o->most)
		o->most = live;
	return more;
}

int
po_overlap_most(const PoOverlap *o, int live, int64_t now_us)
{
	PoOverlap	copy = *o;

	(void) po_overlap_note(&copy, live, now_us);
	return copy.most > copy.before ? copy.most : copy.before;
}

/* ---------- sizes ---------- */

static int
within(double value, int least, int most)
{
	return value >= most ? most : value > least ? (int) value : least;
}

/* Is the server the limit?  Then what all have together counts. */
static bool
is_limited(const PoRecommendation *r)
{
	return r->method >= PO_METHOD_SATURATED;
}

/*
 * The application's part of the tenant's load.  When nobody was ever busy, sessions
 * tell who is there.
 */
static double
part_of(const PoApplication *a, double busy, int sessions, int n)
{
	if (busy > 0)
		return sane(a->busy, MOST_COUNT) / busy;
	if (sessions > 0)
		return sane(a->sessions, MOST_COUNT) / sessions;
	return 1.0 / n;
}

static int
size_by_load(const PoInstancesTenant *t, double load)
{
	const PoSizingInput *in = t->input;
	double		service_us = sane(in->service_us, MOST_US);

	return po_queueing_servers_for_wait(sane(load, MOST_COUNT), service_us,
										isfinite(in->arrival_cv2) ? sane(in->arrival_cv2, 1e6) : 1,
										isfinite(in->service_cv2) ? sane(in->service_cv2, 1e6) : 1,
										sane((double) t->target_wait_us, MOST_US));
}

int
po_instances_each(const PoInstancesTenant *t, double part, int instances, int present,
				  PoInstanceRule *rule)
{
	const PoRecommendation *r = t->recommendation;
	int			size = within(r->size, 1, MOST_COUNT);
	double		least = ceil(within(t->min_size, 0, MOST_COUNT) * part / instances);
	int			recommended = within(floor(size * part / instances), 1, size);
	int			each;

	if (r->method <= PO_METHOD_TOO_LITTLE_DATA)
	{
		*rule = PO_INSTANCE_PRESENT;
		each = within(present, 1, MOST_COUNT);
	}
	else
	{
		*rule = PO_INSTANCE_LOAD;
		each = within(size_by_load(t, r->load * part / instances), 1, size);
	}
	/* What is recommended may be more, too: for a load that is usual at this time, say. */
	if (is_limited(r) || po_recommend_is_cut(r) || (part >= 1 && instances == 1) ||
		(recommended > each && !r->clamped_min && (*rule == PO_INSTANCE_LOAD || r->seasonal)))
	{
		*rule = PO_INSTANCE_RECOMMENDED;
		each = recommended;
	}
	if (least <= each)
		return each;
	*rule = PO_INSTANCE_LEAST;
	return within(least, 1, MOST_COUNT);
}

static void
size_one(const PoInstancesTenant *t, PoApplication *a, double part)
{
	double		least;

	a->instances = within(nearbyint(sane(a->usual, MOST_COUNT)), 1, MOST_COUNT);
	/* A deploy that nobody has seen yet surges by a quarter, as in po_client_size.h. */
	a->overlap = within(a->instances + ceil(a->instances / 4.0), 1, MOST_COUNT);
	if (a->peak > a->overlap)
		a->overlap = within(a->peak, 1, MOST_COUNT);
	a->each = po_instances_each(t, part, a->instances, a->most_sessions, &a->rule);
	least = floor(t->recommendation->min * part / a->instances);
	a->each_min = within(least, 0, a->each);
}

/* Instances that may be there at once. */
static double
at_once(const PoApplication *application, int n)
{
	double		all = 0;

	for (int i = 0; i < n; i++)
		all += application[i].overlap;
	return all;
}

/* What of its size each keeps, so that all fit: those of which less than one is left have one,
 * for which the others pay.  0 = nobody has more than one. */
static double
part_that_fits(const PoInstancesTenant *t, const PoApplication *application, int n)
{
	double		part = 1;

	/* Each time there are more of those with one. */
	for (int i = 0; i <= n; i++)
	{
		double		ones = 0;
		double		rest = 0;
		double		next;

		for (int k = 0; k < n; k++)
		{
			if (application[k].each * part < 1)
				ones += application[k].overlap;
			else
				rest += (double) application[k].each * application[k].overlap;
		}
		next = rest > 0 ? fmax(t->ceiling - ones, 0) / rest : 0;
		if (next >= part)
			return part;
		part = next;
	}
	return part;
}

/* All of them together, while they overlap, below the ceiling. */
static void
fit(const PoInstancesTenant *t, PoApplication *application, int n)
{
	bool		is_vain = t->ceiling >= 0 && at_once(application, n) > t->ceiling;
	double		part = t->ceiling < 0 ? 1 : part_that_fits(t, application, n);

	for (int i = 0; i < n; i++)
	{
		PoApplication *a = &application[i];
		int			each = within(floor(a->each * part), 1, MOST_COUNT);

		if (is_vain)
			a->rule = PO_INSTANCE_ONE;
		else if (each < a->each)
			a->rule = PO_INSTANCE_CEILING;
		a->each = each;
		a->each_min = a->each_min < a->each ? a->each_min : a->each;
	}
}

static double
sureness(const PoApplication *a)
{
	switch (a->told)
	{
		case PO_TOLD_BY_PROCESS:
			return 1;
		case PO_TOLD_BY_NAME:
			return SURE_BY_NAME;
		case PO_TOLD_BY_ADDRESS:
			break;
	}
	return a->addresses > 1 ? SURE_BY_ADDRESS : SURE_BY_ONE_ADDRESS;
}

void
po_instances_plan(const PoInstancesTenant *t, PoApplication *application, int n)
{
	double		busy = 0;
	double		confidence = sane(t->recommendation->confidence, 1);
	int			sessions = 0;

	for (int i = 0; i < n; i++)
	{
		busy += sane(application[i].busy, MOST_COUNT);
		sessions += within(application[i].sessions, 0, MOST_COUNT);
	}
	if (t->recommendation->method <= PO_METHOD_TOO_LITTLE_DATA)
		confidence = fmin(confidence, MOST_LITTLE_DATA);
	for (int i = 0; i < n; i++)
	{
		size_one(t, &application[i], part_of(&application[i], busy, sessions, n));
		application[i].confidence = confidence * sureness(&application[i]);
	}
	fit(t, application, n);
}

const char *
po_instances_rule_name(const PoInstancesTenant *t, const PoApplication *a)
{
	static const char *const ceilings[PO_N_CEILINGS] = {
		"quota", "database_quota", "role_quota", "cluster_quota", "database_limit",
		"role_limit", "server"
	};

	switch (a->rule)
	{
		case PO_INSTANCE_PRESENT:
			return "present";
		case PO_INSTANCE_LOAD:
			return "load";
		case PO_INSTANCE_RECOMMENDED:
			return "recommended_size";
		case PO_INSTANCE_LEAST:
			return "min_size";
		case PO_INSTANCE_CEILING:
			return ceilings[(unsigned int) t->ceiling_by < PO_N_CEILINGS ? t->ceiling_by : 0];
		case PO_INSTANCE_ONE:
			break;
	}
	return "one_each";
}

/* ---------- words ---------- */

static const char *
why_recommended(const PoRecommendation *r)
{
	if (is_limited(r))
		return "as more in all would not get more done";
	if (po_recommend_is_cut(r))
		return "which is less than the load needs";
	return "which has more reasons than the load (see pool_recommendations)";
}

static void
say_size(PoSentence *s, const PoInstancesTenant *t, const PoApplication *a)
{
	const PoRecommendation *r = t->recommendation;
	const char *by = po_client_ceiling_name(t->ceiling_by);

	switch (a->rule)
	{
		case PO_INSTANCE_PRESENT:
			po_say(s, "too little is known of the tenant to size its pools: %d connection%s is "
				   "what an instance has at most", a->each, po_plural(a->each));
			break;
		case PO_INSTANCE_LOAD:
			po_say(s, "%d connection%s %s the wait target for ", a->each, po_plural(a->each),
				   a->each == 1 ? "keeps" : "keep");
			if (a->instances == 1)
				po_say(s, "its part of the tenant's load");
			else
				po_say(s, "the part of one of %d instances", a->instances);
			break;
		case PO_INSTANCE_RECOMMENDED:
			if (a->instances == 1 && a->each == r->size)
				po_say(s, "%d connection%s, the recommended size: one instance has all of the load",
					   a->each, po_plural(a->each));
			else
				po_say(s, "%d connection%s for each of %d instance%s: their part of the %d "
					   "recommended for all, %s", a->each, po_plural(a->each), a->instances,
					   po_plural(a->instances), r->size, why_recommended(r));
			break;
		case PO_INSTANCE_LEAST:
			po_say(s, "%d connection%s for each of %d instance%s: their part of the %d that "
				   "min_size of the policy asks for", a->each, po_plural(a->each), a->instances,
				   po_plural(a->instances), t->min_size);
			break;
		case PO_INSTANCE_CEILING:
			po_say(s, "%d connection%s each, so that %d instances at once stay below %d, %s",
				   a->each, po_plural(a->each), a->overlap, t->ceiling, by);
			break;
		case PO_INSTANCE_ONE:
			po_say(s, "one connection is the least for each, but all instances that may be there "
				   "at once (%d of this application) do not fit into %d, %s: run fewer, or put a "
				   "pooler in between", a->overlap, t->ceiling, by);
			break;
	}
}

static void
say_together(PoSentence *s, const PoInstancesTenant *t, const PoApplication *a)
{
	double		all = (double) a->each * a->instances;

	if (a->rule == PO_INSTANCE_LOAD && all > 1.5 * t->recommendation->size)
		po_say(s, "; %.0f together, where one pooler for all of the tenant would do with %d", all,
			   t->recommendation->size);
	if (a->peak > a->instances)
		po_say(s, "; as many as %d were there at once, as while a deploy runs", a->peak);
	else
		po_say(s, "; no overlap of old and new instances was seen yet");
}

/* Be honest: what an instance is was guessed. */
static void
say_told(PoSentence *s, const PoInstancesTenant *t, const PoApplication *a)
{
	if (a->told == PO_TOLD_BY_PROCESS)
		po_say(s, "; instances are told apart by their process ids");
	else if (a->told == PO_TOLD_BY_NAME)
		po_say(s, "; instances are told apart by what is their own in application_name");
	else if (a->addresses > 1)
		po_say(s, "; each address is taken for one instance: where several processes share one, "
			   "divide by them");
	else
		po_say(s, "; all sessions are from one address, which is taken for one instance: processes "
			   "that share it (or hide behind it) cannot be told apart, so divide by them, or have "
			   "each set an application_name of its own");
	if (t->has_pooler)
		po_say(s, "; a pooler has some of the tenant's sessions, see pool_stats_pooler");
}

void
po_instances_reason(const PoInstancesTenant *t, const PoApplication *a, char *text, size_t size)
{
	PoSentence	s = {text, size, 0};

	if (size == 0)
		return;
	text[0] = '\0';
	say_size(&s, t, a);
	say_together(&s, t, a);
	say_told(&s, t, a);
}
