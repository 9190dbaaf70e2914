/*
 * po_pooler_clients.c
 *		Who the clients of a pool are: applications, and processes of them.
 */
#include "model/po_pooler_clients.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/po_instances.h"
#include "model/po_sentence.h"

#define SAID_APPLICATIONS	3

typedef struct Application
{
	const char *family;
	int			clients;
	int			instances;
	int			waiting;
} Application;

/* As the server takes names in: a pooler passes on whatever it is given. */
static void
clean(char *name)
{
	for (; *name != '\0'; name++)
	{
		if (*name < ' ' || *name > '~')
			*name = '?';
	}
}

/* By a Unix socket all come from one address, and only their processes differ. */
static void
tell_instance(const PoPoolerClient *client, PoPoolerCaller *caller)
{
	if (client->remote_pid > 0 && strncmp(client->addr, "unix", 4) == 0)
		snprintf(caller->instance, sizeof(caller->instance), "unix %" PRId64, client->remote_pid);
	else
		memcpy(caller->instance, client->addr, sizeof(caller->instance));
}

void
po_pooler_caller(const PoPoolerClient *client, PoPoolerCaller *caller)
{
	char		application[PO_PART_LEN];

	memcpy(application, client->application_name, sizeof(application));
	clean(application);
	memset(caller, 0, sizeof(*caller));
	memcpy(caller->database, client->database, sizeof(caller->database));
	memcpy(caller->user, client->user, sizeof(caller->user));
	/* The others that wait do so for a cancel to be passed on. */
	caller->waiting = strcmp(client->state, "waiting") == 0 ||
		strcmp(client->state, "waiting_login") == 0;
	if (po_instances_family(application, caller->family))
		memcpy(caller->instance, application, sizeof(caller->instance));
	else
		tell_instance(client, caller);
}

static int
compare_pools(const PoPoolerCaller *a, const PoPoolerCaller *b)
{
	int			order = strcmp(a->database, b->database);

	return order != 0 ? order : strcmp(a->user, b->user);
}

int
po_pooler_compare_callers(const void *a, const void *b)
{
	const PoPoolerCaller *one = a;
	const PoPoolerCaller *other = b;
	int			order = compare_pools(one, other);

	if (order == 0)
		order = strcmp(one->family, other->family);
	return order != 0 ? order : strcmp(one->instance, other->instance);
}

/* The application that the first belongs to, of n; how many clients it has. */
static int
count_application(const PoPoolerCaller *caller, int n, Application *a)
{
	memset(a, 0, sizeof(*a));
	a->family = caller->family;
	while (a->clients < n && compare_pools(&caller[a->clients], caller) == 0 &&
		   strcmp(caller[a->clients].family, caller->family) == 0)
	{
		const PoPoolerCaller *c = &caller[a->clients];

		if (a->clients++ == 0 || strcmp(c->instance, c[-1].instance) != 0)
			a->instances++;
		a->waiting += c->waiting;
	}
	return a->clients;
}

/* Keeps those with the most that wait, and of these the largest, in order. */
static void
keep_largest(Application largest[SAID_APPLICATIONS], const Application *a)
{
	int			at = SAID_APPLICATIONS;

	while (at > 0 && (a->waiting > largest[at - 1].waiting ||
					  (a->waiting == largest[at - 1].waiting &&
					   a->clients > largest[at - 1].clients)))
		at--;
	for (int i = SAID_APPLICATIONS - 1; i > at; i--)
		largest[i] = largest[i - 1];
	if (at < SAID_APPLICATIONS)
		largest[at] = *a;
}

static void
say_applications(const Application *largest, int n, PoPoolerCallers *callers)
{
	PoSentence	s = {callers->text, sizeof(callers->text), 0};

	callers->text[0] = '\0';
	for (int i = 0; i < n && i < SAID_APPLICATIONS; i++)
	{
		const Application *a = &largest[i];

		po_say(&s, "%s%s: %d client%s of %d instance%s", i == 0 ? "" : "; ",
			   a->family[0] == '\0' ? "(no name)" : a->family, a->clients, po_plural(a->clients),
			   a->instances, po_plural(a->instances));
		if (a->waiting > 0)
			po_say(&s, ", %d wait%s", a->waiting, a->waiting == 1 ? "s" : "");
	}
	if (n > SAID_APPLICATIONS)
		po_say(&s, "; %d more", n - SAID_APPLICATIONS);
}

int
po_pooler_count_callers(const PoPoolerCaller *caller, int n, PoPoolerCallers *callers)
{
	Application largest[SAID_APPLICATIONS];
	int			applications = 0;
	int			counted = 0;

	memset(callers, 0, sizeof(*callers));
	memset(largest, 0, sizeof(largest));
	while (counted < n && compare_pools(&caller[counted], caller) == 0)
	{
		Application a;

		counted += count_application(&caller[counted], n - counted, &a);
		if (applications++ == 0 || a.instances < callers->least)
			callers->least = a.instances;
		callers->instances += a.instances;
		keep_largest(largest, &a);
	}
	say_applications(largest, applications, callers);
	return counted;
}
